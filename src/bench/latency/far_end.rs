//! A far end of our own on this machine: it echoes, and is listened at; behind a bad network if asked for.

use crate::audio::{Ear, Hearing, Sink, Source};
use crate::bench::impair::{Pair, Recipe, Relay, RelayError, Route, Sheet, Totals};
use crate::call::MediaOptions;
use crate::net::{PortRange, PortRangeError, PortsError, RtpPorts};
use crate::phone::{Account, AccountId, Event, Io, Moment, Phone, Settings, StartError};
use crate::sip::hop::Transport;
use crate::sip::uri::{Uri, UriError};
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// Where both ends are.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the far end seems to be, behind a network.
const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Where we seem to be: nobody is there, so that the far end answers on the way that our packets came.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Why there is no far end.
#[derive(Debug, thiserror::Error)]
pub enum FarEndError {
    /// Its phone.
    #[error(transparent)]
    Phone(#[from] StartError),
    /// The network before it.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Its ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// Its ports, again.
    #[error(transparent)]
    Range(#[from] PortRangeError),
    /// Its address.
    #[error(transparent)]
    Address(#[from] UriError),
    /// It is bound to nothing.
    #[error("no UDP port is free on {HOME}")]
    Unbound,
}

/// A phone that answers every call with what it hears.
#[derive(Debug)]
pub struct FarEnd {
    phone: Phone,
    task: JoinHandle<()>,
    /// Who wants to hear what the next call hears.
    listener: Arc<Mutex<Option<Sender<Hearing>>>>,
    uri: Uri,
    /// Relay of its RTP, and of its SIP.
    relays: Option<[Relay; 2]>,
}

impl FarEnd {
    /// Starts it; `impairment` is the network there and back, with its seed. Within a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no ports.
    pub fn start(media: &MediaOptions, impairment: Option<([Recipe; 2], u64)>) -> Result<Self, FarEndError> {
        let account = Account::new("sip:echo@127.0.0.1".parse()?);
        let mut settings = Settings {
            ips: vec![HOME],
            port: Some(0),
            accounts: vec![account],
            media: media.clone(),
            take_unclaimed: true,
            ..Settings::default()
        };
        let mut rtp = None;
        if impairment.is_some() {
            // The ports have to be known before: let go here, they are taken again with each call.
            let address = RtpPorts::new(None).open(HOME)?.rtp_address;
            settings.rtp_ports = Some(PortRange::new(address.port()..=address.port() + 1)?);
            settings.public_address = Some((RELAY, None));
            rtp = Some(address);
        }
        let (phone, mut events) = Phone::start(settings)?;
        let sip = phone.bound().local(Transport::Udp).ok_or(FarEndError::Unbound)?;
        let relays = match (impairment, rtp) {
            (Some((recipes, seed)), Some(rtp)) => {
                let start = |to: SocketAddr, recipes, pair| {
                    let listen = SocketAddr::new(RELAY, to.port());
                    Relay::start(Route { listen, to, pair }, recipes, seed, Sheet::Nowhere)
                };
                Some([start(rtp, recipes, Pair::Rtp)?, start(sip, Default::default(), Pair::One)?])
            }
            _ => None,
        };
        let at = if relays.is_some() { SocketAddr::new(RELAY, sip.port()) } else { sip };
        let uri = format!("sip:echo@{at}").parse()?;
        let listener: Arc<Mutex<Option<Sender<Hearing>>>> = Arc::default();
        let (answering, listeners) = (phone.clone(), listener.clone());
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Event::Call(event) = event else { continue };
                if !matches!(event.moment, Moment::Ringing { .. }) {
                    continue;
                }
                let (ear, hearing) = Ear::new(super::SAMPLES, super::TICKS);
                let listener = listeners.lock().unwrap_or_else(PoisonError::into_inner).take();
                // Whoever asked may have given up.
                let heard = listener.is_some_and(|listener| listener.send(hearing).is_ok());
                let sink = if heard { Sink::Live(ear) } else { Sink::Null };
                if let Err(error) =
                    answering.answer(event.call, Io { source: Source::Echo, sink, ..Io::default() }).await
                {
                    tracing::debug!(%error, "a call could not be answered");
                }
            }
        });
        Ok(Self { phone, task, listener, uri, relays })
    }

    /// How it is called.
    pub fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// The phone that calls it: on the same machine, and so that packets take the way through the network.
    pub fn caller(&self, media: &MediaOptions) -> Result<(Settings, AccountId), FarEndError> {
        let settings = Settings {
            ips: vec![HOME],
            port: Some(0),
            accounts: vec![Account::new("sip:bench@127.0.0.1".parse()?)],
            media: media.clone(),
            public_address: self.relays.as_ref().map(|_| (NOWHERE, None)),
            ..Settings::default()
        };
        Ok((settings, AccountId(0)))
    }

    /// Hears what the next call hears.
    pub(super) fn listen(&self) -> Receiver<Hearing> {
        let (sender, receiver) = channel();
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// What has to be added to its times to be those of `phone`, seconds.
    pub(super) fn offset(&self, phone: &Phone) -> f64 {
        let zero = |phone: &Phone| phone.clock().wall().at(Instant::ZERO).as_nanosecond();
        (zero(&self.phone) - zero(phone)) as f64 / 1e9
    }

    /// What the network before it did so far: there, and back.
    pub fn network(&self) -> Option<[Totals; 2]> {
        self.relays.as_ref().map(|[rtp, _]| rtp.totals())
    }

    /// Ends it.
    pub async fn end(self) {
        // It keeps no call log that could fail.
        let _ = self.phone.shutdown().await;
        self.task.abort();
    }
}
