//! `sidetone devices`: lists the sound devices.

use super::report::Reporter;
use super::{Exit, fail};
use crate::audio::devices;
use serde_json::json;

pub(super) fn run(reporter: &Reporter) -> Exit {
    let devices = match devices() {
        Ok(devices) => devices,
        Err(error) => return fail(Exit::Failed, &error),
    };
    if devices.is_empty() {
        reporter.event(
            "devices.none",
            json!({}),
            "no sound devices; use --source file, tone, silence or echo, and --sink null",
        );
    }
    for device in devices {
        let rates = |rates: Option<(u32, u32)>| match rates {
            Some((low, high)) if low == high => format!("{low} Hz"),
            Some((low, high)) => format!("{low}-{high} Hz"),
            None => "-".to_owned(),
        };
        let text = format!(
            "{} {}  ({})  in {}  out {}",
            if device.default { "*" } else { " " },
            device.id,
            device.name,
            rates(device.input),
            rates(device.output),
        );
        let fields = json!({"id": device.id, "name": device.name, "input": device.input, "output": device.output,
            "default": device.default});
        reporter.event("device", fields, &text);
    }
    Exit::Ok
}
