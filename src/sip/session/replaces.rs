//! The dialog of a session as Replaces names it (RFC 3891), and whether it may be replaced.

use super::{Phase, Session};
use crate::sip::dialog::Dialog;
use crate::sip::message::Status;

impl Session {
    /// The dialog of the session: of an answered one, or the first early one.
    pub(crate) fn dialog(&self) -> Option<&Dialog> {
        self.legs.first().map(|leg| &leg.dialog)
    }

    /// May an INVITE replace the dialog with this remote tag? The status that refuses it otherwise (RFC 3891 section 3).
    pub(crate) fn replaceable(&self, remote_tag: &str, early_only: bool) -> Result<(), Status> {
        let known = self.legs.iter().any(|leg| leg.dialog.remote_tag() == remote_tag);
        match &self.phase {
            // The dialog has ended already.
            Phase::Over => Err(Status::DECLINE),
            _ if !known => Err(Status::CALL_DOES_NOT_EXIST),
            Phase::Up(_) if early_only => Err(Status::BUSY_HERE),
            Phase::Up(_) | Phase::Calling(_) => Ok(()),
            // Early dialogs that the other side initiated are not replaced: nobody has picked them up yet.
            Phase::Ringing(_) | Phase::Finding(_) | Phase::Drafted(_) => Err(Status::CALL_DOES_NOT_EXIST),
        }
    }
}
