//! The raw RTP stream: chirps out when the pattern says, what comes back with the kernel's stamps.

use super::chirps::Chirps;
use super::{Settings, TurnaroundError};
use crate::driver::Clock;
use crate::media::codec::{self, Decoder, Encoder};
use crate::media::packet::{Header, Packet};
use crate::media::plan::{Encoding, OpusSettings, Plan};
use crate::media::sequence::{RtpTime, Seq, Ssrc};
use crate::random::Random;
use crate::time::Instant;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A sleep this long before the time ends in time; the rest is spent awake.
const AWAKE: Duration = Duration::from_micros(300);

/// How long to send and to listen after the last chirp that counts: it is in the phone's buffer, and what feeds it must not
/// break off.
const LAST_ECHO: Duration = Duration::from_millis(600);

/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(20);

/// A datagram that came back.
struct Returned {
    at: Instant,
    bytes: Vec<u8>,
}

/// A packet of the echo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// When it left the phone.
    pub(super) at: Instant,
    /// Its first sample in [`Heard::audio`].
    pub(super) offset: usize,
}

/// What was sent and what came back.
pub(super) struct Heard {
    pub(super) chirps: Chirps,
    /// How many of the chirps count.
    pub(super) counted: usize,
    /// When each chirp was sent.
    pub(super) sent: Vec<Instant>,
    /// How much later than it should.
    pub(super) late: Vec<Duration>,
    /// The echo by its timestamps, silence where a packet is missing.
    pub(super) audio: Vec<i16>,
    /// Its packets by their place in the audio.
    pub(super) packets: Vec<Leaving>,
    /// What our own encoder and decoder delay, samples.
    pub(super) own_delay: usize,
}

/// A port for RTP.
pub(super) fn bind(ip: IpAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind((ip, 0))
}

/// Sends all chirps and hears what comes back.
pub(super) fn run(
    settings: &Settings,
    plan: &Plan,
    clock: Clock,
    socket: &UdpSocket,
    random: &mut Random,
) -> Result<Heard, TurnaroundError> {
    let codec = plan.encoding.codec;
    let packet_time = codec.packet_time(settings.packet_time);
    let samples = codec::samples(packet_time, codec.sample_rate());
    let chirps = Chirps { rate: codec.sample_rate(), samples, seed: random.u64() };
    let packets = |time: Duration| (time.as_nanos() / packet_time.as_nanos().max(1)) as usize;
    let counted = packets(settings.warm_up + settings.duration).max(1);
    let count = u32::try_from(counted + packets(LAST_ECHO)).unwrap_or(u32::MAX);
    let mut encode = encoder(plan)?;
    let payloads: Vec<Vec<u8>> = (0..count).map(|number| encode(&chirps.chirp(number))).collect();
    let own_delay = own_delay(plan, &chirps, &payloads)?;
    let arrivals = settings.pattern.arrivals(count, packet_time, random);

    let (ssrc, first) = (Ssrc(random.u32()), RtpTime(random.u32()));
    let ticks = codec::samples(packet_time, codec.clock_rate()) as u32;
    let header = |number: u32| Header {
        marker: number == 0,
        payload_type: plan.encoding.payload_type,
        seq: Seq(number as u16),
        timestamp: RtpTime(first.0.wrapping_add(number.wrapping_mul(ticks))),
        ssrc,
    };
    let over = AtomicBool::new(false);
    let listener = socket.try_clone()?;
    let mut sent = Vec::with_capacity(payloads.len());
    let mut late = Vec::with_capacity(payloads.len());
    let returned = std::thread::scope(|scope| {
        let listening = scope.spawn(|| listen(listener, clock, &over));
        let start = clock.now() + LOOK;
        let mut packet = Vec::new();
        for (number, (payload, arrival)) in (0..count).zip(payloads.iter().zip(&arrivals)) {
            // A payload type that does not exist was not negotiated.
            let _ = header(number).write(payload, &mut packet);
            let due = start + *arrival;
            wait_until(clock, due);
            let now = clock.now();
            sent.push(now);
            late.push(now.since(due));
            // What is not sent is missed among what comes back.
            let _ = socket.send_to(&packet, plan.remote_rtp);
        }
        over.store(true, Ordering::Relaxed);
        listening.join().unwrap_or_else(|_| Err(io::Error::other("the listening thread broke down")))
    })?;
    let (audio, packets) = unpack(plan, &returned)?;
    Ok(Heard { chirps, counted, sent, late, audio, packets, own_delay })
}

/// Encodes chirp after chirp.
fn encoder(plan: &Plan) -> Result<impl FnMut(&[i16]) -> Vec<u8>, TurnaroundError> {
    // Of high quality: what is measured is the phone, not this end.
    let opus_encoder = OpusSettings { bitrate: 64_000, complexity: 5, ..plan.encoding.opus_encoder };
    let mut encoder = Encoder::new(&Encoding { opus_encoder, ..plan.encoding })?;
    Ok(move |audio: &[i16]| {
        let mut payload = Vec::new();
        // An encoder takes what it said it takes.
        let _ = encoder.encode(audio, &mut payload);
        payload
    })
}

/// How much later than its packet says a chirp is when it is decoded at once: the look-ahead of both ends of the codec.
fn own_delay(plan: &Plan, chirps: &Chirps, payloads: &[Vec<u8>]) -> Result<usize, TurnaroundError> {
    let mut decoder = Decoder::new(plan.encoding.codec)?;
    let (mut audio, number) = (Vec::new(), 10.min(payloads.len().saturating_sub(1)));
    for payload in payloads.iter().take(number + 3) {
        // What was encoded can be decoded.
        let _ = decoder.decode(payload, &mut audio);
    }
    let at = number * chirps.samples;
    let place = chirps.find(&chirps.chirp(number as u32), &audio, at, chirps.samples);
    Ok(place.map_or(0, |place| place.at.saturating_sub(at)))
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
fn unpack(plan: &Plan, returned: &[Returned]) -> Result<(Vec<i16>, Vec<Leaving>), TurnaroundError> {
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
