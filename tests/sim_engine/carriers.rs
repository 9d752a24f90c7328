//! Carriers as scripted peers: each preset as the configuration makes it, against what its carrier is known to do.

use crate::world::opened;
use md5::{Digest, Md5};
use sidetone::call::record::{Record, Status as CallStatus};
use sidetone::call::{CallId, MediaEvent, MediaOrder, Moment};
use sidetone::config::{Draft, Environment, Profile};
use sidetone::engine::{Config, Dial, Engine, Output, Registration};
use sidetone::random::Random;
use sidetone::sip::agent::{AccountId, AgentConfig, Unclaimed};
use sidetone::sip::guard::{self, Strangers};
use sidetone::sip::header::Name;
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::registration::State;
use sidetone::sip::uri::Uri;
use sidetone::sip::wire::{StreamItem, parse_datagram};
use sidetone::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

const LOCAL: &str = "198.51.100.7:40000";
const PASSWORD: &str = "Correct-Horse-1";

/// One of the carrier's servers; the first answers look-ups alone unless a test says more.
const SERVER: &str = "54.172.60.0:5061";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The account of a configuration file with these lines.
#[track_caller]
fn account(lines: &str) -> Profile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, format!("[account.a]\npassword = \"{PASSWORD}\"\n{lines}")).unwrap();
    Draft::gather(Some(&path), &Environment::default()).unwrap().profile("a").unwrap()
}

/// A phone with one account, and its carrier.
struct Carrier {
    engine: Engine,
    profile: Profile,
    now: Instant,
    /// Where every name leads, best first.
    servers: Vec<SocketAddr>,
    sent: VecDeque<(Instant, Hop, Message)>,
    pings: Vec<Instant>,
    events: Vec<(CallId, Moment, Record)>,
    registrations: Vec<Registration>,
}

impl Carrier {
    fn new(profile: Profile) -> Self {
        let config = Config {
            conduct: sidetone::call::Conduct::default(),
            agent: AgentConfig {
                unclaimed: Unclaimed::NotFound,
                // As a phone that registers has it.
                guard: guard::Config { strangers: Strangers::Ignore, ..guard::Config::default() },
                ..AgentConfig::new("sidetone-sim")
            },
            media: profile.media.clone(),
        };
        let mut engine = Engine::new(config, crate::world::wall(), Random::from_seed(7));
        let id = engine.add_account(profile.account.clone());
        engine.set_account_media(id, profile.media.clone());
        Self {
            engine,
            profile,
            now: Instant::from_millis(1_000),
            servers: vec![at(SERVER)],
            sent: VecDeque::new(),
            pings: Vec::new(),
            events: Vec::new(),
            registrations: Vec::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let now = self.now;
            match output {
                Output::Transmit { hop, bytes } => match parse_datagram(&bytes) {
                    Ok(message) => self.sent.push_back((now, hop, message)),
                    Err(_) => self.pings.push(now),
                },
                Output::Resolve { id, host, port, transport } => {
                    let transport = transport.unwrap_or(Transport::Udp);
                    let addresses = match host.ip() {
                        Some(ip) => vec![SocketAddr::new(ip, port.unwrap_or(transport.default_port()))],
                        None => self.servers.clone(),
                    };
                    let hops =
                        addresses.into_iter().map(|remote| Hop { transport, local: at(LOCAL), remote }).collect();
                    self.engine.handle_resolved(now, id, Ok(hops));
                }
                Output::Media { call, order: MediaOrder::Open { local, .. } } => {
                    let opened = opened(SocketAddr::new(local, 20_000));
                    self.engine.handle_media(now, call, opened);
                }
                Output::Media { call, order: MediaOrder::Close } => {
                    let finished =
                        MediaEvent::Finished { report: Box::default(), recording: None, counters: Box::default() };
                    self.engine.handle_media(now, call, finished);
                }
                Output::Call(event) => self.events.push((event.call, event.moment, *event.record)),
                Output::Registration(registration) => self.registrations.push(registration),
                _ => {}
            }
        }
    }

    fn register(&mut self) {
        self.engine.register(self.now, AccountId(0)).unwrap();
        self.drain();
    }

    fn dial(&mut self, target: &str) {
        let dial = Dial {
            account: AccountId(0),
            target: target.parse().unwrap(),
            from_number: None,
            media: self.profile.media.clone(),
            ring_limit: Duration::from_secs(60),
            headers: Vec::new(),
        };
        self.engine.dial(self.now, dial).unwrap();
        self.drain();
    }

    /// The next request that the phone sent, and where to.
    #[track_caller]
    fn request(&mut self, method: &Method) -> (Hop, Request) {
        while let Some((_, hop, message)) = self.sent.pop_front() {
            if let Message::Request(request) = message
                && request.method == *method
            {
                return (hop, request);
            }
        }
        panic!("no {method} was sent");
    }

    #[track_caller]
    fn response(&mut self) -> Response {
        while let Some((_, _, message)) = self.sent.pop_front() {
            if let Message::Response(response) = message
                && response.status != Status::TRYING
            {
                return response;
            }
        }
        panic!("no response was sent");
    }

    fn say(&mut self, hop: Hop, bytes: &[u8]) {
        match hop.transport {
            Transport::Udp => self.engine.handle_datagram(self.now, hop, bytes),
            _ => {
                let message = parse_datagram(bytes).unwrap();
                self.engine.handle_stream_item(self.now, hop, Ok(StreamItem::Message(message)));
            }
        }
        self.drain();
    }

    /// Answers a request, with these header fields.
    fn answer(&mut self, hop: Hop, request: &Request, status: u16, fields: &[(&str, &str)], sdp: Option<&str>) {
        let mut response = request.response(Status(status)).with_to_tag("carrier");
        for (name, value) in fields {
            response.headers.push(*name, *value);
        }
        let bytes = match sdp {
            Some(sdp) => response.with_body("application/sdp", sdp.to_owned()).to_bytes(),
            None => response.to_bytes(),
        };
        self.say(hop, &bytes);
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.engine.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    #[track_caller]
    fn registered(&self) -> (Duration, Duration) {
        match &self.registrations.last().expect("a registration").state {
            State::Registered { granted, refresh, .. } => (*granted, *refresh - self.now),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn ended(&self) -> &Record {
        let ended = self.events.iter().rev().find(|(_, moment, _)| *moment == Moment::Ended);
        &ended.expect("an end").2
    }
}

/// Our Contact of a REGISTER as the registrar lists it, so long.
fn listed(register: &Request, seconds: u32) -> String {
    let contact = register.headers.contacts().unwrap().remove(0);
    format!("<{}>;expires={seconds}", contact.uri)
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The parameters of a credentials header.
#[track_caller]
fn credentials(request: &Request, name: &Name) -> std::collections::HashMap<String, String> {
    let value = request.headers.get(name).unwrap_or_else(|| panic!("no {name} in {request:?}"));
    let parts = value.strip_prefix("Digest ").unwrap().split(',').map(|part| part.trim().split_once('=').unwrap());
    parts.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

const PLAIN: &str = "v=0\r\no=- 1 1 IN IP4 172.18.0.9\r\ns=Gateway\r\nc=IN IP4 168.86.128.9\r\nt=0 0\r\n\
    m=audio 10000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n";

fn secure() -> String {
    let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    PLAIN.replace("RTP/AVP", "RTP/SAVP") + key
}

const DOMAIN: &str = "preset = \"twilio-domain\"\naor = \"sip:alice@example.sip.twilio.com\"\n";
const TRUNK: &str = "preset = \"twilio-trunk\"\naor = \"sip:+15550100001@x.pstn.twilio.com\"\ncountry_code = \"1\"\n";
const TELNYX: &str = "preset = \"telnyx\"\naor = \"sip:me@sip.telnyx.com\"\n";

#[test]
fn twilio_domain_registers_through_407_and_finds_its_own_binding_among_all() {
    let mut carrier = Carrier::new(account(DOMAIN));
    carrier.register();
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!((hop.transport, register.uri.to_string().as_str()), (Transport::Tls, "sip:example.sip.twilio.com"));
    assert_eq!(register.headers.get(&Name::Expires), Some("1800"));
    let challenge = "Digest realm=\"sip.twilio.com\",qop=\"auth\",nonce=\"n1\",opaque=\"o1\"";
    carrier.answer(hop, &register, 407, &[("Proxy-Authenticate", challenge)], None);
    let (hop, register) = carrier.request(&Method::Register);
    let own = credentials(&register, &Name::ProxyAuthorization);
    let (a1, a2) = (md5(&format!("alice:sip.twilio.com:{PASSWORD}")), md5("REGISTER:sip:example.sip.twilio.com"));
    let expected = md5(&format!("{a1}:n1:{}:{}:auth:{a2}", own["nc"], own["cnonce"]));
    assert_eq!((own["response"].as_str(), own["opaque"].as_str()), (expected.as_str(), "o1"));
    let all = [
        "<sip:alice@203.0.113.4:5062;transport=tls>;expires=17".to_owned(),
        listed(&register, 1800),
        "<sip:alice@203.0.113.5:5062>;expires=3599".to_owned(),
    ];
    let fields: Vec<_> = all.iter().map(|contact| ("Contact", contact.as_str())).collect();
    carrier.answer(hop, &register, 200, &fields, None);
    let (granted, refresh) = carrier.registered();
    assert_eq!(granted, Duration::from_secs(1800), "ours, not the first nor the longest");
    assert!((Duration::from_secs(855)..=Duration::from_secs(900)).contains(&refresh), "half of it: {refresh:?}");
    // Kept open by what the preset says, far more often than streams are usually.
    carrier.run(Duration::from_secs(200));
    let gaps = carrier.pings.windows(2).map(|pair| pair[1] - pair[0]).max().expect("pings");
    assert!(carrier.pings.len() >= 8 && gaps <= Duration::from_secs(25), "{gaps:?}");
}

#[test]
fn twilio_domain_says_423_and_clamps_and_is_asked_for_the_same_again() {
    let mut carrier = Carrier::new(account(&format!("{DOMAIN}expires = 60\ntransport = \"udp\"\n")));
    carrier.register();
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!((hop.transport, register.headers.get(&Name::Expires)), (Transport::Udp, Some("60")), "overruled");
    carrier.answer(hop, &register, 423, &[("Min-Expires", "600")], None);
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!(register.headers.get(&Name::Expires), Some("600"));
    carrier.answer(hop, &register, 200, &[("Contact", &listed(&register, 600))], None);
    assert_eq!(carrier.registered().0, Duration::from_secs(600));

    let mut carrier = Carrier::new(account(&format!("{DOMAIN}expires = 7200\nrefresh = 80\n")));
    carrier.register();
    let (hop, register) = carrier.request(&Method::Register);
    carrier.answer(hop, &register, 200, &[("Contact", &listed(&register, 3600))], None);
    let (granted, refresh) = carrier.registered();
    assert_eq!(granted, Duration::from_secs(3600), "what was granted, not what was asked for");
    assert!((Duration::from_secs(2736)..=Duration::from_secs(2880)).contains(&refresh), "80 %: {refresh:?}");
    carrier.run(refresh + Duration::from_secs(1));
    let (_, again) = carrier.request(&Method::Register);
    assert_eq!(again.headers.get(&Name::Expires), Some("7200"), "the wish does not shrink");
}

#[test]
fn two_record_routes_and_a_private_contact_are_taken_as_they_are() {
    let mut carrier = Carrier::new(account(&format!("{DOMAIN}country_code = \"1\"\n")));
    carrier.dial("sip:5550100009@example.sip.twilio.com");
    let (hop, invite) = carrier.request(&Method::Invite);
    assert_eq!(invite.uri.to_string(), "sip:+15550100009@example.sip.twilio.com");
    let sdp = String::from_utf8(invite.body.to_vec()).unwrap();
    assert!(sdp.contains("RTP/AVP") && !sdp.contains("a=crypto"), "a domain without secure media refuses keys: {sdp}");
    let challenge = "Digest realm=\"sip.twilio.com\",qop=\"auth\",nonce=\"n2\",opaque=\"o2\"";
    carrier.answer(hop, &invite, 407, &[("Proxy-Authenticate", challenge)], None);
    let (hop, invite) = carrier.request(&Method::Invite);
    assert_eq!(credentials(&invite, &Name::ProxyAuthorization)["realm"], "sip.twilio.com");
    let fields = [
        ("Record-Route", "<sip:54.172.60.0:5061;transport=tls;r2=on;lr>"),
        ("Record-Route", "<sip:54.172.60.0;r2=on;lr>"),
        ("Contact", "<sip:+15550100009@172.25.10.62:5060;transport=udp>"),
    ];
    carrier.answer(hop, &invite, 200, &fields, Some(PLAIN));
    let call = carrier.events.last().unwrap().0;
    let acked = carrier.request(&Method::Ack);
    carrier.engine.hangup(carrier.now, call).unwrap();
    carrier.drain();
    let ended = carrier.request(&Method::Bye);
    for (hop, request) in [acked, ended] {
        assert_eq!(request.uri.to_string(), "sip:+15550100009@172.25.10.62:5060;transport=udp", "never rewritten");
        let routes: Vec<_> = request.headers.all(&Name::Route).collect();
        assert_eq!(routes, ["<sip:54.172.60.0;r2=on;lr>", "<sip:54.172.60.0:5061;transport=tls;r2=on;lr>"]);
        assert_eq!(hop.remote.ip(), at(SERVER).ip(), "by the route, not to the private address");
    }
}

#[test]
fn srtp_that_does_not_fit_is_refused_by_either_side() {
    // Secure trunking is off: keys are refused.
    let mut carrier = Carrier::new(account(&format!("{TRUNK}srtp = \"required\"\n")));
    carrier.dial("sip:+15550100009@x.pstn.twilio.com");
    let (hop, invite) = carrier.request(&Method::Invite);
    assert!(String::from_utf8_lossy(&invite.body).contains("RTP/SAVP"));
    carrier.answer(hop, &invite, 488, &[("Reason", "Q.850;cause=88")], None);
    let ended = carrier.ended();
    assert_eq!((ended.status, ended.sip_code, &ended.metadata["cause"]), (CallStatus::Failed, Some(488), &88.into()));

    // It is on: what comes in has keys and nothing else.
    for (srtp, status) in [("off", 488), ("required", 180)] {
        let mut carrier = Carrier::new(account(&format!("{TRUNK}srtp = \"{srtp}\"\n")));
        carrier.incoming("54.172.60.2:5060", Transport::Udp, &[], &secure());
        assert_eq!(carrier.response().status.0, status, "srtp = {srtp}");
    }
}

impl Carrier {
    /// An INVITE for a fixed user from `source`.
    fn incoming(&mut self, source: &str, transport: Transport, fields: &[(&str, &str)], sdp: &str) {
        let mut text = format!(
            "INVITE sip:pilot@{LOCAL} SIP/2.0\r\nVia: SIP/2.0/{} {source};branch=z9hG4bKin1;rport\r\n\
             Max-Forwards: 60\r\nFrom: <sip:+15550107777@carrier.example>;tag=in\r\n\
             To: <sip:pilot@carrier.example>\r\nCall-ID: in1\r\nCSeq: 1 INVITE\r\nContact: <sip:gw@10.1.2.3>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n",
            transport.name(),
            sdp.len()
        );
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("\r\n{sdp}");
        self.say(Hop { transport, local: at(LOCAL), remote: at(source) }, text.as_bytes());
    }
}

#[test]
fn twilio_trunk_calls_without_registering_and_is_called_from_its_networks_only() {
    let mut carrier = Carrier::new(account(&format!("{TRUNK}numbers = [\"5550100001\", \"5550100002\"]\n")));
    assert!(!carrier.profile.register);
    carrier.dial("sip:5550100009@x.pstn.twilio.com");
    let (_, invite) = carrier.request(&Method::Invite);
    assert_eq!(invite.uri.to_string(), "sip:+15550100009@x.pstn.twilio.com");
    let own = "<sip:+15550100001@x.pstn.twilio.com>";
    assert!(invite.headers.get(&Name::From).unwrap().starts_with(own));
    assert_eq!(invite.headers.get(&Name::AssertedIdentity), Some(own));
    let sdp = String::from_utf8(invite.body.to_vec()).unwrap();
    assert!(sdp.contains("m=audio 20000 RTP/AVP 0 8 "), "PCMU, PCMA and no Opus: {sdp}");

    let dialled = [("Diversion", "<sip:+15550100002@twilio.com>;reason=unconditional")];
    let mut carrier = Carrier::new(account(&format!("{TRUNK}numbers = [\"5550100001\", \"5550100002\"]\n")));
    carrier.incoming("203.0.113.9:5060", Transport::Udp, &dialled, PLAIN);
    assert!(carrier.sent.is_empty() && carrier.events.is_empty(), "a stranger: {:?}", carrier.sent);
    carrier.incoming("54.172.60.2:5060", Transport::Udp, &dialled, PLAIN);
    assert_eq!(carrier.response().status, Status::RINGING);
    let record = &carrier.events[0].2;
    assert_eq!(record.number.as_deref(), Some("+15550100002"), "the dialled number, not the fixed user");
}

#[test]
fn a_silent_server_of_the_trunk_costs_four_seconds() {
    for (lines, seconds) in [("", 4.0), ("failover = 1.5\n", 1.5)] {
        let mut carrier = Carrier::new(account(&format!("{TRUNK}{lines}")));
        carrier.servers = vec![at("54.172.60.0:5060"), at("54.172.60.1:5060")];
        carrier.dial("sip:+15550100009@x.pstn.twilio.com");
        let start = carrier.now;
        carrier.run(Duration::from_secs(10));
        let second = carrier.sent.iter().find(|(_, hop, _)| hop.remote == at("54.172.60.1:5060"));
        let waited = (second.expect("the second server is tried").0 - start).as_secs_f64();
        assert!((seconds..seconds + 0.6).contains(&waited), "{waited} s");
    }
}

#[test]
fn telnyx_challenges_without_qop_and_writes_compact_names() {
    let mut carrier = Carrier::new(account(TELNYX));
    carrier.register();
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!((hop.transport, register.headers.get(&Name::Expires)), (Transport::Tls, Some("300")));
    assert!(register.headers.to().unwrap().tag().is_none() && register.headers.contacts().unwrap().len() == 1);
    let via = register.headers.get(&Name::Via).unwrap().to_owned();
    let compact = |request: &Request, line: &str, more: &str| {
        format!(
            "SIP/2.0 {line}\r\nv: {}\r\nf: {}\r\nt: {};tag=tx\r\ni: {}\r\nCSeq: {}\r\n{more}l: 0\r\n\r\n",
            request.headers.get(&Name::Via).unwrap(),
            request.headers.get(&Name::From).unwrap(),
            request.headers.get(&Name::To).unwrap(),
            request.headers.call_id().unwrap(),
            request.headers.get(&Name::CSeq).unwrap(),
        )
    };
    assert!(via.contains("TLS"));
    let challenge = "WWW-Authenticate: Digest realm=\"sip.telnyx.com\", nonce=\"abc\", algorithm=MD5\r\n";
    carrier.say(hop, compact(&register, "401 Unauthorized", challenge).as_bytes());
    let (hop, register) = carrier.request(&Method::Register);
    let own = credentials(&register, &Name::Authorization);
    let (a1, a2) = (md5(&format!("me:sip.telnyx.com:{PASSWORD}")), md5("REGISTER:sip:sip.telnyx.com"));
    assert_eq!(own["response"], md5(&format!("{a1}:abc:{a2}")), "RFC 2069 form");
    assert!(!own.contains_key("qop") && !own.contains_key("cnonce"));
    let contact = listed(&register, 287).replace(">", ";alias=203.0.113.7~40000~3>");
    carrier.say(hop, compact(&register, "200 OK", &format!("m: {contact}\r\n")).as_bytes());
    let (granted, refresh) = carrier.registered();
    assert_eq!(granted, Duration::from_secs(287));
    assert!((Duration::from_secs(136)..=Duration::from_secs(144)).contains(&refresh), "{refresh:?}");

    // A call comes in: compact names, two hops that want to stay on the way, the number in To.
    let sdp = PLAIN;
    let invite = format!(
        "INVITE sip:me@{LOCAL};transport=tls SIP/2.0\r\nv: SIP/2.0/TLS 192.76.120.10:5061;branch=z9hG4bKtx;rport\r\n\
         Record-Route: <sip:192.76.120.10:5061;transport=tls;r2=on;lr>\r\nRecord-Route: <sip:10.255.0.1;r2=on;lr>\r\n\
         Max-Forwards: 60\r\nf: <sip:+15550107777@192.76.120.10>;tag=tx\r\nt: <sip:+15550100001@sip.telnyx.com>\r\n\
         i: tx1\r\nCSeq: 1 INVITE\r\nm: <sip:+15550107777@10.13.37.4:6050>\r\nk: timer, path\r\n\
         P-Asserted-Identity: <sip:+15550107777@192.76.120.10;verstat=TN-Validation-Passed>\r\n\
         X-Telnyx-Session-ID: 5a\r\nc: application/sdp\r\nl: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    carrier.sent.clear();
    let hop = Hop { remote: at("192.76.120.10:5061"), ..hop };
    carrier.say(hop, invite.as_bytes());
    let (call, _, record) = carrier.events[0].clone();
    assert_eq!(
        (record.number.as_deref(), &record.metadata["verstat"]),
        (Some("+15550100001"), &"TN-Validation-Passed".into())
    );
    assert_eq!(record.metadata["headers"]["X-Telnyx-Session-ID"], "5a");
    carrier.sent.clear();
    carrier.engine.answer(carrier.now, call).unwrap();
    carrier.drain();
    let answer = carrier.response();
    let routes: Vec<_> = answer.headers.all(&Name::RecordRoute).collect();
    assert_eq!(
        routes,
        ["<sip:192.76.120.10:5061;transport=tls;r2=on;lr>", "<sip:10.255.0.1;r2=on;lr>"],
        "all, in order"
    );
}

#[test]
fn signalwire_gets_keys_beside_plain_rtp_and_a_clean_to() {
    let lines = "preset = \"signalwire\"\naor = \"sip:me@space-1a2b.sip.signalwire.com\"\n";
    let mut carrier = Carrier::new(account(lines));
    carrier.dial("sip:+15550100009@space-1a2b.sip.signalwire.com");
    let (hop, invite) = carrier.request(&Method::Invite);
    assert_eq!(hop.transport, Transport::Tls);
    assert_eq!(invite.headers.get(&Name::To), Some("<sip:+15550100009@space-1a2b.sip.signalwire.com>"), "no transport");
    let sdp = String::from_utf8(invite.body.to_vec()).unwrap();
    assert!(sdp.contains("RTP/AVP") && sdp.contains("a=crypto:"), "optional: {sdp}");
    let required = Carrier::new(account(&format!("{lines}srtp = \"required\"\n")));
    assert_eq!(required.profile.media.srtp.to_string(), "required");
}

#[test]
fn generic_answers_sha_256_and_keeps_numbers_as_they_are() {
    let lines = "preset = \"generic\"\naor = \"sip:alice@pbx.example\"\n";
    let mut carrier = Carrier::new(account(lines));
    carrier.register();
    let (hop, register) = carrier.request(&Method::Register);
    assert_eq!(register.headers.get(&Name::Expires), Some("600"));
    let fields = [
        ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\""),
        ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\", algorithm=MD5, qop=\"auth\""),
    ];
    carrier.answer(hop, &register, 401, &fields, None);
    let (_, register) = carrier.request(&Method::Register);
    assert_eq!(credentials(&register, &Name::Authorization)["algorithm"], "SHA-256");
    let mut carrier = Carrier::new(account(lines));
    carrier.dial("sip:0301234567@pbx.example");
    assert_eq!(carrier.request(&Method::Invite).1.uri, "sip:0301234567@pbx.example".parse::<Uri>().unwrap());
}
