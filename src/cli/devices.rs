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
    let any = !devices.is_empty();
    for (number, device) in (1..).zip(devices) {
        let rates = |rates: Option<(u32, u32)>| match rates {
            Some((low, high)) if low == high => format!("{low} Hz"),
            Some((low, high)) => format!("{low}-{high} Hz"),
            None => "-".to_owned(),
        };
        let mark = |default: bool| if default { "*" } else { "" };
        let text = format!(
            "{number:>3}  {}  ({})  in {}{}  out {}{}",
            device.id,
            device.name,
            rates(device.input),
            mark(device.default_input),
            rates(device.output),
            mark(device.default_output),
        );
        let fields = json!({"number": number, "id": device.id, "name": device.name, "input": device.input,
            "output": device.output, "default_input": device.default_input, "default_output": device.default_output});
        reporter.event("device", fields, &text);
    }
    if !reporter.is_json() && any {
        reporter.say("(* is what `device` alone stands for; --source and --sink take device:ID, device:NUMBER or a part of a name)");
    }
    Exit::Ok
}
