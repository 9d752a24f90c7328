//! Why a call ends: the Reason header (RFC 3326) with the causes of the telephone network (ITU-T Q.850).

use super::grammar;
use super::header::{Header, Headers, Name};
use super::message::Status;
use super::params::Params;

/// A cause of ITU-T Q.850 section 2.2.7: 1 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause(u8);

/// Causes, what the standard calls them, and what that means to somebody who made the call.
const CAUSES: &[(u8, &str, &str)] = &[
    (1, "Unallocated number", "the number does not exist"),
    (2, "No route to transit network", "no network leads to the number"),
    (3, "No route to destination", "no way leads to the number"),
    (4, "Send special information tone", "the number cannot be reached for long"),
    (6, "Channel unacceptable", "the line that was offered cannot be used"),
    (16, "Normal call clearing", "somebody hung up"),
    (17, "User busy", "the line is busy"),
    (18, "No user responding", "the phone does not react"),
    (19, "No answer from user", "it rang and nobody answered"),
    (20, "Subscriber absent", "the phone is off or out of reach"),
    (21, "Call rejected", "the call was declined"),
    (22, "Number changed", "the number has changed"),
    (26, "Non-selected user clearing", "the call went to another phone"),
    (27, "Destination out of order", "the line of the called side is out of order"),
    (28, "Invalid number format", "the number is incomplete or wrongly written"),
    (29, "Facility rejected", "the network refuses a feature of the call"),
    (31, "Normal, unspecified", "the call ended without a particular reason"),
    (34, "No circuit available", "all lines of the network are taken"),
    (38, "Network out of order", "the network is out of order"),
    (41, "Temporary failure", "the network failed; a moment later it may work"),
    (42, "Switching equipment congestion", "the network is overloaded"),
    (44, "Requested circuit not available", "the line that was asked for is taken"),
    (47, "Resource unavailable", "the network has no means for the call"),
    (50, "Facility not subscribed", "the account has not booked what the call needs"),
    (52, "Outgoing calls barred", "the account may not make such calls"),
    (54, "Incoming calls barred", "the called side takes no such calls"),
    (55, "Incoming calls barred within CUG", "the called side takes calls from its own group only"),
    (57, "Bearer capability not authorized", "the account may not use this kind of connection"),
    (58, "Bearer capability not available", "this kind of connection is not there now"),
    (63, "Service not available", "the network does not offer the service now"),
    (65, "Bearer capability not implemented", "this kind of connection is unknown there"),
    (69, "Facility not implemented", "the network does not know a feature of the call"),
    (79, "Service not implemented", "the network does not know the service"),
    (87, "User not member of CUG", "the called side takes calls from its own group only"),
    (88, "Incompatible destination", "the two sides have no kind of connection in common"),
    (95, "Invalid message", "the network did not understand a message"),
    (96, "Mandatory information missing", "a message lacked what it needs"),
    (97, "Message type non-existent", "the network does not know a message"),
    (99, "Information element non-existent", "the network does not know a part of a message"),
    (102, "Recovery on timer expiry", "a part of the network did not answer in time"),
    (111, "Protocol error", "the network misunderstood itself"),
    (127, "Interworking, unspecified", "another network ended the call and did not say why"),
];

impl Cause {
    /// Somebody hung up.
    pub const NORMAL: Cause = Cause(16);
    /// It rang and nobody answered.
    pub const NO_ANSWER: Cause = Cause(19);
    /// The call was declined.
    pub const REJECTED: Cause = Cause(21);
    /// Nothing that both sides can do.
    pub const INCOMPATIBLE: Cause = Cause(88);
    /// No means for the call.
    pub const NO_RESOURCE: Cause = Cause(47);

    /// A cause; `None` when the code is none.
    pub fn new(code: u16) -> Option<Self> {
        u8::try_from(code).ok().filter(|code| (1..=127).contains(code)).map(Self)
    }

    /// The code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// What the standard calls it.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|(_, name, _)| *name)
    }

    /// What it means, for a human. Codes that the standard leaves to networks are told by their class (Q.850 section
    /// 2.2.7.2).
    pub fn sentence(self) -> &'static str {
        match (self.row(), self.0) {
            (Some((_, _, sentence)), _) => sentence,
            (None, 1..=31) => "the call ended in the usual way",
            (None, 32..=47) => "the network has no means for the call",
            (None, 48..=63) => "the network does not offer the service",
            (None, 64..=79) => "the network does not know the service",
            (None, 80..=95) => "the network did not accept a message",
            (None, 96..=111) => "the network misunderstood itself",
            (None, _) => "another network ended the call",
        }
    }

    /// The cause that a refusal with `status` has in the telephone network (RFC 3398 section 8.2.6.1).
    pub fn of_status(status: Status) -> Self {
        Self(match status.code() {
            400 | 401 | 402 | 403 | 407 | 421 | 603 | 607 | 608 => 21,
            404 | 485 | 604 => 1,
            405 => 63,
            406 | 415 | 501 => 79,
            410 => 22,
            408 | 504 => 102,
            413 | 414 | 416 | 420 | 505 | 513 => 127,
            480 => 18,
            481 | 500 | 503 => 41,
            482 | 483 => 25,
            484 => 28,
            486 | 600 => 17,
            488 | 606 => 88,
            502 => 38,
            _ => 31,
        })
    }

    /// The value of a Reason header.
    pub fn reason(self) -> String {
        match self.name() {
            Some(name) => format!("Q.850;cause={};text=\"{name}\"", self.0),
            None => format!("Q.850;cause={}", self.0),
        }
    }

    /// The Reason header.
    pub fn header(self) -> Header {
        Header { name: Name::Reason, value: self.reason().into() }
    }

    fn row(self) -> Option<&'static (u8, &'static str, &'static str)> {
        CAUSES.iter().find(|(code, _, _)| *code == self.0)
    }
}

/// One value of a Reason header (RFC 3326 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `Q.850`, `SIP`, or another one.
    pub protocol: String,
    /// The code of that protocol.
    pub cause: Option<u16>,
    /// What the far end wrote beside it.
    pub text: Option<String>,
}

impl Reason {
    /// The reasons in a message, those that can be read.
    pub fn all(headers: &Headers) -> Vec<Reason> {
        headers.all(&Name::Reason).filter_map(Reason::parse).collect()
    }

    fn parse(value: &str) -> Option<Reason> {
        let (protocol, params) = value.split_once(';').unwrap_or((value, ""));
        let protocol = grammar::trim_text(protocol);
        if !grammar::is_token(protocol) {
            return None;
        }
        let params = Params::parse(&format!(";{params}")).unwrap_or_default();
        Some(Reason {
            protocol: protocol.to_owned(),
            cause: params.get("cause").and_then(grammar::decimal),
            text: params.text("text").map(|text| text.into_owned()).filter(|text| !text.is_empty()),
        })
    }

    /// The cause of the telephone network, if it is one.
    pub fn q850(&self) -> Option<Cause> {
        self.cause.filter(|_| self.protocol.eq_ignore_ascii_case("Q.850")).and_then(Cause::new)
    }

    /// What it means, for a human: the meaning of a Q.850 cause; of SIP, that another phone took the call (RFC 3326
    /// section 3.1); else the far end's own words.
    pub fn sentence(&self) -> Option<String> {
        if let Some(cause) = self.q850() {
            return Some(cause.sentence().to_owned());
        }
        if self.protocol.eq_ignore_ascii_case("SIP") && self.cause == Some(200) {
            return Some("another phone answered the call".to_owned());
        }
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<Reason> {
        let mut headers = Headers::new();
        headers.push(Name::Reason, value);
        Reason::all(&headers)
    }

    #[test]
    fn causes_are_read_as_carriers_write_them() {
        let rows = [
            ("Q.850;cause=16", Some(16), "hung up"),
            ("Q.850 ;cause=17 ;text=\"User busy\"", Some(17), "busy"),
            ("q.850;text=\"a;b\";CAUSE=1", Some(1), "does not exist"),
            ("Q.850;cause=126", Some(126), "another network"),
            ("SIP;cause=200;text=\"Call completed elsewhere\"", None, "another phone answered"),
            ("SIP;cause=480;text=\"D21 gone\"", None, "D21 gone"),
            ("Preemption ;cause=1 ;text=\"UA Preemption\"", None, "UA Preemption"),
        ];
        for (value, code, sentence) in rows {
            let reason = read(value).remove(0);
            assert_eq!(reason.q850().map(Cause::code), code, "{value}");
            assert!(reason.sentence().unwrap().contains(sentence), "{value}: {:?}", reason.sentence());
        }
        for nothing in ["", ";cause=16", "Q.850;cause=0", "Q.850;cause=900", "Q.850;cause=x", "Q.850"] {
            assert!(read(nothing).first().and_then(Reason::q850).is_none(), "{nothing}");
        }
    }

    #[test]
    fn every_cause_of_ours_reads_back() {
        for (code, ..) in CAUSES {
            let cause = Cause::new(u16::from(*code)).unwrap();
            let reason = read(&cause.reason()).remove(0);
            assert_eq!((reason.q850(), reason.text.as_deref()), (Some(cause), cause.name()));
        }
        assert_eq!(Cause::new(0), None);
        assert_eq!(Cause::new(128), None);
    }

    #[test]
    fn refusals_have_the_causes_of_rfc_3398() {
        for (status, cause) in [(486, 17), (600, 17), (603, 21), (404, 1), (480, 18), (488, 88), (503, 41), (499, 31)] {
            assert_eq!(Cause::of_status(Status(status)).code(), cause, "{status}");
        }
    }
}
