//! `sidetone quality`: rates a connection by the E-model that the calls use.

use super::arguments::QualityArguments;
use super::report::Reporter;
use super::{Exit, fail};
use crate::media::quality::emodel::{Input, OutOfRange, Rating};
use crate::media::quality::impairment::{ALL, Impairment};
use serde_json::json;
use std::io::BufRead;

/// Why a row cannot be rated.
#[derive(Debug, thiserror::Error)]
enum QualityError {
    #[error("unknown codec \"{0}\"; use pcmu, pcma, g722, opus or g729, or give ie and bpl")]
    Codec(String),
    #[error("give --codec, or --ie with --bpl")]
    NoCodec,
    #[error(transparent)]
    Range(#[from] OutOfRange),
    #[error("stdin cannot be read: {0}")]
    Stdin(#[from] std::io::Error),
    #[error(
        "the header on stdin has no column \"{0}\"; columns are codec (or ie and bpl), delay_ms, loss_percent and burst_ratio"
    )]
    Column(&'static str),
    #[error("stdin is empty; give a header line and rows, separated by tabs")]
    Empty,
    #[error("line {line}: {name} \"{value}\" is no number")]
    Number { line: usize, name: &'static str, value: String },
    #[error("line {line}: {source}")]
    Row { line: usize, source: Box<QualityError> },
}

pub(super) fn run(verb: &QualityArguments, reporter: &Reporter) -> Exit {
    let done = if verb.stdin { rows(reporter) } else { one(verb, reporter) };
    match done {
        Ok(()) => Exit::Ok,
        Err(error @ QualityError::NoCodec) => fail(Exit::Usage, &error),
        Err(error) => fail(Exit::Configuration, &error),
    }
}

fn one(verb: &QualityArguments, reporter: &Reporter) -> Result<(), QualityError> {
    let (name, ie, bpl) = match (&verb.codec, verb.ie, verb.bpl) {
        (Some(codec), _, _) => equipment(codec)?,
        (None, Some(ie), Some(bpl)) => (None, ie, bpl),
        _ => return Err(QualityError::NoCodec),
    };
    let input = Input {
        ie,
        bpl,
        delay_ms: verb.delay_ms.unwrap_or(0.0),
        loss_percent: verb.loss_percent.unwrap_or(0.0),
        burst_ratio: verb.burst_ratio.unwrap_or(1.0),
        ..Input::default()
    };
    input.check()?;
    print(name, &input, reporter, true);
    Ok(())
}

fn rows(reporter: &Reporter) -> Result<(), QualityError> {
    let mut lines = std::io::stdin().lock().lines();
    let header = lines.next().ok_or(QualityError::Empty)??;
    let header: Vec<String> = header.trim_end_matches('\r').split('\t').map(str::to_owned).collect();
    let column = |name: &str| header.iter().position(|column| column == name);
    let codec = column("codec");
    let need = |name: &'static str| column(name).ok_or(QualityError::Column(name));
    let (ie, bpl) = if codec.is_some() { (None, None) } else { (Some(need("ie")?), Some(need("bpl")?)) };
    let (delay, loss) = (need("delay_ms")?, need("loss_percent")?);
    let burst = column("burst_ratio");
    if !reporter.is_json() {
        reporter.say(&format!("{}\tr_factor\tmos", header.join("\t")));
    }
    for (number, text) in lines.enumerate() {
        let (line, text) = (number + 2, text?);
        let text = text.trim_end_matches('\r');
        if text.is_empty() {
            continue;
        }
        let cells: Vec<&str> = text.split('\t').collect();
        let value = |name: &'static str, column: usize| {
            let cell = cells.get(column).copied().unwrap_or_default().trim();
            cell.parse::<f64>().map_err(|_| QualityError::Number { line, name, value: cell.to_owned() })
        };
        let (name, ie, bpl) = match (codec, ie, bpl) {
            (None, Some(ie), Some(bpl)) => (None, value("ie", ie)?, value("bpl", bpl)?),
            (codec, ..) => {
                let name = codec.and_then(|codec| cells.get(codec)).copied().unwrap_or_default();
                equipment(name).map_err(|source| QualityError::Row { line, source: Box::new(source) })?
            }
        };
        let input = Input {
            ie,
            bpl,
            delay_ms: value("delay_ms", delay)?,
            loss_percent: value("loss_percent", loss)?,
            burst_ratio: burst.map_or(Ok(1.0), |burst| value("burst_ratio", burst))?,
            ..Input::default()
        };
        input.check().map_err(|source| QualityError::Row { line, source: Box::new(source.into()) })?;
        if reporter.is_json() {
            print(name, &input, reporter, false);
        } else {
            let Rating { r, mos, .. } = input.rate();
            reporter.say(&format!("{text}\t{r:.4}\t{mos:.4}"));
        }
    }
    Ok(())
}

/// The published impairment of a codec.
fn equipment(name: &str) -> Result<(Option<&'static str>, f64, f64), QualityError> {
    let Impairment { name, ie, bpl, .. } =
        Impairment::named(name).ok_or_else(|| QualityError::Codec(name.to_owned()))?;
    Ok((Some(name), ie, bpl))
}

fn print(codec: Option<&'static str>, input: &Input, reporter: &Reporter, listing: bool) {
    let rating = input.rate();
    let known = codec.and_then(|codec| ALL.iter().find(|known| known.name == codec));
    let fields = json!({
        "codec": codec, "ie": input.ie, "bpl": input.bpl, "delay_ms": input.delay_ms,
        "loss_percent": input.loss_percent, "burst_ratio": input.burst_ratio,
        "r_factor": rating.r, "mos": rating.mos,
        "impairments": {"ro": rating.ro, "is": rating.is, "idte": rating.idte, "idle": rating.idle,
            "idd": rating.idd, "ie_eff": rating.ie_eff, "a": rating.a},
        "estimate": known.is_some_and(|known| known.estimate),
    });
    let mut text = format!("R factor {:.2}, MOS {:.2}", rating.r, rating.mos);
    if listing {
        let rows = [
            ("Ro", rating.ro, "basic signal-to-noise ratio"),
            ("Is", -rating.is, "simultaneous impairments"),
            ("Idte", -rating.idte, "talker echo"),
            ("Idle", -rating.idle, "listener echo"),
            ("Idd", -rating.idd, "delay"),
            ("Ie,eff", -rating.ie_eff, "codec and packet loss"),
            ("A", rating.a, "advantage"),
        ];
        for (name, value, meaning) in rows {
            // No minus before a zero.
            text += &format!("\n{name:>8} {:>9.3}  {meaning}", value + 0.0);
        }
        if let Some(known) = known {
            text += &format!("\nIe {} and Bpl {} of {}: {}", known.ie, known.bpl, known.name, known.source);
        }
    }
    reporter.event("quality", fields, &text);
}
