//! Response status codes.

use std::fmt;

/// A status code, 100 to 699.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

/// What the first digit of a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// 1xx: more will follow.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// 6xx: no other place will do either.
    GlobalFailure,
}

macro_rules! statuses {
    ($($name:ident = $code:literal,)*) => {
        impl Status {
            $(
                #[doc = concat!("Status ", stringify!($code), ".")]
                pub const $name: Status = Status($code);
            )*
        }
    };
}

statuses! {
    TRYING = 100,
    RINGING = 180,
    SESSION_PROGRESS = 183,
    OK = 200,
    ACCEPTED = 202,
    MOVED_PERMANENTLY = 301,
    MOVED_TEMPORARILY = 302,
    BAD_REQUEST = 400,
    UNAUTHORIZED = 401,
    FORBIDDEN = 403,
    NOT_FOUND = 404,
    METHOD_NOT_ALLOWED = 405,
    PROXY_AUTHENTICATION_REQUIRED = 407,
    REQUEST_TIMEOUT = 408,
    GONE = 410,
    REQUEST_ENTITY_TOO_LARGE = 413,
    REQUEST_URI_TOO_LONG = 414,
    UNSUPPORTED_MEDIA_TYPE = 415,
    UNSUPPORTED_URI_SCHEME = 416,
    BAD_EXTENSION = 420,
    EXTENSION_REQUIRED = 421,
    SESSION_INTERVAL_TOO_SMALL = 422,
    INTERVAL_TOO_BRIEF = 423,
    TEMPORARILY_UNAVAILABLE = 480,
    CALL_DOES_NOT_EXIST = 481,
    LOOP_DETECTED = 482,
    TOO_MANY_HOPS = 483,
    BUSY_HERE = 486,
    REQUEST_TERMINATED = 487,
    NOT_ACCEPTABLE_HERE = 488,
    BAD_EVENT = 489,
    REQUEST_PENDING = 491,
    SERVER_INTERNAL_ERROR = 500,
    NOT_IMPLEMENTED = 501,
    SERVICE_UNAVAILABLE = 503,
    SERVER_TIMEOUT = 504,
    VERSION_NOT_SUPPORTED = 505,
    MESSAGE_TOO_LARGE = 513,
    BUSY_EVERYWHERE = 600,
    DECLINE = 603,
    NOT_ACCEPTABLE = 606,
}

impl Status {
    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The class; codes outside of 100 to 699 count as the nearest class.
    pub const fn class(self) -> Class {
        match self.0 {
            ..200 => Class::Provisional,
            200..300 => Class::Success,
            300..400 => Class::Redirection,
            400..500 => Class::ClientError,
            500..600 => Class::ServerError,
            600.. => Class::GlobalFailure,
        }
    }

    /// 1xx?
    pub const fn is_provisional(self) -> bool {
        matches!(self.class(), Class::Provisional)
    }

    /// 2xx?
    pub const fn is_success(self) -> bool {
        matches!(self.class(), Class::Success)
    }

    /// Anything but 1xx?
    pub const fn is_final(self) -> bool {
        !self.is_provisional()
    }

    /// The reason phrase of the RFC; for unknown codes the one of the class.
    pub fn reason(self) -> String {
        let phrase = match self.0 {
            // What the names of the vocabulary cannot say.
            202 => "Accepted",
            414 => "Request-URI Too Long",
            416 => "Unsupported URI Scheme",
            481 => "Call/Transaction Does Not Exist",
            504 => "Server Time-out",
            606 => "Not Acceptable",
            code => match rsip::StatusCode::from(code) {
                rsip::StatusCode::Other(..) => match self.class() {
                    Class::Provisional => "Session Progress",
                    Class::Success => "OK",
                    Class::Redirection => "Moved",
                    Class::ClientError => "Bad Request",
                    Class::ServerError => "Server Error",
                    Class::GlobalFailure => "Global Failure",
                },
                known => return words(&format!("{known:?}")),
            },
        };
        phrase.into()
    }
}

/// `BusyHere` as `Busy Here`; `OK` stays.
fn words(name: &str) -> String {
    let mut phrase = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for character in name.chars() {
        if after_lower && character.is_ascii_uppercase() {
            phrase.push(' ');
        }
        after_lower = character.is_ascii_lowercase();
        phrase.push(character);
    }
    phrase
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_those_of_the_rfc() {
        for (status, phrase) in [
            (Status::TRYING, "Trying"),
            (Status::OK, "OK"),
            (Status::ACCEPTED, "Accepted"),
            (Status::BUSY_HERE, "Busy Here"),
            (Status::CALL_DOES_NOT_EXIST, "Call/Transaction Does Not Exist"),
            (Status::PROXY_AUTHENTICATION_REQUIRED, "Proxy Authentication Required"),
            (Status::NOT_ACCEPTABLE, "Not Acceptable"),
            (Status(299), "OK"),
            (Status(499), "Bad Request"),
        ] {
            assert_eq!(status.reason(), phrase);
        }
        assert_eq!(Status(699).class(), Class::GlobalFailure);
        assert!(Status::SESSION_PROGRESS.is_provisional() && Status::OK.is_final());
    }
}
