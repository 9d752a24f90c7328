//! What a changed network asks of the phone: other name servers, other ways, other ports for sound.

use crate::engine::Engine;
use crate::net::watch::{self, Watch};
use crate::net::{Resolver, Transports};
use crate::sip::agent::{ResolveError, ResolveId};
use crate::sip::hop::{Hop, Transport};
use crate::sip::uri::Host;
use crate::time::Instant;
use tokio::sync::mpsc;

/// Looks at the ways to our peers again and again, and at the connections that are none of theirs.
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
        let peers = engine.peers();
        for hop in transports.unused().iter().filter(|hop| !peers.contains_key(&hop.remote.ip())) {
            tracing::debug!(%hop, "a connection that nobody needs is closed");
            transports.close(hop);
        }
        let changes = self.watch.look(&transports.bound(), peers);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Conduct, MediaOptions};
    use crate::engine::{Config, Output};
    use crate::net::{BindConfig, Incoming, Now};
    use crate::random::Random;
    use crate::sip::agent::{Account, AgentConfig};
    use crate::time::{Duration, Wall};
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    const OPTIONS: &[u8] = b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
        To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

    fn engine(seed: u64) -> Engine {
        let (media, conduct) = (MediaOptions::default(), Conduct::default());
        let config = Config { agent: AgentConfig::new("test"), media, conduct };
        Engine::new(config, Wall::new(jiff::Timestamp::UNIX_EPOCH), Random::from_seed(seed))
    }

    #[tokio::test]
    async fn an_accepted_connection_is_closed_when_it_is_of_no_use() {
        let seconds = Arc::new(AtomicU64::new(1));
        let clock = Arc::clone(&seconds);
        let now = Now::new(move || Instant::at(Duration::from_secs(clock.load(Ordering::SeqCst))));
        let bind = BindConfig::new(Ipv4Addr::LOCALHOST.into(), Some(0));
        let (transports, mut inbox) = Transports::bind(bind, now).unwrap();
        let local = transports.local(Transport::Tcp).unwrap();
        let mut peer = TcpStream::connect(local).await.unwrap();
        peer.write_all(OPTIONS).await.unwrap();
        let Some(Incoming::Message { source, .. }) = inbox.next().await else { panic!("no message") };

        let mut ours = engine(1);
        let account = ours.add_account(Account::new("sip:a@127.0.0.1".parse().unwrap()));
        ours.register(Instant::ZERO, account).unwrap();
        while let Some(output) = ours.poll_output() {
            if let Output::Resolve { id, .. } = output {
                ours.handle_resolved(Instant::ZERO, id, Ok(vec![source]));
            }
        }
        seconds.store(200, Ordering::SeqCst);
        let later = Instant::at(Duration::from_secs(200));
        Eye::open(Instant::ZERO).look(later, &transports, &mut ours);
        assert_eq!(transports.unused(), [source], "its host is our registrar");

        let mut nobody = engine(2);
        Eye::open(Instant::ZERO).look(later, &transports, &mut nobody);
        assert_eq!(peer.read(&mut [0; 16]).await.unwrap(), 0, "closed");
    }
}
