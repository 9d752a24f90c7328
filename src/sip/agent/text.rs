//! Instant messages of both directions (RFC 3428).

use super::account::AccountId;
use super::outside::{News, Outcome, OutsideId, Why};
use super::refused::Refused;
use super::{Agent, Exchange};
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::uri::Uri;
use crate::time::Instant;

/// What a MESSAGE may measure where nobody knows that its way is safe from congestion (RFC 3428 section 8), octets.
const LONGEST: usize = 1_300;

/// What Via, User-Agent, credentials and Content-Length add to a draft.
const ENVELOPE: usize = 300;

/// The media types of texts that are shown.
const SHOWN: [&str; 2] = ["text/plain", "text/html"];

impl Agent {
    /// Sends a text; [`News::MessageSent`] or [`News::MessageFailed`] follows.
    ///
    /// # Errors
    /// When the account does not exist, the target cannot be reached by SIP, or the text is too long.
    pub fn message(&mut self, now: Instant, account: AccountId, to: &Uri, text: &str) -> Result<OutsideId, Refused> {
        let (request, next) = self.exchange.draft(account, Method::Message, to)?;
        let head = request.to_bytes().len() + ENVELOPE;
        if head + text.len() > LONGEST {
            return Err(Refused::MessageTooLong(text.len(), LONGEST.saturating_sub(head)));
        }
        let request = request.with_body("text/plain;charset=utf-8", text.to_owned());
        let id = self.ask(now, Why::Message, account, request, &next, None);
        self.settle_news(now);
        id
    }

    pub(super) fn message_over(&mut self, account: AccountId, id: OutsideId, outcome: Outcome) {
        let news = match outcome {
            Outcome::Answered(response, _) if response.status.is_success() => {
                News::MessageSent { id, status: response.status }
            }
            Outcome::Answered(response, _) => {
                News::MessageFailed { id, status: Some(response.status), reason: response.reason }
            }
            Outcome::Unanswered(reason) => News::MessageFailed { id, status: None, reason },
        };
        self.exchange.tell_outside(Some(account), news);
    }
}

impl Exchange {
    /// A text came, in a dialog or outside of one; tells it, and gives the answer.
    pub(crate) fn take_message(&mut self, account: Option<AccountId>, request: &Request) -> Response {
        let content_type = request.headers.content_type().unwrap_or_else(|| "text/plain".to_owned());
        if !SHOWN.contains(&content_type.as_str()) {
            let mut response = request.response(Status::UNSUPPORTED_MEDIA_TYPE);
            response.headers.push(Name::Accept, SHOWN.join(", "));
            return response;
        }
        let (Ok(from), Ok(to)) = (request.headers.from(), request.headers.to()) else {
            return request.response(Status::BAD_REQUEST);
        };
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let (display, from, to) = (from.display, from.uri.to_string(), to.uri.to_string());
        self.tell_outside(account, News::Message { from, display, to, content_type, text });
        request.response(Status::OK)
    }
}
