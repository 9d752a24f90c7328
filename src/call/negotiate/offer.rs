//! Our offer, and the answer to it (RFC 3264 sections 5 and 7).

use super::codecs::{self, Common, Meaning};
use super::dtls;
use super::ice;
use super::keys::{self, OwnKey, TheirKey};
use super::{Agreed, Agreement, Audio, Exchange, Negotiation, Rejected, SrtpPolicy, Stream, address};
use crate::media::plan::{Direction, IceCredentials, Plan, Srtp};
use crate::random::Random;
use crate::sdp::Session;
use bytes::Bytes;

/// An offer of ours, as far as its answer has to be compared with it.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    stream: usize,
    /// Was it `RTP/SAVP`?
    secure: bool,
    keys: Vec<OwnKey>,
    payload_types: Vec<(Meaning, u8)>,
    rtcp_mux: bool,
    direction: Direction,
    /// Does a handshake agree on the keys?
    pub(super) dtls: bool,
    pub(super) ice: Option<IceCredentials>,
}

impl Negotiation {
    /// Our offer: the first of a call, in an INVITE or in the 200 to one without; or a new one in its course, which
    /// keeps streams, payload types, protocol and keys and says what [`set_local`](Self::set_local) changed. It takes
    /// the place of an offer that is still open.
    pub fn offer(&mut self, random: &mut Random) -> Bytes {
        let (stream, protocol, keys) = self.protection(random);
        let payload_types: Vec<(Meaning, u8)> = codecs::offered(&self.local)
            .into_iter()
            .map(|meaning| (meaning, self.payload_types.number(meaning)))
            .collect();
        let dtls = protocol.starts_with("UDP/TLS/");
        let ice = self.local.ice.then(|| self.ice.credentials(random));
        let mut also = Vec::new();
        if let Some(fingerprint) = self.local.fingerprint.as_ref().filter(|_| dtls) {
            also.extend(dtls::attributes(fingerprint, None));
        }
        if let Some(credentials) = &ice {
            also.extend(self.ice_attributes(credentials, true));
        }
        let local = &self.local;
        let audio = Audio {
            protocol: &protocol,
            also,
            formats: payload_types.iter().map(|(meaning, number)| meaning.format(*number, local)).collect(),
            keys: &keys,
            packet_time: local.packet_time,
            rtcp: Some(local.rtcp),
            rtcp_mux: local.rtcp_mux,
            direction: local.direction,
        }
        .media(local);
        match self.streams.get_mut(stream) {
            Some(known) => *known = Stream::of(&audio),
            None => self.streams.push(Stream::of(&audio)),
        }
        let offered = Offered {
            stream,
            secure: keys::is_secure(&audio).unwrap_or(false),
            keys,
            payload_types,
            rtcp_mux: local.rtcp_mux,
            direction: local.direction,
            dtls,
            ice,
        };
        self.renew_keys = false;
        self.exchange = Exchange::Pending(offered);
        let times = self.sent.as_ref().map(|sent| sent.times.clone()).unwrap_or_default();
        self.describe(stream, audio, times)
    }

    /// Stream, protocol and keys of our next offer: those in use, else those that the policy says.
    fn protection(&self, random: &mut Random) -> (usize, String, Vec<OwnKey>) {
        if let Some(agreed) = &self.agreed {
            if agreed.plan.dtls.is_some() {
                return (agreed.stream, agreed.protocol.clone(), Vec::new());
            }
            if let Some(srtp) = &agreed.plan.srtp {
                let own = if self.renew_keys {
                    OwnKey::new(agreed.tag, srtp.suite, random)
                } else {
                    OwnKey { tag: agreed.tag, suite: srtp.suite, key: srtp.local.clone() }
                };
                return (agreed.stream, agreed.protocol.clone(), vec![own]);
            }
            if !matches!(self.local.srtp, SrtpPolicy::Required | SrtpPolicy::Dtls) {
                return (agreed.stream, agreed.protocol.clone(), Vec::new());
            }
        }
        let stream = self.agreed.as_ref().map_or(0, |agreed| agreed.stream);
        let (protocol, keys) = match self.local.srtp {
            SrtpPolicy::Off => ("RTP/AVP", Vec::new()),
            SrtpPolicy::Optional => ("RTP/AVP", OwnKey::each_of(keys::offered(&self.local), random)),
            SrtpPolicy::Dtls => (dtls::protocol(&self.local), Vec::new()),
            SrtpPolicy::Required => ("RTP/SAVP", OwnKey::each_of(keys::offered(&self.local), random)),
        };
        (stream, protocol.into(), keys)
    }

    /// The answer to our offer. May be called again for the same offer: another fork answers, or a 200 says something
    /// else than the 183 before it.
    ///
    /// # Errors
    /// The answer cannot be used, or there was no offer. Nothing changes then.
    pub fn answered(&mut self, answer: &[u8]) -> Result<Agreement, Rejected> {
        let offered = match &self.exchange {
            Exchange::Pending(offered) | Exchange::Answered(offered) => offered.clone(),
            Exchange::Settled => return Err(Rejected::NoOffer),
        };
        let session = Session::parse(answer)?;
        let media = session.media.get(offered.stream).ok_or(Rejected::Refused)?;
        if media.port == 0 || !media.kind.eq_ignore_ascii_case("audio") {
            return Err(Rejected::Refused);
        }
        let (keys, dtls) = if offered.dtls {
            keys::is_secure(media)?;
            (None, Some(dtls::of_answer(&self.local, &session, media)?))
        } else {
            (keys::of_answer(&offered.keys, offered.secure, media)?, None)
        };
        let rtcp_mux = offered.rtcp_mux && media.has("rtcp-mux");
        let remote = address::remote(&session, media, &self.local, rtcp_mux)?;
        let formats = media.formats();
        let no_codec = || Rejected::NoCodec {
            line: media.line,
            theirs: codecs::names(&formats),
            ours: codecs::names(
                &offered.payload_types.iter().map(|(m, n)| m.format(*n, &self.local)).collect::<Vec<_>>(),
            ),
        };
        let common = Common::with_answer(&formats, &offered.payload_types).ok_or_else(no_codec)?;
        let encoding = common.encoding(&session, media, &self.local).ok_or_else(no_codec)?;
        let comfort_noise = common.comfort_noise(media, &self.local);
        let (tag, srtp) = match keys {
            Some((own, TheirKey { key: remote, mki: remote_mki, lifetime: remote_lifetime, .. })) => {
                (own.tag, Some(Srtp { suite: own.suite, local: own.key, remote, remote_mki, remote_lifetime }))
            }
            None => (1, None),
        };
        let theirs = ice::Theirs::of(&session, media).filter(|_| offered.ice.is_some());
        let ice = theirs.and_then(|theirs| self.ice.answered(theirs));
        let plan = Plan {
            remote_rtp: remote.rtp,
            remote_rtcp: remote.rtcp,
            rtcp_mux,
            direction: address::direction(offered.direction, remote.direction),
            encoding,
            comfort_noise,
            receive: common.receive(),
            send_event: common.send_event(encoding.codec),
            receive_events: common.receive_events(),
            hear_tones: false,
            holding: false,
            srtp,
            dtls,
            ice,
        };
        let protocol = media.protocol.clone();
        let agreed = Agreed { plan, stream: offered.stream, protocol, tag, remote_direction: remote.direction };
        self.exchange = Exchange::Answered(offered);
        Ok(self.settle(agreed))
    }
}
