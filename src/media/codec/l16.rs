//! L16 (RFC 3551 section 4.5.11): linear samples in network byte order, as they are.

/// Appends `audio` to `out`, two octets a sample.
pub fn encode_into(audio: &[i16], out: &mut Vec<u8>) {
    out.extend(audio.iter().flat_map(|sample| sample.to_be_bytes()));
}

/// Appends the samples of `payload` to `out`; an odd octet at its end is left out.
pub fn decode_into(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.as_chunks::<2>().0.iter().map(|&pair| i16::from_be_bytes(pair)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_octet_comes_first() {
        let mut payload = Vec::new();
        encode_into(&[1, -2, 0x1234], &mut payload);
        assert_eq!(payload, [0, 1, 0xFF, 0xFE, 0x12, 0x34]);
        let mut audio = vec![7];
        decode_into(&payload, &mut audio);
        decode_into(&[9], &mut audio);
        assert_eq!(audio, [7, 1, -2, 0x1234]);
    }
}
