//! What goes on outside of calls: texts, mailboxes, watched peers; and `sidetone message`.

use super::arguments::MessageArguments;
use super::report::Reporter;
use super::signals::Stop;
use super::{Exit, environment, fail, register};
use crate::config::{self, ConfigError, MediaFlags};
use crate::phone::{AccountId, Aside, CommandError, Event, News, PeerState, Phone, Settings, SubscriptionState};
use crate::sip::message::Status;
use crate::sip::subscription::Summary;
use crate::time::Duration;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// How long a subscription to a mailbox is asked for (RFC 3842 section 3.4).
const MAILBOX_LIFE: Duration = Duration::from_secs(3_600);

/// What is looked after beside calls.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct WatchFlags {
    /// Subscribes to the account's mailbox (message-summary) and tells what waits there
    #[arg(long)]
    pub(super) mwi: bool,
    /// Asks the account's server, or --ping-target, by OPTIONS every so often whether it answers
    #[arg(long, value_name = "SECONDS")]
    pub(super) ping: Option<f64>,
    /// Whom --ping asks
    #[arg(long, value_name = "URI", requires = "ping")]
    pub(super) ping_target: Option<String>,
}

impl WatchFlags {
    /// Are the values usable?
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        config::seconds("--ping", self.ping)?;
        self.ping_target.as_deref().map(|target| config::target(target, None)).transpose()?;
        Ok(())
    }

    /// Begins what was asked for.
    pub(super) async fn begin(&self, phone: &Phone, account: AccountId) -> Result<(), CommandError> {
        if let Ok(Some(every)) = config::seconds("--ping", self.ping) {
            let target = self.ping_target.as_deref().and_then(|target| config::target(target, None).ok());
            phone.watch(account, target, every).await?;
        }
        if self.mwi {
            phone.subscribe(account, MAILBOX_LIFE).await?;
        }
        Ok(())
    }
}

/// `sidetone message`: sends one text.
pub(super) async fn run(verb: MessageArguments, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let prepared = || {
        let environment = environment();
        let media = MediaFlags::default();
        let own = verb.account.profile(&media, &environment)?;
        let target = config::target(&verb.target, own.as_ref().map(|own| &own.account))?;
        let register = own.as_ref().is_some_and(|own| own.register) && !verb.no_register;
        let profile = own.map_or_else(|| verb.account.profile_or_local(&media, &environment), Ok)?;
        let process = verb.account.process(&environment, Vec::new())?;
        let settings = process.settings(&[profile], db.clone());
        let trace = process.recorder(settings.database.as_deref())?;
        // Nothing is called here.
        Ok::<_, ConfigError>((target, register, Settings { trace, database: None, ..settings }))
    };
    let (target, register, settings) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let (phone, mut events) = match Phone::start(settings) {
        Ok(started) => started,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let mut stop = Stop::listen();
    let account = AccountId(0);
    let mut exit = Exit::Ok;
    if register {
        exit = register::first(&phone, &mut events, &reporter, account, true, &mut stop).await;
    }
    if exit == Exit::Ok {
        exit = match phone.message(account, target, &verb.text).await {
            Err(error) => fail(Exit::Configuration, &error),
            Ok(_) => loop {
                tokio::select! {
                    event = events.next() => match event {
                        None => break Exit::Failed,
                        Some(Event::Aside(aside)) => {
                            reporter.aside(&aside);
                            match &aside.news {
                                News::MessageSent { .. } => break Exit::Ok,
                                News::MessageFailed { status, .. } => break exit_of(*status),
                                _ => {}
                            }
                        }
                        Some(Event::Registration(registration)) => reporter.registration(&registration),
                        Some(_) => {}
                    },
                    () = stop.requested() => break Exit::Failed,
                }
            },
        };
    }
    let _ = phone.shutdown().await;
    exit
}

fn exit_of(status: Option<Status>) -> Exit {
    match status.map(Status::code) {
        None | Some(408) => Exit::Unreachable,
        Some(401 | 403 | 407) => Exit::Unauthorised,
        Some(486 | 600 | 603) => Exit::Declined,
        Some(_) => Exit::Rejected,
    }
}

impl Reporter {
    /// Something happened outside of calls.
    pub(super) fn aside(&self, aside: &Aside) {
        let (name, more, text) = told(&aside.news);
        let mut fields = Map::new();
        fields.insert("account".into(), aside.aor.clone().into());
        if let Value::Object(more) = more {
            fields.extend(more);
        }
        self.event(name, Value::Object(fields), &text);
    }
}

/// The event, its fields, its sentence.
fn told(news: &News) -> (&'static str, Value, String) {
    match news {
        News::Message { from, display, to, content_type, text } => (
            "message.received",
            json!({"from": from, "display_name": display, "to": to, "content_type": content_type, "text": text}),
            format!("{from} writes: {text}"),
        ),
        News::MessageSent { id, status } => (
            "message.sent",
            json!({"message_id": id.0, "sip_code": status.0}),
            if *status == Status::ACCEPTED { "sent; it is kept for later delivery".into() } else { "sent".into() },
        ),
        News::MessageFailed { id, status, reason } => (
            "message.failed",
            json!({"message_id": id.0, "sip_code": status.map(Status::code), "reason": reason}),
            match status {
                Some(status) => format!("the message was refused: {status} {reason}"),
                None => format!("the message was not sent: {reason}"),
            },
        ),
        News::Peer { target, state: PeerState::Reachable { round_trip, status } } => {
            let milliseconds = round_trip.as_secs_f64() * 1_000.0;
            (
                "peer.reachable",
                json!({"target": target.to_string(), "sip_code": status.0, "round_trip_ms": milliseconds}),
                format!("{target} answers ({status} in {milliseconds:.1} ms)"),
            )
        }
        News::Peer { target, state: PeerState::Unreachable { reason } } => (
            "peer.unreachable",
            json!({"target": target.to_string(), "reason": reason}),
            format!("{target} does not answer: {reason}"),
        ),
        News::Waiting(summary) => ("mwi.changed", mailbox(summary), sentence(summary)),
        News::Subscription(SubscriptionState::Active { granted }) => {
            ("mwi.subscribed", json!({"expires": granted.as_secs()}), String::new())
        }
        News::Subscription(SubscriptionState::Waiting { reason, wait }) => (
            "mwi.failed",
            json!({"reason": reason, "next_attempt_in": wait.as_secs()}),
            format!("the mailbox cannot be watched: {reason}; next attempt in {} s", wait.as_secs()),
        ),
        News::Subscription(SubscriptionState::Ended { reason }) => {
            ("mwi.ended", json!({"reason": reason}), format!("the mailbox is no longer watched: {reason}"))
        }
    }
}

fn mailbox(summary: &Summary) -> Value {
    let classes: Map<String, Value> = summary
        .classes
        .iter()
        .map(|(class, counts)| {
            let counts = json!({"new": counts.new, "old": counts.old, "new_urgent": counts.new_urgent,
                "old_urgent": counts.old_urgent});
            (class.to_ascii_lowercase(), counts)
        })
        .collect();
    json!({"waiting": summary.waiting, "message_account": summary.account, "messages": classes})
}

fn sentence(summary: &Summary) -> String {
    match (summary.voice(), summary.waiting) {
        (Some(voice), _) => format!("voice mail: {} new, {} old", voice.new, voice.old),
        (None, true) => "messages are waiting".into(),
        (None, false) => "no messages are waiting".into(),
    }
}
