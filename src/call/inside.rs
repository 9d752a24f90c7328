//! What the far end asks within a call.

use super::life::{Call, Desk};
use crate::sip::agent::RequestId;
use crate::sip::header::{Header, Headers, Name};
use crate::sip::message::{Method, Status};
use bytes::Bytes;

impl Call {
    /// A request that is no INVITE or BYE.
    pub fn handle_asked(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        method: &Method,
        headers: &Headers,
        body: &Bytes,
    ) {
        let (status, headers) = match method {
            Method::Info => self.handle_info(desk, headers, body),
            Method::Notify => match self.handle_notify(desk, request, headers, body) {
                Ok(()) => return,
                Err(Status::BAD_EVENT) => {
                    (Status::BAD_EVENT, vec![Header { name: Name::AllowEvents, value: "refer".into() }])
                }
                Err(status) => (status, Vec::new()),
            },
            Method::Refer => match self.handle_refer(desk, request, headers) {
                // It is answered before the first NOTIFY about it.
                Ok(()) => return,
                Err(status) => (status, Vec::new()),
            },
            _ => (Status::NOT_IMPLEMENTED, Vec::new()),
        };
        // A session that is over by now tells so by itself.
        let _ = desk.agent.reply(desk.now, self.session, request, status, headers, None);
    }
}
