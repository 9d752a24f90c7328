//! What we refuse, and what we say then.

use super::{Call, KEY, local, with};
use sidetone::call::negotiate::SrtpPolicy;

#[test]
fn refusals_have_status_warning_and_remedy() {
    let keyed = format!(
        "m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4"
    );
    let (off, optional, required) =
        (local(), with(|l| l.srtp = SrtpPolicy::Optional), with(|l| l.srtp = SrtpPolicy::Required));
    for (local, offer, code, sentence) in [
        (
            &off,
            "m=audio 5000 RTP/AVP 18 3 99\na=rtpmap:99 i\"LBC/8000",
            305,
            "line 6: no codec in common: the far end has G729/8000, GSM/8000, iLBC/8000, we have opus, G722, PCMU, PCMA; enable one of them on both sides",
        ),
        (
            &off,
            "m=audio 5000 RTP/AVP",
            305,
            "line 6: no codec in common: the far end has none, we have opus, G722, PCMU, PCMA; enable one of them on both sides",
        ),
        (
            &off,
            "m=video 5000 RTP/AVP 97\nm=image 4 udptl t38",
            304,
            "the far end offers no audio stream that is switched on (video, image); it has to send an m=audio line with a port",
        ),
        (
            &off,
            "m=audio 0 RTP/AVP 0",
            304,
            "the far end offers no audio stream that is switched on (audio with port 0); it has to send an m=audio line with a port",
        ),
        (
            &off,
            "a=sendrecv",
            304,
            "the far end offers no audio stream that is switched on (no m= line); it has to send an m=audio line with a port",
        ),
        (
            &off,
            "m=video 1 RTP/AVP 97\nm=audio 9 UDP/TLS/RTP/SAVPF 0",
            302,
            "line 7: the far end wants encrypted media (RTP/SAVP), which is off here; set srtp to optional or required",
        ),
        (
            &off,
            &keyed,
            302,
            "line 6: the far end wants encrypted media (RTP/SAVP), which is off here; set srtp to optional or required",
        ),
        (
            &required,
            "m=audio 5000 RTP/AVP 0",
            302,
            "line 6: the far end has no encrypted media (RTP/SAVP), which is required here; enable SDES-SRTP there or set srtp to optional",
        ),
        (
            &optional,
            &keyed,
            306,
            "line 6: no usable SRTP key: line 7: this a=crypto line has several master keys, which is not supported; the far end has to send a=crypto with AES_CM_128_HMAC_SHA1_80 or _32",
        ),
        (
            &optional,
            "m=audio 5000 RTP/SAVPF 0",
            306,
            "line 6: no usable SRTP key: it has no a=crypto line; the far end has to send a=crypto with AES_CM_128_HMAC_SHA1_80 or _32",
        ),
        (
            &required,
            "m=audio 5000 RTP/AVP 0\na=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA",
            306,
            "line 6: no usable SRTP key: the suite F8_128_HMAC_SHA1_80 is not supported; the far end has to send a=crypto with AES_CM_128_HMAC_SHA1_80 or _32",
        ),
        (
            &required,
            "m=audio 5000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:AAAA",
            306,
            "line 6: no usable SRTP key: the key of AES_CM_128_HMAC_SHA1_32 has 3 octets, not 30; the far end has to send a=crypto with AES_CM_128_HMAC_SHA1_80 or _32",
        ),
        (
            &off,
            "m=audio 5000 RTP/AVP 0\nc=IN IP6 2001:db8::7",
            301,
            "line 7: the far end's media is at 2001:db8::7, ours at 192.0.2.1; both have to be IPv4 or both IPv6, so bind to the other",
        ),
        (
            &off,
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 media.example.com",
            301,
            "line 7: the far end's media is at the host name media.example.com; it has to send an IP address",
        ),
        (
            &off,
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127",
            330,
            "line 7: the far end's media is at the multicast address 224.2.1.1; only unicast calls are supported",
        ),
    ] {
        let rejected = Call::new(local.clone()).answer(offer).unwrap_err();
        assert_eq!((rejected.status(), rejected.to_string().as_str()), (488, sentence), "{offer}");
        assert_eq!(rejected.warning().unwrap(), format!("{code} sidetone \"{sentence}\""));
    }
    for (offer, sentence) in [
        (
            "m=audio x RTP/AVP 0",
            "the far end's SDP is broken: line 6: \"m=audio x RTP/AVP 0\" is no m= line: the port is not a number from 0 to 65535; it reads m=<kind> <port> <protocol> <format>…",
        ),
        (
            "m=audio 5000 RTP/AVP 0\nc=IN IP4 1.2.3.4.5",
            "the far end's SDP is broken: line 7: \"IN IP4 1.2.3.4.5\" is no address; a c= line reads c=IN IP4 <address> or c=IN IP6 <address>",
        ),
    ] {
        let rejected = Call::new(local()).answer(offer).unwrap_err();
        assert_eq!((rejected.status(), rejected.to_string().as_str()), (400, sentence));
    }
    // A line that nobody needs may be as broken as it likes.
    Call::new(local()).answer("m=video 7 RTP/AVP 97\nc=nonsense\nm=audio 5000 RTP/AVP 0").unwrap();
}
