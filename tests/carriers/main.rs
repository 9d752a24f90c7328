//! Carriers over real sockets: the program as a user runs it, against what each carrier is known to do and against what
//! nobody should do.
#![allow(unreachable_pub, dead_code, reason = "the modules are one test program, with parts of others")]
#![allow(clippy::disallowed_methods, reason = "processes run in real time")]

#[path = "../shared/authority.rs"]
mod authority;
#[path = "../shared/carrier.rs"]
mod carrier;
mod certificates;
mod hostile;
mod presets;
#[path = "../cli/process.rs"]
mod process;
#[path = "../shared/program.rs"]
mod program;

use authority::Authority;
use carrier::{Carrier, address};
use process::{Home, Running};
use std::process::Stdio;

/// The password of every account.
const PASSWORD: &str = "Correct-Horse-1";

/// `sidetone run` with one account of a configuration file, which takes commands and answers calls.
fn run(home: &Home, carrier: &Carrier, authority: Option<&Authority>, account: &str) -> Running {
    let ca = authority.map(|authority| format!("tls_ca = \"{}\"\n", authority.file().display())).unwrap_or_default();
    let text = format!(
        "[phone]\nbind = \"{}\"\ndns_server = \"{}\"\n{ca}[account.line]\npassword = \"{PASSWORD}\"\non_call = \"answer\"\n\
         source = \"tone:500\"\nsink = \"null\"\n{account}",
        address(),
        carrier.names
    );
    std::fs::write(home.path("config.toml"), text).unwrap();
    let file = home.text("config.toml");
    let mut command = home.command(&["run", "--config", &file, "--commands", "--json"]);
    command.stdin(Stdio::piped()).env_remove("SIDETONE_PASSWORD");
    let mut phone = Running::start(&mut command);
    phone.expect("phone.ready");
    phone
}
