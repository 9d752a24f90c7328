//! New offers in the course of a call.

use super::{Call, KEY, OTHER_KEY, streams, version, with};
use sidetone::call::negotiate::{Changed, Rejected, SrtpPolicy};
use sidetone::media::plan::{Codec, Direction};

#[test]
fn new_offers_of_the_far_end() {
    let mut call = Call::new(with(|l| l.srtp = SrtpPolicy::Optional));
    let keyed = |key: &str, rest: &str| {
        format!(
            "m=audio 5000 RTP/SAVP 96 0\na=rtpmap:96 opus/48000/2\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n{rest}"
        )
    };
    let (first, before) = call.answer(&keyed(KEY, "")).unwrap();
    assert_eq!(version(&first), 1);

    let (same, agreement) = call.answer(&keyed(KEY, "")).unwrap();
    assert_eq!(same, first, "the same session gets the same answer");
    assert_eq!(agreement.changed, Changed::default());

    let (held, agreement) = call.answer(&keyed(KEY, "a=sendonly")).unwrap();
    assert_eq!(agreement.changed, Changed { direction: true, ..Changed::default() });
    assert_eq!((version(&held), agreement.plan.direction), (2, Direction::RecvOnly));
    assert!(call.negotiation.is_held());

    let (old_style, agreement) = call.answer(&keyed(KEY, "c=IN IP4 0.0.0.0")).unwrap();
    assert_eq!(old_style, held, "our side of both holds is the same");
    assert_eq!(agreement.changed, Changed { remote: true, ..Changed::default() });
    assert!(agreement.plan.remote_rtp.ip().is_unspecified());

    let (resumed, agreement) = call.answer(&keyed(KEY, "")).unwrap();
    assert_eq!(agreement.changed, Changed { direction: true, remote: true, ..Changed::default() });
    assert_eq!(version(&resumed), 3);
    assert_eq!(agreement.plan, before.plan, "keys included");
    assert!(!call.negotiation.is_held());

    let (_, agreement) = call.answer(&keyed(KEY, "").replace("5000", "7000")).unwrap();
    assert_eq!(agreement.changed, Changed { remote: true, ..Changed::default() });

    let (rekeyed, agreement) = call.answer(&keyed(OTHER_KEY, "").replace("5000", "7000")).unwrap();
    assert_eq!(agreement.changed, Changed { keys: true, ..Changed::default() });
    assert_ne!(agreement.plan.srtp.unwrap().local, before.plan.srtp.unwrap().local);
    assert_eq!(version(&rekeyed), 4, "another address of theirs is no news of ours");

    let (recoded, agreement) =
        call.answer(&keyed(OTHER_KEY, "").replace("5000", "7000").replace("96 0", "0 96")).unwrap();
    assert_eq!((recoded, agreement.changed), (rekeyed, Changed::default()), "their order is not ours");
    let narrow = keyed(OTHER_KEY, "").replace("5000", "7000").replace("96 0", "0");
    let (_, agreement) = call.answer(&narrow).unwrap();
    assert_eq!(agreement.changed, Changed { encoding: true, receive: true, ..Changed::default() });
    assert_eq!(agreement.plan.encoding.codec, Codec::Pcmu);

    // A refusal leaves everything as it was.
    let settled = call.negotiation.plan().cloned();
    assert_eq!(call.answer("m=image 5000 udptl t38").unwrap_err().status(), 488);
    assert_eq!(call.answer("m=audio 0 RTP/SAVP 0\nm=image 5000 udptl t38").unwrap_err().status(), 488);
    assert_eq!(call.negotiation.plan().cloned(), settled);

    // The stream is switched off, another comes, and it is switched on again.
    let (octets, agreement) = call.answer("m=audio 0 RTP/SAVP 0").unwrap();
    assert_eq!(streams(&octets), "m=audio 0 RTP/SAVP 0\n");
    assert_eq!((agreement.plan.direction, agreement.changed.direction), (Direction::Inactive, true));
    let (octets, agreement) = call.answer(&format!("{narrow}\nm=video 9 RTP/AVP 99")).unwrap();
    assert_eq!(agreement.changed, Changed { direction: true, ..Changed::default() });
    assert!(streams(&octets).ends_with("a=sendrecv\nm=video 0 RTP/AVP 99\n"));
}

#[test]
fn new_offers_of_ours() {
    // The far end offered two streams, its own numbers and keys; our offer keeps them all.
    let mut call = Call::new(with(|l| (l.srtp, l.codecs) = (SrtpPolicy::Optional, vec![Codec::Opus])));
    let body = format!(
        "m=video 6000 RTP/AVP 97\nm=audio 5000 RTP/SAVP 111 97 0\na=rtpmap:111 opus/48000/2\na=rtpmap:97 iLBC/8000\n\
         a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    );
    let (first, before) = call.answer(&body).unwrap();
    let key = |octets: &[u8]| {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        text.split("inline:").nth(1).unwrap()[..40].to_owned()
    };
    call.change(|l| l.direction = Direction::SendOnly);
    let hold = call.offer();
    assert_eq!(
        streams(&hold),
        "m=video 0 RTP/AVP 97\nm=audio 4000 RTP/SAVP 111 96\na=rtpmap:111 opus/48000/2\na=fmtp:111 useinbandfec=1\n\
         a=rtpmap:96 telephone-event/48000\na=fmtp:96 0-16\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:KEY\na=ptime:20\n\
         a=rtcp-mux\na=sendonly\n"
    );
    assert_eq!((version(&first), version(&hold), key(&hold)), (1, 2, key(&first)));
    assert!(call.negotiation.is_pending());
    assert_eq!(call.answer(&body).unwrap_err().status(), 491);

    // It is refused: what was agreed holds, and the next description has a version of its own.
    call.negotiation.withdraw();
    assert_eq!(call.negotiation.plan(), Some(&before.plan));
    assert_eq!(call.answered("m=audio 5000 RTP/AVP 0"), Err(Rejected::NoOffer));
    assert_eq!(version(&call.offer()), 2, "the same offer again");

    let held = format!(
        "m=video 0 RTP/AVP 97\nm=audio 5000 RTP/SAVP 111\na=rtpmap:111 opus/48000/2\na=recvonly\n\
         a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    );
    let agreement = call.answered(&held).unwrap();
    assert_eq!(agreement.changed, Changed { direction: true, ..Changed::default() });
    assert_eq!(agreement.plan.direction, Direction::SendOnly);
    assert!(!call.negotiation.is_held());

    // Codec change: new numbers for new codecs, the old keep theirs.
    call.change(|l| (l.direction, l.codecs) = (Direction::SendRecv, vec![Codec::Pcmu, Codec::Opus]));
    let offer = call.offer();
    assert!(streams(&offer).contains("m=audio 4000 RTP/SAVP 0 111 101 96\n"), "{}", streams(&offer));
    let agreement = call
        .answered(&format!(
            "m=video 0 RTP/AVP 97\nm=audio 5000 RTP/SAVP 0\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
        ))
        .unwrap();
    assert!(agreement.changed.encoding && !agreement.changed.keys && !agreement.changed.remote);
    assert_eq!(agreement.plan.encoding.codec, Codec::Pcmu);
}

#[test]
fn a_plain_call_stays_plain_in_our_offers() {
    let mut call = Call::new(with(|l| l.srtp = SrtpPolicy::Optional));
    call.offer();
    call.answered("m=audio 5000 RTP/AVP 0").unwrap();
    let again = call.offer();
    assert!(!streams(&again).contains("crypto"), "{}", streams(&again));
    call.change(|l| l.srtp = SrtpPolicy::Required);
    assert!(streams(&call.offer()).contains("RTP/SAVP"));
}

#[test]
fn a_new_address_of_ours_leaves_the_origin() {
    let mut call = Call::new(with(|_| ()));
    let first = String::from_utf8(call.offer()).unwrap();
    call.answered("m=audio 5000 RTP/AVP 0").unwrap();
    call.change(|l| (l.rtp, l.rtcp) = ("192.0.2.9:4100".parse().unwrap(), "192.0.2.9:4101".parse().unwrap()));
    let moved = String::from_utf8(call.offer()).unwrap();
    let origin = |text: &str| text.lines().nth(1).unwrap().to_owned();
    assert_eq!(origin(&moved), origin(&first).replace(" 1 IN", " 2 IN"), "RFC 3264 section 8");
    assert!(moved.contains("\r\nc=IN IP4 192.0.2.9\r\n") && moved.contains("m=audio 4100 "), "{moved}");
}

#[test]
fn the_stream_in_use_is_kept() {
    let mut call = Call::new(with(|_| ()));
    call.answer("m=audio 0 RTP/AVP 0\nm=audio 5000 RTP/AVP 0").unwrap();
    let (octets, agreement) = call.answer("m=audio 7000 RTP/AVP 0\nm=audio 5000 RTP/AVP 0").unwrap();
    assert!(streams(&octets).starts_with("m=audio 0 RTP/AVP 0\nm=audio 4000 "), "{}", streams(&octets));
    assert!(!agreement.changed.any());
}
