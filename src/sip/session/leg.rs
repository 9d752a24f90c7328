//! A dialog of a session, and the way that its requests take.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;

use crate::sip::agent::{AccountId, Errand, Exchange, Purpose, ResolveError, Sent, SessionId, from_there};
use crate::sip::dialog::Dialog;
use crate::sip::header::{Headers, Name};
use crate::sip::hop::{Hop, Transport};
use crate::sip::message::{Method, Request};
use crate::sip::target::Target;
use crate::sip::transaction::ClientId;
use crate::time::Instant;

/// ACKs that are kept for the repetitions of their 2xx: re-INVITEs may follow each other faster than those end.
const ACKS: usize = 4;

/// One dialog.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) dialog: Dialog,
    /// Where its offers and answers stand.
    pub(super) offers: Offers,
    /// RSeq of the last reliable provisional response that was taken in it (RFC 3262 section 4).
    pub(super) rseq: Option<u32>,
    /// The PRACK that waits for the user's answer or offer: RSeq, CSeq number of the INVITE, and until when.
    pub(super) owed: Option<(u32, u32, Instant)>,
    /// Our PRACK that carries an offer and has no answer yet.
    pub(super) offering: bool,
    /// Has the peer said that it knows UPDATE (RFC 3311 section 5.1)?
    pub(super) update: bool,
    /// Where the message that made the dialog came from: the way when the peer's Contact or Record-Route cannot be
    /// looked up.
    origin: Hop,
    road: Road,
    /// May the road lead through the clear? Not when the peer's address is `sips:`.
    clear: bool,
    /// Has the peer's address changed since the dialog was made?
    moved: bool,
    /// What waits for the road, in order: an ACK must not be overtaken by the BYE behind it.
    waiting: VecDeque<Parcel>,
    /// The ACKs to the last 2xx by their CSeq number, sent again for each repetition of it.
    acks: VecDeque<(u32, Hop, Bytes)>,
}

/// Where the offers and answers of a dialog stand (RFC 3264 section 4, RFC 6337 section 2): one exchange at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offers {
    /// The INVITE had no offer, and nobody has made one since.
    None,
    /// Our offer waits for its answer.
    Sent,
    /// The peer's offer waits for ours.
    Received,
    /// Both sides may offer.
    Settled,
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
    /// Anything else.
    Letter(Box<Letter>),
}

/// A request with what makes it ready for its hop.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) purpose: Purpose,
    pub(super) account: Option<AccountId>,
    pub(super) request: Request,
    /// Does it carry our Contact: then the user part of it when there is no account.
    pub(super) contact: Option<Option<String>>,
}

/// What became of a request that waited for its way: the transaction, or nothing if it could not be sent.
pub(super) type Posted = (Purpose, Option<ClientId>);

impl Leg {
    pub(super) fn new(dialog: Dialog, origin: Hop, offers: Offers) -> Self {
        let (waiting, acks) = (VecDeque::new(), VecDeque::new());
        Self {
            dialog,
            offers,
            rseq: None,
            owed: None,
            offering: false,
            update: false,
            origin,
            road: Road::Unknown,
            clear: true,
            moved: false,
            waiting,
            acks,
        }
    }

    /// Notes what a message of the peer says that it can do, and where it is.
    pub(super) fn note(&mut self, headers: &Headers) {
        if headers.contains(&Name::Allow) {
            self.update = headers.has_tag(&Name::Allow, Method::Update.as_str());
        }
        if self.dialog.refresh(headers) {
            self.forget_road();
        }
    }

    /// Does nothing wait for the road?
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The way that requests take, or took last.
    pub(super) fn flow(&self) -> Hop {
        match &self.road {
            Road::Known(hops) => hops.first().copied().unwrap_or(self.origin),
            Road::Unknown | Road::Asked => self.origin,
        }
    }

    /// Requests leave from another address of ours now.
    pub(super) fn move_to(&mut self, local: IpAddr) {
        self.origin = from_there(self.flow(), local);
        self.forget_road();
    }

    /// The dialog's target or routes changed: look the way up again.
    fn forget_road(&mut self) {
        self.moved = true;
        if matches!(self.road, Road::Known(_)) {
            self.road = Road::Unknown;
        }
    }

    /// Sends a request in the dialog as soon as the way is known; tells what was sent now.
    pub(super) fn post(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        session: SessionId,
        preferred: Option<Transport>,
        parcel: Parcel,
    ) -> Vec<Posted> {
        self.waiting.push_back(parcel);
        if let Road::Unknown = self.road {
            // A Contact that says no transport is reached by the one that the dialog uses.
            match Target::of(self.dialog.next_hop(), preferred.or(Some(self.origin.transport))) {
                Ok(target) => {
                    self.clear = target.transport.is_none_or(|transport| !transport.secure());
                    self.road = Road::Asked;
                    ex.resolve(now, target, Errand::Dialog(session, self.dialog.remote_tag().to_owned()));
                }
                Err(_) => self.road = Road::Known(vec![self.origin]),
            }
        }
        self.flush(ex, now)
    }

    /// The answer to the look-up; tells what was sent now.
    pub(super) fn resolved(
        &mut self,
        ex: &mut Exchange,
        now: Instant,
        found: Result<Vec<Hop>, ResolveError>,
    ) -> Vec<Posted> {
        if matches!(self.road, Road::Asked) {
            self.road = Road::Known(self.by_flow(found.unwrap_or_default()));
        }
        self.flush(ex, now)
    }

    /// The flow of the dialog first, if it leads where the route set says; and last if it does not, because behind an
    /// address translator a connection that is there may be the only way (RFC 5626 section 5.3, RFC 5923). Over TLS it
    /// is first as long as the peer stays where it is: it has proved who is there. Encryption is not given up on the way.
    fn by_flow(&self, mut hops: Vec<Hop>) -> Vec<Hop> {
        let secure = self.origin.transport.secure();
        hops.retain(|hop| !secure || hop.transport.secure());
        let same = |hop: &Hop| (hop.transport, hop.remote) == (self.origin.transport, self.origin.remote);
        match hops.iter().position(same) {
            Some(place) => hops[..=place].rotate_right(1),
            None if secure && !self.moved => hops.insert(0, self.origin),
            None if !secure && !self.clear => {}
            None if hops.is_empty() || self.origin.transport.reliable() => hops.push(self.origin),
            None => {}
        }
        hops
    }

    /// The 2xx with this CSeq number came again: so goes the ACK, if it has gone before (RFC 3261 section 13.2.2.4).
    pub(super) fn repeat_ack(&self, ex: &mut Exchange, number: u32) {
        if let Some((_, hop, bytes)) = self.acks.iter().find(|(cseq, ..)| *cseq == number) {
            ex.transmit(*hop, bytes.clone());
        }
    }

    fn flush(&mut self, ex: &mut Exchange, now: Instant) -> Vec<Posted> {
        let Road::Known(hops) = &self.road else { return Vec::new() };
        let mut posted = Vec::new();
        while let Some(parcel) = self.waiting.pop_front() {
            match parcel {
                Parcel::Ack(request) => {
                    // No way that is safe enough: the peer gives the call up.
                    let Some(hop) = hops.first().copied() else { continue };
                    let number = request.headers.cseq().map(|cseq| cseq.number).unwrap_or_default();
                    let (hop, bytes) = ex.send_ack(request, hop);
                    self.acks.truncate(ACKS - 1);
                    self.acks.push_front((number, hop, bytes));
                }
                Parcel::Letter(letter) => {
                    let Letter { purpose, account, request, contact } = *letter;
                    let sent = Sent::new(purpose, account, request, hops.clone()).map(|sent| match contact {
                        Some(user) => sent.with_contact(user),
                        None => sent,
                    });
                    posted.push((purpose, sent.and_then(|sent| ex.send(now, sent).ok())));
                }
            }
        }
        posted
    }
}
