//! A stream over ticks of virtual time.

use super::*;
use crate::audio::tone::Tone;

fn options(rate: u32) -> StreamOptions {
    StreamOptions { rate, ..StreamOptions::default() }
}

/// Ticks of 20 ms of a call at `call` Hz; returns what was said in each.
fn tick(tap: &mut Tap, heard: &[i16]) -> Vec<i16> {
    let mut said = vec![0; heard.len()];
    tap.speak(&mut said);
    tap.listen(&said, heard);
    said
}

fn frames(listener: &mut Listener) -> Vec<(Track, u64, u64, Vec<i16>)> {
    let frame = |heard| match heard {
        Heard::Frame(frame) => Some((frame.track, frame.sequence, frame.timestamp, frame.samples().to_vec())),
        _ => None,
    };
    std::iter::from_fn(|| listener.try_next()).filter_map(frame).collect()
}

#[test]
fn at_the_rate_of_the_call_nothing_is_late_by_a_sample_either_way() {
    let (mut tap, mut speaker, mut listener) = open(&StreamOptions { outbound: true, ..options(8_000) }).unwrap();
    speaker.say(&[7, 8, 9]);
    let heard: Vec<i16> = (0..160).collect();
    let said = tick(&mut tap, &heard);
    assert_eq!(said[..4], [7, 8, 9, 0], "said in the very next tick");
    let frames = frames(&mut listener);
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].0, &frames[0].3), (Track::Inbound, &heard), "heard in the same tick");
    assert_eq!((frames[1].0, &frames[1].3), (Track::Outbound, &said));
}

#[test]
fn other_rates_cost_their_filter_and_keep_the_sound() {
    for (call, rate) in [(8_000, 24_000), (8_000, 16_000), (16_000, 8_000), (48_000, 24_000), (48_000, 48_000)] {
        let (mut tap, mut speaker, mut listener) = open(&options(rate)).unwrap();
        tap.set_rate(call);
        let mut tone = Tone::new(700.0, rate);
        let mut ours = Tone::new(700.0, call);
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let (mut voice, mut sound) = (vec![0; rate as usize / 50], vec![0; call as usize / 50]);
            tone.read(&mut voice);
            ours.read(&mut sound);
            assert_eq!(speaker.say(&voice), voice.len());
            said.extend(tick(&mut tap, &sound));
            heard.extend(frames(&mut listener).into_iter().flat_map(|frame| frame.3));
        }
        // Where the tone first rises says how late it is.
        let late = |samples: &[i16], rate: u32| {
            let first = samples.iter().position(|sample| sample.abs() > 300).unwrap();
            first as f64 * 1_000.0 / f64::from(rate)
        };
        let (out, back) = (late(&said, call), late(&heard, rate));
        println!("call {call} Hz, stream {rate} Hz: said {out:.2} ms late, heard {back:.2} ms late");
        assert!(out < 6.0 && back < 6.0 && (call != rate || out.max(back) < 0.2));
        for samples in [&said[call as usize..], &heard[rate as usize..]] {
            let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!((8_000..8_400).contains(&peak), "{peak}");
        }
        assert!(heard.len() >= rate as usize * 198 / 100, "{} samples", heard.len());
    }
}

#[test]
fn marks_are_told_when_they_are_reached_and_clear_drops_the_rest() {
    let (mut tap, mut speaker, mut listener) = open(&StreamOptions { inbound: false, ..options(8_000) }).unwrap();
    let told = |listener: &mut Listener| -> Vec<String> {
        std::iter::from_fn(|| listener.try_next())
            .map(|heard| match heard {
                Heard::Mark { name, cleared } => format!("{name}{}", if cleared { " cleared" } else { "" }),
                Heard::Cleared { samples } => format!("-{samples}"),
                Heard::Frame(_) => "frame".into(),
            })
            .collect()
    };
    speaker.mark("start");
    speaker.say(&[1; 200]);
    speaker.mark("one");
    speaker.say(&[2; 1_000]);
    speaker.mark("two");
    tick(&mut tap, &[0; 160]);
    assert_eq!((told(&mut listener), speaker.waiting()), (vec!["start".to_owned()], 1_040));
    tick(&mut tap, &[0; 160]);
    assert_eq!(told(&mut listener), ["one"]);
    // The far end interrupts.
    speaker.clear();
    speaker.say(&[3; 160]);
    speaker.mark("three");
    let said = tick(&mut tap, &[0; 160]);
    assert_eq!(said, [3; 160], "what was said before is gone, what was said behind is not");
    assert_eq!(told(&mut listener), ["two cleared", "-880", "three"]);
    speaker.clear();
    tick(&mut tap, &[0; 160]);
    assert!(told(&mut listener).is_empty(), "there was nothing to clear");
}

#[test]
fn a_slow_listener_loses_the_oldest_or_the_newest_and_is_told() {
    for (overflow, kept) in [(Overflow::Oldest, 90..100), (Overflow::Newest, 0..10)] {
        let (mut tap, _speaker, mut listener) =
            open(&StreamOptions { backlog: 10, overflow, ..options(8_000) }).unwrap();
        (0..100).for_each(|n| drop(tick(&mut tap, &[n; 160])));
        assert_eq!(listener.dropped(), 90);
        let frames = frames(&mut listener);
        assert_eq!(frames.iter().map(|frame| frame.1).collect::<Vec<_>>(), kept.clone().collect::<Vec<_>>());
        for (_, sequence, timestamp, samples) in frames {
            assert_eq!((timestamp, samples), (sequence * 160, vec![sequence as i16; 160]));
        }
    }
}

#[test]
fn frames_have_the_length_that_was_asked_for_and_nothing_is_allocated() {
    let wanted = StreamOptions { frame: Duration::from_millis(50), ..options(8_000) };
    let (mut tap, mut speaker, mut listener) = open(&wanted).unwrap();
    let mut said = [0; 160];
    let mut turn = |n: i16| {
        speaker.say(&[n; 160]);
        tap.speak(&mut said);
        tap.listen(&said, &[n; 160]);
        let mut all = 0;
        while let Some(Heard::Frame(frame)) = listener.try_next() {
            all += frame.samples().len();
        }
        all
    };
    assert_eq!((0..100).map(&mut turn).sum::<usize>(), 16_000);
    let mut heard = 0;
    let info = allocation_counter::measure(|| heard = (0..100).map(&mut turn).sum());
    assert_eq!((heard, info.count_total), (16_000, 0), "{info:?}");
}

#[test]
fn the_end_of_the_call_is_told_behind_everything_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut tap, mut speaker, mut listener) =
        open(&StreamOptions { ahead: Duration::ZERO, ..options(8_000) }).unwrap();
    tick(&mut tap, &[5; 160]);
    assert!(!tap.is_abandoned() && !speaker.is_over());
    runtime.block_on(async {
        let voice = tokio::spawn(async move { (speaker.say_all(&[1; 1_000]).await, speaker) });
        tokio::task::yield_now().await;
        tick(&mut tap, &[6; 160]);
        tokio::task::yield_now().await;
        drop(tap);
        let (said, speaker) = voice.await.unwrap();
        assert!(!said && speaker.is_over(), "there was no room for all of it before the end");
        let mut frames = 0;
        while listener.next().await.is_some() {
            frames += 1;
        }
        assert_eq!(frames, 2);
    });
}

#[test]
fn impossible_options_are_told_with_the_remedy() {
    let wrong = |options: StreamOptions| open(&options).err().unwrap().to_string();
    assert!(wrong(options(11_025)).contains("24000"));
    assert!(wrong(StreamOptions { frame: Duration::from_millis(15), ..options(8_000) }).contains("steps of 10"));
    assert!(wrong(StreamOptions { backlog: 0, ..options(8_000) }).contains("backlog"));
}
