//! What the link does, counted: loss within confidence bounds, bursts, distributions, order, rate, outages.

use super::*;

const GAP: Duration = Duration::from_millis(20);

fn recipe(text: &str) -> Recipe {
    text.parse().unwrap()
}

/// The fates of `count` packets of 172 octets, one each 20 ms.
fn fates(text: &str, count: u32) -> Vec<(Instant, Fate)> {
    let mut link = Impairment::new(recipe(text), Random::from_seed(42));
    (0..count)
        .map(|number| {
            let now = Instant::from_millis(1_000) + GAP * number;
            (now, link.pass(now, 172))
        })
        .collect()
}

fn losses(text: &str, count: u32) -> Vec<bool> {
    fates(text, count).iter().map(|(_, fate)| matches!(fate, Fate::Lost(_))).collect()
}

/// The lengths of runs of `wanted`.
fn runs(lost: &[bool], wanted: bool) -> Vec<usize> {
    lost.chunk_by(|a, b| a == b).filter(|run| run[0] == wanted).map(<[bool]>::len).collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[test]
fn random_loss_is_as_likely_as_was_asked_and_does_not_cling() {
    let count = 100_000;
    for share in [0.0, 0.01, 0.05, 0.3, 1.0] {
        let lost = losses(&format!("loss={share}"), count);
        let found = mean(lost.iter().map(|lost| f64::from(u8::from(*lost))));
        // Four standard deviations of the binomial distribution.
        let bound = 4.0 * (share * (1.0 - share) / f64::from(count)).sqrt();
        assert!((found - share).abs() <= bound, "{found} for {share}");
        if (0.01..0.9).contains(&share) {
            let burst = mean(runs(&lost, true).into_iter().map(|run| run as f64));
            assert!((burst * (1.0 - share) - 1.0).abs() < 0.05, "bursts of {burst} at {share}");
        }
    }
}

#[test]
fn gilbert_elliott_bursts_have_their_length() {
    for (p, r) in [(0.01, 0.25), (0.02, 0.5), (0.005, 0.1)] {
        let lost = losses(&format!("gilbert-elliott={p},{r}"), 400_000);
        let found = mean(lost.iter().map(|lost| f64::from(u8::from(*lost))));
        let expected = Loss::GilbertElliott { p, r, h: 0.0, k: 1.0 }.mean();
        assert!((found / expected - 1.0).abs() < 0.08, "{found} for {expected}");
        let bursts = runs(&lost, true);
        let burst = mean(bursts.iter().map(|run| *run as f64));
        assert!((burst * r - 1.0).abs() < 0.06, "bursts of {burst}, {} expected", 1.0 / r);
        let gap = mean(runs(&lost, false).into_iter().map(|run| run as f64));
        assert!((gap * p - 1.0).abs() < 0.08, "gaps of {gap}, {} expected", 1.0 / p);
        // Geometric: each length is as often as the one before, times 1 - r.
        let of = |length| bursts.iter().filter(|run| **run == length).count() as f64;
        assert!((of(2) / of(1) - (1.0 - r)).abs() < 0.1);
    }
    // Packets that pass in the bad state, and are lost in the good one.
    let loss: Loss = recipe("gilbert-elliott=0.1,0.3,0.5,0.99").loss;
    let found = mean(losses("gilbert-elliott=0.1,0.3,0.5,0.99", 400_000).iter().map(|lost| f64::from(u8::from(*lost))));
    assert!((found - loss.mean()).abs() < 0.005, "{found} for {}", loss.mean());
}

#[test]
fn delays_are_distributed_as_was_asked() {
    let delays = |text: &str| -> Vec<f64> {
        let fates = fates(&format!("{text} unordered"), 100_000);
        let late = fates.iter().flat_map(|(now, fate)| fate.times().map(|at| at.since(*now).as_secs_f64() * 1e3));
        let mut late: Vec<f64> = late.collect();
        late.sort_by(f64::total_cmp);
        late
    };
    let at = |delays: &[f64], share: f64| delays[(share * (delays.len() - 1) as f64) as usize];
    let constant = delays("delay=40");
    assert!(constant.iter().all(|delay| (delay - 40.0).abs() < 1e-6));
    let uniform = delays("delay=30 jitter=uniform:20");
    for share in [0.1, 0.5, 0.9] {
        assert!((at(&uniform, share) - (30.0 + 20.0 * share)).abs() < 0.3, "{share}: {}", at(&uniform, share));
    }
    let normal = delays("delay=10 jitter=normal:5");
    // Of the absolute value of a normal distribution: half below 0.674 deviations, 95 % below 1.960.
    assert!((at(&normal, 0.5) - 13.37).abs() < 0.1 && (at(&normal, 0.95) - 19.8).abs() < 0.2);
    let pareto = delays("jitter=pareto:10,2");
    // 1 - (1 + x/10)^-2: half below 4.14, 99 % below 90.
    assert!((at(&pareto, 0.5) - 4.14).abs() < 0.1 && (at(&pareto, 0.99) - 90.0).abs() < 4.0);
    let spikes = delays("delay=5 jitter=spikes:0.02,150");
    let high = spikes.iter().filter(|delay| **delay > 100.0).count() as f64 / spikes.len() as f64;
    assert!((high - 0.02).abs() < 0.002 && (spikes[0] - 5.0).abs() < 1e-6 && (at(&spikes, 1.0) - 155.0).abs() < 1e-6);
    for text in ["jitter=uniform:20", "jitter=normal:5", "jitter=pareto:10,3", "jitter=spikes:0.02,150"] {
        let (found, expected) = (mean(delays(text)), recipe(text).jitter.mean().as_secs_f64() * 1e3);
        assert!((found / expected - 1.0).abs() < 0.05, "{text}: {found} for {expected}");
    }
}

#[test]
fn order_is_kept_but_for_those_that_are_held_back() {
    let order = |text: &str| -> usize {
        let mut last = Instant::ZERO;
        let fates = fates(text, 20_000);
        let times = fates.iter().filter_map(|(_, fate)| fate.times().next());
        times
            .filter(|at| {
                let late = *at < last;
                last = last.max(*at);
                late
            })
            .count()
    };
    assert_eq!(order("delay=50 jitter=uniform:200"), 0);
    assert!(order("delay=50 jitter=uniform:200 unordered") > 5_000);
    // Two packets pass each that is held back for 45 ms.
    let held = fates("reorder=0.05", 20_000);
    let count = held.iter().filter(|(_, fate)| matches!(fate, Fate::Arrives { held_back: true, .. })).count();
    assert!((900..1_100).contains(&count), "{count}");
    let passed = order("reorder=0.05");
    assert!((count * 3 / 2..=count * 2).contains(&passed), "{passed} arrive before their turn, {count} held back");
}

#[test]
fn copies_come_after_their_packets() {
    let fates = fates("delay=10 duplicate=0.1", 50_000);
    let copies: Vec<_> = fates
        .iter()
        .filter_map(|(_, fate)| match fate {
            Fate::Arrives { at, again: Some(again), .. } => Some(again.since(*at)),
            _ => None,
        })
        .collect();
    assert!((4_700..5_300).contains(&copies.len()), "{}", copies.len());
    assert!(copies.iter().all(|later| *later == Duration::from_millis(3)));
}

#[test]
fn a_rate_limit_queues_and_then_drops() {
    // 172 octets and 28 of headers, one each 20 ms, are 80,000 bits a second.
    let free = fates("rate=80k", 1_000);
    assert!(free.iter().all(|(now, fate)| fate.times().all(|at| at.since(*now) == GAP)));
    let narrow = fates("rate=40k queue=200", 1_000);
    let dropped = narrow.iter().filter(|(_, fate)| *fate == Fate::Lost(Cause::Queue)).count();
    assert!((480..=500).contains(&dropped), "{dropped}");
    let longest = narrow.iter().flat_map(|(now, fate)| fate.times().map(|at| at.since(*now))).max().unwrap();
    assert!((200..=240).contains(&longest.as_millis()), "{longest:?}");
}

#[test]
fn outages_begin_and_end_in_time() {
    let fates = fates("outage=1+0.5 outage=3+0.1", 300);
    let out: Vec<u128> = fates
        .iter()
        .filter(|(_, fate)| *fate == Fate::Lost(Cause::Outage))
        .map(|(now, _)| now.since_start().as_millis() - 1_000)
        .collect();
    let expected: Vec<u128> = (1_000..1_500).step_by(20).chain((3_000..3_100).step_by(20)).collect();
    assert_eq!(out, expected);
}

#[test]
fn one_seed_does_the_same_and_one_setting_does_not_change_another() {
    let all = "loss=0.1 jitter=normal:10 reorder=0.1 duplicate=0.1";
    assert_eq!(fates(all, 1_000), fates(all, 1_000));
    // Jitter of another kind leaves the losses where they were.
    assert_eq!(losses("loss=0.1", 5_000), losses("loss=0.1 delay=50 jitter=pareto:10 duplicate=0.5", 5_000));
}

#[test]
fn recipes_are_read_and_bad_ones_named() {
    let read = recipe("gilbert-elliott=1%,30% delay=40 jitter=pareto:5,3 reorder=0.01 rate=1.5M outage=2+0.5");
    assert_eq!(read.loss, Loss::GilbertElliott { p: 0.01, r: 0.3, h: 0.0, k: 1.0 });
    assert_eq!((read.delay, read.jitter), (Duration::from_millis(40), Jitter::Pareto(Duration::from_millis(5), 3.0)));
    assert_eq!(read.rate.map(std::num::NonZero::get), Some(1_500_000));
    assert_eq!(recipe("none"), Recipe::default());
    for (bad, remedy) in [
        ("loss=1.5", "0.02"),
        ("loss=-1", "0.02"),
        ("loss", "0.02"),
        ("jitter=gauss:5", "normal:MS"),
        ("jitter=pareto:5,1", "pareto"),
        ("delay=x", "milliseconds"),
        ("rate=0", "64k"),
        ("outage=3", "START+LENGTH"),
        ("gilbert-elliott=0.1", "p,r"),
        ("losss=1", "gilbert-elliott"),
    ] {
        let error = bad.parse::<Recipe>().unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }
}
