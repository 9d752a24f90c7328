//! The tones of the world: frequencies and cadences as the administrations told the ITU (E.180 Supplement 2, "Various
//! tones used in national networks"); where a country is not listed, the values that E.180 itself recommends.

use super::{Pattern, Progress, Sound};
use std::fmt;
use std::str::FromStr;

/// Whose tones are heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Country(usize);

/// A country whose tones are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tones of \"{0}\" are not known; use itu, or one of {list}", list = Country::all().skip(1).map(Country::code).collect::<Vec<_>>().join(", "))]
pub struct UnknownCountry(String);

impl Country {
    /// All that are known; the first is nobody's, but the recommendation.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self)
    }

    /// Its code (ISO 3166-1 alpha-2), or `itu`.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    pub(super) fn pattern(self, tone: Progress) -> Pattern {
        let row = self.row();
        match tone {
            Progress::Dial => row.dial,
            Progress::RingBack | Progress::Ring => row.ring_back,
            Progress::Busy => row.busy,
            // The special information tone is the same everywhere and has a pattern of its own.
            Progress::Congestion | Progress::SpecialInformation => row.congestion,
            Progress::Waiting => row.waiting,
        }
    }

    fn row(self) -> &'static Row {
        // Only this file makes one.
        &TABLE[self.0]
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let code = if lower == "uk" { "gb" } else { &lower };
        Self::all().find(|country| country.code() == code).ok_or_else(|| UnknownCountry(text.into()))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

struct Row {
    code: &'static str,
    dial: Pattern,
    ring_back: Pattern,
    busy: Pattern,
    congestion: Pattern,
    waiting: Pattern,
}

const fn sum(parts: &'static [f64], cadence: &'static [u16]) -> Pattern {
    Pattern { sound: Sound::Sum(parts), cadence }
}

const fn swung(hz: f64, by: f64, cadence: &'static [u16]) -> Pattern {
    Pattern { sound: Sound::Swung(hz, by), cadence }
}

/// A country where every tone has the one frequency, and only the cadences differ.
const fn one(
    code: &'static str,
    hz: &'static [f64],
    dial: &'static [u16],
    ring_back: &'static [u16],
    busy: &'static [u16],
    congestion: &'static [u16],
    waiting: &'static [u16],
) -> Row {
    Row {
        code,
        dial: sum(hz, dial),
        ring_back: sum(hz, ring_back),
        busy: sum(hz, busy),
        congestion: sum(hz, congestion),
        waiting: sum(hz, waiting),
    }
}

const ON: &[u16] = &[];
const F425: &[f64] = &[425.0];
const F400: &[f64] = &[400.0];
/// One ring a cycle, and the double ring of Britain and what took after it.
const RING: &[u16] = &[1_000, 4_000];
const DOUBLE: &[u16] = &[400, 200, 400, 2_000];
const HALF: &[u16] = &[500, 500];
const QUARTER: &[u16] = &[250, 250];
const FIFTH: &[u16] = &[200, 200];

const TABLE: &[Row] = &[
    one("itu", F425, ON, RING, HALF, QUARTER, &[300, 10_000]),
    one("at", &[420.0], ON, &[1_000, 5_000], &[400, 400], FIFTH, &[40, 1_960]),
    Row {
        code: "au",
        dial: sum(&[413.0, 438.0], ON),
        ring_back: sum(&[413.0, 438.0], DOUBLE),
        busy: sum(F425, &[375, 375]),
        congestion: sum(F425, &[375, 375]),
        waiting: sum(F425, &[200, 200, 200, 4_400]),
    },
    one("br", F425, ON, RING, QUARTER, &[250, 250, 750, 250], &[50, 1_000]),
    Row {
        code: "ca",
        dial: sum(&[350.0, 440.0], ON),
        ring_back: sum(&[440.0, 480.0], &[2_000, 4_000]),
        busy: sum(&[480.0, 620.0], HALF),
        congestion: sum(&[480.0, 620.0], QUARTER),
        waiting: sum(&[440.0], &[300, 10_000]),
    },
    one("ch", F425, ON, RING, HALF, FIFTH, &[200, 200, 200, 4_000]),
    one("cn", &[450.0], ON, RING, &[350, 350], &[700, 700], &[400, 4_000]),
    one("cz", F425, &[330, 330, 660, 660], RING, &[330, 330], &[165, 165], &[330, 9_000]),
    one("de", F425, ON, RING, &[480, 480], &[240, 240], &[200, 200, 200, 5_000]),
    one("dk", F425, ON, RING, HALF, &[450, 450], &[200, 600, 200, 3_000]),
    one("es", F425, ON, &[1_500, 3_000], FIFTH, &[200, 200, 200, 200, 200, 600], &[175, 175, 175, 3_500]),
    one("fi", F425, ON, RING, &[300, 300], FIFTH, &[150, 150, 150, 8_000]),
    one("fr", &[440.0], ON, &[1_500, 3_500], HALF, QUARTER, &[300, 10_000]),
    Row {
        code: "gb",
        dial: sum(&[350.0, 440.0], ON),
        ring_back: sum(&[400.0, 450.0], DOUBLE),
        busy: sum(F400, &[375, 375]),
        congestion: sum(F400, &[400, 350, 225, 525]),
        waiting: sum(F400, &[100, 4_000]),
    },
    one("gr", F425, &[200, 300, 700, 800], RING, &[300, 300], FIFTH, &[150, 150, 150, 8_000]),
    one("hu", F425, ON, &[1_250, 3_750], &[300, 300], &[300, 300], &[40, 1_960]),
    Row {
        code: "in",
        dial: swung(400.0, 25.0, ON),
        ring_back: swung(400.0, 25.0, DOUBLE),
        busy: sum(F400, &[750, 750]),
        congestion: sum(F400, QUARTER),
        waiting: sum(F400, &[200, 100, 200, 7_500]),
    },
    one("it", F425, &[200, 200, 600, 1_000], RING, HALF, FIFTH, &[400, 100, 250, 100, 150, 14_000]),
    Row {
        code: "jp",
        dial: sum(F400, ON),
        ring_back: swung(400.0, 16.0, &[1_000, 2_000]),
        busy: sum(F400, HALF),
        congestion: sum(F400, HALF),
        waiting: swung(400.0, 16.0, &[500, 8_000]),
    },
    one("mx", F425, ON, RING, QUARTER, QUARTER, &[200, 600, 200, 10_000]),
    one("nl", F425, ON, RING, HALF, QUARTER, &[500, 9_500]),
    one("no", F425, ON, RING, HALF, FIFTH, &[200, 600, 200, 10_000]),
    Row {
        code: "nz",
        dial: sum(F400, ON),
        ring_back: sum(&[400.0, 450.0], DOUBLE),
        busy: sum(F400, HALF),
        congestion: sum(F400, QUARTER),
        waiting: sum(F400, &[200, 3_000]),
    },
    one("pl", F425, ON, RING, HALF, HALF, &[150, 150, 150, 4_000]),
    Row {
        code: "pt",
        dial: sum(F425, ON),
        ring_back: sum(F425, &[1_000, 5_000]),
        busy: sum(F425, HALF),
        congestion: sum(F425, FIFTH),
        waiting: sum(&[440.0], &[300, 10_000]),
    },
    one("ru", F425, ON, &[800, 3_200], &[350, 350], &[175, 175], &[200, 5_000]),
    Row {
        code: "se",
        dial: sum(F425, ON),
        ring_back: sum(F425, &[1_000, 5_000]),
        busy: sum(F425, QUARTER),
        congestion: sum(F425, &[250, 750]),
        waiting: sum(F425, &[200, 500, 200, 10_000]),
    },
    Row {
        code: "us",
        dial: sum(&[350.0, 440.0], ON),
        ring_back: sum(&[440.0, 480.0], &[2_000, 4_000]),
        busy: sum(&[480.0, 620.0], HALF),
        congestion: sum(&[480.0, 620.0], QUARTER),
        waiting: sum(&[440.0], &[300, 10_000]),
    },
];
