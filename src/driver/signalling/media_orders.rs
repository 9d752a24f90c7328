//! What the engine wants of media, and what media tells it.

use super::{Happening, Notice, Sound, Turn};
use crate::call::negotiate::Awaited;
use crate::call::{CallId, MediaEvent, MediaOrder};
use crate::driver::media::{CallStart, Event as MediaNews, Finished, Io};
use crate::driver::recording;
use crate::media::dtmf::Digit;
use crate::media::plan::Plan;
use crate::media::session::Expected;

impl<F: FnMut(Happening)> Turn<F> {
    pub(super) fn see_to_media(&mut self, call: CallId, order: MediaOrder) {
        match order {
            MediaOrder::Open { local, shown } => self.open_media(call, local, shown),
            MediaOrder::Move(local) => self.move_media(call, local),
            MediaOrder::Listen(awaited) => self.listen_early(call, *awaited),
            MediaOrder::Start(plan) => self.start_media(call, *plan),
            MediaOrder::Update(plan) => {
                self.note(call, || recording::plan("changed", &plan));
                self.playing.insert(call, plan.encoding.codec.sample_rate());
                if let Err(error) = self.signalling.media.update(call.0, *plan) {
                    self.bring(call, MediaEvent::Failed(error.to_string()));
                }
            }
            MediaOrder::Dtmf { digits, way } => {
                let digits = digits.chars().filter_map(|digit| Digit::try_from(digit).ok()).collect();
                if let Err(error) = self.signalling.media.dtmf(call.0, digits, way) {
                    self.notice(call, Notice::Trouble, error.to_string());
                }
            }
            MediaOrder::Close => self.close_media(call),
        }
    }

    fn start_media(&mut self, call: CallId, plan: Plan) {
        // Media that starts before the user said where its sound goes (early media of a call that comes in) is silent.
        let io = self.audio.get(&call).cloned().unwrap_or_default();
        let Some(ports) = self.ports.remove(&call) else {
            return self.bring(call, MediaEvent::Failed("the RTP ports of the call are gone".into()));
        };
        self.note(call, || recording::plan("started", &plan));
        self.listening.remove(&call);
        let random = self.signalling.random.split();
        self.playing.insert(call, plan.encoding.codec.sample_rate());
        let start = CallStart { ports, plan, config: self.config.clone(), io, random };
        if let Err(error) = self.signalling.media.start_call(call.0, start) {
            self.bring(call, MediaEvent::Failed(error.to_string()));
        }
    }

    /// Has what a far end may begin with before its answer answered at once.
    fn listen_early(&mut self, call: CallId, awaited: Awaited) {
        let Some(ports) = self.ports.get(&call) else { return };
        let identity = self.signalling.identity.clone().filter(|_| awaited.dtls);
        let expected = Expected { dtls: identity.map(|identity| (identity, awaited.suites)), ice: awaited.ice };
        match self.signalling.media.listen(call.0, ports, expected) {
            Ok(()) => drop(self.listening.insert(call)),
            // What comes early waits in the sockets, as without it.
            Err(error) => tracing::debug!(%call, %error, "nobody listens before the answer"),
        }
    }

    /// Keeps what the audio of a call is connected to, and connects it where media runs already.
    pub(super) fn connect(&mut self, call: CallId, io: Io) {
        if self.audio.insert(call, io.clone()).as_ref() == Some(&io) || !self.playing.contains_key(&call) {
            return;
        }
        if let Err(error) = self.signalling.media.connect(call.0, io) {
            self.notice(call, Notice::Trouble, error.to_string());
        }
    }

    fn close_media(&mut self, call: CallId) {
        if self.ports.remove(&call).is_some() && !self.listening.remove(&call) {
            // Nothing ran on them.
            return self.bring(
                call,
                MediaEvent::Finished { report: Box::default(), recording: None, counters: Box::default() },
            );
        }
        self.signalling.media.stop(call.0);
    }

    pub(super) fn handle_media(&mut self, event: MediaNews) {
        let call = CallId(event.key());
        if let Some(note) = recording::media(&event) {
            self.note(call, || note);
        }
        match event {
            MediaNews::Dtmf { digit, duration, way, .. } => {
                self.bring(call, MediaEvent::Dtmf { digit: digit.character(), duration, way });
            }
            MediaNews::Secured { suite, .. } => self.bring(call, MediaEvent::Secured(suite)),
            MediaNews::KeyWearsOut { .. } => self.bring(call, MediaEvent::KeyWearsOut),
            MediaNews::Quality { report, .. } => self.bring(call, MediaEvent::Quality(report)),
            MediaNews::Failed { reason, .. } => self.bring(call, MediaEvent::Failed(reason.to_string())),
            MediaNews::Finished(finished) => {
                let Finished { report, recording, worker, media, .. } = *finished;
                tracing::debug!(%call, ?worker, ?media, "media ended");
                let recording = recording.and_then(|recording| {
                    self.recorded(call, &recording);
                    recording.path
                });
                self.count_devices(call, &worker.devices);
                let (report, counters) = (Box::new(report), Box::new(media));
                self.bring(call, MediaEvent::Finished { report, recording, counters });
            }
            MediaNews::SourceEnded { error, .. } => {
                let text = error.map_or_else(|| "the source came to its end".to_owned(), |error| error.to_string());
                self.notice(call, Notice::SourceEnded, text);
            }
            MediaNews::Recorded { recording, .. } => self.recorded(call, &recording),
            MediaNews::PlayEnded { error, .. } => {
                let text =
                    error.map_or_else(|| "what was played came to its end".to_owned(), |error| error.to_string());
                self.notice(call, Notice::PlayEnded, text);
            }
            MediaNews::Trouble { trouble, .. } => self.handle_trouble(call, trouble),
            MediaNews::DeviceOpened { input, output, .. } => self.device_opened(call, input, output),
            MediaNews::Levels { levels, .. } => self.sound(call, Sound::Levels(levels)),
            MediaNews::DtmfSent { digit, .. } => self.notice(call, Notice::DtmfSent, digit.to_string()),
            MediaNews::FirstPacket { .. } => tracing::debug!(%call, "first RTP packet"),
            MediaNews::RemoteLearned { component, address, .. } => {
                tracing::info!(%call, ?component, %address, "media comes from another address than the SDP said");
            }
            MediaNews::RemoteBye { .. } => tracing::debug!(%call, "RTCP BYE"),
            MediaNews::Report { .. } => {}
        }
    }
}
