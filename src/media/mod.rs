//! Media, pure: RTP, RTCP, SRTP, codecs, jitter buffer and quality; no clock, socket or thread.

pub mod plan;
pub mod quality;
