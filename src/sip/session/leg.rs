//! A dialog of a session, and the way that its requests take.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::sip::agent::{AccountId, Errand, Exchange, Purpose, ResolveError, Sent, SessionId};
use crate::sip::dialog::Dialog;
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::Request;
use crate::sip::target::Target;
use crate::time::Instant;

/// One dialog.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) dialog: Dialog,
    /// Where the message that made the dialog came from: the way when the peer's Contact or Record-Route cannot be
    /// looked up.
    origin: Hop,
    road: Road,
    /// What waits for the road, in order: an ACK must not be overtaken by the BYE behind it.
    waiting: VecDeque<Parcel>,
    /// The ACK to the 2xx, sent again for each repetition of it.
    ack: Option<(Hop, Bytes)>,
}

/// The way of the requests in a dialog.
#[derive(Debug)]
enum Road {
    Unknown,
    Asked,
    Known(Vec<Hop>),
}

/// A request that waits for its way.
#[derive(Debug)]
pub(super) enum Parcel {
    /// The ACK to a 2xx.
    Ack(Request),
    /// A BYE.
    Bye(Request, Option<AccountId>),
}

impl Leg {
    pub(super) fn new(dialog: Dialog, origin: Hop) -> Self {
        Self { dialog, origin, road: Road::Unknown, waiting: VecDeque::new(), ack: None }
    }

    /// Does nothing wait for the road?
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The dialog's target or routes changed: look the way up again.
    pub(super) fn forget_road(&mut self) {
        if matches!(self.road, Road::Known(_)) {
            self.road = Road::Unknown;
        }
    }

    /// Sends a request in the dialog as soon as the way is known. Gives the number of BYEs that could not be sent.
    pub(super) fn post(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        session: SessionId,
        preferred: Option<Transport>,
        parcel: Parcel,
    ) -> usize {
        self.waiting.push_back(parcel);
        if let Road::Unknown = self.road {
            // A Contact that says no transport is reached by the one that the dialog uses.
            match Target::of(self.dialog.next_hop(), preferred.or(Some(self.origin.transport))) {
                Ok(target) => {
                    self.road = Road::Asked;
                    ex.resolve(now, target, Errand::Dialog(session, self.dialog.remote_tag().to_owned()));
                }
                Err(_) => self.road = Road::Known(vec![self.origin]),
            }
        }
        self.flush(ex, now, session)
    }

    /// The answer to the look-up. Gives the number of BYEs that could not be sent.
    pub(super) fn resolved(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        session: SessionId,
        found: Result<Vec<Hop>, ResolveError>,
    ) -> usize {
        if matches!(self.road, Road::Asked) {
            let hops = found.unwrap_or_default();
            self.road = Road::Known(if hops.is_empty() { vec![self.origin] } else { hops });
        }
        self.flush(ex, now, session)
    }

    /// A 2xx came again: so goes the ACK, if it has gone before (RFC 3261 section 13.2.2.4).
    pub(super) fn repeat_ack(&self, ex: &mut Exchange) {
        if let Some((hop, bytes)) = &self.ack {
            ex.transmit(*hop, bytes.clone());
        }
    }

    fn flush(&mut self, ex: &mut Exchange, now: Instant, session: SessionId) -> usize {
        let Road::Known(hops) = &self.road else { return 0 };
        let mut lost = 0;
        while let Some(parcel) = self.waiting.pop_front() {
            match parcel {
                Parcel::Ack(request) => {
                    let hop = hops.first().copied().unwrap_or(self.origin);
                    self.ack = Some(ex.send_ack(request, hop));
                }
                Parcel::Bye(request, account) => {
                    let sent = Sent::new(Purpose::Bye(session), account, request, hops.clone());
                    let sent = sent.and_then(|sent| ex.send(now, sent).ok());
                    lost += usize::from(sent.is_none());
                }
            }
        }
        lost
    }
}
