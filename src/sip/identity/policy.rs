//! What a carrier reads and writes about who calls whom.

use super::number::Numbering;
use crate::sip::agent::{UnknownWord, words};
use std::fmt;
use std::str::FromStr;

/// How the identities of an account's calls are written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How numbers are written.
    pub numbering: Numbering,
    /// The fields beside From that carry the caller id of our calls.
    pub assert: Vec<Assertion>,
    /// What our anonymous calls hide.
    pub anonymous: Anonymity,
    /// Where the called number of an inbound call is looked for, in this order.
    pub called: Vec<CalledField>,
    /// Where the caller of an inbound call is looked for, in this order.
    pub caller: Vec<CallerField>,
}

impl Default for Policy {
    /// Numbers as they are given, no assertion, and the order in which the RFCs trust the fields.
    fn default() -> Self {
        Self {
            numbering: Numbering::default(),
            assert: Vec::new(),
            anonymous: Anonymity::Full,
            called: vec![CalledField::CalledPartyId, CalledField::RequestUri, CalledField::To],
            caller: vec![CallerField::AssertedIdentity, CallerField::RemotePartyId, CallerField::From],
        }
    }
}

/// A field that tells our carrier who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// P-Asserted-Identity (RFC 3325 section 9.1): between trusted peers, such as a trunk and its carrier.
    AssertedIdentity,
    /// P-Preferred-Identity (RFC 3325 section 9.2): what a user wishes its proxy to assert.
    PreferredIdentity,
    /// Remote-Party-ID (draft-ietf-sip-privacy-04).
    RemotePartyId,
}

/// What an anonymous call of ours hides (RFC 3323).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymity {
    /// From too (section 4.1.1.3), and the network is asked to hide the rest.
    #[default]
    Full,
    /// The network is asked to: for carriers that read who pays from From.
    Id,
}

/// Where a called number can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledField {
    /// The Request-URI.
    RequestUri,
    /// To.
    To,
    /// P-Called-Party-ID (RFC 7315 section 4.2): the Request-URI before the registrar put our Contact there.
    CalledPartyId,
    /// Diversion (RFC 5806): the first number that was dialled is the last of the list.
    Diversion,
    /// History-Info (RFC 7044): the first entry.
    HistoryInfo,
}

/// Where a caller can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerField {
    /// P-Asserted-Identity.
    AssertedIdentity,
    /// Remote-Party-ID.
    RemotePartyId,
    /// From.
    From,
}

words!(
    Assertion,
    "identity field",
    "p-asserted-identity" = Assertion::AssertedIdentity,
    "p-preferred-identity" = Assertion::PreferredIdentity,
    "remote-party-id" = Assertion::RemotePartyId
);
words!(Anonymity, "kind of anonymity", "full" = Anonymity::Full, "id" = Anonymity::Id);
words!(
    CalledField,
    "place of a called number",
    "request-uri" = CalledField::RequestUri,
    "to" = CalledField::To,
    "p-called-party-id" = CalledField::CalledPartyId,
    "diversion" = CalledField::Diversion,
    "history-info" = CalledField::HistoryInfo
);
words!(
    CallerField,
    "place of a caller",
    "p-asserted-identity" = CallerField::AssertedIdentity,
    "remote-party-id" = CallerField::RemotePartyId,
    "from" = CallerField::From
);
