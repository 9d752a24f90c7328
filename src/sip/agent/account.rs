//! An account: who we are to a registrar, and how to reach it.

use std::fmt;
use std::time::Duration;

use crate::sip::auth::Password;
use crate::sip::hop::Transport;
use crate::sip::uri::Uri;

/// Names an account of an [`Agent`](super::Agent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}", self.0)
    }
}

/// What an account is made of.
#[derive(Clone, Debug)]
pub struct Account {
    /// The address of record: From of our calls, To of our REGISTER (RFC 3261 section 10.2).
    pub aor: Uri,
    /// The display name of From.
    pub display: Option<String>,
    /// The digest user name; the user part of `aor` when absent.
    pub auth_user: Option<String>,
    /// The digest password. Without one a challenge is final.
    pub password: Option<Password>,
    /// Where REGISTER goes; `sip:` and the host of `aor` when absent.
    pub registrar: Option<Uri>,
    /// Put as the pre-loaded Route of every request outside a dialog, with `;lr` (RFC 3261 section 8.1.2).
    pub outbound_proxy: Option<Uri>,
    /// The transport to use where neither the URI nor the route says one.
    pub transport: Option<Transport>,
    /// The lifetime that a REGISTER asks for.
    pub expires: Duration,
}

impl Account {
    /// An account without registrar, proxy or password of its own, with the lifetime of RFC 3261 section 10.2 (an hour).
    pub fn new(aor: Uri) -> Self {
        Self {
            aor,
            display: None,
            auth_user: None,
            password: None,
            registrar: None,
            outbound_proxy: None,
            transport: None,
            expires: Duration::from_secs(3600),
        }
    }
}
