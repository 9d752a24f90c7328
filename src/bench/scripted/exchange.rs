//! The RTP of a scripted call: datagrams out when the script says, what comes back with the kernel's stamps.

use crate::driver::Clock;
use crate::media::codec::{Decoder, Unavailable};
use crate::media::packet::Packet;
use crate::media::plan::Plan;
use crate::time::Instant;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A sleep this long before the time ends in time; the rest is spent awake.
const AWAKE: Duration = Duration::from_micros(300);

/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(20);

/// A datagram that came back.
pub(in crate::bench) struct Returned {
    at: Instant,
    bytes: Vec<u8>,
}

/// A packet of the echo.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Leaving {
    /// When it left the phone.
    pub(in crate::bench) at: Instant,
    /// Its first sample in the unpacked audio.
    pub(in crate::bench) offset: usize,
}

/// What was sent, and what came back.
pub(in crate::bench) struct Exchanged {
    /// When each datagram was sent.
    pub(in crate::bench) sent: Vec<Instant>,
    /// How much later than it should.
    pub(in crate::bench) late: Vec<Duration>,
    /// What came back meanwhile.
    pub(in crate::bench) returned: Vec<Returned>,
}

/// A port for RTP.
pub(in crate::bench) fn bind(ip: IpAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind((ip, 0))
}

/// Sends each datagram at its time, counted from the start, to `to`; takes as long as the last one's time.
pub(in crate::bench) fn exchange<'a>(
    clock: Clock,
    socket: &UdpSocket,
    to: SocketAddr,
    script: impl Iterator<Item = (Duration, &'a [u8])>,
) -> io::Result<Exchanged> {
    let over = AtomicBool::new(false);
    let listener = socket.try_clone()?;
    let (mut sent, mut late) = (Vec::new(), Vec::new());
    let returned = std::thread::scope(|scope| {
        let listening = scope.spawn(|| listen(listener, clock, &over));
        let start = clock.now() + LOOK;
        for (time, bytes) in script {
            let due = start + time;
            wait_until(clock, due);
            let now = clock.now();
            sent.push(now);
            late.push(now.since(due));
            // What is not sent is missed among what comes back.
            let _ = socket.send_to(bytes, to);
        }
        over.store(true, Ordering::Relaxed);
        listening.join().unwrap_or_else(|_| Err(io::Error::other("the listening thread broke down")))
    })?;
    Ok(Exchanged { sent, late, returned })
}

fn wait_until(clock: Clock, due: Instant) {
    let left = due.since(clock.now());
    if left > AWAKE {
        std::thread::sleep(left - AWAKE);
    }
    while clock.now() < due {
        std::hint::spin_loop();
    }
}

/// Everything that comes, with the kernel's stamps, until it is over.
fn listen(socket: UdpSocket, clock: Clock, over: &AtomicBool) -> io::Result<Vec<Returned>> {
    socket.set_nonblocking(true)?;
    let mut socket = mio::net::UdpSocket::from_std(socket);
    let state = UdpSocketState::new((&socket).into())?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let mut returned = Vec::new();
    let (mut buffer, mut meta) = (vec![0; 65_535], [RecvMeta::default()]);
    while !over.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(LOOK)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        loop {
            match state.recv((&socket).into(), &mut [IoSliceMut::new(&mut buffer)], &mut meta) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // ICMP's news, an interruption: the next may come.
                Err(_) => continue,
            }
            for meta in &meta {
                let at = meta.timestamp.map_or_else(|| clock.now(), |stamp| clock.arrival(stamp));
                let data = buffer.get(..meta.len).unwrap_or_default();
                returned.extend(data.chunks(meta.stride.max(1)).map(|bytes| Returned { at, bytes: bytes.to_vec() }));
            }
        }
    }
    Ok(returned)
}

/// Decodes what came back and puts it where its timestamps say.
pub(in crate::bench) fn unpack(plan: &Plan, returned: &[Returned]) -> Result<(Vec<i16>, Vec<Leaving>), Unavailable> {
    let codec = plan.encoding.codec;
    let mut decoder = Decoder::new(codec)?;
    let wanted = |packet: &Packet<'_>| plan.receive.contains(&(packet.payload_type, codec));
    let mut packets: Vec<(Instant, Packet<'_>)> = returned
        .iter()
        .filter_map(|returned| Some((returned.at, Packet::parse(&returned.bytes).ok()?)))
        .filter(|(_, packet)| wanted(packet))
        .collect();
    let Some(&(_, first)) = packets.first() else { return Ok((Vec::new(), Vec::new())) };
    packets.retain(|(_, packet)| packet.ssrc == first.ssrc);
    packets.sort_by_key(|(_, packet)| packet.timestamp.since(first.timestamp));
    let (mut audio, mut places, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
    let start = packets.first().map_or(first.timestamp, |(_, packet)| packet.timestamp);
    // A sender that jumps in time is not followed further than this.
    let longest = 3_600 * codec.sample_rate() as usize;
    for (at, packet) in packets {
        let ticks = packet.timestamp.since(start).unsigned_abs() as usize;
        let offset = ticks * codec.sample_rate() as usize / codec.clock_rate() as usize;
        fresh.clear();
        if offset > longest || decoder.decode(packet.payload, &mut fresh).is_err() {
            continue;
        }
        if audio.len() < offset + fresh.len() {
            audio.resize(offset + fresh.len(), 0);
        }
        if let Some(place) = audio.get_mut(offset..offset + fresh.len()) {
            place.copy_from_slice(&fresh);
        }
        places.push(Leaving { at, offset });
    }
    Ok((audio, places))
}
