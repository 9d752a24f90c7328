//! Why a registration failed.

use super::Engine;
use crate::call::explain::{Asked, Refusal, explain};
use crate::sip::agent::AccountId;
use crate::sip::registration::{Failure, State};

impl Engine {
    /// The sentence for a registration that failed.
    pub(super) fn explanation(&self, account: AccountId, state: &State) -> Option<String> {
        let State::Failed { failure, .. } = state else { return None };
        let refused = matches!(failure, Failure::Unauthorized { .. } | Failure::Rejected { .. });
        let (own, refusal) = (self.accounts.get(account.0 as usize)?, self.agent.refusal(account));
        let Some(response) = refusal.filter(|_| refused) else { return Some(failure.to_string()) };
        let registrar = own.registrar.as_ref().unwrap_or(&own.aor);
        let server = registrar.host().map(ToString::to_string).unwrap_or_default();
        Some(explain(&Refusal {
            status: response.status.code(),
            reason: &response.reason,
            headers: &response.headers,
            server: &server,
            asked: Asked::Registration { password: own.password.is_some() },
        }))
    }
}
