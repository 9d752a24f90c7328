//! `sidetone doctor` at TLS servers: good ones, and each kind that is not.

use crate::authority::Authority;
use crate::carrier::{Carrier, address, names};
use crate::process::{Home, Outcome, Running};
use serde_json::Value;
use sidetone::net::TlsSettings;
use sidetone::sip::message::Method;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

/// Starts the doctor for an account at `pbx.example` over TLS.
fn start(home: &Home, names: SocketAddr, ca: Option<&Path>, more: &[&str]) -> Running {
    let text = "[account.line]\naor = \"sip:alice@pbx.example\"\ntransport = \"tls\"\nregister = false\n";
    std::fs::write(home.path("config.toml"), text).unwrap();
    let (file, names) = (home.text("config.toml"), names.to_string());
    let mut arguments = vec!["doctor", "--config", &file, "--dns-server", &names];
    if let Some(ca) = ca {
        arguments.extend(["--tls-ca", ca.to_str().unwrap()]);
    }
    arguments.extend(more);
    Running::start(&mut home.command(&arguments))
}

/// Examines a server with this certificate; `answers` OPTIONS that it gets.
fn examine(tls: &TlsSettings, ca: Option<&Path>, answers: usize, more: &[&str]) -> Outcome {
    let (home, mut carrier) = (Home::new(), Carrier::start(Some(tls)));
    let doctor = start(&home, carrier.names, ca, more);
    for _ in 0..answers {
        let (hop, options) = carrier.request(&Method::Options);
        carrier.answer(hop, &options, 200, &[("Server", "Example")], None);
    }
    doctor.finish()
}

/// The findings of a check.
fn findings(outcome: &Outcome, check: &str) -> Vec<Value> {
    let all = outcome.objects().into_iter().filter(|event| event["event"] == "doctor.finding");
    all.filter(|finding| finding["check"] == check).collect()
}

fn text(finding: &Value) -> &str {
    finding["text"].as_str().unwrap()
}

#[test]
fn a_good_certificate_is_shown_with_its_chain() {
    let authority = Authority::new();
    let issued = authority.issue(&["*.example", "pbx.example", "192.0.2.7"]);
    // With the authority's own behind it.
    let (own, above) =
        (std::fs::read(issued.cert.as_ref().unwrap()).unwrap(), std::fs::read(authority.file()).unwrap());
    std::fs::write(issued.cert.as_ref().unwrap(), [own, above].concat()).unwrap();
    // UDP and TCP are asked too.
    let good = examine(&issued, Some(&authority.file()), 3, &["--json"]);
    assert_eq!(good.code, 0, "{good:?}");
    let tls = findings(&good, "tls");
    assert!(tls.iter().all(|finding| finding["mark"] == "ok") && tls.len() == 2, "{tls:?}");
    assert!(text(&tls[0]).contains("speaks TLSv1.3 with TLS13_"), "{tls:?}");
    assert_eq!(tls[0]["details"]["matched"], "*.example", "the first that fits");
    assert_eq!((&tls[0]["details"]["verified"], &tls[0]["details"]["version"]), (&true.into(), &"TLSv1.3".into()));
    assert!(text(&tls[1]).contains("200 OK"), "{tls:?}");
    let chain = findings(&good, "certificate");
    assert_eq!(chain.len(), 2, "{chain:?}");
    assert_eq!(chain[0]["details"]["names"], serde_json::json!(["*.example", "pbx.example", "192.0.2.7"]));
    assert!(chain[0]["details"]["issuer"].as_str().unwrap().contains("Authority"), "{chain:?}");
    assert!(chain[0]["details"]["days_left"].as_i64().unwrap() > 1_000, "{chain:?}");
    assert!(text(&chain[1]).contains("issued by itself"), "{chain:?}");
    let human = examine(&issued, Some(&authority.file()), 3, &[]);
    assert!(human.out.contains("ok    certificate   1. ") && human.out.contains("days left"), "{}", human.out);
}

#[test]
fn a_certificate_that_is_about_to_expire_is_warned_of() {
    let authority = Authority::new();
    let outcome = examine(&authority.issue_for_days(&["pbx.example"], 10), Some(&authority.file()), 3, &["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let own = &findings(&outcome, "certificate")[0];
    assert_eq!(own["mark"], "warn", "{own}");
    assert!(text(own).contains("only 9 days left") || text(own).contains("only 10 days left"), "{own}");
    assert!(own["remedy"].as_str().unwrap().contains("renewed before"), "{own}");
}

/// What is not to be trusted is shown all the same, with why and what to do, and is not spoken to.
#[test]
fn what_cannot_be_trusted_is_shown_with_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let ca = authority.file();
    let signed = Home::new();
    let made = rcgen::generate_simple_self_signed(vec!["pbx.example".to_owned()]).unwrap();
    std::fs::write(signed.path("own.pem"), made.cert.pem()).unwrap();
    std::fs::write(signed.path("own.key"), made.signing_key.serialize_pem()).unwrap();
    let self_signed =
        TlsSettings { cert: Some(signed.path("own.pem")), key: Some(signed.path("own.key")), ..TlsSettings::default() };
    let rows = [
        (authority.issue_expired(&["pbx.example"]), "expired on 2020-02-03", "renewed", "expired"),
        (authority.issue(&["elsewhere.example"]), "is for elsewhere.example", "reissued", "elsewhere.example"),
        (other.issue(&["pbx.example"]), "not trusted here", "sends its own certificate alone", "pbx.example"),
        (self_signed, "not trusted here", "self-signed", "issued by itself"),
    ];
    for (settings, why, remedy, shown) in rows {
        // UDP and TCP alone are asked.
        let outcome = examine(&settings, Some(&ca), 2, &["--json"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let tls = findings(&outcome, "tls");
        assert!(tls.len() == 1 && tls[0]["mark"] == "fail", "{tls:?}");
        assert!(text(&tls[0]).contains(why) && text(&tls[0]).contains("TLSv1.3"), "{tls:?}");
        assert!(tls[0]["remedy"].as_str().unwrap().contains(remedy), "{tls:?}");
        let chain = findings(&outcome, "certificate");
        assert!(chain.len() == 1 && text(&chain[0]).contains(shown), "{chain:?}");
    }
    // Told to take it all the same, it is spoken to, and the doctor says what that means.
    let outcome = examine(&other.issue(&["pbx.example"]), Some(&ca), 3, &["--tls-insecure", "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let tls = findings(&outcome, "tls");
    assert!(tls[0]["mark"] == "warn" && text(&tls[0]).contains("--tls-insecure"), "{tls:?}");
    assert!(tls[1]["mark"] == "ok" && text(&tls[1]).contains("200 OK"), "{tls:?}");
}

/// A server that takes the connection and says nothing, and one that closes it.
#[test]
fn a_port_that_speaks_no_tls_is_told() {
    for (silent, why) in
        [(true, "did not finish the TLS handshake in 4 s"), (false, "closed the connection during the TLS handshake")]
    {
        let ip: IpAddr = address();
        let listener = TcpListener::bind((ip, 5061)).unwrap();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if silent {
                    held.push(stream);
                }
            }
        });
        let home = Home::new();
        let outcome = start(&home, names(ip), None, &["--json"]).finish();
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let tls = findings(&outcome, "tls");
        assert!(tls.len() == 1 && tls[0]["mark"] == "fail" && text(&tls[0]).contains(why), "{tls:?}");
        assert!(findings(&outcome, "certificate").is_empty());
    }
}
