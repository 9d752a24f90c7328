//! `sidetone demo`: the whole phone against a built-in far end; no account, no sound card, no network.

use super::arguments::DemoArguments;
use super::call::{Conduct, conduct};
use super::call_log::CallLog;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, fail, register};
use crate::audio::{Sink, Source};
use crate::call::MediaOptions;
use crate::call::negotiate::SrtpPolicy;
use crate::call::record::{Record, Status};
use crate::config;
use crate::loopback::{Answerer, Loopback};
use crate::media::plan::Codec;
use crate::phone::{Account, AccountId, Dial, Io, Phone, Settings};
use crate::sip::uri::{Host, SipUri, Uri};
use crate::store;
use crate::time::Duration;
use crate::trace;
use serde_json::json;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Speech of the caller and of the answering side; see `fixtures/README.md`.
const CALLER: &[u8] = include_bytes!("../../fixtures/caller.wav");
const ANSWERER: &[u8] = include_bytes!("../../fixtures/answerer.wav");

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A user of the built-in domain; both have the same password.
const USERS: [&str; 2] = ["caller", "answerer"];
const PASSWORD: &str = "loopback demonstration";

pub(super) async fn run(verb: DemoArguments, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let calls = match wish(&verb) {
        Ok(calls) => calls,
        Err(error) => return fail(Exit::Configuration, &*error),
    };
    match demonstrate(&verb, calls, db, &reporter).await {
        Ok(exit) => exit,
        Err(error) => fail(Exit::Failed, &*error),
    }
}

/// Once over Opus with SRTP and once over PCMU, or with the one codec that was asked for.
fn wish(verb: &DemoArguments) -> Result<Vec<MediaOptions>, Box<dyn Error>> {
    config::seconds("--seconds", Some(verb.seconds))?;
    let options = |codec, srtp| MediaOptions { codecs: vec![codec], srtp, ..MediaOptions::default() };
    Ok(match &verb.codec {
        Some(codec) => vec![options(codec.parse()?, SrtpPolicy::Optional)],
        None => vec![options(Codec::Opus, SrtpPolicy::Required), options(Codec::Pcmu, SrtpPolicy::Off)],
    })
}

async fn demonstrate(
    verb: &DemoArguments,
    calls: Vec<MediaOptions>,
    db: Option<PathBuf>,
    reporter: &Reporter,
) -> Result<Exit, Box<dyn Error>> {
    let directory = match &verb.record {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("sidetone-demo-{}", std::process::id())),
    };
    std::fs::create_dir_all(&directory)?;
    let speech = |name: &str, wav: &[u8]| -> std::io::Result<Source> {
        let path = directory.join(name);
        std::fs::write(&path, wav)?;
        Ok(Source::File { path, repeat: true })
    };
    let (ours, theirs) = (speech("caller.wav", CALLER)?, speech("answerer.wav", ANSWERER)?);

    let domain = Loopback::start(LOOPBACK, &USERS.map(|user| (user, PASSWORD)))?;
    let address = domain.address();
    reporter.say(&format!("a registrar and an answering peer run on {address}"));

    let everything = MediaOptions { srtp: SrtpPolicy::Optional, ..MediaOptions::default() };
    let answering = Settings { media: everything, ..settings("answerer", address, None) };
    let far_end = Answerer::start(answering, Io { source: theirs, sink: Sink::Null, ..Io::default() })?;
    let mut far_events = far_end.phone().events();
    let quiet = Reporter::quiet();
    let mut stop = Stop::listen();
    if register::first(far_end.phone(), &mut far_events, &quiet, AccountId(0), true, &mut stop).await != Exit::Ok {
        return Err("the answering peer could not register".into());
    }

    let database = db.unwrap_or_else(store::default_path);
    let (phone, mut events) = Phone::start(settings("caller", address, Some(database.clone())))?;
    let _log = CallLog::watch(&phone);
    let registered = register::first(&phone, &mut events, reporter, AccountId(0), true, &mut stop).await;
    if registered != Exit::Ok {
        return Ok(registered);
    }
    let duration = config::seconds("--seconds", Some(verb.seconds))?;
    let mut records = Vec::new();
    for media in calls {
        let codec = media.codecs[0].name().to_ascii_lowercase();
        let record = Some(directory.join(format!("call-{codec}.wav")));
        let io = Io { source: ours.clone(), sink: Sink::Null, record, ..Io::default() };
        let call = phone.dial(to_the_answerer(address, media), io).await?;
        let plan = Conduct { digits: Some("1234#".into()), duration, until_source_ends: false };
        match conduct(&phone, &mut events, reporter, call, plan, &mut stop).await {
            Some(record) => records.push(record),
            None => break,
        }
        if stop.was_requested() {
            break;
        }
    }
    phone.shutdown().await?;
    let _ = far_end.phone().shutdown().await;
    Ok(summary(&records, &directory, &database, reporter))
}

fn settings(user: &str, domain: SocketAddr, database: Option<PathBuf>) -> Settings {
    let mut account = Account::new(uri(user, domain));
    account.password = Some(PASSWORD.into());
    let trace = trace::Options { directory: database.as_deref().map(trace::directory_of), ..trace::Options::default() };
    Settings { ips: vec![LOOPBACK], accounts: vec![account], database, trace, ..Settings::default() }
}

fn uri(user: &str, domain: SocketAddr) -> Uri {
    Uri::Sip(SipUri::new(Some(user), Host::from(domain.ip()), Some(domain.port())))
}

fn to_the_answerer(domain: SocketAddr, media: MediaOptions) -> Dial {
    Dial {
        account: AccountId(0),
        target: uri("answerer", domain),
        from_number: None,
        media,
        ring_limit: Duration::from_secs(10),
        headers: Vec::new(),
    }
}

fn summary(records: &[Record], directory: &Path, database: &Path, reporter: &Reporter) -> Exit {
    let mut exit = if records.is_empty() { Exit::Failed } else { Exit::Ok };
    for record in records {
        let heard = record.quality.inbound.packets > 0 && record.quality.inbound.mos.is_some();
        if record.status != Status::Completed {
            exit = Exit::of_call(record);
        } else if !heard {
            exit = Exit::Media;
        }
    }
    // JSON holds no path that is not Unicode.
    let shown = |path: &Path| path.display().to_string();
    let recordings: Vec<_> = records.iter().filter_map(|record| record.recording.as_deref().map(shown)).collect();
    let fields = json!({"recordings": recordings, "database": shown(database), "directory": shown(directory)});
    let text = format!(
        "recordings (ours left, theirs right): {}\ncall log: {} (`sidetone history` prints it)",
        recordings.join(", "),
        shown(database),
    );
    reporter.event("demo.done", fields, &text);
    exit
}
