//! The program as a user runs it: a process with arguments, an environment, output and an exit code.
#![allow(unreachable_pub, dead_code, reason = "the modules are one test program, and lend parts to others")]
#![allow(clippy::disallowed_methods, reason = "processes run in real time")]

mod answering;
mod calls;
mod config;
mod demo;
mod disk;
mod doctor;
mod explanations;
mod failures;
mod history;
#[cfg(target_os = "linux")]
mod keys;
mod playout;
mod process;
#[path = "../shared/program.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod program;
mod quality;
mod secrets;
mod sound;
mod traces;
mod usage;
