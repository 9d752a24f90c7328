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
        _headers: &Headers,
        body: &Bytes,
    ) {
        let (status, headers) = match method {
            // RFC 6086 section 4.2.2: an INFO without a body asks whether the call is still there.
            Method::Info if body.is_empty() => (Status::OK, Vec::new()),
            Method::Info => {
                let accept = Header { name: Name::Accept, value: crate::sip::body::SDP.into() };
                (Status::UNSUPPORTED_MEDIA_TYPE, vec![accept])
            }
            _ => (Status::NOT_IMPLEMENTED, Vec::new()),
        };
        // A session that is over by now tells so by itself.
        let _ = desk.agent.reply(desk.now, self.session, request, status, headers, None);
    }
}
