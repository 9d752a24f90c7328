//! What we write.

use super::{Call, KEY, crlf, local, streams, theirs, with};
use sidetone::call::negotiate::{Local, SrtpPolicy};
use sidetone::media::plan::{Codec, Direction, OpusParameters};
use sidetone::time::Duration;

#[test]
fn our_offer_is_this_text() {
    let mut call = Call::new(local());
    let text = String::from_utf8(call.offer()).unwrap();
    let session = text.split(' ').nth(1).unwrap().to_owned();
    assert!(session.parse::<i32>().unwrap() >= 0);
    let expected = format!(
        "v=0\no=- {session} 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 96 9 0 8 97 101\n\
         a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\na=rtpmap:9 G722/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n\
         a=rtpmap:97 telephone-event/48000\na=fmtp:97 0-16\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n\
         a=ptime:20\na=rtcp-mux\na=sendrecv"
    );
    assert_eq!(text, crlf(&expected));
    assert_eq!(call.negotiation.description().unwrap(), text.as_bytes());
}

#[test]
fn offers_say_what_we_want() {
    for (local, expected) in [
        (
            with(|l| (l.codecs, l.telephone_events, l.rtcp_mux) = (vec![Codec::Pcma, Codec::Pcma], false, false)),
            "m=audio 4000 RTP/AVP 8\na=rtpmap:8 PCMA/8000\na=ptime:20\na=sendrecv\n",
        ),
        (
            with(|l| {
                (l.codecs, l.direction, l.packet_time) =
                    (vec![Codec::Pcmu], Direction::SendOnly, Duration::from_millis(30))
            }),
            "m=audio 4000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n\
             a=ptime:30\na=rtcp-mux\na=sendonly\n",
        ),
        (
            with(|l| {
                (l.codecs, l.srtp, l.rtcp_mux) = (vec![Codec::Opus], SrtpPolicy::Required, false);
                l.rtcp = "192.0.2.1:9000".parse().unwrap();
                l.opus = OpusParameters { fec: false, max_playback_rate: 16_000, ..OpusParameters::default() };
            }),
            "m=audio 4000 RTP/SAVP 96 97\na=rtpmap:96 opus/48000/2\na=fmtp:96 maxplaybackrate=16000\n\
             a=rtpmap:97 telephone-event/48000\na=fmtp:97 0-16\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY\n\
             a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY\na=ptime:20\na=rtcp:9000 IN IP4 192.0.2.1\na=sendrecv\n",
        ),
        (
            with(|l| (l.codecs, l.srtp, l.telephone_events) = (vec![Codec::Pcmu], SrtpPolicy::Optional, false)),
            "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY\n\
             a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY\na=ptime:20\na=rtcp-mux\na=sendrecv\n",
        ),
    ] {
        assert_eq!(streams(&Call::new(local).offer()), expected);
    }
    let v6 = Call::new(Local::new("[2001:db8::1]:4000".parse().unwrap())).offer();
    let text = String::from_utf8(v6).unwrap();
    assert!(text.contains(" IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\n"), "{text}");
}

#[test]
fn answers_are_these_texts() {
    const G711: &str = "a=rtpmap:0 PCMU/8000\n";
    let end = "a=ptime:20\na=sendrecv\n";
    for (what, local, offer, expected) in [
        (
            "our order, their numbers, static types without rtpmap",
            local(),
            "m=audio 5000 RTP/AVP 8 0 18 111 101 102\na=rtpmap:111 OPUS/48000/2\na=rtpmap:101 telephone-event/8000\n\
             a=rtpmap:102 telephone-event/48000\na=fmtp:101 0-15",
            "m=audio 4000 RTP/AVP 111 0 8 101 102\na=rtpmap:111 opus/48000/2\na=fmtp:111 useinbandfec=1\n\
             a=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n\
             a=rtpmap:102 telephone-event/48000\na=fmtp:102 0-16\na=ptime:20\na=sendrecv\n"
                .to_owned(),
        ),
        (
            "only events at the clock of a shared codec",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            "m=audio 5000 RTP/AVP 0 110 101\na=rtpmap:110 telephone-event/48000\na=rtpmap:101 telephone-event/8000",
            format!("m=audio 4000 RTP/AVP 0 101\n{G711}a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n{end}"),
        ),
        (
            "opus with events at 8000 only",
            with(|l| l.codecs = vec![Codec::Opus]),
            "m=audio 5000 RTP/AVP 96 101\na=rtpmap:96 opus/48000\na=rtpmap:101 telephone-event/8000",
            format!(
                "m=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
                 a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n{end}"
            ),
        ),
        (
            "several streams: one is taken, the rest get port 0 in place",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            "m=video 6000 RTP/AVP 97 98\na=rtpmap:97 H264/90000\nm=audio 0 RTP/AVP 0\nm=audio 5000 RTP/AVP 9 0\n\
             m=audio 5002 RTP/AVP 0\nm=image 7000 udptl t38\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            format!(
                "m=video 0 RTP/AVP 97 98\nm=audio 0 RTP/AVP 0\nm=audio 4000 RTP/AVP 0\n{G711}{end}m=audio 0 RTP/AVP 0\n\
                 m=image 0 udptl t38\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\n"
            ),
        ),
        (
            "rtcp-mux where both want it, the packet time that they ask, feedback profile kept",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            "m=audio 5000 RTP/AVPF 0\na=rtcp-mux\na=ptime:30\na=maxptime:40\na=recvonly",
            format!("m=audio 4000 RTP/AVPF 0\n{G711}a=ptime:30\na=rtcp-mux\na=sendonly\n"),
        ),
        (
            "our own RTCP port says nothing where RTCP comes with RTP",
            with(|l| {
                l.codecs = vec![Codec::Pcmu];
                l.rtcp = "192.0.2.1:4007".parse().unwrap();
            }),
            "m=audio 5000 RTP/AVP 0\na=rtcp-mux",
            format!("m=audio 4000 RTP/AVP 0\n{G711}a=ptime:20\na=rtcp-mux\na=sendrecv\n"),
        ),
        (
            "stereo G.711 is another format",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            "m=audio 5000 RTP/AVP 97 98\na=rtpmap:97 PCMU/8000/2\na=rtpmap:98 PCMU/8000/1",
            format!("m=audio 4000 RTP/AVP 98\na=rtpmap:98 PCMU/8000\n{end}"),
        ),
        (
            "no rtcp-mux where we do not; our own RTCP port",
            with(|l| {
                (l.codecs, l.rtcp_mux) = (vec![Codec::Pcmu], false);
                l.rtcp = "192.0.2.1:4007".parse().unwrap();
            }),
            "m=audio 5000 RTP/AVP 0\na=rtcp-mux",
            format!("m=audio 4000 RTP/AVP 0\n{G711}a=ptime:20\na=rtcp:4007 IN IP4 192.0.2.1\na=sendrecv\n"),
        ),
        (
            "keys: the first usable line, its tag",
            with(|l| (l.codecs, l.srtp) = (vec![Codec::Pcmu], SrtpPolicy::Optional)),
            &format!(
                "m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_AWESOME inline:{KEY}\n\
                 a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4\n\
                 a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP\n\
                 a=crypto:6 AES_CM_128_HMAC_SHA1_80 inline:AAEC\n\
                 a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
            ),
            format!("m=audio 4000 RTP/SAVP 0\n{G711}a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY\n{end}"),
        ),
        (
            "best-effort keys under RTP/AVP (RFC 8643)",
            with(|l| (l.codecs, l.srtp) = (vec![Codec::Pcmu], SrtpPolicy::Required)),
            &format!("m=audio 5000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("m=audio 4000 RTP/AVP 0\n{G711}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY\n{end}"),
        ),
        (
            "best-effort keys are passed over when SRTP is off",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            &format!("m=audio 5000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("m=audio 4000 RTP/AVP 0\n{G711}{end}"),
        ),
        (
            "optional: the stream with keys is taken, wherever it stands",
            with(|l| (l.codecs, l.srtp) = (vec![Codec::Pcmu], SrtpPolicy::Optional)),
            &format!(
                "m=audio 5000 RTP/AVP 0\nm=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
            ),
            format!(
                "m=audio 0 RTP/AVP 0\nm=audio 4000 RTP/SAVP 0\n{G711}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY\n{end}"
            ),
        ),
        (
            "off: the stream without",
            with(|l| l.codecs = vec![Codec::Pcmu]),
            &format!(
                "m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\nm=audio 5000 RTP/AVP 0"
            ),
            format!("m=audio 0 RTP/SAVP 0\nm=audio 4000 RTP/AVP 0\n{G711}{end}"),
        ),
    ] {
        let (octets, _) = Call::new(local).answer(offer).unwrap_or_else(|rejected| panic!("{what}: {rejected}"));
        assert_eq!(streams(&octets), expected, "{what}");
    }
}

#[test]
fn the_answer_repeats_the_time_of_the_offer() {
    let offer = theirs("m=audio 5000 RTP/AVP 0").replace("t=0 0", "t=2873397496 2873404696");
    let mut call = Call::new(local());
    let (octets, _) = call.negotiation.answer(offer.as_bytes(), &mut call.random).unwrap();
    assert!(String::from_utf8(octets.to_vec()).unwrap().contains("\r\nt=2873397496 2873404696\r\nm=audio"));
}
