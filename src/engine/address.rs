//! Addresses as a call shows them.

use crate::sip::agent::Account;
use crate::sip::name_addr::NameAddr;
use crate::sip::uri::{SipUri, Uri};

/// From with `number` as its user part, at the account's domain.
pub(super) fn caller(account: &Account, number: &str) -> Option<NameAddr> {
    let aor = account.aor.sip()?;
    let mut uri = SipUri::new(Some(number), aor.host.clone(), aor.port);
    uri.secure = aor.secure;
    let from = NameAddr::new(uri);
    Some(match &account.display {
        Some(display) => from.with_display(display.clone()),
        None => from,
    })
}

/// A URI without password, parameters and headers: what a record and a human want to see.
pub(super) fn bare(uri: &Uri) -> String {
    match uri {
        Uri::Sip(sip) => {
            let mut plain = SipUri::new(None, sip.host.clone(), sip.port);
            plain.secure = sip.secure;
            plain.user = sip.user.clone();
            Uri::Sip(plain).to_string()
        }
        other => other.to_string(),
    }
}
