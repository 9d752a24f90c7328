//! Sound devices through `cpal`.

use super::choose::choose;
use super::line::{Beside, Line};
use super::{DeviceInfo, DevicesError, Loudness, NoDevice, Report, VoiceOptions, Wanted, Way};
use cpal::traits::{DeviceTrait, HostTrait};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a sound server may take to answer before we do without it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How often the thread that owns the streams looks at their errors.
const TURN: Duration = Duration::from_millis(20);

/// ALSA devices that are not offered: `null` takes everything at once and is no clock, and `jack` complains on stderr
/// where no JACK runs. Who asks for them by name gets them.
const UNLISTED: [&str; 2] = ["null", "jack"];

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

/// Is there a device that `name` means for `way`?
///
/// # Errors
/// A sentence that lists what there is.
pub fn check(way: Way, name: &str) -> Result<(), NoDevice> {
    let wanted = name.to_owned();
    aside(move || find(way, Some(&wanted)).map(drop)).and_then(|found| found).map_err(|why| NoDevice { way, why })
}

/// Has a thread open the wanted devices and watch over their streams until the sender is dropped.
pub(super) fn open(wanted: Wanted, side: Loudness, voice: VoiceOptions, rate: u32) -> (Receiver<Report>, Sender<()>) {
    let (reports, inbox) = mpsc::channel();
    let (alive, over) = mpsc::channel();
    let chosen: Vec<(Way, Option<String>)> = [(Way::In, wanted.input), (Way::Out, wanted.output)]
        .into_iter()
        .filter_map(|(way, id)| Some((way, id?)))
        .collect();
    let ways: Vec<Way> = chosen.iter().map(|(way, _)| *way).collect();
    let failed = reports.clone();
    let spawned = thread::Builder::new().name("sound device".into()).spawn(move || {
        quiet();
        let beside = Beside::new(side, voice);
        watch(chosen.into_iter().map(|(way, id)| Line::new(way, id, rate, beside.clone())).collect(), &reports, &over);
    });
    if let Err(error) = spawned {
        for way in ways {
            // The receiver is right here.
            let _ = failed.send(Report::Lost(way, format!("no thread for it: {error}")));
        }
    }
    (inbox, alive)
}

fn watch(mut lines: Vec<Line>, reports: &Sender<Report>, over: &Receiver<()>) {
    let mut tell = |report| reports.send(report).is_ok();
    for line in &mut lines {
        if !line.begin(&mut tell) {
            return;
        }
    }
    while over.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
        if !lines.iter_mut().all(|line| line.look(&mut tell)) {
            return;
        }
    }
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
    let (default_in, default_out) = (id_of(host.default_input_device()), id_of(host.default_output_device()));
    let mut found: Vec<DeviceInfo> = Vec::new();
    let extra = [host.default_input_device(), host.default_output_device()].into_iter().flatten();
    for device in extra.chain(host.devices()?) {
        let Ok(id) = device.id() else { continue };
        if UNLISTED.contains(&id.id()) {
            continue;
        }
        let input = device.supported_input_configs().ok().and_then(rates);
        let output = device.supported_output_configs().ok().and_then(rates);
        let info = DeviceInfo {
            default_input: input.is_some() && default_in.as_ref() == Some(&id),
            default_output: output.is_some() && default_out.as_ref() == Some(&id),
            id: id.id().to_owned(),
            name: name_of(&device),
            input,
            output,
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

/// A device that can be opened.
pub(super) struct Found {
    pub(super) device: cpal::Device,
    pub(super) config: cpal::SupportedStreamConfig,
    pub(super) name: String,
}

/// The device that is meant by `wanted`, or the system's default, with the format that it likes best.
pub(super) fn find(way: Way, wanted: Option<&str>) -> Result<Found, String> {
    let host = cpal::default_host();
    let device = match (wanted, way) {
        (None, Way::In) => host.default_input_device().ok_or("there is none")?,
        (None, Way::Out) => host.default_output_device().ok_or("there is none")?,
        (Some(wanted), _) => named(&host, way, wanted)?,
    };
    let config = match way {
        Way::In => device.default_input_config(),
        Way::Out => device.default_output_config(),
    };
    let config = config.map_err(|error| error.to_string())?;
    Ok(Found { name: name_of(&device), device, config })
}

/// The device with this identifier or name, at once; else the one that is meant by it, after a look at all.
fn named(host: &cpal::Host, way: Way, wanted: &str) -> Result<cpal::Device, String> {
    let with = |own: &dyn Fn(&cpal::Device) -> bool| {
        Ok::<_, String>(host.devices().map_err(|error| error.to_string())?.find(own))
    };
    let exact = with(&|device| device.id().is_ok_and(|own| own.id() == wanted) || name_of(device) == wanted)?;
    if let Some(device) = exact {
        return Ok(device);
    }
    let list = list().map_err(|error| error.to_string())?;
    let id = list.get(choose(&list, way, wanted)?).map(|info| info.id.as_str()).unwrap_or_default();
    let default = match way {
        Way::In => host.default_input_device(),
        Way::Out => host.default_output_device(),
    };
    let is_it = |device: &cpal::Device| device.id().is_ok_and(|own| own.id() == id);
    match default.filter(|default| is_it(default)) {
        Some(default) => Ok(default),
        None => with(&is_it)?.ok_or_else(|| format!("\"{id}\" went away")),
    }
}
