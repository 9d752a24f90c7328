//! What our user hears of a call that is not answered: the far end's ringing, a refusal, somebody who calls.
//!
//! ```text
//!  180 without sound ──────────────▶ ring-back ┐                    ┌ 183 with sound, 200
//!  486, 600, 603 ──────────────────▶ busy      │ on the loudspeaker ┤ silence
//!  404, 410, 484, 604 ─────────────▶ special   │ of the call        └ after four seconds
//!  408, 480, 5xx, no answer at all ▶ congestion┘
//!  a call comes in ────────────────▶ ring, or call waiting while another call is up, on the ringing device
//! ```

use crate::audio::{Country, Progress, Ringer, Sink};
use crate::call::record::{CallDirection, EndedBy};
use crate::call::{CallId, Event, Moment};
use crate::time::Duration;

/// How long a refusal is heard: our user may be gone.
const REFUSAL: Duration = Duration::from_secs(4);

/// Which tones our user hears.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tones {
    /// Of which country.
    pub country: Country,
    /// The device that rings when somebody calls: the system's default or the one named; none rings when absent.
    pub ring: Option<Option<String>>,
}

/// What plays now.
#[derive(Debug, Default)]
pub struct Bells {
    /// Which tones.
    pub tones: Tones,
    playing: Option<(CallId, Ringer)>,
}

/// What is to be heard of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    /// Nothing any more.
    Nothing,
    /// This, on this device.
    Tone(Progress, Option<String>, Option<Duration>),
}

/// What our user hears from this moment of a call on, whose sound goes to `sink`; `None` if the moment changes nothing.
/// `talking`: another call is up.
pub(super) fn heard(event: &Event, sink: Option<&Sink>, tones: &Tones, talking: bool) -> Option<Heard> {
    let loudspeaker = match sink {
        Some(Sink::Device(id)) => Some(id.clone()),
        _ => None,
    };
    let record = &event.record;
    match (&event.moment, record.direction) {
        (Moment::Ringing { early_media: false }, CallDirection::Outbound) => {
            Some(Heard::Tone(Progress::RingBack, loudspeaker?, None))
        }
        (Moment::Ringing { early_media: false }, CallDirection::Inbound) => {
            let tone = if talking { Progress::Waiting } else { Progress::Ring };
            Some(Heard::Tone(tone, tones.ring.clone()?, None))
        }
        (Moment::Ended, CallDirection::Outbound) if record.answered_at.is_none() => {
            let refused = record.ended_by != Some(EndedBy::Local);
            match (refused.then(|| refusal(record.sip_code)), loudspeaker) {
                (Some(tone), Some(id)) => Some(Heard::Tone(tone, id, Some(REFUSAL))),
                _ => Some(Heard::Nothing),
            }
        }
        (Moment::Ringing { early_media: true } | Moment::Answered | Moment::Ended, _) => Some(Heard::Nothing),
        _ => None,
    }
}

/// The tone of a refusal.
fn refusal(status: Option<u16>) -> Progress {
    match status {
        Some(486 | 600 | 603) => Progress::Busy,
        // The number is wrong: the tone that telephone networks put before such announcements.
        Some(404 | 410 | 484 | 604) => Progress::SpecialInformation,
        _ => Progress::Congestion,
    }
}

impl Bells {
    /// With these tones.
    pub fn new(tones: Tones) -> Self {
        Self { tones, playing: None }
    }

    pub(super) fn follow(&mut self, call: CallId, heard: Heard) {
        match heard {
            Heard::Nothing => self.playing = self.playing.take().filter(|(whose, _)| *whose != call),
            Heard::Tone(tone, device, limit) => {
                let ringer = Ringer::start(device, tone, self.tones.country, limit);
                self.playing = Some((call, ringer));
            }
        }
    }

    /// Is a refusal still heard? The end of the phone waits for it.
    pub(super) fn is_telling(&self) -> bool {
        self.playing.as_ref().is_some_and(|(_, ringer)| ringer.is_limited() && ringer.is_playing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Record, Status};
    use crate::media::quality::Report;

    fn event(direction: CallDirection, moment: Moment, code: Option<u16>, ended_by: Option<EndedBy>) -> Event {
        let record = Record {
            id: "1".into(),
            direction,
            status: Status::InProgress,
            from: "sip:a@h".into(),
            to: "sip:b@h".into(),
            number: None,
            account: None,
            sip_code: code,
            sip_reason: None,
            ended_by,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            talk_seconds: None,
            codec: None,
            ptime_ms: None,
            transport: None,
            srtp: None,
            recording: None,
            dtmf_received: String::new(),
            quality: Report::default(),
            metadata: serde_json::Map::new(),
        };
        Event { call: CallId(1), moment, record: Box::new(record) }
    }

    #[test]
    fn a_caller_hears_how_the_far_end_takes_it() {
        use CallDirection::Outbound;
        let speaker = Sink::Device(Some("headset".into()));
        let told =
            |moment, code, by| heard(&event(Outbound, moment, code, by), Some(&speaker), &Tones::default(), false);
        let on = |tone, limit| Some(Heard::Tone(tone, Some("headset".into()), limit));
        let by_them = Some(EndedBy::Remote);
        assert_eq!(told(Moment::Initiated, None, None), None);
        assert_eq!(told(Moment::Ringing { early_media: false }, None, None), on(Progress::RingBack, None));
        assert_eq!(told(Moment::Ringing { early_media: true }, None, None), Some(Heard::Nothing));
        assert_eq!(told(Moment::Answered, None, None), Some(Heard::Nothing));
        for (code, tone) in [
            (486, Progress::Busy),
            (600, Progress::Busy),
            (404, Progress::SpecialInformation),
            (503, Progress::Congestion),
            (408, Progress::Congestion),
        ] {
            assert_eq!(told(Moment::Ended, Some(code), by_them), on(tone, Some(REFUSAL)), "{code}");
        }
        assert_eq!(told(Moment::Ended, Some(487), Some(EndedBy::Local)), Some(Heard::Nothing), "we gave up");
        // Without a loudspeaker there is nobody to hear.
        let ringing = event(Outbound, Moment::Ringing { early_media: false }, None, None);
        assert_eq!(heard(&ringing, Some(&Sink::Null), &Tones::default(), false), None);
    }

    #[test]
    fn a_call_that_comes_in_rings_on_its_own_device_or_waits_in_the_ear() {
        let ringing = event(CallDirection::Inbound, Moment::Ringing { early_media: false }, None, None);
        assert_eq!(heard(&ringing, None, &Tones::default(), false), None, "no ringing device");
        let tones = Tones { ring: Some(Some("bell".into())), ..Tones::default() };
        let on = |tone| Some(Heard::Tone(tone, Some("bell".into()), None));
        assert_eq!(heard(&ringing, None, &tones, false), on(Progress::Ring));
        assert_eq!(heard(&ringing, None, &tones, true), on(Progress::Waiting));
    }
}
