//! The body of the STUN fuzzer: anybody can send a datagram to a SIP port.

use super::{Message, Reply, check, is_stun, read, response, success};

/// Reads `octets`, and checks what every reader relies on.
///
/// # Panics
/// When a promise is broken.
pub fn fuzz(octets: &[u8]) {
    let answer = check::answer(octets, ([192, 0, 2, 1], 5000).into(), "user", "password", false);
    assert!(
        answer.is_none_or(|answer| is_stun(&answer.response) && !answer.nominated),
        "who knows no password nominates"
    );
    let Some(message) = read(octets) else {
        assert_eq!(response(octets), None, "no message is no response");
        return;
    };
    assert!(is_stun(octets), "what is read as STUN is kept from the SIP parser");
    let (id, seen) = match message {
        Message::Request(id) => (id, "192.0.2.1:5060".parse().ok()),
        Message::Response(id, Reply::Mapped(seen)) => (id, Some(seen)),
        Message::Response(id, Reply::Refused { reason, .. }) => {
            assert!(reason.chars().count() <= 128 && !reason.contains(char::is_control), "{reason:?}");
            (id, None)
        }
    };
    if let Some(seen) = seen {
        let written = success(id, seen);
        assert_eq!(read(&written), Some(Message::Response(id, Reply::Mapped(seen))), "what is written reads back");
    }
}
