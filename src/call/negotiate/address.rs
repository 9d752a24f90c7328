//! Where the far end's media is, and which ways it flows.

use super::{Local, Rejected, keys};
use crate::media::plan::Direction;
use crate::sdp::{Address, Media, Session};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The far end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    /// As it says it of itself.
    pub(super) direction: Direction,
}

/// The far end of `media`; `mux` says that both ends want RTP and RTCP on one port.
pub(super) fn remote(session: &Session, media: &Media, local: &Local, mux: bool) -> Result<Remote, Rejected> {
    let line = session.connection_of(media).map_or(media.line, |connection| connection.line);
    let said = session.direction_of(media).and_then(Direction::from_attribute).unwrap_or_default();
    let (ip, direction) = match session.address_of(media)? {
        Address::Unicast(ip) => (ip, said),
        // An agent of ICE that knows no address of its own yet (RFC 8840 section 4.1.1): its checks will say.
        Address::Nowhere(_) if local.ice && session.value_of(media, "ice-ufrag").is_some() => (nowhere(local), said),
        // A hold of RFC 2543 style forbids us to send (RFC 3264 section 8.4).
        Address::Nowhere(_) => (nowhere(local), Direction::of(said.sends(), false)),
        Address::Multicast(ip) => return Err(Rejected::Multicast { line, address: ip }),
        Address::Name(name) => return Err(Rejected::HostName { line, name: keys::word(&name) }),
    };
    if ip.is_ipv4() != local.rtp.is_ipv4() {
        return Err(Rejected::AddressFamily { line, theirs: ip, ours: local.rtp.ip() });
    }
    let rtp = SocketAddr::new(ip, media.port);
    let rtcp = match media.rtcp() {
        _ if mux => rtp,
        Some(rtcp) => {
            let own = rtcp.address.filter(|address| address.is_ipv4() == ip.is_ipv4() && !ip.is_unspecified());
            SocketAddr::new(own.unwrap_or(ip), rtcp.port)
        }
        // RFC 3550 section 11.
        None => SocketAddr::new(ip, media.port.saturating_add(1)),
    };
    Ok(Remote { rtp, rtcp, direction })
}

/// What both ends want, seen from our side (RFC 3264 section 6.1).
pub(super) fn direction(ours: Direction, theirs: Direction) -> Direction {
    Direction::of(ours.sends() && theirs.receives(), ours.receives() && theirs.sends())
}

/// The unspecified address of our family.
pub(super) fn nowhere(local: &Local) -> IpAddr {
    if local.rtp.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
