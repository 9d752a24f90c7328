//! Who may be at the end of a look-up.

use super::{ResolveError, Resolver};
use crate::sip::hop::Hop;

impl Resolver {
    /// Notes that `host`, as the user or the message named it, leads to these hops: over TLS the certificate there has
    /// to be for `host`, whatever names DNS answered with (RFC 5922 section 4). Hops in use for another name whose
    /// certificate is not for `host` are left out.
    ///
    /// # Errors
    /// [`ResolveError::Certificate`] if none is left.
    pub(super) fn vouched(&self, host: &str, mut hops: Vec<Hop>) -> Result<Vec<Hop>, ResolveError> {
        let Some(connections) = &self.connections else { return Ok(hops) };
        let mut refused = None;
        hops.retain(|hop| match connections.vouch(host, hop) {
            Ok(()) => true,
            Err(conflict) => {
                let (host, remote) = (host.into(), hop.remote);
                refused = Some(ResolveError::Certificate { host, remote, held: conflict.held });
                false
            }
        });
        match refused {
            Some(refused) if hops.is_empty() => Err(refused),
            _ => Ok(hops),
        }
    }
}
