//! What a test call was worth: sound both ways, measured.

use super::{Finding, Mark};
use crate::call::record::Record;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Quieter than this is silence: a thousandth of full scale, -60 dB.
const SILENCE: f64 = 32.0;

/// Where the test call is recorded.
pub(super) fn recording(scratch: &Path) -> PathBuf {
    scratch.join(format!("sidetone-doctor-{}.wav", std::process::id()))
}

/// Judges the call of `record`; its recording is removed.
pub(super) fn judge(record: &Record, scratch: &Path, tell: &mut impl FnMut(Finding)) {
    let path = recording(scratch);
    let level = heard(&path);
    let _ = std::fs::remove_file(&path);
    let details = json!({"id": record.id, "sip_code": record.sip_code, "codec": record.codec, "srtp": record.srtp,
        "quality": record.quality, "heard_rms": level});
    if record.answered_at.is_none() {
        let why = record.metadata.get("explanation").and_then(serde_json::Value::as_str);
        let why = why.unwrap_or("it was not answered");
        let (what, remedy) = why.split_once("; ").unwrap_or((why, "look at `sidetone trace ladder last`"));
        let text = format!("the test call to {} failed: {what}", record.to);
        return tell(Finding::new("call", Mark::Fail, text, details).with_remedy(remedy));
    }
    let (inbound, outbound) = (&record.quality.inbound, &record.quality.outbound);
    let codec = record.codec.as_deref().unwrap_or("no codec");
    let text = format!(
        "the test call to {} was answered: {codec}, {}",
        record.to,
        record.srtp.as_deref().unwrap_or("plain RTP")
    );
    tell(Finding::new("call", Mark::Ok, text, details.clone()));
    if inbound.packets == 0 {
        let finding =
            Finding::new("call", Mark::Fail, "nothing was heard: not one RTP packet came in", details.clone());
        tell(finding.with_remedy(
            "open the firewall for UDP, or give the far end an address that it can reach (public address, STUN)",
        ));
    } else {
        let mos = inbound.mos.unwrap_or_default();
        let mark = if mos < 3.6 { Mark::Warn } else { Mark::Ok };
        let text = format!("heard {} packets, {} lost, MOS {mos:.2}", inbound.packets, inbound.lost);
        let finding = Finding::new("call", mark, text, details.clone());
        tell(if mark == Mark::Ok {
            finding
        } else {
            finding.with_remedy("look for loss and jitter on the way; prefer opus")
        });
    }
    match outbound.lost {
        Some(lost) => {
            let text = format!("the far end reports our sound: {} packets sent, {lost} lost", outbound.packets);
            tell(Finding::new("call", Mark::Ok, text, details.clone()));
        }
        None => tell(
            Finding::new(
                "call",
                Mark::Warn,
                format!("{} packets were sent; the far end sent no report of them", outbound.packets),
                details.clone(),
            )
            .with_remedy("nothing, if the echo below came back; some far ends send no RTCP"),
        ),
    }
    match level {
        Some(level) if level >= SILENCE => {
            let decibels = 20.0 * (level / f64::from(i16::MAX)).log10();
            tell(Finding::new(
                "call",
                Mark::Ok,
                format!("sound comes back at {decibels:.0} dB of full scale"),
                details,
            ));
        }
        Some(_) if inbound.packets > 0 => tell(
            Finding::new("call", Mark::Warn, "what came in is silence", details)
                .with_remedy("call an echo or an announcement to hear sound"),
        ),
        _ => {}
    }
}

/// Root mean square of what was heard: the right channel.
fn heard(path: &Path) -> Option<f64> {
    let mut reader = hound::WavReader::open(path).ok()?;
    let channels = usize::from(reader.spec().channels).max(1);
    let samples = reader.samples::<i16>().skip(channels - 1).step_by(channels);
    let (mut squares, mut count) = (0.0, 0_u64);
    for sample in samples {
        squares += f64::from(sample.ok()?).powi(2);
        count += 1;
    }
    (count > 0).then(|| (squares / count as f64).sqrt())
}
