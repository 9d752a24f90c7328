//! Records for tests.

use crate::call::record::{CallDirection, EndedBy, Record, Status};
use crate::media::quality::{Inbound, Outbound, Report};

/// A record with a value in every field.
pub(crate) fn record() -> Record {
    Record {
        id: "01900000-0000-7000-8000-000000000001".into(),
        direction: CallDirection::Outbound,
        status: Status::Completed,
        from: "sip:+15550100001@trunk.example".into(),
        to: "sip:+1-555-010-0002@trunk.example".into(),
        number: Some("+15550100001".into()),
        account: Some("sip:ann@trunk.example".into()),
        sip_code: Some(200),
        sip_reason: Some("OK, \"très bien\"".into()),
        ended_by: Some(EndedBy::Remote),
        created_at: "2026-01-02T03:04:05.000000001Z".parse().unwrap(),
        ringing_at: Some("2026-01-02T03:04:06Z".parse().unwrap()),
        answered_at: Some("2026-01-02T03:04:07.5Z".parse().unwrap()),
        ended_at: Some("2026-01-02T03:05:08.123456789Z".parse().unwrap()),
        talk_seconds: Some(60.623456789),
        codec: Some("opus".into()),
        ptime_ms: Some(20),
        transport: Some("udp".into()),
        srtp: Some("AES_CM_128_HMAC_SHA1_80".into()),
        recording: Some("/var/lib/sidetone/ünïcode.wav".into()),
        dtmf_received: "123#".into(),
        quality: Report {
            inbound: Inbound {
                packets: 3000,
                expected: 3031,
                lost: 31,
                late: 2,
                duplicates: 1,
                reordered: 4,
                loss_percent: Some(1.0227647641042558),
                discard_percent: Some(0.066),
                burst_ratio: Some(1.25),
                jitter_ms: Some(2.5),
                jitter_max_ms: Some(9.75),
                buffer_ms: Some(41.0),
                r_factor: Some(85.3),
                mos: Some(4.21),
            },
            outbound: Outbound {
                packets: 3010,
                lost: Some(-3),
                loss_percent: Some(0.0),
                jitter_ms: Some(1.5),
                round_trip_ms: Some(23.75),
                r_factor: Some(90.1),
                mos: Some(4.35),
            },
        },
        metadata: serde_json::json!({"call_id": "abc@host", "nested": {"list": [1, 2.5, null, "x"]}})
            .as_object()
            .cloned()
            .unwrap(),
    }
}

/// A record as it is when a call starts: only what is known then.
pub(crate) fn fresh(id: &str) -> Record {
    Record {
        id: id.into(),
        status: Status::InProgress,
        number: None,
        account: None,
        sip_code: None,
        sip_reason: None,
        ended_by: None,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        talk_seconds: None,
        codec: None,
        ptime_ms: None,
        srtp: None,
        recording: None,
        dtmf_received: String::new(),
        quality: Report::default(),
        metadata: serde_json::Map::new(),
        ..record()
    }
}
