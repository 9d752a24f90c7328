//! Accounts with the same address: whether a call can be told to be for one of them.

use super::{ConfigError, Profile};
use crate::engine::bare;

/// Accounts that one phone runs have to be told apart. Two that register are known by their Contacts; two that calls
/// reach otherwise by where those come from, or by the number that is called.
///
/// # Errors
/// When calls for one could be for another.
pub fn distinct(profiles: &[Profile]) -> Result<(), ConfigError> {
    for (index, one) in profiles.iter().enumerate() {
        for other in profiles.iter().skip(index + 1) {
            if bare(&one.account.aor) == bare(&other.account.aor) && !told_apart(one, other) {
                return Err(ConfigError::SameAddress {
                    aor: bare(&one.account.aor),
                    one: one.name.clone(),
                    other: other.name.clone(),
                });
            }
        }
    }
    Ok(())
}

fn told_apart(one: &Profile, other: &Profile) -> bool {
    let sources = |profile: &Profile| profile.account.sources.clone();
    let disjoint = !sources(one).is_empty()
        && !sources(other).is_empty()
        && !sources(one).iter().any(|network| sources(other).contains(network));
    one.register && other.register || disjoint
}
