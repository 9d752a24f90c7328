//! `sidetone doctor`: what is wrong with an account, and what to change.

use super::report::Reporter;
use super::{Exit, environment, fail};
use crate::config::{self, AccountFlags, ConfigError, MediaFlags};
use crate::doctor::{Finding, Mark, Patient, examine};
use crate::phone::{AccountId, Dial};
use crate::time::Duration;
use crate::trace::directory_of;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// How long the test call may ring.
const RING: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 when nothing failed (warnings are no failure), 1 when something did, 8 when the \
    flags cannot be used."
)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    account: AccountFlags,
    #[command(flatten)]
    media: MediaFlags,
    /// Makes a test call and measures its sound both ways; an echo is best
    #[arg(long, value_name = "TARGET")]
    call: Option<String>,
}

pub(super) async fn run(verb: Box<DoctorArguments>, db: Option<PathBuf>, reporter: Reporter) -> Exit {
    let patient = match patient(&verb, db) {
        Ok(patient) => patient,
        Err(error) => return fail(Exit::Configuration, &error),
    };
    let (mut ok, mut warn, mut failed) = (0, 0, 0);
    let examined = examine(patient, |finding| {
        match finding.mark {
            Mark::Ok => ok += 1,
            Mark::Warn => warn += 1,
            Mark::Fail => failed += 1,
        }
        report(&reporter, &finding);
    })
    .await;
    if let Err(error) = examined {
        return fail(Exit::Failed, &error);
    }
    let text = format!("{ok} ok, {warn} to note, {failed} failed");
    reporter.event("doctor.done", json!({"ok": ok, "warn": warn, "fail": failed}), &text);
    if failed == 0 { Exit::Ok } else { Exit::Failed }
}

fn patient(verb: &DoctorArguments, db: Option<PathBuf>) -> Result<Patient, ConfigError> {
    let environment = environment();
    let profile = verb.account.profile(&verb.media, &environment)?.ok_or(ConfigError::NoAccount("doctor"))?;
    let (account, media, register) = (profile.account.clone(), profile.media.clone(), profile.register);
    let mut settings = verb.account.process(&environment, Vec::new())?.settings(&[profile], db);
    settings.trace.directory = settings.database.as_deref().map(directory_of);
    settings.media = media.clone();
    // The test call is no call of the user's.
    settings.database = None;
    let target = verb.call.as_deref().map(|target| config::target(target, Some(&account))).transpose()?;
    let dial = target.map(|target| Dial {
        account: AccountId(0),
        target,
        from_number: None,
        media,
        ring_limit: RING,
        headers: Vec::new(),
    });
    Ok(Patient { settings, account, register, dial, scratch: std::env::temp_dir() })
}

fn report(reporter: &Reporter, finding: &Finding) {
    let mark = match finding.mark {
        Mark::Ok => "ok  ",
        Mark::Warn => "warn",
        Mark::Fail => "FAIL",
    };
    let mut text = format!("{mark}  {:<12}  {}", finding.check, finding.text);
    if let Some(remedy) = &finding.remedy {
        text += &format!("\n                    -> {remedy}");
    }
    let fields = serde_json::to_value(finding).unwrap_or_default();
    reporter.event("doctor.finding", fields, &text);
}
