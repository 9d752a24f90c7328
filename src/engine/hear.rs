//! What the agent tells, carried to the calls that it is about.

use super::{Engine, Output};
use crate::call::{Answer, Prack};
use crate::sip::agent;
use crate::time::Instant;

impl Engine {
    pub(super) fn handle_event(&mut self, now: Instant, event: agent::Event) {
        use agent::Event;
        match event {
            Event::Registration { account, state } => {
                self.registrations.insert(account, state.clone());
                let registration = self.registration(account, state);
                self.outputs.push_back(Output::Registration(registration));
            }
            Event::Outside { account, news } => self.tell_aside(account, *news),
            Event::Incoming { session, invitation } => self.incoming(now, session, &invitation),
            Event::Route { session, hop } => {
                self.session_step(now, session, |call, desk| call.handle_route(desk, hop));
            }
            Event::Progress { session, status, fork, headers, body, wants_answer, wants_prack, .. } => {
                self.session_step(now, session, |call, desk| {
                    let prack = match (wants_answer, wants_prack) {
                        (true, _) => Prack::Answer(&fork),
                        (_, true) => Prack::MayOffer(&fork),
                        _ => Prack::Sent,
                    };
                    call.handle_progress(desk, status, &headers, body.as_ref(), prack);
                });
            }
            Event::Acknowledged { session, answer } => {
                self.session_step(now, session, |call, desk| call.handle_acknowledged(desk, answer.as_ref()));
            }
            Event::Redirected { session, status, target } => {
                self.session_step(now, session, |call, desk| call.handle_redirected(desk, status, &target));
            }
            Event::Answered { session, status, reason, headers, body, wants_answer, source, .. } => {
                self.session_step(now, session, |call, desk| {
                    let answer = Answer {
                        status,
                        reason: &reason,
                        headers: &headers,
                        body: body.as_ref(),
                        wants_answer,
                        source,
                    };
                    call.handle_answered(desk, &answer);
                });
            }
            Event::Confirmed { session, answer } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_confirmed(desk, answer.as_ref());
                    call.try_change(desk);
                });
            }
            Event::Reoffer { session, offer, .. } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_reoffer(desk, offer.as_ref());
                    call.try_change(desk);
                });
            }
            Event::ReofferWithdrawn { session } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_reoffer_withdrawn();
                    call.try_change(desk);
                });
            }
            Event::OfferAccepted { session, body, wants_answer, .. } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_offer_accepted(desk, body.as_ref(), wants_answer);
                });
            }
            Event::OfferRefused { session, status, reason, .. } => {
                self.session_step(now, session, |call, desk| call.handle_offer_refused(desk, status, &reason));
            }
            Event::OfferClashed { session, .. } => {
                self.session_step(now, session, |call, _| call.handle_offer_clashed());
            }
            Event::OfferDue { session } => {
                self.session_step(now, session, |call, desk| call.try_change(desk));
            }
            Event::Asked { session, request, method, headers, body } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_asked(desk, request, &method, &headers, &body);
                });
            }
            Event::Reply { session, request, status, reason, headers, .. } => {
                self.session_step(now, session, |call, desk| {
                    call.handle_reply(desk, request, status, &reason, &headers);
                });
            }
            Event::Moved { session, local } => {
                // A call that has no media yet opens them at the new address.
                self.session_step(now, session, |call, desk| {
                    call.handle_moved(desk, local);
                });
            }
            Event::Readdressed { session } => {
                self.session_step(now, session, |call, desk| call.handle_readdressed(desk));
            }
            Event::Ended { session, by, status, reason, headers } => {
                self.session_step(now, session, |call, desk| call.handle_ended(desk, by, status, &reason, &headers));
                self.by_session.remove(&session);
            }
        }
    }
}
