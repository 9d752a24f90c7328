//! Each preset registers, calls and is called.

use crate::authority::Authority;
use crate::carrier::{Carrier, Media, credentials, listed, md5};
use crate::process::{Home, Running};
use crate::{PASSWORD, run};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Method, Request};

/// A call of ours from its INVITE, which may go on now, to its end by us; the record.
fn talk(
    phone: &mut Running,
    carrier: &mut Carrier,
    hop: Hop,
    invite: &Request,
    fields: &[(&str, &str)],
    sdp: &str,
) -> Value {
    carrier.answer(hop, invite, 100, &[], None);
    carrier.answer(hop, invite, 180, fields, None);
    carrier.answer(hop, invite, 200, fields, Some(sdp));
    carrier.request(&Method::Ack);
    phone.expect("call.answered");
    phone.say("hangup");
    let (hop, bye) = carrier.request(&Method::Bye);
    carrier.answer(hop, &bye, 200, &[], None);
    let record = phone.expect("call.ended")["call"].clone();
    assert_eq!((&record["status"], &record["direction"]), (&"completed".into(), &"outbound".into()), "{record}");
    record
}

/// A call to us on the way `hop`, with these lines of header fields, from its INVITE to its end by the carrier.
fn called(
    phone: &mut Running,
    carrier: &mut Carrier,
    hop: Hop,
    (uri, lines): (&str, &str),
    sdp: &str,
    media: &Media,
) -> Value {
    let (name, ip) = (hop.transport.name(), carrier.ip);
    let request = |method: &str, number: u32, to: &str, more: &str, body: &str| {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{name} {ip};branch=z9hG4bKin{method};rport\r\nMax-Forwards: 60\r\n\
             From: <sip:+15550107777@carrier.example>;tag=in\r\nTo: {to}\r\nCall-ID: in@{ip}\r\nCSeq: {number} {}\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            method.replace("ACK", "INVITE"),
            body.len()
        )
    };
    let to = "<sip:line@carrier.example>";
    let more = format!("Contact: <sip:gw@{ip}>\r\nContent-Type: application/sdp\r\n{lines}");
    carrier.say(hop, request("INVITE", 1, to, &more, sdp));
    let answer = carrier.response(200, &Method::Invite);
    let to = answer.headers.get(&Name::To).unwrap().to_owned();
    carrier.say(hop, request("ACK", 1, &to, "", ""));
    assert_eq!(media.payload_type(), 0, "PCMU goes to the carrier");
    carrier.say(hop, request("BYE", 2, &to, "Reason: Q.850;cause=16\r\n", ""));
    carrier.response(200, &Method::Bye);
    let mut record = phone.expect("call.ended")["call"].clone();
    assert_eq!((&record["status"], &record["direction"]), (&"completed".into(), &"inbound".into()), "{record}");
    record["answer"] = String::from_utf8_lossy(&answer.body).into_owned().into();
    record
}

/// Ends the phone, which takes its binding back.
fn leave(phone: Running, carrier: &mut Carrier) {
    phone.interrupt();
    let (hop, register) = carrier.request(&Method::Register);
    assert!(
        register.headers.get(&Name::Expires) == Some("0")
            || register.headers.get(&Name::Contact).unwrap().contains("expires=0")
    );
    carrier.answer(hop, &register, 200, &[], None);
    let phone = phone.finish();
    assert_eq!(phone.code, 0, "{phone:?}");
    assert!(!(phone.out + &phone.err).contains(PASSWORD));
}

#[test]
fn generic_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (home, mut carrier) = (Home::new(), Carrier::start(None));
        let media = Media::open(carrier.ip);
        let account = format!("aor = \"sip:alice@pbx.example\"\ntransport = \"{}\"\n", transport.parameter());
        let mut phone = run(&home, &carrier, None, &account);
        let (hop, register) = carrier.request(&Method::Register);
        assert_eq!((hop.transport, register.headers.get(&Name::Expires)), (transport, Some("600")));
        let fields = [
            ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\""),
            ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\", algorithm=MD5, qop=\"auth\""),
        ];
        carrier.answer(hop, &register, 401, &fields, None);
        let (hop, register) = carrier.request(&Method::Register);
        let own = credentials(&register, &Name::Authorization);
        assert_eq!(own["algorithm"], "SHA-256", "the stronger one");
        let sha = |text: String| Sha256::digest(text).iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let (a1, a2) = (sha(format!("alice:pbx:{PASSWORD}")), sha("REGISTER:sip:pbx.example".into()));
        assert_eq!(own["response"], sha(format!("{a1}:n:{}:{}:auth:{a2}", own["nc"], own["cnonce"])));
        carrier.answer(hop, &register, 200, &[("Contact", &listed(&register, 600))], None);
        phone.expect("registration.registered");

        phone.say("dial 0301234567");
        let (invited, invite) = carrier.request(&Method::Invite);
        assert_eq!(invite.uri.to_string(), "sip:0301234567@pbx.example", "as it was dialled");
        let contact = format!("<sip:gw@{};transport={}>", carrier.ip, transport.parameter());
        let record = talk(&mut phone, &mut carrier, invited, &invite, &[("Contact", &contact)], &media.plain());
        assert_eq!((&record["codec"], &record["srtp"]), (&"PCMU".into(), &Value::Null), "{record}");

        let uri = register.headers.contacts().unwrap().remove(0).uri.to_string();
        let lines = "P-Asserted-Identity: <sip:+15550102222@pbx.example>\r\n";
        let record = called(&mut phone, &mut carrier, hop, (&uri, lines), &media.plain(), &media);
        assert!(record["from"].as_str().unwrap().contains("+15550102222"), "{record}");
        leave(phone, &mut carrier);
    }
}

#[test]
fn signalwire_over_tls_with_keys_beside_plain_rtp() {
    let (home, authority) = (Home::new(), Authority::new());
    let mut carrier = Carrier::start(Some(&authority.issue(&["*.sip.signalwire.com"])));
    let media = Media::open(carrier.ip);
    let account = "preset = \"signalwire\"\naor = \"sip:me@space-1a2b.sip.signalwire.com\"\ncountry_code = \"1\"\n";
    let mut phone = run(&home, &carrier, Some(&authority), account);
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!(hop.transport, Transport::Tls);
    let challenge = "Digest realm=\"space-1a2b.sip.signalwire.com\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"";
    carrier.answer(hop, &register, 401, &[("WWW-Authenticate", challenge)], None);
    let (hop, register) = carrier.request(&Method::Register);
    let all = [listed(&register, 600), "<sip:me@203.0.113.9:5062>;expires=77".to_owned()];
    let fields: Vec<_> = all.iter().map(|contact| ("Contact", contact.as_str())).collect();
    carrier.answer(hop, &register, 200, &fields, None);
    assert_eq!(phone.expect("registration.registered")["expires"], 600, "our own binding");

    phone.say("dial 5550100009");
    let (invited, invite) = carrier.request(&Method::Invite);
    assert_eq!(invite.headers.get(&Name::To), Some("<sip:+15550100009@space-1a2b.sip.signalwire.com>"));
    let sdp = String::from_utf8_lossy(&invite.body).into_owned();
    assert!(sdp.contains("RTP/AVP") && sdp.contains("a=crypto:"), "{sdp}");
    let contact = format!("<sip:mod_sofia@{}:5061;transport=tls>", carrier.ip);
    let secure = media.secure().replace("RTP/SAVP", "RTP/AVP");
    let record = talk(&mut phone, &mut carrier, invited, &invite, &[("Contact", &contact)], &secure);
    assert_eq!(record["srtp"], "AES_CM_128_HMAC_SHA1_80", "{record}");

    let uri = register.headers.contacts().unwrap().remove(0).uri.to_string();
    let record =
        called(&mut phone, &mut carrier, hop, (&uri, "Session-Expires: 600;refresher=uac\r\n"), &media.plain(), &media);
    assert_eq!(record["srtp"], Value::Null, "{record}");
    leave(phone, &mut carrier);
}

#[test]
fn telnyx_over_tls_without_qop_with_compact_names_and_srtp() {
    let (home, authority) = (Home::new(), Authority::new());
    let mut carrier = Carrier::start(Some(&authority.issue(&["sip.telnyx.com"])));
    let media = Media::open(carrier.ip);
    let account = "preset = \"telnyx\"\naor = \"sip:me@sip.telnyx.com\"\nsrtp = \"required\"\ncountry_code = \"1\"\n\
        numbers = [\"5550100001\"]\n";
    let mut phone = run(&home, &carrier, Some(&authority), account);
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!((hop.transport, register.headers.get(&Name::Expires)), (Transport::Tls, Some("300")));
    carrier.answer(hop, &register, 401, &[("WWW-Authenticate", "Digest realm=\"sip.telnyx.com\", nonce=\"n1\"")], None);
    let (hop, register) = carrier.request(&Method::Register);
    let own = credentials(&register, &Name::Authorization);
    let (a1, a2) = (md5(&format!("me:sip.telnyx.com:{PASSWORD}")), md5("REGISTER:sip:sip.telnyx.com"));
    assert_eq!((own["response"].clone(), own.get("qop")), (md5(&format!("{a1}:n1:{a2}")), None));
    let uri = register.headers.contacts().unwrap().remove(0).uri.to_string();
    let alias = format!("<{uri};alias=203.0.113.4~40000~3>;expires=300");
    carrier.answer(hop, &register, 200, &[("m", &alias)], None);
    phone.expect("registration.registered");

    phone.say("dial 5550100009");
    let (invited, invite) = carrier.request(&Method::Invite);
    let own = invite.headers.get(&Name::AssertedIdentity).unwrap_or_default();
    assert!(own.contains("+15550100001@"), "{invite:?}");
    carrier.answer(
        invited,
        &invite,
        407,
        &[("Proxy-Authenticate", "Digest realm=\"sip.telnyx.com\", nonce=\"n2\"")],
        None,
    );
    let (invited, invite) = carrier.request(&Method::Invite);
    assert!(String::from_utf8_lossy(&invite.body).contains("RTP/SAVP"));
    let routes = [
        (
            "Record-Route",
            format!("<sip:10.255.0.1;transport=udp;r2=on;lr>,<sip:{}:5061;transport=tls;r2=on;lr>", carrier.ip),
        ),
        ("m", "<sip:+15550100009@10.13.3.4:6070;transport=udp>".to_owned()),
    ];
    let fields: Vec<_> = routes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let record = talk(&mut phone, &mut carrier, invited, &invite, &fields, &media.secure());
    assert_eq!((&record["srtp"], &record["codec"]), (&"AES_CM_128_HMAC_SHA1_80".into(), &"PCMU".into()), "{record}");

    let lines = format!(
        "Record-Route: <sip:{}:5061;transport=tls;r2=on;lr>\r\nRecord-Route: <sip:10.255.0.1;r2=on;lr>\r\n\
         P-Asserted-Identity: <sip:+15550103333@10.0.0.1;verstat=TN-Validation-Passed>\r\nX-Telnyx-Session-ID: 5a\r\n",
        carrier.ip
    );
    let record = called(&mut phone, &mut carrier, hop, (&uri, &lines), &media.secure(), &media);
    assert_eq!(
        (&record["srtp"], &record["metadata"]["headers"]["X-Telnyx-Session-ID"]),
        (&"AES_CM_128_HMAC_SHA1_80".into(), &"5a".into()),
        "{record}"
    );
    assert!(record["answer"].as_str().unwrap().contains("RTP/SAVP"), "{record}");
    leave(phone, &mut carrier);
}

#[test]
fn twilio_domain_over_tls_through_407_with_record_routes_and_a_private_contact() {
    let (home, authority) = (Home::new(), Authority::new());
    let mut carrier = Carrier::start(Some(&authority.issue(&["*.sip.twilio.com"])));
    let media = Media::open(carrier.ip);
    let account =
        "preset = \"twilio-domain\"\naor = \"sip:alice@example.sip.twilio.com\"\ncountry_code = \"1\"\nexpires = 60\n";
    let mut phone = run(&home, &carrier, Some(&authority), account);
    let challenge =
        |nonce: &str| format!("Digest realm=\"sip.twilio.com\",qop=\"auth\",nonce=\"{nonce}\",opaque=\"o1\"");
    let (hop, register) = carrier.request(&Method::Register);
    carrier.answer(hop, &register, 407, &[("Proxy-Authenticate", &challenge("n1"))], None);
    let (hop, register) = carrier.request(&Method::Register);
    let own = credentials(&register, &Name::ProxyAuthorization);
    let (a1, a2) = (md5(&format!("alice:sip.twilio.com:{PASSWORD}")), md5("REGISTER:sip:example.sip.twilio.com"));
    let expected = md5(&format!("{a1}:n1:{}:{}:auth:{a2}", own["nc"], own["cnonce"]));
    assert_eq!((own["response"].as_str(), own["opaque"].as_str()), (expected.as_str(), "o1"));
    // Too short: the least that is taken is said.
    assert_eq!(register.headers.get(&Name::Expires), Some("60"));
    carrier.answer(hop, &register, 423, &[("Min-Expires", "600")], None);
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!(register.headers.get(&Name::Expires), Some("600"));
    let all = ["<sip:alice@203.0.113.4:5062;transport=tls>;expires=17".to_owned(), listed(&register, 600)];
    let fields: Vec<_> = all.iter().map(|contact| ("Contact", contact.as_str())).collect();
    carrier.answer(hop, &register, 200, &fields, None);
    assert_eq!(phone.expect("registration.registered")["expires"], 600);

    phone.say("dial 5550100009");
    let (invited, invite) = carrier.request(&Method::Invite);
    assert_eq!(invite.uri.to_string(), "sip:+15550100009@example.sip.twilio.com");
    assert!(!String::from_utf8_lossy(&invite.body).contains("a=crypto"));
    carrier.answer(invited, &invite, 407, &[("Proxy-Authenticate", &challenge("n2"))], None);
    let (invited, invite) = carrier.request(&Method::Invite);
    let private = "sip:+15550100009@172.25.10.62:5060;transport=udp";
    let (contact, tls) = (format!("<{private}>"), format!("<sip:{}:5061;transport=tls;r2=on;lr>", carrier.ip));
    let udp = format!("<sip:{};r2=on;lr>", carrier.ip);
    carrier.answer(invited, &invite, 100, &[], None);
    let fields = [("Record-Route", udp.as_str()), ("Record-Route", &tls), ("Contact", &contact)];
    carrier.answer(invited, &invite, 200, &fields, Some(&media.plain()));
    let (acked, ack) = carrier.request(&Method::Ack);
    phone.expect("call.answered");
    assert_eq!(media.payload_type(), 0);
    phone.say("hangup");
    let (ended, bye) = carrier.request(&Method::Bye);
    carrier.answer(ended, &bye, 200, &[], None);
    for (way, request) in [(acked, &ack), (ended, &bye)] {
        assert_eq!(request.uri.to_string(), private, "never rewritten");
        assert_eq!(request.headers.all(&Name::Route).collect::<Vec<_>>(), [tls.as_str(), &udp]);
        assert_eq!(way, invited, "over the flow of the dialog");
    }
    assert_eq!(phone.expect("call.ended")["call"]["status"], "completed");

    let uri = register.headers.contacts().unwrap().remove(0).uri.to_string();
    let lines = format!("Record-Route: {tls}\r\nRecord-Route: {udp}\r\nX-Twilio-CallSid: CA1\r\n");
    let record = called(&mut phone, &mut carrier, hop, (&uri, &lines), &media.plain(), &media);
    assert_eq!(record["metadata"]["headers"]["X-Twilio-CallSid"], "CA1", "{record}");
    leave(phone, &mut carrier);
}

#[test]
fn twilio_trunk_over_udp_calls_and_is_called_without_registering() {
    let (home, mut carrier) = (Home::new(), Carrier::start(None));
    let media = Media::open(carrier.ip);
    // The gateways' addresses are not to be had on this machine.
    let account = format!(
        "preset = \"twilio-trunk\"\naor = \"sip:+15550100001@x.pstn.twilio.com\"\ncountry_code = \"1\"\n\
         numbers = [\"5550100001\", \"5550100002\"]\nsources = [\"{}\"]\n",
        carrier.ip
    );
    let mut phone = run(&home, &carrier, None, &account);
    phone.say("dial 5550100009");
    let (hop, invite) = carrier.request(&Method::Invite);
    assert_eq!(
        (hop.transport, invite.uri.to_string().as_str()),
        (Transport::Udp, "sip:+15550100009@x.pstn.twilio.com")
    );
    let own = "<sip:+15550100001@x.pstn.twilio.com>";
    assert_eq!(invite.headers.get(&Name::AssertedIdentity), Some(own));
    let challenge = "Digest realm=\"sip.twilio.com\",qop=\"auth\",nonce=\"n1\",opaque=\"o1\"";
    carrier.answer(hop, &invite, 407, &[("Proxy-Authenticate", challenge)], None);
    let (hop, invite) = carrier.request(&Method::Invite);
    assert_eq!(credentials(&invite, &Name::ProxyAuthorization)["realm"], "sip.twilio.com");
    let route = format!("<sip:{};lr>", carrier.ip);
    let fields = [("Record-Route", route.as_str()), ("Contact", "<sip:+15550100009@172.25.10.62:5060>")];
    let record = talk(&mut phone, &mut carrier, hop, &invite, &fields, &media.plain());
    assert_eq!(record["codec"], "PCMU");

    let lines = "Diversion: <sip:+15550100002@twilio.com>;reason=unconditional\r\n";
    let uri = format!("sip:pilot@{}", hop.remote);
    let record = called(&mut phone, &mut carrier, hop, (&uri, lines), &media.plain(), &media);
    assert_eq!(record["number"], "+15550100002", "the dialled number: {record}");
    phone.interrupt();
    let phone = phone.finish();
    assert_eq!(phone.code, 0, "{phone:?}");
    assert!(!phone.out.contains("registration."), "{}", phone.out);
}
