//! RTP payload formats: `m=` formats, `a=rtpmap`, `a=fmtp` and the static numbers of RFC 3551.

use super::{Attribute, Media};

/// One RTP payload type of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as it came; empty if nothing says what the number means.
    pub name: String,
    /// RTP clock rate, Hz; 0 if nothing says it.
    pub clock_rate: u32,
    /// What follows the clock rate: the number of channels, for audio.
    pub channels: Option<u8>,
    /// `a=fmtp` without the payload type.
    pub parameters: Option<String>,
}

impl Format {
    /// A format without `fmtp`.
    pub fn new(payload_type: u8, name: &str, clock_rate: u32, channels: Option<u8>) -> Self {
        Self { payload_type, name: name.into(), clock_rate, channels, parameters: None }
    }

    /// Is it this encoding? Names have no case (RFC 4855 section 3).
    pub fn is(&self, name: &str, clock_rate: u32) -> bool {
        self.clock_rate == clock_rate && self.name.eq_ignore_ascii_case(name)
    }

    /// The value of one `name=value` of the `fmtp`; names have no case (RFC 4855 section 3).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.as_deref()?.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
        })
    }

    /// The attributes that describe it.
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut map = sdp_types::RtpMap::new(self.payload_type, &self.name, self.clock_rate);
        if let Some(channels) = self.channels {
            map.set_encoding_params(channels);
        }
        let mut attributes = vec![Attribute::new("rtpmap", map.to_string())];
        if let Some(parameters) = &self.parameters {
            attributes.push(Attribute::new("fmtp", format!("{} {parameters}", self.payload_type)));
        }
        attributes
    }

    /// The formats of `media` in its order, each payload type once; those that are no payload type are left out.
    pub(super) fn of(media: &Media) -> Vec<Format> {
        let mut maps: [Option<Format>; 128] = [const { None }; 128];
        let mut parameters: [Option<&str>; 128] = [None; 128];
        for attribute in &media.attributes {
            let Some(value) = attribute.value.as_deref() else { continue };
            if attribute.is("rtpmap") {
                let Some(format) = rtpmap(value) else { continue };
                if let Some(slot @ None) = maps.get_mut(usize::from(format.payload_type)) {
                    *slot = Some(format);
                }
            } else if attribute.is("fmtp") {
                let Some((payload_type, text)) = value.split_once(|character: char| character.is_ascii_whitespace())
                else {
                    continue;
                };
                let Ok(payload_type) = payload_type.parse::<usize>() else { continue };
                if let Some(slot @ None) = parameters.get_mut(payload_type) {
                    *slot = Some(text.trim());
                }
            }
        }
        let mut formats: Vec<Format> = Vec::new();
        let mut seen = [false; 128];
        for text in &media.formats {
            let Ok(payload_type) = text.parse::<u8>() else { continue };
            let index = usize::from(payload_type);
            let (Some(seen), Some(map), Some(parameters)) =
                (seen.get_mut(index), maps.get_mut(index), parameters.get(index))
            else {
                continue;
            };
            if std::mem::replace(seen, true) {
                continue;
            }
            let mut format =
                map.take().or_else(|| assigned(payload_type)).unwrap_or(Format::new(payload_type, "", 0, None));
            format.parameters = parameters.map(str::to_owned);
            formats.push(format);
        }
        formats
    }
}

/// `<payload type> <name>/<clock rate>[/<channels>]`, with any blanks.
fn rtpmap(value: &str) -> Option<Format> {
    let mut fields = value.split_ascii_whitespace();
    let (payload_type, rest) = (fields.next()?, fields.collect::<String>());
    let map: sdp_types::RtpMap = format!("{payload_type} {rest}").parse().ok()?;
    let channels = map.encoding_params.and_then(|channels| channels.parse().ok());
    Some(Format::new(map.payload_type, &map.encoding_name, map.clock_rate, channels))
}

/// The static payload types of RFC 3551 tables 4 and 5 that still appear without `rtpmap`.
fn assigned(payload_type: u8) -> Option<Format> {
    let (name, clock_rate) = match payload_type {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        11 => ("L16", 44_100),
        13 => ("CN", 8_000),
        15 => ("G728", 8_000),
        18 => ("G729", 8_000),
        26 => ("JPEG", 90_000),
        31 => ("H261", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    };
    Some(Format::new(payload_type, name, clock_rate, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(formats: &str, attributes: &[&str]) -> Media {
        let mut media = Media::new("audio", 1, "RTP/AVP", formats.split(' ').map(str::to_owned).collect());
        media.attributes = attributes
            .iter()
            .map(|line| match line.split_once(':') {
                Some((name, value)) => Attribute::new(name, value),
                None => Attribute::flag(line),
            })
            .collect();
        media
    }

    #[test]
    fn formats_come_in_the_order_of_the_m_line() {
        let formats = media(
            "111 0 x 200 8 111 101 77",
            &[
                "rtpmap:8  pcma / 8000 / 1",
                "rtpmap:111 OPUS/48000/2",
                "rtpmap:111 late/8000",
                "rtpmap:nonsense",
                "rtpmap:300 x/1",
                "rtpmap:101 telephone-event/8000",
                "fmtp:111  useinbandfec = 1; MaxPlaybackRate=16000",
                "fmtp:101 0-15,16",
            ],
        )
        .formats();
        let short: Vec<_> =
            formats.iter().map(|format| (format.payload_type, format.name.as_str(), format.channels)).collect();
        assert_eq!(
            short,
            [
                (111, "OPUS", Some(2)),
                (0, "PCMU", None),
                (8, "pcma", Some(1)),
                (101, "telephone-event", None),
                (77, "", None)
            ]
        );
        assert!(formats[0].is("opus", 48_000) && !formats[0].is("opus", 16_000));
        assert_eq!(formats[0].parameter("useinbandfec"), Some("1"));
        assert_eq!(formats[0].parameter("maxplaybackrate"), Some("16000"));
        assert_eq!(formats[0].parameter("cbr"), None);
        assert_eq!(formats[3].parameters.as_deref(), Some("0-15,16"));
    }

    #[test]
    fn attributes_say_the_format_again() {
        let mut opus = Format::new(96, "opus", 48_000, Some(2));
        opus.parameters = Some("useinbandfec=1".into());
        let mut again = media("96", &[]);
        again.attributes = opus.attributes();
        assert_eq!(format!("{:?}", again.attributes), "[a=rtpmap:96 opus/48000/2, a=fmtp:96 useinbandfec=1]");
        assert_eq!(again.formats(), [opus]);
    }
}
