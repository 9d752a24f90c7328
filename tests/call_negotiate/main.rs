//! Offer and answer by table: what goes in, the exact text that comes out, and the plan.

mod codecs;
mod handshake;
mod keys;
mod plans;
mod random;
mod refusals;
mod renegotiation;
mod texts;

use sidetone::call::negotiate::{Agreement, Local, Negotiation, Rejected};
use sidetone::random::Random;

const KEY: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
const OTHER_KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn local() -> Local {
    Local::new("192.0.2.1:4000".parse().unwrap())
}

fn with(change: impl FnOnce(&mut Local)) -> Local {
    let mut local = local();
    change(&mut local);
    local
}

/// An SDP of the far end, 198.51.100.7: `body` follows the session part.
fn theirs(body: &str) -> String {
    format!("v=0\r\no=- 5 5 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{}", crlf(body))
}

fn crlf(text: &str) -> String {
    text.lines().map(|line| format!("{}\r\n", line.trim())).collect()
}

/// What we wrote, from the first `m=` on, keys as `KEY`.
fn streams(octets: &[u8]) -> String {
    let text = String::from_utf8(octets.to_vec()).unwrap();
    let from = text.find("m=").unwrap();
    text[from..]
        .lines()
        .map(|line| match line.split_once("inline:") {
            Some((head, key)) => {
                assert_eq!(key.len(), 40, "30 octets in base64");
                format!("{head}inline:KEY\n")
            }
            None => format!("{line}\n"),
        })
        .collect()
}

fn version(octets: &[u8]) -> u64 {
    let text = String::from_utf8(octets.to_vec()).unwrap();
    let origin = text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

struct Call {
    negotiation: Negotiation,
    random: Random,
}

impl Call {
    fn new(local: Local) -> Self {
        let mut random = Random::from_seed(1);
        Self { negotiation: Negotiation::new(local, &mut random), random }
    }

    fn answer(&mut self, body: &str) -> Result<(Vec<u8>, Agreement), Rejected> {
        let (octets, agreement) = self.negotiation.answer(theirs(body).as_bytes(), &mut self.random)?;
        Ok((octets.to_vec(), agreement))
    }

    fn offer(&mut self) -> Vec<u8> {
        self.negotiation.offer(&mut self.random).to_vec()
    }

    fn answered(&mut self, body: &str) -> Result<Agreement, Rejected> {
        self.negotiation.answered(theirs(body).as_bytes())
    }

    fn change(&mut self, change: impl FnOnce(&mut Local)) {
        let mut local = self.negotiation.local().clone();
        change(&mut local);
        self.negotiation.set_local(local);
    }
}
