//! Calls changed in their course, with SIPp on the other side of a phone of ours: hold, UPDATE, PRACK, session timers,
//! late offers, redirection, early media.

use crate::inbound::answer;
use crate::process::{address, installed};
use crate::sidetone::Home;
use crate::sipp::{Options, Sipp, received};
use sidetone::audio::{Sink, Source};
use sidetone::call::MediaOptions;
use sidetone::call::record::Record;
use sidetone::media::plan::Codec;
use sidetone::phone::{
    Account, AccountId, CallEvent, Dial, Event, Events, HoldStyle, Io, Moment, Phone, Settings, Side,
};
use sidetone::sip::agent::SessionTimerMode;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);
/// Longer than what follows from the least session interval, 90 s: a refresh after 45 s, a BYE after 60 s.
const INTERVAL: Duration = Duration::from_secs(80);

/// A phone in this process.
struct Line {
    phone: Phone,
    events: Events,
}

fn io() -> Io {
    Io { source: Source::Tone(440.0), sink: Sink::Null, ..Io::default() }
}

fn media() -> MediaOptions {
    MediaOptions { codecs: vec![Codec::Pcmu], ..MediaOptions::default() }
}

impl Line {
    fn new(media: MediaOptions, change: impl FnOnce(&mut Account)) -> Self {
        let ip = address();
        let mut account = Account { redirects: 2, ..Account::new(format!("sip:alice@{ip}").parse().unwrap()) };
        change(&mut account);
        let settings =
            Settings { ips: vec![ip], accounts: vec![account], media, take_unclaimed: true, ..Settings::default() };
        let (phone, events) = Phone::start(settings).unwrap();
        Self { phone, events }
    }

    fn address(&self) -> SocketAddr {
        self.phone.bound().first().unwrap()
    }

    async fn dial(&self, sipp: &Sipp, media: MediaOptions) -> sidetone::call::CallId {
        let dial = Dial {
            account: AccountId(0),
            target: sipp.uri().parse().unwrap(),
            from_number: None,
            media,
            ring_limit: SETUP,
            headers: Vec::new(),
        };
        self.phone.dial(dial, io()).await.unwrap()
    }

    /// Waits until this happens in a call.
    async fn until(&mut self, limit: Duration, wanted: impl Fn(&Moment) -> bool) -> CallEvent {
        let search = async {
            loop {
                match self.events.next().await.expect("the phone runs") {
                    Event::Call(event) if wanted(&event.moment) => return event,
                    Event::Call(event) if event.moment == Moment::Ended => panic!("it ended: {:?}", event.record),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(limit, search).await.expect("it happens in time")
    }

    async fn ended(&mut self, limit: Duration) -> Record {
        *self.until(limit, |moment| *moment == Moment::Ended).await.record
    }

    /// Hangs up and sees SIPp content.
    async fn finish(mut self, call: sidetone::call::CallId, sipp: Sipp) -> (Record, Vec<crate::sipp::Traced>) {
        self.phone.hangup(call).await.unwrap();
        let record = self.ended(SETUP).await;
        let trace = tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
        self.phone.shutdown().await.unwrap();
        assert_eq!(record.status, sidetone::call::record::Status::Completed, "{record:?}");
        (record, trace)
    }
}

/// Waits until SIPp has received such a message.
async fn traced(sipp: &Sipp, start: &str, part: &str) {
    let begin = std::time::Instant::now();
    while received(&sipp.trace(), start, part) == 0 {
        assert!(begin.elapsed() < INTERVAL, "SIPp received no {start} with {part}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    if installed("sipp") {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
    }
}

/// We call SIPp, which plays `scenario`, and it has answered.
async fn talking(scenario: &str, media: MediaOptions, change: impl FnOnce(&mut Account)) -> (Line, Sipp, CallEvent) {
    let sipp = Sipp::answers(scenario, &Options::default());
    let mut line = Line::new(media.clone(), change);
    line.dial(&sipp, media).await;
    let answered = line.until(SETUP, |moment| *moment == Moment::Answered).await;
    (line, sipp, answered)
}

fn held(by: Side) -> impl Fn(&Moment) -> bool {
    move |moment| *moment == Moment::Held(by)
}

#[test]
fn we_hold_and_resume_a_call_that_we_made() {
    run(async {
        let (mut line, sipp, event) = talking("uas_held_by_us", media(), |_| {}).await;
        line.phone.hold(event.call).await.unwrap();
        let on_hold = line.until(SETUP, held(Side::Local)).await;
        assert_eq!(on_hold.record.metadata["held_by"], "local");
        line.phone.resume(event.call).await.unwrap();
        let resumed = line.until(SETUP, |moment| *moment == Moment::Resumed(Side::Local)).await;
        assert!(!resumed.record.metadata.contains_key("held_by"));
        line.finish(event.call, sipp).await;
    });
}

/// SIPp calls; the phone answers.
async fn called(scenario: &str, media: MediaOptions) -> (Line, Sipp, CallEvent) {
    let mut line = Line::new(media, |_| {});
    let sipp = Sipp::calls(scenario, line.address(), &Options::default());
    let ringing = line.until(SETUP, |moment| matches!(moment, Moment::Ringing { .. })).await;
    line.phone.answer(ringing.call, io()).await.unwrap();
    let answered = line.until(SETUP, |moment| *moment == Moment::Answered).await;
    (line, sipp, answered)
}

#[test]
fn we_hold_and_resume_a_call_that_came_in() {
    run(async {
        let (mut line, sipp, event) = called("uac_held_by_us", media()).await;
        line.phone.hold(event.call).await.unwrap();
        line.until(SETUP, held(Side::Local)).await;
        line.phone.resume(event.call).await.unwrap();
        line.until(SETUP, |moment| *moment == Moment::Resumed(Side::Local)).await;
        line.finish(event.call, sipp).await;
    });
}

#[test]
fn we_hold_in_the_old_way() {
    run(async {
        let media = MediaOptions { hold: HoldStyle::Nowhere, ..media() };
        let (mut line, sipp, event) = talking("uas_old_hold", media, |_| {}).await;
        line.phone.hold(event.call).await.unwrap();
        line.until(SETUP, held(Side::Local)).await;
        line.finish(event.call, sipp).await;
    });
}

#[test]
fn our_change_that_meets_491_comes_again() {
    run(async {
        let (mut line, sipp, event) = talking("uas_glare", media(), |_| {}).await;
        let start = std::time::Instant::now();
        line.phone.hold(event.call).await.unwrap();
        line.until(SETUP, held(Side::Local)).await;
        // RFC 3261 section 14.1: the caller made the Call-ID.
        assert!((2.0..5.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
        line.finish(event.call, sipp).await;
    });
}

#[test]
fn a_change_that_meets_ours_gets_491() {
    run(async {
        let (mut line, sipp, event) = talking("uas_glare_both", media(), |_| {}).await;
        line.phone.hold(event.call).await.unwrap();
        line.until(SETUP, held(Side::Local)).await;
        let (_, trace) = line.finish(event.call, sipp).await;
        assert_eq!(received(&trace, "SIP/2.0 491", "7 INVITE"), 1);
    });
}

#[test]
fn the_called_side_changes_by_update() {
    run(async {
        let (mut line, sipp, event) = talking("uas_update", media(), |_| {}).await;
        line.until(SETUP, held(Side::Remote)).await;
        traced(&sipp, "SIP/2.0 200", "8 UPDATE").await;
        line.finish(event.call, sipp).await;
    });
}

#[test]
fn the_caller_holds_and_resumes_by_update() {
    run(async {
        let (mut line, sipp, _) = called("uac_update", media()).await;
        line.until(SETUP, held(Side::Remote)).await;
        line.until(SETUP, |moment| *moment == Moment::Resumed(Side::Remote)).await;
        line.ended(SETUP).await;
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

#[test]
fn an_early_answer_is_acknowledged_by_prack() {
    run(async {
        let (line, sipp, event) = talking("uas_reliable", media(), |_| {}).await;
        let (record, trace) = line.finish(event.call, sipp).await;
        assert_eq!((record.codec.as_deref(), received(&trace, "PRACK ", "RAck: 4711 ")), (Some("PCMU"), 1));
    });
}

#[test]
fn we_hold_by_update_before_the_answer() {
    run(async {
        let sipp = Sipp::answers("uas_early_update", &Options::default());
        let mut line = Line::new(media(), |_| {});
        let call = line.dial(&sipp, media()).await;
        line.until(SETUP, |moment| *moment == Moment::Ringing { early_media: true }).await;
        line.phone.hold(call).await.unwrap();
        line.until(SETUP, held(Side::Local)).await;
        line.until(SETUP, |moment| *moment == Moment::Answered).await;
        line.finish(call, sipp).await;
    });
}

#[test]
fn a_caller_that_requires_100rel_gets_it() {
    run(async {
        let (mut line, sipp, _) = called("uac_reliable", media()).await;
        line.ended(SETUP).await;
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

#[test]
fn a_422_makes_us_ask_for_more() {
    run(async {
        let ask = |account: &mut Account| account.session_timers.mode = SessionTimerMode::Ask;
        let (line, sipp, event) = talking("uas_interval", media(), ask).await;
        line.finish(event.call, sipp).await;
    });
}

#[test]
fn a_caller_with_too_small_an_interval_gets_422() {
    run(async {
        let (mut line, sipp, _) = called("uac_interval", media()).await;
        line.ended(SETUP).await;
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

#[test]
fn as_caller_we_refresh_after_half_the_interval() {
    run(async {
        let (line, sipp, event) = talking("uas_refreshed", media(), |_| {}).await;
        traced(&sipp, "UPDATE ", "").await;
        let (_, trace) = line.finish(event.call, sipp).await;
        assert_eq!(received(&trace, "UPDATE ", ""), 1);
    });
}

#[test]
fn as_callee_we_refresh_after_half_the_interval() {
    run(async {
        let (mut line, sipp, _) = called("uac_refreshed", media()).await;
        line.ended(INTERVAL).await;
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

#[test]
fn a_session_that_runs_out_gets_its_bye() {
    run(async {
        let (mut line, sipp, _) = talking("uas_expires", media(), |_| {}).await;
        let record = line.ended(INTERVAL).await;
        let talked = record.talk_seconds.unwrap();
        assert!((59.0..62.0).contains(&talked), "{talked}");
        assert!(record.metadata["reason"].as_str().unwrap().contains("session timer"), "{record:?}");
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

#[test]
fn a_call_without_an_offer_answers_with_its_ack() {
    run(async {
        let media = MediaOptions { late_offer: true, ..media() };
        let (line, sipp, event) = talking("uas_late_offer", media, |_| {}).await;
        let (record, _) = line.finish(event.call, sipp).await;
        assert_eq!(record.codec.as_deref(), Some("PCMU"));
    });
}

#[test]
fn a_referred_call_goes_to_the_better_place() {
    run(async {
        let (line, sipp, event) = talking("uas_refers_on", media(), |_| {}).await;
        let (record, _) = line.finish(event.call, sipp).await;
        let way = &record.metadata["diverted"][0];
        assert_eq!(way["status"], 302);
        assert!(way["to"].as_str().unwrap().starts_with("sip:elsewhere@"), "{way}");
    });
}

#[test]
fn an_info_is_answered() {
    run(async {
        let (mut line, sipp, _) = called("uac_info", media()).await;
        line.ended(SETUP).await;
        tokio::task::spawn_blocking(move || sipp.finish(SETUP)).await.unwrap();
    });
}

/// The whole program: the caller hears the source before the answer.
#[test]
fn callers_hear_us_before_the_answer() {
    if !installed("sipp") {
        return;
    }
    let ears = UdpSocket::bind((address(), 0)).unwrap();
    ears.set_read_timeout(Some(SETUP)).unwrap();
    let home = Home::new();
    let (mut phone, target) = answer(&home, &["--early-media", "--ring", "2"]);
    let (ip, port) = (ears.local_addr().unwrap().ip().to_string(), ears.local_addr().unwrap().port().to_string());
    let options = Options { arguments: &["-key", "far_ip", &ip, "-key", "far_port", &port], ..Options::default() };
    let sipp = Sipp::calls("uac_early", target, &options);
    let ringing = phone.expect("call.ringing", SETUP);
    assert_eq!(ringing["early_media"], true, "{ringing}");
    let mut loud = 0;
    let mut packet = [0; 1500];
    while loud < 20 {
        let length = ears.recv(&mut packet).expect("early media");
        // PCMU silence is 0xFF and 0x7F; the source is a tone.
        loud += u32::from(length == 172 && packet[12..172].iter().any(|sample| sample & 0x7F != 0x7F));
    }
    assert!(!phone.story().contains("call.answered"), "{}", phone.story());
    phone.expect("call.answered", SETUP);
    let ended = phone.expect("call.ended", SETUP);
    assert_eq!(ended["call"]["status"], "completed", "{ended}");
    sipp.finish(SETUP);
    phone.interrupt();
    assert_eq!(phone.finish(SETUP).0, 0);
}
