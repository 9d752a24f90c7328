//! A carrier played by hand over real sockets: a name server that leads every name to it, its transports, and the words
//! that a script puts into its mouth.
#![allow(dead_code, reason = "each test crate uses its own part")]

use md5::{Digest, Md5};
use sidetone::net::{BindConfig, Inbox, Incoming, Now, Tls, TlsSettings, Transports};
use sidetone::sip::header::Name;
use sidetone::sip::hop::Hop;
use sidetone::sip::message::{Message, Method, Request, Response, Status};
use sidetone::sip::wire::parse_datagram;
use sidetone::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How long anything may take on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);

/// An address of this machine that no other test uses, so that SIP can have its usual ports.
pub(crate) fn address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % 250 + 1;
    let pid = std::process::id();
    Ipv4Addr::new(127, 64 + (pid / 250 % 64) as u8, (pid % 250) as u8 + 1, number as u8).into()
}

/// A name server that leads every name to `ip`, and knows nothing else.
pub(crate) fn names(ip: IpAddr) -> SocketAddr {
    let IpAddr::V4(ip) = ip else { panic!("an IPv4 address") };
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..length];
            // Behind the header the name, its labels each with their length, and an end; then type and class.
            let mut at = 12;
            while question.get(at).is_some_and(|label| *label != 0) {
                at += usize::from(question[at]) + 1;
            }
            let Some(kind) = question.get(at + 1..at + 3) else { continue };
            let wanted = kind == [0, 1];
            // An answer, as recursive as was asked for, with one question and one or no answer (RFC 1035 section 4.1.1).
            let mut answer = [&question[..2], &[0x85, 0x80, 0, 1, 0, u8::from(wanted), 0, 0, 0, 0]].concat();
            answer.extend(&question[12..at + 5]);
            if wanted {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(ip.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// One server of a carrier.
pub(crate) struct Carrier {
    runtime: tokio::runtime::Runtime,
    transports: Transports,
    inbox: Inbox,
    waiting: VecDeque<(Hop, Message)>,
    pub(crate) ip: IpAddr,
    pub(crate) names: SocketAddr,
}

impl Carrier {
    /// A server on an address of its own, ports 5060 and 5061.
    pub(crate) fn start(tls: Option<&TlsSettings>) -> Self {
        let ip = address();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tls = tls.map(|settings| Tls::load(settings).unwrap());
        let (transports, inbox) = runtime.block_on(async {
            let start = tokio::time::Instant::now();
            let config = BindConfig { tls, ..BindConfig::new(ip, Some(5060)) };
            Transports::bind(config, Now::new(move || Instant::ZERO + start.elapsed())).unwrap()
        });
        Self { runtime, transports, inbox, waiting: VecDeque::new(), ip, names: names(ip) }
    }

    /// The next message; panics when none comes.
    #[track_caller]
    fn next(&mut self) -> (Hop, Message) {
        match self.next_within(LIMIT) {
            Some(message) => message,
            None => panic!("no message came"),
        }
    }

    /// The next message, if one comes in time.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<(Hop, Message)> {
        if let Some(waiting) = self.waiting.pop_front() {
            return Some(waiting);
        }
        let inbox = &mut self.inbox;
        let next = async {
            loop {
                match inbox.next().await.expect("the sockets are open") {
                    Incoming::Message { source, message, .. } => return (source, *message),
                    Incoming::Datagram { source, bytes, .. } => {
                        if let Ok(message) = parse_datagram(&bytes) {
                            return (source, message);
                        }
                    }
                    _ => {}
                }
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(patience, next).await.ok() })
    }

    /// The next request of this method; others before it are left out.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &Method) -> (Hop, Request) {
        loop {
            match self.next() {
                (hop, Message::Request(request)) if request.method == *method => return (hop, request),
                _ => {}
            }
        }
    }

    /// The next response with this status; others before it are left out.
    #[track_caller]
    pub(crate) fn response(&mut self, status: u16, method: &Method) -> Response {
        loop {
            if let (_, Message::Response(response)) = self.next()
                && response.headers.cseq().unwrap().method == *method
            {
                match response.status.code() {
                    code if code == status => return response,
                    code => assert!(code < 200, "{response:?}"),
                }
            }
        }
    }

    /// Sends octets the way that `hop` came.
    pub(crate) fn say(&self, hop: Hop, bytes: impl Into<bytes::Bytes>) {
        let _guard = self.runtime.enter();
        self.transports.send(&hop, bytes.into()).unwrap();
    }

    /// Answers a request with these header fields.
    pub(crate) fn answer(&self, hop: Hop, request: &Request, status: u16, fields: &[(&str, &str)], sdp: Option<&str>) {
        let mut response = request.response(Status(status));
        if status > 100 {
            response = response.with_to_tag("carrier");
        }
        // The source is told, as servers do (RFC 3581 section 4).
        let mut via = response.headers.top_via().unwrap();
        via.note_source(hop.remote);
        response.headers.set_first(Name::Via, via.to_string());
        for (name, value) in fields {
            response.headers.push(*name, *value);
        }
        let bytes = match sdp {
            Some(sdp) => response.with_body("application/sdp", sdp.to_owned()).to_bytes(),
            None => response.to_bytes(),
        };
        self.say(hop, bytes);
    }
}

/// What comes to one RTP port of the carrier.
pub(crate) struct Media(UdpSocket);

impl Media {
    pub(crate) fn open(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The payload type of the next RTP packet.
    #[track_caller]
    pub(crate) fn payload_type(&self) -> u8 {
        let mut buffer = [0; 1500];
        loop {
            let length = self.0.recv(&mut buffer).expect("RTP comes");
            if length > 12 && buffer[0] >> 6 == 2 {
                return buffer[1] & 0x7f;
            }
        }
    }

    /// A plain session description with PCMU.
    pub(crate) fn plain(&self) -> String {
        let (ip, port) = (self.0.local_addr().unwrap().ip(), self.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 172.18.0.9\r\ns=Gateway\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        )
    }

    /// The same with keys (RFC 4568).
    pub(crate) fn secure(&self) -> String {
        let key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
        self.plain().replace("RTP/AVP", "RTP/SAVP") + key
    }
}

/// Our Contact of a REGISTER as the registrar lists it, so long.
pub(crate) fn listed(register: &Request, seconds: u32) -> String {
    let contact = register.headers.contacts().unwrap().remove(0);
    format!("<{}>;expires={seconds}", contact.uri)
}

pub(crate) fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The parameters of a credentials header.
#[track_caller]
pub(crate) fn credentials(request: &Request, name: &Name) -> HashMap<String, String> {
    let value = request.headers.get(name).unwrap_or_else(|| panic!("no {name} in {request:?}"));
    let parts = value.strip_prefix("Digest ").unwrap().split(',').map(|part| part.trim().split_once('=').unwrap());
    parts.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}
