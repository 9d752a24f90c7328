//! What we can do, for whoever asks by OPTIONS.

use super::{Local, Negotiation};
use crate::media::plan::Codec;
use crate::random::Random;
use crate::sdp::Session;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// A session description of our capabilities (RFC 3264 section 9): an offer whose port is 0.
pub fn capabilities(ip: IpAddr, codecs: &[Codec], random: &mut Random) -> Bytes {
    // The port is taken back below; the discard port until then.
    let local = Local { codecs: codecs.to_vec(), ..Local::new(SocketAddr::new(ip, 9)) };
    let offer = Negotiation::new(local, random).offer(random);
    let Ok(mut session) = Session::parse(&offer) else { return offer };
    for media in &mut session.media {
        media.port = 0;
    }
    session.to_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_name_the_codecs_and_no_port() {
        let sdp = capabilities("192.0.2.1".parse().unwrap(), &[Codec::Opus, Codec::Pcma], &mut Random::from_seed(1));
        let text = String::from_utf8(sdp.to_vec()).unwrap();
        assert!(text.contains("m=audio 0 RTP/AVP"), "{text}");
        assert!(text.contains("opus/48000/2") && text.contains("PCMA") && !text.contains("PCMU"), "{text}");
    }
}
