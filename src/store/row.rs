//! A record as a row of the table `call`, and back.

use super::query::phone_digits;
use crate::call::record::{Record, Status};
use jiff::Timestamp;
use rusqlite::types::{FromSqlError, Type, Value};
use rusqlite::{Connection, Row, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Every column of the table `call`.
const COLUMNS: &[&str] = &[
    "id",
    "direction",
    "status",
    "from_uri",
    "to_uri",
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
    "quality",
    "metadata",
    "inbound_mos",
    "inbound_loss_percent",
    "inbound_discard_percent",
    "inbound_jitter_ms",
    "outbound_mos",
    "outbound_loss_percent",
    "round_trip_ms",
    "from_digits",
    "to_digits",
    "number_digits",
    "process",
];

/// The row of an ended call is only changed by another end (that of a call which was closed as interrupted while its
/// process still lived); a late "still in progress" never reopens it.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    let changes: Vec<_> = COLUMNS.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO call ({}) VALUES (:{}) ON CONFLICT (id) DO UPDATE SET {} \
         WHERE call.status = 'in-progress' OR excluded.status <> 'in-progress'",
        COLUMNS.join(", "),
        COLUMNS.join(", :"),
        changes.join(", ")
    )
});

/// Writes the row of `record`, new or changed. `process` is the one that holds the call.
pub(super) fn write(connection: &Connection, record: &Record, process: Option<&str>) -> rusqlite::Result<()> {
    let quality = &record.quality;
    connection.prepare_cached(&WRITE)?.execute(named_params! {
        ":id": record.id,
        ":direction": word(&record.direction)?,
        ":status": word(&record.status)?,
        ":from_uri": record.from,
        ":to_uri": record.to,
        ":number": record.number,
        ":account": record.account,
        ":sip_code": record.sip_code,
        ":sip_reason": record.sip_reason,
        ":ended_by": record.ended_by.as_ref().map(word).transpose()?,
        ":created_at": time(record.created_at),
        ":ringing_at": record.ringing_at.map(time),
        ":answered_at": record.answered_at.map(time),
        ":ended_at": record.ended_at.map(time),
        ":talk_seconds": record.talk_seconds,
        ":codec": record.codec,
        ":ptime_ms": record.ptime_ms,
        ":transport": record.transport,
        ":srtp": record.srtp,
        ":recording": record.recording.as_deref().map(path_value),
        ":dtmf_received": record.dtmf_received,
        ":quality": json(quality)?,
        ":metadata": json(&record.metadata)?,
        ":inbound_mos": quality.inbound.mos,
        ":inbound_loss_percent": quality.inbound.loss_percent,
        ":inbound_discard_percent": quality.inbound.discard_percent,
        ":inbound_jitter_ms": quality.inbound.jitter_ms,
        ":outbound_mos": quality.outbound.mos,
        ":outbound_loss_percent": quality.outbound.loss_percent,
        ":round_trip_ms": quality.outbound.round_trip_ms,
        ":from_digits": phone_digits(user_of(&record.from)),
        ":to_digits": phone_digits(user_of(&record.to)),
        ":number_digits": record.number.as_deref().and_then(phone_digits),
        ":process": process,
    })?;
    Ok(())
}

/// Reads a row of `SELECT * FROM call`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        id: row.get("id")?,
        direction: from_word(row, "direction")?,
        status: from_word(row, "status")?,
        from: row.get("from_uri")?,
        to: row.get("to_uri")?,
        number: row.get("number")?,
        account: row.get("account")?,
        sip_code: row.get("sip_code")?,
        sip_reason: row.get("sip_reason")?,
        ended_by: match row.get::<_, Option<String>>("ended_by")? {
            Some(_) => Some(from_word(row, "ended_by")?),
            None => None,
        },
        created_at: from_time(row, "created_at")?.unwrap_or_default(),
        ringing_at: from_time(row, "ringing_at")?,
        answered_at: from_time(row, "answered_at")?,
        ended_at: from_time(row, "ended_at")?,
        talk_seconds: row.get("talk_seconds")?,
        codec: row.get("codec")?,
        ptime_ms: row.get("ptime_ms")?,
        transport: row.get("transport")?,
        srtp: row.get("srtp")?,
        recording: from_path(row.get("recording")?),
        dtmf_received: row.get("dtmf_received")?,
        quality: from_json(row, "quality")?,
        metadata: from_json(row, "metadata")?,
    })
}

/// Closes `record`, whose process died, as interrupted; `seen` is the last sign of life of that process.
pub(super) fn interrupt(record: &mut Record, seen: Option<Timestamp>) {
    let last = [seen, record.answered_at, record.ringing_at, Some(record.created_at)].into_iter().flatten().max();
    record.status = Status::Interrupted;
    record.ended_at = last;
    record.talk_seconds =
        record.answered_at.zip(last).map(|(answered, last)| last.duration_since(answered).as_secs_f64().max(0.0));
}

/// RFC 3339 of one width, so that times sort as text.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// The user part of a SIP or tel URI; the whole text of anything else.
fn user_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.rsplit_once('@').map_or(rest, |(user, _)| user.split([';', ':']).next().unwrap_or(user))
}

fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::Text(text.into()),
        None => Value::Blob(path.as_os_str().as_encoded_bytes().to_vec()),
    }
}

fn from_path(value: Value) -> Option<PathBuf> {
    match value {
        Value::Text(text) => Some(text.into()),
        #[cfg(unix)]
        Value::Blob(bytes) => {
            Some(std::os::unix::ffi::OsStringExt::from_vec(bytes)).map(|path: std::ffi::OsString| path.into())
        }
        #[cfg(not(unix))]
        Value::Blob(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned().into()),
        _ => None,
    }
}

/// The word by which serde writes a value of an enum; the same as in JSON.
pub(super) fn word(value: &impl Serialize) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(rusqlite::Error::ToSqlConversionFailure(format!("{other} is no word").into())),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(error.into())),
    }
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_value(serde_json::Value::String(row.get(column)?)).map_err(|error| unreadable(column, error))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| unreadable(column, error))
}

fn from_time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error: jiff::Error| unreadable(column, error))).transpose()
}

fn unreadable(column: &str, error: impl std::error::Error) -> rusqlite::Error {
    let error = FromSqlError::Other(format!("column {column}: {error}").into());
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::fresh;

    #[test]
    fn times_sort_as_text() {
        let times = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.25Z"];
        let texts: Vec<_> = times.iter().map(|text| time(text.parse().unwrap())).collect();
        assert_eq!(texts.first().unwrap(), "2026-01-02T03:04:05.000000000Z");
        assert!(texts.is_sorted());
    }

    #[test]
    fn users_of_addresses() {
        assert_eq!(user_of("sip:+1555;phone-context=x@h:5060"), "+1555");
        assert_eq!(user_of("sip:ann:secret@h"), "ann");
        assert_eq!(user_of("tel:+15550100"), "+15550100");
        assert_eq!(user_of("sip:host"), "host");
    }

    #[test]
    fn an_interrupted_call_ends_at_the_last_sign_of_life() {
        let answered: Timestamp = "2026-01-02T03:04:07.5Z".parse().unwrap();
        let mut call = Record { answered_at: Some(answered), ..fresh("a") };
        interrupt(&mut call, Some("2026-01-02T03:04:17.5Z".parse().unwrap()));
        assert_eq!((call.status, call.talk_seconds), (Status::Interrupted, Some(10.0)));
        let mut unanswered = fresh("b");
        interrupt(&mut unanswered, None);
        assert_eq!((unanswered.ended_at, unanswered.talk_seconds), (Some(unanswered.created_at), None));
    }
}
