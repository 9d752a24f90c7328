//! RTP, RTCP, SRTP and quality against the shared conformance vectors, which are read in place.
//!
//! `SIDETONE_SHARED` names their folder, else `../shared` beside the project; a machine without it skips these tests.

use serde_json::Value;
use sidetone::media::packet::Packet;
use sidetone::media::plan::{MasterKey, SrtpSuite};
use sidetone::media::quality::burst::{Fate, Pattern, Summary};
use sidetone::media::quality::emodel::{self, Input, Rating};
use sidetone::media::quality::impairment::Impairment;
use sidetone::media::receive::{Probation, Reception};
use sidetone::media::rtcp::{self, Part};
use sidetone::media::sequence::{RtpTime, Seq, Ssrc};
use sidetone::media::srtp::{Incoming, Outgoing, Refused};
use sidetone::time::{Duration, Instant};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file of the vectors, or `None` with a word about it.
fn vectors(path: &str) -> Option<(PathBuf, String)> {
    let shared = std::env::var_os("SIDETONE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let file = shared.join("vectors").join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => Some((file, text)),
        Err(error) => {
            println!("skipped: {} ({error})", file.display());
            None
        }
    }
}

fn json(path: &str) -> Option<(PathBuf, Value)> {
    vectors(path).map(|(file, text)| (file, serde_json::from_str(&text).unwrap()))
}

/// Rows of a tab-separated table, by the names in its header.
fn table(text: &str) -> Vec<HashMap<&str, &str>> {
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap().split('\t').collect();
    lines.map(|line| header.iter().copied().zip(line.split('\t')).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[track_caller]
fn close(what: &str, value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{what}: {value}, expected {expected}");
}

#[test]
fn arrival_lists_give_the_expected_loss_and_jitter() {
    let Some((file, index)) = json("rtp/index.json") else { return };
    let streams = index["streams"].as_array().unwrap();
    assert!(streams.len() >= 5);
    for stream in streams {
        let name = stream["file"].as_str().unwrap();
        let text = std::fs::read_to_string(file.with_file_name(name)).unwrap();
        let clock_rate = stream["clock_rate"].as_u64().unwrap() as u32;
        for probation in [Probation::Required, Probation::Waived] {
            let mut reception = Reception::new(probation);
            for row in table(&text) {
                let packet = Packet {
                    marker: row["marker"] == "1",
                    payload_type: row["payload_type"].parse().unwrap(),
                    seq: Seq(row["seq"].parse().unwrap()),
                    timestamp: RtpTime(row["timestamp"].parse().unwrap()),
                    ssrc: Ssrc(1),
                    payload: &[],
                };
                let arrival = Instant::at(Duration::from_secs_f64(number(row["arrival_s"])));
                reception.handle(arrival, &packet, Some(clock_rate));
            }
            let (statistics, interval) = (reception.statistics(), reception.report().unwrap());
            let expect = |key: &str| stream["expect"][key].as_f64().unwrap();
            assert_eq!(statistics.packets as f64, expect("received"), "{name}");
            assert_eq!(statistics.expected as f64, expect("expected"), "{name}");
            assert_eq!(f64::from(interval.cumulative_lost), expect("cumulative_lost"), "{name}");
            assert_eq!(statistics.duplicates as f64, expect("duplicates"), "{name}");
            assert_eq!(statistics.reordered as f64, expect("late_or_reordered"), "{name}");
            assert_eq!(f64::from(interval.extended_highest), expect("extended_highest_seq"), "{name}");
            let millis = |jitter: Option<Duration>| jitter.unwrap().as_secs_f64() * 1_000.0;
            close(name, millis(statistics.jitter), expect("jitter_ms"), 0.000_2);
            close(name, millis(statistics.jitter_max), expect("max_jitter_ms"), 0.000_2);
            close(name, interval.jitter.into(), expect("jitter_ticks"), 0.51);
        }
    }
}

fn summary(pattern: &str) -> Summary {
    let mut fates = Pattern::default();
    for fate in pattern.chars() {
        fates.push(match fate {
            '0' => Fate::Received,
            '1' => Fate::Lost,
            '2' => Fate::Discarded,
            other => panic!("{other}"),
        });
    }
    fates.summary()
}

#[test]
fn bursts_and_gaps_of_rfc_3611() {
    let Some((_, cases)) = json("rtcp/burst-gap.json") else { return };
    for case in cases["cases"].as_array().unwrap() {
        let summary = summary(case["pattern"].as_str().unwrap());
        let rate = |part: u64| (256 * part / summary.packets).min(255) as f64;
        let density = |share: f64| (256.0 * share).floor().min(255.0);
        let figures = [
            ("packets", summary.packets as f64, 0.0),
            ("lost", summary.lost as f64, 0.0),
            ("discarded", summary.discarded as f64, 0.0),
            ("loss_rate", rate(summary.lost), 1.0),
            ("discard_rate", rate(summary.discarded), 1.0),
            ("bursts", summary.bursts as f64, 0.0),
            ("burst_packets", summary.burst_packets as f64, 0.0),
            ("burst_lost_or_discarded", summary.burst_losses as f64, 0.0),
            ("burst_density", density(summary.burst_density()), 1.0),
            ("gap_packets", summary.gap_packets() as f64, 0.0),
            ("gap_lost_or_discarded", summary.gap_losses() as f64, 0.0),
            ("gap_density", density(summary.gap_density()), 1.0),
            ("mean_burst_ms", summary.mean_burst() * 20.0, 0.001),
            ("mean_gap_ms", summary.mean_gap() * 20.0, 0.001),
        ];
        let expect = case["expect"].as_object().unwrap();
        assert_eq!(figures.len(), expect.len());
        for (name, value, tolerance) in figures {
            close(name, value, expect[name].as_f64().unwrap(), tolerance);
        }
    }
}

#[test]
fn burst_ratio_of_loss_patterns_and_its_rating() {
    let Some((_, text)) = vectors("emodel/loss-patterns.tsv") else { return };
    for row in table(&text) {
        let summary = summary(row["pattern_0_received_1_lost"]);
        let loss_percent = 100.0 * summary.lost as f64 / summary.packets as f64;
        close("loss", loss_percent, number(row["loss_percent"]), 0.000_5);
        close("mean burst", summary.lost as f64 / summary.runs as f64, number(row["mean_burst"]), 0.000_1);
        let burst_ratio = summary.burst_ratio().unwrap();
        close("BurstR", burst_ratio, number(row["BurstR"]), 0.000_1);
        let pcmu = Impairment::named("pcmu").unwrap();
        let rating = Input { bpl: pcmu.bpl, loss_percent, burst_ratio, ..Input::default() }.rate();
        close("R", rating.r, number(row["R_G.711_PLC_Ta0"]), 0.01);
        close("MOS", rating.mos, number(row["MOS"]), 0.01);
    }
}

#[test]
fn ratings_of_the_e_model() {
    let Some((_, text)) = vectors("emodel/cases.tsv") else { return };
    let rows = table(&text);
    assert!(rows.len() >= 270);
    for row in rows {
        let input = Input {
            ie: number(row["Ie"]),
            bpl: number(row["Bpl"]),
            delay_ms: number(row["Ta_ms"]),
            loss_percent: number(row["loss_percent"]),
            burst_ratio: number(row["BurstR"]),
            ..Input::default()
        };
        input.check().unwrap();
        let (plain, echo) = (input.rate(), input.with_echo().rate());
        let what = format!("{row:?}");
        close(&what, plain.ie_eff, number(row["Ie_eff"]), 0.000_1);
        close(&what, plain.idd, number(row["Idd"]), 0.000_1);
        close(&what, plain.r, number(row["R"]), 0.001);
        close(&what, plain.mos, number(row["MOS"]), 0.000_1);
        close(&what, echo.r, number(row["R_with_echo"]), 0.001);
        close(&what, echo.mos, number(row["MOS_with_echo"]), 0.000_1);
    }
}

#[test]
fn constants_of_the_e_model() {
    if let Some((_, text)) = vectors("emodel/constants.tsv") {
        let constants: HashMap<_, _> = table(&text).into_iter().map(|row| (row["name"], row["value"])).collect();
        let Rating { ro, is, idle, r, mos, .. } = Input::default().rate();
        let constant = |name| number(constants[name]);
        close("Ro", ro, constant("Ro_default"), 0.000_6);
        close("Is", is, constant("Is_default"), 0.000_6);
        close("Idle", idle, constant("Idle_default"), 0.000_6);
        close("R", r, constant("R_default"), 0.01);
        close("MOS", mos, constant("MOS_default"), 0.01);
        let codec = |name| Impairment::named(name).unwrap();
        for name in ["pcmu", "pcma"] {
            assert_eq!((codec(name).ie, codec(name).bpl), (constant("Ie_G.711"), constant("Bpl_G.711_PLC")));
        }
        assert_eq!((codec("g729").ie, codec("g729").bpl), (constant("Ie_G.729A"), constant("Bpl_G.729A")));
    }
    if let Some((_, text)) = vectors("emodel/idd.tsv") {
        for row in table(&text) {
            let rating = Input { delay_ms: number(row["Ta_ms"]), ..Input::default() }.rate();
            close("Idd", rating.idd, number(row["Idd"]), 0.000_1);
        }
    }
    if let Some((_, text)) = vectors("emodel/r-to-mos.tsv") {
        for row in table(&text) {
            close("MOS", emodel::mos(number(row["R"])), number(row["MOS"]), 0.000_1);
        }
    }
}

#[test]
fn captured_rtcp_reads_as_the_dissector_read_it() {
    let Some((_, captures)) = json("rtcp/captured.json") else { return };
    let mut packets = 0;
    for packet in captures["captures"].as_array().unwrap().iter().flat_map(|c| c["packets"].as_array().unwrap()) {
        packets += 1;
        let parts = rtcp::parse(&hex(&packet["hex"])).unwrap();
        let list = |key: &str| -> Vec<String> {
            packet[key].as_str().map_or_else(Vec::new, |text| text.split(',').map(str::to_owned).collect())
        };
        let (mut blocks, mut senders, mut ssrcs, mut names, mut types) = (vec![], vec![], vec![], vec![], vec![]);
        for part in &parts {
            match part {
                Part::Report { ssrc, sender, blocks: of_this } => {
                    types.push(if sender.is_some() { "200" } else { "201" });
                    ssrcs.push(format!("0x{ssrc}"));
                    senders.extend(*sender);
                    blocks.extend(of_this.clone());
                }
                Part::Cname { name, .. } => {
                    types.push("202");
                    names.push(String::from_utf8(name.clone()).unwrap());
                }
                Part::Bye { ssrcs } => {
                    types.push("203");
                    assert_eq!(ssrcs.len(), 1);
                }
            }
        }
        assert_eq!(types, list("packet_types"));
        assert_eq!(ssrcs, list("sender_ssrc"));
        let of_blocks = |figure: fn(&rtcp::ReportBlock) -> String| blocks.iter().map(figure).collect::<Vec<_>>();
        assert_eq!(of_blocks(|block| block.fraction_lost.to_string()), list("fraction_lost"));
        assert_eq!(of_blocks(|block| block.cumulative_lost.to_string()), list("cumulative_lost"));
        assert_eq!(of_blocks(|block| block.extended_highest.to_string()), list("ext_high"));
        assert_eq!(of_blocks(|block| block.jitter.to_string()), list("jitter"));
        assert_eq!(of_blocks(|block| block.last_sr.to_string()), list("lsr"));
        assert_eq!(of_blocks(|block| block.delay_since_last_sr.to_string()), list("dlsr"));
        let of_senders = |figure: fn(&rtcp::SenderInfo) -> String| senders.iter().map(figure).collect::<Vec<_>>();
        assert_eq!(of_senders(|sender| sender.packets.to_string()), list("sr_packets"));
        assert_eq!(of_senders(|sender| sender.octets.to_string()), list("sr_octets"));
        assert_eq!(of_senders(|sender| sender.rtp.0.to_string()), list("sr_rtp_timestamp"));
        // The dissector lists every text item; a CNAME comes first in its chunk.
        for (name, text) in names.iter().zip(list("sdes_text")) {
            assert_eq!(*name, text);
        }
    }
    assert!(packets >= 6);
}

#[test]
fn extended_reports_are_skipped_and_the_report_beside_them_read() {
    let Some((_, xr)) = json("rtcp/xr.json") else { return };
    for packet in xr["packets"].as_array().unwrap() {
        let parts = rtcp::parse(&hex(&packet["hex"]));
        if packet["name"].as_str().unwrap().starts_with("compound") {
            let parts = parts.unwrap();
            assert!(matches!(parts[..], [Part::Report { sender: None, .. }, Part::Cname { .. }]), "{parts:?}");
        } else {
            assert!(parts.is_err(), "no compound packet: {packet}");
        }
    }
}

fn suite(profile: &Value) -> Option<SrtpSuite> {
    SrtpSuite::ALL.into_iter().find(|suite| suite.name() == profile.as_str().unwrap())
}

fn key(of: &Value) -> MasterKey {
    MasterKey([hex(&of["master_key"]), hex(&of["master_salt"])].concat())
}

/// Their master key is that of RFC 3711 appendix B.3, so they check the key derivation too.
#[test]
fn srtp_reference_packets_of_libsrtp() {
    let Some((_, libsrtp)) = json("srtp/libsrtp.json") else { return };
    let mut checked = 0;
    for vector in libsrtp["vectors"].as_array().unwrap() {
        let Some(suite) = suite(&vector["profile"]) else { continue };
        checked += 1;
        let key = key(vector);
        let (mut out, mut into) = (Outgoing::new(suite, &key).unwrap(), Incoming::new(suite, &key).unwrap());
        let (plain, protected) = (hex(&vector["plain_packet"]), hex(&vector["protected_packet"]));
        if vector["kind"] == "rtp" {
            assert_eq!(out.protect_rtp(&plain).unwrap(), protected);
            assert_eq!(into.unprotect_rtp(&protected).unwrap(), plain);
        } else {
            assert_eq!(out.protect_rtcp(&plain).unwrap(), protected);
            assert_eq!(into.unprotect_rtcp(&protected).unwrap(), plain);
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn srtp_streams_across_the_roll_over() {
    let Some((_, streams)) = json("srtp/streams.json") else { return };
    let mut checked = 0;
    for stream in streams["streams"].as_array().unwrap() {
        let Some(suite) = suite(&stream["profile"]) else { continue };
        checked += 1;
        let key = key(stream);
        let (mut out, mut into) = (Outgoing::new(suite, &key).unwrap(), Incoming::new(suite, &key).unwrap());
        for packet in stream["packets"].as_array().unwrap() {
            let (plain, protected) = (hex(&packet["plain_packet"]), hex(&packet["protected_packet"]));
            let mut forged = protected.clone();
            *forged.last_mut().unwrap() ^= 1;
            if packet["kind"] == "rtp" {
                assert_eq!(out.protect_rtp(&plain).unwrap(), protected);
                assert_eq!(into.unprotect_rtp(&forged), Err(Refused::Authentication));
                assert_eq!(into.unprotect_rtp(&protected).unwrap(), plain);
                assert_eq!(into.unprotect_rtp(&protected), Err(Refused::Replayed));
            } else {
                assert_eq!(out.protect_rtcp(&plain).unwrap(), protected);
                assert_eq!(into.unprotect_rtcp(&forged), Err(Refused::Authentication));
                assert_eq!(into.unprotect_rtcp(&protected).unwrap(), plain);
                assert_eq!(into.unprotect_rtcp(&protected), Err(Refused::Replayed));
            }
        }
    }
    assert_eq!(checked, 4);
}
