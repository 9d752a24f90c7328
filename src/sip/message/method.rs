//! Request methods.

use crate::sip::grammar;
use std::fmt;
use std::str::FromStr;

macro_rules! methods {
    ($($variant:ident = $token:literal = $rsip:ident: $doc:literal,)*) => {
        /// A request method. Methods are compared with regard to case (RFC 3261 section 7.1).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = $doc] $variant,)*
            /// Any other token.
            Other(String),
        }

        impl Method {
            /// The token of the start line.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$variant => $token,)*
                    Method::Other(token) => token,
                }
            }

            /// The method that has this name here.
            fn known(token: &str) -> Option<Method> {
                match token {
                    $($token => Some(Method::$variant),)*
                    _ => None,
                }
            }

            /// Every method that has a name here.
            pub const KNOWN: &[Method] = &[$(Method::$variant,)*];
        }

        impl From<rsip::Method> for Method {
            fn from(method: rsip::Method) -> Self {
                match method {
                    $(rsip::Method::$rsip => Method::$variant,)*
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE" = Invite: "Starts or changes a session (RFC 3261).",
    Ack = "ACK" = Ack: "Confirms the final response to INVITE (RFC 3261).",
    Bye = "BYE" = Bye: "Ends a session (RFC 3261).",
    Cancel = "CANCEL" = Cancel: "Gives up a pending request (RFC 3261).",
    Options = "OPTIONS" = Options: "Asks for capabilities (RFC 3261).",
    Register = "REGISTER" = Register: "Binds a contact to an address of record (RFC 3261).",
    Prack = "PRACK" = PRack: "Acknowledges a reliable provisional response (RFC 3262).",
    Update = "UPDATE" = Update: "Changes a session before it is confirmed (RFC 3311).",
    Refer = "REFER" = Refer: "Asks to contact somebody else: transfer (RFC 3515).",
    Notify = "NOTIFY" = Notify: "Tells of an event (RFC 6665).",
    Subscribe = "SUBSCRIBE" = Subscribe: "Asks for events (RFC 6665).",
    Message = "MESSAGE" = Message: "Carries an instant message (RFC 3428).",
    Info = "INFO" = Info: "Carries application data in a session (RFC 6086).",
    Publish = "PUBLISH" = Publish: "Publishes event state (RFC 3903).",
}

/// A text that is no method: not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no SIP method: a method is a token")]
pub struct MethodError(pub String);

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(token: &str) -> Result<Self, MethodError> {
        if let Some(method) = Method::known(token) {
            return Ok(method);
        }
        if grammar::is_token(token) {
            Ok(Method::Other(token.into()))
        } else {
            Err(MethodError(token.chars().take(200).collect()))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_vocabulary_reads_back() {
        assert_eq!(Method::KNOWN.len(), rsip::Method::all().len());
        for method in Method::KNOWN {
            assert_eq!(method.as_str().parse(), Ok(method.clone()));
        }
        assert_eq!("invite".parse(), Ok(Method::Other("invite".into())));
        assert_eq!("RE%47IST%45R".parse(), Ok(Method::Other("RE%47IST%45R".into())));
        for bad in ["", " INVITE", "IN VITE", "INV\0", "INVÏTE"] {
            assert!(bad.parse::<Method>().is_err(), "{bad}");
        }
    }
}
