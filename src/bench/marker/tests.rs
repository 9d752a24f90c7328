use super::*;
use crate::media::codec::{Decoder, Encoder, samples};
use crate::media::plan::{Codec, Encoding, OpusParameters};
use std::path::Path;

const RATES: [u32; 3] = [8_000, 16_000, 48_000];

fn silence(rate: u32, ms: u64) -> Vec<i16> {
    vec![0; samples(Duration::from_millis(ms), rate)]
}

/// Encodes and decodes, in packets of 20 ms.
fn through(codec: Codec, audio: &[i16]) -> Vec<i16> {
    let opus = OpusParameters { fec: true, ..OpusParameters::default() };
    let encoding = Encoding { opus, ..Encoding::new(codec, 0, Duration::from_millis(20)) };
    let mut encoder = Encoder::new(&encoding).unwrap();
    let mut decoder = Decoder::new(codec).unwrap();
    let mut heard = Vec::new();
    for packet in audio.chunks_exact(samples(encoding.packet_time, codec.sample_rate())) {
        let mut payload = Vec::new();
        encoder.encode(packet, &mut payload).unwrap();
        decoder.decode(&payload, &mut heard).unwrap();
    }
    heard
}

#[test]
fn a_marker_is_found_to_a_fiftieth_of_a_sample() {
    let mut search = Search::default();
    for rate in RATES {
        let markers = Markers::new(rate, 7);
        let mut random = Random::from_seed(1);
        for number in 0..20 {
            let (fraction, before) = (random.unit(), random.range(0, u64::from(rate) / 20) as usize);
            let mut heard = vec![0; before];
            heard.extend(markers.marker(number, fraction));
            heard.extend(silence(rate, 20));
            let found = search.find(&markers.marker(number, 0.0), &heard).unwrap();
            let error = found.at - (before as f64 + fraction);
            assert!(error.abs() < 0.02 && found.likeness > 0.99, "{rate} {number} {error} {found:?}");
        }
    }
}

#[test]
fn markers_survive_every_codec_and_half_the_loudness() {
    let mut search = Search::default();
    for codec in Codec::ALL {
        let rate = codec.sample_rate();
        let markers = Markers::new(rate, 11);
        let mut random = Random::from_seed(2);
        let mut said = silence(rate, 500);
        let mut places = Vec::new();
        for number in 0..20 {
            places.push(said.len());
            said.extend(markers.marker(number, 0.0).iter().map(|&sample| sample / 2));
            said.extend(silence(rate, 200 + random.range(0, 100)));
        }
        let heard = through(codec, &said);
        let (mut delays, mut least) = (Vec::new(), 1.0f64);
        for (number, place) in (0..).zip(places) {
            let from = place - samples(Duration::from_millis(10), rate);
            let around = &heard[from..from + samples(Duration::from_millis(85), rate)];
            let found = search.find(&markers.marker(number, 0.0), around);
            let found = found.unwrap_or_else(|| panic!("{codec}: marker {number} was not found"));
            least = least.min(found.likeness);
            delays.push((found.at + from as f64 - place as f64) * 1_000.0 / f64::from(rate));
        }
        let (low, high) =
            delays.iter().fold((f64::MAX, f64::MIN), |(low, high), &delay| (low.min(delay), high.max(delay)));
        // The look-ahead of the codec, the same for all: at most 6.5 ms (RFC 7587).
        assert!(low > -0.01 && high < 6.6 && high - low < 0.1, "{codec}: {low} to {high} ms");
        assert!(least > 0.8, "{codec}: {least}");
    }
}

#[test]
fn nothing_else_is_taken_for_a_marker() {
    let mut search = Search::default();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut nearest = 0.0f64;
    for rate in [8_000, 16_000] {
        let markers = Markers::new(rate, 3);
        let mut random = Random::from_seed(u64::from(rate));
        let mut scenes = vec![("silence", silence(rate, 2_000))];
        let level = [3.0, 3_000.0, 20_000.0];
        for level in level {
            let noise = (0..rate * 3).map(|_| ((random.unit() - 0.5) * level) as i16).collect();
            scenes.push(("noise", noise));
        }
        let tone =
            |hz: f64| (0..rate).map(move |n| (9_000.0 * (TAU * hz * f64::from(n) / f64::from(rate)).sin()) as i16);
        scenes.push(("tones", [425.0, 941.0, 1_000.0, 2_100.0].into_iter().flat_map(tone).collect()));
        scenes.push((
            "sweep",
            (0..rate * 8)
                .map(|n| {
                    let time = f64::from(n) / f64::from(rate);
                    (9_000.0 * (TAU * (300.0 + 187.0 * time) * time).sin()) as i16
                })
                .collect(),
        ));
        for name in ["caller.wav", "answerer.wav"] {
            let mut file = hound::WavReader::open(fixtures.join(name)).unwrap();
            let step = (file.spec().sample_rate / rate).max(1) as usize;
            let channels = usize::from(file.spec().channels);
            // Aliases of speech are as good for this as speech.
            scenes.push((
                name,
                file.samples::<i16>().map_while(Result::ok).step_by(step * channels).take(rate as usize * 8).collect(),
            ));
        }
        let others = |from: u32| (from..from + 30).flat_map(|number| markers.marker(number, 0.3)).collect::<Vec<_>>();
        scenes.push(("other markers", others(100)));
        scenes.push((
            "markers of another seed",
            (0..30).flat_map(|number| Markers::new(rate, 4).marker(number, 0.0)).collect(),
        ));
        for (name, scene) in scenes {
            for number in 0..4 {
                let best = search.best(&markers.marker(number, 0.0), &scene).map_or(0.0, |best| best.likeness);
                assert!(best < 0.8 * FOUND, "{name} at {rate}: {best} like marker {number}");
                nearest = nearest.max(best);
            }
        }
    }
    assert!(nearest > 0.1, "nothing was compared: {nearest}");
}

#[test]
fn a_marker_with_a_lost_packet_is_found_and_one_with_two_lost_is_not() {
    let mut search = Search::default();
    for rate in [8_000, 48_000] {
        let markers = Markers::new(rate, 5);
        let packet = rate as usize / 50;
        for number in 0..10 {
            let marker = markers.marker(number, 0.0);
            let mut heard = silence(rate, 40);
            heard.extend(&marker);
            heard.extend(silence(rate, 40));
            let at = rate as usize / 25;
            let mut one = heard.clone();
            one[at + packet..at + 2 * packet].fill(0);
            let found = search.find(&marker, &one).unwrap();
            assert!((found.at - at as f64).abs() < 0.1 && found.likeness < 0.9, "{found:?}");
            // Something of the same loudness in their place.
            let noise = Markers::new(rate, 6).marker(number, 0.0);
            heard[at + packet..at + 3 * packet].copy_from_slice(&noise[..2 * packet]);
            assert_eq!(search.find(&marker, &heard), None);
        }
    }
}

#[test]
fn what_is_too_short_or_silent_holds_no_marker() {
    let mut search = Search::default();
    let markers = Markers::new(8_000, 1);
    let marker = markers.marker(0, 0.0);
    assert_eq!(search.best(&marker, &marker[..100]), None);
    assert_eq!(search.best(&marker, &[]), None);
    assert_eq!(search.best(&[], &marker), None);
    assert_eq!(search.best(&marker, &silence(8_000, 500)), None);
    assert_eq!(markers.samples(), samples(LENGTH, markers.rate()));
}
