//! Comfort noise, L16 and what is wanted of Opus, in offers and answers.

use super::{Call, local, streams, with};
use sidetone::media::plan::{Codec, L16Rate, OpusWish};

/// The value of the first attribute that begins so.
fn attribute<'a>(text: &'a str, begins: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(begins))
}

#[test]
fn comfort_noise_is_agreed_on_where_both_want_it_beside_g711() {
    let theirs = "m=audio 5000 RTP/AVP 8 13\na=ptime:20";
    // RFC 3389 section 4: 13 is static.
    let mut call = Call::new(with(|l| (l.comfort_noise, l.codecs) = (true, vec![Codec::Pcma])));
    let (answer, agreement) = call.answer(theirs).unwrap();
    assert_eq!(agreement.plan.comfort_noise, Some(13));
    let answer = streams(&answer);
    assert!(answer.contains("m=audio 4000 RTP/AVP 8 13") && answer.contains("a=rtpmap:13 CN/8000"), "{answer}");
    let mut call = Call::new(with(|l| (l.comfort_noise, l.codecs) = (true, vec![Codec::Pcma])));
    let offer = streams(&call.offer());
    assert!(offer.contains("m=audio 4000 RTP/AVP 8 13"), "{offer}");
    assert_eq!(call.answered(theirs).unwrap().plan.comfort_noise, Some(13));
    assert_eq!(call.answered("m=audio 5000 RTP/AVP 8").unwrap().plan.comfort_noise, None, "the far end does not");

    let (answer, agreement) = Call::new(local()).answer(theirs).unwrap();
    assert_eq!(agreement.plan.comfort_noise, None, "we do not");
    assert!(!streams(&answer).contains("CN"));
    // Opus has a way of its own.
    let (answer, agreement) = Call::new(with(|l| l.comfort_noise = true))
        .answer("m=audio 5000 RTP/AVP 96 13\na=rtpmap:96 opus/48000/2")
        .unwrap();
    assert_eq!(agreement.plan.comfort_noise, None);
    assert!(!streams(&answer).contains("CN"));
    // RFC 3108 section 5.6.2.1.
    for (attribute, expected) in [("off - - - -", None), ("on 150 SID Fixed Noise -", Some(13))] {
        let offer = format!("{theirs}\na=silenceSupp:{attribute}");
        let (_, agreement) = Call::new(with(|l| l.comfort_noise = true)).answer(&offer).unwrap();
        assert_eq!(agreement.plan.comfort_noise, expected, "{attribute}");
    }
}

#[test]
fn l16_is_offered_by_name_only_and_known_by_its_static_number() {
    assert!(!streams(&Call::new(local()).offer()).contains("L16"));
    let all = L16Rate::ALL.map(Codec::L16);
    let offer = streams(&Call::new(with(|l| l.codecs = all.to_vec())).offer());
    for line in ["L16/8000", "a=rtpmap:11 L16/44100", "L16/16000", "L16/48000"] {
        assert!(offer.contains(line), "{line} in {offer}");
    }
    let (_, agreement) =
        Call::new(with(|l| l.codecs = all.to_vec())).answer("m=audio 5000 RTP/AVP 0 11\na=ptime:20").unwrap();
    let encoding = agreement.plan.encoding;
    assert_eq!((encoding.codec, encoding.payload_type), (Codec::L16(L16Rate::Hz44100), 11));
    assert_eq!(encoding.packet_time.as_millis(), 10, "20 ms do not fit a datagram");
}

#[test]
fn what_is_wanted_of_opus_is_asked_and_done() {
    let mut call = Call::new(with(|l| {
        for wish in ["bandwidth=wide", "max-bitrate=20000", "bitrate=40000", "dtx=on", "cbr=on", "fec=off"] {
            wish.parse::<OpusWish>().unwrap().apply(&mut l.opus, &mut l.opus_encoder);
        }
    }));
    let offer = streams(&call.offer());
    let expected = "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;cbr=1;usedtx=1";
    assert_eq!(attribute(&offer, "a=fmtp:96 "), Some(expected), "{offer}");
    let plan = call
        .answered("m=audio 5000 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 maxaveragebitrate=12000;minptime=40")
        .unwrap()
        .plan;
    assert_eq!((plan.encoding.opus_encoder.bitrate, plan.encoding.opus.max_average_bitrate), (40_000, Some(12_000)));
    assert_eq!(plan.encoding.packet_time.as_millis(), 40);
}
