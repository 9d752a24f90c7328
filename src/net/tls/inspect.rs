//! A look at what a TLS server shows, whether it is to be trusted or not; nothing is said to it.

use super::identity::Verifier;
use super::{Tls, explain, is_for};
use crate::net::tcp;
use crate::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme};

/// What a server showed in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Its certificates (DER), its own first; empty if the handshake ended before.
    pub chain: Vec<Vec<u8>>,
    /// `TLSv1.2` or `TLSv1.3`; `None` if the handshake was not finished.
    pub version: Option<&'static str>,
    /// The cipher suite, by its IANA name.
    pub cipher: Option<String>,
    /// The name of ours that its own certificate is for, whoever made it.
    pub name: Option<String>,
    /// Why no connection is made with it, with the remedy; `None` if nothing is wrong.
    pub problem: Option<String>,
    /// The problem is that nobody who is trusted vouches for it.
    pub untrusted: bool,
}

impl Tls {
    /// Makes a connection with `remote`, which has to be `name`, and looks at what it shows; verifies it even where that
    /// is switched off.
    ///
    /// # Errors
    /// A sentence if there is no connection at all.
    pub async fn inspect(
        &self,
        from: SocketAddr,
        remote: SocketAddr,
        name: &str,
        patience: Duration,
    ) -> Result<Presented, String> {
        let stream = tcp::connect(from, remote, patience).await.map_err(|failure| failure.to_string())?;
        let (verifier, server) = self.verifier(name).map_err(|error| error.to_string())?;
        let accepted = verifier.accepted.clone();
        let observer =
            Arc::new(Observer { verifier: Verifier { insecure: false, ..verifier }, seen: Mutex::default() });
        let config = self.config(observer.clone()).map_err(|error| error.to_string())?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(server, stream);
        let made = timeout(patience, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let seen = std::mem::take(&mut *observer.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let own = seen.chain.first().cloned().map(CertificateDer::from);
        let mut presented = Presented {
            name: accepted.into_iter().find(|name| own.as_ref().is_some_and(|own| is_for(own, name).is_ok())),
            chain: seen.chain,
            version: None,
            cipher: None,
            untrusted: matches!(&seen.refused, Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))),
            problem: seen.refused.map(|error| explain(&io::Error::other(error), remote, Some(name))),
        };
        match made {
            Ok(stream) => {
                let session = stream.get_ref().1;
                presented.version = session.protocol_version().and_then(|version| match version {
                    ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
                    ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
                    _ => None,
                });
                presented.cipher = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                presented.problem.get_or_insert_with(|| {
                    format!(
                        "\"{name}\" ({remote}) did not finish the TLS handshake in {} s; is it a TLS port (usually 5061)?",
                        patience.as_secs()
                    )
                });
            }
            Err(error) => {
                presented.problem.get_or_insert_with(|| explain(&error, remote, Some(name)));
            }
        }
        Ok(presented)
    }
}

/// Notes what a server shows and what is wrong with it, and lets the handshake go on: version and cipher come later.
#[derive(Debug)]
struct Observer {
    verifier: Verifier,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    chain: Vec<Vec<u8>>,
    refused: Option<Error>,
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = self.verifier.verify_server_cert(end_entity, intermediates, server, ocsp, now).err();
        let chain = std::iter::once(end_entity).chain(intermediates).map(|shown| shown.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen { chain, refused };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
