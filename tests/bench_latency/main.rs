//! The latency that is measured is the latency that there is: two phones of ours with a known network between them.

// Calls take their time.
#![allow(clippy::disallowed_methods)]

use sidetone::bench::impair::Recipe;
use sidetone::bench::latency::{FarEnd, Measurement, Plan, Summary, measure};
use sidetone::call::MediaOptions;
use sidetone::media::plan::Codec;
use sidetone::phone::{Dial, Phone};
use std::time::Duration;

/// One call over a network that does this there and back.
async fn call(codec: Codec, recipes: [&str; 2], plan: Plan) -> Measurement {
    let media = MediaOptions { codecs: vec![codec], ..MediaOptions::default() };
    let recipes: [Recipe; 2] = recipes.map(|recipe| recipe.parse().unwrap());
    let far = FarEnd::start(&media, Some((recipes, 1))).unwrap();
    let (settings, account) = far.caller(&media).unwrap();
    let (phone, mut events) = Phone::start(settings).unwrap();
    let (target, ring_limit) = (far.uri(), Duration::from_secs(20));
    let dial = Dial { account, target, from_number: None, media, ring_limit, headers: Vec::new() };
    let call = measure(&phone, &mut events, dial, &plan, Some(&far), std::future::pending(), |_| {}).await.unwrap();
    phone.shutdown().await.unwrap();
    far.end().await;
    Measurement { calls: vec![call], ..Measurement::default() }
}

fn plan(warm_up: u64, duration: u64, interval: u64) -> Plan {
    Plan {
        warm_up: Duration::from_millis(warm_up),
        duration: Duration::from_secs(duration),
        interval: Duration::from_millis(interval),
        longest: Duration::from_secs(1),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_delays_are_measured_to_a_millisecond() {
    for (codec, there, back) in
        [(Codec::Pcmu, 0.0, 0.0), (Codec::Pcmu, 7.0, 33.0), (Codec::G722, 41.0, 20.0), (Codec::Opus, 90.0, 3.0)]
    {
        let recipes = [format!("delay={there}"), format!("delay={back}")];
        let mut faults = Vec::new();
        // A machine that was late for once is measured again; what is wrong each time is wrong.
        while faults.len() < 3 {
            let measured = call(codec, [&recipes[0], &recipes[1]], plan(2_000, 5, 250)).await.summary();
            let Some(fault) = fault(&measured, there, back) else { break };
            faults.push(format!("{codec}, {there} ms there, {back} ms back: {fault} is wrong: {measured:?}"));
        }
        assert!(faults.len() < 3, "{faults:#?}");
    }
}

/// What of it is not as the network was, ms.
fn fault(measured: &Summary, there: f64, back: f64) -> Option<&'static str> {
    let (way, home) = (measured.there.as_ref().unwrap(), measured.back.as_ref().unwrap());
    let (stages, latency) = (measured.stages.as_ref().unwrap(), measured.latency.as_ref().unwrap());
    let checks = [
        ("the number of markers", measured.sent >= 12 && measured.found >= measured.sent - 1),
        ("the way there", (way.network.p50 - there).abs() <= 1.0),
        ("the way back", (home.network.p50 - back).abs() <= 1.0),
        ("the round trip by RTCP", stages.network.is_none_or(|network| (network - there - back).abs() < 3.0)),
        ("the whole, which is shorter than its parts", latency.min >= 20.0 + there + back),
    ];
    checks.into_iter().find(|(_, holds)| !holds).map(|(what, _)| what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_in_an_outage_are_lost_and_no_others() {
    let measured = call(Codec::Pcmu, ["outage=4+2 delay=10", "delay=10"], plan(1_000, 8, 200)).await;
    let (mut inside, mut outside) = (0, 0);
    for probe in &measured.calls[0].probes {
        // A marker lasts 60 ms, its packets leave up to 20 ms later; at the edges a part of it is enough or not.
        if (4.03..5.9).contains(&probe.at) {
            assert_eq!(probe.latency_ms, None, "in the outage: {probe:?}");
            inside += 1;
        } else if !(3.85..6.4).contains(&probe.at) {
            assert!(probe.latency_ms.is_some(), "outside: {probe:?} of {:?}", measured.summary());
            outside += 1;
        }
    }
    assert!(inside >= 4 && outside >= 12, "{inside} inside, {outside} outside");
}
