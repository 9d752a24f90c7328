//! What an engine is told and what it tells.

use super::outside::Aside;
use crate::call::Event as CallEvent;
use crate::call::{CallId, ChangeRefused, DtmfRefused, MediaOptions, MediaOrder, TransferRefused};
use crate::sip::agent::{self, AccountId, ResolveId};
use crate::sip::header::Header;
use crate::sip::hop::{Hop, Transport};
use crate::sip::identity::{NotE164, NotOurs};
use crate::sip::keepalive::BindingId;
use crate::sip::registration;
use crate::sip::uri::{Host, Uri};
use crate::time::Duration;
use bytes::Bytes;

/// A call to make.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The account that makes it.
    pub account: AccountId,
    /// Whom to call.
    pub target: Uri,
    /// Our caller id: a number of the account, or `anonymous` (RFC 3323); its first number, or else its address of
    /// record, when absent.
    pub from_number: Option<String>,
    /// What its media may use.
    pub media: MediaOptions,
    /// How long it may ring.
    pub ring_limit: Duration,
    /// More header fields of the INVITE.
    pub headers: Vec<Header>,
}

/// What to do next, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit {
        /// Where to.
        hop: Hop,
        /// A whole message, or a keep-alive.
        bytes: Bytes,
    },
    /// Send a STUN Binding request from the SIP socket; what comes back goes to
    /// [`Engine::handle_binding`](super::Engine::handle_binding).
    Binding {
        /// Where to.
        hop: Hop,
        /// Its transaction id.
        id: BindingId,
    },
    /// Close the connection to this peer: it does not answer.
    Disconnect {
        /// Which peer.
        hop: Hop,
    },
    /// Find the hops to a host; answered by [`Engine::handle_resolved`](super::Engine::handle_resolved).
    Resolve {
        /// Comes back with the answer.
        id: ResolveId,
        /// The name or address.
        host: Host,
        /// The port, when the URI says one.
        port: Option<u16>,
        /// The transport, when the URI or the account says one.
        transport: Option<Transport>,
    },
    /// See to the media of a call; answered by [`Engine::handle_media`](super::Engine::handle_media).
    Media {
        /// Whose.
        call: CallId,
        /// What to do.
        order: MediaOrder,
    },
    /// A call that nobody dialled gets the audio of another: it comes from a transfer.
    Inherit {
        /// The new call.
        call: CallId,
        /// Whose audio it takes.
        from: CallId,
    },
    /// Something happened in a call.
    Call(CallEvent),
    /// A registration changed.
    Registration(Registration),
    /// Something happened outside of calls.
    Aside(Box<Aside>),
}

/// How a registration stands.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whose.
    pub account: AccountId,
    /// Its address of record.
    pub aor: String,
    /// How it stands.
    pub state: registration::State,
    /// Why it failed and what to change, in a sentence.
    pub explanation: Option<String>,
}

/// Why a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Signalling says no.
    #[error(transparent)]
    Agent(#[from] agent::Refused),
    /// Digits cannot be sent.
    #[error(transparent)]
    Dtmf(#[from] DtmfRefused),
    /// The call cannot be transferred.
    #[error(transparent)]
    Transfer(#[from] TransferRefused),
    /// The call cannot be changed.
    #[error(transparent)]
    Change(#[from] ChangeRefused),
    /// The caller id cannot be used.
    #[error(transparent)]
    Caller(#[from] NotOurs),
    /// The number cannot be called as it is written.
    #[error(transparent)]
    Number(#[from] NotE164),
    /// The call uses no sound device.
    #[error("{0} has no sound device; give --source device or --sink device")]
    NoDevice(CallId),
    /// The call is over, or never was.
    #[error("there is no {0}; it has ended or never was")]
    NoCall(CallId),
    /// Nobody is in the conference any more, or it never was.
    #[error("there is no conference {0}; it ended with its last call or never was")]
    NoConference(u64),
    /// The call is in no conference, or in another one.
    #[error("{0} is not in the conference")]
    NotInConference(CallId),
}
