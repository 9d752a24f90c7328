//! The registration, with every challenge, as the phone's flight recorder saw it; and the test call in between.

use super::{Finding, Mark, Patient, Seen};
use crate::call::record::Record;
use crate::phone::{AccountId, Event, Events, Io, Moment, Phone, RegistrationState};
use crate::sip::auth::{Algorithm, Challenge};
use crate::sip::header::Name;
use crate::sip::hop::Hop;
use crate::sip::message::{Message, Status};
use crate::sip::registration::seen_as;
use crate::sip::wire;
use crate::time::Duration;
use crate::trace::{Shelf, Trace, Which};
use serde_json::json;
use std::pin::Pin;
use tokio::time::Sleep;

/// How long a registration may take: one attempt over UDP (64*T1) and a little more.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long the test call may take, ringing included.
const CALL: Duration = Duration::from_secs(60);

/// How long is talked.
const TALK: Duration = Duration::from_secs(4);

/// Registers, makes the test call if one is wanted, and takes the binding back; the record of the call.
pub(super) async fn examine(
    patient: &Patient,
    seen: &mut Vec<Seen>,
    tell: &mut impl FnMut(Finding),
) -> Result<Option<Record>, String> {
    let settings = patient.settings.clone();
    let traces = settings.trace.directory.clone();
    let (phone, mut events) = Phone::start(settings).map_err(|error| error.to_string())?;
    let account = AccountId(0);
    let mut registration = None;
    if patient.register {
        phone.register(account).await.map_err(|error| error.to_string())?;
        registration = tokio::time::timeout(PATIENCE, outcome(&mut events)).await.ok().flatten();
    }
    let registered = !patient.register || matches!(registration, Some((RegistrationState::Registered { .. }, _)));
    let mut record = None;
    if let Some(dial) = &patient.dial {
        if registered {
            let io = Io {
                source: crate::audio::Source::Tone(1004.0),
                sink: crate::audio::Sink::Null,
                record: Some(super::talk::recording(&patient.scratch)),
                ..Io::default()
            };
            match phone.dial(dial.clone(), io).await {
                Ok(call) => record = tokio::time::timeout(CALL, talk(&phone, &mut events, call)).await.ok().flatten(),
                Err(error) => tell(Finding::new("call", Mark::Fail, error.to_string(), json!({}))),
            }
        } else {
            tell(Finding::new(
                "call",
                Mark::Warn,
                "no test call was made, because there is no registration",
                json!({}),
            ));
        }
    }
    let _ = phone.shutdown().await;
    if !patient.register {
        let text = "this account does not register; calls to us need an address that its carrier knows";
        tell(Finding::new("registration", Mark::Ok, text, json!({})));
        return Ok(record);
    }
    let aor = aor(&patient.account);
    let trace = traces.and_then(|directory| Shelf::new(&directory).find(&Which::Registration(aor.clone()), false).ok());
    if let Some(trace) = &trace {
        challenges(trace, tell);
        addresses(trace, seen);
    }
    tell(judge(&aor, registration));
    Ok(record)
}

fn aor(account: &crate::phone::Account) -> String {
    account.aor.to_string().split(';').next().unwrap_or_default().to_owned()
}

/// The first outcome.
async fn outcome(events: &mut Events) -> Option<(RegistrationState, Option<String>)> {
    loop {
        if let Event::Registration(registration) = events.next().await?
            && matches!(registration.state, RegistrationState::Registered { .. } | RegistrationState::Failed { .. })
        {
            return Some((registration.state, registration.explanation));
        }
    }
}

/// Talks for a while after the answer, then hangs up; the record.
async fn talk(phone: &Phone, events: &mut Events, call: crate::call::CallId) -> Option<Record> {
    let mut until: Option<Pin<Box<Sleep>>> = None;
    loop {
        let pause = async {
            match &mut until {
                Some(until) => until.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.next() => match event? {
                Event::Call(event) if event.call == call => match event.moment {
                    Moment::Answered => until = Some(Box::pin(tokio::time::sleep(TALK))),
                    Moment::Ended => return Some(*event.record),
                    _ => {}
                },
                _ => {}
            },
            () = pause => {
                until = None;
                let _ = phone.hangup(call).await;
            }
        }
    }
}

/// Every challenge of the registrar; never an answer to one.
fn challenges(trace: &Trace, tell: &mut impl FnMut(Finding)) {
    for (_, sighting) in trace.messages().filter(|(_, sighting)| !sighting.sent) {
        let Ok(Message::Response(response)) = wire::parse_datagram(&sighting.bytes) else { continue };
        let name = match response.status {
            Status::UNAUTHORIZED => Name::WwwAuthenticate,
            Status::PROXY_AUTHENTICATION_REQUIRED => Name::ProxyAuthenticate,
            _ => continue,
        };
        for value in response.headers.all(&name) {
            let finding = match value.parse::<Challenge>() {
                Ok(challenge) => {
                    let algorithm = challenge.algorithm.map_or("MD5 (not named)", Algorithm::token);
                    let qop = match (challenge.auth, challenge.auth_int) {
                        (true, true) => "auth or auth-int",
                        (true, false) => "auth",
                        (false, true) => "auth-int",
                        (false, false) => "none",
                    };
                    let realm = crate::trace::harmless(&challenge.realm);
                    let stale = if challenge.stale { ", stale nonce" } else { "" };
                    let text = format!(
                        "{} challenge: realm \"{realm}\", algorithm {algorithm}, qop {qop}{stale}",
                        response.status
                    );
                    let details = json!({"status": response.status.code(), "realm": realm, "algorithm": algorithm, "qop": qop,
                        "stale": challenge.stale});
                    Finding::new("challenge", Mark::Ok, text, details)
                }
                Err(error) => {
                    Finding::new("challenge", Mark::Warn, error.to_string(), json!({"status": response.status.code()}))
                }
            };
            tell(finding);
        }
    }
}

/// Our address in the answers.
fn addresses(trace: &Trace, seen: &mut Vec<Seen>) {
    for (_, sighting) in trace.messages().filter(|(_, sighting)| !sighting.sent) {
        let Ok(Message::Response(response)) = wire::parse_datagram(&sighting.bytes) else { continue };
        let Ok(via) = response.headers.top_via() else { continue };
        let hop = Hop { transport: sighting.transport, local: sighting.local, remote: sighting.remote };
        let outside = seen_as(hop, &via);
        let ports_differ = outside.port() != hop.local.port();
        seen.push(Seen { local: hop.local.ip(), outside: outside.ip(), ports_differ });
    }
}

fn judge(aor: &str, outcome: Option<(RegistrationState, Option<String>)>) -> Finding {
    match outcome {
        Some((RegistrationState::Registered { contact, granted, .. }, _)) => {
            let text = format!("{aor} registers for {} s as {contact}", granted.as_secs());
            let details = json!({"expires": granted.as_secs(), "contact": contact.to_string()});
            Finding::new("registration", Mark::Ok, text, details)
        }
        Some((RegistrationState::Failed { failure, .. }, explanation)) => {
            let why = explanation.unwrap_or_else(|| failure.to_string());
            let (what, remedy) =
                why.split_once("; ").map_or((why.as_str(), None), |(what, remedy)| (what, Some(remedy)));
            let finding = Finding::new(
                "registration",
                Mark::Fail,
                format!("{aor} does not register: {what}"),
                json!({"reason": failure.to_string()}),
            );
            finding.with_remedy(remedy.unwrap_or("look at `sidetone trace ladder` of the registration"))
        }
        _ => Finding::new(
            "registration",
            Mark::Fail,
            format!("{aor} does not register: no outcome in {} s", PATIENCE.as_secs()),
            json!({}),
        )
        .with_remedy("check the server's address and the network"),
    }
}
