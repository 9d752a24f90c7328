//! Connections that do not come about, and the sentence for each.

use super::*;
use sidetone::net::{ResolveError, TlsError};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The certificates of servers that are not to be trusted.
#[tokio::test]
async fn the_problem_of_a_certificate_is_named_with_its_remedy() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let rows = [
        (known.issue(&["elsewhere.example"]), ["is for elsewhere.example", "\"localhost\""]),
        (known.issue(&["*.localhost"]), ["is for *.localhost", "domain"]),
        (known.issue(&["sip:bob@localhost"]), ["is for sip:bob@localhost", "domain"]),
        (known.issue_expired(&["localhost"]), ["expired on 2020-02-03", "clock"]),
        (unknown.issue(&["localhost"]), ["not trusted", "--tls-ca"]),
    ];
    for (server, parts) in rows {
        let (b, _b_inbox) = bind(&server);
        let sentence = sentence(&trusting(&known), "localhost", server_address(&b)).await;
        assert!(parts.iter().all(|part| sentence.contains(part)), "{sentence}");
    }
}

/// A bare address is not whoever has a certificate for some name.
#[tokio::test]
async fn an_address_alone_proves_nothing() {
    let authority = Authority::new();
    let (b, _inbox) = bind(&authority.issue(&["pbx.example"]));
    let sentence = sentence(&trusting(&authority), "127.0.0.1", server_address(&b)).await;
    assert!(sentence.contains("is for pbx.example"), "{sentence}");
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_told_so() {
    let authority = Authority::new();
    // A server in cleartext on the port that we think is TLS.
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = peer.read(&mut [0; 4096]).await;
    });
    let told = sentence(&trusting(&authority), "localhost", address).await;
    assert!(told.contains("does not speak TLS") && told.contains("5061"), "{told}");
    // A client in cleartext on our TLS port: no message, and the connection ends.
    let (b, mut inbox) = bind(&authority.issue(&["localhost"]));
    let mut peer = TcpStream::connect(server_address(&b)).await.unwrap();
    peer.write_all(&options("clear")).await.unwrap();
    let (_, why) = failure(&mut inbox).await;
    assert!(why.to_string().contains("does not speak TLS"), "{why}");
    let mut rest = Vec::new();
    let _ = soon(peer.read_to_end(&mut rest)).await;
    assert!(!rest.starts_with(b"SIP"), "nothing in cleartext comes back");
    assert_eq!(b.traffic().failed_handshakes, 1);
}

#[tokio::test]
async fn slow_handshakes_end() {
    let authority = Authority::new();
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let (b, mut inbox) = bind_with(&authority.issue(&["localhost"]), limits.clone());
    let _silent = TcpStream::connect(server_address(&b)).await.unwrap();
    assert_eq!(failure(&mut inbox).await.1, Failure::SlowSender);
    // And the other way round.
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let (a, mut inbox) = bind_with(&trusting(&authority), limits);
    a.send(&way(&a, "localhost", listener.local_addr().unwrap().port()).await, options("x")).unwrap();
    let (_, why) = failure(&mut inbox).await;
    assert!(matches!(&why, Failure::Tls(sentence) if sentence.contains("did not finish")), "{why}");
}

#[tokio::test]
async fn handshakes_in_progress_are_limited() {
    let authority = Authority::new();
    let limits = Limits { handshakes: 1, handshake: Duration::from_secs(10), ..Limits::default() };
    let (b, mut inbox) = bind_with(&authority.issue(&["localhost"]), limits);
    let mut first = TcpStream::connect(server_address(&b)).await.unwrap();
    // The first octets of a ClientHello.
    first.write_all(&[22, 3, 1]).await.unwrap();
    // Whichever of the two the listener has counted first, there is no room for the other.
    let _second = TcpStream::connect(server_address(&b)).await.unwrap();
    assert_eq!(failure(&mut inbox).await.1, Failure::TooMany);
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_says_which_flag_is_missing() {
    use pki_types::pem::PemObject;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, pki_types, server::WebPkiClientVerifier};
    let authority = Authority::new();
    let issued = authority.issue(&["localhost"]);
    let certificate = |path: &std::path::Path| pki_types::CertificateDer::from_pem_file(path).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.file())).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        .with_single_cert(
            vec![certificate(issued.cert.as_ref().unwrap())],
            pki_types::PrivateKeyDer::from_pem_file(issued.key.as_ref().unwrap()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (peer, _) = listener.accept().await.unwrap();
            let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config.clone())).accept(peer).await;
        }
    });
    let (a, mut inbox) = bind(&trusting(&authority));
    a.send(&way(&a, "localhost", address.port()).await, options("x")).unwrap();
    let (_, why) = failure(&mut inbox).await;
    assert!(why.to_string().contains("--tls-cert"), "{why}");
}

/// Requests for one name do not go over a connection that was verified for another.
#[tokio::test]
async fn a_second_name_at_the_same_address_has_to_be_in_the_certificate() {
    let authority = Authority::new();
    let (b, mut b_inbox) = bind(&authority.issue(&["localhost"]));
    let (a, _inbox) = bind(&trusting(&authority));
    a.send(&way(&a, "localhost", port(&b)).await, options("x")).unwrap();
    let _ = message(&mut b_inbox).await;
    // Names under localhost loop back where the system's resolver knows RFC 6761 section 6.3.
    match a.resolver().resolve("other.localhost", Some(port(&b)), Some(Transport::Tls)).await {
        Err(ResolveError::Certificate { host, held, .. }) => {
            assert_eq!((host.as_str(), held.as_str()), ("other.localhost", "localhost"));
        }
        Err(ResolveError::Unknown { .. } | ResolveError::Timeout { .. }) => {
            println!("skipped: no second name of this machine is known");
        }
        other => panic!("another name was taken: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_bound_is_off() {
    let config = BindConfig::new(LOOPBACK, Some(0));
    let (a, _inbox) = Transports::bind(config, Now::new(|| Instant::ZERO)).unwrap();
    let off = a.resolver().resolve("127.0.0.1", None, Some(Transport::Tls)).await.unwrap_err();
    assert!(matches!(off, ResolveError::Off { transport: Transport::Tls, .. }));
}

#[test]
fn files_that_do_not_fit_are_named() {
    let (one, other) = (Authority::new(), Authority::new());
    let (first, second) = (one.issue(&["a.example"]), other.issue(&["b.example"]));
    let message = |settings: TlsSettings| Tls::load(&settings).unwrap_err().to_string();
    let missing = message(TlsSettings { ca: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() });
    assert!(missing.contains("--tls-ca /nowhere/ca.pem: there is no such file"), "{missing}");
    let swapped = message(TlsSettings { ca: first.key.clone(), ..TlsSettings::default() });
    assert!(swapped.contains("holds no certificate"), "{swapped}");
    let foreign = message(TlsSettings { key: second.key, ..first.clone() });
    assert!(foreign.contains("belongs to it"), "{foreign}");
    assert!(matches!(Tls::load(&TlsSettings { key: None, ..first }), Err(TlsError::Half { .. })));
}
