//! Media, pure: RTP, RTCP, SRTP, codecs, jitter buffer and quality; no clock, socket or thread.

pub mod codec;
pub mod dtmf;
pub mod plan;
pub mod quality;
pub mod session;
