//! What the far end says becomes a plan.

use super::{Call, KEY, local, streams, with};
use sidetone::call::negotiate::{Changed, Rejected, SrtpPolicy};
use sidetone::media::plan::{Codec, Direction, OpusParameters, SrtpSuite, TelephoneEvent};
use sidetone::time::Duration;

#[test]
fn plans_hold_what_was_agreed() {
    let mut call = Call::new(with(|l| l.srtp = SrtpPolicy::Optional));
    let (answer, agreement) = call
        .answer(&format!(
            "a=ptime:60\nm=audio 5000 RTP/SAVP 0 111 101 120\na=rtpmap:111 opus/48000/2\n\
             a=fmtp:111 usedtx=1; useinbandfec=1;stereo=1;maxaveragebitrate=30000\na=rtpmap:101 telephone-event/8000\n\
             a=rtpmap:120 telephone-event/48000\na=fmtp:120 0-15\na=rtcp:5009 IN IP4 198.51.100.8\na=sendonly\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"
        ))
        .unwrap();
    let plan = agreement.plan;
    assert_eq!(plan.remote_rtp, "198.51.100.7:5000".parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(plan.remote_rtcp, "198.51.100.8:5009".parse::<std::net::SocketAddr>().unwrap());
    assert!(!plan.rtcp_mux && call.negotiation.is_held());
    assert_eq!(plan.direction, Direction::RecvOnly);
    assert_eq!((plan.encoding.codec, plan.encoding.payload_type), (Codec::Opus, 111));
    assert_eq!(plan.encoding.packet_time, Duration::from_millis(60));
    let asked = OpusParameters {
        fec: true,
        dtx: true,
        stereo: true,
        max_average_bitrate: Some(30_000),
        ..OpusParameters::default()
    };
    assert_eq!(plan.encoding.opus, asked);
    assert_eq!(plan.receive, [(111, Codec::Opus), (0, Codec::Pcmu)]);
    let event = |payload_type, clock_rate| TelephoneEvent { payload_type, clock_rate };
    assert_eq!(plan.send_event, Some(event(120, 48_000)));
    assert_eq!(plan.receive_events, [event(101, 8_000), event(120, 48_000)]);
    let srtp = plan.srtp.unwrap();
    assert_eq!((srtp.suite, srtp.local.0.len()), (SrtpSuite::AesCm128HmacSha1_32, 30));
    assert_eq!(srtp.remote.0[..3], [0x3d, 0x2d, 0x6e]);
    assert_ne!(srtp.local, srtp.remote);
    assert!(agreement.changed.remote && agreement.changed.keys && agreement.changed.any());
    assert!(String::from_utf8(answer).unwrap().contains("\r\na=ptime:60\r\n"));
}

#[test]
fn packet_times_in_the_fmtp_of_opus_count() {
    let (_, agreement) = Call::new(local())
        .answer("m=audio 5000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1; ptime=40; maxptime=60")
        .unwrap();
    assert_eq!(agreement.plan.encoding.packet_time, Duration::from_millis(40));
}

#[test]
fn rtcp_goes_where_the_far_end_wants_it() {
    for (attributes, expected) in [
        ("", "198.51.100.7:5001"),
        ("a=rtcp:6001", "198.51.100.7:6001"),
        ("a=rtcp:6001 IN IP4 203.0.113.5", "203.0.113.5:6001"),
        ("a=rtcp:6001 IN IP6 ::1", "198.51.100.7:6001"),
        ("a=rtcp:6001 IN IP4 rtcp.example.com", "198.51.100.7:6001"),
        ("a=rtcp:0", "198.51.100.7:5001"),
        ("a=rtcp:70000", "198.51.100.7:5001"),
        ("a=rtcp:9 IN IP4 0.0.0.0\na=rtcp-mux", "198.51.100.7:5000"),
        ("c=IN IP4 0.0.0.0\na=rtcp:6001 IN IP4 203.0.113.5", "0.0.0.0:6001"),
    ] {
        let (_, agreement) = Call::new(local()).answer(&format!("m=audio 5000 RTP/AVP 0\n{attributes}")).unwrap();
        assert_eq!(agreement.plan.remote_rtcp, expected.parse::<std::net::SocketAddr>().unwrap(), "{attributes}");
    }
}

#[test]
fn directions_meet() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (ours, theirs, expected, held) in [
        (SendRecv, "a=sendrecv", SendRecv, false),
        (SendRecv, "", SendRecv, false),
        (SendRecv, "a=sendonly", RecvOnly, true),
        (SendRecv, "a=recvonly", SendOnly, false),
        (SendRecv, "a=inactive", Inactive, true),
        (SendRecv, "c=IN IP4 0.0.0.0", RecvOnly, true),
        (SendRecv, "c=IN IP4 0.0.0.0\na=sendonly", RecvOnly, true),
        (SendRecv, "c=IN IP4 0.0.0.0\na=inactive", Inactive, true),
        (SendOnly, "a=sendrecv", SendOnly, false),
        (SendOnly, "a=sendonly", Inactive, true),
        (RecvOnly, "a=sendrecv", RecvOnly, false),
        (RecvOnly, "a=recvonly", Inactive, false),
        (Inactive, "a=sendrecv", Inactive, false),
    ] {
        let body = format!("m=audio 5000 RTP/AVP 0\n{theirs}");
        let mut callee = Call::new(with(|l| l.direction = ours));
        let (octets, agreement) = callee.answer(&body).unwrap();
        assert_eq!((agreement.plan.direction, callee.negotiation.is_held()), (expected, held), "{ours:?} {theirs}");
        assert!(streams(&octets).ends_with(&format!("a={}\n", expected.attribute())));
        let mut caller = Call::new(with(|l| l.direction = ours));
        caller.offer();
        assert_eq!(caller.answered(&body).unwrap().plan.direction, expected, "{ours:?} {theirs}");
    }
    // The session part speaks for streams that say nothing.
    let (_, agreement) = Call::new(local()).answer("a=sendonly\nm=audio 5000 RTP/AVP 0").unwrap();
    assert_eq!(agreement.plan.direction, RecvOnly);
    let (_, agreement) = Call::new(local()).answer("a=sendonly\nm=audio 5000 RTP/AVP 0\na=recvonly").unwrap();
    assert_eq!(agreement.plan.direction, SendOnly);
}

#[test]
fn answers_to_our_offer() {
    // Numbers differ each way, and the order of the answer says what is sent.
    let mut call = Call::new(local());
    call.offer();
    let plan = call
        .answered(
            "m=audio 5000 RTP/AVP 8 111 126 9\na=rtpmap:111 opus/48000/2\na=rtpmap:126 telephone-event/8000\n\
             a=ptime:30\na=rtcp-mux\na=rtcp:5001",
        )
        .unwrap()
        .plan;
    assert_eq!((plan.encoding.codec, plan.encoding.payload_type), (Codec::Pcma, 8));
    assert_eq!(plan.encoding.packet_time, Duration::from_millis(30));
    assert_eq!(plan.receive, [(8, Codec::Pcma), (96, Codec::Opus), (9, Codec::G722)]);
    assert_eq!(plan.send_event, Some(TelephoneEvent { payload_type: 126, clock_rate: 8_000 }));
    assert_eq!(plan.receive_events, [TelephoneEvent { payload_type: 101, clock_rate: 8_000 }]);
    assert!(plan.rtcp_mux && plan.remote_rtcp == plan.remote_rtp && plan.srtp.is_none());

    // What we did not offer is not agreed by the answer.
    let mut call = Call::new(with(|l| (l.rtcp_mux, l.codecs) = (false, vec![Codec::Pcmu])));
    call.offer();
    let plan = call.answered("m=audio 5000 RTP/AVP 8 0\na=rtcp-mux").unwrap().plan;
    assert!(!plan.rtcp_mux && plan.remote_rtcp.port() == 5001);
    assert_eq!(plan.receive, [(0, Codec::Pcmu)]);

    // A number that is repeated without saying what it means.
    let mut call = Call::new(local());
    call.offer();
    let plan = call.answered("m=audio 5000 RTP/AVP 96 97").unwrap().plan;
    assert_eq!((plan.encoding.codec, plan.encoding.payload_type), (Codec::Opus, 96));
    assert_eq!(plan.send_event, Some(TelephoneEvent { payload_type: 97, clock_rate: 48_000 }));

    // A fork, or the 200 after a 183, answers again.
    let again = call.answered("m=audio 6000 RTP/AVP 96 97").unwrap();
    assert_eq!(again.changed, Changed { remote: true, ..Changed::default() });
    assert_eq!(call.answered("m=audio 0 RTP/AVP 96"), Err(Rejected::Refused));
    assert_eq!(call.answered("m=video 5 RTP/AVP 96"), Err(Rejected::Refused));
    assert_eq!(call.answered(""), Err(Rejected::Refused));
    assert!(matches!(call.answered("m=audio 5000 RTP/AVP 18"), Err(Rejected::NoCodec { .. })));
    assert!(call.negotiation.answered(b"nonsense").is_err());
    assert_eq!(call.negotiation.plan(), Some(&again.plan), "a bad answer changes nothing");
    assert_eq!(Call::new(local()).answered("m=audio 5000 RTP/AVP 0"), Err(Rejected::NoOffer));
}
