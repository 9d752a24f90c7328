//! The life of one connection: made or accepted, the TLS handshake, messages both ways, its end.

use super::connections::{Shared, Way};
use super::failure::Failure;
use super::tcp;
use super::tls::explain;
use super::transports::Incoming;
use crate::sip::hop::Hop;
use crate::sip::wire::{Stream, StreamItem};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Octets read at once.
const READ: usize = 16 * 1024;

/// The keep-alive of a stream and its answer (RFC 5626 section 3.5.1).
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";

/// What the task of a connection owns.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    /// Whom the certificate of the peer has to be for.
    pub(super) name: Option<String>,
    pub(super) way: Way,
    pub(super) queue: mpsc::Receiver<Bytes>,
    pub(super) pongs: mpsc::WeakSender<Bytes>,
    pub(super) progress: Arc<Progress>,
}

/// How a connection goes on.
#[derive(Debug)]
pub(super) struct Progress {
    /// Which.
    pub(super) hop: Hop,
    /// Nanoseconds since the start of the phone when something was last read or written.
    active: AtomicU64,
    /// Pings that were sent since the read loop last asked.
    pings: AtomicU64,
}

impl Progress {
    pub(super) fn new(hop: Hop, now: Instant) -> Self {
        let progress = Self { hop, active: AtomicU64::new(0), pings: AtomicU64::new(0) };
        progress.active_at(now);
        progress
    }

    fn active_at(&self, now: Instant) {
        self.active.store(u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn active(&self) -> Instant {
        Instant::at(Duration::from_nanos(self.active.load(Relaxed)))
    }
}

impl Task {
    /// Lives as long as the connection; makes it first if it is not there.
    pub(super) async fn run(mut self, accepted: Option<TcpStream>) {
        let hop = self.progress.hop;
        let made = match accepted {
            Some(stream) => Ok(stream),
            None => tcp::connect(self.shared.source(hop), hop.remote, self.shared.limits.connect).await,
        };
        let why = match made {
            Ok(stream) => {
                self.shared.counters.connections.fetch_add(1, Relaxed);
                self.converse(stream).await
            }
            Err(why) => why,
        };
        let counters = &self.shared.counters;
        match &why {
            // What the user has to know before anything works.
            Failure::Tls(sentence) if self.way == Way::Made => tracing::warn!("{sentence}"),
            _ => tracing::debug!(peer = %hop, %why, "connection ended"),
        }
        if matches!(why, Failure::SlowSender | Failure::SlowReader) {
            counters.slow_connections.fetch_add(1, Relaxed);
        }
        if !self.shared.leave(hop, self.number) {
            return;
        }
        if !matches!(why, Failure::Closed | Failure::Hangup | Failure::Idle) {
            counters.failed_connections.fetch_add(1, Relaxed);
        }
        let failed = Incoming::Failed { hop, why, at: self.shared.now.read() };
        // Nobody wants to know when the inbox is gone.
        let _ = self.shared.inbox.send(failed).await;
    }

    async fn converse(&mut self, stream: TcpStream) -> Failure {
        // A message is written at once and shall leave at once.
        let _ = stream.set_nodelay(true);
        tcp::limit_silence(&stream, self.shared.limits.unacknowledged);
        if !self.progress.hop.transport.secure() {
            let (reader, writer) = stream.into_split();
            return self.serve(reader, writer).await;
        }
        let counters = Arc::clone(&self.shared.counters);
        match self.handshake(stream).await {
            Ok(stream) => {
                counters.handshakes.fetch_add(1, Relaxed);
                let (reader, writer) = tokio::io::split(stream);
                self.serve(reader, writer).await
            }
            Err(why) => {
                counters.failed_handshakes.fetch_add(1, Relaxed);
                why
            }
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let (shared, hop) = (&self.shared, self.progress.hop);
        let tls = shared.tls.as_ref().ok_or(Failure::Off(hop.transport))?;
        let failed = |error: io::Error| Failure::Tls(explain(&error, hop.remote, self.name.as_deref()));
        let patience = shared.limits.handshake;
        let slow = |_| match &self.name {
            Some(name) => Failure::Tls(format!(
                "\"{name}\" ({}) did not finish the TLS handshake in {} s; is it a TLS port (usually 5061)?",
                hop.remote,
                patience.as_secs_f32()
            )),
            None => Failure::SlowSender,
        };
        let Some(name) = &self.name else {
            // Each costs a signature: who floods waits for nobody.
            let _turn = shared.handshakes.try_acquire().map_err(|_| Failure::TooMany)?;
            let config = tls.server().ok_or(Failure::Off(hop.transport))?;
            let stream = timeout(patience, TlsAcceptor::from(config).accept(stream)).await.map_err(slow)?;
            return Ok(stream.map_err(failed)?.into());
        };
        let (config, server) = tls.client(name).map_err(|error| Failure::Tls(error.to_string()))?;
        let stream = timeout(patience, TlsConnector::from(config).connect(server, stream)).await.map_err(slow)?;
        let stream = stream.map_err(failed)?;
        let session = stream.get_ref().1;
        tracing::debug!(peer = %hop, name, version = ?session.protocol_version(), "TLS connection made");
        if let Some(certificate) = session.peer_certificates().and_then(|chain| chain.first()) {
            shared.prove(hop, self.number, certificate.clone().into_owned());
        }
        Ok(stream.into())
    }

    async fn serve(&mut self, reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) -> Failure {
        let (hop, name) = (self.progress.hop, self.name.as_deref());
        // A TLS 1.3 server looks at our certificate after the handshake has ended for us.
        let failed = |error: io::Error| match error.get_ref() {
            Some(inner) if inner.is::<tokio_rustls::rustls::Error>() => Failure::Tls(explain(&error, hop.remote, name)),
            _ => error.into(),
        };
        let from = Reading { shared: &self.shared, hop, pongs: &self.pongs, progress: &self.progress };
        tokio::select! {
            why = from.read(reader, self.way) => why.unwrap_or_else(failed),
            why = write(writer, &mut self.queue, &self.shared, &self.progress) => why.unwrap_or_else(failed),
        }
    }
}

/// Writes what is queued, until nobody can queue anything.
async fn write(
    mut stream: impl AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Bytes>,
    shared: &Shared,
    progress: &Progress,
) -> io::Result<Failure> {
    while let Some(bytes) = queue.recv().await {
        if bytes == PING {
            progress.pings.fetch_add(1, Relaxed);
        }
        match timeout(shared.limits.write, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        })
        .await
        {
            Ok(Ok(())) => progress.active_at(shared.now.read()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(Failure::SlowReader),
        }
    }
    let _ = timeout(shared.limits.linger, stream.shutdown()).await;
    Ok(Failure::Hangup)
}

/// The read loop of a connection.
struct Reading<'a> {
    shared: &'a Shared,
    hop: Hop,
    pongs: &'a mpsc::WeakSender<Bytes>,
    progress: &'a Progress,
}

impl Reading<'_> {
    async fn read(&self, mut stream: impl AsyncRead + Unpin, way: Way) -> io::Result<Failure> {
        let limits = &self.shared.limits;
        let mut cut = Stream::new(limits.stream);
        let mut buffer = vec![0; READ];
        // A peer that connects has something to say.
        let mut begun = (way == Way::Accepted).then(|| self.shared.now.read());
        loop {
            let deadline = match begun {
                Some(begun) => begun + limits.message,
                None => self.progress.active() + limits.idle,
            };
            let read = tokio::select! {
                read = stream.read(&mut buffer) => read,
                () = sleep(deadline.since(self.shared.now.read())) => {
                    // Something may have been written meanwhile.
                    let now = self.shared.now.read();
                    match begun {
                        Some(_) if now >= deadline => return Ok(Failure::SlowSender),
                        None if now >= self.progress.active() + limits.idle => return Ok(Failure::Idle),
                        _ => continue,
                    }
                }
            };
            let octets = match read {
                Ok(0) => return Ok(Failure::Closed),
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) => return Err(error),
            };
            let heard = self.shared.now.read();
            self.progress.active_at(heard);
            (0..self.progress.pings.swap(0, Relaxed)).for_each(|_| cut.ping_sent());
            cut.push(octets);
            let mut whole = false;
            while let Some(item) = cut.next() {
                whole = true;
                let incoming = match item {
                    Ok(StreamItem::Message(message)) => Incoming::Message {
                        source: self.hop,
                        message: Box::new(message),
                        octets: cut.take_octets(),
                        at: heard,
                    },
                    Ok(StreamItem::KeepAlivePing) => {
                        self.pong();
                        Incoming::KeepAlive { source: self.hop, pong: false, at: heard }
                    }
                    Ok(StreamItem::KeepAlivePong) => Incoming::KeepAlive { source: self.hop, pong: true, at: heard },
                    Err(malformed) => {
                        Incoming::Malformed { source: self.hop, malformed: Box::new(malformed), at: heard }
                    }
                };
                if self.shared.inbox.send(incoming).await.is_err() {
                    return Ok(Failure::Hangup);
                }
            }
            if cut.is_broken() {
                // Reads on: closing with octets unread would reset the connection, and the reply with it.
                let _ =
                    timeout(limits.linger, async { while matches!(stream.read(&mut buffer).await, Ok(1..)) {} }).await;
                return Ok(Failure::NotSip);
            }
            begun = match begun {
                Some(begun) if !whole => Some(begun),
                _ => cut.is_inside_message().then_some(heard),
            };
        }
    }

    /// Answers a ping. Behind a full queue the peer gets signs of life enough.
    fn pong(&self) {
        if let Some(queue) = self.pongs.upgrade() {
            let _ = queue.try_send(Bytes::from_static(PONG));
        }
    }
}
