//! Names of header fields.

use crate::sip::grammar;
use std::fmt;

macro_rules! names {
    ($($variant:ident = $name:literal $(/ $compact:literal)? $(, $list:ident)?;)*) => {
        /// The name of a header field. Names are compared without regard to case; compact forms are the long ones.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum Name {
            $(#[doc = $name] $variant,)*
            /// Any other name, as written.
            Other(String),
        }

        impl Name {
            /// The long form.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Name::$variant => $name,)*
                    Name::Other(name) => name,
                }
            }

            /// The name that `text` writes in any case or in the compact form.
            pub fn of(text: &str) -> Name {
                Name::of_octets(text.as_bytes())
            }

            /// The same for the octets of a token.
            pub(crate) fn of_octets(text: &[u8]) -> Name {
                let first = text.first().map_or(0, u8::to_ascii_lowercase);
                match (text.len(), first) {
                    $($((1, $compact) => Name::$variant,)?)*
                    $((length, first) if length == $name.len()
                        && first == $name.as_bytes()[0].to_ascii_lowercase()
                        && text.eq_ignore_ascii_case($name.as_bytes()) => Name::$variant,)*
                    _ => Name::Other(String::from_utf8_lossy(text).into_owned()),
                }
            }

            /// May several values stand in one field, separated by commas? Unknown fields never split.
            pub fn is_list(&self) -> bool {
                match self {
                    $($(Name::$variant => names!(@ $list),)?)*
                    _ => false,
                }
            }

            /// Every name that is known here.
            pub const KNOWN: &[Name] = &[$(Name::$variant,)*];
        }
    };
    (@ list) => { true };
}

names! {
    Via = "Via" / b'v', list;
    MaxForwards = "Max-Forwards";
    From = "From" / b'f';
    To = "To" / b't';
    CallId = "Call-ID" / b'i';
    CSeq = "CSeq";
    Contact = "Contact" / b'm', list;
    ContentType = "Content-Type" / b'c';
    ContentLength = "Content-Length" / b'l';
    Route = "Route", list;
    RecordRoute = "Record-Route", list;
    Allow = "Allow", list;
    Supported = "Supported" / b'k', list;
    Require = "Require", list;
    ProxyRequire = "Proxy-Require", list;
    Unsupported = "Unsupported", list;
    UserAgent = "User-Agent";
    Server = "Server";
    Expires = "Expires";
    MinExpires = "Min-Expires";
    Authorization = "Authorization";
    ProxyAuthorization = "Proxy-Authorization";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    AuthenticationInfo = "Authentication-Info";
    Accept = "Accept", list;
    AcceptEncoding = "Accept-Encoding", list;
    AcceptLanguage = "Accept-Language", list;
    AcceptContact = "Accept-Contact" / b'a', list;
    RejectContact = "Reject-Contact" / b'j', list;
    RequestDisposition = "Request-Disposition" / b'd', list;
    AlertInfo = "Alert-Info", list;
    AllowEvents = "Allow-Events" / b'u', list;
    CallInfo = "Call-Info", list;
    ContentDisposition = "Content-Disposition";
    ContentEncoding = "Content-Encoding" / b'e', list;
    ContentLanguage = "Content-Language", list;
    Date = "Date";
    Diversion = "Diversion", list;
    ErrorInfo = "Error-Info", list;
    Event = "Event" / b'o';
    HistoryInfo = "History-Info", list;
    Identity = "Identity" / b'y';
    InReplyTo = "In-Reply-To", list;
    MimeVersion = "MIME-Version";
    MinSe = "Min-SE";
    Organization = "Organization";
    AssertedIdentity = "P-Asserted-Identity", list;
    PreferredIdentity = "P-Preferred-Identity", list;
    CalledPartyId = "P-Called-Party-ID";
    Path = "Path", list;
    Priority = "Priority";
    Privacy = "Privacy";
    RAck = "RAck";
    RSeq = "RSeq";
    Reason = "Reason", list;
    ReferTo = "Refer-To" / b'r';
    ReferredBy = "Referred-By" / b'b';
    RemotePartyId = "Remote-Party-ID", list;
    Replaces = "Replaces";
    ReplyTo = "Reply-To";
    RetryAfter = "Retry-After";
    ServiceRoute = "Service-Route", list;
    SessionExpires = "Session-Expires" / b'x';
    SipETag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    Subject = "Subject" / b's';
    SubscriptionState = "Subscription-State";
    Timestamp = "Timestamp";
    Warning = "Warning", list;
}

impl Name {
    /// Can it stand in a message: is it a token?
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Name::Other(name) => grammar::is_token(name),
            _ => true,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Other(one), Name::Other(two)) => one.eq_ignore_ascii_case(two),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::of(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_in_any_case() {
        for name in Name::KNOWN {
            assert_eq!(&Name::of(name.as_str()), name);
            assert_eq!(&Name::of(&name.as_str().to_uppercase()), name);
            assert!(!matches!(Name::of(name.as_str()), Name::Other(_)));
        }
    }

    /// The registry of compact forms at IANA (RFC 3261, 3515, 3841, 3892, 4028, 6665, 8224).
    #[test]
    fn all_compact_forms() {
        for (compact, long) in [
            ("a", "Accept-Contact"),
            ("b", "Referred-By"),
            ("c", "Content-Type"),
            ("d", "Request-Disposition"),
            ("e", "Content-Encoding"),
            ("f", "From"),
            ("i", "Call-ID"),
            ("j", "Reject-Contact"),
            ("k", "Supported"),
            ("l", "Content-Length"),
            ("m", "Contact"),
            ("o", "Event"),
            ("r", "Refer-To"),
            ("s", "Subject"),
            ("t", "To"),
            ("u", "Allow-Events"),
            ("v", "Via"),
            ("x", "Session-Expires"),
            ("y", "Identity"),
        ] {
            assert_eq!(Name::of(compact).as_str(), long);
            assert_eq!(Name::of(&compact.to_uppercase()).as_str(), long);
        }
        assert_eq!(Name::of("n"), Name::Other("N".into()));
        assert_ne!(Name::of("C%6Fntact"), Name::Contact);
    }
}
