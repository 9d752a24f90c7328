//! A room in virtual time: what everybody hears, to the sample.

use super::*;
use crate::random::Random;

const PERIOD: Duration = Duration::from_millis(20);

fn noise(random: &mut Random, count: usize, peak: i16) -> Vec<i16> {
    (0..count).map(|_| (random.u64() % (2 * peak as u64 + 1)) as i16 - peak).collect()
}

/// Amplitude of `hz` in `samples`, as a fraction of full scale (Goertzel's sum, written out).
fn level(samples: &[i16], rate: u32, hz: f64) -> f64 {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        re += f64::from(sample) * (step * n as f64).cos();
        im += f64::from(sample) * (step * n as f64).sin();
    }
    2.0 * f64::hypot(re, im) / samples.len().max(1) as f64 / 32_768.0
}

/// What `party` hears in the period that was mixed last.
fn heard(mixer: &mut Mixer, party: Party, samples: usize) -> Vec<i16> {
    let mut out = vec![1; samples];
    mixer.say(party, &mut out);
    out
}

#[test]
fn each_of_five_hears_the_sum_of_the_others_in_the_same_period_to_the_sample() {
    let mut mixer = Mixer::new(PERIOD);
    (0..5).for_each(|party| mixer.enter(party, 8_000, Part::Speaks));
    let mut random = Random::from_seed(4);
    for _ in 0..200 {
        let said: Vec<Vec<i16>> = (0..5).map(|_| noise(&mut random, 160, 6_000)).collect();
        (0..5).for_each(|party| mixer.hear(party as Party, &said[party]));
        mixer.mix();
        for party in 0..5 {
            let out = heard(&mut mixer, party as Party, 160);
            for n in 0..160 {
                let others: i16 = (0..5).filter(|other| *other != party).map(|other| said[other][n]).sum();
                assert_eq!(out[n], others, "party {party}, sample {n}");
            }
        }
    }
}

#[test]
fn nothing_is_allocated_while_nobody_comes_or_goes() {
    let mut mixer = Mixer::new(PERIOD);
    for (party, rate) in [(1, 8_000), (2, 16_000), (3, 48_000), (4, 8_000)] {
        mixer.enter(party, rate, Part::Speaks);
    }
    let loud = vec![30_000; 960];
    let mut out = vec![0; 960];
    let mut turn = |mixer: &mut Mixer| {
        for (party, samples) in [(1, 160), (2, 320), (3, 960), (4, 160)] {
            mixer.hear(party, &loud[..samples]);
        }
        mixer.mix();
        for (party, samples) in [(1, 160), (2, 320), (3, 960), (4, 160)] {
            mixer.say(party, &mut out[..samples]);
        }
    };
    (0..10).for_each(|_| turn(&mut mixer));
    let info = allocation_counter::measure(|| (0..1_000).for_each(|_| turn(&mut mixer)));
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_supervisor_listens_coaches_and_barges_in() {
    let mut mixer = Mixer::new(PERIOD);
    let (agent, caller, supervisor) = (1, 2, 3);
    mixer.enter(agent, 8_000, Part::Speaks);
    mixer.enter(caller, 8_000, Part::Speaks);
    let mut turn = |part| {
        mixer.enter(supervisor, 8_000, part);
        for (party, level) in [(agent, 1), (caller, 10), (supervisor, 100)] {
            mixer.hear(party, &[level; 160]);
        }
        mixer.mix();
        [agent, caller, supervisor].map(|party| heard(&mut mixer, party, 160)[80])
    };
    assert_eq!(turn(Part::Listens), [10, 1, 11]);
    assert_eq!(turn(Part::Coaches(agent)), [110, 1, 11]);
    assert_eq!(turn(Part::Speaks), [110, 101, 11]);
}

#[test]
fn one_may_be_silent_for_another() {
    let mut mixer = Mixer::new(PERIOD);
    (1..=3).for_each(|party| mixer.enter(party, 8_000, Part::Speaks));
    mixer.silence(1, 2, true);
    let turn = |mixer: &mut Mixer| {
        (1..=3).for_each(|party| mixer.hear(party, &[10i16.pow(party as u32 - 1); 160]));
        mixer.mix();
        [1, 2, 3].map(|party| heard(mixer, party, 160)[0])
    };
    assert_eq!(turn(&mut mixer), [110, 100, 11]);
    mixer.silence(1, 2, false);
    assert_eq!(turn(&mut mixer), [110, 101, 11]);
    mixer.silence(1, 2, true);
    mixer.leave(1);
    mixer.enter(1, 8_000, Part::Speaks);
    assert_eq!(turn(&mut mixer), [110, 101, 11], "who comes anew is heard");
}

#[test]
fn who_comes_and_goes_disturbs_nobody_and_who_says_nothing_is_silence() {
    let mut mixer = Mixer::new(PERIOD);
    mixer.enter(1, 8_000, Part::Speaks);
    mixer.hear(1, &[5; 160]);
    mixer.mix();
    assert_eq!(heard(&mut mixer, 1, 160), [0; 160], "alone");
    assert_eq!(heard(&mut mixer, 9, 160), [0; 160], "not here");
    mixer.enter(2, 8_000, Part::Speaks);
    mixer.hear(1, &[5; 160]);
    mixer.mix();
    assert_eq!((heard(&mut mixer, 2, 160)[159], heard(&mut mixer, 1, 160)[0]), (5, 0));
    mixer.hear(2, &[7; 100]);
    mixer.mix();
    let out = heard(&mut mixer, 1, 160);
    assert_eq!((out[99], out[100]), (7, 0));
    mixer.leave(1);
    mixer.mix();
    assert_eq!(heard(&mut mixer, 2, 160), [0; 160]);
}

#[test]
fn parties_of_other_rates_hear_each_other_and_the_conversion_alone_takes_time() {
    let rates = [(1, 8_000, 500.0), (2, 16_000, 800.0), (3, 48_000, 1_300.0), (4, 8_000, 2_000.0)];
    let mut mixer = Mixer::new(PERIOD);
    for (party, rate, _) in rates {
        mixer.enter(party, rate, Part::Speaks);
    }
    assert_eq!(mixer.rate(), 48_000);
    let mut out = [const { Vec::new() }; 4];
    for turn in 0..100 {
        for (party, rate, hz) in rates {
            let samples = rate as usize / 50;
            let tone = |n: usize| {
                (6_000.0 * (std::f64::consts::TAU * hz * (turn * samples + n) as f64 / f64::from(rate)).sin()) as i16
            };
            mixer.hear(party, &(0..samples).map(tone).collect::<Vec<_>>());
        }
        mixer.mix();
        for (n, (party, rate, _)) in rates.into_iter().enumerate() {
            out[n].extend(heard(&mut mixer, party, rate as usize / 50));
        }
    }
    for (n, (party, rate, own)) in rates.into_iter().enumerate() {
        let second = &out[n][rate as usize..];
        for (_, _, hz) in rates {
            let level = level(second, rate, hz);
            match hz == own {
                true => assert!(level < 0.000_5, "party {party} hears itself at {level}"),
                false => assert!((level - 0.183).abs() < 0.004, "party {party} hears {hz} Hz at {level}"),
            }
        }
    }
}

#[test]
fn the_delay_of_a_room_is_that_of_its_conversions() {
    // A click: where does it come out?
    let delay = |from: u32, room: u32, to: u32| {
        let mut mixer = Mixer::new(PERIOD);
        mixer.enter(1, from, Part::Speaks);
        mixer.enter(2, to, Part::Speaks);
        mixer.enter(3, room, Part::Listens);
        let mut out = Vec::new();
        for turn in 0..5 {
            let mut said = vec![0; from as usize / 50];
            said[0] = if turn == 1 { 20_000 } else { 0 };
            mixer.hear(1, &said);
            mixer.mix();
            out.extend(heard(&mut mixer, 2, to as usize / 50));
        }
        let (at, _) = out.iter().enumerate().max_by_key(|(_, sample)| sample.unsigned_abs()).unwrap();
        (at as f64 / f64::from(to) - 0.020) * 1_000.0
    };
    for rate in [8_000, 16_000, 48_000] {
        assert_eq!(delay(rate, rate, rate), 0.0, "at {rate} Hz");
    }
    for (from, room, to) in [(8_000, 16_000, 16_000), (16_000, 16_000, 8_000), (8_000, 48_000, 8_000)] {
        let delay = delay(from, room, to);
        println!("{from} Hz through a room of {room} Hz to {to} Hz: {delay:.2} ms");
        assert!((3.0..11.0).contains(&delay), "{delay} ms");
    }
}

#[test]
fn packet_times_may_change_in_the_course() {
    let mut mixer = Mixer::new(PERIOD);
    mixer.enter(1, 8_000, Part::Speaks);
    mixer.enter(2, 8_000, Part::Speaks);
    mixer.set_period(Duration::from_millis(10));
    mixer.hear(1, &[3; 80]);
    mixer.mix();
    assert_eq!((heard(&mut mixer, 2, 80), mixer.period()), (vec![3; 80], Duration::from_millis(10)));
}
