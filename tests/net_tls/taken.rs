//! Connections that come about.

use super::*;

#[tokio::test]
async fn requests_and_responses_share_one_connection() {
    let authority = Authority::new();
    let (b, mut b_inbox) = bind(&authority.issue(&["localhost"]));
    let (a, mut a_inbox) = bind(&trusting(&authority));
    let there = way(&a, "localhost", port(&b)).await;
    a.send(&there, options("one")).unwrap();
    a.send(&there, options("two")).unwrap();
    let (source, first) = message(&mut b_inbox).await;
    assert_eq!((first.as_str(), source.transport), ("one", Transport::Tls));
    assert_eq!(source.local, server_address(&b));
    assert_eq!(source.remote, there.local, "the port in Via and Contact is that of the connection");
    assert_eq!(message(&mut b_inbox).await.1, "two");
    b.send(&source, options("three")).unwrap();
    assert_eq!(message(&mut a_inbox).await, (there, "three".into()));
    // A Route with the bare address reuses what was made by name.
    let by_address = way(&a, "127.0.0.1", port(&b)).await;
    a.send(&by_address, options("four")).unwrap();
    assert_eq!(message(&mut b_inbox).await.1, "four");
    assert_eq!((a.traffic().connections, a.traffic().handshakes, b.traffic().handshakes), (1, 1, 1));
    b.close(&source);
    assert_eq!(failure(&mut a_inbox).await, (there, Failure::Closed));
    a.send(&there, options("five")).unwrap();
    let _ = failure(&mut b_inbox).await;
    assert_eq!(message(&mut b_inbox).await.1, "five");
}

#[tokio::test]
async fn large_messages_and_keep_alives_pass() {
    let authority = Authority::new();
    let (b, mut b_inbox) = bind(&authority.issue(&["localhost"]));
    let (a, mut a_inbox) = bind(&trusting(&authority));
    let there = way(&a, "localhost", port(&b)).await;
    let body = "x".repeat(40_000);
    let large = String::from_utf8(options("large").to_vec())
        .unwrap()
        .replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    a.send(&there, large.into()).unwrap();
    assert_eq!(message(&mut b_inbox).await.1, "large");
    a.send(&there, Bytes::from_static(b"\r\n\r\n")).unwrap();
    assert!(matches!(soon(b_inbox.next()).await, Some(Incoming::KeepAlive { pong: false, .. })));
    assert!(matches!(soon(a_inbox.next()).await, Some(Incoming::KeepAlive { pong: true, .. })));
}

/// SIP URIs (RFC 5922), addresses, and for a bare address that came in a message the account's domain.
#[tokio::test]
async fn every_proper_name_is_taken() {
    let authority = Authority::new();
    let domain = |domain: &str| TlsSettings { domains: vec![domain.into()], ..trusting(&authority) };
    let rows = [
        ("sip:localhost", "localhost", trusting(&authority)),
        ("localhost", "LocalHost", trusting(&authority)),
        ("127.0.0.1", "127.0.0.1", trusting(&authority)),
        ("*.sip.example.com", "127.0.0.1", domain("alice.sip.example.com")),
    ];
    for (names, asked, client) in rows {
        let (b, mut b_inbox) = bind(&authority.issue(&[names]));
        let (a, _inbox) = bind(&client);
        a.send(&way(&a, asked, port(&b)).await, options(asked)).unwrap();
        assert_eq!(message(&mut b_inbox).await.1, asked, "{names}");
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_to_whoever_asks() {
    let authority = Authority::new();
    let phone = authority.issue(&["phone.example"]);
    let (b, mut b_inbox) = bind(&TlsSettings { ca: Some(authority.file()), ..authority.issue(&["localhost"]) });
    // With one of the authority, and without any.
    for client in [TlsSettings { ca: Some(authority.file()), ..phone }, trusting(&authority)] {
        let (a, _inbox) = bind(&client);
        a.send(&way(&a, "localhost", port(&b)).await, options("x")).unwrap();
        let (source, _) = message(&mut b_inbox).await;
        b.close(&source);
        let _ = failure(&mut b_inbox).await;
    }
}

#[tokio::test]
async fn verification_ends_where_the_user_says_so() {
    let authority = Authority::new();
    let (b, mut b_inbox) = bind(&authority.issue_expired(&["elsewhere.example"]));
    let (a, _inbox) = bind(&TlsSettings { insecure: true, ..TlsSettings::default() });
    a.send(&way(&a, "localhost", port(&b)).await, options("x")).unwrap();
    assert_eq!(message(&mut b_inbox).await.1, "x");
}
