//! `sidetone config`: checks, prints or explains the configuration.

use super::arguments::{ConfigArguments, ConfigVerb};
use super::report::Reporter;
use super::{Exit, environment, fail};
use crate::config::{Draft, Environment, Shown, schema};
use serde_json::json;
use std::path::Path;

pub(super) fn run(verb: &ConfigArguments, reporter: &Reporter) -> Exit {
    if matches!(verb.verb, ConfigVerb::Schema) {
        return print_schema(reporter);
    }
    let environment = environment();
    match verb.verb {
        ConfigVerb::Print => {
            let draft = Draft::gather(verb.config.as_deref(), &environment);
            match draft.and_then(|draft| draft.shown()) {
                Ok(shown) => print(&shown, reporter),
                Err(error) => fail(Exit::Configuration, &error),
            }
        }
        ConfigVerb::Check | ConfigVerb::Schema => check(verb.config.as_deref(), &environment, reporter),
    }
}

/// Reads everything, and tells everything that is wrong.
fn check(file: Option<&Path>, environment: &Environment, reporter: &Reporter) -> Exit {
    let draft = match Draft::check(file, environment) {
        Ok(draft) => draft,
        Err(errors) => {
            for error in &errors {
                eprintln!("sidetone: {error}");
            }
            return Exit::Configuration;
        }
    };
    let accounts = draft.accounts();
    let file = draft.file().map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    let text = match accounts.as_slice() {
        [] => format!("{file}: nothing is wrong, and there is no account"),
        names => format!("{file}: nothing is wrong; accounts {}", names.join(", ")),
    };
    reporter.event("config.good", json!({"file": draft.file(), "accounts": accounts}), &text);
    Exit::Ok
}

fn print(shown: &[Shown], reporter: &Reporter) -> Exit {
    let width = shown.iter().map(|one| one.key.len() + one.value.len()).filter(|width| *width <= 60).max().unwrap_or(0);
    let mut table = "";
    for one in shown {
        if one.table != table {
            table = &one.table;
            reporter.heading(&format!("\n[{table}]"));
        }
        let path = if one.table.is_empty() { one.key.clone() } else { format!("{}.{}", one.table, one.key) };
        let fields = json!({"key": path, "value": one.value, "origin": one.origin});
        let gap = " ".repeat(width.saturating_sub(one.key.len() + one.value.len()));
        reporter.event("config.value", fields, &format!("{} = {}{gap}  # {}", one.key, one.value, one.origin));
    }
    Exit::Ok
}

fn print_schema(reporter: &Reporter) -> Exit {
    let schema = schema::schema();
    let text = match reporter.is_json() {
        true => serde_json::to_string(&schema),
        false => serde_json::to_string_pretty(&schema),
    };
    match text {
        Ok(text) => {
            reporter.raw(&text);
            Exit::Ok
        }
        Err(error) => fail(Exit::Failed, &error),
    }
}
