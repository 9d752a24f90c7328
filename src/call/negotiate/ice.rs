//! ICE in the session description (RFC 8839), as a lite agent (RFC 8445 section 2.5): we show where we are, and answer the
//! checks of the far end.

use super::Negotiation;
use crate::media::plan::{Ice, IceCredentials};
use crate::random::Random;
use crate::sdp::{Attribute, Media, Session};
use std::net::{IpAddr, SocketAddr};

/// What the far end says of its side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Theirs {
    user: String,
    password: String,
    lite: bool,
}

impl Theirs {
    /// `None` if it does no ICE.
    pub(super) fn of(session: &Session, media: &Media) -> Option<Self> {
        let user = session.value_of(media, "ice-ufrag")?.to_owned();
        let password = session.value_of(media, "ice-pwd")?.to_owned();
        let lite = session.attributes.iter().any(|attribute| attribute.is("ice-lite"));
        // RFC 8839 section 5.4 has up to 256 characters.
        (user.len() <= 256 && password.len() <= 256).then_some(Self { user, password, lite })
    }
}

/// Where ICE stands in a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Lite {
    local: Option<IceCredentials>,
    /// That of the last exchange: another is a restart (RFC 8445 section 9).
    remote: Option<Theirs>,
}

impl Lite {
    /// What we say of ourselves; the same until the far end starts anew.
    pub(super) fn credentials(&mut self, random: &mut Random) -> IceCredentials {
        // 24 bits of chance for the name, 128 for the password (RFC 8445 section 5.3).
        self.local.get_or_insert_with(|| IceCredentials { user: random.token(8), password: random.token(32) }).clone()
    }

    /// The far end offers ICE.
    pub(super) fn offered(&mut self, theirs: Theirs, random: &mut Random) -> Ice {
        let named = |of: &Theirs| (of.user.clone(), of.password.clone());
        if self.remote.as_ref().is_some_and(|known| named(known) != named(&theirs)) {
            self.local = None;
        }
        let local = self.credentials(random);
        self.meet(local, theirs)
    }

    /// The far end answers our offer of ICE.
    pub(super) fn answered(&mut self, theirs: Theirs) -> Option<Ice> {
        let local = self.local.clone()?;
        Some(self.meet(local, theirs))
    }

    fn meet(&mut self, local: IceCredentials, theirs: Theirs) -> Ice {
        let (remote_user, remote_lite) = (theirs.user.clone(), theirs.lite);
        self.remote = Some(theirs);
        Ice { local, remote_user, remote_lite }
    }
}

impl Negotiation {
    /// The attributes of our stream.
    pub(super) fn ice_attributes(&self, credentials: &IceCredentials, rtcp: bool) -> Vec<Attribute> {
        let local = &self.local;
        let mut hosts = vec![(local.rtp, local.rtcp)];
        hosts.extend(local.hosts.iter().copied().filter(|host| host.0 != local.rtp));
        let mut attributes = vec![
            Attribute::new("ice-ufrag", credentials.user.as_str()),
            Attribute::new("ice-pwd", credentials.password.as_str()),
        ];
        for (number, (rtp, rtcp_host)) in (0_u32..).zip(hosts) {
            attributes.push(candidate(number, 1, rtp));
            if rtcp {
                attributes.push(candidate(number, 2, rtcp_host));
            }
        }
        attributes.push(Attribute::flag("end-of-candidates"));
        attributes
    }
}

/// What the session part says (RFC 8839 section 5.3, RFC 8445 section 10).
pub(super) fn session_attributes() -> Vec<Attribute> {
    vec![Attribute::flag("ice-lite"), Attribute::new("ice-options", "ice2")]
}

/// A host candidate (RFC 8839 section 5.1); the first address is preferred (RFC 8445 section 5.1.2.1).
fn candidate(number: u32, component: u32, host: SocketAddr) -> Attribute {
    const HOST: u32 = 126;
    let priority = (HOST << 24) | ((65_535 - number) << 8) | (256 - component);
    let ip: IpAddr = host.ip();
    Attribute::new("candidate", format!("{} {component} UDP {priority} {ip} {} typ host", number + 1, host.port()))
}
