//! IP packets around recorded messages, so that other tools can read them.

use super::entry::Sighting;
use super::story::is_datagram;
use crate::sip::hop::Transport;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The longest piece of a stream in one segment: with both headers it fits the 16-bit length of IPv4.
const SEGMENT: usize = 60_000;

/// The port of SIP inside TLS, to which analysers bind their TLS dissector.
const SIPS: u16 = 5061;

/// Makes packets; a stream's sequence numbers go on from one message to the next.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// What each end of a stream has sent so far.
    streams: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl Packets {
    /// The packets of a message: one datagram, or segments of a TCP stream. Nothing if it fits no datagram.
    pub(super) fn of(&mut self, sighting: &Sighting) -> Vec<Vec<u8>> {
        let (from, to) = sighting.ends();
        let (from, to) = (shown(sighting.transport, from), shown(sighting.transport, to));
        if is_datagram(sighting.transport) {
            return datagram(from, to, &sighting.bytes).into_iter().collect();
        }
        sighting.bytes.chunks(SEGMENT).map(|piece| self.segment(from, to, piece)).collect()
    }

    fn segment(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        // As if the handshake had been at 0.
        let acknowledged = *self.streams.entry((to, from)).or_insert(1);
        let sequence = self.streams.entry((from, to)).or_insert(1);
        let mut header = Vec::with_capacity(20 + payload.len());
        header.extend(from.port().to_be_bytes());
        header.extend(to.port().to_be_bytes());
        header.extend(sequence.to_be_bytes());
        header.extend(acknowledged.to_be_bytes());
        // Five words of header; PSH and ACK (RFC 9293 section 3.1).
        header.extend([5 << 4, 0x18]);
        header.extend(u16::MAX.to_be_bytes());
        header.extend([0; 4]);
        header.extend(payload);
        *sequence = sequence.wrapping_add(payload.len() as u32);
        packet(TCP, from.ip(), to.ip(), header, 16)
    }
}

/// The address that is shown: decrypted SIP on the port of TLS would be taken for damaged TLS.
fn shown(transport: Transport, address: SocketAddr) -> SocketAddr {
    let plain = [Transport::Udp, Transport::Tcp].contains(&transport);
    if plain || address.port() != SIPS {
        return address;
    }
    SocketAddr::new(address.ip(), 5060)
}

fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len() + 8).ok().filter(|length| *length <= 65_507)?;
    let mut header = Vec::with_capacity(length.into());
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend(length.to_be_bytes());
    header.extend([0; 2]);
    header.extend(payload);
    Some(packet(UDP, from.ip(), to.ip(), header, 6))
}

/// An IP packet around a transport header whose checksum is at `at`.
fn packet(protocol: u8, from: IpAddr, to: IpAddr, mut transport: Vec<u8>, at: usize) -> Vec<u8> {
    let length = transport.len() as u32;
    let (mut packet, pseudo) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (v4(protocol, from, to, transport.len()), [from.octets(), to.octets()].concat())
        }
        _ => {
            let (from, to) = (as_v6(from), as_v6(to));
            (v6(protocol, from, to, transport.len()), [from.octets(), to.octets()].concat())
        }
    };
    // The pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1; the sum does not mind how wide its fields are.
    let mut covered = pseudo;
    covered.extend(length.to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(&transport);
    let sum = match checksum(&covered) {
        // RFC 768: 0 means that there is none.
        0 if protocol == UDP => u16::MAX,
        sum => sum,
    };
    if let Some(place) = transport.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    packet.extend(transport);
    packet
}

fn v4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: usize) -> Vec<u8> {
    let length = u16::try_from(payload + 20).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    // No identification; do not fragment.
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header).to_be_bytes();
    if let Some(place) = header.get_mut(10..12) {
        place.copy_from_slice(&sum);
    }
    header
}

fn v6(protocol: u8, from: Ipv6Addr, to: Ipv6Addr, payload: usize) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(u16::try_from(payload).unwrap_or(u16::MAX).to_be_bytes());
    header.extend([protocol, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

fn as_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> u16 {
    let mut sum: u32 = octets
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn sighting(sent: bool, transport: Transport, bytes: &'static [u8]) -> Sighting {
        let (local, remote) = ("192.0.2.1:40000".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
        Sighting { sent, transport, local, remote, bytes: Bytes::from_static(bytes) }
    }

    #[test]
    fn checksums_add_up() {
        // RFC 1071 section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let mut packets = Packets::default();
        let packet = packets.of(&sighting(true, Transport::Udp, b"odd")).remove(0);
        assert_eq!(packet.len(), 20 + 8 + 3);
        assert_eq!(checksum(&packet[..20]), 0, "over a header with its checksum the sum is 0");
        let mut covered = packet[12..20].to_vec();
        covered.extend([0, UDP, 0, 11]);
        covered.extend(&packet[20..]);
        assert_eq!(checksum(&covered), 0);
    }

    #[test]
    fn decrypted_messages_do_not_stand_on_the_port_of_tls() {
        let mut sighting = sighting(true, Transport::Tls, b"x");
        sighting.remote.set_port(5061);
        let packet = Packets::default().of(&sighting).remove(0);
        assert_eq!((packet[9], u16::from_be_bytes([packet[22], packet[23]])), (TCP, 5060));
        sighting.transport = Transport::Tcp;
        let packet = Packets::default().of(&sighting).remove(0);
        assert_eq!(u16::from_be_bytes([packet[22], packet[23]]), 5061);
    }

    #[test]
    fn a_stream_goes_on() {
        let mut packets = Packets::default();
        let numbers = |packet: &[u8]| {
            (
                u32::from_be_bytes(packet[24..28].try_into().unwrap()),
                u32::from_be_bytes(packet[28..32].try_into().unwrap()),
            )
        };
        let first = packets.of(&sighting(true, Transport::Tcp, b"12345")).remove(0);
        let answer = packets.of(&sighting(false, Transport::Tcp, b"123")).remove(0);
        let next = packets.of(&sighting(true, Transport::Tcp, b"1")).remove(0);
        assert_eq!((numbers(&first), numbers(&answer), numbers(&next)), ((1, 1), (1, 6), (6, 4)));
        assert_eq!(&answer[12..20], [192, 0, 2, 2, 192, 0, 2, 1]);
        assert_eq!(packets.of(&sighting(true, Transport::Tcp, &[b'x'; 130_000])).len(), 3);
        assert!(packets.of(&sighting(true, Transport::Udp, &[b'x'; 70_000])).is_empty());
    }
}
