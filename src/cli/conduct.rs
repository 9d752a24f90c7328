//! What others may ask of this phone, as flags.

use crate::phone::{Busy, Conduct, Settings, Transfers};
use crate::sip::agent::DtmfWay;
use clap::Args;

/// Policies towards callers and far ends.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConductFlags {
    /// What a second caller hears while a call is up: ring, 486 or 603
    #[arg(long, value_name = "ANSWER", default_value = "ring")]
    pub(super) busy: Busy,
    /// Lets nobody through: every caller gets 480
    #[arg(long)]
    pub(super) do_not_disturb: bool,
    /// Whether far ends may send us elsewhere (REFER) or take a call over (Replaces): account (only within the account's
    /// domain), accept or refuse
    #[arg(long, value_name = "POLICY", default_value = "account")]
    pub(super) transfers: Transfers,
    /// Answers calls by itself that ask for it (Call-Info answer-after, Alert-Info, Answer-Mode), when they want it
    #[arg(long)]
    pub(super) auto_answer: bool,
    /// How digits are sent: rfc4733, info, inband, or auto (the first of these that the far end takes); the account's
    /// when absent
    #[arg(long, value_name = "WAY")]
    pub(super) dtmf_way: Option<DtmfWay>,
}

impl ConductFlags {
    /// Sets them for a whole phone.
    pub(super) fn apply(&self, settings: &mut Settings) {
        settings.conduct = Conduct {
            transfers: self.transfers,
            busy: self.busy,
            do_not_disturb: self.do_not_disturb,
            auto_answer: self.auto_answer,
        };
        if let Some(way) = self.dtmf_way {
            settings.media.dtmf = Some(way);
            settings.accounts.iter_mut().for_each(|account| account.dtmf = way);
        }
    }
}
