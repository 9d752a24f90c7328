//! Real messages, and what makes them bad.

use sidetone::random::Random;

/// Messages of the test's own, and the files of the folders of vectors that end in the extensions.
pub fn seeds(own: &[&[u8]], folders: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = own.iter().map(|seed| seed.to_vec()).collect();
    for (folder, extension) in folders {
        if let Some(folder) = super::vectors(folder) {
            seeds.extend(super::files(&folder, extension).iter().map(|file| super::octets(&folder.join(file))));
        }
    }
    seeds
}

/// What parsers stumble over.
const PIECES: [&[u8]; 25] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"\r\n\r\n",
    b"\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b":",
    b"=",
    b"@",
    b"%",
    b"[",
    b"]",
    b"/",
    b"?",
    b"\0",
    b"\xFF",
    b"\xC3\xBC",
    b"4294967296",
    b"99999999999999999999",
    b"Content-Length: 4294967296\r\n",
];

/// Does one bad thing to `octets`; perhaps with a piece of `other`.
pub fn damage(octets: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let place = random.range(0, octets.len().max(1) as u64) as usize;
    let until = |random: &mut Random| random.range(place as u64, (place as u64 + 60).min(octets.len() as u64)) as usize;
    match random.range(0, 7) {
        0 if place < octets.len() => octets[place] = random.u32() as u8,
        1 if place < octets.len() => octets[place] ^= 1 << random.range(0, 8),
        2 => drop(octets.splice(place..place, PIECES[random.range(0, PIECES.len() as u64) as usize].iter().copied())),
        3 => octets.truncate(place),
        4 => {
            let end = until(random).max(place);
            octets.drain(place..end.min(octets.len()));
        }
        // A piece of its own, twice.
        5 => {
            let end = until(random).max(place);
            let copy = octets.get(place..end).unwrap_or_default().to_vec();
            let place = place.min(octets.len());
            octets.splice(place..place, copy);
        }
        _ => {
            let from = random.range(0, other.len().max(1) as u64) as usize;
            let end = (from + random.range(0, 60) as usize).min(other.len());
            let piece = other.get(from..end).unwrap_or_default().to_vec();
            let place = place.min(octets.len());
            octets.splice(place..place, piece);
        }
    }
}
