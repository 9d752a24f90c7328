//! TLS between real sockets: who is let in, who is not, and what the refused are told.

#[path = "../shared/authority.rs"]
mod authority;
mod refused;
mod taken;

use authority::Authority;
use bytes::Bytes;
use sidetone::net::{BindConfig, Failure, Inbox, Incoming, Limits, Now, Tls, TlsSettings, Transports};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::Message;
use sidetone::time::{Duration, Instant};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A test that hangs fails here.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came in time")
}

fn bind(tls: &TlsSettings) -> (Transports, Inbox) {
    bind_with(tls, Limits::default())
}

fn bind_with(tls: &TlsSettings, limits: Limits) -> (Transports, Inbox) {
    let start = tokio::time::Instant::now();
    let config = BindConfig { tls: Some(Tls::load(tls).unwrap()), limits, ..BindConfig::new(LOOPBACK, Some(0)) };
    Transports::bind(config, Now::new(move || Instant::ZERO + start.elapsed())).unwrap()
}

fn port(transports: &Transports) -> u16 {
    transports.local(Transport::Tls).unwrap().port()
}

/// The way from `from` to `name`, which is on loopback; as a look-up finds it.
async fn way(from: &Transports, name: &str, port: u16) -> Hop {
    from.resolver().resolve(name, Some(port), Some(Transport::Tls)).await.unwrap()[0]
}

fn options(call: &str) -> Bytes {
    format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

async fn message(inbox: &mut Inbox) -> (Hop, String) {
    match soon(inbox.next()).await {
        Some(Incoming::Message { source, message, .. }) => (source, call_id(&message)),
        other => panic!("no message: {other:?}"),
    }
}

fn call_id(message: &Message) -> String {
    message.headers().call_id().unwrap_or_default().to_owned()
}

async fn failure(inbox: &mut Inbox) -> (Hop, Failure) {
    match soon(inbox.next()).await {
        Some(Incoming::Failed { hop, why, .. }) => (hop, why),
        other => panic!("no failure: {other:?}"),
    }
}

/// The sentence that the user reads when `client` sends to `name` at `server`.
async fn sentence(client: &TlsSettings, name: &str, server: SocketAddr) -> String {
    let (a, mut inbox) = bind(client);
    let there = way(&a, name, server.port()).await;
    a.send(&there, options("x")).unwrap();
    match failure(&mut inbox).await {
        (hop, Failure::Tls(sentence)) if hop == there => sentence,
        other => panic!("no TLS failure: {other:?}"),
    }
}

fn server_address(server: &Transports) -> SocketAddr {
    SocketAddr::new(LOOPBACK, port(server))
}

/// What a phone trusts that trusts `authority` only.
fn trusting(authority: &Authority) -> TlsSettings {
    TlsSettings { ca: Some(authority.file()), ..TlsSettings::default() }
}
