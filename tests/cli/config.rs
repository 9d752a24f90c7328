//! Configuration files as a user has them: found, checked, printed, explained, run.

use crate::process::{Domain, Home, PASSWORD, Running};
use serde_json::Value;

/// Writes a configuration file.
fn write(home: &Home, text: &str) -> String {
    std::fs::write(home.path("config.toml"), text).unwrap();
    home.text("config.toml")
}

#[test]
fn a_good_configuration_is_said_to_be_good_and_a_bad_one_is_told_whole() {
    let home = Home::new();
    let file = write(&home, "[account.a]\naor = \"sip:a@b\"\n[account.b]\naor = \"sip:b@c\"\npreset = \"telnyx\"\n");
    let good = home.run(&["config", "check", "--config", &file]);
    assert_eq!((good.code, good.err.as_str()), (0, ""), "{good:?}");
    assert!(good.out.contains("nothing is wrong; accounts a, b"), "{}", good.out);
    let file = write(&home, "[account.a]\naor = \"sip:b\"\n[account.b]\naor = \"sip:b@c\"\nexpires = \"soon\"\n");
    let bad = home.run(&["config", "check", "--config", &file]);
    assert_eq!((bad.code, bad.out.as_str()), (8, ""), "{bad:?}");
    assert!(bad.err.contains("config.toml:2") && bad.err.contains("config.toml:5"), "both: {}", bad.err);
    let file = write(&home, "[account.a]\naor = \"sip:a@b\"\nsrpt = \"off\"\n");
    for verb in [&["config", "check"][..], &["config", "print"], &["register", "--once"], &["call", "bob"], &["run"]] {
        let bad = home.run(&[verb, &["--config", &file]].concat());
        assert_eq!(bad.code, 8, "{verb:?}: {bad:?}");
        assert!(bad.err.contains("config.toml:3") && bad.err.contains("did you mean srtp?"), "{verb:?}: {}", bad.err);
    }
}

/// Everything that is wrong is told at once, in the order of the lines, each by itself.
#[test]
fn check_tells_every_error_of_a_file() {
    let home = Home::new();
    let file = write(
        &home,
        "default_account = \"c\"\n[phone]\nbnd = \"x\"\nrtp_ports = \"9\"\nrate_limit = \"many\"\ntrace = 1\n\
         [defaults]\npacket_time = 25\n[account.a]\naor = \"sip:b\"\nexpires = 0\nsrpt = \"off\"\ncodecs = [\"g729\"]\n\
         headers = [\"Via: x\", \"X-Good: y\", \"no colon\"]\n[account.b]\naor = \"sip:b@c\"\npreset = \"telnix\"\nring = 500\n",
    );
    let bad = home.run(&["config", "check", "--config", &file]);
    assert_eq!((bad.code, bad.out.as_str()), (8, ""), "{bad:?}");
    let lines: Vec<&str> = bad.err.lines().collect();
    let wanted = [
        (1, "default_account = \"c\""),
        (3, "unknown key phone.bnd; did you mean bind?"),
        (4, "phone.rtp_ports = \"9\""),
        (5, "phone.rate_limit = \"many\""),
        (6, "phone.trace = 1"),
        (8, "packet_time = 25"),
        (10, "account.a.aor = \"sip:b\""),
        (11, "account.a.expires = 0"),
        (12, "unknown key account.a.srpt; did you mean srtp?"),
        (13, "account.a.codecs = [\"g729\"]"),
        (14, "Via"),
        (14, "no colon"),
        (17, "account.b.preset = \"telnix\""),
        (18, "account.b.ring = 500"),
    ];
    assert_eq!(lines.len(), wanted.len(), "each once:\n{}", bad.err);
    for (said, (line, text)) in lines.iter().zip(wanted) {
        let place = format!("sidetone: {file}:{line}: ");
        assert!(said.starts_with(&place) && said.contains(text), "line {line}, {text}:\n{}", bad.err);
    }
    // What is no TOML is told by each line that is none.
    let file = write(&home, "[account.a\naor = \"sip:a@b\"\nexpires = =\n");
    let bad = home.run(&["config", "check", "--config", &file]);
    assert!(bad.code == 8 && bad.err.contains("config.toml:1: ") && bad.err.contains("config.toml:3: "), "{bad:?}");
    // Keys of the environment have no line; they are told behind those that have.
    let file = write(&home, "[account.a]\naor = \"sip:a@b\"\nexpires = 0\n");
    let mut command = home.command(&["config", "check", "--config", &file]);
    let bad = Running::start(command.env("SIDETONE__PHONE__TRACE_KEEP", "some")).finish();
    let lines: Vec<&str> = bad.err.lines().collect();
    assert!(lines.len() == 2 && lines[1].contains("SIDETONE__PHONE__TRACE_KEEP \"some\""), "{bad:?}");
}

#[test]
fn guard_and_recorder_are_keys_too() {
    let home = Home::new();
    std::fs::write(home.path("callers"), "ann:secret\n").unwrap();
    let file = write(
        &home,
        &format!(
            "[phone]\nsources = [\"192.0.2.0/24\"]\nchallenge_callers = \"{}\"\nrate_limit = 50\ntrace = true\n\
             trace_keep = 10\ntrace_entries = 64\ntrace_octets = 9000\ntrace_secrets = false\nhep = \"127.0.0.1\"\n\
             hep_id = 7\nhep_key = \"correct-horse\"\n",
            home.text("callers")
        ),
    );
    let good = home.run(&["config", "check", "--config", &file]);
    assert_eq!(good.code, 0, "{good:?}");
    let mut command = home.command(&["config", "print", "--config", &file]);
    let shown = Running::start(command.env("SIDETONE__PHONE__RATE_LIMIT", "5")).finish();
    for text in ["rate_limit = \"5\"", "SIDETONE__PHONE__RATE_LIMIT", "trace_keep = 10", "hep_key = \"********\""] {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
    assert!(!shown.out.contains("correct-horse"), "{}", shown.out);
}

#[test]
fn print_tells_every_value_and_its_origin_but_no_secret() {
    let home = Home::new();
    let file = write(
        &home,
        "[phone]\nbind = \"127.0.0.1\"\n[account.office]\npreset = \"telnyx\"\naor = \"sip:me@sip.telnyx.com\"\n\
         password = \"correct-horse\"\n[account.home]\naor = \"sip:me@pbx.example\"\npassword = \"${env:PBX}\"\n",
    );
    let mut command = home.command(&["config", "print", "--config", &file]);
    command.env("SIDETONE__ACCOUNT__HOME__EXPIRES", "120").env("PBX", "battery-staple");
    let text = Running::start(&mut command).finish();
    assert_eq!(text.code, 0, "{text:?}");
    let line = |start: &str| {
        let found = text.out.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in\n{}", text.out)).to_owned()
    };
    assert!(line("bind = \"127.0.0.1\"").contains("config.toml:2"));
    assert!(line("expires = \"120\"").contains("SIDETONE__ACCOUNT__HOME__EXPIRES"));
    assert!(line("expires = 300").contains("preset telnyx"));
    assert!(line("password = \"${env:PBX}\"").contains("config.toml:9"));
    assert!(line("password = \"********\"").contains("config.toml:6"));
    let mut command = home.command(&["config", "print", "--json", "--config", &file]);
    let json = Running::start(command.env("PBX", "battery-staple")).finish();
    let values = json.objects();
    let office = values.iter().find(|value| value["key"] == "account.office.transport").unwrap();
    assert_eq!((&office["value"], &office["origin"]), (&"\"tls\"".into(), &"preset telnyx".into()));
    for secret in ["correct-horse", "battery-staple", PASSWORD] {
        assert!(!(text.out.clone() + &json.out + &text.err + &json.err).contains(secret), "{secret}");
    }
}

#[test]
fn the_schema_is_a_json_schema_of_the_file() {
    let home = Home::new();
    let outcome = home.run(&["config", "schema"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let schema: Value = serde_json::from_str(&outcome.out).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert_eq!(schema["additionalProperties"], false);
    let account = &schema["$defs"]["Account"]["properties"];
    assert_eq!(account["srtp"]["enum"], serde_json::json!(["off", "optional", "required", "dtls"]));
    assert!(account["refresh"]["description"].as_str().unwrap().contains("per cent"));
}

#[test]
fn an_account_of_the_file_registers_and_calls() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let bob = domain.bob(&theirs, &["--max-calls", "1", "--codec", "pcma,pcmu"]);
    let file = write(
        &ours,
        &format!(
            "default_account = \"ann\"\n[defaults]\ncodecs = [\"pcma\"]\n[account.ann]\naor = \"{}\"\nexpires = 120\n\
             [account.other]\naor = \"sip:nobody@192.0.2.1\"\n",
            domain.aor("ann")
        ),
    );
    let arguments = ["call", "bob", "--config", &file, "--source", "silence", "--sink", "null", "--duration", "1"];
    let more = ["--header", "X-Campaign: spring", "--json"];
    let ann = ours.run(&[&arguments[..], &more].concat());
    assert_eq!(ann.code, 0, "{ann:?}");
    let registered = ann.objects().into_iter().find(|event| event["event"] == "registration.registered").unwrap();
    assert_eq!(registered["expires"], 120);
    let call = &ann.ended()[0];
    assert_eq!((&call["codec"], &call["account"]), (&"PCMA".into(), &domain.aor("ann").as_str().into()));
    let heard = &bob.finish().ended()[0];
    assert_eq!(heard["metadata"]["headers"]["X-Campaign"], "spring");
    assert_eq!(
        (&heard["metadata"]["cause"], &heard["metadata"]["cause_text"]),
        (&16.into(), &"somebody hung up".into())
    );
    let bad = ours.run(&["call", "bob", "--config", &file, "--header", "Via: x"]);
    assert!(bad.code == 8 && bad.err.contains("X-"), "{bad:?}");
}

#[test]
fn run_keeps_all_accounts_and_deals_with_calls_by_their_policies() {
    let (domain, ours, theirs) = (Domain::start(), Home::new(), Home::new());
    let file = write(
        &ours,
        &format!(
            "[defaults]\nsource = \"tone:500\"\nsink = \"null\"\n\
             [account.cid]\naor = \"{}\"\non_call = \"answer\"\ncodecs = [\"pcma\"]\n\
             [account.dan]\naor = \"{}\"\non_call = \"reject\"\nreject_status = 603\n",
            domain.aor("cid"),
            domain.aor("dan")
        ),
    );
    let mut phone = ours.start(&["run", "--config", &file]);
    let ready = phone.expect("phone.ready");
    assert_eq!(ready["accounts"], serde_json::json!(["cid", "dan"]));
    let mut registered = [phone.expect("registration.registered"), phone.expect("registration.registered")]
        .map(|event| event["account"].as_str().unwrap().to_owned());
    registered.sort();
    assert_eq!(registered, [domain.aor("cid"), domain.aor("dan")]);

    let taken = domain.calls(&theirs, "ann", "cid", &["--duration", "1"]).finish();
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(taken.ended()[0]["codec"], "PCMA", "the codec of the account that is called");
    let declined = domain.calls(&theirs, "ann", "dan", &[]).finish();
    assert_eq!((declined.code, &declined.ended()[0]["status"]), (6, &"declined".into()), "{declined:?}");
    assert_eq!(declined.ended()[0]["metadata"]["cause"], 21);
    phone.interrupt();
    let phone = phone.finish();
    assert_eq!(phone.code, 0, "{phone:?}");
    assert_eq!(phone.ended().len(), 2);
    let gone = phone.objects().iter().filter(|event| event["event"] == "registration.unregistered").count();
    assert_eq!(gone, 2, "both bindings were taken back:\n{}", phone.out);
}

#[test]
fn a_carrier_without_registration_is_not_registered_at() {
    let home = Home::new();
    let file =
        write(&home, "[account.trunk]\npreset = \"twilio-trunk\"\naor = \"sip:+15550100001@x.pstn.twilio.com\"\n");
    let outcome = home.run(&["register", "--once", "--config", &file]);
    assert_eq!(outcome.code, 8, "{outcome:?}");
    assert!(outcome.err.contains("trunk") && outcome.err.contains("register = true"), "{}", outcome.err);
    let number = home.run(&["call", "5550100009", "--config", &file, "--source", "silence", "--sink", "null"]);
    assert_eq!(number.code, 8, "{number:?}");
    assert!(number.err.contains("country_code"), "{}", number.err);
}

/// Two bindings of one address: the Contact tells which of them is called.
#[test]
fn two_accounts_of_one_address_keep_their_own_policies() {
    let (domain, home, ours) = (Domain::start(), Home::new(), Home::new());
    let aor = domain.aor("bob");
    let file = write(
        &home,
        &format!(
            "[defaults]\naor = \"{aor}\"\nsource = \"silence\"\nsink = \"null\"\n\
             [account.desk]\non_call = \"answer\"\n[account.night]\non_call = \"reject\"\nreject_status = 603\n"
        ),
    );
    let mut run = home.start(&["run", "--config", &file]);
    let contacts = [(); 2].map(|()| run.expect("registration.registered")["contact"].as_str().unwrap().to_owned());
    assert_ne!(contacts[0], contacts[1]);
    let call = |contact: &str| {
        let target = contact.trim_matches(['<', '>']);
        let arguments = ["call", target, "--no-register", "--source", "silence", "--sink", "null", "--duration", "0.5"];
        ours.start(&[&arguments[..], &["--bind", "127.0.0.1"]].concat()).finish().code
    };
    let mut codes = contacts.each_ref().map(|contact| call(contact));
    codes.sort_unstable();
    assert_eq!(codes, [0, 6], "one answers, the other declines");
    run.interrupt();
    run.finish();
    let mut calls: Vec<_> = home
        .history(&[])
        .iter()
        .map(|call| {
            format!("{} {}", call["metadata"]["account_name"].as_str().unwrap(), call["status"].as_str().unwrap())
        })
        .collect();
    calls.sort();
    assert_eq!(calls, ["desk completed", "night declined"]);

    let text = format!("[defaults]\naor = \"{aor}\"\n[account.desk]\n[account.night]\nregister = false\n");
    let file = write(&home, &text);
    for verb in [&["config", "check"][..], &["run"]] {
        let bad = home.run(&[verb, &["--config", &file]].concat());
        assert_eq!(bad.code, 8, "{bad:?}");
        assert!(
            bad.err.contains("accounts desk and night are both") && bad.err.contains("let both register"),
            "{bad:?}"
        );
    }
    // Where they come from tells, too.
    let apart = "[account.desk]\nregister = false\nsources = [\"192.0.2.1\"]\n\
        [account.night]\nregister = false\nsources = [\"192.0.2.2\"]\n";
    let file = write(&home, &format!("[defaults]\naor = \"{aor}\"\n{apart}"));
    assert_eq!(home.run(&["config", "check", "--config", &file]).code, 0);
}
