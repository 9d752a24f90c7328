//! Codecs and digits against the shared conformance data.

mod shared;

use sidetone::media::codec::Decoder;
use sidetone::media::codec::g711::Law;
use sidetone::media::codec::g722;
use sidetone::media::dtmf::Incoming;
use sidetone::media::packet::Packet;
use sidetone::media::plan::Codec;
use sidetone::media::resample::Resampler;
use sidetone::time::{Duration, Instant};

#[test]
fn g711_decodes_and_encodes_as_the_itu_does() {
    let Some(folder) = shared::vectors("g711") else { return };
    let decode = shared::table(&folder.join("decode.tsv"));
    assert_eq!(decode.len(), 256);
    for row in &decode {
        let code = u8::from_str_radix(&row["code_hex"], 16).unwrap();
        assert_eq!(Law::Mu.decode(code).to_string(), row["pcmu_linear16"], "mu-law {code:02x}");
        assert_eq!(Law::A.decode(code).to_string(), row["pcma_linear16"], "A-law {code:02x}");
    }
    let encode = shared::table(&folder.join("encode-sample.tsv"));
    assert!(encode.len() > 1_000);
    for row in &encode {
        let sample: i16 = row["linear16"].parse().unwrap();
        assert_eq!(format!("{:02x}", Law::Mu.encode(sample)), row["pcmu_hex"], "mu-law of {sample}");
        assert_eq!(format!("{:02x}", Law::A.encode(sample)), row["pcma_hex"], "A-law of {sample}");
    }
}

/// The packets of a `.bit` file: length and final range before each.
fn packets(octets: &[u8]) -> Vec<&[u8]> {
    let mut rest = octets;
    let mut packets = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<8>() {
        let [l0, l1, l2, l3, ..] = *header;
        let (packet, after) = behind.split_at(u32::from_be_bytes([l0, l1, l2, l3]) as usize);
        packets.push(packet);
        rest = after;
    }
    packets
}

#[test]
fn opus_decodes_to_what_the_reference_decodes_to() {
    let Some(folder) = shared::vectors("opus") else { return };
    let index = shared::table(&folder.join("index.tsv"));
    assert_eq!(index.len(), shared::files(&folder, "bit").len());
    for row in &index {
        let (name, rate): (_, u32) = (&row["name"], row["rate_hz"].parse().unwrap());
        let octets = shared::octets(&folder.join(format!("{name}.bit")));
        let packets = packets(&octets);
        assert_eq!(packets.len().to_string(), row["packets"]);
        assert_eq!(packets.iter().map(|packet| packet.len()).sum::<usize>().to_string(), row["payload_octets"]);
        let mut decoder = Decoder::new(Codec::Opus).unwrap();
        let mut ours = Vec::new();
        for packet in packets {
            decoder.decode(packet, &mut ours).unwrap();
        }
        let reference: Vec<i16> = shared::octets(&folder.join(format!("{name}.dec.s16le")))
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(ours.len() / (48_000 / rate as usize), reference.len(), "{name}");
        // At our rate; the conversion delays by some milliseconds.
        let reference = if rate == 48_000 {
            reference
        } else {
            let mut fast = Vec::new();
            Resampler::new(rate, 48_000).unwrap().process(&reference, &mut fast);
            fast
        };
        let (alike, lag) =
            (0..480).map(|lag| (alikeness(&ours, &reference[lag..]), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        assert!(alike > if rate == 48_000 { 0.9999 } else { 0.97 }, "{name}: {alike} at a lag of {lag}");
    }
}

fn alikeness(a: &[i16], b: &[i16]) -> f64 {
    let (mut product, mut energy_a, mut energy_b) = (0.0, 1.0, 1.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        product += a * b;
        energy_a += a * a;
        energy_b += b * b;
    }
    product / (energy_a * energy_b).sqrt()
}

#[test]
fn digits_are_heard_once_each() {
    let Some(folder) = shared::vectors("dtmf") else { return };
    let mut cases = 0;
    for name in shared::files(&folder, "json") {
        let file: serde_json::Value = serde_json::from_slice(&shared::octets(&folder.join(&name))).unwrap();
        let clock = file["clock_rate"].as_u64().unwrap() as u32;
        for case in file["cases"].as_array().unwrap() {
            let mut incoming = Incoming::default();
            let mut now = Instant::ZERO;
            for packet in case["packets"].as_array().unwrap() {
                now = Instant::at(Duration::from_secs_f64(packet["t"].as_f64().unwrap()));
                let hex = packet["rtp"].as_str().unwrap();
                let octets: Vec<u8> =
                    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
                let packet = Packet::parse(&octets).unwrap();
                incoming.handle(now, packet.timestamp, packet.marker, clock, packet.payload);
            }
            incoming.handle_timeout(now + Duration::from_secs(1));
            let heard: Vec<_> = std::iter::from_fn(|| incoming.poll())
                .map(|(digit, time)| (u64::from(digit.event()), time.as_micros() as u64 * u64::from(clock) / 1_000_000))
                .collect();
            let expected: Vec<_> = case["expect"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| (event["event"].as_u64().unwrap(), event["duration"].as_u64().unwrap()))
                .collect();
            assert_eq!(heard, expected, "{name}: {}", case["name"]);
            cases += 1;
        }
    }
    assert!(cases >= 10, "{cases} cases");
}

/// The first three seconds of the ITU-T's own test of G.722, to the bit, both ways.
#[test]
fn g722_agrees_with_the_itu() {
    let Some(folder) = shared::vectors("g722") else { return };
    let read = |file: &str| shared::octets(&folder.join(file));
    let samples = |octets: Vec<u8>| -> Vec<i16> {
        octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    let (sent, codes) = (samples(read("itu-inpsp-first3s.s16le")), read("itu-codsp-first3s.g722"));
    let mut coded = Vec::new();
    g722::Encoder::default().encode_into(&sent, &mut coded);
    assert_eq!(coded.iter().zip(&codes).position(|(ours, theirs)| ours != theirs), None);
    assert_eq!(coded.len(), codes.len());
    let mut heard = Vec::new();
    g722::Decoder::default().decode_into(&codes, &mut heard);
    let expected = samples(read("itu-outsp1-first3s.s16le"));
    let wrong = heard.iter().zip(&expected).position(|(ours, theirs)| ours != theirs);
    assert_eq!((wrong, heard.len()), (None, expected.len()));
}
