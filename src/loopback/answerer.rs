//! A peer that answers every call.

use crate::phone::{Event, Io, Moment, Phone, Settings, StartError};
use tokio::task::JoinHandle;

/// A phone that answers every call with the same audio; it ends when this is dropped.
#[derive(Debug)]
pub struct Answerer {
    phone: Phone,
    task: JoinHandle<()>,
}

impl Answerer {
    /// Starts a phone with these settings that answers with this audio. Its accounts are not registered by that.
    ///
    /// # Errors
    /// When the phone does not start.
    pub fn start(settings: Settings, io: Io) -> Result<Self, StartError> {
        let (phone, mut events) = Phone::start(settings)?;
        let answering = phone.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Event::Call(event) = event else { continue };
                // It has rung by then, so that callers see 180 before 200.
                if matches!(event.moment, Moment::Ringing { .. })
                    && let Err(error) = answering.answer(event.call, io.clone()).await
                {
                    tracing::debug!(%error, "a call could not be answered");
                }
            }
        });
        Ok(Self { phone, task })
    }

    /// Its phone.
    pub fn phone(&self) -> &Phone {
        &self.phone
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
