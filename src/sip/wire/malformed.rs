//! Messages that cannot be used, and the reply that the sender of a malformed request gets.

use super::Start;
use crate::sip::header::{HeaderError, Headers, Name};
use crate::sip::message::{Method, Response, Status};
use crate::sip::uri::UriError;
use std::net::SocketAddr;

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing but line ends: a keep-alive (RFC 5626 section 3.5.1), nothing to worry about.
    #[error("the datagram holds no message")]
    Empty,
    /// The first line is none of SIP at all.
    #[error("\"{0}\" is no start line of SIP")]
    NotSip(String),
    /// The first line is malformed.
    #[error("the start line \"{0}\" is malformed")]
    StartLine(String),
    /// The version is not SIP/2.0.
    #[error("the version \"{0}\" is not supported; SIP/2.0 is")]
    Version(String),
    /// The Request-URI is malformed.
    #[error("Request-URI: {0}")]
    RequestUri(UriError),
    /// The Request-URI holds header fields.
    #[error("the Request-URI holds header fields after a \"?\"")]
    UriHeaders,
    /// A line of the header is no field.
    #[error("the line \"{0}\" is no header field")]
    FieldLine(String),
    /// A header field that is needed is missing, repeated or malformed.
    #[error(transparent)]
    Field(#[from] HeaderError),
    /// CSeq names another method than the start line.
    #[error("CSeq names {cseq} where the start line says {line}")]
    MethodMismatch {
        /// The method of the start line.
        line: Method,
        /// The method of CSeq.
        cseq: Method,
    },
    /// Content-Length is no number, or several that differ.
    #[error("Content-Length \"{0}\" is no number, or differs from another one")]
    ContentLength(String),
    /// A message on a stream without Content-Length (RFC 3261 section 18.3).
    #[error("Content-Length is missing, which a message on a stream needs")]
    NoContentLength,
    /// The datagram ends before the body does.
    #[error("Content-Length announces {announced} octets, but {present} are there")]
    ShortBody {
        /// Octets by Content-Length.
        announced: usize,
        /// Octets after the header.
        present: usize,
    },
    /// The empty line after the header fields is missing.
    #[error("the empty line after the header fields is missing")]
    NoEnd,
    /// A longer start line than read.
    #[error("the start line is longer than {limit} octets")]
    StartTooLong {
        /// The limit, octets.
        limit: usize,
    },
    /// A longer header field than read.
    #[error("a header field is longer than {limit} octets")]
    FieldTooLong {
        /// The limit, octets.
        limit: usize,
    },
    /// More Vias than hops can be.
    #[error("there are more than {limit} Vias")]
    TooManyHops {
        /// The limit.
        limit: usize,
    },
    /// More octets of header fields than read.
    #[error("the header fields are longer than {limit} octets")]
    HeadTooLong {
        /// The limit, octets.
        limit: usize,
    },
    /// More header fields than read.
    #[error("there are more than {limit} header fields")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// A longer body than read.
    #[error("the body is longer than {limit} octets")]
    BodyTooLong {
        /// The limit, octets.
        limit: usize,
    },
}

impl Fault {
    /// The status that a request with this fault is answered with.
    pub fn status(&self) -> Status {
        match self {
            Fault::Version(_) => Status::VERSION_NOT_SUPPORTED,
            Fault::StartTooLong { .. } => Status::REQUEST_URI_TOO_LONG,
            Fault::TooManyHops { .. } => Status::TOO_MANY_HOPS,
            Fault::HeadTooLong { .. } | Fault::TooManyFields { .. } | Fault::FieldTooLong { .. } => {
                Status::MESSAGE_TOO_LARGE
            }
            Fault::BodyTooLong { .. } => Status::REQUEST_ENTITY_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        }
    }

    /// Is the message beyond a limit of ours, rather than wrong?
    pub fn is_size(&self) -> bool {
        matches!(
            self,
            Fault::StartTooLong { .. }
                | Fault::FieldTooLong { .. }
                | Fault::TooManyHops { .. }
                | Fault::HeadTooLong { .. }
                | Fault::TooManyFields { .. }
                | Fault::BodyTooLong { .. }
        )
    }

    /// Is the end of the message unknown, so that a stream that carried it has to be closed?
    pub fn breaks_stream(&self) -> bool {
        matches!(
            self,
            Fault::NotSip(_)
                | Fault::ContentLength(_)
                | Fault::NoContentLength
                | Fault::NoEnd
                | Fault::HeadTooLong { .. }
                | Fault::TooManyFields { .. }
                | Fault::TooManyHops { .. }
                | Fault::BodyTooLong { .. }
        )
    }
}

/// A message that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Malformed {
    /// What is wrong with it.
    pub fault: Fault,
    request: Option<Box<Salvage>>,
}

/// What is left of a malformed request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Salvage {
    method: Option<Method>,
    headers: Headers,
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        Self { fault, request: None }
    }
}

impl Malformed {
    pub(super) fn new(fault: Fault, start: Start, headers: Headers) -> Self {
        let method = match start {
            Start::Request { method, .. } => Some(method),
            Start::BrokenRequest { method } => method,
            // Nobody answers a response.
            Start::Response { .. } | Start::BrokenResponse => return fault.into(),
        };
        Self { fault, request: Some(Box::new(Salvage { method, headers })) }
    }

    /// The method, if it was a request and that much could be read.
    pub fn method(&self) -> Option<&Method> {
        self.request.as_ref()?.method.as_ref()
    }

    /// What could be read of the header fields of a request.
    pub fn headers(&self) -> Option<&Headers> {
        Some(&self.request.as_ref()?.headers)
    }

    /// The stateless answer to the request that came from `source`: the status of the fault, its text as the reason
    /// phrase, and the fields that a response copies as far as they are there (RFC 3261 section 8.2.7). `to_tag` is
    /// added to a readable To, `received` and `rport` to the topmost Via.
    ///
    /// `None` for what must not or cannot be answered: responses, ACK, and requests without a Via.
    pub fn reply(&self, source: SocketAddr, to_tag: &str) -> Option<Response> {
        let salvage = self.request.as_ref()?;
        let nothing_to_answer = salvage.method.is_none() && matches!(self.fault, Fault::NotSip(_));
        if nothing_to_answer || salvage.method == Some(Method::Ack) || !salvage.headers.contains(&Name::Via) {
            return None;
        }
        let status = self.fault.status();
        let mut response = Response::answering(&salvage.headers, status);
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            // Of what is repeated the first counts: a response with two would be malformed itself.
            if let Some(first) = response.headers.find(&name).cloned() {
                response.headers.set(name, first);
            }
        }
        if let Ok(mut via) = response.headers.top_via() {
            via.note_source(source);
            response.headers.set_first(Name::Via, via.to_string());
        }
        let reason = match &self.fault {
            // The values of the peer are not echoed into a phrase.
            Fault::Field(HeaderError::Missing(name)) => format!("Missing {name}"),
            Fault::Field(HeaderError::Repeated(name)) => format!("Repeated {name}"),
            Fault::Field(HeaderError::Malformed { name, .. }) => format!("Malformed {name}"),
            Fault::MethodMismatch { .. } => "CSeq Method Mismatch".into(),
            Fault::RequestUri(_) | Fault::UriHeaders => "Malformed Request-URI".into(),
            Fault::ShortBody { .. } | Fault::ContentLength(_) | Fault::NoContentLength => "Bad Content-Length".into(),
            _ => status.reason(),
        };
        Some(response.with_reason(&reason).with_to_tag(to_tag))
    }
}
