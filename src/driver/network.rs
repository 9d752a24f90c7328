//! What a changed network asks of the phone: other name servers, other ways, other ports for sound.

use super::media::MediaDriver;
use super::notice::Notice;
use crate::call::{CallId, MediaEvent};
use crate::engine::Engine;
use crate::net::watch::{self, Watch};
use crate::net::{Resolver, Transports};
use crate::sip::agent::{ResolveError, ResolveId};
use crate::sip::hop::{Hop, Transport};
use crate::sip::uri::Host;
use crate::time::Instant;
use std::net::IpAddr;
use tokio::sync::mpsc;

/// Looks at the ways to our peers again and again.
#[derive(Debug)]
pub(super) struct Eye {
    watch: Watch,
    next: Instant,
}

impl Eye {
    /// The first look is at once: what was there at the start is known by it.
    pub(super) fn open(now: Instant) -> Self {
        Self { watch: Watch::default(), next: now }
    }

    /// When to look next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time, and tells `engine` of the ways that changed. Says whether it looked.
    pub(super) fn look(&mut self, now: Instant, transports: &Transports, engine: &mut Engine) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + watch::EVERY;
        let changes = self.watch.look(&transports.bound(), engine.peers());
        if changes.iter().any(|change| change.local.is_some()) {
            transports.resolver().renew();
        }
        for change in changes {
            match change.local {
                Some(local) => tracing::info!(peer = %change.remote, %local, "the way to a peer has changed"),
                None => tracing::info!(peer = %change.remote, "there is no way to a peer any more"),
            }
            engine.handle_route(now, change.remote, change.local);
        }
        true
    }
}

/// What a look-up found, with its name.
pub(super) type Resolved = (ResolveId, Result<Vec<Hop>, ResolveError>);

/// Looks for the hops to a host, and tells `resolved`.
pub(super) fn look_up(
    id: ResolveId,
    (resolver, host, port, transport): (Resolver, Host, Option<u16>, Option<Transport>),
    resolved: mpsc::Sender<Resolved>,
) {
    tokio::spawn(async move {
        let found = resolver.resolve(&host.to_string(), port, transport).await;
        if let Err(why) = &found {
            tracing::info!("{why}");
        }
        let _ = resolved.send((id, found.map_err(ResolveError::from))).await;
    });
}

/// Moves the sound of a call that runs to ports on `local`; what the user is told, and the call if it went well.
pub(super) fn move_media(media: &MediaDriver, call: CallId, local: IpAddr) -> (Notice, String, Option<MediaEvent>) {
    let moved = media.open_ports(local).map_err(|error| error.to_string()).and_then(|ports| {
        let (rtp, rtcp) = (ports.rtp_address, ports.rtcp_address);
        media.move_to(call.0, ports).map_err(|error| error.to_string())?;
        Ok(MediaEvent::Moved { rtp, rtcp })
    });
    match moved {
        Ok(moved) => (Notice::Moved, format!("the network changed: the call moves to {local}"), Some(moved)),
        Err(error) => (Notice::Trouble, error, None),
    }
}
