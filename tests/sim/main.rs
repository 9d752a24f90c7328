//! User agents in virtual time: two agents over a lossy link, or one agent and a peer that follows a script.
#![allow(unreachable_pub, reason = "the modules are one test program")]

mod calls;
mod change;
mod credentials;
mod dialogs;
mod endings;
mod fail_over;
mod flows;
mod forks;
mod keepalive;
mod letter;
mod outside;
mod peer;
mod proxies;
mod races;
mod random_life;
mod redirect;
mod refusals;
mod reliable;
mod rfc3665;
mod rfc5407;
mod several_flows;
#[path = "../shared/mod.rs"]
mod shared;
mod strangers;
mod timers;
mod update;
mod ways;
mod world;
