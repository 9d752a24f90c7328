//! STUN messages, pure, as far as Binding goes (RFC 8489 sections 5, 6 and 14).
//!
//! ```text
//!  0                   1                   2                   3
//!  |0 0| type (14 bits)            | length of what follows        |
//!  | magic cookie 0x2112A442                                       |
//!  | transaction id (96 bits)                                      |
//!  | attributes: type, length, value, padding to 32 bits …         |
//! ```

pub mod check;
mod fuzz;

pub use fuzz::fuzz;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const HEADER: usize = 20;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MAPPED_ADDRESS: u16 = 0x0001;
/// RFC 5780 sections 7.2 and 7.4.
const CHANGE_REQUEST: u16 = 0x0003;
const OTHER_ADDRESS: u16 = 0x802C;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// Attributes that a client may ignore have this bit (section 14).
const OPTIONAL: u16 = 0x8000;
/// Required to be understood, and understood as having nothing to say to a client without credentials.
const CREDENTIALS: [u16; 6] = [0x0006, 0x0008, 0x000A, 0x0014, 0x0015, 0x001C];

/// What the checksum is combined with (section 14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554E;

/// Names one question; 96 bits of chance, so that nobody off the way can answer (section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// What a server says to a Binding request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Our address as the server sees it.
    Mapped(SocketAddr),
    /// It does not tell.
    Refused {
        /// 300 to 699.
        code: u16,
        /// Its words.
        reason: String,
    },
}

/// What a message means for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks how we see him.
    Request(TransactionId),
    /// The answer to a request of ours, if it is the one with that id.
    Response(TransactionId, Reply),
}

/// Is this a STUN message and nothing else? SIP begins with a letter, a keep-alive is shorter (RFC 5626 section 8).
pub fn is_stun(bytes: &[u8]) -> bool {
    let length = bytes.get(2..4).and_then(number);
    bytes.first().is_some_and(|first| first & 0xC0 == 0)
        && bytes.get(4..8) == Some(&MAGIC)
        && length.is_some_and(|length| length.is_multiple_of(4) && usize::from(length) + HEADER == bytes.len())
}

/// A Binding request.
pub fn request(id: TransactionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 8);
    message.extend(BINDING_REQUEST.to_be_bytes());
    message.extend(8u16.to_be_bytes());
    message.extend(MAGIC);
    message.extend(id.0);
    seal(message)
}

/// The answer to the Binding request `id` that came from `source`.
pub fn success(id: TransactionId, source: SocketAddr) -> Vec<u8> {
    let mut message = header(BINDING_SUCCESS, id);
    append(&mut message, XOR_MAPPED_ADDRESS, &masked(source, id));
    count(&mut message, 8);
    seal(message)
}

/// The value of XOR-MAPPED-ADDRESS (section 14.2).
fn masked(source: SocketAddr, id: TransactionId) -> Vec<u8> {
    // Masking again is unmasking.
    let masked = unmask(source, &id);
    let mut value = vec![0, if masked.is_ipv4() { 1 } else { 2 }];
    value.extend(masked.port().to_be_bytes());
    match masked.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    value
}

/// The beginning of a message; its length is counted later.
fn header(kind: u16, id: TransactionId) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 64);
    message.extend(kind.to_be_bytes());
    message.extend([0, 0]);
    message.extend(MAGIC);
    message.extend(id.0);
    message
}

/// Appends an attribute, padded to 32 bits (section 14).
fn append(message: &mut Vec<u8>, attribute: u16, value: &[u8]) {
    message.extend(attribute.to_be_bytes());
    // Values of ours are short.
    message.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Writes the length of a message that `more` octets will follow.
fn count(message: &mut [u8], more: usize) {
    let length = u16::try_from(message.len() - HEADER + more).unwrap_or_default();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Puts the checksum at the end (section 14.7); the length counts it already.
fn seal(mut message: Vec<u8>) -> Vec<u8> {
    let sum = fingerprint(&message);
    message.extend(FINGERPRINT.to_be_bytes());
    message.extend(4u16.to_be_bytes());
    message.extend(sum.to_be_bytes());
    message
}

/// A Binding request that asks for the answer from another address or port of the server (RFC 5780 section 7.2).
pub fn request_from_elsewhere(id: TransactionId, ip: bool, port: bool) -> Vec<u8> {
    let flags = u32::from(ip) << 2 | u32::from(port) << 1;
    let mut message = Vec::with_capacity(HEADER + 8);
    message.extend(BINDING_REQUEST.to_be_bytes());
    message.extend(8u16.to_be_bytes());
    message.extend(MAGIC);
    message.extend(id.0);
    message.extend(CHANGE_REQUEST.to_be_bytes());
    message.extend(4u16.to_be_bytes());
    message.extend(flags.to_be_bytes());
    message
}

/// The other address and port of the server, as an answer of its names them (RFC 5780 section 7.4).
pub fn other_address(answer: &[u8]) -> Option<SocketAddr> {
    let mut at = HEADER;
    while let Some(attribute) = answer.get(at..at + 2).and_then(number) {
        let length = usize::from(answer.get(at + 2..at + 4).and_then(number)?);
        if attribute == OTHER_ADDRESS {
            return address(answer.get(at + 4..at + 4 + length)?);
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}

/// The answer to a Binding request; `None` if it is no proper one: to be ignored (section 6.3).
pub fn response(bytes: &[u8]) -> Option<(TransactionId, Reply)> {
    match read(bytes)? {
        Message::Response(id, reply) => Some((id, reply)),
        Message::Request(_) => None,
    }
}

/// Reads a Binding request or an answer to one; `None` for everything else, which is to be ignored (section 6.3).
pub fn read(bytes: &[u8]) -> Option<Message> {
    if !is_stun(bytes) {
        return None;
    }
    let kind = bytes.get(..2).and_then(number)?;
    let id = TransactionId(bytes.get(8..HEADER)?.try_into().ok()?);
    let (mut mapped, mut plain, mut refused) = (None, None, None);
    let mut at = HEADER;
    while at < bytes.len() {
        let attribute = bytes.get(at..at + 2).and_then(number)?;
        let length = usize::from(bytes.get(at + 2..at + 4).and_then(number)?);
        let value = bytes.get(at + 4..at + 4 + length)?;
        match attribute {
            XOR_MAPPED_ADDRESS => mapped = mapped.or(Some(unmask(address(value)?, &id))),
            MAPPED_ADDRESS => plain = plain.or(Some(address(value)?)),
            ERROR_CODE => refused = refused.or(Some(error(value)?)),
            FINGERPRINT => {
                let expected = fingerprint(bytes.get(..at)?);
                // It is the last one (section 14.7).
                let whole = at + 8 == bytes.len() && value == expected.to_be_bytes();
                if !whole {
                    return None;
                }
            }
            unknown if unknown & OPTIONAL == 0 && !CREDENTIALS.contains(&unknown) => return None,
            _ => {}
        }
        at += 4 + length.next_multiple_of(4);
    }
    match kind {
        // Servers of RFC 3489 know no other than the plain one.
        BINDING_SUCCESS => Some(Message::Response(id, Reply::Mapped(mapped.or(plain)?))),
        BINDING_ERROR => Some(Message::Response(id, refused?)),
        BINDING_REQUEST => Some(Message::Request(id)),
        _ => None,
    }
}

fn number(two: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(two.try_into().ok()?))
}

/// Section 14.1: a zero octet, the family, the port, the address.
fn address(value: &[u8]) -> Option<SocketAddr> {
    let port = value.get(2..4).and_then(number)?;
    let ip: IpAddr = match (value.get(1)?, value.get(4..)?) {
        (1, ip) => Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?).into(),
        (2, ip) => Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Section 14.2: combined with the cookie, and an IPv6 address also with the transaction id, so that no translator on
/// the way takes it for an address and rewrites it.
fn unmask(masked: SocketAddr, id: &TransactionId) -> SocketAddr {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&MAGIC);
    rest.copy_from_slice(&id.0);
    let ip = match masked.ip() {
        IpAddr::V4(ip) => (u32::from(ip) ^ u32::from_be_bytes(MAGIC)).to_be_bytes().into(),
        IpAddr::V6(ip) => (u128::from(ip) ^ u128::from_be_bytes(mask)).to_be_bytes().into(),
    };
    SocketAddr::new(ip, masked.port() ^ u16::from_be_bytes([MAGIC[0], MAGIC[1]]))
}

/// Section 14.8: 21 zero bits, the hundreds, the rest, words.
fn error(value: &[u8]) -> Option<Reply> {
    let (hundreds, rest) = (value.get(2)? & 7, value.get(3)?);
    let words = String::from_utf8_lossy(value.get(4..)?);
    let reason = words.chars().filter(|letter| !letter.is_control()).take(128);
    Some(Reply::Refused { code: u16::from(hundreds) * 100 + u16::from(*rest), reason: reason.collect() })
}

/// The checksum of what stands before it (section 14.7): CRC-32 of ITU V.42, of a header whose length counts the
/// attribute already.
fn fingerprint(before: &[u8]) -> u32 {
    let crc = before.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    });
    !crc ^ FINGERPRINT_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// RFC 5769 section 2.1, 2.2 and 2.3.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
        80290008932ff9b151263b36000600096576\
        746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const IPV4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
        000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    const IPV6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa\
        a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";
    const ID: TransactionId = TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

    fn octets(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_vectors_of_rfc_5769() {
        let mapped = Reply::Mapped("192.0.2.1:32853".parse().unwrap());
        assert_eq!(response(&octets(IPV4)), Some((ID, mapped)));
        let mapped = Reply::Mapped("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap());
        assert_eq!(response(&octets(IPV6)), Some((ID, mapped)));
        let request = octets(REQUEST);
        assert!(is_stun(&request));
        assert_eq!(response(&request), None, "no answer");
        let before = request.len() - 8;
        assert_eq!(fingerprint(&request[..before]).to_be_bytes(), request[before + 4..]);
    }

    #[test]
    fn a_request_is_what_servers_expect() {
        let request = request(ID);
        assert!(is_stun(&request) && request.len() == 28);
        assert_eq!(&request[8..20], &ID.0);
        assert_eq!(fingerprint(&request[..20]).to_be_bytes(), request[24..]);
    }

    #[test]
    fn an_answer_of_ours_reads_back() {
        for source in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            let source = source.parse().unwrap();
            let answer = success(ID, source);
            assert_eq!(response(&answer), Some((ID, Reply::Mapped(source))));
        }
        // The masked address of the RFC's own vector.
        assert_eq!(success(ID, "192.0.2.1:32853".parse().unwrap())[20..32], octets("002000080001a147e112a643"));
        assert_eq!(read(&request(ID)), Some(Message::Request(ID)));
    }

    #[test]
    fn errors_old_servers_and_what_is_not_understood() {
        let message = |kind: &str, attributes: &str| {
            let length = octets(attributes).len();
            octets(&format!("{kind}{length:04x}2112a442b7e7a701bc34d686fa87dfae{attributes}"))
        };
        let refused = Reply::Refused { code: 401, reason: "no".into() };
        assert_eq!(response(&message("0111", "00090006000004016e6f0000")), Some((ID, refused)));
        let plain = Reply::Mapped("192.0.2.1:4660".parse().unwrap());
        assert_eq!(response(&message("0101", "0001000800011234c0000201")), Some((ID, plain)));
        for (attributes, why) in [
            ("", "no address"),
            ("7777000400000000", "an attribute that has to be understood"),
            ("0020000800031234c0000201", "no family"),
            ("00200008000112", "cut short"),
            ("002000080001a147e112a64380280004c07d4c97", "a wrong checksum"),
        ] {
            assert_eq!(response(&message("0101", attributes)), None, "{why}");
        }
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0\r\n\r\n") && !is_stun(b"\r\n\r\n") && !is_stun(b""));
    }

    /// What the checksum covers is not believed when it was changed.
    #[test]
    fn damaged_answers_are_no_answers() {
        let mut random = Random::from_seed(5);
        let original = octets(IPV4);
        // The transaction id and the masked address.
        for at in (8..20).chain(42..48) {
            let mut changed = original.clone();
            changed[at] ^= 1 << random.range(0, 8);
            assert_eq!(response(&changed), None, "octet {at}");
        }
    }
}
