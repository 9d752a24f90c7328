//! The flight recorder: what it keeps, for how many calls, and who else gets the messages.

use super::ConfigError;
use super::draft::Over;
use super::process::host_and_port;
use super::reader::Reader;
use crate::trace::{Collector, Limits, Options, directory_of};
use std::net::ToSocketAddrs;
use std::path::Path;

/// Where collectors listen (Homer's default).
const HEP: u16 = 9060;

/// What the flight recorder does.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Flight recorder")]
pub struct TraceFlags {
    /// Records nothing for `sidetone trace`
    #[arg(long, conflicts_with_all = ["trace_secrets", "trace_keep", "trace_entries", "trace_octets"])]
    no_trace: bool,
    /// Records credentials and media keys too; otherwise they never leave the process
    #[arg(long)]
    trace_secrets: bool,
    /// Traces of calls that are kept on disk, 500 when absent
    #[arg(long, value_name = "N")]
    trace_keep: Option<u32>,
    /// Messages and media notes kept of one call, 512 when absent
    #[arg(long, value_name = "N")]
    trace_entries: Option<u32>,
    /// Octets kept of one call, 262144 when absent
    #[arg(long, value_name = "OCTETS")]
    trace_octets: Option<u32>,
    /// Sends every SIP message to this collector by HEP3 over UDP
    #[arg(long, value_name = "HOST[:PORT]")]
    hep: Option<String>,
    /// Our capture agent id towards the collector, 1 when absent
    #[arg(long, value_name = "ID")]
    hep_id: Option<u32>,
    /// The collector's password, if it wants one
    #[arg(long, value_name = "KEY", env = "SIDETONE_HEP_KEY", hide_env_values = true)]
    hep_key: Option<String>,
}

impl TraceFlags {
    /// What they lay over `[phone]`.
    pub fn over(&self) -> Vec<Over> {
        let number = |number: Option<u32>| number.map(i64::from);
        vec![
            Over::new("trace", "--no-trace", self.no_trace.then_some(false)),
            Over::new("trace_secrets", "--trace-secrets", self.trace_secrets.then_some(true)),
            Over::new("trace_keep", "--trace-keep", number(self.trace_keep)),
            Over::new("trace_entries", "--trace-entries", number(self.trace_entries)),
            Over::new("trace_octets", "--trace-octets", number(self.trace_octets)),
            Over::new("hep", "--hep", self.hep.clone()),
            Over::new("hep_id", "--hep-id", number(self.hep_id)),
            Over::new("hep_key", "--hep-key", self.hep_key.clone()),
        ]
    }
}

/// What the configuration says of the flight recorder.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    on: bool,
    secrets: bool,
    limits: Limits,
    hep: Option<(String, u16)>,
    id: u32,
    key: Option<String>,
}

impl Recording {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let usual = Limits::default();
        let whole = |key, least, example| {
            let read = reader.noted(reader.whole(key, least..=u32::MAX, example));
            read.and_then(|number| usize::try_from(number).ok())
        };
        let hep = reader.noted(reader.word("hep")).and_then(|text| {
            let why = "give the address of a HEP3 collector as host or host:port";
            reader.noted(host_and_port(&text, HEP).map(Some).ok_or_else(|| reader.wrong("hep", why)))
        });
        Self {
            on: reader.noted(reader.flag("trace")).unwrap_or(true),
            secrets: reader.noted(reader.flag("trace_secrets")).unwrap_or(false),
            limits: Limits {
                entries: whole("trace_entries", 1, "512").unwrap_or(usual.entries),
                octets: whole("trace_octets", 1, "262144").unwrap_or(usual.octets),
                kept: whole("trace_keep", 0, "500").unwrap_or(usual.kept),
                ..usual
            },
            hep,
            id: reader.noted(reader.whole("hep_id", 0..=u32::MAX, "1")).unwrap_or(1),
            key: reader.noted(reader.word("hep_key")),
        }
    }

    /// The options, for a phone with this call log.
    ///
    /// # Errors
    /// When the collector has no address.
    pub(super) fn options(&self, database: &Path) -> Result<Options, ConfigError> {
        let collector = |(host, port): &(String, u16)| {
            let failed = |reason: String| ConfigError::Collector { name: format!("{host}:{port}"), reason };
            let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| failed(error.to_string()))?.next();
            let address = found.ok_or_else(|| failed("it has no address".into()))?;
            Ok::<_, ConfigError>(Collector { address, id: self.id, key: self.key.clone() })
        };
        Ok(Options {
            directory: self.on.then(|| directory_of(database)),
            secrets: self.secrets,
            limits: self.limits,
            hep: self.hep.as_ref().map(collector).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Draft, Environment};

    fn options(text: &str, flags: &TraceFlags) -> Result<Options, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, format!("[phone]\n{text}")).unwrap();
        let environment = Environment::from([("SIDETONE__PHONE__TRACE_KEEP", "7")]);
        let mut draft = Draft::gather(Some(&path), &environment)?;
        draft.over(flags.over())?;
        draft.process()?.recorder(Some(Path::new("/data/calls.db")))
    }

    #[test]
    fn recording_is_on_beside_the_call_log_unless_told_otherwise() {
        let on = options("", &TraceFlags::default()).unwrap();
        assert_eq!((on.directory.as_deref(), on.secrets), (Some(Path::new("/data/calls.traces")), false));
        assert_eq!(on.limits.kept, 7, "the environment");
        assert_eq!(options("trace = false\n", &TraceFlags::default()).unwrap().directory, None);
        let off = TraceFlags { no_trace: true, ..TraceFlags::default() };
        assert_eq!(options("trace = true\n", &off).unwrap().directory, None, "a flag over the file");
        let all = "trace_keep = 3\ntrace_entries = 10\ntrace_octets = 9000\ntrace_secrets = true\n";
        let flags = TraceFlags { trace_entries: Some(20), ..TraceFlags::default() };
        let read = options(all, &flags).unwrap();
        assert_eq!((read.limits.kept, read.limits.entries, read.limits.octets, read.secrets), (7, 20, 9_000, true));
    }

    #[test]
    fn a_collector_has_the_usual_port_unless_it_says_another() {
        let rows = [
            ("127.0.0.1", "127.0.0.1:9060"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]", "[::1]:9060"),
            ("[::1]:9", "[::1]:9"),
        ];
        for (name, address) in rows {
            let text = format!("hep = \"{name}\"\nhep_id = 5\nhep_key = \"k\"\n");
            let hep = options(&text, &TraceFlags::default()).unwrap().hep.unwrap();
            assert_eq!((hep.address.to_string().as_str(), hep.id, hep.key.as_deref()), (address, 5, Some("k")));
        }
        let flags = TraceFlags { hep: Some("nowhere.invalid".into()), ..TraceFlags::default() };
        let error = options("", &flags).unwrap_err().to_string();
        assert!(error.contains("nowhere.invalid") && error.contains("host:port"), "{error}");
        let error = options("hep = \"a b\"\n", &TraceFlags::default()).unwrap_err().to_string();
        assert!(error.contains(":2: phone.hep = \"a b\"") && error.contains("host:port"), "{error}");
    }
}
