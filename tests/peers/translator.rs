//! The doctor behind real address translators (netfilter), with coturn on the other side; it needs root.

use crate::process::{Peer, eventually, installed};
use crate::program::{Program, furnish};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The server's two addresses.
const SERVERS: [&str; 2] = ["203.0.113.20", "203.0.113.21"];

fn ip(arguments: &str) -> bool {
    let done = Command::new("ip").args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

/// Three namespaces in a row: the phone's, the translator's, the server's.
struct Translator {
    phone: String,
    between: String,
    outside: String,
}

impl Translator {
    /// Makes it with these options of netfilter's MASQUERADE; `None`, with a sentence, where that is not allowed.
    fn make(options: &[&str]) -> Option<Self> {
        let id = format!("st{}{}", std::process::id() % 100_000, options.len());
        let made = Self { phone: format!("{id}p"), between: format!("{id}n"), outside: format!("{id}o") };
        let Self { phone, between, outside } = &made;
        if !ip(&format!("netns add {phone}")) {
            eprintln!("skipped: no network namespace can be made here; run the tests as root with iproute2 installed");
            return None;
        }
        for line in [
            format!("netns add {between}"),
            format!("netns add {outside}"),
            format!("link add sp netns {phone} type veth peer name si netns {between}"),
            format!("link add so netns {between} type veth peer name sv netns {outside}"),
            format!("-n {phone} addr add 10.9.0.2/24 dev sp"),
            format!("-n {between} addr add 10.9.0.1/24 dev si"),
            format!("-n {between} addr add 203.0.113.7/24 dev so"),
            format!("-n {outside} addr add {}/24 dev sv", SERVERS[0]),
            format!("-n {outside} addr add {}/24 dev sv", SERVERS[1]),
            format!("-n {phone} link set sp up"),
            format!("-n {between} link set si up"),
            format!("-n {between} link set so up"),
            format!("-n {outside} link set sv up"),
            format!("-n {outside} link set lo up"),
            format!("-n {phone} route add default via 10.9.0.1"),
        ] {
            assert!(ip(&line), "ip {line}");
        }
        let forward = ["sysctl", "-qw", "net.ipv4.ip_forward=1"];
        assert!(made.within(between, &forward).status().is_ok_and(|status| status.success()));
        let rule = ["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "so", "-j", "MASQUERADE"];
        let masked = made.within(between, &[&rule[..], options].concat()).status();
        if !masked.is_ok_and(|status| status.success()) {
            eprintln!("skipped: netfilter cannot be told to translate here");
            return None;
        }
        Some(made)
    }

    /// A command in one of the namespaces.
    fn within(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name]).args(arguments);
        command
    }
}

impl Drop for Translator {
    fn drop(&mut self) {
        for name in [&self.phone, &self.between, &self.outside] {
            ip(&format!("netns del {name}"));
        }
    }
}

#[test]
fn netfilter_is_told_by_its_ways() {
    if !installed("turnserver") || !installed("iptables") {
        return;
    }
    let rows: [(&[&str], &str, &str); 2] = [
        // It keeps the port, and lets nobody in who was not sent to.
        (&[], "port-restricted cone", "endpoint-independent"),
        (&["--random-fully"], "symmetric", "address-and-port-dependent"),
    ];
    for (options, kind, mapping) in rows {
        let Some(translator) = Translator::make(options) else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut command = translator.within(&translator.outside, &["turnserver", "-n", "--stun-only", "--no-tcp"]);
        command.args(["--no-tls", "--no-dtls", "--no-cli", "--log-file", "stdout", "-v"]);
        command.args(["-L", SERVERS[0], "-L", SERVERS[1], "-p", "3478", "--alt-listening-port=3479"]);
        command.arg("--pidfile").arg(directory.path().join("pid")).arg("--db").arg(directory.path().join("turndb"));
        let coturn = Peer::start("turnserver", directory.path(), &mut command);
        let config = directory.path().join("config.toml");
        let account = format!("[account.a]\naor = \"sip:a@{}\"\nregister = false\n", SERVERS[0]);
        std::fs::write(&config, account).unwrap();
        let mut found = Value::Null;
        // Until the server has come up; it serves no SIP, which is told too.
        eventually(Duration::from_secs(60), || {
            let program = [env!("CARGO_BIN_EXE_sidetone"), "doctor", "--config", config.to_str().unwrap(), "--json"];
            let mut command = translator.within(&translator.phone, &[&program[..], &["--stun", SERVERS[0]]].concat());
            furnish(&mut command, directory.path(), "");
            let outcome = Program::start(&mut command).finish(Duration::from_secs(40));
            let nat = outcome.objects().into_iter().find(|finding| finding["check"] == "nat");
            found = nat.unwrap_or_default();
            !found["details"]["translator"].is_null()
        });
        let details = &found["details"];
        assert_eq!(
            (&details["translator"], &details["mapping"]),
            (&kind.into(), &mapping.into()),
            "{found}\n{}",
            coturn.log()
        );
        assert_eq!(details["filtering"], "address-and-port-dependent", "{found}");
        assert!(found["text"].as_str().unwrap().contains("203.0.113.7:"), "{found}");
    }
}
