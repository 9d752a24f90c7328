//! The doctor and the flight recorder against Kamailio.

use crate::kamailio::Kamailio;
use crate::process::installed;
use crate::sidetone::Home;
use serde_json::Value;

#[test]
fn an_account_at_kamailio_is_examined() {
    if !installed("kamailio") {
        return;
    }
    let kamailio = Kamailio::start();
    let home = Home::new();
    let aor = format!("sip:alice@{}", kamailio.address);
    let bind = kamailio.address.ip().to_string();
    let arguments = ["doctor", "--aor", &aor, "--bind", &bind, "--json"];
    let (code, out, err) = home.run(&arguments, "secret-alice");
    let findings: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let of = |check: &str| -> Vec<&Value> { findings.iter().filter(|finding| finding["check"] == check).collect() };
    assert_eq!(code, 0, "{out}\n{err}");
    for transport in ["udp", "tcp"] {
        assert_eq!(of(transport)[0]["mark"], "ok", "{out}");
    }
    assert!(of("udp")[0]["details"]["server"].as_str().unwrap().contains("kamailio"), "{out}");
    let challenge = of("challenge")[0];
    assert_eq!((&challenge["details"]["status"], &challenge["details"]["qop"]), (&401.into(), &"auth".into()), "{out}");
    assert_eq!((&of("registration")[0]["mark"], &of("nat")[0]["mark"]), (&"ok".into(), &"ok".into()), "{out}");

    let (code, out, _) = home.run(&arguments, "wrong");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("did not accept user name and password"), "{out}");
    let (_, ladder, _) = home.run(&["trace", "ladder", "registration:alice"], "");
    assert!(ladder.contains("REGISTER") && ladder.contains("401 Unauthorized"), "{ladder}");
}
