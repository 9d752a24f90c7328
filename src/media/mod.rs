//! Media, pure: RTP, RTCP, SRTP, codecs, jitter buffer and quality; no clock, socket or thread.

pub mod codec;
pub mod comfort;
pub mod dtls;
pub mod dtmf;
pub mod fuzz;
pub mod ice;
pub mod jitter;
pub mod mixer;
pub mod packet;
pub mod plan;
pub mod quality;
pub mod receive;

pub mod resample;
pub mod rtcp;
pub mod send;
pub mod sequence;
pub mod session;
pub mod srtp;
