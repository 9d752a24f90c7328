//! Whose challenges get the credentials of an account, and who its peers are.

use super::account::Line;
use crate::sip::header::Name;
use crate::sip::host::Host;
use crate::sip::message::{Request, Response};
use crate::sip::uri::Uri;

/// Realms of a registrar that are remembered.
const REALMS: usize = 8;

/// Whose challenges get the credentials of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Realms {
    /// Those of its registrar and proxies: of requests that went to their hosts, and, when the registrar has asked,
    /// for a realm that it named. A far end that a call was redirected or forked to gets none.
    #[default]
    Own,
    /// For an account without servers of its own: those of the host that was called.
    Called,
    /// These realms, whoever asks.
    Named(Vec<String>),
}

impl Line {
    /// Remembers the realms of a registrar's challenges.
    pub(crate) fn note_realms(&mut self, response: &Response) {
        for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
            for challenge in response.headers.challenges(&name) {
                if self.asked.len() < REALMS && !self.asked.contains(&challenge.realm) {
                    self.asked.push(challenge.realm);
                }
            }
        }
    }

    /// Does `host` belong to the account: its domain, its registrar, its proxy, or where those are?
    pub(crate) fn owns(&self, host: &Host) -> bool {
        let account = &self.account;
        let names = std::iter::once(&account.aor).chain(&account.registrar).chain(&account.outbound_proxies);
        names.filter_map(Uri::host).any(|own| own.equivalent(host))
            || host.ip().is_some_and(|ip| self.is_peer(ip.to_canonical()))
    }

    /// May the challenge of `realm` to `request` be answered, which went to a host of ours or, if not `own`, of
    /// somebody else?
    pub(crate) fn may_answer(&self, request: &Request, own: bool, realm: &str) -> bool {
        match &self.account.realms {
            Realms::Named(realms) => realms.iter().any(|named| named == realm),
            Realms::Own => own && (self.asked.is_empty() || self.asked.iter().any(|asked| asked == realm)),
            // To keeps whom the user called when a request is sent elsewhere (RFC 3261 section 8.1.3.4).
            Realms::Called => {
                let to = request.headers.to().map(|to| to.uri);
                let hosts = to.as_ref().ok().and_then(Uri::host).zip(request.uri.host());
                own || hosts.is_some_and(|(called, target)| called.equivalent(target))
            }
        }
    }
}
