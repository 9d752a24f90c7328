//! Tells the user, while calls go on, when their rows do not get to the disk.

use crate::phone::Phone;
use crate::store::Health;

/// Watches the call log of a phone until it is dropped.
#[derive(Debug)]
pub(super) struct CallLog(tokio::task::JoinHandle<()>);

impl CallLog {
    /// Says on stderr what is wrong with the call log of `phone` now, and every change of that.
    pub(super) fn watch(phone: &Phone) -> Self {
        let health = phone.store().map(crate::store::Store::watch);
        Self(tokio::spawn(async move {
            let Some(mut health) = health else { return };
            let mut told = Health::default();
            loop {
                let current = health.borrow_and_update().clone();
                if let Some(sentence) = news(&told, &current) {
                    eprintln!("sidetone: {sentence}");
                }
                told = current;
                if health.changed().await.is_err() {
                    return;
                }
            }
        }))
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What to say when the health of the call log went from `before` to `now`; the same trouble again is no news.
fn news(before: &Health, now: &Health) -> Option<String> {
    if now.lost > before.lost {
        let lost = now.lost - before.lost;
        let why = now.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Some(format!("{lost} calls are lost to the call log{why}"));
    }
    match (&before.error, &now.error) {
        (before, Some(why)) if before.as_ref() != Some(why) => {
            Some(format!("{why}; calls go on, their rows are kept in memory and tried again"))
        }
        (Some(_), None) => Some("the call log can be written again".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let well = Health::default();
        let full = Health { error: Some("database x: disk is full; make room".into()), failures: 1, ..well.clone() };
        let again = Health { failures: 2, waiting: 3, ..full.clone() };
        let other = Health { error: Some("database x: read-only".into()), ..again.clone() };
        let lost = Health { lost: 2, ..other.clone() };
        assert_eq!(news(&well, &well), None);
        assert!(news(&well, &full).unwrap().starts_with("database x: disk is full; make room; calls go on"));
        assert_eq!(news(&full, &again), None);
        assert!(news(&again, &other).unwrap().contains("read-only"));
        assert_eq!(news(&other, &lost).unwrap(), "2 calls are lost to the call log: database x: read-only");
        assert_eq!(news(&lost, &Health { lost: 2, ..well }).unwrap(), "the call log can be written again");
    }
}
