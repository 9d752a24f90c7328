//! What a record keeps of the header fields of the far end, and of recordings.

use super::life::Call;
use crate::sip::header::{Headers, Name};
use crate::sip::identity::Caller;
use crate::sip::name_addr::NameAddr;
use crate::sip::reason::Reason;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Own fields (`X-...`) of a peer that are kept.
const OWN_FIELDS: usize = 32;

/// Recordings of one call that are kept with their details.
const RECORDINGS: usize = 64;

/// Octets of a value that are kept; the longest that is usual, a signed identity, has about 1000.
const LENGTH: usize = 4096;

impl Call {
    /// Keeps who calls.
    pub(super) fn note_caller(&mut self, caller: &Caller) {
        if let Some(display) = &caller.display {
            self.record.metadata.insert("display_name".into(), display.as_str().into());
        }
        if caller.anonymous {
            self.record.metadata.insert("anonymous".into(), true.into());
        }
    }

    /// Keeps fields that mean something to whoever reads the record: `X-...` under `headers`, the signed identity of the
    /// caller (RFC 8224), the verdict of the carrier about it, and the numbers that the call was diverted from.
    pub(super) fn note_fields(&mut self, headers: &Headers) {
        let metadata = &mut self.record.metadata;
        for header in headers {
            let Name::Other(name) = &header.name else { continue };
            if !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) {
                continue;
            }
            let own = metadata.entry("headers").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(own) = own
                && (own.len() < OWN_FIELDS || own.contains_key(name))
            {
                own.insert(name.clone(), cut(header.value.as_str()));
            }
        }
        if let Some(identity) = headers.get(&Name::Identity) {
            metadata.insert("identity".into(), cut(identity));
        }
        let asserted = headers.get(&Name::AssertedIdentity).and_then(|value| value.parse::<NameAddr>().ok());
        if let Some(asserted) = asserted {
            // Beside the address or inside of it: carriers write both.
            let inside = || asserted.uri.sip().and_then(|uri| uri.params.get("verstat"));
            if let Some(verdict) = asserted.params.get("verstat").or_else(inside) {
                metadata.insert("verstat".into(), cut(verdict));
            }
        }
        for (name, key) in [(Name::Diversion, "diversion"), (Name::HistoryInfo, "history_info")] {
            let values: Vec<Value> = headers.all(&name).take(OWN_FIELDS).map(cut).collect();
            if !values.is_empty() {
                metadata.insert(key.into(), values.into());
            }
        }
    }

    /// Keeps a recording that is complete: the last one in the record, all of them in `recordings`.
    pub(super) fn note_recording(&mut self, path: PathBuf, details: Value) {
        self.record.recording = Some(path);
        let all = self.record.metadata.entry("recordings").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(all) = all
            && all.len() < RECORDINGS
        {
            all.push(details);
        }
    }

    /// Keeps why the far end ended the call: the Reason as sent, and the cause of the telephone network with what it means.
    pub(super) fn note_cause(&mut self, headers: &Headers) {
        let metadata = &mut self.record.metadata;
        let reasons = Reason::all(headers);
        let cause = reasons.iter().find_map(Reason::q850);
        if let Some(cause) = cause {
            metadata.insert("cause".into(), cause.code().into());
        }
        // What SIP says is nearer to the far end than what a gateway made of it.
        let told = reasons.iter().find(|reason| reason.q850().is_none()).or_else(|| reasons.first());
        if let Some(sentence) = told.and_then(Reason::sentence) {
            metadata.insert("cause_text".into(), cut(&sentence));
        }
    }
}

/// Text of bounded length.
fn cut(text: &str) -> Value {
    let mut end = text.len().min(LENGTH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}
