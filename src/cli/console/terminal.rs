//! A terminal that hands out each key at once, and is as it was afterwards.

#[cfg(unix)]
pub(super) use unix::{Unbuffered, is_ours};

#[cfg(unix)]
mod unix {
    use rustix::process::Signal;
    use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
    use std::io::{IsTerminal, stdin};
    use tokio::signal::unix::{SignalKind, signal};

    /// Is stdin a terminal that this process may read from? One in the background would be stopped for it.
    pub(in crate::cli::console) fn is_ours() -> bool {
        let stdin = stdin();
        stdin.is_terminal() && termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// While it lives, stdin gives each key without Enter and shows none. Ctrl-C and Ctrl-Z stay what they are.
    #[derive(Debug)]
    pub(in crate::cli::console) struct Unbuffered(Termios);

    impl Unbuffered {
        /// `None` where stdin is no terminal that allows it.
        pub(in crate::cli::console) fn new() -> Option<Self> {
            let before = termios::tcgetattr(stdin()).ok()?;
            unbuffer(&before)?;
            tokio::spawn(stay_unbuffered());
            Some(Self(before))
        }
    }

    fn unbuffer(before: &Termios) -> Option<()> {
        let mut keys = before.clone();
        keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(stdin(), OptionalActions::Now, &keys).ok()
    }

    /// A shell that had the terminal meanwhile (Ctrl-Z, then `fg`) gives it back as it likes it.
    async fn stay_unbuffered() {
        let Ok(mut continued) = signal(SignalKind::from_raw(Signal::CONT.as_raw())) else { return };
        while continued.recv().await.is_some() {
            if is_ours() {
                let _ = termios::tcgetattr(stdin()).ok().and_then(|now| unbuffer(&now));
            }
        }
    }

    impl Drop for Unbuffered {
        fn drop(&mut self) {
            // A terminal that is gone needs nothing.
            let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.0);
        }
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::{Unbuffered, is_ours};

#[cfg(not(unix))]
mod elsewhere {
    use std::io::{IsTerminal, stdin};

    /// Is stdin a terminal?
    pub(in crate::cli::console) fn is_ours() -> bool {
        stdin().is_terminal()
    }

    /// There is no such mode here: commands are lines.
    #[derive(Debug)]
    pub(in crate::cli::console) struct Unbuffered;

    impl Unbuffered {
        pub(in crate::cli::console) fn new() -> Option<Self> {
            None
        }
    }
}
