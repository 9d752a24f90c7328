//! The signalling sockets over loopback.

use bytes::Bytes;
use sidetone::net::{BindConfig, BindError, Failure, Inbox, Incoming, Limits, Now, Transports, stun};
use sidetone::sip::hop::{Hop, Transport};
use sidetone::sip::message::{Message, Method};
use sidetone::time::{Duration, Instant};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const AT: Instant = Instant::from_millis(7);

/// A test that hangs fails here.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came in time")
}

fn bind_with(limits: Limits) -> (Transports, Inbox) {
    bind(BindConfig { limits, ..BindConfig::new(LOOPBACK, Some(0)) })
}

fn bind(config: BindConfig) -> (Transports, Inbox) {
    // Limits in time are measured by the clock of the driver.
    let start = tokio::time::Instant::now();
    Transports::bind(config, Now::new(move || AT + start.elapsed())).unwrap()
}

fn address(transports: &Transports, transport: Transport) -> SocketAddr {
    SocketAddr::new(LOOPBACK, transports.local(transport).unwrap().port())
}

fn hop(from: &Transports, transport: Transport, remote: SocketAddr) -> Hop {
    Hop { transport, local: address(from, transport), remote }
}

fn options(call: &str) -> Bytes {
    format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

async fn message(inbox: &mut Inbox) -> (Hop, Message) {
    match soon(inbox.next()).await {
        Some(Incoming::Message { source, message, at, .. }) if at >= AT => (source, *message),
        other => panic!("no message: {other:?}"),
    }
}

async fn failure(inbox: &mut Inbox) -> (Hop, Failure) {
    match soon(inbox.next()).await {
        Some(Incoming::Failed { hop, why, .. }) => (hop, why),
        other => panic!("no failure: {other:?}"),
    }
}

fn call_id(message: &Message) -> Option<&str> {
    message.headers().call_id()
}

#[tokio::test]
async fn datagrams_come_with_both_addresses() {
    let any = BindConfig::new(Ipv4Addr::UNSPECIFIED.into(), Some(0));
    let (a, mut a_inbox) = bind(any);
    let (b, mut b_inbox) = bind_with(Limits::default());
    let there = a.resolver().resolve("127.0.0.1", Some(address(&b, Transport::Udp).port()), None).await.unwrap();
    assert_eq!(there, [hop(&a, Transport::Udp, address(&b, Transport::Udp))]);
    a.send(&there[0], Bytes::from_static(b"to b")).unwrap();
    let Some(Incoming::Datagram { source, bytes, at }) = soon(b_inbox.next()).await else { panic!() };
    assert_eq!((source, &bytes[..]), (hop(&b, Transport::Udp, there[0].local), &b"to b"[..]));
    assert!(at >= AT);
    b.send(&source, Bytes::from_static(b"\r\n\r\n")).unwrap();
    b.send(&source, Bytes::from_static(b"to a")).unwrap();
    let Some(Incoming::KeepAlive { source, pong: false, .. }) = soon(a_inbox.next()).await else { panic!() };
    assert_eq!(source, there[0], "through the wildcard, the address on the route");
    let Some(Incoming::Datagram { source, bytes, .. }) = soon(a_inbox.next()).await else { panic!() };
    assert_eq!((source, &bytes[..]), (there[0], &b"to a"[..]));
    assert_eq!(a.traffic().datagrams, 2);
}

/// A socket for all addresses knows to which one a peer wrote, and answers from there: from another one, the peer would
/// not take it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_leaves_from_the_address_that_was_asked() {
    for (any, asked, asking) in [("0.0.0.0", "127.0.0.77", "127.0.0.78"), ("::", "::1", "::1")] {
        let any: IpAddr = any.parse().unwrap();
        let Ok((transports, mut inbox)) = Transports::bind(BindConfig::new(any, Some(0)), Now::new(|| AT)) else {
            println!("skipped: no IPv6 on this machine");
            continue;
        };
        let port = transports.local(Transport::Udp).unwrap().port();
        let asked = SocketAddr::new(asked.parse().unwrap(), port);
        let peer = UdpSocket::bind((asking.parse::<IpAddr>().unwrap(), 0)).await.unwrap();
        // Only what comes from there arrives.
        peer.connect(asked).await.unwrap();
        peer.send(b"question").await.unwrap();
        let Some(Incoming::Datagram { source, .. }) = soon(inbox.next()).await else { panic!() };
        assert_eq!((source.local, source.remote), (asked, peer.local_addr().unwrap()));
        transports.send(&source, Bytes::from_static(b"answer")).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(soon(peer.recv(&mut buffer)).await.unwrap(), 6);
        // An address that is ours no more does not keep a message from leaving.
        let gone = Hop { local: "203.0.113.9:5060".parse().unwrap(), ..source };
        if any.is_ipv4() {
            let peer = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
            transports.send(&Hop { remote: peer.local_addr().unwrap(), ..gone }, Bytes::from_static(b"late")).unwrap();
            assert_eq!(soon(peer.recv(&mut buffer)).await.unwrap(), 4);
        }
    }
}

/// STUN and SIP share the port (RFC 5626 section 8): who asks is told, answers to a keep-alive are told, and the answer to
/// a question of the sockets' own goes to whoever asked it.
#[tokio::test]
async fn stun_on_the_sip_port_is_kept_apart() {
    let (a, mut a_inbox) = bind_with(Limits::default());
    let (b, mut b_inbox) = bind_with(Limits::default());
    let there = hop(&a, Transport::Udp, address(&b, Transport::Udp));
    let id = stun::TransactionId([9; 12]);
    a.send(&there, stun::request(id).into()).unwrap();
    let Some(Incoming::Stun { source, message, .. }) = soon(b_inbox.next()).await else { panic!() };
    assert_eq!((source.remote, message), (there.local, stun::Message::Request(id)));
    b.send(&source, stun::success(id, source.remote).into()).unwrap();
    let Some(Incoming::Stun { source, message, .. }) = soon(a_inbox.next()).await else { panic!() };
    assert_eq!((source, message), (there, stun::Message::Response(id, stun::Reply::Mapped(there.local))));
    let question = tokio::spawn({
        let a = a.clone();
        async move { a.public_address(there.remote, stun::TransactionId([8; 12]), Duration::from_secs(10)).await }
    });
    let Some(Incoming::Stun { source, message: stun::Message::Request(id), .. }) = soon(b_inbox.next()).await else {
        panic!()
    };
    b.send(&source, stun::success(id, "203.0.113.1:4".parse().unwrap()).into()).unwrap();
    assert_eq!(soon(question).await.unwrap(), Ok("203.0.113.1:4".parse().unwrap()));
    b.send(&source, Bytes::from_static(b"SIP")).unwrap();
    let Some(Incoming::Datagram { .. }) = soon(a_inbox.next()).await else { panic!("told twice") };
}

#[tokio::test]
async fn what_the_driver_is_too_slow_for_is_dropped_and_counted() {
    let (transports, mut inbox) = bind_with(Limits { datagrams: 3, ..Limits::default() });
    let peer = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    for number in 0..10u8 {
        peer.send_to(&[b'a' + number], address(&transports, Transport::Udp)).await.unwrap();
    }
    soon(async {
        while transports.traffic().datagrams < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(transports.traffic().dropped_datagrams, 7);
    let Some(Incoming::Datagram { bytes, .. }) = soon(inbox.next()).await else { panic!() };
    assert_eq!(&bytes[..], b"a", "the oldest stay: their senders have waited longest");
}

#[tokio::test]
async fn a_response_goes_back_on_the_connection_of_its_request() {
    let (a, mut a_inbox) = bind_with(Limits::default());
    let (b, mut b_inbox) = bind_with(Limits::default());
    let there = hop(&a, Transport::Tcp, address(&b, Transport::Tcp));
    a.send(&there, options("one")).unwrap();
    a.send(&there, options("two")).unwrap();
    let (source, first) = message(&mut b_inbox).await;
    assert_eq!(call_id(&first), Some("one"));
    assert_eq!(source.local, address(&b, Transport::Tcp), "the listener, not the connection");
    assert_ne!(source.remote, there.local, "an ephemeral port");
    let Message::Request(request) = &first else { panic!("a request") };
    assert_eq!(request.method, Method::Options);
    let (again, second) = message(&mut b_inbox).await;
    assert_eq!((again, call_id(&second)), (source, Some("two")), "the same connection");
    b.send(&source, options("three")).unwrap();
    let (back, third) = message(&mut a_inbox).await;
    assert_eq!((back, call_id(&third)), (there, Some("three")));
    assert_eq!((a.traffic().connections, b.traffic().connections), (1, 1));
}

#[tokio::test]
async fn pings_are_answered_and_pongs_told() {
    let (a, mut a_inbox) = bind_with(Limits::default());
    let (b, mut b_inbox) = bind_with(Limits::default());
    let there = hop(&a, Transport::Tcp, address(&b, Transport::Tcp));
    a.send(&there, Bytes::from_static(b"\r\n\r\n")).unwrap();
    assert!(matches!(soon(b_inbox.next()).await, Some(Incoming::KeepAlive { pong: false, .. })));
    let Some(Incoming::KeepAlive { source, pong: true, .. }) = soon(a_inbox.next()).await else { panic!() };
    assert_eq!(source, there);
}

#[tokio::test]
async fn messages_may_come_in_pieces_and_together() {
    let (transports, mut inbox) = bind_with(Limits::default());
    let mut peer = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    let octets = [options("one"), options("two"), options("three")].concat();
    let (head, rest) = octets.split_at(octets.len() / 3 + 20);
    peer.write_all(head).await.unwrap();
    assert_eq!(call_id(&message(&mut inbox).await.1), Some("one"));
    peer.write_all(rest).await.unwrap();
    assert_eq!(call_id(&message(&mut inbox).await.1), Some("two"));
    assert_eq!(call_id(&message(&mut inbox).await.1), Some("three"));
}

#[tokio::test]
async fn failures_name_the_hop() {
    let (a, mut inbox) = bind_with(Limits::default());
    // A port on which nobody listens.
    let gone = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap();
    let there = hop(&a, Transport::Tcp, gone);
    a.send(&there, options("x")).unwrap();
    assert_eq!(failure(&mut inbox).await, (there, Failure::Refused));
    // From loopback there is no way out.
    let far = hop(&a, Transport::Tcp, "192.0.2.1:5060".parse().unwrap());
    a.send(&far, options("x")).unwrap();
    let (hop, why) = failure(&mut inbox).await;
    assert!(hop == far && matches!(why, Failure::Unreachable(_)), "{why}");
    let only_udp = BindConfig { tcp: false, ..BindConfig::new(LOOPBACK, Some(0)) };
    assert_eq!(bind(only_udp).0.send(&there, options("x")), Err(Failure::Off(Transport::Tcp)));
}

#[tokio::test]
async fn a_connection_that_never_comes_about_times_out() {
    let (transports, mut inbox) = bind_with(Limits { connect: Duration::from_millis(20), ..Limits::default() });
    // A backlog of one that is full: Linux ignores further connections.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(LOOPBACK, 0).into()).unwrap();
    socket.listen(0).unwrap();
    let remote = socket.local_addr().unwrap().as_socket().unwrap();
    let _filling = std::net::TcpStream::connect(remote).unwrap();
    let there = hop(&transports, Transport::Tcp, remote);
    transports.send(&there, options("x")).unwrap();
    assert_eq!(failure(&mut inbox).await, (there, Failure::TimedOut));
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_and_the_next_message_makes_another() {
    let (a, mut a_inbox) = bind_with(Limits::default());
    let (b, mut b_inbox) = bind_with(Limits::default());
    let there = hop(&a, Transport::Tcp, address(&b, Transport::Tcp));
    a.send(&there, options("one")).unwrap();
    let (source, _) = message(&mut b_inbox).await;
    b.send(&source, options("last words")).unwrap();
    b.close(&source);
    assert_eq!(call_id(&message(&mut a_inbox).await.1), Some("last words"));
    assert_eq!(failure(&mut a_inbox).await, (there, Failure::Closed));
    assert_eq!(failure(&mut b_inbox).await, (source, Failure::Hangup));
    a.send(&there, options("two")).unwrap();
    assert_eq!(call_id(&message(&mut b_inbox).await.1), Some("two"));
    assert_eq!(a.traffic().connections, 2);
}

#[tokio::test]
async fn octets_that_are_not_sip_end_the_connection_after_the_reply() {
    let (transports, mut inbox) = bind_with(Limits { linger: Duration::from_millis(50), ..Limits::default() });
    let mut peer = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let Some(Incoming::Malformed { source, .. }) = soon(inbox.next()).await else { panic!() };
    transports.send(&source, Bytes::from_static(b"SIP/2.0 400 Bad Request\r\n\r\n")).unwrap();
    let mut reply = String::new();
    soon(peer.read_to_string(&mut reply)).await.unwrap();
    assert!(reply.starts_with("SIP/2.0 400"));
    assert_eq!(failure(&mut inbox).await, (source, Failure::NotSip));
}

#[tokio::test]
async fn silent_and_slow_peers_are_given_up() {
    let short = Duration::from_millis(30);
    let (transports, mut inbox) = bind_with(Limits { message: short, ..Limits::default() });
    // Connects and says nothing.
    let _silent = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    assert_eq!(failure(&mut inbox).await.1, Failure::SlowSender);
    // Says half of its second message.
    let mut slow = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    slow.write_all(&[&options("one")[..], b"OPTIONS sip:"].concat()).await.unwrap();
    message(&mut inbox).await;
    assert_eq!(failure(&mut inbox).await.1, Failure::SlowSender);
    // Says one message and nothing more.
    let (transports, mut inbox) = bind_with(Limits { idle: short, ..Limits::default() });
    let mut idle = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    idle.write_all(&options("one")).await.unwrap();
    message(&mut inbox).await;
    assert_eq!(failure(&mut inbox).await.1, Failure::Idle);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up() {
    let limits = Limits { unsent: 2, write: Duration::from_millis(30), ..Limits::default() };
    let (transports, mut inbox) = bind_with(limits);
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let there = hop(&transports, Transport::Tcp, listener.local_addr().unwrap());
    // More than the buffers of the system hold.
    let large = Bytes::from(vec![b'x'; 32 << 20]);
    transports.send(&there, large.clone()).unwrap();
    let (_peer, _) = listener.accept().await.unwrap();
    assert_eq!(failure(&mut inbox).await, (there, Failure::SlowReader));
    // One is queued before the connection is there, the second fills the queue, the third is told at once.
    transports.send(&there, large.clone()).unwrap();
    transports.send(&there, large.clone()).unwrap();
    assert_eq!(transports.send(&there, large), Err(Failure::SlowReader));
}

#[tokio::test]
async fn there_is_a_limit_of_connections() {
    let (transports, mut inbox) = bind_with(Limits { connections: 1, ..Limits::default() });
    let mut first = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    first.write_all(&options("one")).await.unwrap();
    message(&mut inbox).await;
    let mut second = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    assert_eq!(soon(second.read(&mut [0; 1])).await.unwrap_or(0), 0, "closed at once");
    assert_eq!(transports.traffic().refused_connections, 1);
    let elsewhere = hop(&transports, Transport::Tcp, "127.0.0.1:9".parse().unwrap());
    assert_eq!(transports.send(&elsewhere, options("x")), Err(Failure::TooMany));
    drop(first);
    assert_eq!(failure(&mut inbox).await.1, Failure::Closed);
    let mut third = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    third.write_all(&options("three")).await.unwrap();
    assert_eq!(call_id(&message(&mut inbox).await.1), Some("three"));
}

/// Thousands of connections from everywhere: what is held is bounded, what is refused is counted, and who is there already
/// is served on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_bounded_and_others_are_served() {
    let limits = Limits { connections: 64, per_source: 16, ..Limits::default() };
    let (transports, mut inbox) = bind(BindConfig { limits, ..BindConfig::new(Ipv4Addr::UNSPECIFIED.into(), Some(0)) });
    let to = address(&transports, Transport::Tcp);
    let mut friend = TcpStream::connect(to).await.unwrap();
    friend.write_all(&options("before")).await.unwrap();
    let (source, _) = message(&mut inbox).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for number in 0..1500u32 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // Fifteen attackers; one of them alone may have sixteen.
        let from = Ipv4Addr::new(127, 9, 9, 1 + (number % 15) as u8);
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        // Who was refused finds the connection closed.
        match tokio::time::timeout(Duration::from_millis(if number < 80 { 20 } else { 500 }), stream.read(&mut [0; 1]))
            .await
        {
            Err(_) => open.push(stream),
            Ok(_) => refused += 1,
        }
    }
    assert!(open.len() < 64, "{} are open", open.len());
    assert!(refused >= 1500 - 80, "{refused} were refused");
    assert!(transports.traffic().refused_connections >= refused - 20, "{:?}", transports.traffic());
    friend.write_all(&options("during")).await.unwrap();
    assert_eq!(call_id(&message(&mut inbox).await.1), Some("during"), "who was there is served");
    transports.send(&source, options("answer")).unwrap();
    let mut buffer = [0; 1024];
    assert!(soon(friend.read(&mut buffer)).await.unwrap() > 0);
    // Datagrams do not care.
    let peer = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    peer.send_to(b"datagram", address(&transports, Transport::Udp)).await.unwrap();
    assert!(matches!(soon(inbox.next()).await, Some(Incoming::Datagram { .. })));
    drop(open);
    let mut late = loop {
        let mut late = TcpStream::connect(to).await.unwrap();
        late.write_all(&options("after")).await.unwrap();
        if let Some(Incoming::Message { message, .. }) = soon(inbox.next()).await {
            assert_eq!(call_id(&message), Some("after"), "there is room again");
            break late;
        }
    };
    late.shutdown().await.unwrap();
}

#[tokio::test]
async fn silent_connections_give_way_to_new_ones() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let patience = limits.message;
    let clock = Arc::new(Mutex::new(AT));
    let now = Now::new({
        let clock = Arc::clone(&clock);
        move || *clock.lock().unwrap()
    });
    let config = BindConfig { limits, ..BindConfig::new(LOOPBACK, Some(0)) };
    let (transports, mut inbox) = Transports::bind(config, now).unwrap();
    let mut silent = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    silent.write_all(&options("one")).await.unwrap();
    let (source, _) = message(&mut inbox).await;
    *clock.lock().unwrap() = AT + patience + Duration::from_millis(1);
    let mut next = TcpStream::connect(address(&transports, Transport::Tcp)).await.unwrap();
    next.write_all(&options("two")).await.unwrap();
    let mut events = [soon(inbox.next()).await, soon(inbox.next()).await];
    events.sort_by_key(|event| matches!(event, Some(Incoming::Message { .. })));
    assert!(matches!(&events[0], Some(Incoming::Failed { hop, why: Failure::Hangup, .. }) if *hop == source));
    assert!(matches!(&events[1], Some(Incoming::Message { .. })));
    assert_eq!(soon(silent.read(&mut [0; 1])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_the_transports_closes_everything() {
    let (transports, mut inbox) = bind_with(Limits::default());
    let local = address(&transports, Transport::Tcp);
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.write_all(&options("one")).await.unwrap();
    message(&mut inbox).await;
    drop(transports);
    assert_eq!(soon(peer.read(&mut [0; 1])).await.unwrap_or(0), 0);
    assert_eq!(failure(&mut inbox).await.1, Failure::Hangup);
    assert!(soon(inbox.next()).await.is_none());
    assert!(TcpStream::connect(local).await.is_err());
}

#[tokio::test]
async fn one_port_for_both_and_a_clear_word_when_it_is_taken() {
    let (first, _inbox) = bind_with(Limits::default());
    let port = first.local(Transport::Udp).unwrap().port();
    assert_eq!(first.local(Transport::Tcp).unwrap().port(), port);
    let taken = Transports::bind(BindConfig::new(LOOPBACK, Some(port)), Now::new(|| AT));
    let error = taken.err().unwrap().to_string();
    assert!(error.contains(&port.to_string()) && error.contains("--bind"), "{error}");
    let nothing = BindConfig { udp: false, tcp: false, ..BindConfig::new(LOOPBACK, Some(0)) };
    assert!(matches!(Transports::bind(nothing, Now::new(|| AT)), Err(BindError::Nothing)));
    // 5060 where it is free, else another; two phones can run side by side.
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 94));
    let usual = |_| Transports::bind(BindConfig::new(ip, None), Now::new(|| AT)).unwrap();
    let phones: Vec<_> = (0..2).map(usual).collect();
    let ports: Vec<_> = phones.iter().map(|phone| phone.0.local(Transport::Tcp).unwrap().port()).collect();
    assert_ne!(ports[0], ports[1]);
    assert_ne!(ports[1], 5060);
}

#[tokio::test]
async fn ipv6_works_the_same() {
    let ip = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
    let Ok((a, mut inbox)) = Transports::bind(BindConfig::new(ip, Some(0)), Now::new(|| AT)) else {
        println!("skipped: no IPv6 on this machine");
        return;
    };
    let port = a.local(Transport::Tcp).unwrap().port();
    let there = a.resolver().resolve("[::1]", Some(port), Some(Transport::Tcp)).await.unwrap();
    a.send(&there[0], options("to myself")).unwrap();
    let (source, request) = message(&mut inbox).await;
    assert_eq!((source.local, call_id(&request)), (SocketAddr::new(ip, port), Some("to myself")));
    let there = a.resolver().resolve("::1", Some(port), None).await.unwrap();
    a.send(&there[0], Bytes::from_static(b"datagram")).unwrap();
    assert!(matches!(soon(inbox.next()).await, Some(Incoming::Datagram { .. })));
}
