//! A call whose RTP is sent by a script, datagram by datagram: what instruments play to phones that echo.

mod caller;
mod exchange;

pub use caller::CallError;
pub(super) use caller::Caller;
pub(super) use exchange::{Exchanged, Leaving, bind, exchange, unpack};

use crate::media::plan::Codec;
use crate::sip::uri::Uri;
use std::time::Duration;

/// Which call is made.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Whom to call.
    pub(super) target: Uri,
    /// The codec.
    pub(super) codec: Codec,
    /// Audio in a packet.
    pub(super) packet_time: Duration,
}
