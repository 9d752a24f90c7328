//! INVITEs that take the place of another dialog of ours (RFC 3891), and the names of our dialogs for such INVITEs of
//! others.

use super::Agent;
use super::output::SessionId;
use crate::sip::header::{Headers, Name};
use crate::sip::message::Status;
use crate::sip::params::Params;
use crate::sip::uri::Uri;

/// A dialog as both of its sides know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogName {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far end's tag.
    pub remote_tag: String,
    /// The far end's Contact.
    pub target: Uri,
    /// The far end's address of record.
    pub remote: Uri,
    /// Do requests take a route of proxies, so that the Contact may be of no use to others?
    pub routed: bool,
}

impl DialogName {
    /// The value of Replaces for the far end, whose own tag is the To tag (RFC 3891 section 6.1).
    pub fn replaces(&self) -> String {
        format!("{};to-tag={};from-tag={}", self.call_id, self.remote_tag, self.local_tag)
    }
}

impl Agent {
    /// The dialog of a session, once there is one.
    pub fn dialog(&self, session: SessionId) -> Option<DialogName> {
        let dialog = self.sessions.get(&session)?.dialog()?;
        Some(DialogName {
            call_id: dialog.call_id().to_owned(),
            local_tag: dialog.local_tag().to_owned(),
            remote_tag: dialog.remote_tag().to_owned(),
            target: dialog.target().clone(),
            remote: dialog.remote_uri().clone(),
            routed: dialog.is_routed(),
        })
    }

    /// The session whose place an INVITE with these header fields takes; none if it is an ordinary one.
    ///
    /// # Errors
    /// The status that refuses it (RFC 3891 section 3): 400 for a malformed or repeated Replaces, 481 for an unknown dialog
    /// or an early one of the caller's, 486 for an answered one where `early-only` is said, 603 for one that is over.
    pub fn replaced(&self, headers: &Headers) -> Result<Option<SessionId>, Status> {
        let mut values = headers.all(&Name::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Status::BAD_REQUEST);
        }
        let (call_id, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let params = Params::parse(params).ok_or(Status::BAD_REQUEST)?;
        let (Some(to), Some(from)) = (params.get("to-tag"), params.get("from-tag")) else {
            return Err(Status::BAD_REQUEST);
        };
        let key = (call_id.trim().to_owned(), to.to_owned());
        let session = self.dialogs.get(&key).copied().ok_or(Status::CALL_DOES_NOT_EXIST)?;
        let held = self.sessions.get(&session).ok_or(Status::CALL_DOES_NOT_EXIST)?;
        held.replaceable(from, params.contains("early-only"))?;
        Ok(Some(session))
    }
}
