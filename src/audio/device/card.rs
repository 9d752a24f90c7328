//! Sound devices through `cpal`.

use super::callback::{recorded, wanted as fill};
use super::capture::Capture;
use super::playback::Playback;
use super::{Count, DeviceInfo, DevicesError, Report, Wanted, Way};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, SupportedBufferSize};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a sound server may take to answer before we do without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the thread that owns the streams looks at their errors.
const TURN: Duration = Duration::from_millis(20);

/// After so many turns a device that went away is looked for again: 3 s. So long a stream must live for its failures to
/// be forgotten, too.
const TURNS_TO_RETRY: u32 = 150;

/// A stream that failed is built anew at once, so often in a row: ALSA's pulse plug-in answers a dry run with an I/O
/// error that only a new stream ends.
const ATTEMPTS: u32 = 5;

/// The pieces that a device is asked to work in, and the largest that it is asked for after failures: a machine that is
/// too slow for short ones gets longer ones.
const PIECE_MILLIS: u32 = 10;
const MAX_PIECE_MILLIS: u32 = 40;

/// What a ring holds: a worker or a device may stall so long.
const RING_MILLIS: usize = 500;

/// ALSA devices that are not offered: `null` takes everything at once and is no clock, and `jack` complains on stderr
/// where no JACK runs. Who asks for them by name gets them.
const UNLISTED: [&str; 2] = ["null", "jack"];

/// Errors of a stream that may wait to be looked at.
const ERRORS: usize = 8;

/// Every sound device of this machine that can be opened. May take a second or more: each is tried.
///
/// # Errors
/// If the system's sound cannot be asked.
pub fn devices() -> Result<Vec<DeviceInfo>, DevicesError> {
    aside(|| list().map_err(|error| DevicesError(error.to_string()))).unwrap_or_else(|reason| Err(DevicesError(reason)))
}

/// The name of the system's default microphone, if it can be opened.
pub(crate) fn default_input() -> Result<String, String> {
    aside(|| find(Way::In, None).map(|found| found.name))?
}

/// The name of the system's default loudspeaker, if it can be opened.
pub(crate) fn default_output() -> Result<String, String> {
    aside(|| find(Way::Out, None).map(|found| found.name))?
}

/// Has a thread open the wanted devices and watch over their streams until the sender is dropped.
pub(super) fn open(wanted: Wanted, rate: u32) -> (Receiver<Report>, Sender<()>) {
    let (reports, inbox) = mpsc::channel();
    let (alive, over) = mpsc::channel();
    let lines: Vec<(Way, Option<String>)> = [(Way::In, wanted.input), (Way::Out, wanted.output)]
        .into_iter()
        .filter_map(|(way, id)| Some((way, id?)))
        .collect();
    let ways: Vec<Way> = lines.iter().map(|(way, _)| *way).collect();
    let failed = reports.clone();
    let spawned = thread::Builder::new().name("sound device".into()).spawn(move || {
        quiet();
        watch(lines.into_iter().map(|(way, id)| Line::new(way, id, rate)).collect(), &reports, &over);
    });
    if let Err(error) = spawned {
        for way in ways {
            // The receiver is right here.
            let _ = failed.send(Report::Lost(way, format!("no thread for it: {error}")));
        }
    }
    (inbox, alive)
}

/// Runs `ask` on a thread of its own, with patience: a sound server may hang, and alsa-lib's messages go to a buffer
/// per thread.
fn aside<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, answer) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("sound devices".into())
        .spawn(move || {
            quiet();
            // Nobody waits any more if it took too long.
            let _ = sender.send(ask());
        })
        .map_err(|error| format!("no thread to ask: {error}"))?;
    answer.recv_timeout(PATIENCE).map_err(|_| format!("the sound system did not answer for {} s", PATIENCE.as_secs()))
}

/// Keeps alsa-lib on this thread from writing to stderr: what matters is in the errors that it returns.
#[cfg(target_os = "linux")]
fn quiet() {
    // Without the buffer it is only louder.
    let _ = alsa::Output::local_error_handler();
}

#[cfg(not(target_os = "linux"))]
fn quiet() {}

fn list() -> Result<Vec<DeviceInfo>, cpal::Error> {
    let host = cpal::default_host();
    let id_of = |device: Option<cpal::Device>| device.and_then(|device| device.id().ok());
    let defaults = [id_of(host.default_input_device()), id_of(host.default_output_device())];
    let mut found: Vec<DeviceInfo> = Vec::new();
    let extra = [host.default_input_device(), host.default_output_device()].into_iter().flatten();
    for device in extra.chain(host.devices()?) {
        let Ok(id) = device.id() else { continue };
        if UNLISTED.contains(&id.id()) {
            continue;
        }
        let info = DeviceInfo {
            id: id.id().to_owned(),
            name: name_of(&device),
            input: device.supported_input_configs().ok().and_then(rates),
            output: device.supported_output_configs().ok().and_then(rates),
            default: defaults.contains(&Some(id)),
        };
        let useful = info.input.is_some() || info.output.is_some();
        if useful && found.iter().all(|known| known.id != info.id) {
            found.push(info);
        }
    }
    Ok(found)
}

fn rates(configs: impl Iterator<Item = cpal::SupportedStreamConfigRange>) -> Option<(u32, u32)> {
    configs
        .map(|config| (config.min_sample_rate(), config.max_sample_rate()))
        .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}

fn name_of(device: &cpal::Device) -> String {
    device.description().map_or_else(|_| device.to_string(), |description| description.name().to_owned())
}

struct Found {
    device: cpal::Device,
    config: cpal::SupportedStreamConfig,
    name: String,
}

/// The device chosen by `id` (or by its name), or the system's default, with the format that it likes best.
fn find(way: Way, id: Option<&str>) -> Result<Found, String> {
    let host = cpal::default_host();
    let device = match (id, way) {
        (None, Way::In) => host.default_input_device().ok_or("there is none")?,
        (None, Way::Out) => host.default_output_device().ok_or("there is none")?,
        (Some(id), _) => host
            .devices()
            .map_err(|error| error.to_string())?
            .find(|device| device.id().is_ok_and(|own| own.id() == id) || name_of(device) == id)
            .ok_or_else(|| format!("there is no \"{id}\", `sidetone devices` lists what there is"))?,
    };
    let config = match way {
        Way::In => device.default_input_config(),
        Way::Out => device.default_output_config(),
    };
    let config = config.map_err(|error| error.to_string())?;
    Ok(Found { name: name_of(&device), device, config })
}

/// One stream, wanted or open.
struct Line {
    way: Way,
    id: Option<String>,
    rate: u32,
    piece_millis: u32,
    state: State,
    /// Times in a row that it failed.
    failures: u32,
}

enum State {
    /// It never worked, and is not tried again.
    Never,
    /// It works, and will have lived for long in so many turns.
    Open(Open, u32),
    /// It went away, and is tried again in so many turns.
    Gone(u32),
}

struct Open {
    /// Plays until it is dropped.
    _stream: cpal::Stream,
    errors: Consumer<cpal::Error>,
}

fn watch(mut lines: Vec<Line>, reports: &Sender<Report>, over: &Receiver<()>) {
    for line in &mut lines {
        let report = line.start().unwrap_or_else(|reason| Report::Lost(line.way, reason));
        if reports.send(report).is_err() {
            return;
        }
    }
    while over.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
        for report in lines.iter_mut().filter_map(Line::look) {
            if reports.send(report).is_err() {
                return;
            }
        }
    }
}

impl Line {
    fn new(way: Way, id: Option<String>, rate: u32) -> Self {
        Self { way, id, rate, piece_millis: PIECE_MILLIS, state: State::Never, failures: 0 }
    }

    fn start(&mut self) -> Result<Report, String> {
        let found = find(self.way, self.id.as_deref())?;
        let (open, report) = build(self.way, &found, self.piece_millis, self.rate)?;
        self.state = State::Open(open, TURNS_TO_RETRY);
        Ok(report)
    }

    /// Looks whether the stream lives, or whether a device that went away is back.
    fn look(&mut self) -> Option<Report> {
        match &mut self.state {
            State::Never => None,
            State::Open(open, young) => {
                let fatal = std::iter::from_fn(|| open.errors.pop().ok()).find(|error| is_fatal(error.kind()));
                match fatal {
                    Some(error) => Some(self.fail(&error)),
                    None => {
                        *young = young.saturating_sub(1);
                        if *young == 0 {
                            self.failures = 0;
                        }
                        None
                    }
                }
            }
            State::Gone(turns) => {
                *turns = turns.saturating_sub(1);
                if *turns > 0 {
                    return None;
                }
                *turns = TURNS_TO_RETRY;
                self.start().ok()
            }
        }
    }

    /// Builds the stream anew, or gives the device up for a while.
    fn fail(&mut self, error: &cpal::Error) -> Report {
        // Closed before it is opened again: many devices are open once at most.
        self.state = State::Gone(TURNS_TO_RETRY);
        self.failures += 1;
        self.piece_millis = (2 * self.piece_millis).min(MAX_PIECE_MILLIS);
        let again = if self.failures <= ATTEMPTS { self.start() } else { Err(error.to_string()) };
        again.unwrap_or_else(|reason| Report::Lost(self.way, reason))
    }
}

/// Does the stream end with this error? Anything unknown may repeat without end, so it does.
fn is_fatal(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied)
}

/// Opens a stream in pieces of `piece_millis`, or in the device's own pieces where it does not do these.
fn build(way: Way, found: &Found, piece_millis: u32, rate: u32) -> Result<(Open, Report), String> {
    let mut config = found.config.config();
    let piece = config.sample_rate * piece_millis / 1_000;
    config.buffer_size = match found.config.buffer_size() {
        SupportedBufferSize::Range { min, max } if min <= max => BufferSize::Fixed(piece.clamp(*min, *max)),
        _ => BufferSize::Default,
    };
    let built = build_as(way, found, config, rate);
    if built.is_err() && config.buffer_size != BufferSize::Default {
        config.buffer_size = BufferSize::Default;
        return build_as(way, found, config, rate);
    }
    built
}

fn build_as(way: Way, found: &Found, config: cpal::StreamConfig, rate: u32) -> Result<(Open, Report), String> {
    match found.config.sample_format() {
        SampleFormat::F32 => stream::<f32>(way, found, config, rate),
        SampleFormat::F64 => stream::<f64>(way, found, config, rate),
        SampleFormat::I8 => stream::<i8>(way, found, config, rate),
        SampleFormat::I16 => stream::<i16>(way, found, config, rate),
        SampleFormat::I32 => stream::<i32>(way, found, config, rate),
        SampleFormat::U8 => stream::<u8>(way, found, config, rate),
        SampleFormat::U16 => stream::<u16>(way, found, config, rate),
        SampleFormat::U32 => stream::<u32>(way, found, config, rate),
        other => {
            Err(format!("\"{}\" wants samples as {other}, which is not supported; choose another device", found.name))
        }
    }
}

fn stream<T>(way: Way, found: &Found, config: cpal::StreamConfig, rate: u32) -> Result<(Open, Report), String>
where
    T: SizedSample + Sample + FromSample<i16>,
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels);
    let device_rate = config.sample_rate;
    let (mut producer, mut consumer) = RingBuffer::new(device_rate as usize * RING_MILLIS / 1_000);
    let (errors, errors_seen) = RingBuffer::new(ERRORS);
    let glitches = Count::default();
    let count = glitches.clone();
    let on_error = on_error(errors, glitches.clone());
    let name = found.name.clone();
    let (stream, report) = match way {
        Way::In => {
            let capture =
                Capture::new(name, device_rate, rate, consumer, glitches).map_err(|error| error.to_string())?;
            let callback = move |data: &[T], _: &cpal::InputCallbackInfo| {
                recorded(data, channels, &mut producer, &count);
            };
            (found.device.build_input_stream(config, callback, on_error, Some(PATIENCE)), Report::Captures(capture))
        }
        Way::Out => {
            let playback =
                Playback::new(name, device_rate, rate, producer, glitches).map_err(|error| error.to_string())?;
            let mut started = false;
            let callback = move |out: &mut [T], _: &cpal::OutputCallbackInfo| {
                fill(out, channels, &mut consumer, &count, &mut started);
            };
            (found.device.build_output_stream(config, callback, on_error, Some(PATIENCE)), Report::Plays(playback))
        }
    };
    let stream = stream.map_err(|error| format!("\"{}\": {error}", found.name))?;
    stream.play().map_err(|error| format!("\"{}\": {error}", found.name))?;
    Ok((Open { _stream: stream, errors: errors_seen }, report))
}

/// Errors come on the thread of the callback as well: they are put aside, or dropped when nobody looks.
fn on_error(mut errors: Producer<cpal::Error>, glitches: Count) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| {
        if error.kind() == ErrorKind::Xrun {
            glitches.add();
        } else {
            let _ = errors.push(error);
        }
    }
}
