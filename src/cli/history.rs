//! `sidetone history`: the calls in the database, as a table, as CSV or as JSON.

use super::arguments::HistoryArguments;
use super::{Exit, fail};
use crate::call::record::Record;
use crate::store::{self, Query, Reader, StoreError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How calls are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// Every field, comma-separated, under a header (RFC 4180).
    Csv,
    /// One JSON object per line.
    Json,
}

/// The columns of the CSV form: the members of the JSON form, those of `quality` without that word.
const COLUMNS: &[&str] = &[
    "id",
    "direction",
    "status",
    "from",
    "to",
    "number",
    "account",
    "sip_code",
    "sip_reason",
    "ended_by",
    "created_at",
    "ringing_at",
    "answered_at",
    "ended_at",
    "talk_seconds",
    "codec",
    "ptime_ms",
    "transport",
    "srtp",
    "recording",
    "dtmf_received",
    "inbound_packets",
    "inbound_expected",
    "inbound_lost",
    "inbound_late",
    "inbound_duplicates",
    "inbound_reordered",
    "inbound_loss_percent",
    "inbound_discard_percent",
    "inbound_burst_ratio",
    "inbound_jitter_ms",
    "inbound_jitter_max_ms",
    "inbound_buffer_ms",
    "inbound_r_factor",
    "inbound_mos",
    "outbound_packets",
    "outbound_lost",
    "outbound_loss_percent",
    "outbound_jitter_ms",
    "outbound_round_trip_ms",
    "outbound_r_factor",
    "outbound_mos",
    "metadata",
];

/// The columns of the table, with the member of the JSON form behind each.
const TABLE: &[(&str, Cell)] = &[
    ("STARTED", Cell::Time("created_at")),
    ("DIRECTION", Cell::Text("direction")),
    ("STATUS", Cell::Text("status")),
    ("CODE", Cell::Text("sip_code")),
    ("FROM", Cell::Address("from")),
    ("TO", Cell::Address("to")),
    ("TALK", Cell::Talk("talk_seconds")),
    ("CODEC", Cell::Text("codec")),
    ("SRTP", Cell::Protected("srtp")),
    ("MOS IN", Cell::Number("inbound_mos", 2)),
    ("MOS OUT", Cell::Number("outbound_mos", 2)),
    ("LOSS %", Cell::Number("inbound_loss_percent", 1)),
    ("ID", Cell::Text("id")),
];

/// How a cell of the table is written.
#[derive(Clone, Copy)]
enum Cell {
    Text(&'static str),
    Time(&'static str),
    Address(&'static str),
    Talk(&'static str),
    Protected(&'static str),
    Number(&'static str, usize),
}

pub(super) fn run(verb: &HistoryArguments, db: Option<PathBuf>, json: bool) -> Exit {
    let query = Query {
        direction: verb.direction,
        status: verb.status,
        number: verb.number.clone(),
        account: verb.account.clone(),
        limit: Some(verb.limit),
    };
    let format = match (json, verb.csv) {
        (true, _) => Format::Json,
        (false, true) => Format::Csv,
        (false, false) => Format::Table,
    };
    let records = match read(&db.unwrap_or_else(store::default_path), &query) {
        Ok(records) => records,
        Err(error) => return fail(Exit::Failed, &error),
    };
    match print(&records, format, &TimeZone::system(), &mut io::stdout().lock()) {
        // Whoever reads has read enough: `sidetone history | head`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(Exit::Failed, &error),
        _ => Exit::Ok,
    }
}

/// The calls that `query` asks for, newest first; none if there is no database at `path` yet. Calls of dead processes
/// are closed first, where the database can be written.
///
/// # Errors
/// [`StoreError`] if the database cannot be read.
pub fn read(path: &Path, query: &Query) -> Result<Vec<Record>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    if let Err(error) = store::close_interrupted(path) {
        tracing::debug!(%error, "calls of dead processes stay as they are");
    }
    Reader::open(path)?.history(query)
}

/// Prints `records`; the times of the table are those of `zone`, all others UTC.
///
/// # Errors
/// Those of `out`.
pub fn print(records: &[Record], format: Format, zone: &TimeZone, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Table => table(records, zone, out),
        Format::Csv => csv(records, out),
        Format::Json => {
            for record in records {
                serde_json::to_writer(&mut *out, record)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        }
    }
}

fn json(record: &Record) -> io::Result<Value> {
    Ok(serde_json::to_value(record)?)
}

/// The value of a column; null if it is not known.
fn member<'a>(record: &'a Value, column: &str) -> &'a Value {
    let quality = |side: &str, name: &str| record.pointer(&format!("/quality/{side}/{name}"));
    let found = match column.split_once('_') {
        Some((side @ ("inbound" | "outbound"), name)) => quality(side, name),
        _ => record.get(column),
    };
    found.unwrap_or(&Value::Null)
}

/// A value as bare text; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv(records: &[Record], out: &mut impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for record in records {
        let record = json(record)?;
        writer.write_record(COLUMNS.iter().map(|column| cell_of_spreadsheet(member(&record, column))))?;
    }
    writer.flush()
}

/// A peer chooses its words; a spreadsheet must not take them for a formula. Numbers, also those to dial, stay as they
/// are.
fn cell_of_spreadsheet(value: &Value) -> String {
    let text = text(value);
    let to_dial = text.chars().skip(1).all(|c| c.is_ascii_digit());
    if value.is_string() && text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !to_dial {
        return format!("'{text}");
    }
    text
}

fn table(records: &[Record], zone: &TimeZone, out: &mut impl Write) -> io::Result<()> {
    if records.is_empty() {
        return writeln!(out, "no calls");
    }
    let mut rows = vec![TABLE.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    for record in records {
        let record = json(record)?;
        rows.push(TABLE.iter().map(|(_, cell)| cell.of(&record, zone)).collect());
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..TABLE.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), (_, kind)) in row.iter().zip(&widths).zip(TABLE) {
            line += &if kind.is_number() { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Cell {
    fn is_number(self) -> bool {
        matches!(self, Cell::Talk(_) | Cell::Number(..))
    }

    fn of(self, record: &Value, zone: &TimeZone) -> String {
        let shown = match self {
            Cell::Text(column) => text(member(record, column)),
            Cell::Time(column) => {
                let at = text(member(record, column)).parse::<Timestamp>();
                at.map_or_else(|_| String::new(), |at| at.to_zoned(zone.clone()).strftime("%F %T").to_string())
            }
            Cell::Address(column) => {
                let address = text(member(record, column));
                address.strip_prefix("sip:").map(str::to_owned).unwrap_or(address)
            }
            Cell::Talk(column) => member(record, column).as_f64().map(duration).unwrap_or_default(),
            // Without a codec there was no media to protect.
            Cell::Protected(_) if member(record, "codec").is_null() => String::new(),
            Cell::Protected(column) => if member(record, column).is_null() { "no" } else { "yes" }.into(),
            Cell::Number(column, digits) => {
                member(record, column).as_f64().map(|number| format!("{number:.digits$}")).unwrap_or_default()
            }
        };
        if shown.is_empty() { "-".into() } else { harmless(&shown) }
    }
}

/// `m:ss`, or `h:mm:ss`.
fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What a peer wrote, without what a terminal would obey or turn around.
fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Status;
    use crate::store::fixture::{fresh, record};

    fn printed(records: &[Record], format: Format) -> String {
        let mut out = Vec::new();
        print(records, format, &TimeZone::fixed(jiff::tz::offset(1)), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_is_for_people() {
        let hostile = Record { to: "sip:\u{1b}[2Jx@h".into(), ..fresh("short") };
        let long = Record { talk_seconds: Some(3_723.9), ..record() };
        let calls = [record(), hostile, long];
        let expected = "\
STARTED              DIRECTION  STATUS       CODE  FROM                        TO                                TALK  CODEC  SRTP  MOS IN  MOS OUT  LOSS %  ID
2026-01-02 04:04:05  outbound   completed    200   +15550100001@trunk.example  +1-555-010-0002@trunk.example     1:00  opus   yes     4.21     4.35     1.0  01900000-0000-7000-8000-000000000001
2026-01-02 04:04:05  outbound   in-progress  -     +15550100001@trunk.example  \u{fffd}[2Jx@h                              -  -      -          -        -       -  short
2026-01-02 04:04:05  outbound   completed    200   +15550100001@trunk.example  +1-555-010-0002@trunk.example  1:02:03  opus   yes     4.21     4.35     1.0  01900000-0000-7000-8000-000000000001
";
        assert_eq!(printed(&calls, Format::Table), expected);
        assert_eq!(printed(&[], Format::Table), "no calls\n");
    }

    #[test]
    fn json_is_the_record() {
        let calls = [record(), fresh("a")];
        let text = printed(&calls, Format::Json);
        let read: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, calls);
        assert_eq!(printed(&[], Format::Json), "");
    }

    #[cfg(unix)]
    #[test]
    fn a_recording_whose_name_is_not_unicode_costs_no_record() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::ffi::OsString::from_vec(b"/tmp/caf\xe9.wav".to_vec());
        let text = printed(&[Record { recording: Some(path.into()), ..record() }], Format::Json);
        let read: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(read, Record { recording: Some("/tmp/caf\u{fffd}.wav".into()), ..record() });
    }

    #[test]
    fn csv_has_every_field() {
        let hostile = Record { sip_reason: Some("=HYPERLINK(\"x\")".into()), ..fresh("a") };
        let text = printed(&[record(), hostile], Format::Csv);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let cell = |row: usize, column: &str| {
            let at = columns.iter().position(|name| name == column).unwrap();
            rows[row].get(at).unwrap().to_owned()
        };
        assert_eq!(cell(0, "number"), "+15550100001");
        assert_eq!(cell(0, "sip_reason"), "OK, \"très bien\"");
        assert_eq!(cell(0, "inbound_loss_percent"), "1.0227647641042559");
        assert_eq!(cell(0, "outbound_lost"), "-3");
        assert_eq!(cell(0, "created_at"), "2026-01-02T03:04:05.000000001Z");
        assert_eq!(cell(1, "inbound_mos"), "");
        assert_eq!(cell(1, "sip_reason"), "'=HYPERLINK(\"x\")");
        // Whatever the record says in JSON is a column.
        let whole = json(&record()).unwrap();
        let quality = |side: &str| whole["quality"][side].as_object().unwrap().len();
        assert_eq!(columns.len(), whole.as_object().unwrap().len() - 1 + quality("inbound") + quality("outbound"));
        assert!(COLUMNS.iter().all(|column| !member(&whole, column).is_null()));
    }

    #[test]
    fn reading_closes_what_a_dead_process_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.db");
        assert_eq!(read(&path, &Query::default()).unwrap(), []);
        assert!(!path.exists(), "looking makes nothing");
        let store = store::Store::open(&path, store::Options::default()).unwrap();
        store.started(&fresh("a"));
        store.close(std::time::Duration::from_secs(20)).unwrap();
        assert_eq!(read(&path, &Query::default()).unwrap()[0].status, Status::Interrupted);
    }
}
