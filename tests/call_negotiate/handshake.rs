//! DTLS-SRTP, connectivity checks and the renewal of keys in offer and answer.

use super::{Call, streams, with};
use sidetone::call::negotiate::{Local, Rejected, SrtpPolicy};
use sidetone::media::dtls::{Fingerprint, Hash, Role};
use sidetone::media::plan::Codec;

const THEIRS: &str = "a=fingerprint:sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD";

fn dtls(change: impl FnOnce(&mut Local)) -> Local {
    with(|local| {
        local.srtp = SrtpPolicy::Dtls;
        local.codecs = vec![Codec::Pcmu];
        local.telephone_events = false;
        local.fingerprint = Some(Fingerprint::of(Hash::Sha256, b"ours"));
        change(local);
    })
}

fn offer(protocol: &str, attributes: &str) -> String {
    format!("m=audio 5000 {protocol} 0\na=rtcp-mux\n{attributes}")
}

#[test]
fn our_offer_leaves_the_role_to_the_answer() {
    for (setup, role) in [
        ("a=setup:active", Role::Server),
        ("a=setup:passive", Role::Client),
        ("a=setup:PASSIVE", Role::Client),
        ("", Role::Server),
    ] {
        let mut call = Call::new(dtls(|_| {}));
        let text = streams(&call.offer());
        assert!(text.starts_with("m=audio 4000 UDP/TLS/RTP/SAVP 0\n"), "{text}");
        assert!(text.contains("a=setup:actpass\n") && text.contains("a=fingerprint:sha-256 "), "{text}");
        assert!(!text.contains("a=crypto") && text.contains("a=rtcp-mux\n"), "{text}");
        assert!(call.negotiation.awaited().is_some_and(|awaited| awaited.dtls && awaited.ice.is_none()));
        let plan = call.answered(&offer("UDP/TLS/RTP/SAVP", &format!("{setup}\n{THEIRS}"))).unwrap().plan;
        let agreed = plan.dtls.unwrap();
        assert_eq!((agreed.role, agreed.fingerprints.len(), plan.srtp), (role, 1, None), "{setup}");
        assert_eq!(call.negotiation.awaited(), None);
    }
}

#[test]
fn our_answer_says_our_role_and_keeps_it() {
    for (setup, said, role) in [
        ("a=setup:actpass", "active", Role::Client),
        ("a=setup:passive", "active", Role::Client),
        ("a=setup:active", "passive", Role::Server),
    ] {
        let mut call = Call::new(dtls(|_| {}));
        let body = offer("UDP/TLS/RTP/SAVPF", &format!("{setup}\na=tls-id:1234567890abcdefghij\n{THEIRS}"));
        let (octets, agreement) = call.answer(&body).unwrap();
        let text = streams(&octets);
        assert!(text.starts_with("m=audio 4000 UDP/TLS/RTP/SAVPF 0\n"), "{text}");
        assert!(text.contains(&format!("a=setup:{said}\n")), "{text}");
        assert_eq!(agreement.plan.dtls.as_ref().unwrap().role, role);
        // An association that goes on keeps its roles (RFC 8842 section 5.3), and nothing has changed.
        let (octets, again) = call.answer(&body.replace(setup, "a=setup:actpass")).unwrap();
        assert!(streams(&octets).contains(&format!("a=setup:{said}\n")));
        assert!(!again.changed.any(), "{again:?}");
        // Another certificate is another association.
        let (_, changed) = call.answer(&body.replace("BA:78", "BB:78")).unwrap();
        assert!(changed.changed.keys);
    }
}

#[test]
fn what_cannot_be_compared_or_begun_is_refused() {
    for (protocol, attributes, expected) in [
        ("RTP/AVP", "", "no DTLS-SRTP (a=fingerprint), which is required here"),
        ("UDP/TLS/RTP/SAVP", "a=setup:active", "no DTLS-SRTP"),
        ("UDP/TLS/RTP/SAVP", "a=setup:active\na=fingerprint:md5 AB:CD", "no usable fingerprint (md5"),
        ("UDP/TLS/RTP/SAVP", "a=setup:active\na=fingerprint:sha-256 AB:CD", "no usable fingerprint"),
        ("UDP/TLS/RTP/SAVP", &format!("a=setup:holdconn\n{THEIRS}"), "a=setup:holdconn is not supported"),
        ("DTLS/SCTP", THEIRS, "audio over DTLS/SCTP is not supported"),
    ] {
        let refused = Call::new(dtls(|_| {})).answer(&offer(protocol, attributes)).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        assert_eq!(refused.status(), 488);
        let mut call = Call::new(dtls(|_| {}));
        call.offer();
        assert!(call.answered(&offer(protocol, attributes)).is_err(), "{protocol} {attributes}");
    }
    let several =
        format!("a=setup:active\na=fingerprint:sha-999 AB\n{THEIRS}\na=fingerprint:sha-1 {}", ["AB"; 20].join(":"));
    let plan = Call::new(dtls(|_| {})).answer(&offer("UDP/TLS/RTP/SAVP", &several)).unwrap().1.plan;
    assert_eq!(plan.dtls.unwrap().fingerprints.len(), 2, "those that are known");
}

/// Policies that want keys in the SDP take a handshake where it is offered; off takes none.
#[test]
fn other_policies_take_a_handshake_too() {
    let body = offer("UDP/TLS/RTP/SAVP", &format!("a=setup:actpass\n{THEIRS}"));
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let mut call = Call::new(dtls(|local| local.srtp = policy));
        assert!(call.answer(&body).unwrap().1.plan.dtls.is_some());
        assert!(call.offer().windows(16).any(|part| part == b"UDP/TLS/RTP/SAVP"), "and the next offer keeps it");
    }
    let off = Call::new(dtls(|local| local.srtp = SrtpPolicy::Off)).answer(&body).unwrap_err();
    assert!(matches!(off, Rejected::SrtpOff { .. }), "{off}");
    let bare = Call::new(dtls(|local| local.fingerprint = None)).answer(&body).unwrap_err();
    assert!(matches!(bare, Rejected::Transport { .. }), "{bare}");
}

#[test]
fn a_lite_agent_shows_where_it_is_and_who() {
    let lite = |local: &mut Local| {
        local.ice = true;
        local.hosts = vec![("10.0.0.7:4000".parse().unwrap(), "10.0.0.7:4001".parse().unwrap())];
    };
    let ice = "a=ice-ufrag:them\na=ice-pwd:0123456789012345678901\na=ice-options:trickle\na=candidate:1 1 UDP 1 192.0.2.9 9 typ host\na=end-of-candidates";
    let mut call = Call::new(dtls(lite));
    let text = String::from_utf8(call.offer()).unwrap();
    for line in [
        "a=ice-lite",
        "a=ice-options:ice2",
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host",
        "a=candidate:1 2 UDP 2130706430 192.0.2.1 4001 typ host",
        "a=candidate:2 1 UDP 2130706175 10.0.0.7 4000 typ host",
        "a=end-of-candidates",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 0",
    ] {
        assert!(text.lines().any(|known| known == line), "no {line} in {text}");
    }
    let user = text.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
    let answer = offer("UDP/TLS/RTP/SAVPF", &format!("a=setup:active\n{THEIRS}\n{ice}"));
    let plan = call.answered(&answer).unwrap().plan;
    let agreed = plan.ice.unwrap();
    assert_eq!((agreed.local.user.as_str(), agreed.remote_user.as_str(), agreed.remote_lite), (user, "them", false));
    // Who does no ICE is not bothered with it; who begins anew gets a new name (RFC 8445 section 9).
    let mut call = Call::new(dtls(lite));
    let without = offer("UDP/TLS/RTP/SAVP", &format!("a=setup:actpass\n{THEIRS}"));
    let (octets, agreement) = call.answer(&without).unwrap();
    assert!(agreement.plan.ice.is_none() && !String::from_utf8(octets).unwrap().contains("ice-"));
    let with_ice = format!("{without}\n{ice}");
    let first = call.answer(&with_ice).unwrap().1.plan.ice.unwrap();
    assert_eq!(call.answer(&with_ice).unwrap().1.plan.ice.unwrap(), first);
    let anew = call.answer(&with_ice.replace("0123456789", "9876543210")).unwrap().1.plan.ice.unwrap();
    assert_ne!(anew.local, first.local);
    assert!(!format!("{anew:?}").contains(&anew.local.password), "the password is not printed");
}

/// RFC 4568 section 6.1: the lifetime is the far end's; a renewal brings a new key of ours.
#[test]
fn keys_are_renewed_when_they_wear_out() {
    let mut call = Call::new(with(|local| local.srtp = SrtpPolicy::Required));
    let key = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap().split("inline:").nth(1).unwrap()[..40].to_owned();
    let first = key(&call.offer());
    let theirs = format!("m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}|2^10", super::KEY);
    let plan = call.answered(&theirs).unwrap().plan;
    assert_eq!(plan.srtp.unwrap().remote_lifetime, Some(1_024));
    assert_eq!(key(&call.offer()), first, "an ordinary offer keeps the key");
    call.negotiation.withdraw();
    call.negotiation.renew_keys();
    let renewed = key(&call.offer());
    assert_ne!(renewed, first);
    let answer = theirs.replace(super::KEY, super::OTHER_KEY);
    assert!(call.answered(&answer).unwrap().changed.keys);
    assert_eq!(key(&call.offer()), renewed);
}
