//! Our answer to an offer (RFC 3264 sections 6 and 8).

use super::codecs::{self, Common};
use super::dtls::{self, Protection};
use super::ice;
use super::keys::{self, OwnKey};
use super::{Agreed, Agreement, Audio, Exchange, Negotiation, Rejected, Stream, address};
use crate::media::plan::{Direction, Encoding, Plan, Srtp};
use crate::random::Random;
use crate::sdp::{Media, Session};
use bytes::Bytes;

/// An offered stream that we can use.
struct Fit {
    stream: usize,
    protection: Protection,
    ice: Option<ice::Theirs>,
    rtcp_mux: bool,
    remote: address::Remote,
    common: Common,
    encoding: Encoding,
    comfort_noise: Option<u8>,
}

impl Negotiation {
    /// Our answer to an offer: the first of a call or a new one in its course (hold, another address, codec or key). An
    /// offer that changes nothing gets the same octets again.
    ///
    /// Of several audio streams that fit, the one in use is kept; else one with keys is taken before one without, then
    /// the first. All others are refused with port 0.
    ///
    /// # Errors
    /// None fits. [`Rejected::status`] and [`Rejected::warning`] refuse the request then; what was agreed before still
    /// holds.
    pub fn answer(&mut self, offer: &[u8], random: &mut Random) -> Result<(Bytes, Agreement), Rejected> {
        if self.is_pending() {
            return Err(Rejected::Glare);
        }
        let session = Session::parse(offer)?;
        let in_use = self.agreed.as_ref().map(|agreed| agreed.stream);
        let (fits, refusals): (Vec<_>, Vec<_>) = session
            .media
            .iter()
            .enumerate()
            .map(|(stream, media)| self.judge(&session, stream, media))
            .partition(Result::is_ok);
        let best = fits
            .into_iter()
            .flatten()
            .min_by_key(|fit| (Some(fit.stream) != in_use, fit.protection.is_plain(), fit.stream));
        match best {
            Some(fit) => Ok(self.take(&session, fit, random)),
            None => {
                let refusal = refusals.into_iter().filter_map(Result::err).max_by_key(Rejected::depth);
                self.switched_off(&session).ok_or_else(|| refusal.unwrap_or_else(|| no_audio(&session)))
            }
        }
    }

    /// Can we use this stream?
    fn judge(&self, session: &Session, stream: usize, media: &Media) -> Result<Fit, Rejected> {
        if media.port == 0 || !media.kind.eq_ignore_ascii_case("audio") {
            return Err(no_audio(session));
        }
        let before = self.plan().and_then(|plan| plan.dtls.as_ref());
        let protection = dtls::of_offer(&self.local, session, media, before)?;
        let ice = ice::Theirs::of(session, media).filter(|_| self.local.ice);
        let rtcp_mux = self.local.rtcp_mux && media.has("rtcp-mux");
        let remote = address::remote(session, media, &self.local, rtcp_mux)?;
        let formats = media.formats();
        let no_codec = || {
            let ours: Vec<&str> = codecs::wanted(&self.local).into_iter().map(|codec| codec.name()).collect();
            Rejected::NoCodec { line: media.line, theirs: codecs::names(&formats), ours: ours.join(", ") }
        };
        let common = Common::with_offer(&formats, &self.local).ok_or_else(no_codec)?;
        let encoding = common.encoding(session, media, &self.local).ok_or_else(no_codec)?;
        let comfort_noise = common.comfort_noise(media, &self.local);
        Ok(Fit { stream, protection, ice, rtcp_mux, remote, common, encoding, comfort_noise })
    }

    fn take(&mut self, session: &Session, fit: Fit, random: &mut Random) -> (Bytes, Agreement) {
        let Fit { stream, protection, ice, rtcp_mux, remote, common, encoding, comfort_noise } = fit;
        let before = self.plan().and_then(|plan| plan.srtp.as_ref());
        let mut dtls = None;
        let (tag, srtp) = match protection {
            Protection::Plain => (1, None),
            Protection::Handshake(theirs) => {
                dtls = Some(theirs);
                (1, None)
            }
            Protection::Key(theirs) => {
                // While the far end keeps its key we keep ours, and packets keep counting. A new key is likely to be a
                // new far end, which counts ours from zero: that needs a new key too (RFC 3711 section 3.3.1).
                let local = match before {
                    Some(srtp) if (srtp.suite, &srtp.remote) == (theirs.suite, &theirs.key) => srtp.local.clone(),
                    _ => OwnKey::new(theirs.tag, theirs.suite, random).key,
                };
                let keys = Srtp {
                    suite: theirs.suite,
                    local,
                    remote: theirs.key,
                    remote_mki: theirs.mki,
                    remote_lifetime: theirs.lifetime,
                };
                (theirs.tag, Some(keys))
            }
        };
        let own: Vec<OwnKey> =
            srtp.iter().map(|srtp| OwnKey { tag, suite: srtp.suite, key: srtp.local.clone() }).collect();
        let direction = address::direction(self.local.direction, remote.direction);
        let protocol = session.media.get(stream).map_or_else(String::new, |media| media.protocol.clone());
        let ice = ice.map(|theirs| self.ice.offered(theirs, random));
        let mut also = Vec::new();
        if let (Some(fingerprint), Some(dtls)) = (&self.local.fingerprint, &dtls) {
            also.extend(dtls::attributes(fingerprint, Some(dtls.role)));
        }
        if let Some(ice) = &ice {
            also.extend(self.ice_attributes(&ice.local, !rtcp_mux));
        }
        let audio = Audio {
            protocol: &protocol,
            also,
            formats: common.formats.iter().map(|shared| shared.meaning.format(shared.receive, &self.local)).collect(),
            keys: &own,
            packet_time: encoding.packet_time,
            rtcp: (!rtcp_mux).then_some(self.local.rtcp),
            rtcp_mux,
            direction,
        }
        .media(&self.local);
        self.streams = session.media.iter().map(Stream::of).collect();
        if let Some(media) = session.media.get(stream) {
            self.payload_types.learn(&media.formats());
        }
        let plan = Plan {
            remote_rtp: remote.rtp,
            remote_rtcp: remote.rtcp,
            rtcp_mux,
            direction,
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
        self.exchange = Exchange::Settled;
        let octets = self.describe(stream, audio, session.times.clone());
        let agreed = Agreed { plan, stream, protocol, tag, remote_direction: remote.direction };
        (octets, self.settle(agreed))
    }

    /// The far end switches its only stream off in the course of a call (RFC 3264 section 8.2): a hold with port 0.
    /// `None` if that is not what it does.
    fn switched_off(&mut self, session: &Session) -> Option<(Bytes, Agreement)> {
        let mut agreed = self.agreed.clone()?;
        let media = session.media.get(agreed.stream)?;
        if !media.kind.eq_ignore_ascii_case("audio") || session.media.iter().any(|media| media.port != 0) {
            return None;
        }
        agreed.plan.direction = Direction::Inactive;
        agreed.remote_direction = Direction::Inactive;
        self.streams = session.media.iter().map(Stream::of).collect();
        self.exchange = Exchange::Settled;
        let refused = Stream::of(media).refused();
        let octets = self.describe(agreed.stream, refused, session.times.clone());
        Some((octets, self.settle(agreed)))
    }
}

fn no_audio(session: &Session) -> Rejected {
    let mut kinds: Vec<String> = session
        .media
        .iter()
        .take(8)
        .map(|media| format!("{}{}", keys::word(&media.kind), if media.port == 0 { " with port 0" } else { "" }))
        .collect();
    if kinds.is_empty() {
        kinds.push("no m= line".into());
    }
    Rejected::NoAudio { kinds: kinds.join(", ") }
}
