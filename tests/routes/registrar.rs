//! A registrar that takes everybody, and can be killed and restarted.

use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Status};
use sidetone::sip::wire::parse_datagram;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often its threads look whether they shall end.
const LOOK: Duration = Duration::from_millis(20);

/// A running registrar; it is killed, connections and all, with this.
pub struct Registrar {
    pub address: SocketAddr,
    contacts: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Registrar {
    /// Over UDP and TCP; it grants `expires` seconds.
    pub fn start(address: SocketAddr, expires: u32) -> Self {
        let contacts = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let udp = UdpSocket::bind(address).expect("the address is free");
        udp.set_read_timeout(Some(LOOK)).unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(address).expect("the address is free");
        tcp.set_nonblocking(true).unwrap();
        let (log, end) = (Arc::clone(&contacts), Arc::clone(&over));
        let datagrams = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                if let Ok((length, source)) = udp.recv_from(&mut buffer)
                    && let Some(answer) = answer(&buffer[..length], expires, &log)
                {
                    let _ = udp.send_to(&answer, source);
                }
            }
        });
        let (log, end) = (Arc::clone(&contacts), Arc::clone(&over));
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
                            b"\r\n\r\n" => Some(b"\r\n".to_vec()),
                            octets => answer(octets, expires, &log),
                        };
                        answer.is_none_or(|answer| stream.write_all(&answer).is_ok())
                    }
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                });
                std::thread::sleep(LOOK);
            }
        });
        Self { address, contacts, over, threads: vec![datagrams, connections] }
    }

    /// Every Contact value that was registered so far, in order.
    pub fn contacts(&self) -> Vec<String> {
        self.contacts.lock().unwrap().clone()
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

fn answer(octets: &[u8], expires: u32, contacts: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let Ok(Message::Request(request)) = parse_datagram(octets) else { return None };
    if request.method != Method::Register {
        return None;
    }
    let mut response = request.response(Status::OK).with_to_tag("registrar");
    let contact = request.headers.contacts().ok()?.into_iter().next()?;
    contacts.lock().unwrap().push(contact.to_string());
    response.headers.push(Name::Contact, format!("<{}>;expires={expires}", contact.uri));
    Some(response.to_bytes())
}
