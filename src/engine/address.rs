//! Addresses as a call shows them.

use crate::sip::agent::{Account, Invitation};
use crate::sip::identity::{self, Caller, CallerField, NotE164, Policy};
use crate::sip::uri::{SipUri, Uri};

/// Whom `target` means: a number at the account's domain is written as its carrier wants it.
///
/// # Errors
/// When it cannot be.
pub(super) fn dialled(account: &Account, mut target: Uri) -> Result<Uri, NotE164> {
    let ours = account.aor.host().zip(target.host()).is_some_and(|(own, other)| own.equivalent(other));
    if ours && let Some(sip) = target.sip_mut() {
        let user = sip.user_text().map(|user| user.into_owned());
        // Parameters inside of the user part (RFC 3966) are the caller's own business.
        if let Some(user) = user.filter(|user| identity::is_number(user)) {
            let written = account.identity.numbering.apply(&user)?;
            if written != user {
                sip.user = SipUri::new(Some(&written), sip.host.clone(), None).user;
            }
        }
    }
    Ok(target)
}

/// Who calls, and which of our numbers. Without an account nobody vouches for more than From.
pub(super) fn heard(
    account: Option<&Account>,
    contact: Option<&str>,
    invitation: &Invitation,
) -> (Caller, Option<String>) {
    let Invitation { from, to, request_uri, headers, .. } = invitation;
    let stranger = Policy { caller: vec![CallerField::From], ..Policy::default() };
    let policy = account.map_or(&stranger, |account| &account.identity);
    let numbers = account.map(|account| account.numbers.as_slice()).unwrap_or_default();
    (policy.caller(from, headers), policy.called(request_uri, &to.uri, headers, contact, numbers))
}

/// A URI without password, parameters and headers: what a record and a human want to see.
pub fn bare(uri: &Uri) -> String {
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
