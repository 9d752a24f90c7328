//! What can be said about the flight recorder when a phone starts.

use crate::store;
use crate::trace::{Collector, Limits, Options, directory_of};
use std::net::ToSocketAddrs;
use std::path::Path;

/// What the flight recorder does.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Flight recorder")]
pub(in crate::cli) struct TraceFlags {
    /// Records nothing for `sidetone trace`
    #[arg(long, conflicts_with_all = ["trace_secrets", "trace_keep", "trace_entries", "trace_octets"])]
    no_trace: bool,
    /// Records credentials and media keys too; otherwise they never leave the process
    #[arg(long)]
    trace_secrets: bool,
    /// Traces of calls that are kept on disk, 500 when absent
    #[arg(long, value_name = "N")]
    trace_keep: Option<usize>,
    /// Messages and media notes kept of one call, 512 when absent
    #[arg(long, value_name = "N")]
    trace_entries: Option<usize>,
    /// Octets kept of one call, 262144 when absent
    #[arg(long, value_name = "OCTETS")]
    trace_octets: Option<usize>,
    /// Sends every SIP message to this collector by HEP3 over UDP
    #[arg(long, value_name = "HOST[:PORT]")]
    hep: Option<String>,
    /// Our capture agent id towards the collector
    #[arg(long, value_name = "ID", requires = "hep", default_value_t = 1)]
    hep_id: u32,
    /// The collector's password, if it wants one
    #[arg(long, value_name = "KEY", requires = "hep", env = "SIDETONE_HEP_KEY", hide_env_values = true)]
    hep_key: Option<String>,
}

/// The collector that was named has no address.
#[derive(Debug, thiserror::Error)]
#[error("--hep {name}: {reason}; give the address of a HEP3 collector as host or host:port")]
pub(in crate::cli) struct NoCollector {
    name: String,
    reason: String,
}

/// Where collectors listen (Homer's default).
const HEP: u16 = 9060;

impl TraceFlags {
    /// The options, for a phone with this call log.
    ///
    /// # Errors
    /// When the collector has no address.
    pub(in crate::cli) fn options(&self, database: Option<&Path>) -> Result<Options, NoCollector> {
        let database = database.map_or_else(store::default_path, Path::to_owned);
        let usual = Limits::default();
        Ok(Options {
            directory: (!self.no_trace).then(|| directory_of(&database)),
            secrets: self.trace_secrets,
            limits: Limits {
                entries: self.trace_entries.unwrap_or(usual.entries),
                octets: self.trace_octets.unwrap_or(usual.octets),
                kept: self.trace_keep.unwrap_or(usual.kept),
                ..usual
            },
            hep: self.hep.as_deref().map(|name| self.collector(name)).transpose()?,
        })
    }

    fn collector(&self, name: &str) -> Result<Collector, NoCollector> {
        let failed = |reason: String| NoCollector { name: name.into(), reason };
        let with_port = name.to_socket_addrs();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let found = with_port.or_else(|_| (bare, HEP).to_socket_addrs());
        let address = found.map_err(|error| failed(error.to_string()))?.next();
        let address = address.ok_or_else(|| failed("it has no address".into()))?;
        Ok(Collector { address, id: self.hep_id, key: self.hep_key.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_the_usual_port_unless_it_says_another() {
        let flags = TraceFlags { hep_id: 7, ..TraceFlags::default() };
        let rows = [
            ("127.0.0.1", "127.0.0.1:9060"),
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::1]", "[::1]:9060"),
            ("[::1]:9", "[::1]:9"),
        ];
        for (name, address) in rows {
            assert_eq!(flags.collector(name).unwrap().address.to_string(), address);
        }
        let error = flags.collector("nowhere.invalid").unwrap_err().to_string();
        assert!(error.contains("nowhere.invalid") && error.contains("host:port"), "{error}");
    }

    #[test]
    fn recording_is_on_beside_the_call_log_unless_told_otherwise() {
        let path = Path::new("/data/calls.db");
        let on = TraceFlags::default().options(Some(path)).unwrap();
        assert_eq!((on.directory.as_deref(), on.secrets), (Some(Path::new("/data/calls.traces")), false));
        let off = TraceFlags { no_trace: true, ..TraceFlags::default() }.options(Some(path)).unwrap();
        assert_eq!(off.directory, None);
    }
}
