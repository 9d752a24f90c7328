//! The call around the stream: our engine, carried out by hand on one socket.

use super::Wanted;
use crate::call::record::Record;
use crate::call::{CallId, Conduct, MediaEvent, MediaOptions, MediaOrder, Moment};
use crate::driver::Clock;
use crate::engine::{Config, Dial, Engine, Output, Refused};
use crate::media::plan::Plan;
use crate::random::Random;
use crate::sip::agent::{Account, AccountId, AgentConfig, ResolveError};
use crate::sip::hop::{Hop, Transport};
use crate::sip::uri::Uri;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// How long the far end may take to answer, and to take the end of the call.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(5);

/// Why there is no call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The target is a name that nobody knows.
    #[error("{0} is no address; write the target as sip:USER@ADDRESS:PORT")]
    NoAddress(String),
    /// A socket.
    #[error("no UDP socket on the way to {to}: {source}")]
    Socket {
        /// Where to.
        to: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The engine refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The far end did.
    #[error("the call ended before it was answered: {0}")]
    Ended(String),
    /// It did not answer.
    #[error("no answer in {} s", PATIENCE.as_secs())]
    NoAnswer,
}

/// One call to be made.
pub(in crate::bench) struct Caller {
    engine: Engine,
    clock: Clock,
    socket: UdpSocket,
    local: SocketAddr,
    remote: SocketAddr,
    account: AccountId,
    call: Option<CallId>,
    rtp: Option<SocketAddr>,
    plan: Option<Plan>,
    answered: bool,
    ended: Option<String>,
}

impl Caller {
    /// A caller on the address that reaches `target`.
    pub(in crate::bench) fn new(clock: Clock, target: &Uri, random: Random) -> Result<Self, CallError> {
        let name = target.host().map(|host| format!("{host}:{}", target.port().unwrap_or(5060))).unwrap_or_default();
        let remote = name.to_socket_addrs().ok().and_then(|mut found| found.next());
        let remote = remote.ok_or_else(|| CallError::NoAddress(target.to_string()))?;
        let fail = |source| CallError::Socket { to: remote, source };
        let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let probe = UdpSocket::bind(any).map_err(fail)?;
        probe.connect(remote).map_err(fail)?;
        let socket = UdpSocket::bind((probe.local_addr().map_err(fail)?.ip(), 0)).map_err(fail)?;
        socket.set_read_timeout(Some(LOOK)).map_err(fail)?;
        let local = socket.local_addr().map_err(fail)?;
        let config = Config {
            agent: AgentConfig::new("sidetone-bench"),
            media: MediaOptions::default(),
            conduct: Conduct::default(),
        };
        let mut engine = Engine::new(config, clock.wall(), random);
        let aor: Uri = format!("sip:bench@{local}").parse().map_err(|_| CallError::NoAddress(local.to_string()))?;
        let account = engine.add_account(Account::new(aor));
        let (call, rtp, plan, ended) = (None, None, None, None);
        Ok(Self { engine, clock, socket, local, remote, account, call, rtp, plan, answered: false, ended })
    }

    /// Our address on the way to the target.
    pub(in crate::bench) fn address(&self) -> SocketAddr {
        self.local
    }

    /// Calls, with RTP at `rtp`; what was negotiated.
    pub(in crate::bench) fn call(&mut self, wanted: &Wanted, rtp: SocketAddr) -> Result<Plan, CallError> {
        self.rtp = Some(rtp);
        let media =
            MediaOptions { codecs: vec![wanted.codec], packet_time: wanted.packet_time, ..MediaOptions::default() };
        let dial = Dial {
            account: self.account,
            target: wanted.target.clone(),
            from_number: None,
            media,
            ring_limit: PATIENCE,
            headers: Vec::new(),
        };
        self.call = Some(self.engine.dial(self.clock.now(), dial)?);
        self.turn_until(|caller| caller.ended.is_some() || (caller.answered && caller.plan.is_some()));
        match (self.plan.clone(), self.ended.take()) {
            (_, Some(reason)) => Err(CallError::Ended(reason)),
            (Some(plan), None) if self.answered => Ok(plan),
            _ => Err(CallError::NoAnswer),
        }
    }

    /// Ends the call, and waits until the far end has taken it.
    pub(in crate::bench) fn hang_up(&mut self) {
        if let Some(call) = self.call.take() {
            // It may have ended by itself.
            let _ = self.engine.hangup(self.clock.now(), call);
            self.turn_until(|caller| caller.engine.is_settled());
        }
    }

    fn turn_until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = self.clock.now() + PATIENCE;
        let mut datagram = vec![0; 65_535];
        loop {
            self.carry_out();
            let now = self.clock.now();
            if done(self) || now > deadline {
                return;
            }
            if let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
                let hop = Hop { transport: Transport::Udp, local: self.local, remote: from };
                self.engine.handle_datagram(self.clock.now(), hop, datagram.get(..length).unwrap_or_default());
            }
            let now = self.clock.now();
            if self.engine.poll_timeout().is_some_and(|due| due <= now) {
                self.engine.handle_timeout(now);
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let now = self.clock.now();
            match output {
                Output::Transmit { hop, bytes } => {
                    // What is lost is sent again.
                    let _ = self.socket.send_to(&bytes, hop.remote);
                }
                Output::Resolve { id, .. } => {
                    let hop = Hop { transport: Transport::Udp, local: self.local, remote: self.remote };
                    self.engine.handle_resolved(now, id, Ok::<_, ResolveError>(vec![hop]));
                }
                Output::Media { call, order: MediaOrder::Open { .. } } => {
                    let opened = match self.rtp {
                        Some(rtp) => {
                            let mut rtcp = rtp;
                            rtcp.set_port(rtp.port().saturating_add(1));
                            MediaEvent::Opened { rtp, rtcp, hosts: Vec::new() }
                        }
                        None => MediaEvent::Failed("no port".into()),
                    };
                    self.engine.handle_media(now, call, opened);
                }
                Output::Media { order: MediaOrder::Start(plan) | MediaOrder::Update(plan), .. } => {
                    self.plan = Some(*plan)
                }
                Output::Media { call, order: MediaOrder::Close } => {
                    let (report, counters) = Default::default();
                    self.engine.handle_media(now, call, MediaEvent::Finished { report, recording: None, counters });
                }
                Output::Call(event) => match event.moment {
                    Moment::Answered => self.answered = true,
                    Moment::Ended => {
                        self.ended = Some(reason(&event.record));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

fn reason(record: &Record) -> String {
    let reason = record.sip_reason.clone().unwrap_or_else(|| "hung up".into());
    record.sip_code.map_or_else(|| reason.clone(), |code| format!("{code} {reason}"))
}
