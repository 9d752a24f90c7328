//! SIP messages: requests and responses.

mod method;
mod status;

pub use method::{Method, MethodError};
pub use status::{Class, Status};

use super::header::{Headers, Name};
use super::uri::Uri;
use bytes::Bytes;

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields. Content-Length is written from the body, whatever stands here.
    pub headers: Headers,
    /// The body, octet by octet.
    pub body: Bytes,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// The reason phrase.
    pub reason: String,
    /// The header fields. Content-Length is written from the body, whatever stands here.
    pub headers: Headers,
    /// The body, octet by octet.
    pub body: Bytes,
}

impl Message {
    /// The header fields.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }

    /// The header fields for changing.
    pub fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Message::Request(request) => &mut request.headers,
            Message::Response(response) => &mut response.headers,
        }
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        match self {
            Message::Request(request) => &request.body,
            Message::Response(response) => &response.body,
        }
    }

    /// The message as sent, with the true Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Message::Response(response)
    }
}

impl Request {
    /// A request without header fields and body.
    pub fn new(method: Method, uri: impl Into<Uri>) -> Self {
        Self { method, uri: uri.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// The same with a body and its Content-Type.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(Name::ContentType, content_type);
        self.body = body.into();
        self
    }

    /// A response with the header fields that every response copies (RFC 3261 section 8.2.6): Via, From, To, Call-ID,
    /// CSeq, and Timestamp for 100. The To tag is the caller's to add.
    pub fn response(&self, status: Status) -> Response {
        Response::answering(&self.headers, status)
    }

    /// The request as sent, with the true Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let uri = self.uri.to_string();
        write([self.method.as_str(), " ", &uri, " SIP/2.0"], &self.headers, &self.body)
    }
}

impl Response {
    /// A response without header fields and body, with the default reason phrase.
    pub fn new(status: Status) -> Self {
        Self { status, reason: status.reason(), headers: Headers::new(), body: Bytes::new() }
    }

    /// A response with what it has to copy from the header fields of the request (RFC 3261 section 8.2.6).
    pub fn answering(request: &Headers, status: Status) -> Self {
        let mut response = Response::new(status);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            response.headers.copy(request, &name);
        }
        if status == Status::TRYING {
            response.headers.copy(request, &Name::Timestamp);
        }
        response
    }

    /// The same with another reason phrase; line ends in it are written as spaces.
    pub fn with_reason(mut self, reason: &str) -> Self {
        self.reason = reason.into();
        self
    }

    /// The same with a tag added to To, unless it has one.
    pub fn with_to_tag(mut self, tag: &str) -> Self {
        if let Ok(to) = self.headers.to()
            && to.tag().is_none()
            && let Some(value) = self.headers.find(&Name::To)
        {
            // Appended to the octets, so that the rest is echoed exactly.
            let value = value.with_suffix(&format!(";tag={tag}"));
            self.headers.set(Name::To, value);
        }
        self
    }

    /// The same with a body and its Content-Type.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(Name::ContentType, content_type);
        self.body = body.into();
        self
    }

    /// The response as sent, with the true Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let code = self.status.to_string();
        write(["SIP/2.0 ", &code, " ", &self.reason], &self.headers, &self.body)
    }
}

/// Writes the start line, the fields, Content-Length and the body. Fields whose name is no token are left out: nothing
/// could read them.
fn write(start: [&str; 4], headers: &Headers, body: &[u8]) -> Vec<u8> {
    let size =
        headers.iter().map(|header| header.name.as_str().len() + header.value.as_bytes().len() + 4).sum::<usize>();
    let mut out = Vec::with_capacity(start.iter().map(|part| part.len()).sum::<usize>() + size + body.len() + 32);
    for part in start {
        // A line end in a reason phrase or in a URI that was put together by hand would end the start line.
        out.extend(part.bytes().map(|octet| if matches!(octet, b'\r' | b'\n') { b' ' } else { octet }));
    }
    out.extend_from_slice(b"\r\n");
    for header in headers.iter().filter(|header| header.name != Name::ContentLength && header.name.is_valid()) {
        out.extend_from_slice(header.name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(header.value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_copies_what_the_rfc_says() {
        let mut request = Request::new(Method::Options, "sip:h".parse::<Uri>().unwrap());
        request.headers.push(Name::Via, "SIP/2.0/UDP a;branch=z9hG4bK1");
        request.headers.push(Name::Via, "SIP/2.0/UDP b;branch=z9hG4bK2");
        request.headers.push(Name::From, super::super::header::Value::from_octets(b"\"J\xFCrgen\" <sip:j@h>;tag=1"));
        request.headers.push(Name::To, super::super::header::Value::from_octets(b"\"\xFC\" <sip:k@h>"));
        request.headers.push(Name::CallId, "c");
        request.headers.push(Name::CSeq, "1 OPTIONS");
        request.headers.push(Name::Timestamp, "54");
        request.headers.push(Name::ContentLength, "77");
        let response = request.response(Status::OK).with_to_tag("t").with_to_tag("u").with_body("text/plain", "hi");
        let bytes = response.to_bytes();
        let expected: &[u8] = b"SIP/2.0 200 OK\r\n\
            Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
            Via: SIP/2.0/UDP b;branch=z9hG4bK2\r\n\
            From: \"J\xFCrgen\" <sip:j@h>;tag=1\r\n\
            To: \"\xFC\" <sip:k@h>;tag=t\r\n\
            Call-ID: c\r\n\
            CSeq: 1 OPTIONS\r\n\
            Content-Type: text/plain\r\n\
            Content-Length: 2\r\n\r\nhi";
        assert_eq!(bytes, expected);
        assert_eq!(request.response(Status::TRYING).headers.get(&Name::Timestamp), Some("54"));
    }

    #[test]
    fn nothing_can_be_injected() {
        let mut response = Response::new(Status::OK).with_reason("a\r\nb");
        response.reason.push_str("\r\nc");
        response.headers.push("Bad Name\r\nX", "v");
        assert_eq!(response.to_bytes(), b"SIP/2.0 200 a  b  c\r\nContent-Length: 0\r\n\r\n");
        let host = super::super::host::Host::Name("h\r\nX: y".into());
        let request = Request::new(Method::Options, super::super::uri::SipUri::new(Some("a\r\nb"), host, None));
        assert_eq!(request.to_bytes(), b"OPTIONS sip:a%0D%0Ab@h  X: y SIP/2.0\r\nContent-Length: 0\r\n\r\n");
    }
}
