//! A row per case.

use super::*;

const CODECS: &[Codec] = &[Codec::Opus, Codec::Pcmu];

fn asked(srtp: SrtpPolicy) -> Asked<'static> {
    Asked::Call { srtp, codecs: CODECS, to: "+15550100001@h.example" }
}

#[track_caller]
fn sentence(server: &str, status: u16, reason: &str, fields: &[(&str, &str)], asked: Asked<'_>) -> String {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.push(Name::of(name), *value);
    }
    explain(&Refusal { status, reason, headers: &headers, server, asked })
}

#[test]
fn media_is_judged_by_what_was_offered() {
    use SrtpPolicy::{Off, Optional, Required};
    let warning = |code: &str, text: &str| format!("{code} h \"{text}\"");
    let rows = [
        // Status, reason, Warning, our policy, what the sentence has to hold.
        (488, "Not Acceptable Here B3", String::new(), Off, "it wants SRTP; set srtp = \"required\""),
        (488, "Not Acceptable Here B3", String::new(), Required, "srtp = \"off\""),
        (
            488,
            "x",
            warning("302", "Incompatible transport protocol"),
            Off,
            "set srtp = \"required\" (it says: Incompatible",
        ),
        (488, "x", warning("302", "no"), Required, "it has no SRTP that fits ours"),
        (488, "x", warning("306", "no"), Optional, "\"required\" or \"off\""),
        (488, "x", warning("399", "line 4: the far end wants encrypted media"), Off, "it wants SRTP"),
        (488, "SAVP only", String::new(), Off, "it wants SRTP; set srtp = \"required\""),
        (
            488,
            "x",
            warning("305", "Incompatible media format"),
            Off,
            "none of our codecs (opus, PCMU); add pcmu or pcma",
        ),
        (606, "No common codec", String::new(), Required, "none of our codecs"),
        (488, "x", warning("301", "no"), Off, "public address"),
        (488, "x", warning("370", "no"), Off, "bandwidth"),
        (488, "Not Acceptable Here", String::new(), Off, "it may want SRTP: set srtp = \"required\""),
        (488, "Not Acceptable Here", String::new(), Required, "try srtp = \"off\""),
    ];
    for (status, reason, warning, srtp, holds) in rows {
        let fields: &[(&str, &str)] = if warning.is_empty() { &[] } else { &[("Warning", &warning)] };
        let text = sentence("sip.telnyx.com", status, reason, fields, asked(srtp));
        assert!(
            text.starts_with(&format!("{status} from sip.telnyx.com: ")) && text.contains(holds),
            "{reason} {warning}: {text}"
        );
    }
    let quoted = sentence("sip.telnyx.com", 488, "Not Acceptable Here B3", &[], asked(Off));
    assert_eq!(quoted, "488 from sip.telnyx.com: it wants SRTP; set srtp = \"required\"");
}

#[test]
fn carriers_have_codes_of_their_own() {
    let rows = [
        (
            "x.sip.twilio.com",
            403,
            "Forbidden",
            ("X-Twilio-Error", "32205 Not allowed"),
            "geographic permissions (32205)",
        ),
        ("x.pstn.twilio.com", 400, "32101", ("A", "b"), "+ and digits (32101)"),
        ("192.0.2.1", 403, "32208 x", ("Server", "Twilio Gateway"), "it wants SRTP; set srtp = \"required\" (32208)"),
        ("x.sip.twilio.com", 403, "Forbidden", ("Warning", "399 twilio \"32209: TLS\""), "set transport = \"tls\""),
        ("sip.telnyx.com", 403, "Caller Origination Number is Invalid D35", ("A", "b"), "the caller id is not valid"),
        ("sip.telnyx.eu", 480, "RG1", ("A", "b"), "not registered"),
        ("sip.telnyx.com", 403, "D38", ("A", "b"), "outbound voice profile"),
        // Only of that carrier.
        ("other.example", 403, "D38", ("A", "b"), "it does not allow this call (\"D38\")"),
    ];
    for (server, status, reason, field, holds) in rows {
        let text = sentence(server, status, reason, &[field], asked(SrtpPolicy::Off));
        assert!(text.contains(holds), "{server} {reason}: {text}");
    }
}

#[test]
fn every_status_says_what_to_change() {
    let rows = [
        (302, ("Contact", "<sip:b@other>"), "elsewhere: <sip:b@other>"),
        (400, ("A", "b"), "cannot read our request"),
        (401, ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\""), "for the realm \"r\"; check --auth-user"),
        (407, ("Proxy-Authenticate", "Digest realm=\"p\", nonce=\"n\""), "for the realm \"p\"; check --auth-user"),
        (402, ("A", "b"), "balance"),
        (403, ("A", "b"), "caller id"),
        (404, ("A", "b"), "nobody at +15550100001@h.example; check the number"),
        (405, ("Allow", "BYE"), "(it takes BYE)"),
        (406, ("A", "b"), "body"),
        (408, ("A", "b"), "firewall"),
        (410, ("A", "b"), "gone for good"),
        (413, ("A", "b"), "too large"),
        (415, ("Warning", "305 h \"x\""), "none of our codecs"),
        (416, ("A", "b"), "sips:"),
        (420, ("Unsupported", "foo"), "require (foo)"),
        (421, ("Require", "100rel"), "requires 100rel"),
        (422, ("Min-SE", "1800"), "at least 1800 s"),
        (423, ("Min-Expires", "900"), "at least 900 s"),
        (433, ("A", "b"), "anonymous"),
        (480, ("Retry-After", "30"), "try again in 30 s"),
        (481, ("A", "b"), "dialog"),
        (483, ("A", "b"), "loop"),
        (484, ("A", "b"), "not complete"),
        (486, ("A", "b"), "busy; try again later"),
        (487, ("A", "b"), "given up"),
        (491, ("A", "b"), "try again"),
        (500, ("A", "b"), "on its side"),
        (501, ("A", "b"), "right server"),
        (503, ("Retry-After", "5"), "try again in 5 s"),
        (504, ("A", "b"), "behind it"),
        (513, ("A", "b"), "tcp"),
        (600, ("A", "b"), "busy"),
        (603, ("A", "b"), "declined"),
        (603, ("Reason", "Q.850;cause=17"), "the network behind it says: "),
        (604, ("A", "b"), "nobody"),
        (607, ("A", "b"), "do not call again"),
        (428, ("A", "b"), "STIR"),
        (429, ("Retry-After", "7"), "too many requests from us; try again in 7 s"),
        (429, ("A", "b"), "Referred-By"),
        (608, ("Call-Info", "<sip:redress@h>"), "complain at <sip:redress@h>"),
        (499, ("Reason", "Q.850;cause=34"), "the network behind it says: "),
        (499, ("A", "b"), "it says \"odd\""),
        (599, ("A", "b"), "on its side"),
        (699, ("A", "b"), "every place"),
    ];
    for (status, field, holds) in rows {
        let text = sentence("h.example", status, "odd", &[field], asked(SrtpPolicy::Off));
        assert!(text.starts_with(&format!("{status} from h.example: ")) && text.contains(holds), "{status}: {text}");
    }
}

/// Every final status that the carriers' pages and traces name has a sentence that says what to change, and where a
/// carrier's pages know more than the status does, the sentence is about that carrier.
#[test]
fn every_refusal_of_every_carrier_says_what_to_change() {
    use SrtpPolicy::{Off, Required};
    const CODES: &[u16] = &[
        400, 401, 402, 403, 404, 405, 406, 407, 408, 410, 413, 414, 415, 416, 420, 421, 422, 423, 429, 433, 480, 481,
        482, 483, 484, 485, 486, 487, 488, 491, 500, 501, 502, 503, 504, 505, 513, 600, 603, 604, 606, 607, 608,
    ];
    // What somebody can do, in the words that the sentences use.
    const REMEDIES: &[&str] = &[
        "check",
        "set ",
        "give ",
        "dial",
        "call ",
        "use ",
        "try ",
        "add ",
        "turn ",
        "show ",
        "look ",
        "let it",
        "send ",
        "register ",
        "enable",
        "raise",
        "complain",
        "allow",
        "copy",
    ];
    let hosts = [
        "example.sip.twilio.com",
        "x.pstn.twilio.com",
        "sip.telnyx.com",
        "space-1a2b.sip.signalwire.com",
        "pbx.example",
    ];
    let register = Asked::Registration { password: true };
    for (host, code) in hosts.iter().flat_map(|host| CODES.iter().map(move |code| (*host, *code))) {
        for asked in [asked(Off), asked(Required), register] {
            let text = sentence(host, code, &Status(code).reason(), &[], asked);
            let what = text.strip_prefix(&format!("{code} from {host}: ")).unwrap_or_else(|| panic!("{text}"));
            assert!(REMEDIES.iter().any(|word| what.contains(word)), "{text}");
        }
    }
    let rows: &[(&str, u16, Asked<'_>, &str)] = &[
        ("example.sip.twilio.com", 400, asked(Off), "+ and digits"),
        ("example.sip.twilio.com", 403, asked(Off), "access control list"),
        ("example.sip.twilio.com", 403, register, "enable registration"),
        ("example.sip.twilio.com", 407, register, "mapped to the domain's registrations"),
        ("example.sip.twilio.com", 404, asked(Off), "TwiML"),
        ("example.sip.twilio.com", 415, asked(Off), "pcmu or pcma"),
        ("example.sip.twilio.com", 423, register, "600 s"),
        ("example.sip.twilio.com", 488, asked(Off), "it wants SRTP; set srtp = \"required\""),
        ("example.sip.twilio.com", 488, asked(Required), "srtp = \"off\""),
        ("example.sip.twilio.com", 603, asked(Off), "declined the call"),
        ("x.pstn.twilio.com", 404, asked(Off), "+ and digits"),
        ("x.pstn.twilio.com", 405, register, "register = false"),
        ("x.pstn.twilio.com", 503, asked(Off), "calls per second"),
        ("x.pstn.twilio.com", 603, asked(Off), "suspended"),
        ("sip.telnyx.com", 401, register, "credential connection"),
        ("sip.telnyx.com", 403, asked(Off), "outbound voice profile"),
        ("sip.telnyx.com", 405, asked(Off), "REFER"),
        ("sip.telnyx.com", 480, asked(Off), "register first"),
        ("sip.telnyx.com", 503, asked(Off), "another of its servers"),
        ("space.sip.signalwire.com", 401, register, "SPACE-SUFFIX"),
        ("space-1a2b.sip.signalwire.com", 488, asked(Off), "it wants SRTP"),
        ("pbx.example", 403, register, "may register"),
    ];
    for (host, code, asked, holds) in rows {
        let text = sentence(host, *code, &Status(*code).reason(), &[], *asked);
        assert!(text.contains(holds), "{text}");
    }
    // What it says beside is not lost.
    let text = sentence("sip.telnyx.com", 403, "Blocked by us", &[], asked(Off));
    assert!(text.ends_with("(\"Blocked by us\")"), "{text}");
}

/// Credentials that were not sent were not refused.
#[test]
fn what_was_not_sent_is_not_called_wrong() {
    use crate::sip::auth::{Algorithm, Refused};
    let challenge = ("Proxy-Authenticate", "Digest realm=\"r\", nonce=\"n\"");
    for (refused, holds) in [
        (Refused::Realm("r".into()), "allow it with --realm"),
        (Refused::Weak(Algorithm::Md5), "weaker than --digest allows"),
        (Refused::Missing, "give --auth-user and SIDETONE_PASSWORD"),
    ] {
        for host in ["pbx.example", "x.pstn.twilio.com"] {
            let text = sentence(host, 407, &refused.to_string(), &[challenge], asked(SrtpPolicy::Off));
            assert!(text.contains("which were not sent") && text.contains(holds), "{text}");
            assert!(!text.contains("did not accept"), "{text}");
        }
    }
}

#[test]
fn registrations_have_reasons_of_their_own() {
    let challenge = ("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\"");
    let rows = [
        (401, false, challenge, "it wants a user name and password for the realm \"r\"; give"),
        (401, true, challenge, "it did not accept user name and password for the realm \"r\""),
        (403, true, ("A", "b"), "may register"),
        (404, true, ("A", "b"), "--aor"),
        (423, true, ("Min-Expires", "600"), "at least 600 s"),
        (503, true, ("Retry-After", "60"), "in 60 s"),
        (488, true, ("A", "b"), "it says \"odd\""),
    ];
    for (status, password, field, holds) in rows {
        let text = sentence("h.example", status, "odd", &[field], Asked::Registration { password });
        assert!(text.contains(holds), "{status}: {text}");
    }
}

#[test]
fn a_peers_words_cannot_command_a_terminal() {
    let text = sentence("h", 499, "\u{1b}[2J\r\nx", &[], asked(SrtpPolicy::Off));
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
