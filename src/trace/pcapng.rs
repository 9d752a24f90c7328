//! A trace as a capture file that Wireshark reads (pcapng, draft-ietf-opsawg-pcapng).
//!
//! Three kinds of blocks are all that it takes, so they are written here: a section header, two interfaces, packets with
//! their comments. SIP stands in IP packets; RTCP, which was encrypted as often as not, stands by itself and names its
//! dissector, so that no analyser takes it for SRTCP. What else happened in the media is a comment of the packet before.

use super::entry::{Datagram, Trace, What};
use super::packets::Packets;
use super::story::summary;
use std::io::{self, Write};
use std::net::IpAddr;

/// Packets that begin with the IP header (LINKTYPE_RAW).
const LINK_RAW: u16 = 101;

/// Packets that begin with what Wireshark needs to know of them (LINKTYPE_WIRESHARK_UPPER_PDU).
const LINK_PDU: u16 = 252;

/// The two interfaces.
const SIGNALLING: u32 = 0;
const MEDIA: u32 = 1;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

/// Options (section 3.5 of the draft, and those of the blocks).
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;

/// The longest option.
const TEXT: usize = 60_000;

/// Writes `trace` as a capture file.
///
/// # Errors
/// Those of `out`.
pub fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend([1, 0, 0, 0]);
    // The length of the section is not given.
    section.extend([0xff; 8]);
    option(&mut section, COMMENT, summary(&trace.head).as_bytes());
    option(&mut section, APPLICATION, concat!("Sidetone ", env!("CARGO_PKG_VERSION")).as_bytes());
    end_of_options(&mut section);
    block(out, SECTION, &section)?;

    let secrets = if trace.head.secrets { "as sent" } else { "credentials and keys taken out" };
    let signalling = format!("messages of Sidetone, decrypted, {secrets}; IP headers are made up around them");
    for (link, name, description) in
        [(LINK_RAW, "sidetone", signalling.as_str()), (LINK_PDU, "sidetone-rtcp", "RTCP of Sidetone, decrypted")]
    {
        let mut interface = Vec::new();
        interface.extend(link.to_le_bytes());
        interface.extend([0; 6]);
        option(&mut interface, NAME, name.as_bytes());
        option(&mut interface, DESCRIPTION, description.as_bytes());
        // Microseconds.
        option(&mut interface, RESOLUTION, &[6]);
        end_of_options(&mut interface);
        block(out, INTERFACE, &interface)?;
    }

    let mut packets = Packets::default();
    let mut entries = trace.entries.iter().peekable();
    while let Some(entry) = entries.next() {
        let way = |sent| if sent { "sent" } else { "received" };
        let (interface, pieces, comment) = match &entry.what {
            What::Message(sighting) => {
                let comment = format!("{} over {}", way(sighting.sent), sighting.transport.name());
                (SIGNALLING, packets.of(sighting), comment)
            }
            What::Media(note) => {
                let Some(packet) = &note.packet else { continue };
                let (from, to) = packet.ends();
                (MEDIA, vec![rtcp(packet)], format!("{} from {from} to {to}: {}", way(packet.sent), note.text))
            }
        };
        let mut comments = vec![comment];
        while let Some(What::Media(note)) = entries.peek().map(|next| &next.what).filter(|next| !is_packet(next)) {
            comments.push(format!("then media {}: {}", note.topic, note.text));
            entries.next();
        }
        let micros = u64::try_from(entry.at.as_microsecond()).unwrap_or_default();
        for packet in pieces {
            let mut body = Vec::with_capacity(packet.len() + 64);
            body.extend(interface.to_le_bytes());
            body.extend(((micros >> 32) as u32).to_le_bytes());
            body.extend((micros as u32).to_le_bytes());
            let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
            body.extend(length);
            body.extend(length);
            body.extend(&packet);
            pad(&mut body);
            // Only with the first piece of a message.
            for comment in comments.drain(..) {
                option(&mut body, COMMENT, comment.as_bytes());
            }
            end_of_options(&mut body);
            block(out, PACKET, &body)?;
        }
    }
    out.flush()
}

fn is_packet(what: &What) -> bool {
    matches!(what, What::Media(note) if note.packet.is_some())
}

/// An RTCP packet with the name of its dissector and its addresses (Wireshark's exported PDU: tags of big-endian type
/// and length). Without ports: with them it would belong to the stream of the SDP, which may be an encrypted one.
fn rtcp(packet: &Datagram) -> Vec<u8> {
    const DISSECTOR: u16 = 12;
    const V4: [u16; 2] = [20, 21];
    const V6: [u16; 2] = [22, 23];
    let mut octets = Vec::with_capacity(packet.bytes.len() + 64);
    let mut tag = |kind: u16, value: &[u8]| {
        octets.extend(kind.to_be_bytes());
        octets.extend((value.len() as u16).to_be_bytes());
        octets.extend(value);
    };
    tag(DISSECTOR, b"rtcp");
    let (from, to) = packet.ends();
    for (end, place) in [(from, 0), (to, 1)] {
        match end.ip() {
            IpAddr::V4(ip) => tag(V4[place], &ip.octets()),
            IpAddr::V6(ip) => tag(V6[place], &ip.octets()),
        }
    }
    tag(0, &[]);
    octets.extend(&packet.bytes);
    octets
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).map_err(|_| io::ErrorKind::InvalidData)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..TEXT).unwrap_or(value);
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend(value);
    pad(block);
}

fn end_of_options(block: &mut Vec<u8>) {
    block.extend([0; 4]);
}

/// Fills up to a multiple of four octets.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}
