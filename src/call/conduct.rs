//! How a phone behaves towards what others ask of it.

use crate::sip::agent::{UnknownWord, words};
use crate::sip::message::Status;
use crate::sip::uri::Uri;
use std::fmt;
use std::str::FromStr;

/// What others may ask of this phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// May far ends transfer us?
    pub transfers: Transfers,
    /// What a second caller hears while a call is up.
    pub busy: Busy,
    /// Is nobody let through?
    pub do_not_disturb: bool,
    /// Are calls answered by themselves that ask for it (Call-Info, Alert-Info, Answer-Mode)?
    pub auto_answer: bool,
    /// Is a far end put on hold before we send it to somebody else, so that nobody talks into the change?
    pub hold_before_transfer: bool,
}

impl Default for Conduct {
    /// Transfers within the account's domain, call waiting, nothing answered by itself, a hold before each transfer.
    fn default() -> Self {
        Self {
            transfers: Transfers::default(),
            busy: Busy::default(),
            do_not_disturb: false,
            auto_answer: false,
            hold_before_transfer: true,
        }
    }
}

/// Who may send us to somebody else by REFER, or take the place of a call by Replaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfers {
    /// Nobody.
    Refuse,
    /// Far ends of an account's calls, and only to addresses of that account's domain: a stranger must not make us call
    /// expensive numbers elsewhere.
    #[default]
    Account,
    /// Everybody, to anywhere.
    Accept,
    /// Nobody before our user has agreed to it, each time.
    Ask,
}

impl Transfers {
    /// May a far end in a call of `account` send us to `target`?
    pub fn allows(self, account: Option<&str>, target: &Uri) -> bool {
        match self {
            Transfers::Refuse => false,
            Transfers::Accept | Transfers::Ask => true,
            Transfers::Account => {
                let own = account.and_then(|account| account.parse::<Uri>().ok());
                let same = |own: Uri| own.host().zip(target.host()).is_some_and(|(own, other)| own.equivalent(other));
                own.is_some_and(same)
            }
        }
    }

    /// May an INVITE take the place of a call; `same`: it comes by the same account?
    pub fn allows_replacing(self, same: bool) -> bool {
        match self {
            Transfers::Accept => true,
            Transfers::Account | Transfers::Ask => same,
            Transfers::Refuse => false,
        }
    }
}

/// What a second caller hears while a call is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// It rings: call waiting.
    #[default]
    Ring,
    /// 486 Busy Here.
    Here,
    /// 603 Decline.
    Decline,
}

impl Busy {
    /// The status that refuses the second call, if it is refused.
    pub fn refusal(self) -> Option<Status> {
        match self {
            Busy::Ring => None,
            Busy::Here => Some(Status::BUSY_HERE),
            Busy::Decline => Some(Status::DECLINE),
        }
    }
}

words!(
    Transfers,
    "policy of transfers",
    "account" = Transfers::Account,
    "accept" = Transfers::Accept,
    "refuse" = Transfers::Refuse,
    "ask" = Transfers::Ask
);
words!(Busy, "answer to a second caller", "ring" = Busy::Ring, "486" = Busy::Here, "603" = Busy::Decline);
