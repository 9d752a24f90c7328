//! The way to a server: names from a real name server, servers that fail, networks that change.

// Servers and networks are waited for in real time.
#![allow(unreachable_pub, clippy::disallowed_methods)]

#[path = "../shared/authority.rs"]
#[allow(dead_code)]
mod authority;
mod dnsmasq;
mod encryption;
mod names;
mod network;
mod phone;
mod recovery;
mod registrar;
mod servers;
mod silence;
