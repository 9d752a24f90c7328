//! DTMF on the wire: what we send, as tshark reads it from a capture.

use crate::capture::capture;
use crate::process::{address, eventually, installed};
use crate::sidetone::Home;
use crate::sipp::{Options, Sipp};
use std::time::Duration;

const SETUP: Duration = Duration::from_secs(20);

const FIELDS: [&str; 6] = [
    "rtp.timestamp",
    "rtp.marker",
    "rtpevent.event_id",
    "rtpevent.end_of_event",
    "rtpevent.volume",
    "rtpevent.duration",
];

/// One telephone-event packet (RFC 4733 section 2.3).
#[derive(Debug)]
struct Event {
    timestamp: u64,
    marker: bool,
    digit: u8,
    end: bool,
    volume: u8,
    duration: u16,
}

fn events(log: &str) -> Vec<Event> {
    let truth = |text: &str| text == "1" || text == "True";
    log.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let [timestamp, marker, digit, end, volume, duration, _] = fields[..] else { return None };
            Some(Event {
                timestamp: timestamp.parse().ok()?,
                marker: truth(marker),
                digit: digit.parse().ok()?,
                end: truth(end),
                volume: volume.parse().ok()?,
                duration: duration.parse().ok()?,
            })
        })
        .collect()
}

#[test]
fn digits_that_we_send_are_telephone_events_on_the_wire() {
    if !installed("sipp") || !installed("tshark") {
        return;
    }
    let sipp = Sipp::answers("uas_early_media", &Options::default());
    let (directory, ours) = (tempfile::tempdir().unwrap(), address());
    let Some(tshark) = capture(&directory, ours, sipp.address.port(), "rtpevent", &FIELDS) else { return };
    let home = Home::new();
    let bind = ours.to_string();
    let mut phone = home.start(
        &[
            "call",
            &sipp.uri(),
            "--no-register",
            "--bind",
            &bind,
            "--source",
            "tone:440",
            "--sink",
            "null",
            "--codec",
            "pcmu",
            "--dtmf",
            "159#D",
            "--duration",
            "3",
        ],
        "",
    );
    phone.expect("call.ended", SETUP);
    assert_eq!(phone.finish(SETUP).0, 0);
    sipp.finish(SETUP);
    // `#` is 11 and D is 15 (RFC 4733 section 3.2); the end of each event comes three times (section 2.5.1.4).
    let complete = |log: &str| events(log).iter().filter(|event| event.digit == 15 && event.end).count() >= 3;
    assert!(eventually(SETUP, || complete(&tshark.log())), "{}", tshark.log());
    let events = events(&tshark.log());
    let mut digits: Vec<u8> = events.iter().map(|event| event.digit).collect();
    digits.dedup();
    assert_eq!(digits, [1, 5, 9, 11, 15], "{events:?}");
    for digit in digits {
        let packets: Vec<&Event> = events.iter().filter(|event| event.digit == digit).collect();
        // One time stamp for the whole event, a marker on its first packet, a growing duration.
        assert!(packets.iter().all(|packet| packet.timestamp == packets[0].timestamp), "{packets:?}");
        assert!(packets[0].marker && packets[1..].iter().all(|packet| !packet.marker), "{packets:?}");
        assert!(packets.windows(2).all(|pair| pair[0].duration <= pair[1].duration), "{packets:?}");
        assert_eq!(packets.iter().filter(|packet| packet.end).count(), 3, "{packets:?}");
        assert!(packets[packets.len() - 3..].iter().all(|packet| packet.end), "{packets:?}");
        // 40 ms at least, in units of 1/8000 s.
        let last = packets[packets.len() - 1];
        assert!((320..=8_000).contains(&last.duration), "{last:?}");
        assert!(packets.iter().all(|packet| packet.volume <= 36), "valid DTMF is not below -36 dBm0: {packets:?}");
    }
}
