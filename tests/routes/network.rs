//! A network namespace with one wire to this machine; it needs root.

use std::process::{Command, Stdio};

/// A namespace `name` whose interface `phone` is joined to `wire` here, at `10.231.NUMBER.2` and `.1`.
pub struct Network {
    pub name: String,
    wire: String,
    number: u8,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let done = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Network {
    /// Makes it; `None`, with a sentence, where that is not allowed. `number` tells the tests apart.
    pub fn make(number: u8) -> Option<Self> {
        let id = format!("{}{number}", std::process::id() % 100_000);
        let network = Self { name: format!("sidetone-{id}"), wire: format!("st{id}"), number };
        let (name, wire) = (network.name.clone(), network.wire.clone());
        if !run("ip", &["netns", "add", &name]) {
            eprintln!("skipped: no network namespace can be made here; run the tests as root with iproute2 installed");
            return None;
        }
        let here = network.here();
        assert!(
            run("ip", &["link", "add", &wire, "type", "veth", "peer", "name", "phone", "netns", &name])
                && run("ip", &["addr", "add", &format!("{here}/24"), "dev", &wire])
                && run("ip", &["addr", "add", &format!("{}/32", network.far()), "dev", &wire])
                && run("ip", &["link", "set", &wire, "up"]),
            "the wire cannot be made"
        );
        network.inside(&["link", "set", "lo", "up"]);
        network.inside(&["link", "set", "phone", "up"]);
        network.take(2);
        Some(network)
    }

    /// Our end of the wire.
    pub fn here(&self) -> String {
        format!("10.231.{}.1", self.number)
    }

    /// An address of ours that only the default route leads to.
    pub fn far(&self) -> String {
        format!("10.232.{}.1", self.number)
    }

    /// An address of the phone.
    pub fn there(&self, host: u8) -> String {
        format!("10.231.{}.{host}", self.number)
    }

    /// Gives the phone an address and the default route.
    pub fn take(&self, host: u8) {
        self.inside(&["addr", "add", &format!("{}/24", self.there(host)), "dev", "phone"]);
        self.route();
    }

    /// Takes an address of the phone away.
    pub fn leave(&self, host: u8) {
        self.inside(&["addr", "del", &format!("{}/24", self.there(host)), "dev", "phone"]);
    }

    /// Gives the phone the default route.
    pub fn route(&self) {
        self.inside(&["route", "replace", "default", "via", &self.here()]);
    }

    /// Our end of the wire: up or down. The phone keeps its address and routes.
    pub fn wire(&self, state: &str) {
        assert!(run("ip", &["link", "set", &self.wire, state]), "{} {state}", self.wire);
    }

    /// Whatever leaves `from` here for the phone is lost from now on, or (`lost` false) arrives again.
    pub fn lose(&self, from: &str, lost: bool) {
        let phone = format!("{}/24", self.there(0));
        let verb = if lost { "add" } else { "del" };
        let rule = ["rule", verb, "from", from, "to", &phone, "priority", "7", "blackhole"];
        assert!(run("ip", &rule), "ip {}", rule.join(" "));
    }

    /// `ip ARGUMENTS` where the phone is.
    pub fn inside(&self, arguments: &[&str]) {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments);
        assert!(run("ip", &all), "ip {}", all.join(" "));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A test that failed may have left rules.
        for from in [self.here(), self.far()] {
            while run("ip", &["rule", "del", "from", &from, "to", &format!("{}/24", self.there(0)), "blackhole"]) {}
        }
        // The interfaces go with it.
        run("ip", &["netns", "del", &self.name]);
        run("ip", &["link", "del", &self.wire]);
    }
}
