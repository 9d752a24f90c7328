//! TLS for SIP (RFC 3261 section 26.3, RFC 5922) by rustls.
//!
//! ```text
//!  TlsSettings ── load ──▶ Tls ──┬─ client(name) ─▶ handshake that checks the peer against `name`
//!   files, names                 └─ server ───────▶ handshake with our certificate, if there is one
//! ```
//!
//! Peers are verified; [`TlsSettings::insecure`] is the only way round, and says so in the log at each start.

mod explain;
mod identity;
mod inspect;
mod names;

pub(super) use explain::explain;
pub(super) use identity::is_for;
pub use inspect::Presented;
pub(super) use names::{Conflict, Names};

use identity::Verifier;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, KeyLogFile, RootCertStore, ServerConfig};

/// The environment variable that names a file for the session keys, which Wireshark reads.
const KEY_LOG: &str = "SSLKEYLOGFILE";

/// What TLS is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates of authorities that are trusted beside those of the platform (PEM); clients of ours that show a
    /// certificate must have one of these.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain (PEM): shown to servers that ask for one, and to clients. Without one no
    /// connections are taken.
    pub cert: Option<PathBuf>,
    /// The key of our certificate (PEM: PKCS #8, PKCS #1 or SEC1).
    pub key: Option<PathBuf>,
    /// Take any certificate: whoever is on the way can listen and answer.
    pub insecure: bool,
    /// The domains of our accounts: who is reached by a bare address that came in a message must be one of them, or
    /// have that address in the certificate.
    pub domains: Vec<String>,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no such thing.
    #[error("{flag} {}: {reason}; name a PEM file with {wanted}", path.display())]
    File {
        /// Which flag names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// One of certificate and key is missing.
    #[error("{given} was given without {missing}; a certificate is of use only together with its key")]
    Half {
        /// The flag that is there.
        given: &'static str,
        /// The flag that is not.
        missing: &'static str,
    },
    /// Certificate and key do not go together, or are of a kind that is not spoken.
    #[error("--tls-cert {} and --tls-key {}: {reason}; give a certificate and the key that belongs to it", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Certificates and keys, ready for handshakes; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Material>);

#[derive(Debug)]
struct Material {
    provider: Arc<CryptoProvider>,
    /// Of `--tls-ca`.
    extra: Vec<CertificateDer<'static>>,
    /// The platform's and the extra ones; read when the first connection is made.
    roots: OnceLock<Arc<RootCertStore>>,
    /// For servers that ask for one.
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    server: Option<Arc<ServerConfig>>,
    insecure: bool,
    domains: Vec<String>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if a file does not hold what it should.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let extra = match &settings.ca {
            Some(path) => certificates("--tls-ca", path, "the certificates of the authorities to trust")?,
            None => Vec::new(),
        };
        let own = match (&settings.cert, &settings.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates("--tls-cert", cert, "the certificate and its chain")?;
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
                    flag: "--tls-key",
                    path: key.clone(),
                    reason: reason(&error),
                    wanted: "the private key",
                })?;
                Some((chain, secret))
            }
            (Some(_), None) => return Err(TlsError::Half { given: "--tls-cert", missing: "--tls-key" }),
            (None, Some(_)) => return Err(TlsError::Half { given: "--tls-key", missing: "--tls-cert" }),
            (None, None) => None,
        };
        let server = match (&own, &settings.cert, &settings.key) {
            (Some((chain, secret)), Some(cert), Some(key)) => {
                let config = server(&provider, chain, secret, &extra).map_err(|error| TlsError::Pair {
                    cert: cert.clone(),
                    key: key.clone(),
                    reason: error.to_string(),
                })?;
                Some(Arc::new(config))
            }
            _ => None,
        };
        if settings.insecure {
            tracing::warn!(
                "--tls-insecure: certificates are NOT checked; anybody between here and the server can listen and \
                 change what is said. Use --tls-ca FILE to trust one authority instead"
            );
        }
        if std::env::var_os(KEY_LOG).is_some() {
            tracing::warn!("{KEY_LOG} is set: the keys of every TLS connection are written to that file");
        }
        let (insecure, domains) = (settings.insecure, settings.domains.clone());
        Ok(Self(Arc::new(Material { provider, extra, roots: OnceLock::new(), own, server, insecure, domains })))
    }

    /// Is there a certificate to show to those who connect?
    pub fn takes_connections(&self) -> bool {
        self.0.server.is_some()
    }

    /// For the handshake of a connection that a peer made.
    pub(super) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.0.server.clone()
    }

    /// For the handshake of a connection with a peer that has to be `name`: a domain, or an address in text form.
    pub(super) fn client(&self, name: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), rustls::Error> {
        let (verifier, server) = self.verifier(name)?;
        Ok((Arc::new(self.config(Arc::new(verifier))?), server))
    }

    fn verifier(&self, name: &str) -> Result<(Verifier, ServerName<'static>), rustls::Error> {
        let unspeakable = |_| rustls::Error::General(format!("\"{name}\" is no name that a certificate can hold"));
        let server = ServerName::try_from(name.to_owned()).map_err(unspeakable)?;
        let mut accepted = vec![name.to_owned()];
        if matches!(server, ServerName::IpAddress(_)) {
            accepted.extend(self.0.domains.iter().cloned());
        }
        let (provider, roots) = (Arc::clone(&self.0.provider), self.0.roots());
        Ok((Verifier { provider, roots, accepted, insecure: self.0.insecure }, server))
    }

    fn config(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.0.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.0.own {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        // A resumed session is not verified again; connections live long enough to do without.
        config.resumption = Resumption::disabled();
        config.key_log = Arc::new(KeyLogFile::new());
        Ok(config)
    }

    /// Are names checked at all?
    pub(super) fn checks_names(&self) -> bool {
        !self.0.insecure
    }
}

impl Material {
    fn roots(&self) -> Arc<RootCertStore> {
        let read = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            let (added, ignored) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(added, ignored, errors = ?found.errors, "authorities of the platform");
            roots.add_parsable_certificates(self.extra.iter().cloned());
            Arc::new(roots)
        };
        Arc::clone(self.roots.get_or_init(read))
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    authorities: &[CertificateDer<'static>],
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let builder = if authorities.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            // Phones have none; who shows one is checked.
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_single_cert(chain.to_vec(), key.clone_key())?;
    config.key_log = Arc::new(KeyLogFile::new());
    Ok(config)
}

fn certificates(
    flag: &'static str,
    path: &Path,
    wanted: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |reason: String| TlsError::File { flag, path: path.into(), reason, wanted };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| failed(reason(&error)));
    match found? {
        found if found.is_empty() => Err(failed("it holds no certificate".into())),
        found => Ok(found),
    }
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".into(),
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds no such thing".into(),
        other => format!("it is no proper PEM ({other:?})"),
    }
}
