//! The session description among what a body may be (RFC 3261 section 7.4, RFC 5621).

use bytes::Bytes;

use super::header::{Headers, Name};
use super::params::Params;

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";

/// The session description of a message: its body, or the first such part of a multipart body. A body without a
/// Content-Type counts as one.
pub fn sdp(headers: &Headers, body: &Bytes) -> Option<Bytes> {
    if body.is_empty() {
        return None;
    }
    match headers.content_type().as_deref() {
        None | Some(SDP) => Some(body.clone()),
        Some(media) if media.starts_with("multipart/") => part(&boundary(headers)?, body),
        Some(_) => None,
    }
}

/// Can a user agent server that knows SDP only do what the body of an INVITE asks (RFC 3261 section 8.2.3)?
pub fn is_understood(headers: &Headers, body: &Bytes) -> bool {
    let encoded = headers.all(&Name::ContentEncoding).any(|coding| !coding.eq_ignore_ascii_case("identity"));
    let optional = headers.get(&Name::ContentDisposition).is_some_and(|value| {
        let (_, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        Params::parse(params).is_some_and(|params| {
            params.get("handling").is_some_and(|handling| handling.eq_ignore_ascii_case("optional"))
        })
    });
    body.is_empty() || optional || (!encoded && sdp(headers, body).is_some())
}

fn boundary(headers: &Headers) -> Option<String> {
    let value = headers.get(&Name::ContentType)?;
    let params = Params::parse(value.split_at(value.find(';')?).1)?;
    params.text("boundary").map(|boundary| boundary.into_owned()).filter(|boundary| !boundary.is_empty())
}

/// The first part of a multipart body (RFC 2046 section 5.1) that is a session description; parts within parts are not
/// looked into.
fn part(boundary: &str, body: &Bytes) -> Option<Bytes> {
    let delimiter = format!("--{boundary}");
    let mut rest = after(body, delimiter.as_bytes())?;
    loop {
        // The line end before the next delimiter belongs to the delimiter.
        let end = find(rest, format!("\r\n{delimiter}").as_bytes())?;
        let (head_and_body, _) = rest.split_at_checked(end)?;
        let (head, content) = split_part(head_and_body)?;
        if is_sdp(head) {
            return Some(body.slice_ref(content));
        }
        rest = after(rest.get(end + 2..)?, delimiter.as_bytes())?;
    }
}

/// The fields and the content of one part. What follows the delimiter on its line is blank.
fn split_part(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = find(part, b"\r\n")?;
    let part = part.get(start..)?;
    let end = find(part, b"\r\n\r\n")?;
    Some((part.get(..end)?, part.get(end + 4..)?))
}

fn is_sdp(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            let media = value.split(';').next().unwrap_or_default();
            matches!(Name::of(name.trim()), Name::ContentType) && media.trim().eq_ignore_ascii_case(SDP)
        })
    })
}

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}

fn after<'a>(octets: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    octets.get(find(octets, wanted)? + wanted.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: Option<&str>, body: &'static str) -> (Option<Bytes>, bool) {
        let mut headers = Headers::new();
        if let Some(content_type) = content_type {
            headers.push(Name::ContentType, content_type);
        }
        let body = Bytes::from_static(body.as_bytes());
        (sdp(&headers, &body), is_understood(&headers, &body))
    }

    #[test]
    fn one_type_is_understood() {
        let v0 = Some(Bytes::from_static(b"v=0\r\n"));
        assert_eq!(of(None, ""), (None, true));
        assert_eq!(of(None, "v=0\r\n"), (v0.clone(), true));
        assert_eq!(of(Some("Application/SDP;charset=utf-8"), "v=0\r\n"), (v0, true));
        assert_eq!(of(Some("application/unknownformat"), "<audio>"), (None, false));
        assert_eq!(of(Some("multipart/mixed"), "no boundary"), (None, false));
    }

    #[test]
    fn the_description_is_found_among_other_parts() {
        let body = "preamble\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n\
                    --b1 \r\nc: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\n";
        let found = of(Some("multipart/mixed;boundary=\"b1\""), body);
        assert_eq!(found, (Some(Bytes::from_static(b"v=0\r\ns=-\r\n")), true));
        assert_eq!(of(Some("multipart/mixed;boundary=b2"), body), (None, false));
    }

    #[test]
    fn what_is_optional_or_encoded() {
        let mut headers = Headers::new();
        headers.push(Name::ContentType, "application/x");
        headers.push(Name::ContentDisposition, "session;handling=optional");
        let body = Bytes::from_static(b"x");
        assert!(is_understood(&headers, &body));
        let mut headers = Headers::new();
        headers.push(Name::ContentType, SDP);
        headers.push(Name::ContentEncoding, "gzip");
        assert!(!is_understood(&headers, &body));
    }
}
