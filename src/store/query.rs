//! Reading calls.

use super::{StoreError, connection, row};
use crate::call::record::{CallDirection, Record, Status};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::path::{Path, PathBuf};

/// Which calls; every condition that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only calls of this direction.
    pub direction: Option<CallDirection>,
    /// Only calls with this status.
    pub status: Option<Status>,
    /// Only calls whose caller, called address or own number contains this. Telephone numbers are compared by their
    /// digits (`+1 (555) 010-0001` finds `sip:15550100001@host`, so does `0100001`), anything else as text without
    /// case.
    pub number: Option<String>,
    /// Only calls of the account with this address of record (`sip:` may be left out).
    pub account: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

impl Query {
    /// The statement and its values.
    fn statement(&self) -> rusqlite::Result<(String, Vec<Value>)> {
        let mut values: Vec<Value> = Vec::new();
        let mut conditions = Vec::new();
        if let Some(direction) = &self.direction {
            values.push(row::word(direction)?.into());
            conditions.push(format!("direction = ?{}", values.len()));
        }
        if let Some(status) = &self.status {
            values.push(row::word(status)?.into());
            conditions.push(format!("status = ?{}", values.len()));
        }
        if let Some(account) = &self.account {
            values.push(account.clone().into());
            conditions.push(format!("lower(account) IN (lower(?{n}), 'sip:' || lower(?{n}))", n = values.len()));
        }
        if let Some(number) = self.number.as_deref().map(str::trim).filter(|number| !number.is_empty()) {
            let digits = phone_digits(number);
            let mut matches = Vec::new();
            // A plain number is not looked for in hosts and ports.
            if digits.is_none() || number.contains('.') {
                values.push(number.to_owned().into());
                let n = values.len();
                let text = ["from_uri", "to_uri", "number"];
                matches.extend(text.map(|column| format!("instr(lower({column}), lower(?{n})) > 0")));
            }
            if let Some(digits) = digits {
                // 00 is the international prefix that + stands for (ITU-T E.123).
                values.push(digits.strip_prefix("00").unwrap_or(&digits).to_owned().into());
                let n = values.len();
                let columns = ["from_digits", "to_digits", "number_digits"];
                matches.extend(columns.map(|column| format!("instr({column}, ?{n}) > 0")));
            }
            conditions.push(format!("({})", matches.join(" OR ")));
        }
        let mut sql = "SELECT * FROM call".to_owned();
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        sql.push_str(" ORDER BY created_at DESC, id DESC");
        if let Some(limit) = self.limit {
            values.push(Value::Integer(limit.into()));
            sql.push_str(&format!(" LIMIT ?{}", values.len()));
        }
        Ok((sql, values))
    }
}

/// The digits of what people write as a telephone number; `None` if it is something else.
pub(super) fn phone_digits(text: &str) -> Option<String> {
    let number = |c: char| c.is_ascii_digit() || " +-.()/*#".contains(c);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (text.chars().all(number) && !digits.is_empty()).then_some(digits)
}

/// A read-only view of the calls on disk; any number of them work beside the writer.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the database at `path` for reading; it must exist.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it does not exist, [`StoreError::Database`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: connection::read(path)?, path: path.into() })
    }

    /// The calls that `query` asks for, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read.
    pub fn history(&self, query: &Query) -> Result<Vec<Record>, StoreError> {
        self.select(query).map_err(|source| StoreError::Database { path: self.path.clone(), source })
    }

    /// The call with this `id`.
    ///
    /// # Errors
    /// [`StoreError::Database`] if the database cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Record>, StoreError> {
        self.connection
            .prepare_cached("SELECT * FROM call WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id], row::read).optional())
            .map_err(|source| StoreError::Database { path: self.path.clone(), source })
    }

    fn select(&self, query: &Query) -> rusqlite::Result<Vec<Record>> {
        let (sql, values) = query.statement()?;
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_map(params_from_iter(values), row::read)?.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_what_people_write() {
        assert_eq!(phone_digits("+1 (555) 010-0001").as_deref(), Some("15550100001"));
        assert_eq!(phone_digits("100").as_deref(), Some("100"));
        assert_eq!(phone_digits("*"), None);
        assert_eq!(phone_digits("ann2"), None);
        assert_eq!(phone_digits(""), None);
    }
}
