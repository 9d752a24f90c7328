//! Why a command was not taken.

use super::account::AccountId;
use super::output::SessionId;
use crate::sip::message::Method;

/// A command that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The session never existed or is over.
    #[error("there is no {0}; it has ended or never was")]
    NoSession(SessionId),
    /// The account never existed.
    #[error("there is no {0}; add it first")]
    NoAccount(AccountId),
    /// The session is not in a state where the command means something.
    #[error("{session} is {state}, so it cannot {command}")]
    WrongState {
        /// Which session.
        session: SessionId,
        /// What was asked, as an infinitive: "answer".
        command: &'static str,
        /// What the session does instead: "ringing".
        state: &'static str,
    },
    /// Another change of the session is under way, by either side.
    #[error("{0} is in the middle of another change; wait for its end")]
    Busy(SessionId),
    /// The method cannot be sent by that command.
    #[error("{0} is not sent by this command; sessions send it by themselves")]
    Method(Method),
    /// The bound of [`Limits::sessions`](super::Limits::sessions) is reached.
    #[error("{0} sessions are open, which is the limit; end one first")]
    TooManySessions(usize),
    /// Too many requests outside of calls wait for their answers.
    #[error("{0} requests wait for their answers, which is the limit; try again when some have ended")]
    TooManyRequests(usize),
    /// A text that does not fit into one MESSAGE (RFC 3428 section 8).
    #[error("the text has {0} octets, and {1} fit into a message to this target; send it in parts")]
    MessageTooLong(usize, usize),
    /// The target cannot be reached by SIP over a transport that Sidetone speaks.
    #[error("cannot send to \"{0}\": give a sip: address with a transport of udp, tcp or tls")]
    Target(String),
    /// The status is not of the class that the command needs.
    #[error("{0} is no status for this command; use {1}")]
    Status(u16, &'static str),
}
