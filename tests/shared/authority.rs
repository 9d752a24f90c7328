//! Certificate authorities that live for one test.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use sidetone::net::TlsSettings;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Tells authorities apart by name.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// An authority with a directory for what it issues.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: tempfile::TempDir,
    issued: Cell<u32>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, format!("Authority {}", NUMBER.fetch_add(1, Relaxed)));
        let key = KeyPair::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), own.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory, issued: Cell::new(0) }
    }

    /// The authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for `names`: domains, addresses, and URIs with a colon.
    pub(crate) fn issue(&self, names: &[&str]) -> TlsSettings {
        self.issue_with(names, |_| {})
    }

    /// One that expired in 2020.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> TlsSettings {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 3);
        })
    }

    /// One that expires in so many days.
    #[allow(dead_code, reason = "each test crate uses its own part")]
    pub(crate) fn issue_for_days(&self, names: &[&str], days: i64) -> TlsSettings {
        let end = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC) + jiff::Span::new().days(days);
        let (year, month, day) = (i32::from(end.year()), end.month() as u8, end.day() as u8);
        self.issue_with(names, |params| params.not_after = date_time_ymd(year, month, day))
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsSettings {
        let name = |name: &&str| match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) if name.contains(':') => SanType::URI((*name).try_into().unwrap()),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        };
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(name).collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.issued.set(self.issued.get() + 1);
        let stem = self.issued.get();
        let path = |end: &str| self.directory.path().join(format!("{stem}.{end}"));
        std::fs::write(path("pem"), cert.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        TlsSettings { cert: Some(path("pem")), key: Some(path("key")), ..TlsSettings::default() }
    }
}
