//! Flags, layers, files and their refusals.

use super::layer::Place;
use super::reader::Reader;
use super::schema::Section;
use super::*;
use crate::call::negotiate::SrtpPolicy;
use crate::carrier::PRESETS;
use crate::media::plan::Codec;
use crate::sip::agent::{DtmfWay, KeepAlive, Reliable, SessionTimerMode};
use crate::sip::hop::Transport;
use crate::sip::identity::{Assertion, CalledField, NumberFormat};
use crate::time::Duration;
use std::path::PathBuf;
use tempfile::TempDir;

fn flags(aor: &str) -> AccountFlags {
    AccountFlags { aor: Some(aor.into()), ..AccountFlags::default() }
}

fn nothing() -> Environment {
    Environment::default()
}

/// A configuration file.
struct Written {
    _directory: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    Written { _directory: directory, path }
}

#[track_caller]
fn error_of(text: &str) -> String {
    let written = file(text);
    let environment = Environment::from([("SECRET", "hush")]);
    let read = Draft::gather(Some(&written.path), &environment)
        .and_then(|draft| draft.profiles().and_then(|_| draft.process()).map(drop));
    read.expect_err(text).to_string()
}

#[test]
fn targets_are_completed_by_the_account() {
    let account =
        flags("sip:alice@example.com:5070").profile(&MediaFlags::default(), &nothing()).unwrap().unwrap().account;
    let rows = [
        ("sip:bob@192.0.2.1", "sip:bob@192.0.2.1"),
        ("bob@example.org", "sip:bob@example.org"),
        ("100", "sip:100@example.com:5070"),
        ("+1 (555) 010-0001", "sip:+15550100001@example.com:5070"),
        ("echo", "sip:echo@example.com:5070"),
        ("a-b.c", "sip:a-b.c@example.com:5070"),
    ];
    for (text, uri) in rows {
        assert_eq!(target(text, Some(&account)).unwrap().to_string(), uri, "{text}");
    }
    let error = target("100", None).unwrap_err().to_string();
    assert!(error.contains("\"100\"") && error.contains("--aor"), "{error}");
}

#[test]
fn bad_flags_are_named_with_their_remedy() {
    let account = |flags: AccountFlags| flags.profile(&MediaFlags::default(), &nothing()).unwrap_err();
    let media = |codec: &str, srtp: &str| {
        let media = MediaFlags { codec: Some(codec.into()), srtp: Some(srtp.into()), ..MediaFlags::default() };
        flags("sip:a@b").profile(&media, &nothing()).unwrap_err()
    };
    let bind = AccountFlags { bind: Some("nowhere".into()), ..AccountFlags::default() };
    let rows = [
        (account(flags("sip:example.com")), "--aor \"sip:example.com\"", "sip:user@host"),
        (account(AccountFlags { transport: Some("sctp".into()), ..flags("sip:a@b") }), "sctp", "udp"),
        (account(AccountFlags { preset: Some("acme".into()), ..flags("sip:a@b") }), "--preset \"acme\"", "telnyx"),
        (account(AccountFlags { account: Some("home".into()), ..AccountFlags::default() }), "home", "--aor"),
        (bind.process(&nothing(), Vec::new()).unwrap_err(), "--bind \"nowhere\"", "IP:PORT"),
        (
            account(AccountFlags { password_file: Some("/no/such/file".into()), ..flags("sip:a@b") }),
            "/no/such/file",
            "first line",
        ),
        (media("g729", "off"), "g729", "pcmu"),
        (media("opus", "maybe"), "maybe", "required"),
        (digits("12x").unwrap_err(), "x", "0-9"),
        (seconds("--duration", Some(-1.0)).unwrap_err(), "-1", "seconds"),
        (reject(Some(200)).unwrap_err(), "200", "486"),
        (min_mos(Some(5.0)).unwrap_err(), "5", "4.5"),
    ];
    for (error, value, remedy) in rows {
        let text = error.to_string();
        assert!(text.contains(value) && text.contains(remedy), "{text}");
    }
}

#[test]
fn the_password_comes_from_the_file_or_the_environment_and_is_not_shown() {
    let environment = Environment::from([(PASSWORD, "hush")]);
    let account = flags("sip:a@b").profile(&MediaFlags::default(), &environment).unwrap().unwrap().account;
    assert!(account.password.is_some());
    assert!(!format!("{account:?} {environment:?}").contains("hush"));
}

#[test]
fn header_fields_of_the_user_are_checked() {
    let field = header("X-Customer : a: b ").unwrap();
    assert_eq!((field.name.as_str(), field.value.as_str()), ("X-Customer", "a: b"));
    assert!(header("Subject: hi").is_ok());
    for (text, remedy) in [
        ("X-Customer", "Name: value"),
        ("X Customer: 7", "letters, digits"),
        (": 7", "letters, digits"),
        ("X-A: b\r\nVia: c", "control"),
        ("X-A:", "1 to 1024"),
        ("Via: SIP/2.0/UDP h", "X-"),
        ("f: <sip:a@b>", "X-"),
        ("Content-Length: 5", "X-"),
    ] {
        let error = header(text).unwrap_err().to_string();
        assert!(error.contains(remedy), "{text}: {error}");
    }
}

const TWO: &str = r#"
default_account = "office"

[phone]
bind = "192.0.2.7:5070"
rtp_ports = "10000-20000"

[defaults]
srtp = "optional"
country_code = "1"

[account.office]
preset = "telnyx"
aor = "sip:alice@sip.telnyx.com"
password = "${env:SECRET}"
numbers = ["555 010 0001", "+15550100002"]
codecs = ["pcma"]
keepalive = 15

[account.trunk-2]
preset = "twilio-trunk"
aor = "sip:+15550100009@x.pstn.twilio.com"
srtp = "off"
transport = "tcp"
headers = ["X-Tenant: 7"]
on_call = "answer"
ring = 2.5
source = "echo"
"#;

#[test]
fn each_layer_overrules_those_below() {
    let written = file(TWO);
    let environment = Environment::from([
        ("SECRET", "hush"),
        ("SIDETONE__ACCOUNT__TRUNK_2__EXPIRES", "900"),
        ("SIDETONE__ACCOUNT__TRUNK_2__CODECS", "pcma, pcmu"),
        ("SIDETONE__DEFAULTS__PACKET_TIME", "40"),
    ]);
    let flags = |account: Option<&str>| AccountFlags {
        config: Some(written.path.clone()),
        account: account.map(str::to_owned),
        ..AccountFlags::default()
    };
    let media = MediaFlags { srtp: Some("required".into()), ..MediaFlags::default() };
    let office = flags(None).profile(&media, &environment).unwrap().unwrap();
    assert_eq!((office.name.as_str(), office.account.name.as_deref()), ("office", Some("office")), "the default one");
    assert_eq!(office.media.srtp, SrtpPolicy::Required, "a flag over [defaults] over the preset");
    assert_eq!(office.media.codecs, [Codec::Pcma], "the file over the preset");
    assert_eq!(office.media.packet_time, Duration::from_millis(40), "the environment over the default");
    assert_eq!(office.account.expires, Duration::from_secs(300), "the preset over the default");
    assert_eq!(office.account.keepalive, KeepAlive::Every(Duration::from_secs(15)));
    assert_eq!(office.account.numbers, ["+15550100001", "+15550100002"], "as the carrier wants them");
    assert!(office.account.password.is_some() && office.register);

    let trunk = flags(Some("trunk-2")).profile(&MediaFlags::default(), &environment).unwrap().unwrap();
    assert_eq!(trunk.media.srtp, SrtpPolicy::Off, "the account over [defaults]");
    assert_eq!(trunk.media.codecs, [Codec::Pcma, Codec::Pcmu], "a list in a variable");
    assert_eq!((trunk.account.transport, trunk.account.expires), (Some(Transport::Tcp), Duration::from_secs(900)));
    assert_eq!(trunk.account.headers[0].value.as_str(), "7");
    assert_eq!((trunk.register, trunk.on_call), (false, OnCall::Answer(Duration::from_millis(2500))));

    let settings =
        Draft::gather(Some(&written.path), &environment).unwrap().process().unwrap().settings(&[office], None);
    assert_eq!((settings.ips[0].to_string().as_str(), settings.port), ("192.0.2.7", Some(5070)));
    assert!(settings.rtp_ports.is_some());
    assert_eq!(settings.account_media.len(), 1, "calls that come in use the media of their account");
}

#[test]
fn the_file_is_looked_for_where_it_is_said_to_be() {
    let written = file("[account.a]\naor = \"sip:a@b\"\n");
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("sidetone")).unwrap();
    std::fs::write(home.path().join("sidetone/config.toml"), "[account.xdg]\naor = \"sip:x@y\"\n").unwrap();
    let xdg = home.path().to_str().unwrap();
    let named = written.path.to_str().unwrap();
    let environment = Environment::from([("XDG_CONFIG_HOME", xdg)]);
    assert_eq!(Draft::gather(None, &environment).unwrap().accounts(), ["xdg"]);
    let environment = Environment::from([("XDG_CONFIG_HOME", xdg), ("SIDETONE_CONFIG", named)]);
    assert_eq!(Draft::gather(None, &environment).unwrap().accounts(), ["a"]);
    let missing = Draft::gather(Some("/no/such.toml".as_ref()), &environment).unwrap_err().to_string();
    assert!(missing.contains("/no/such.toml") && missing.contains("check the path"), "{missing}");
    let environment = Environment::from([("SIDETONE_CONFIG", "/no/such.toml")]);
    assert!(Draft::gather(None, &environment).is_err(), "a file that is named has to be there");
    let environment = Environment::from([("HOME", "/no/such")]);
    assert!(Draft::gather(None, &environment).unwrap().file().is_none_or(|path| path.starts_with("/etc")));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_the_remedy() {
    let rows = [
        (
            "[account.a]\naor = \"sip:a@b\"\ncodec = [\"opus\"]\n",
            ":3: unknown key account.a.codec",
            "did you mean codecs?",
        ),
        ("[acount.a]\naor = \"sip:a@b\"\n", ":1: unknown key [acount]", "did you mean [account]?"),
        ("[phone]\n\nbnd = \"x\"\n", ":3: unknown key phone.bnd", "bind"),
        ("default_acount = \"a\"\n", ":1: unknown key default_acount", "default_account"),
        ("default_account = \"b\"\n[account.a]\naor = \"sip:a@b\"\n", ":1: default_account = \"b\"", "there are a"),
        ("[account.a]\n", "account.a.aor", "sip:user@host"),
        ("[account.a]\naor = \"sip:b\"\n", ":2: account.a.aor = \"sip:b\"", "sip:user@host"),
        ("[account.a]\naor = \"sip:a@b\"\nexpires = \"soon\"\n", ":3: account.a.expires = \"soon\"", "such as 600"),
        ("[account.a]\naor = \"sip:a@b\"\nexpires = 0\n", "expires = 0", "1 to 86400"),
        ("[account.a]\naor = \"sip:a@b\"\nexpires = 99999999999999999999\n", "99999999999999999999", "such as 600"),
        ("[account.a]\naor = \"sip:a@b\"\nrefresh = 95\n", "refresh = 95", "10 to 90"),
        ("[account.a]\naor = \"sip:a@b\"\nregister = \"yes\"\n", "register = \"yes\"", "true or false"),
        ("[account.a]\naor = \"sip:a@b\"\nsrtp = \"on\"\n", "srtp = \"on\"", "required"),
        ("[account.a]\naor = \"sip:a@b\"\ncodecs = []\n", "codecs = []", "opus"),
        ("[account.a]\naor = \"sip:a@b\"\ncodecs = [\"g729\"]\n", "g729", "pcmu"),
        ("[account.a]\naor = \"sip:a@b\"\ncodecs = \"opus\"\n", "codecs = \"opus\"", "list"),
        ("[account.a]\naor = \"sip:a@b\"\npreset = \"telnix\"\n", "preset = \"telnix\"", "telnyx"),
        (
            "[account.a]\naor = \"sip:a@b\"\npreset = \"telnyx\"\nnumbers = [\"5550100001\"]\n",
            "5550100001",
            "country_code",
        ),
        ("[account.a]\naor = \"sip:a@b\"\nkeepalive = 1\n", "keepalive = 1", "5 to 3600"),
        ("[account.a]\naor = \"sip:a@b\"\nsession_expires = 90\nmin_se = 100\n", "session_expires = 90", "min_se"),
        ("[account.a]\naor = \"sip:a@b\"\nsources = [\"home\"]\n", "home", "192.0.2.0/24"),
        ("[account.a]\naor = \"sip:a@b\"\nheaders = [\"Via: x\"]\n", "Via: x", "X-"),
        ("[account.a]\naor = \"sip:a@b\"\ninstance = \"me\"\n", "instance = \"me\"", "urn:uuid:"),
        ("[account.a]\naor = \"sip:a@b\"\ncountry_code = \"01\"\n", "country_code = \"01\"", "\"49\""),
        ("[account.a]\naor = \"sip:a@b\"\npassword = \"${env:NOT_SET}\"\n", "NOT_SET", "set it"),
        ("[account.a]\naor = \"sip:a@b\"\npassword = 7\n", "account.a.password", "quotes"),
        ("[phone]\nrtp_ports = \"9\"\n", "rtp_ports = \"9\"", "10000-20000"),
        ("[phone]\ntls_cert = \"/x\"\n", "tls_cert", "both"),
        ("[account.a]\naor = \"sip:a@b\"\nopus = [\"bitrate=9\"]\n", "bitrate=9", "6000 to 510000"),
        ("[account.a]\naor = \"sip:a@b\"\nopus = [\"stereo\"]\n", "stereo", "bandwidth="),
        ("[account.a]\naor = \"sip:a@b\"\npacket_time = 25\n", "packet_time = 25", "multiple of 10"),
        ("[account.a]\naor = \"sip:a@b\"\nvad = 1\n", "vad = 1", "true or false"),
        ("[account.a\n", ":1:", ""),
        ("account = 5\n", ":1: account is a table", "[account]"),
    ];
    for (text, value, remedy) in rows {
        let error = error_of(text);
        assert!(error.contains(value) && error.contains(remedy), "{text}\n{error}");
    }
    let error = error_of("[account.a]\naor = \"sip:a@b\"\npassword = 12345678\n");
    assert!(!error.contains("12345678"), "{error}");
}

#[test]
fn variables_that_mean_nothing_are_told() {
    let written = file("[account.my-home]\naor = \"sip:a@b\"\n");
    let of = |name: &str, value: &str| {
        let environment = Environment::from([(name, value)]);
        Draft::gather(Some(&written.path), &environment).and_then(|draft| draft.profiles()).map(drop)
    };
    assert!(of("SIDETONE__ACCOUNT__MY_HOME__SRTP", "off").is_ok());
    for (name, value, remedy) in [
        ("SIDETONE__ACCOUNT__MY_HOME__SRTPP", "off", "srtp"),
        ("SIDETONE__ACOUNT__MY_HOME__SRTP", "off", "SIDETONE__ACCOUNT"),
        ("SIDETONE__ACCOUNT__MY_HOME__SRTP", "on", "required"),
        ("SIDETONE__PHONE__BINDD", "x", "bind"),
    ] {
        let error = of(name, value).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(remedy), "{name}: {error}");
    }
}

#[test]
fn of_several_accounts_one_has_to_be_named() {
    let written = file("[account.one]\naor = \"sip:a@b\"\n[account.two]\naor = \"sip:c@d\"\n");
    let which = |account: Option<&str>| {
        let config = Some(written.path.clone());
        let flags = AccountFlags { config, account: account.map(str::to_owned), ..AccountFlags::default() };
        flags.profile(&MediaFlags::default(), &nothing())
    };
    let error = which(None).unwrap_err().to_string();
    assert!(error.contains("one, two") && error.contains("--account"), "{error}");
    assert_eq!(which(Some("two")).unwrap().unwrap().account.aor.to_string(), "sip:c@d");
    let error = which(Some("twoo")).unwrap_err().to_string();
    assert!(error.contains("twoo") && error.contains("did you mean two?"), "{error}");
}

#[test]
fn everything_is_shown_with_its_origin_and_no_secret() {
    let written = file(
        "[account.a]\naor = \"sip:a@b\"\npreset = \"telnyx\"\npassword = \"hush\"\n\
         headers = [\"X-Telnyx-Token: hushhush\"]\n[account.b]\naor = \"sip:b@b\"\npassword = \"${file:/run/p}\"\n",
    );
    let environment = Environment::from([("SIDETONE__ACCOUNT__A__EXPIRES", "120")]);
    let shown = Draft::gather(Some(&written.path), &environment).unwrap().shown().unwrap();
    let of = |table: &str, key: &str| {
        let one = shown.iter().find(|one| one.table == table && one.key == key).unwrap();
        (one.value.clone(), one.origin.clone())
    };
    let line = |line: usize| format!("{}:{line}", written.path.display());
    assert_eq!(of("account.a", "aor"), ("\"sip:a@b\"".into(), line(2)));
    assert_eq!(of("account.a", "password"), ("\"********\"".into(), line(4)));
    assert_eq!(of("account.b", "password"), ("\"${file:/run/p}\"".into(), line(8)));
    assert_eq!(of("account.a", "expires"), ("\"120\"".into(), "SIDETONE__ACCOUNT__A__EXPIRES".into()));
    assert_eq!(of("account.a", "transport"), ("\"tls\"".into(), "preset telnyx".into()));
    assert_eq!(of("account.a", "packet_time"), ("20".into(), "default".into()));
    assert!(!format!("{shown:?}").contains("hush"));
}

#[test]
fn every_key_of_the_schema_is_read() {
    let sorted = |section: Section| {
        let mut keys = section.keys();
        keys.sort();
        keys
    };
    let environment = nothing();
    let place = Place::Account("a".into());
    let setting = layer::Setting { value: "sip:a@b".into(), origin: layer::Origin::Default };
    let reader = Reader::new(place, [("aor".to_owned(), setting)].into(), &environment);
    profile::read(&reader, "a", &environment).unwrap();
    assert_eq!(reader.asked(), sorted(Section::Account));
    let reader = Reader::new(Place::Phone, Default::default(), &environment);
    Process::from(&reader).unwrap();
    assert_eq!(reader.asked(), sorted(Section::Phone));
}

#[test]
fn every_word_of_the_schema_is_taken() {
    let schema = serde_json::to_value(schema::schema()).unwrap();
    let mut words = 0;
    for (key, property) in schema["$defs"]["Account"]["properties"].as_object().unwrap() {
        let one = property["enum"].as_array().into_iter().flatten().map(|word| word.to_string());
        let listed = property["items"]["enum"].as_array().into_iter().flatten().map(|word| format!("[{word}]"));
        for value in one.chain(listed) {
            words += 1;
            let aor = "aor = \"sip:a@b\"";
            let written = file(&format!("[account.a]\n{aor}\n{key} = {value}\n"));
            let read = Draft::gather(Some(&written.path), &nothing()).unwrap().profile("a");
            assert!(read.is_ok(), "{key} = {value}: {}", read.unwrap_err());
        }
    }
    assert!(words > 40, "{words}");
}

/// A profile of that preset with these lines more.
#[track_caller]
fn preset(name: &str, more: &str) -> Profile {
    let written =
        file(&format!("[account.a]\npreset = \"{name}\"\naor = \"sip:+15550100001@carrier.example\"\n{more}"));
    Draft::gather(Some(&written.path), &nothing()).unwrap().profile("a").unwrap()
}

#[test]
fn presets_are_what_the_carriers_want() {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(names, ["generic", "signalwire", "telnyx", "twilio-domain", "twilio-trunk"]);
    let domain = preset("twilio-domain", "");
    assert_eq!((domain.account.transport, domain.register), (Some(Transport::Tls), true));
    assert_eq!(domain.account.expires, Duration::from_secs(1800));
    assert_eq!(domain.account.refresh.unwrap().percent(), 50);
    assert_eq!(domain.account.failover, Some(Duration::from_secs(4)));
    assert_eq!((domain.account.reliable, domain.account.dtmf), (Reliable::Off, DtmfWay::Rfc4733));
    assert_eq!(domain.account.session_timers.mode, SessionTimerMode::Answer);
    assert_eq!(domain.media.srtp, SrtpPolicy::Off);

    let trunk = preset("twilio-trunk", "");
    assert_eq!((trunk.account.transport, trunk.register), (Some(Transport::Udp), false));
    assert_eq!(trunk.media.codecs, [Codec::Pcmu, Codec::Pcma]);
    assert_eq!(trunk.account.identity.numbering.format, NumberFormat::PlusE164);
    assert_eq!(trunk.account.identity.assert, [Assertion::AssertedIdentity]);
    assert!(trunk.account.sources.iter().any(|network| network.contains("54.172.60.2".parse().unwrap())));
    assert!(trunk.account.identity.called.contains(&CalledField::Diversion));

    let telnyx = preset("telnyx", "");
    assert_eq!((telnyx.account.expires, telnyx.register), (Duration::from_secs(300), true));
    assert!(telnyx.account.sources.iter().any(|network| network.contains("192.76.120.14".parse().unwrap())));

    let signalwire = preset("signalwire", "");
    assert_eq!(signalwire.media.srtp, SrtpPolicy::Optional);
    assert_eq!(signalwire.account.identity.called[0], CalledField::To);

    let generic = preset("generic", "");
    assert_eq!((generic.account.transport, generic.account.reliable), (None, Reliable::Supported));
    assert_eq!(generic.account.identity.numbering.format, NumberFormat::AsGiven);
}

/// Each value of each preset can be overruled by the file: another value of the same key wins.
#[test]
fn every_value_of_every_preset_can_be_overruled() {
    let others = |key: &str| match key {
        "transport" => ["\"tcp\"", "\"udp\""],
        "register" => ["true", "false"],
        "expires" => ["777"; 2],
        "refresh" => ["33"; 2],
        "keepalive" => ["\"off\""; 2],
        "failover" => ["7.5"; 2],
        "codecs" => ["[\"pcma\"]"; 2],
        "srtp" => ["\"required\""; 2],
        "dtmf" => ["\"info\""; 2],
        "reliable" => ["\"required\""; 2],
        "session_timer" => ["\"ask\""; 2],
        "number_format" => ["\"e164\""; 2],
        "identity" => ["[\"remote-party-id\"]"; 2],
        "anonymous" => ["\"id\""; 2],
        "called_from" => ["[\"history-info\"]"; 2],
        "caller_from" => ["[\"from\"]"; 2],
        "sources" => ["[\"203.0.113.0/24\"]"; 2],
        key => panic!("{key} is in a preset; give this test another value for it"),
    };
    for carrier in PRESETS {
        let settings = super::file::account_of(carrier.text, &|_| layer::Origin::Preset(carrier.name)).unwrap();
        assert!(settings.len() >= 10, "{}", carrier.name);
        for (key, setting) in settings {
            let value = others(&key).into_iter().find(|value| *value != setting.value.to_string()).unwrap();
            let before = preset(carrier.name, "");
            let after = preset(carrier.name, &format!("{key} = {value}\n"));
            assert_ne!(format!("{before:?}"), format!("{after:?}"), "{} {key} = {value} changes nothing", carrier.name);
        }
    }
}
