//! `sidetone bench playout`: speech through a bad network, as our playout or a phone that echoes renders it.

use super::report::Reporter;
use super::{Exit, fail};
use crate::audio::{WavError, read_wav, write_wav};
use crate::bench::impair::{Recipe, RecipeError};
use crate::bench::playout::{self, Trace};
use crate::media::plan::{Codec, UnknownCodec};
use crate::sip::uri::Uri;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct PlayoutArguments {
    /// What is said: a WAV file
    #[arg(value_name = "SPEECH.wav")]
    speech: PathBuf,
    /// Where to put what is heard, as a mono WAV file at the codec's rate
    #[arg(long, value_name = "HEARD.wav")]
    out: PathBuf,
    /// Codec of the packets
    #[arg(long, value_name = "CODEC", default_value = "pcmu")]
    codec: String,
    /// What the network does, in the settings of `bench impair`: "loss=5% delay=40 jitter=normal:20"
    #[arg(long, value_name = "RECIPE", default_value = "none")]
    impair: String,
    /// How much slower the sender's clock is than the listener's, parts per million
    #[arg(long, value_name = "PPM", default_value_t = 0.0, allow_negative_numbers = true)]
    drift: f64,
    /// Which packets it happens to: the same seed, the same packets
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Code what our playout hears once more, as an echo of so many bit/s would be
    #[arg(long, value_name = "BITS", conflicts_with = "phone", value_parser = clap::value_parser!(u32).range(6_000..=510_000))]
    echo_bitrate: Option<u32>,
    /// Send the packets to this phone, which echoes, in real time; without it our own playout hears them, in virtual time
    #[arg(long, value_name = "SIP-URI")]
    phone: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum ArgumentError {
    #[error("\"{0}\" is no SIP URI; write it as sip:USER@ADDRESS:PORT")]
    Phone(String),
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Codec(#[from] UnknownCodec),
    #[error("--drift {0} is no clock; use -1000 to 1000")]
    Drift(f64),
    #[error(transparent)]
    Speech(#[from] WavError),
}

struct Wanted {
    codec: Codec,
    recipe: Recipe,
    phone: Option<Uri>,
    speech: Vec<i16>,
}

impl PlayoutArguments {
    fn read(&self) -> Result<Wanted, ArgumentError> {
        let codec: Codec = self.codec.parse()?;
        let recipe = self.impair.parse()?;
        let uri = |text: &String| text.parse().map_err(|_| ArgumentError::Phone(text.clone()));
        let phone = self.phone.as_ref().map(uri).transpose()?;
        if !(-1_000.0..=1_000.0).contains(&self.drift) {
            return Err(ArgumentError::Drift(self.drift));
        }
        Ok(Wanted { codec, recipe, phone, speech: read_wav(&self.speech, codec.sample_rate())? })
    }
}

pub(super) async fn run(verb: PlayoutArguments, reporter: Reporter) -> Exit {
    let wanted = match verb.read() {
        Ok(wanted) => wanted,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let trace = match Trace::new(wanted.codec, &wanted.speech, &wanted.recipe, verb.drift, verb.seed) {
        Ok(trace) => trace,
        Err(error) => return fail(Exit::Media, &error),
    };
    let (audio, mut fields, text) = match wanted.phone {
        Some(phone) => {
            reporter.event("playout.calling", json!({ "phone": phone.to_string() }), &format!("calling {phone}"));
            let heard = tokio::task::spawn_blocking(move || playout::feed(&phone, &trace)).await;
            match heard {
                Ok(Ok(fed)) if fed.audio.is_empty() => {
                    return fail(Exit::Media, &"nothing came back; does the phone echo what it hears?");
                }
                Ok(Ok(fed)) => {
                    let late = fed.late.as_secs_f64() * 1_000.0;
                    let text = format!("echoed; packets were sent up to {late:.1} ms late");
                    (fed.audio, json!({ "sent_late_p999_ms": late }), text)
                }
                Ok(Err(error)) => return fail(Exit::Unreachable, &error),
                Err(error) => return fail(Exit::Failed, &error),
            }
        }
        None => match playout::render(&trace, verb.seed).and_then(|rendered| match verb.echo_bitrate {
            Some(bitrate) => Ok(rendered.echoed(wanted.codec, bitrate)?),
            None => Ok(rendered),
        }) {
            Ok(rendered) => {
                let (quality, did) = (rendered.quality, rendered.counters.playout);
                let ms = |time: std::time::Duration| time.as_secs_f64() * 1_000.0;
                let text = format!(
                    "{} of {} packets came, {} late; {:.0} ms made up, {:.0} cut out, {:.0} put in; delay {:.1} ms; MOS {:.2}",
                    quality.packets,
                    quality.expected,
                    did.late,
                    ms(did.made_up),
                    ms(did.shortened),
                    ms(did.lengthened),
                    quality.buffer_ms.unwrap_or_default(),
                    quality.mos.unwrap_or_default(),
                );
                let fields = json!({
                    "quality": quality,
                    "recovered": did.recovered,
                    "made_up_ms": ms(did.made_up),
                    "shortened_ms": ms(did.shortened),
                    "lengthened_ms": ms(did.lengthened),
                });
                (rendered.audio, fields, text)
            }
            Err(error) => return fail(Exit::Media, &error),
        },
    };
    if let Err(error) = write_wav(&verb.out, wanted.codec.sample_rate(), &audio) {
        return fail(Exit::Configuration, &error);
    }
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("codec".into(), wanted.codec.name().into());
        fields.insert("impair".into(), verb.impair.clone().into());
        fields.insert("drift_ppm".into(), verb.drift.into());
        fields.insert("seed".into(), verb.seed.into());
    }
    reporter.event("playout.heard", fields, &text);
    Exit::Ok
}
