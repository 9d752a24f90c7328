//! What a phone tells those who listen.

use super::{Event, Happening};
use tokio::sync::broadcast;

/// A listener; see [`Phone::events`](super::Phone::events).
#[derive(Debug)]
pub struct Events(pub(super) broadcast::Receiver<Event>);

impl Events {
    /// The next event; `None` when the phone has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.0.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

impl From<Happening> for Event {
    fn from(happening: Happening) -> Self {
        match happening {
            Happening::Call(event) => Event::Call(event),
            Happening::Registration(registration) => Event::Registration(registration),
            Happening::Aside(aside) => Event::Aside(aside),
            Happening::Recorded(call, recorded) => Event::Recorded { call: Some(call), recorded },
            Happening::Notice { call, kind, text } => Event::Notice { call, kind, text },
            Happening::Sound { call, sound } => Event::Sound { call, sound },
        }
    }
}
