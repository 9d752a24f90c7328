//! The body of the fuzz target: everything that reads a description, on any octets.

use super::Session;

/// Reads `octets` as a description and asks it everything.
///
/// # Panics
/// Only if reading what we wrote gives something else: a bug.
pub fn fuzz_sdp(octets: &[u8]) {
    let Ok(session) = Session::parse(octets) else { return };
    for media in &session.media {
        let _ = (session.address_of(media), session.direction_of(media), session.milliseconds_of(media, "ptime"));
        let _ = (media.rtcp(), media.cryptos());
        for format in media.formats() {
            let _ = (format.parameter("useinbandfec"), format.attributes());
        }
    }
    let _ = format!("{session:?}");
    let written = session.to_bytes();
    // Writing can be longer than reading allows: U+FFFD takes three octets for one.
    if let Ok(again) = Session::parse(&written) {
        let rewritten = again.to_bytes();
        assert!(Session::parse(&rewritten).is_ok_and(|third| third.to_bytes() == rewritten), "unstable description");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SEEDS: [&str; 3] = [
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 96 0 101\r\n\
         a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:32\r\n\
         a=ptime:20\r\na=rtcp:4001 IN IP4 192.0.2.1\r\na=sendonly\r\n",
        "v=0\no=- 1 1 IN IP6 ::1\ns=\nt=1 2\na=inactive\nm=video 1/2 udp x\nc=IN IP6 ff02::1/3\nm=image 0 udptl t38\n",
        "v=0\r\r\nm=audio 9 RTP/AVP\r\nc=IN IP4 x.invalid\r\na=crypto\r\na=rtpmap\r\na=fmtp:\r\na=rtcp:\r\na=ptime:\r\n",
    ];

    #[test]
    fn mutated_descriptions_do_not_panic() {
        for seed in 0..4_000 {
            let random = &mut Random::from_seed(seed);
            let mut octets = SEEDS[random.range(0, 3) as usize].as_bytes().to_vec();
            for _ in 0..random.range(1, 12) {
                let at = random.range(0, octets.len() as u64) as usize;
                let until = (at + random.range(1, 20) as usize).min(octets.len());
                match random.range(0, 5) {
                    0 => octets[at] = random.u32() as u8,
                    1 => drop(octets.drain(at..until)),
                    2 => octets.insert(at, b" \r\n:/|;=\0\xff"[random.range(0, 10) as usize]),
                    3 => {
                        let piece = octets[at..until].to_vec();
                        octets.splice(at..at, piece);
                    }
                    _ => octets.truncate(at.max(4)),
                }
                if octets.is_empty() {
                    break;
                }
            }
            fuzz_sdp(&octets);
        }
    }
}
