//! Opus in Ogg (RFC 7845).

use super::Layout;
use super::file::mono;
use audiopus::coder::Encoder;
use audiopus::{Application, Bitrate, Channels, SampleRate};
use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Packets in a page: a second of sound, so that a crash costs no more.
const PACKETS_PER_PAGE: u64 = 50;

/// Granule positions count samples at 48 kHz, whatever the rate (RFC 7845 section 4).
const GRANULE_RATE: u64 = 48_000;

/// Samples at 48 kHz in a packet of 20 ms.
const PACKET: u64 = 960;

/// Bits a second for each channel: transparent for speech at every rate that calls have.
const BITS_PER_CHANNEL: i32 = 32_000;

/// The longest packet that Opus makes of 20 ms (RFC 6716 section 3.2.1: 1275 octets a frame).
const LARGEST: usize = 1_275;

/// The one stream of the file.
const SERIAL: u32 = 1;

/// A file that is being written.
pub(super) struct OggOpus {
    writer: PacketWriter<'static, BufWriter<File>>,
    encoder: Encoder,
    layout: Layout,
    rate: u32,
    /// Frames that fill no packet yet, interleaved.
    waiting: Vec<i16>,
    packet: Vec<u8>,
    /// What decoders drop at the start, samples at 48 kHz.
    pre_skip: u64,
    frames: u64,
    packets: u64,
}

impl OggOpus {
    pub(super) fn create(path: &Path, rate: u32, layout: Layout) -> io::Result<Self> {
        let known = match rate {
            8_000 => SampleRate::Hz8000,
            12_000 => SampleRate::Hz12000,
            16_000 => SampleRate::Hz16000,
            24_000 => SampleRate::Hz24000,
            48_000 => SampleRate::Hz48000,
            _ => return Err(io::Error::other(format!("Opus has no audio of {rate} Hz; record to a .wav file"))),
        };
        let (channels, count) = match layout {
            Layout::Mono => (Channels::Mono, 1u8),
            Layout::Stereo => (Channels::Stereo, 2),
        };
        let mut encoder = Encoder::new(known, channels, Application::Audio).map_err(io::Error::other)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITS_PER_CHANNEL * i32::from(count))).map_err(io::Error::other)?;
        let lookahead = u64::from(encoder.lookahead().map_err(io::Error::other)?);
        let pre_skip = lookahead * GRANULE_RATE / u64::from(rate);
        let mut writer = PacketWriter::new(BufWriter::new(File::create(path)?));
        // Section 5.1: version, channels, pre-skip, rate of the input, gain, mapping family 0.
        let mut head = b"OpusHead\x01".to_vec();
        head.push(count);
        head.extend_from_slice(&(pre_skip as u16).to_le_bytes());
        head.extend_from_slice(&rate.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        writer.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        // Section 5.2: vendor, no comments.
        let vendor = concat!("sidetone ", env!("CARGO_PKG_VERSION"));
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
        tags.extend_from_slice(vendor.as_bytes());
        tags.extend_from_slice(&0u32.to_le_bytes());
        writer.write_packet(tags, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        let (waiting, packet) = (Vec::new(), vec![0; LARGEST]);
        Ok(Self { writer, encoder, layout, rate, waiting, packet, pre_skip, frames: 0, packets: 0 })
    }

    pub(super) fn write(&mut self, frame: [i16; 2]) -> io::Result<()> {
        self.frames += 1;
        match self.layout {
            Layout::Mono => self.waiting.push(mono(frame)),
            Layout::Stereo => self.waiting.extend_from_slice(&frame),
        }
        if self.waiting.len() == self.samples() { self.encode(false) } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.inner_mut().flush()
    }

    /// Fills up the last packet, and those that the encoder's look-ahead needs; the last granule position says where the
    /// sound really ends (section 4.5).
    pub(super) fn finish(mut self) -> io::Result<()> {
        let end = self.end();
        while !self.waiting.is_empty() || self.packets * PACKET < end || self.packets == 0 {
            self.waiting.resize(self.samples(), 0);
            let last = (self.packets + 1) * PACKET >= end;
            self.encode(last)?;
            if last {
                break;
            }
        }
        self.flush()
    }

    /// Where the sound ends, as a granule position.
    fn end(&self) -> u64 {
        self.pre_skip + self.frames * GRANULE_RATE / u64::from(self.rate)
    }

    /// Samples in a packet, of all channels.
    fn samples(&self) -> usize {
        self.rate as usize / 50 * usize::from(self.layout.channels())
    }

    fn encode(&mut self, last: bool) -> io::Result<()> {
        let length = self.encoder.encode(&self.waiting, &mut self.packet).map_err(io::Error::other)?;
        self.waiting.clear();
        self.packets += 1;
        let info = match (last, self.packets % PACKETS_PER_PAGE) {
            (true, _) => PacketWriteEndInfo::EndStream,
            (_, 0) => PacketWriteEndInfo::EndPage,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        let granule = if last { self.end() } else { self.packets * PACKET };
        self.writer.write_packet(self.packet[..length].to_vec(), SERIAL, info, granule)
    }
}
