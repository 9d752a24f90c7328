//! The truth about each packet: JSON lines, and totals.

use super::link::{Cause, Fate};
use crate::time::Instant;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Lines that may wait for the disk; more are dropped and counted.
const WAITING: usize = 65_536;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the target.
    Forward,
    /// Back.
    Reverse,
}

/// What happened to one packet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Which way.
    pub direction: Direction,
    /// 0 for the first port, 1 for the second of a pair.
    pub port: u8,
    /// Counts the packets of a direction from 0.
    pub number: u64,
    /// When it came in, seconds since the relay started.
    pub at: f64,
    /// Its octets, headers of UDP and IP not counted.
    pub octets: usize,
    /// What it is, if it looks like RTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp: Option<Rtp>,
    /// `delivered`, `lost`, `outage` or `queue`.
    pub verdict: &'static str,
    /// When it was to be sent, once for each copy, seconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<f64>,
    /// When it was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<f64>,
    /// Was it held back behind later ones?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
}

/// The header of an RTP packet (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rtp {
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
}

impl Line {
    pub(super) fn new(direction: Direction, port: u8, number: u64, at: Instant, bytes: &[u8], fate: Fate) -> Self {
        let verdict = match fate {
            Fate::Arrives { .. } => "delivered",
            Fate::Lost(Cause::Loss) => "lost",
            Fate::Lost(Cause::Outage) => "outage",
            Fate::Lost(Cause::Queue) => "queue",
        };
        Self {
            direction,
            port,
            number,
            at: seconds(at),
            octets: bytes.len(),
            rtp: rtp(bytes),
            verdict,
            due: fate.times().map(seconds).collect(),
            sent: Vec::new(),
            held_back: matches!(fate, Fate::Arrives { held_back: true, .. }),
        }
    }
}

pub(super) fn seconds(at: Instant) -> f64 {
    at.since_start().as_secs_f64()
}

/// RTP but not RTCP, whose packet types take the place of marker and payload type (RFC 5761 section 4).
fn rtp(bytes: &[u8]) -> Option<Rtp> {
    let &[first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3, ..] = bytes else { return None };
    let is_rtp = first >> 6 == 2 && !(192..=223).contains(&second);
    is_rtp.then(|| Rtp {
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
    })
}

/// Where the lines go.
#[derive(Debug)]
pub enum Sheet {
    /// Nowhere; only totals are kept.
    Nowhere,
    /// Into memory, for tests.
    Memory,
    /// To a file, one JSON object a line.
    File(File),
}

impl Sheet {
    /// A new file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::File(File::create(path)?))
    }
}

/// Takes lines without making anybody wait.
#[derive(Debug)]
pub(super) struct Writer {
    lines: Option<SyncSender<Line>>,
    thread: Option<JoinHandle<io::Result<Vec<Line>>>>,
}

impl Writer {
    pub(super) fn start(sheet: Sheet) -> io::Result<Self> {
        let (lines, received) = sync_channel(WAITING);
        let work = move || match sheet {
            Sheet::Nowhere => Ok(drop_all(&received)),
            Sheet::Memory => Ok(received.into_iter().collect()),
            Sheet::File(file) => write_all(file, &received),
        };
        let thread = std::thread::Builder::new().name("impair-report".into()).spawn(work)?;
        Ok(Self { lines: Some(lines), thread: Some(thread) })
    }

    /// `false`: the line was dropped.
    pub(super) fn write(&self, line: Line) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok())
    }

    /// Waits until all is written; the lines of [`Sheet::Memory`].
    pub(super) fn finish(&mut self) -> io::Result<Vec<Line>> {
        self.lines = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            _ => Ok(Vec::new()),
        }
    }
}

fn drop_all(lines: &Receiver<Line>) -> Vec<Line> {
    while lines.recv().is_ok() {}
    Vec::new()
}

fn write_all(file: File, lines: &Receiver<Line>) -> io::Result<Vec<Line>> {
    let mut out = BufWriter::new(file);
    while let Ok(line) = lines.recv() {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(Vec::new())
}
