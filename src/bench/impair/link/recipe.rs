//! How bad a network is, as text and as values.

use super::{Jitter, Loss};
use crate::time::Duration;
use std::num::NonZeroU64;
use std::str::FromStr;

/// How one direction treats packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Which packets are lost.
    pub loss: Loss,
    /// How long each packet takes.
    pub delay: Duration,
    /// What comes on top.
    pub jitter: Jitter,
    /// Share of packets that are held back, so that others pass them.
    pub reorder: f64,
    /// How long they are held back: two packets of 20 ms, and a bit.
    pub reorder_by: Duration,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// How much later the copy comes.
    pub duplicate_after: Duration,
    /// Bits a second, headers of IP and UDP included; `None` for any number.
    pub rate: Option<NonZeroU64>,
    /// How long a packet may wait for the rate limit; longer queues are cut.
    pub queue: Duration,
    /// When nothing passes, from the first packet on.
    pub outages: Vec<Outage>,
    /// May jitter change the order?
    pub unordered: bool,
}

/// A time in which nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it begins, from the first packet on.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

impl Outage {
    pub(super) fn covers(&self, since_start: Duration) -> bool {
        since_start >= self.start && since_start - self.start < self.length
    }
}

impl Default for Recipe {
    /// A network that does nothing to packets.
    fn default() -> Self {
        Self {
            loss: Loss::None,
            delay: Duration::ZERO,
            jitter: Jitter::None,
            reorder: 0.0,
            reorder_by: Duration::from_millis(45),
            duplicate: 0.0,
            duplicate_after: Duration::from_millis(3),
            rate: None,
            queue: Duration::from_millis(200),
            outages: Vec::new(),
            unordered: false,
        }
    }
}

/// A recipe that cannot be followed. The text names the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// No setting has this name.
    #[error(
        "\"{0}\" is no setting; use loss, gilbert-elliott, delay, jitter, reorder, duplicate, rate, queue, outage or unordered"
    )]
    Setting(String),
    /// The value is none.
    #[error("{setting}={value}: write {form}")]
    Value {
        /// Of which setting.
        setting: &'static str,
        /// What was written.
        value: String,
        /// How it looks.
        form: &'static str,
    },
}

impl Recipe {
    /// Changes one setting, named as on the command line.
    ///
    /// # Errors
    /// When there is no such setting, or the value is none of its.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), RecipeError> {
        match name {
            "loss" => self.loss = Loss::Random(share("loss", value)?),
            "gilbert-elliott" => self.loss = gilbert_elliott(value)?,
            "delay" => self.delay = millis("delay", value, "milliseconds, such as 40")?,
            "jitter" => self.jitter = jitter(value)?,
            "reorder" => self.reorder = share("reorder", value)?,
            "duplicate" => self.duplicate = share("duplicate", value)?,
            "rate" => self.rate = Some(rate(value)?),
            "queue" => self.queue = millis("queue", value, "milliseconds, such as 200")?,
            "outage" => self.outages.push(outage(value)?),
            "unordered" => self.unordered = true,
            _ => return Err(RecipeError::Setting(name.chars().take(40).collect())),
        }
        Ok(())
    }
}

impl FromStr for Recipe {
    type Err = RecipeError;

    /// Settings between blanks: `loss=0.02 delay=40 jitter=normal:5`; `none` for a network that does nothing.
    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let mut recipe = Recipe::default();
        for setting in text.split_whitespace().filter(|setting| *setting != "none") {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            recipe.set(name, value)?;
        }
        Ok(recipe)
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

/// A share: `0.02` or `2%`.
fn share(setting: &'static str, value: &str) -> Result<f64, RecipeError> {
    let read = match value.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(value),
    };
    read.filter(|share| *share <= 1.0).ok_or_else(|| RecipeError::Value {
        setting,
        value: value.into(),
        form: "a share from 0 to 1, such as 0.02 or 2%",
    })
}

fn millis(setting: &'static str, value: &str, form: &'static str) -> Result<Duration, RecipeError> {
    number(value)
        .filter(|millis| *millis <= 3_600_000.0)
        .map(|millis| Duration::from_secs_f64(millis / 1_000.0))
        .ok_or_else(|| RecipeError::Value { setting, value: value.into(), form })
}

fn gilbert_elliott(value: &str) -> Result<Loss, RecipeError> {
    let form = "p,r or p,r,h,k with shares, such as 0.01,0.3: into the bad state, out of it, passing in the bad state (0) \
        and in the good one (1)";
    let fail = || RecipeError::Value { setting: "gilbert-elliott", value: value.into(), form };
    let shares: Option<Vec<f64>> = value.split(',').map(|text| share("gilbert-elliott", text).ok()).collect();
    match shares.ok_or_else(fail)?.as_slice() {
        [p, r] => Ok(Loss::GilbertElliott { p: *p, r: *r, h: 0.0, k: 1.0 }),
        [p, r, h] => Ok(Loss::GilbertElliott { p: *p, r: *r, h: *h, k: 1.0 }),
        [p, r, h, k] => Ok(Loss::GilbertElliott { p: *p, r: *r, h: *h, k: *k }),
        _ => Err(fail()),
    }
}

fn jitter(value: &str) -> Result<Jitter, RecipeError> {
    const FORM: &str = "constant, uniform:MS, normal:MS, pareto:MS[,SHAPE] or spikes:SHARE,MS";
    let fail = || RecipeError::Value { setting: "jitter", value: value.into(), form: FORM };
    let (kind, rest) = value.split_once(':').unwrap_or((value, ""));
    let time = |text: &str| millis("jitter", text, FORM).map_err(|_| fail());
    match (kind, rest.split_once(',')) {
        ("constant" | "none", None) => Ok(Jitter::None),
        ("uniform", None) => Ok(Jitter::Uniform(time(rest)?)),
        ("normal", None) => Ok(Jitter::Normal(time(rest)?)),
        ("pareto", None) => Ok(Jitter::Pareto(time(rest)?, 2.5)),
        ("pareto", Some((scale, shape))) => {
            let shape = number(shape).filter(|shape| *shape > 1.0).ok_or_else(fail)?;
            Ok(Jitter::Pareto(time(scale)?, shape))
        }
        ("spikes", Some((probability, height))) => {
            Ok(Jitter::Spikes(share("jitter", probability).map_err(|_| fail())?, time(height)?))
        }
        _ => Err(fail()),
    }
}

/// Bits a second: `64000`, `64k` or `1.5M`.
fn rate(value: &str) -> Result<NonZeroU64, RecipeError> {
    let (text, factor) = match value.char_indices().last() {
        Some((at, 'k')) => (&value[..at], 1e3),
        Some((at, 'M')) => (&value[..at], 1e6),
        _ => (value, 1.0),
    };
    number(text).and_then(|number| NonZeroU64::new((number * factor) as u64)).ok_or_else(|| RecipeError::Value {
        setting: "rate",
        value: value.into(),
        form: "bits a second, such as 64k",
    })
}

fn outage(value: &str) -> Result<Outage, RecipeError> {
    let form = "START+LENGTH in seconds, such as 2+0.5";
    let fail = || RecipeError::Value { setting: "outage", value: value.into(), form };
    let (start, length) = value.split_once('+').ok_or_else(fail)?;
    let time = |text: &str| number(text).filter(|seconds| *seconds < 1e6).map(Duration::from_secs_f64).ok_or_else(fail);
    Ok(Outage { start: time(start)?, length: time(length)? })
}
