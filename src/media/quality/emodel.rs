//! The E-model: a transmission rating R and a mean opinion score from loss, delay and the codec (ITU-T G.107, 06/2015,
//! the narrowband scale).
//!
//! ```text
//!   R = Ro - Is - Id - Ie,eff + A        (7-1)
//!       │    │    │      └ codec, and packet loss upon it          (7-29)
//!       │    │    └ talker echo + listener echo + plain delay      (7-18 to 7-28)
//!       │    └ too loud, sidetone, quantising                      (7-8 to 7-17)
//!       └ signal over noise                                        (7-2 to 7-7)
//!   MOS from R: Annex B, B-4
//! ```
//!
//! Equation numbers are those of the Recommendation; symbols too, so that a line can be laid beside it.

use serde::{Deserialize, Serialize};

/// Every parameter of G.107 Table 2. [`Input::default`] holds the defaults of that table, which rate 93.206.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Send loudness rating, dB.
    pub slr: f64,
    /// Receive loudness rating, dB.
    pub rlr: f64,
    /// Sidetone masking rating, dB.
    pub stmr: f64,
    /// D-value of the telephone at the send side.
    pub ds: f64,
    /// D-value of the telephone at the receive side.
    pub dr: f64,
    /// Talker echo loudness rating, dB.
    pub telr: f64,
    /// Weighted echo path loss, dB.
    pub wepl: f64,
    /// T: mean one-way delay of the echo path, ms; 0 without an echo path.
    pub echo_delay_ms: f64,
    /// Tr: round-trip delay in a four-wire loop, ms; 0 without an echo path.
    pub loop_delay_ms: f64,
    /// Ta: absolute delay from mouth to ear, ms.
    pub delay_ms: f64,
    /// Quantising distortion units.
    pub qdu: f64,
    /// Ie: equipment impairment factor of the codec without loss (G.113).
    pub ie: f64,
    /// Bpl: robustness of the codec against loss (G.113).
    pub bpl: f64,
    /// Ppl: packets lost or discarded, per cent.
    pub loss_percent: f64,
    /// BurstR: mean length of the runs of loss over that of random loss; 1 for random loss.
    pub burst_ratio: f64,
    /// Circuit noise referred to the 0 dBr point, dBm0p.
    pub nc: f64,
    /// Noise floor at the receive side, dBmp.
    pub nfor: f64,
    /// Room noise at the send side, dB(A).
    pub ps: f64,
    /// Room noise at the receive side, dB(A).
    pub pr: f64,
    /// A: what users forgive for an advantage of access: 0 wired, 5 in a building, 10 mobile (Table 1).
    pub advantage: f64,
    /// mT: delay that is not noticed, ms.
    pub minimum_delay_ms: f64,
    /// sT: sensitivity to delay.
    pub delay_sensitivity: f64,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            slr: 8.0,
            rlr: 2.0,
            stmr: 15.0,
            ds: 3.0,
            dr: 3.0,
            telr: 65.0,
            wepl: 110.0,
            echo_delay_ms: 0.0,
            loop_delay_ms: 0.0,
            delay_ms: 0.0,
            qdu: 1.0,
            ie: 0.0,
            bpl: 4.3,
            loss_percent: 0.0,
            burst_ratio: 1.0,
            nc: -70.0,
            nfor: -64.0,
            ps: 35.0,
            pr: 35.0,
            advantage: 0.0,
            minimum_delay_ms: 100.0,
            delay_sensitivity: 1.0,
        }
    }
}

/// A parameter for which the model says nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {value}; it must be from {low} to {high}")]
pub struct OutOfRange {
    /// The parameter.
    pub name: &'static str,
    /// What was given.
    pub value: f64,
    /// Lowest value.
    pub low: f64,
    /// Highest value.
    pub high: f64,
}

/// R, MOS, and what each impairment took away.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// Ro: signal over noise.
    pub ro: f64,
    /// Is: impairments that come with the speech: loudness, sidetone, quantising.
    pub is: f64,
    /// Idte: talker echo.
    pub idte: f64,
    /// Idle: listener echo.
    pub idle: f64,
    /// Idd: delay.
    pub idd: f64,
    /// Ie,eff: codec and packet loss.
    pub ie_eff: f64,
    /// A: advantage factor.
    pub a: f64,
    /// R: the transmission rating; 93.2 is the best of narrowband, and bad cases go below 0.
    pub r: f64,
    /// Mean opinion score (MOS-CQE), 1 to 4.5.
    pub mos: f64,
}

impl Input {
    /// The same connection with an echo path as long as the speech path: `T = Ta`, `Tr = 2 Ta` (7-1 in G.107 Figure 2).
    #[must_use]
    pub fn with_echo(self) -> Self {
        Self { echo_delay_ms: self.delay_ms, loop_delay_ms: 2.0 * self.delay_ms, ..self }
    }

    /// Are the parameters that change from call to call within what the model can rate?
    pub fn check(&self) -> Result<(), OutOfRange> {
        let ranges = [
            ("delay", self.delay_ms, 0.0, 60_000.0),
            ("loss", self.loss_percent, 0.0, 100.0),
            ("burst ratio", self.burst_ratio, 0.01, 10_000.0),
            ("Ie", self.ie, 0.0, 95.0),
            ("Bpl", self.bpl, 1.0, 1_000.0),
            ("advantage factor", self.advantage, 0.0, 20.0),
        ];
        let outside = ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value));
        outside.map_or(Ok(()), |(name, value, low, high)| Err(OutOfRange { name, value, low, high }))
    }

    /// Rates the connection. Finite for every input that [`Input::check`] lets pass.
    pub fn rate(&self) -> Rating {
        let no = self.noise();
        let ro = 15.0 - 1.5 * (self.slr + no);
        let is = self.loudness(no) + self.sidetone() + self.quantising(ro);
        let (idte, idle, idd) = (self.talker_echo(no), self.listener_echo(ro), self.delay());
        let ie_eff = self.equipment();
        let r = ro - is - (idte + idle + idd) - ie_eff + self.advantage;
        Rating { ro, is, idte, idle, idd, ie_eff, a: self.advantage, r, mos: mos(r) }
    }

    /// OLR: overall loudness rating.
    fn olr(&self) -> f64 {
        self.slr + self.rlr
    }

    /// No: all noise, referred to the 0 dBr point (7-3 to 7-7).
    fn noise(&self) -> f64 {
        let nos = self.ps - self.slr - self.ds - 100.0 + 0.004 * (self.ps - self.olr() - self.ds - 14.0).powi(2);
        let lstr = self.stmr + self.dr;
        let pre = self.pr + 10.0 * (1.0 + exp10((10.0 - lstr) / 10.0)).log10();
        let nor = self.rlr - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
        let nfo = self.nfor + self.rlr;
        10.0 * [self.nc, nos, nor, nfo].map(|noise| exp10(noise / 10.0)).iter().sum::<f64>().log10()
    }

    /// Iolr: a connection that is too loud or too quiet (7-9, 7-10).
    fn loudness(&self, no: f64) -> f64 {
        let xolr = self.olr() + 0.2 * (64.0 + no - self.rlr);
        20.0 * ((1.0 + (xolr / 8.0).powi(8)).powf(1.0 / 8.0) - xolr / 8.0)
    }

    /// Ist: a sidetone that is not optimal (7-11, 7-12).
    fn sidetone(&self) -> f64 {
        let echo = (-self.echo_delay_ms / 4.0).exp() * exp10(-self.telr / 10.0);
        let stmro = -10.0 * (exp10(-self.stmr / 10.0) + echo).log10();
        12.0 * (1.0 + ((stmro - 13.0) / 6.0).powi(8)).powf(1.0 / 8.0)
            - 28.0 * (1.0 + ((stmro + 1.0) / 19.4).powi(35)).powf(1.0 / 35.0)
            - 13.0 * (1.0 + ((stmro - 3.0) / 33.0).powi(13)).powf(1.0 / 13.0)
            + 29.0
    }

    /// Iq: quantising distortion (7-13 to 7-17).
    fn quantising(&self, ro: f64) -> f64 {
        let q = 37.0 - 15.0 * self.qdu.log10();
        let g = 1.07 + 0.258 * q + 0.0602 * q * q;
        let (y, z) = ((ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0, 46.0 / 30.0 - g / 40.0);
        15.0 * (1.0 + exp10(y) + exp10(z)).log10()
    }

    /// Idte: talker echo (7-19 to 7-24).
    fn talker_echo(&self, no: f64) -> f64 {
        let t = self.echo_delay_ms;
        // Below 1 ms echo is sidetone (section 7.4).
        if t < 1.0 {
            return 0.0;
        }
        let mut terv = self.telr - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp();
        // A loud sidetone masks echo, a weak one makes it worse.
        if self.stmr < 9.0 {
            terv += self.sidetone() / 2.0;
        }
        let (roe, re) = (-1.5 * (no - self.rlr), 80.0 + 2.5 * (terv - 14.0));
        let difference = roe - re;
        let idte = (difference / 2.0 + (difference * difference / 4.0 + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp());
        if self.stmr > 20.0 { idte.hypot(self.sidetone()) } else { idte }
    }

    /// Idle: listener echo (7-25, 7-26).
    fn listener_echo(&self, ro: f64) -> f64 {
        let rle = 10.5 * (self.wepl + 7.0) * (self.loop_delay_ms + 1.0).powf(-0.25);
        let difference = ro - rle;
        difference / 2.0 + (difference * difference / 4.0 + 169.0).sqrt()
    }

    /// Idd: delay that makes people talk into each other (7-27, 7-28).
    fn delay(&self) -> f64 {
        if self.delay_ms <= self.minimum_delay_ms {
            return 0.0;
        }
        let x = (self.delay_ms / self.minimum_delay_ms).log2();
        let power = 6.0 * self.delay_sensitivity;
        let norm = |x: f64| (1.0 + x.powf(power)).powf(1.0 / power);
        25.0 * (norm(x) - 3.0 * norm(x / 3.0) + 2.0)
    }

    /// Ie,eff: the codec, and loss upon it (7-29).
    fn equipment(&self) -> f64 {
        self.ie + (95.0 - self.ie) * self.loss_percent / (self.loss_percent / self.burst_ratio + self.bpl)
    }
}

/// The mean opinion score of a transmission rating (B-4). The cubic dips below 1 for R from 0 to 6.5, where nothing is
/// below 1 on a scale that begins there.
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

fn exp10(exponent: f64) -> f64 {
    10f64.powf(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn close(what: &str, value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{what}: {value}, expected {expected}");
    }

    #[test]
    fn defaults_rate_as_the_recommendation_says() {
        let rating = Input::default().rate();
        close("Ro", rating.ro, 94.769, 0.001);
        close("Is", rating.is, 1.414, 0.001);
        close("Idle", rating.idle, 0.149, 0.001);
        close("R", rating.r, 93.206, 0.001);
        close("MOS", rating.mos, 4.409, 0.001);
        assert_eq!((rating.idte, rating.idd, rating.ie_eff, rating.a), (0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn mos_of_r() {
        let table = [(-10.0, 1.0), (0.0, 1.0), (5.0, 1.0), (30.0, 1.609), (60.0, 3.1), (93.2, 4.409), (110.0, 4.5)];
        for (r, expected) in table {
            close("MOS", mos(r), expected, 0.001);
        }
    }

    #[test]
    fn delay_and_loss_by_hand() {
        // log2(400/100) = 2: 25 (65^(1/6) - 3 (1 + (2/3)^6)^(1/6) + 2).
        let delay = Input { delay_ms: 400.0, ..Input::default() }.rate();
        close("Idd", delay.idd, 24.070, 0.001);
        close("R", delay.r, 93.206 - 24.070, 0.002);
        // 95 * 5 / (5 / 2 + 25.1) = 17.21.
        let lossy = Input { bpl: 25.1, loss_percent: 5.0, burst_ratio: 2.0, ..Input::default() }.rate();
        close("Ie,eff", lossy.ie_eff, 17.210, 0.001);
        let low_rate = Input { ie: 11.0, bpl: 19.0, loss_percent: 2.0, ..Input::default() }.rate();
        close("Ie,eff", low_rate.ie_eff, 11.0 + 84.0 * 2.0 / 21.0, 0.001);
        assert_eq!(Input { advantage: 10.0, ..Input::default() }.rate().r, Input::default().rate().r + 10.0);
    }

    #[test]
    fn echo_hurts_more_the_later_it_comes() {
        let mut before = Input::default().rate().r;
        for delay_ms in [20.0, 50.0, 100.0, 200.0, 400.0] {
            let input = Input { delay_ms, telr: 45.0, ..Input::default() };
            let rating = input.with_echo().rate();
            assert!(rating.idte > 0.0 && rating.r < before, "{delay_ms}: {rating:?}");
            assert!(rating.r < input.rate().r);
            before = rating.r;
        }
    }

    #[test]
    fn more_loss_and_more_delay_never_sound_better() {
        let mut random = Random::from_seed(9);
        for _ in 0..20_000 {
            let input = Input {
                ie: random.unit() * 40.0,
                bpl: 1.0 + random.unit() * 40.0,
                delay_ms: random.unit() * 1_000.0,
                loss_percent: random.unit() * 60.0,
                burst_ratio: 0.5 + random.unit() * 8.0,
                ..Input::default()
            };
            let rated = input.rate();
            assert!((1.0..=4.5).contains(&rated.mos) && rated.r.is_finite());
            let lossier = Input { loss_percent: input.loss_percent + random.unit() * 40.0, ..input };
            let later = Input { delay_ms: input.delay_ms + random.unit() * 500.0, ..input };
            let burstier = Input { burst_ratio: input.burst_ratio + random.unit() * 4.0, ..input };
            for worse in [lossier, later, burstier] {
                let worse = worse.rate();
                assert!(worse.mos <= rated.mos + 1e-9 && worse.r <= rated.r + 1e-9, "{input:?}");
            }
        }
    }

    #[test]
    fn what_the_model_cannot_rate_is_named() {
        assert_eq!(Input::default().check(), Ok(()));
        let nan = Input { loss_percent: f64::NAN, ..Input::default() }.check().unwrap_err();
        assert_eq!(nan.name, "loss");
        let error = Input { bpl: 0.0, ..Input::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "Bpl is 0; it must be from 1 to 1000");
        assert!(Input { delay_ms: -1.0, ..Input::default() }.check().is_err());
    }
}
