//! Examines an account: can its server be found and reached, does it register, does sound pass - and what to change.
//!
//! ```text
//!  names ─▶ each transport (OPTIONS) ─▶ registration, every challenge ─▶ our address as it is seen ─▶ a test call
//!    └──────────┴──────────────────────────────┴──────── Finding, Finding … ────┴─────────────────────────┘
//! ```
//!
//! It uses the phone as everybody does and reads the registration in the phone's own flight recorder.

mod certificate;
mod enrol;
mod reach;
mod stun;
mod talk;

use crate::phone::{Account, Dial, Settings};
use crate::sip::uri::Uri;
use serde::Serialize;
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Works, with a remark.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `config`, `dns`, `udp`, `tcp`, `tls`, `certificate`, `registration`, `challenge`, `nat` or `call`.
    pub check: String,
    /// How grave.
    pub mark: Mark,
    /// What, in plain words.
    pub text: String,
    /// What to change; `None` if nothing.
    pub remedy: Option<String>,
    /// For programs.
    pub details: Value,
}

impl Finding {
    fn new(check: &str, mark: Mark, text: impl Into<String>, details: Value) -> Self {
        Self { check: check.into(), mark, text: text.into(), remedy: None, details }
    }

    fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// What is examined.
#[derive(Clone, Debug)]
pub struct Patient {
    /// The phone as it would be started, with one account and a directory for traces.
    pub settings: Settings,
    /// The account.
    pub account: Account,
    /// Does it register at all? Trunks know us by our address or by the credentials of each call.
    pub register: bool,
    /// A call to make.
    pub dial: Option<Dial>,
    /// Where the test call may be recorded for a moment.
    pub scratch: PathBuf,
}

/// Our address as somebody outside sees it, beside what we believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    local: IpAddr,
    outside: IpAddr,
    ports_differ: bool,
}

/// Examines; each finding is told as soon as it is there.
///
/// # Errors
/// A sentence when not even sockets can be had.
pub async fn examine(patient: Patient, mut tell: impl FnMut(Finding)) -> Result<(), String> {
    let server = server(&patient.account);
    let mut seen = Vec::new();
    reach::examine(&patient, &server, &mut seen, &mut tell).await?;
    stun::examine(&patient, &mut seen, &mut tell).await;
    let talked = enrol::examine(&patient, &mut seen, &mut tell).await?;
    nat(&seen, &mut tell);
    if let Some(record) = talked {
        talk::judge(&record, &patient.scratch, &mut tell);
    }
    Ok(())
}

/// The URI whose host is looked up: the outbound proxy, the registrar, or the domain of the account.
fn server(account: &Account) -> Uri {
    let proxy = account.outbound_proxies.first().cloned();
    proxy.or_else(|| account.registrar.clone()).unwrap_or_else(|| account.aor.clone())
}

/// What far sides saw of our address.
fn nat(seen: &[Seen], tell: &mut impl FnMut(Finding)) {
    let Some(first) = seen.first() else { return };
    let details = serde_json::json!({"local": first.local.to_string(), "seen": first.outside.to_string()});
    let mut outside: Vec<IpAddr> = seen.iter().map(|seen| seen.outside).collect();
    outside.sort();
    outside.dedup();
    if outside.len() > 1 {
        let addresses: Vec<String> = outside.iter().map(IpAddr::to_string).collect();
        let text = format!("far sides see us under several addresses: {}", addresses.join(", "));
        let finding = Finding::new("nat", Mark::Warn, text, details);
        return tell(finding.with_remedy(
            "use one transport and one network interface (--bind), or a translator that keeps one address",
        ));
    }
    if first.outside != first.local {
        let text = format!(
            "there is an address translator: we are {}, the far side sees {}{}",
            first.local,
            first.outside,
            if first.ports_differ { ", with another port" } else { "" }
        );
        let remedy = "the registered contact follows what the far side sees; media needs a server with symmetric RTP, or our public address in SDP";
        return tell(Finding::new("nat", Mark::Warn, text, details).with_remedy(remedy));
    }
    tell(Finding::new(
        "nat",
        Mark::Ok,
        format!("no address translator: the far side sees us as {}", first.local),
        details,
    ));
}
