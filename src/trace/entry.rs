//! What is recorded, in memory and as a file.

use crate::sip::hop::{Hop, Transport};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// Everything that was recorded of one call or registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Whose, and how it ended.
    pub head: Head,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

/// Whose recording it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A call, by the id of its record.
    Call(String),
    /// The registration of this address of record.
    Registration(String),
    /// What belongs to no call and no registration: OPTIONS, MESSAGE, NOTIFY, strangers that were refused.
    Outside,
}

impl Subject {
    /// What `sidetone trace` calls it.
    pub fn name(&self) -> String {
        match self {
            Subject::Call(id) => id.clone(),
            Subject::Registration(aor) => format!("registration:{aor}"),
            Subject::Outside => OUTSIDE.to_owned(),
        }
    }
}

/// What [`Subject::Outside`] is called.
pub(super) const OUTSIDE: &str = "outside";

/// The form of the files that are written.
pub(super) const VERSION: u32 = 1;

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the file's form.
    pub version: u32,
    /// Whose recording it is.
    pub subject: Subject,
    /// `inbound` or `outbound`, of a call.
    pub direction: Option<String>,
    /// The caller, or the address of record.
    pub from: String,
    /// The called address, or the registrar as far as it is known.
    pub to: String,
    /// How it stands or ended, in a few words.
    pub outcome: String,
    /// Why it was refused, in a sentence.
    pub explanation: Option<String>,
    /// When the first entry was made, UTC.
    pub began: Option<Timestamp>,
    /// When the last one was made.
    pub until: Option<Timestamp>,
    /// Messages that follow.
    pub messages: u64,
    /// Notes of the media that follow.
    pub notes: u64,
    /// Credentials and media keys are in it.
    pub secrets: bool,
    /// What did not fit.
    pub dropped: Dropped,
}

/// What a bounded recording left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Messages.
    pub messages: u64,
    /// Notes of the media.
    pub notes: u64,
    /// Octets of both.
    pub octets: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, UTC.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A SIP message went by.
    Message(Sighting),
    /// The media changed or told something.
    Media(Note),
}

/// A SIP message on the wire, decrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// We sent it.
    pub sent: bool,
    /// How.
    #[serde(with = "by_name")]
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
    /// The exact octets.
    #[serde(with = "octets")]
    pub bytes: Bytes,
}

/// What the media of a call did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// `ports`, `started`, `changed`, `first-packet`, `remote-learned`, `dtmf`, `dtmf-sent`, `rtcp-sent`, `rtcp-received`,
    /// `remote-bye`, `trouble`, `failed` or `stopped`.
    pub topic: String,
    /// For humans.
    pub text: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// The RTCP packet that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<Datagram>,
}

/// An RTCP packet, decrypted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datagram {
    /// We sent it.
    pub sent: bool,
    /// Our address.
    pub local: SocketAddr,
    /// The far end's.
    pub remote: SocketAddr,
    /// The octets.
    #[serde(with = "octets")]
    pub bytes: Bytes,
}

impl Datagram {
    /// Where it came from and where it went.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        if self.sent { (self.local, self.remote) } else { (self.remote, self.local) }
    }
}

impl Note {
    /// A note; `fields` is a JSON object.
    pub fn new(topic: &str, text: impl Into<String>, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { topic: topic.into(), text: text.into(), fields, packet: None }
    }

    /// The same with the packet that it is about.
    pub fn with_packet(self, packet: Datagram) -> Self {
        Self { packet: Some(packet), ..self }
    }

    /// A field as text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }
}

impl Entry {
    /// What it costs to keep it, octets.
    pub(super) fn octets(&self) -> usize {
        // The entry itself and its place in the ring.
        const PLACE: usize = 160;
        PLACE
            + match &self.what {
                What::Message(sighting) => sighting.bytes.len(),
                What::Media(note) => {
                    let packet = note.packet.as_ref().map_or(0, |packet| packet.bytes.len());
                    note.text.len() + note.fields.len() * 64 + packet
                }
            }
    }
}

impl Sighting {
    /// A message on `hop`.
    pub fn new(sent: bool, hop: &Hop, bytes: Bytes) -> Self {
        Self { sent, transport: hop.transport, local: hop.local, remote: hop.remote, bytes }
    }

    /// Where it came from and where it went.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        if self.sent { (self.local, self.remote) } else { (self.remote, self.local) }
    }
}

impl Dropped {
    pub(super) fn add(&mut self, entry: &Entry) {
        match entry.what {
            What::Message(_) => self.messages += 1,
            What::Media(_) => self.notes += 1,
        }
        self.octets += entry.octets() as u64;
    }
}

mod by_name {
    use crate::sip::hop::Transport;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(transport: &Transport, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(transport.parameter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transport, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Octets as text where they are text, else as base64.
mod octets {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Form {
        Text(String),
        Base64(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.to_owned()),
            Err(_) => Form::Base64(STANDARD.encode(bytes)),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Bytes::from(text)),
            Form::Base64(text) => STANDARD.decode(text).map(Bytes::from).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_octet_by_octet() {
        let ends = ("192.0.2.1:5060".parse().unwrap(), "[2001:db8::1]:5061".parse().unwrap());
        for bytes in [&b"OPTIONS sip:h SIP/2.0\r\n\r\n"[..], b"\xff\x00bin"] {
            let sighting = Sighting {
                sent: true,
                transport: Transport::Tcp,
                local: ends.0,
                remote: ends.1,
                bytes: Bytes::from_static(bytes),
            };
            let entry = Entry { at: "2026-01-02T03:04:05.000006Z".parse().unwrap(), what: What::Message(sighting) };
            let line = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry, "{line}");
        }
        let report =
            Datagram { sent: false, local: ends.0, remote: ends.1, bytes: Bytes::from_static(&[0x81, 200, 0, 1]) };
        let note = Note::new("rtcp-received", "SR", serde_json::json!({"ssrc": 7})).with_packet(report);
        let entry = Entry { at: Timestamp::UNIX_EPOCH, what: What::Media(note) };
        let line = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry, "{line}");
    }
}
