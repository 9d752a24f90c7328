//! Keys that a call agrees on while it runs, and what may come before its answer.

use super::life::{Call, Desk};
use super::negotiate::Negotiation;
use super::output::MediaOrder;

impl Call {
    /// Our offer leaves next: whoever answers it may begin on the media path first (RFC 5763 section 6.2).
    pub(super) fn listen_early(&self, desk: &mut Desk<'_>) {
        if let Some(awaited) = self.negotiation.as_ref().and_then(Negotiation::awaited) {
            self.order(desk, MediaOrder::Listen(Box::new(awaited)));
        }
    }

    /// The far end's key is nearly used up: new keys are offered, for which it has to give a new one (RFC 4568 section
    /// 7.1.4).
    pub(super) fn renew_keys(&mut self, desk: &mut Desk<'_>) {
        let Some(negotiation) = &mut self.negotiation else { return };
        negotiation.renew_keys();
        let local = negotiation.local().clone();
        self.wanted.get_or_insert(local);
        self.try_change(desk);
    }
}
