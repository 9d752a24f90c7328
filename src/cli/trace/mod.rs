//! `sidetone trace`: what the flight recorder kept of calls and registrations.

use super::{Exit, fail};
use crate::store;
use crate::trace::{Head, Shelf, ShelfError, Subject, Trace, Which, describe, directory_of, ladder, pcapng, summary};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Columns of a diagram that goes into a file or a pipe.
const COLUMNS: usize = 100;

#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    #[command(subcommand)]
    verb: TraceVerb,
}

#[derive(Debug, Subcommand)]
enum TraceVerb {
    /// Lists what was recorded, newest call first
    List,
    /// Prints every message and what the media did
    Show(Wanted),
    /// Draws who said what to whom
    Ladder {
        #[command(flatten)]
        wanted: Wanted,
        /// Columns to draw in; those of the terminal when absent
        #[arg(long, value_name = "COLUMNS")]
        width: Option<usize>,
    },
    /// Writes a capture file for Wireshark
    Export {
        #[command(flatten)]
        wanted: Wanted,
        /// The file; - for stdout
        #[arg(long, value_name = "FILE")]
        pcapng: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Wanted {
    /// The id of a call or the beginning of it, last, registration:ACCOUNT, or outside for what belongs to neither
    #[arg(value_name = "CALL")]
    which: Which,
    /// With credentials and media keys, if they were recorded (--trace-secrets)
    #[arg(long)]
    with_secrets: bool,
}

pub(super) fn run(arguments: &TraceArguments, db: Option<PathBuf>, json: bool) -> Exit {
    let shelf = Shelf::new(&directory_of(&db.unwrap_or_else(store::default_path)));
    let find = |wanted: &Wanted| shelf.find(&wanted.which, wanted.with_secrets);
    let printed = match &arguments.verb {
        TraceVerb::List => shelf.list().map(|heads| print(|out| list(&heads, json, out))),
        TraceVerb::Show(wanted) => find(wanted).map(|trace| print(|out| show(&trace, json, out))),
        TraceVerb::Ladder { wanted, width } => find(wanted).map(|trace| {
            let style = style(*width);
            print(|out| out.write_all(ladder::draw(&trace, style).as_bytes()))
        }),
        TraceVerb::Export { wanted, pcapng } => find(wanted).map(|trace| export(&trace, pcapng)),
    };
    match printed {
        Ok(Ok(())) => Exit::Ok,
        // Whoever reads has read enough: `sidetone trace show last | head`.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        Ok(Err(error)) => fail(Exit::Failed, &error),
        Err(error @ ShelfError::Read { .. }) => fail(Exit::Failed, &error),
        Err(error) => fail(Exit::Configuration, &error),
    }
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out)?;
    out.flush()
}

fn style(width: Option<usize>) -> ladder::Style {
    let terminal = io::stdout().is_terminal();
    let columns = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0));
    ladder::Style { width: width.or(columns).unwrap_or(COLUMNS), colour: terminal }
}

fn list(heads: &[Head], json: bool, out: &mut dyn Write) -> io::Result<()> {
    if heads.is_empty() && !json {
        return writeln!(out, "no traces");
    }
    for head in heads {
        if json {
            serde_json::to_writer(&mut *out, head)?;
            writeln!(out)?;
            continue;
        }
        let began = head.began.map(|began| format!("{began:.0}")).unwrap_or_default();
        let counts = format!("{} messages, {} notes", head.messages, head.notes);
        let line = match &head.subject {
            Subject::Call(_) => format!("{} -> {}  {}", head.from, head.to, head.outcome),
            Subject::Registration(_) => format!("{}  {}", head.to, head.outcome),
            Subject::Outside => "of no call and no registration".to_owned(),
        };
        writeln!(out, "{began}  {}  {counts}  {}", head.subject.name(), crate::trace::harmless(&line))?;
    }
    Ok(())
}

fn show(trace: &Trace, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, &trace.head)?;
        writeln!(out)?;
        for entry in &trace.entries {
            serde_json::to_writer(&mut *out, entry)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    writeln!(out, "{}", summary(&trace.head))?;
    for entry in &trace.entries {
        writeln!(out, "\n{}", describe(entry))?;
    }
    Ok(())
}

fn export(trace: &Trace, path: &Path) -> io::Result<()> {
    if path == Path::new("-") {
        return print(|mut out| pcapng::write(trace, &mut out));
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut out = BufWriter::new(File::create(path).map_err(named)?);
    pcapng::write(trace, &mut out).map_err(named)?;
    eprintln!("{} messages written to {}", trace.messages().count(), path.display());
    Ok(())
}
