//! HEP version 3: every message, as it goes by, to a collector such as Homer.
//!
//! ```text
//!  "HEP3" length │ vendor type length value │ vendor type length value │ …       all big-endian
//! ```
//!
//! By UDP from a thread of its own: what it cannot take or send is dropped and counted, nothing waits.

use super::entry::Sighting;
use super::options::Collector;
use super::redact::redact;
use super::story::is_datagram;
use jiff::Timestamp;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Messages that may wait for the thread.
const WAITING: usize = 1_024;

/// The protocol type of SIP.
const SIP: u8 = 1;

/// What has become of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent.
    pub sent: u64,
    /// Dropped: the thread was too slow, the system did not take it, or it is too long.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// The way to a collector.
#[derive(Debug)]
pub struct Sender {
    messages: SyncSender<(Timestamp, Sighting, String)>,
    thread: JoinHandle<()>,
    counts: Arc<Counts>,
}

impl Sender {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no socket or no thread.
    pub fn start(collector: &Collector, secrets: bool) -> io::Result<Self> {
        let unspecified: IpAddr = match collector.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.set_nonblocking(true)?;
        let (messages, waiting) = sync_channel(WAITING);
        let counts = Arc::new(Counts::default());
        let (collector, counted) = (collector.clone(), Arc::clone(&counts));
        let thread = std::thread::Builder::new()
            .name("hep".into())
            .spawn(move || send_all(&socket, &collector, secrets, &waiting, &counted))?;
        Ok(Self { messages, thread, counts })
    }

    /// Has a message of the dialog `call_id` sent; never waits.
    pub fn offer(&mut self, at: Timestamp, sighting: &Sighting, call_id: &str) {
        if self.messages.try_send((at, sighting.clone(), call_id.to_owned())).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// What has become of the messages.
    pub fn counters(&self) -> Counters {
        Counters { sent: self.counts.sent.load(Relaxed), dropped: self.counts.dropped.load(Relaxed) }
    }

    /// Sends what waits; blocks for that moment.
    pub fn finish(self) {
        drop(self.messages);
        if self.thread.join().is_err() {
            tracing::error!("the thread that sends HEP has panicked");
        }
        let dropped = self.counts.dropped.load(Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "messages did not get to the HEP collector");
        }
    }
}

fn send_all(
    socket: &UdpSocket,
    collector: &Collector,
    secrets: bool,
    messages: &Receiver<(Timestamp, Sighting, String)>,
    counts: &Counts,
) {
    for (at, mut sighting, call_id) in messages {
        if !secrets {
            sighting.bytes = redact(&sighting.bytes);
        }
        let packet = encode(collector, at, &sighting, &call_id);
        let sent = packet.is_some_and(|packet| socket.send_to(&packet, collector.address).is_ok());
        let count = if sent { &counts.sent } else { &counts.dropped };
        count.fetch_add(1, Relaxed);
    }
}

/// A message as a HEP3 packet; `None` if it does not fit.
pub fn encode(collector: &Collector, at: Timestamp, sighting: &Sighting, call_id: &str) -> Option<Vec<u8>> {
    let (from, to) = sighting.ends();
    let mut packet = b"HEP3\0\0".to_vec();
    let protocol = if is_datagram(sighting.transport) { 17 } else { 6 };
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            chunk(&mut packet, 1, &[2])?;
            chunk(&mut packet, 2, &[protocol])?;
            chunk(&mut packet, 3, &from.octets())?;
            chunk(&mut packet, 4, &to.octets())?;
        }
        (from, to) => {
            let wide = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            chunk(&mut packet, 1, &[10])?;
            chunk(&mut packet, 2, &[protocol])?;
            chunk(&mut packet, 5, &wide(from))?;
            chunk(&mut packet, 6, &wide(to))?;
        }
    }
    chunk(&mut packet, 7, &from.port().to_be_bytes())?;
    chunk(&mut packet, 8, &to.port().to_be_bytes())?;
    let seconds = u32::try_from(at.as_second()).unwrap_or_default();
    let micros = u32::try_from(at.subsec_microsecond()).unwrap_or_default();
    chunk(&mut packet, 9, &seconds.to_be_bytes())?;
    chunk(&mut packet, 10, &micros.to_be_bytes())?;
    chunk(&mut packet, 11, &[SIP])?;
    chunk(&mut packet, 12, &collector.id.to_be_bytes())?;
    if let Some(key) = &collector.key {
        chunk(&mut packet, 14, key.as_bytes())?;
    }
    chunk(&mut packet, 17, call_id.as_bytes())?;
    chunk(&mut packet, 15, &sighting.bytes)?;
    let length = u16::try_from(packet.len()).ok()?.to_be_bytes();
    packet.get_mut(4..6)?.copy_from_slice(&length);
    Some(packet)
}

/// Vendor 0, type, length with this header, value.
fn chunk(packet: &mut Vec<u8>, kind: u16, value: &[u8]) -> Option<()> {
    let length = u16::try_from(value.len() + 6).ok()?;
    packet.extend([0, 0]);
    packet.extend(kind.to_be_bytes());
    packet.extend(length.to_be_bytes());
    packet.extend(value);
    Some(())
}
