//! What others may ask of an account, and how its calls behave: the keys, and the flags that overrule them.

use super::ConfigError;
use super::reader::Reader;
use crate::audio::Source;
use crate::call::{HoldStyle, MediaOptions};
use crate::phone::{Account, Busy, Conduct, Transfers};
use crate::sip::agent::DtmfWay;
use toml::Value;

/// How calls behave: the flags of verbs that have some.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PolicyFlags {
    /// What a second caller hears while a call is up: ring, 486 or 603; the account's, or ring when absent
    #[arg(long, value_name = "ANSWER")]
    pub busy: Option<Busy>,
    /// Lets nobody through: every caller gets 480
    #[arg(long)]
    pub do_not_disturb: bool,
    /// Whether far ends may send us elsewhere (REFER) or take a call over (Replaces): account (only within the account's
    /// domain), accept, refuse, or ask (the commands `follow` and `stay`); the account's, or account when absent
    #[arg(long, value_name = "POLICY")]
    pub transfers: Option<Transfers>,
    /// Sends a far end elsewhere without putting it on hold before
    #[arg(long)]
    pub transfer_without_hold: bool,
    /// Answers calls by itself that ask for it (Call-Info answer-after, Alert-Info, Answer-Mode), when they want it
    #[arg(long)]
    pub auto_answer: bool,
    /// How digits are sent: rfc4733, info, inband, or auto (the first of these that the far end takes); the account's
    /// when absent
    #[arg(long, value_name = "WAY")]
    pub dtmf_way: Option<DtmfWay>,
    /// How a far end is put on hold: sendonly, inactive or 0.0.0.0; the account's, or sendonly when absent
    #[arg(long, value_name = "STYLE")]
    pub hold_style: Option<HoldStyle>,
    /// What a far end hears that we put on hold: file:PATH, loop:PATH, tone:HZ or silence; the account's, or silence when
    /// absent
    #[arg(long, value_name = "SOURCE")]
    pub hold_source: Option<Source>,
    /// Follows so many redirections (3xx); never from TLS to cleartext; the account's, or 0 when absent
    #[arg(long, value_name = "N")]
    pub redirects: Option<u8>,
    /// Calls without an offer: the far end makes it
    #[arg(long)]
    pub late_offer: bool,
    /// Lets callers hear the source while it rings (183, early media)
    #[arg(long)]
    pub early_media: bool,
    /// Fixes one codec where the far end answers with several, where it can already before the call is answered (PRACK)
    #[arg(long)]
    pub single_codec: bool,
}

impl PolicyFlags {
    /// The keys that the flags overrule, each with the flag and its value.
    pub(super) fn settings(&self) -> Vec<(&'static str, &'static str, Option<Value>)> {
        let word = |word: Option<String>| word.map(Value::from);
        let set = |flag: bool, value: bool| flag.then(|| Value::from(value));
        vec![
            ("busy", "--busy", word(self.busy.map(|busy| busy.to_string()))),
            ("do_not_disturb", "--do-not-disturb", set(self.do_not_disturb, true)),
            ("transfers", "--transfers", word(self.transfers.map(|transfers| transfers.to_string()))),
            ("hold_before_transfer", "--transfer-without-hold", set(self.transfer_without_hold, false)),
            ("auto_answer", "--auto-answer", set(self.auto_answer, true)),
            ("dtmf", "--dtmf-way", word(self.dtmf_way.map(|way| way.to_string()))),
            ("hold_style", "--hold-style", word(self.hold_style.map(|style| style.to_string()))),
            ("hold_source", "--hold-source", word(self.hold_source.as_ref().map(Source::to_string))),
            ("redirects", "--redirects", self.redirects.map(|limit| Value::from(i64::from(limit)))),
            ("late_offer", "--late-offer", set(self.late_offer, true)),
            ("early_media", "--early-media", set(self.early_media, true)),
            ("single_codec", "--single-codec", set(self.single_codec, true)),
        ]
    }
}

/// The policies where nothing else is said.
pub(super) fn built_in() -> Vec<(&'static str, Value)> {
    vec![
        ("reliable", "supported".into()),
        ("session_timer", "answer".into()),
        ("hold_style", "sendonly".into()),
        ("hold_source", "silence".into()),
        ("redirects", 0.into()),
        ("ice", "off".into()),
        ("rtcp_mux", true.into()),
        ("early_media", false.into()),
        ("late_offer", false.into()),
        ("single_codec", false.into()),
        ("transfers", "account".into()),
        ("hold_before_transfer", true.into()),
        ("busy", "ring".into()),
        ("do_not_disturb", false.into()),
        ("auto_answer", false.into()),
    ]
}

/// What others may ask.
pub(super) fn conduct(reader: &Reader<'_>) -> Conduct {
    let own = Conduct::default();
    let flag = |key, usual| reader.noted(reader.flag(key)).unwrap_or(usual);
    Conduct {
        transfers: reader.noted(reader.parse("transfers")).unwrap_or(own.transfers),
        busy: reader.noted(reader.parse("busy")).unwrap_or(own.busy),
        do_not_disturb: flag("do_not_disturb", own.do_not_disturb),
        auto_answer: flag("auto_answer", own.auto_answer),
        hold_before_transfer: flag("hold_before_transfer", own.hold_before_transfer),
    }
}

/// How calls are offered, held and led on; what far ends hear that are on hold.
pub(super) fn calls(reader: &Reader<'_>, account: &mut Account, media: &mut MediaOptions) -> Source {
    let flag = |key| reader.noted(reader.flag(key)).unwrap_or(false);
    media.hold = reader.noted(reader.parse("hold_style")).unwrap_or_default();
    media.early_media = flag("early_media");
    media.late_offer = flag("late_offer");
    media.single_codec = flag("single_codec");
    account.prack_offers = media.single_codec;
    let limit = reader.noted(reader.whole("redirects", 0..=20, "3"));
    account.redirects = limit.and_then(|limit| u8::try_from(limit).ok()).unwrap_or(0);
    reader.noted(hold_source(reader)).unwrap_or_default()
}

fn hold_source(reader: &Reader<'_>) -> Result<Option<Source>, ConfigError> {
    match reader.parse::<Source>("hold_source")? {
        Some(Source::Device(_) | Source::Echo) => {
            Err(reader.wrong("hold_source", "who is on hold hears no microphone and no echo; name a file, or silence"))
        }
        Some(source) => {
            source.check().map_err(|error| reader.wrong("hold_source", error))?;
            Ok(Some(source))
        }
        None => Ok(None),
    }
}
