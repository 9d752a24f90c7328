//! A registrar that takes everybody, and can be killed and restarted.

use sidetone::net::stun;
use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Status};
use sidetone::sip::wire::parse_datagram;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often its threads look whether they shall end.
const LOOK: Duration = Duration::from_millis(20);

/// A running registrar; it is killed, connections and all, with this.
pub struct Registrar {
    pub address: SocketAddr,
    desk: Arc<Desk>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How it behaves.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Seconds that it grants.
    pub expires: u32,
    /// Does it answer CRLFCRLF on a connection?
    pub pongs: bool,
    /// Does it keep flows (RFC 5626): `Require: outbound`?
    pub outbound: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { expires: 600, pongs: true, outbound: false }
    }
}

/// What its threads share.
struct Desk {
    manner: Manner,
    contacts: Mutex<Vec<String>>,
    /// Binding requests that were answered.
    bindings: AtomicUsize,
    /// Does it answer 503, to be asked again in three seconds?
    busy: AtomicBool,
}

impl Registrar {
    /// Over UDP and TCP; it grants `expires` seconds.
    pub fn start(address: SocketAddr, expires: u32) -> Self {
        Self::with(address, Manner { expires, ..Manner::default() })
    }

    /// Over UDP, where it also speaks STUN, and TCP.
    pub fn with(address: SocketAddr, manner: Manner) -> Self {
        let (contacts, bindings, busy) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        let desk = Arc::new(Desk { manner, contacts, bindings, busy });
        let over = Arc::new(AtomicBool::new(false));
        let udp = UdpSocket::bind(address).expect("the address is free");
        udp.set_read_timeout(Some(LOOK)).unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(address).expect("the address is free");
        tcp.set_nonblocking(true).unwrap();
        let (log, end) = (Arc::clone(&desk), Arc::clone(&over));
        let datagrams = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let Ok((length, source)) = udp.recv_from(&mut buffer) else { continue };
                let answer = match stun::read(&buffer[..length]) {
                    Some(stun::Message::Request(id)) => {
                        log.bindings.fetch_add(1, Ordering::Relaxed);
                        Some(stun::success(id, source))
                    }
                    Some(stun::Message::Response(..)) => None,
                    None => log.answer(&buffer[..length]),
                };
                // The way back may be closed: that is for the phone to notice.
                let _ = answer.map(|answer| udp.send_to(&answer, source));
            }
        });
        let (log, end) = (Arc::clone(&desk), Arc::clone(&over));
        let connections = std::thread::spawn(move || {
            let mut open = Vec::new();
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = tcp.accept() {
                    stream.set_nonblocking(true).unwrap();
                    open.push(stream);
                }
                open.retain_mut(|stream| match stream.read(&mut buffer) {
                    Ok(0) => false,
                    Ok(length) => {
                        // A REGISTER has no body and comes in one piece on a wire of our own.
                        let answer = match &buffer[..length] {
                            b"\r\n\r\n" => log.manner.pongs.then(|| b"\r\n".to_vec()),
                            octets => log.answer(octets),
                        };
                        answer.is_none_or(|answer| stream.write_all(&answer).is_ok())
                    }
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
                std::thread::sleep(LOOK);
            }
        });
        Self { address, desk, over, threads: vec![datagrams, connections] }
    }

    /// Every Contact value that was registered so far, in order.
    pub fn contacts(&self) -> Vec<String> {
        self.desk.contacts.lock().unwrap().clone()
    }

    /// How many Binding requests it has answered.
    pub fn bindings(&self) -> usize {
        self.desk.bindings.load(Ordering::Relaxed)
    }

    /// Has it answer 503, or take registrations again.
    pub fn be_busy(&self, busy: bool) {
        self.desk.busy.store(busy, Ordering::Relaxed);
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn answer(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let Ok(Message::Request(request)) = parse_datagram(octets) else { return None };
        if request.method != Method::Register {
            return None;
        }
        if self.busy.load(Ordering::Relaxed) {
            let mut response = request.response(Status::SERVICE_UNAVAILABLE).with_to_tag("registrar");
            response.headers.push(Name::RetryAfter, "3");
            return Some(response.to_bytes());
        }
        let mut response = request.response(Status::OK).with_to_tag("registrar");
        let contact = request.headers.contacts().ok()?.into_iter().next()?;
        self.contacts.lock().unwrap().push(contact.to_string());
        response.headers.push(Name::Contact, format!("<{}>;expires={}", contact.uri, self.manner.expires));
        if self.manner.outbound {
            response.headers.push(Name::Require, "outbound");
        }
        Some(response.to_bytes())
    }
}
