//! What can be written in a configuration file: the keys, their forms and what they mean. `sidetone config schema` prints
//! it; the names of the keys are taken from here and nowhere else.

use crate::audio::Country;
use crate::call::{Busy, HoldStyle, IcePolicy, Transfers};
use crate::media::plan::{Codec, SrtpSuite};
use crate::sip::agent::{DtmfWay, Reliable, SessionTimerMode};
use crate::sip::identity::{Anonymity, Assertion, CalledField, CallerField, NumberFormat};
use schemars::{JsonSchema, Schema, schema_for};
use std::collections::BTreeMap;

/// A configuration file of Sidetone (TOML). Every string may hold `${env:NAME}` and `${file:PATH}`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Sidetone configuration")]
pub struct File {
    /// The account of commands that name none; needed only when there are several.
    pub default_account: Option<String>,
    /// The process: addresses, ports, the call log.
    pub phone: Option<Phone>,
    /// What every account has that does not say otherwise: any key of an account.
    pub defaults: Option<Account>,
    /// The accounts by name: `[account.NAME]`.
    pub account: Option<BTreeMap<String, Account>>,
}

/// The process: addresses, ports, the call log.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Phone {
    /// Local addresses for SIP as IP, IP:PORT or `[IPv6]:PORT`, separated by commas; every interface and any port when
    /// absent. TLS has the port above.
    pub bind: Option<String>,
    /// Name server to ask instead of the system's, as IP or IP:PORT.
    pub dns_server: Option<String>,
    /// How the world sees us, as IP or IP:PORT; shown in Contact and SDP.
    pub public_address: Option<String>,
    /// STUN server that tells how the world sees us, as HOST or HOST:PORT.
    pub stun: Option<String>,
    /// PEM file of certificate authorities to trust for TLS beside those of the system.
    pub tls_ca: Option<String>,
    /// PEM file of our certificate and its chain; with it, TLS connections are taken too.
    pub tls_cert: Option<String>,
    /// PEM file of the key of our certificate.
    pub tls_key: Option<String>,
    /// Takes any certificate: whoever is on the way can listen. For tests only.
    pub tls_insecure: Option<bool>,
    /// Ports for RTP as FIRST-LAST; the system's choice when absent.
    #[schemars(regex(pattern = r"^[0-9]+-[0-9]+$"))]
    pub rtp_ports: Option<String>,
    /// Media threads; as many as suit the machine when absent.
    #[schemars(range(min = 1, max = 256))]
    pub media_workers: Option<u32>,
    /// The call log.
    pub database: Option<String>,
    /// Takes calls that belong to no account.
    pub take_unclaimed: Option<bool>,
    /// From where calls come whatever account they are for: addresses and blocks as 192.0.2.0/24, or any.
    pub sources: Option<Vec<String>>,
    /// File of user:password, one a line: callers from elsewhere are asked for one of these.
    pub challenge_callers: Option<String>,
    /// Requests a second that one unknown address may send; 0 for any number, 200 when absent.
    #[schemars(range(max = 1_000_000))]
    pub rate_limit: Option<u32>,
    /// Records messages and media of calls and registrations for `sidetone trace`; so when absent.
    pub trace: Option<bool>,
    /// Records credentials and media keys too.
    pub trace_secrets: Option<bool>,
    /// Traces of calls that are kept on disk, 500 when absent.
    pub trace_keep: Option<u32>,
    /// Messages and media notes kept of one call, 512 when absent.
    #[schemars(range(min = 1))]
    pub trace_entries: Option<u32>,
    /// Octets kept of one call, 262144 when absent.
    #[schemars(range(min = 1))]
    pub trace_octets: Option<u32>,
    /// Collector that gets every SIP message by HEP3 over UDP, as HOST or HOST:PORT.
    pub hep: Option<String>,
    /// Our capture agent id towards the collector, 1 when absent.
    pub hep_id: Option<u32>,
    /// Whose tones tell how a call stands: itu, or a code such as de.
    #[schemars(extend("enum" = Country::all().map(Country::code).collect::<Vec<_>>()))]
    pub country: Option<String>,
    /// The device that rings when somebody calls: default, or what --sink device:NAME takes; none when absent.
    pub ring_device: Option<String>,
    /// The collector's password; better as ${env:NAME} or ${file:PATH} than in clear.
    pub hep_key: Option<String>,
}

/// An account.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Account {
    /// A carrier whose ways fill in what is not said here.
    #[schemars(extend("enum" = ["generic", "signalwire", "telnyx", "twilio-domain", "twilio-trunk"]))]
    pub preset: Option<String>,
    /// Address of record, as sip:user@host.
    pub aor: Option<String>,
    /// Display name beside it.
    pub display_name: Option<String>,
    /// User name for digest authentication; the user part of the address of record when absent.
    pub auth_user: Option<String>,
    /// Password; better as ${env:NAME} or ${file:PATH} than in clear.
    pub password: Option<String>,
    /// Does `sidetone run` register it?
    pub register: Option<bool>,
    /// Where REGISTER goes; the host of the address of record when absent.
    pub registrar: Option<String>,
    /// Proxy that every request outside a dialog is sent through, or several: the next one is tried when one fails.
    pub outbound_proxy: Option<OneOrMore>,
    /// By how many servers the account is registered at once, where its registrar keeps flows (RFC 5626); as many as it has
    /// outbound proxies when absent.
    #[schemars(range(min = 1, max = 4))]
    pub flows: Option<u8>,
    /// Further Route entries behind the proxy.
    pub routes: Option<Vec<String>>,
    /// Transport where no address says one.
    #[schemars(extend("enum" = ["udp", "tcp", "tls"]))]
    pub transport: Option<String>,
    /// Lifetime to ask the registrar for, seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub expires: Option<u32>,
    /// When a binding is refreshed, per cent of its lifetime; shortly before its end when absent.
    #[schemars(range(min = 10, max = 90))]
    pub refresh: Option<u8>,
    /// What keeps the flow of a registration open: standard (RFC 5626: CRLFs, and STUN over UDP where the registrar supports
    /// outbound), crlf, stun, off, or the seconds between two of the standard ones.
    pub keepalive: Option<StringOrNumber>,
    /// How long one server may be silent before the next one is tried, seconds.
    #[schemars(range(min = 0.1, max = 32.0))]
    pub failover: Option<f64>,
    /// A URN that stays the same over runs, such as urn:uuid:...: the registrar then replaces the binding of the last run
    /// (RFC 5626).
    pub instance: Option<String>,
    /// Codecs in order of preference.
    #[schemars(extend("items" = {"type": "string", "enum": Codec::KNOWN.map(|codec| codec.to_string().to_lowercase())}))]
    pub codecs: Option<Vec<String>>,
    /// Encryption of media: with keys in the SDP, or by a handshake (dtls).
    #[schemars(extend("enum" = ["off", "optional", "required", "dtls"]))]
    pub srtp: Option<String>,
    /// SRTP suites that are offered, in this order, and the only ones that are taken; AES_CM_128 is offered and every one
    /// taken when absent.
    #[schemars(extend("items" = {"type": "string", "enum": SrtpSuite::ALL.map(SrtpSuite::name)}))]
    pub srtp_suites: Option<Vec<String>>,
    /// ICE: whether the connectivity checks of far ends that insist on them are answered.
    #[schemars(extend("enum" = IcePolicy::WORDS))]
    pub ice: Option<String>,
    /// RTP and RTCP on one port, where the far end can too (RFC 5761); true when absent.
    pub rtcp_mux: Option<bool>,
    /// Audio per packet, ms.
    #[schemars(range(min = 10, max = 120), extend("multipleOf" = 10))]
    pub packet_time: Option<u32>,
    /// Opus settings: bitrate=24000, max-bitrate=40000, complexity=5, application=audio, bandwidth=wide, fec=off, dtx=on,
    /// cbr=on.
    pub opus: Option<Vec<String>>,
    /// Sends comfort noise (RFC 3389) in place of silence with G.711, where the far end takes it.
    pub vad: Option<bool>,
    /// How digits are sent.
    #[schemars(extend("enum" = DtmfWay::WORDS))]
    pub dtmf: Option<String>,
    /// Provisional responses that are acknowledged (100rel, RFC 3262).
    #[schemars(extend("enum" = Reliable::WORDS))]
    pub reliable: Option<String>,
    /// Session timers (RFC 4028): off, answered when the far end asks, or asked for.
    #[schemars(extend("enum" = SessionTimerMode::WORDS))]
    pub session_timer: Option<String>,
    /// Session-Expires that is asked for, seconds.
    #[schemars(range(min = 90, max = 86_400))]
    pub session_expires: Option<u32>,
    /// The shortest session interval that is taken, seconds.
    #[schemars(range(min = 90, max = 86_400))]
    pub min_se: Option<u32>,
    /// How a far end is put on hold.
    #[schemars(extend("enum" = HoldStyle::WORDS))]
    pub hold_style: Option<String>,
    /// What a far end hears that is put on hold: file:PATH, loop:PATH, tone:HZ or silence.
    pub hold_source: Option<String>,
    /// How many redirections (3xx) a call follows; 0 follows none.
    #[schemars(range(min = 0, max = 20))]
    pub redirects: Option<u8>,
    /// Callers hear the source while it rings (183).
    pub early_media: Option<bool>,
    /// Calls are made without an offer: the far end makes it.
    pub late_offer: Option<bool>,
    /// One codec is fixed where the far end answers with several (RFC 3264 section 10.2).
    pub single_codec: Option<bool>,
    /// Whether far ends may send us elsewhere (REFER) or take a call over (Replaces): within the account's domain, to
    /// anywhere, never, or when our user agrees.
    #[schemars(extend("enum" = Transfers::WORDS))]
    pub transfers: Option<String>,
    /// A far end is put on hold before it is sent elsewhere.
    pub hold_before_transfer: Option<bool>,
    /// What a second caller hears while a call is up.
    #[schemars(extend("enum" = Busy::WORDS))]
    pub busy: Option<String>,
    /// Every caller gets 480.
    pub do_not_disturb: Option<bool>,
    /// Calls are answered by themselves that ask for it (Call-Info answer-after, Alert-Info, Answer-Mode).
    pub auto_answer: Option<bool>,
    /// Our numbers; the first is the caller id of calls that choose none.
    pub numbers: Option<Vec<String>>,
    /// How the carrier wants numbers.
    #[schemars(extend("enum" = NumberFormat::WORDS))]
    pub number_format: Option<String>,
    /// Our country code, such as "1" or "49": completes national numbers.
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,2}$"))]
    pub country_code: Option<String>,
    /// Header fields beside From that carry the caller id of our calls.
    #[schemars(extend("items" = {"type": "string", "enum": Assertion::WORDS}))]
    pub identity: Option<Vec<String>>,
    /// What anonymous calls hide (RFC 3323): full also takes the name out of From, id only asks the carrier to.
    #[schemars(extend("enum" = Anonymity::WORDS))]
    pub anonymous: Option<String>,
    /// Where the called number of an inbound call is looked for, in this order.
    #[schemars(extend("items" = {"type": "string", "enum": CalledField::WORDS}))]
    pub called_from: Option<Vec<String>>,
    /// Where the caller of an inbound call is looked for, in this order.
    #[schemars(extend("items" = {"type": "string", "enum": CallerField::WORDS}))]
    pub caller_from: Option<Vec<String>>,
    /// Realms whose challenges are answered; the registrar's and the proxies' own when absent.
    pub realms: Option<Vec<String>>,
    /// The weakest digest algorithm that is answered; md5 when absent.
    #[schemars(extend("enum" = ["md5", "sha-256", "sha-512-256"]))]
    pub digest: Option<String>,
    /// From where calls for this account come beside its registrar and proxies: addresses and blocks as 192.0.2.0/24, or
    /// any.
    pub sources: Option<Vec<String>>,
    /// Further header fields of our INVITEs, each as "Name: value".
    pub headers: Option<Vec<String>>,
    /// What `sidetone run` does with a call that comes in.
    #[schemars(extend("enum" = ["ring", "answer", "reject"]))]
    pub on_call: Option<String>,
    /// How long it rings before `on_call = "answer"` answers, seconds.
    #[schemars(range(min = 0.0, max = 180.0))]
    pub ring: Option<f64>,
    /// The status of `on_call = "reject"`.
    #[schemars(range(min = 400, max = 699))]
    pub reject_status: Option<u16>,
    /// What is sent in calls that `sidetone run` answers, as in --source.
    pub source: Option<String>,
    /// Where what is heard goes, as in --sink.
    pub sink: Option<String>,
    /// How much louder the microphone is sent, dB.
    #[schemars(range(min = -60.0, max = 30.0))]
    pub input_gain: Option<f64>,
    /// How much louder the far end is played, dB.
    #[schemars(range(min = -60.0, max = 30.0))]
    pub output_gain: Option<f64>,
    /// How loud our user hears the own voice on the loudspeaker, dB; not at all when absent.
    #[schemars(range(min = -60.0, max = 30.0))]
    pub side_tone: Option<f64>,
    /// What the loudspeaker plays is taken out of what the microphone hears.
    pub echo_cancellation: Option<bool>,
    /// Steady noise in the microphone is turned down.
    pub noise_suppression: Option<bool>,
    /// Speech is brought to the same level, however far the speaker is.
    pub automatic_gain: Option<bool>,
    /// Directory for a recording of each call.
    pub record: Option<String>,
    /// Name of a recording below that directory, as in --record-name.
    pub record_name: Option<String>,
}

/// A text, or a list of texts.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// A word or a number.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum StringOrNumber {
    /// A word.
    Word(String),
    /// A number.
    Number(f64),
}

/// The JSON schema of a configuration file.
pub fn schema() -> Schema {
    schema_for!(File)
}

/// The keys of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Outside of every table.
    Top,
    /// `[phone]`.
    Phone,
    /// `[defaults]` and `[account.NAME]`.
    Account,
}

impl Section {
    /// Its keys, in the order of the schema.
    pub fn keys(self) -> Vec<String> {
        let schema = match self {
            Section::Top => schema_for!(File),
            Section::Phone => schema_for!(Phone),
            Section::Account => schema_for!(Account),
        };
        let properties = schema.get("properties").and_then(serde_json::Value::as_object);
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }
}

/// The known name that is most like `word`, if one is alike at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let score = |name: &str| strsim::jaro_winkler(&word, name);
    let best = known.into_iter().max_by(|one, two| score(one).total_cmp(&score(two)))?;
    (score(best) > 0.75).then_some(best)
}
