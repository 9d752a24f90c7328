//! Sidetone: a SIP user agent and media engine.
//!
//! A pure engine that knows no clock, socket, thread or file; thin drivers that know nothing else; and every outside
//! interface a client of one command-and-event handle.
//!
//! ```text
//!  cli ────┐                              ┌─────────── pure, virtual time ────────────┐
//!  bench ──┤  Phone ──commands─▶ driver/  │ engine ─ call ─ sip::agent ─ session       │
//!  store ──┘ (handle) ◀─events─  signal-  │            │        └ dialog ─ transaction │
//!                                ling     │            └─ negotiate ─ sdp              │
//!  sockets ── net/                  │     └────────────────────────────────────────────┘
//!                                   ▼ Plan (addresses, codecs, keys, direction)
//!                          driver/media   ┌─────────── pure, virtual time ────────────┐
//!                          worker threads │ media::Session ─ jitter ─ codec ─ rtcp ─ srtp │
//!                                   │     └────────────────────────────────────────────┘
//!                                 audio/   cpal device · WAV · tone · silence · echo
//! ```
//!
//! The rooms `sip`, `sdp`, `call`, `media` and `engine` are sans-IO: time and randomness come in as arguments
//! ([`time::Instant`], [`random::Random`]), outputs are polled. `tests/architecture.rs` keeps it so.
#![forbid(unsafe_code)]

pub mod audio;
pub mod bench;
pub mod call;
pub mod carrier;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod driver;
pub mod engine;
pub mod loopback;
pub mod media;
pub mod net;
pub mod phone;
pub mod random;
pub mod sdp;
pub mod sip;
pub mod store;
pub mod stun;
pub mod time;
pub mod trace;

/// The examples of README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
