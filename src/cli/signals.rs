//! Ctrl-C and the service manager's polite request.

use std::sync::Arc;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// Listens from the moment it is made: a request that comes while the command is busy is not lost.
#[derive(Debug)]
pub(super) struct Stop {
    #[cfg(unix)]
    interrupt: Option<Signal>,
    #[cfg(unix)]
    terminate: Option<Signal>,
    requested: bool,
    /// Rung by a command of the user's.
    quit: Arc<Notify>,
}

impl Stop {
    /// Listens for SIGINT, and SIGTERM where there is one.
    pub(super) fn listen() -> Self {
        Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt()).ok(),
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate()).ok(),
            requested: false,
            quit: Arc::new(Notify::new()),
        }
    }

    /// What a command rings that asks for the end.
    pub(super) fn bell(&self) -> Arc<Notify> {
        self.quit.clone()
    }

    /// Waits until the user wants an end, each time anew.
    pub(super) async fn requested(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            () = next(&mut self.interrupt) => {}
            () = next(&mut self.terminate) => {}
            () = self.quit.notified() => {}
        }
        // Without a handler there is nothing to wait for; the system then ends the process by itself.
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.requested = true;
    }

    /// Did the user want an end?
    pub(super) fn was_requested(&self) -> bool {
        self.requested
    }
}

/// The next signal; without a handler the system ends the process by itself.
#[cfg(unix)]
async fn next(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending().await
    }
}
