//! SRTP is agreed or refused, never lost on the way.

use super::{Call, KEY, with};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sidetone::call::negotiate::SrtpPolicy;
use sidetone::media::plan::SrtpSuite;

#[test]
fn an_srtp_offer_is_never_downgraded() {
    let key =
        |tag: u32, suite: &str, key: &str| format!("m=audio 5000 RTP/SAVP 0\na=crypto:{tag} {suite} inline:{key}");
    let good = key(2, "AES_CM_128_HMAC_SHA1_32", KEY);
    for (policy, answer, expected) in [
        (SrtpPolicy::Required, good.clone(), "keyed"),
        (SrtpPolicy::Required, good.replace("SAVP", "AVP"), "keyed"),
        (SrtpPolicy::Required, "m=audio 5000 RTP/SAVP 0".into(), "no usable SRTP key"),
        (SrtpPolicy::Required, "m=audio 5000 RTP/AVP 0".into(), "which is required here"),
        (
            SrtpPolicy::Required,
            key(2, "AES_CM_128_HMAC_SHA1_80", KEY),
            "tag 2 with AES_CM_128_HMAC_SHA1_80 was not offered",
        ),
        (SrtpPolicy::Required, key(3, "AES_CM_128_HMAC_SHA1_80", KEY), "was not offered"),
        (SrtpPolicy::Required, key(1, "AES_CM_128_HMAC_SHA1_80", "AAAA"), "has 3 octets"),
        (SrtpPolicy::Required, format!("{good} UNAUTHENTICATED_SRTP"), "UNAUTHENTICATED_SRTP"),
        (SrtpPolicy::Optional, good.clone(), "keyed"),
        (SrtpPolicy::Optional, good.replace("SAVP", "AVP"), "keyed"),
        (SrtpPolicy::Optional, "m=audio 5000 RTP/AVP 0".into(), "plain"),
        (SrtpPolicy::Optional, "m=audio 5000 RTP/SAVP 0".into(), "no usable SRTP key"),
        (SrtpPolicy::Optional, key(9, "AES_CM_128_HMAC_SHA1_80", KEY).replace("SAVP", "AVP"), "was not offered"),
        (SrtpPolicy::Off, "m=audio 5000 RTP/AVP 0".into(), "plain"),
        (SrtpPolicy::Off, good.replace("SAVP", "AVP"), "plain"),
        (SrtpPolicy::Off, good.clone(), "which is off here"),
    ] {
        let mut call = Call::new(with(|l| l.srtp = policy));
        call.offer();
        let outcome = match call.answered(&answer) {
            Ok(agreement) if agreement.plan.srtp.is_some() => "keyed".to_owned(),
            Ok(_) => "plain".to_owned(),
            Err(rejected) => rejected.to_string(),
        };
        assert!(outcome.contains(expected), "{policy} {answer}: {outcome}");
    }
    // The mirror: our own key is no key of theirs.
    let mut call = Call::new(with(|l| l.srtp = SrtpPolicy::Required));
    let offer = String::from_utf8(call.offer()).unwrap();
    let mirrored = call.negotiation.answered(offer.as_bytes()).unwrap_err();
    assert!(mirrored.to_string().contains("repeats our own key"), "{mirrored}");
}

#[test]
fn suites_are_those_of_the_policy_in_its_order() {
    let suites = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<SrtpSuite>>();
    let offered = |names: &[&str]| -> Vec<String> {
        let mut call = Call::new(with(|l| (l.srtp, l.srtp_suites) = (SrtpPolicy::Required, suites(names))));
        let offer = String::from_utf8(call.offer()).unwrap();
        let words = offer.lines().filter_map(|line| line.strip_prefix("a=crypto:"));
        words.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(offered(&[]), ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]);
    let wanted = ["AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"];
    assert_eq!(offered(&wanted), wanted);

    // Two lines of a far end that prefers GCM.
    let line = |tag: u32, suite: SrtpSuite| {
        let key = STANDARD.encode(vec![tag as u8; suite.key_and_salt_length()]);
        format!("\na=crypto:{tag} {suite} inline:{key}|2^31|1:4")
    };
    let lines = line(1, SrtpSuite::AeadAes256Gcm) + &line(2, SrtpSuite::AesCm128HmacSha1_80);
    let taken = |names: &[&str]| {
        let mut call = Call::new(with(|l| (l.srtp, l.srtp_suites) = (SrtpPolicy::Required, suites(names))));
        call.answer(&format!("m=audio 5000 RTP/SAVP 0{lines}")).map(|(_, agreement)| {
            let srtp = agreement.plan.srtp.unwrap();
            assert_eq!((srtp.local.0.len(), srtp.remote_mki), (srtp.suite.key_and_salt_length(), vec![0, 0, 0, 1]));
            srtp.suite
        })
    };
    assert_eq!(taken(&[]).unwrap(), SrtpSuite::AeadAes256Gcm, "the far end's order");
    assert_eq!(taken(&["AES_CM_128_HMAC_SHA1_80"]).unwrap(), SrtpSuite::AesCm128HmacSha1_80, "no others than ours");
    let refused = taken(&["AEAD_AES_128_GCM"]).unwrap_err().to_string();
    assert!(refused.contains("AEAD_AES_256_GCM is not among ours"), "{refused}");
}

#[test]
fn keys_are_not_printed() {
    let mut call = Call::new(with(|l| l.srtp = SrtpPolicy::Required));
    let offer = String::from_utf8(call.offer()).unwrap();
    let ours = offer.split("inline:").nth(1).unwrap()[..40].to_owned();
    call.answered(&format!("m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")).unwrap();
    let printed = format!("{:?}", call.negotiation);
    assert!(printed.contains("MasterKey(…)") && !printed.contains(&ours) && !printed.contains(KEY), "{printed}");
    let octets = call.negotiation.plan().unwrap().srtp.as_ref().unwrap().local.0.clone();
    assert!(!printed.contains(&format!("{}, {}, {}", octets[0], octets[1], octets[2])));
}
