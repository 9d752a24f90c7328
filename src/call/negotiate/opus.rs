//! What stands in the `fmtp` of Opus (RFC 7587 section 6.1).

use super::Local;
use crate::media::plan::OpusParameters;
use crate::sdp::Format;

/// What the far end asks of whoever sends it Opus; what it says outside the limits is brought inside.
pub(super) fn read(format: &Format) -> OpusParameters {
    let number = |name: &str| format.parameter(name)?.parse::<u32>().ok();
    let yes = |name: &str| number(name) == Some(1);
    OpusParameters {
        fec: yes("useinbandfec"),
        dtx: yes("usedtx"),
        max_playback_rate: number("maxplaybackrate").unwrap_or(48_000).clamp(8_000, 48_000),
        max_average_bitrate: number("maxaveragebitrate").map(|rate| rate.clamp(6_000, 510_000)),
        stereo: yes("stereo"),
        cbr: yes("cbr"),
    }
}

/// What we ask and what we are going to send, as far as it differs from the defaults.
pub(super) fn write(local: &Local) -> Option<String> {
    let (asked, encoder) = (&local.opus, &local.opus_encoder);
    let mut parameters = Vec::new();
    if asked.max_playback_rate < 48_000 {
        parameters.push(format!("maxplaybackrate={}", asked.max_playback_rate));
    }
    if encoder.max_rate < 48_000 {
        parameters.push(format!("sprop-maxcapturerate={}", encoder.max_rate));
    }
    if let Some(rate) = asked.max_average_bitrate {
        parameters.push(format!("maxaveragebitrate={rate}"));
    }
    let switches = [("stereo", asked.stereo), ("cbr", asked.cbr), ("useinbandfec", asked.fec), ("usedtx", asked.dtx)];
    for (name, _) in switches.into_iter().filter(|(_, set)| *set) {
        parameters.push(format!("{name}=1"));
    }
    (!parameters.is_empty()).then(|| parameters.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::plan::OpusSettings;

    #[test]
    fn parameters_go_both_ways() {
        let read = |text: &str| {
            let mut format = Format::new(96, "opus", 48_000, Some(2));
            format.parameters = Some(text.into());
            read(&format)
        };
        let local = |opus: OpusParameters| Local { opus, ..Local::new("192.0.2.1:4000".parse().unwrap()) };
        let rfc = OpusParameters::default();
        assert_eq!(read(""), rfc);
        assert_eq!(read("minptime=10; useinbandfec=1"), OpusParameters { fec: true, ..rfc });
        let all = OpusParameters {
            fec: true,
            dtx: true,
            max_playback_rate: 16_000,
            max_average_bitrate: Some(20_000),
            stereo: true,
            cbr: true,
        };
        let text = write(&local(all)).unwrap();
        assert_eq!(text, "maxplaybackrate=16000;maxaveragebitrate=20000;stereo=1;cbr=1;useinbandfec=1;usedtx=1");
        assert_eq!(read(&text), all);
        let odd = read("maxplaybackrate=96000;maxaveragebitrate=1;cbr=x;usedtx");
        assert_eq!(odd, OpusParameters { max_average_bitrate: Some(6_000), ..rfc });
        assert_eq!(write(&local(rfc)), None);
        let opus_encoder = OpusSettings { max_rate: 8_000, ..OpusSettings::default() };
        assert_eq!(write(&Local { opus_encoder, ..local(rfc) }).unwrap(), "sprop-maxcapturerate=8000");
    }
}
