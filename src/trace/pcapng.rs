//! A trace as a capture file that Wireshark reads (pcapng, draft-ietf-opsawg-pcapng).
//!
//! Four kinds of blocks are all that it takes, so they are written here: a section header, one interface, packets with
//! their comments. What happened in the media between two messages is a comment of the message before it.

use super::entry::{Trace, What};
use super::packets::Packets;
use super::story::summary;
use std::io::{self, Write};

/// Packets that begin with the IP header (LINKTYPE_RAW).
const LINK_RAW: u16 = 101;

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

    let mut interface = Vec::new();
    interface.extend(LINK_RAW.to_le_bytes());
    interface.extend([0; 6]);
    option(&mut interface, NAME, b"sidetone");
    let secrets = if trace.head.secrets { "as sent" } else { "credentials and keys taken out" };
    let description = format!("messages of Sidetone, decrypted, {secrets}; IP headers are made up around them");
    option(&mut interface, DESCRIPTION, description.as_bytes());
    // Microseconds.
    option(&mut interface, RESOLUTION, &[6]);
    end_of_options(&mut interface);
    block(out, INTERFACE, &interface)?;

    let mut packets = Packets::default();
    let mut entries = trace.entries.iter().peekable();
    while let Some(entry) = entries.next() {
        let What::Message(sighting) = &entry.what else { continue };
        let way = if sighting.sent { "sent" } else { "received" };
        let mut comments = vec![format!("{way} over {}", sighting.transport.name())];
        while let Some(What::Media(note)) = entries.peek().map(|next| &next.what) {
            comments.push(format!("then media {}: {}", note.topic, note.text));
            entries.next();
        }
        let micros = u64::try_from(entry.at.as_microsecond()).unwrap_or_default();
        for packet in packets.of(sighting) {
            let mut body = Vec::with_capacity(packet.len() + 64);
            body.extend(0_u32.to_le_bytes());
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
