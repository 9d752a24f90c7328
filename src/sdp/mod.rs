//! Session descriptions (RFC 8866): lenient in, strict out.
//!
//! ```text
//!  octets ──Session::parse──▶ Session { Origin, Connection, Attribute…, Media { Connection, Attribute… } }
//!                                │  Media::formats ─▶ Format      (rtpmap, fmtp, static payload types)
//!                                │  Media::cryptos ─▶ Crypto      (SDES keys, RFC 4568)
//!                                │  Media::rtcp    ─▶ Rtcp        (RFC 3605)
//!  octets ◀──Session::to_bytes───┘
//! ```
//!
//! Syntax only: what to do with a description is offer and answer, which live in `call::negotiate`.
//!
//! The line layer is ours, because one bad line must not cost a call: the `sdp-types` crate refuses a description with a
//! Latin-1 subject, a second `i=` line, two spaces in an `m=` line or a bad `c=` below a stream that is rejected anyway.
//! What it knows of single attributes (`rtpmap`, `rtcp`, `crypto`) is used, on values whose blanks are put in order.

mod connection;
mod crypto;
mod description;
mod format;
pub mod fuzz;
mod parse;
mod write;

pub use connection::{Address, Connection};
pub use crypto::{Crypto, Unusable};
pub use description::{Attribute, Media, Origin, Rtcp, Session};
pub use format::Format;
pub use fuzz::fuzz_sdp;

/// Longest description that is read, octets. Chrome's longest, with dozens of video formats, stay below 20,000.
pub const MAX_OCTETS: usize = 64 * 1024;

/// Most lines of a description.
pub const MAX_LINES: usize = 2_000;

/// Most `m=` lines of a description: every one is answered (RFC 3264 section 6).
pub const MAX_MEDIA: usize = 32;

/// Why a description cannot be read. Every variant but the limits names the line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More octets than [`MAX_OCTETS`].
    #[error("the session description has {0} octets; at most {MAX_OCTETS} are read")]
    TooLong(usize),
    /// More lines than [`MAX_LINES`].
    #[error("the session description has more than {MAX_LINES} lines")]
    TooManyLines,
    /// More streams than [`MAX_MEDIA`].
    #[error("line {line}: more than {MAX_MEDIA} m= lines")]
    TooManyMedia {
        /// Where the first stream too many stands.
        line: usize,
    },
    /// It does not begin with `v=0`.
    #[error("line {line}: a session description begins with v=0, this one with \"{text}\"")]
    Version {
        /// The first line that is not empty.
        line: usize,
        /// That line, shortened.
        text: String,
    },
    /// An `m=` line that says no kind, port or protocol.
    #[error("line {line}: \"{text}\" is no m= line: {missing}; it reads m=<kind> <port> <protocol> <format>…")]
    MediaLine {
        /// Where.
        line: usize,
        /// The line, shortened.
        text: String,
        /// What is wrong with it.
        missing: &'static str,
    },
    /// A stream without an address: no `c=` line below it, none in the session part.
    #[error("line {line}: this m= line has no c= line, nor has the session; add c=IN IP4 <address>")]
    NoConnection {
        /// Where the `m=` line stands.
        line: usize,
    },
    /// A `c=` line without a usable address.
    #[error("line {line}: \"{text}\" is no address; a c= line reads c=IN IP4 <address> or c=IN IP6 <address>")]
    ConnectionLine {
        /// Where the `c=` line stands.
        line: usize,
        /// Its value, shortened.
        text: String,
    },
}

/// `text` for an error message: printable, at most 80 characters, without a key.
fn excerpt(text: &str) -> String {
    let text = text.split_inclusive("inline:").next().unwrap_or(text);
    let mut short: String =
        text.chars().take(80).map(|character| if character.is_control() { '.' } else { character }).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}
