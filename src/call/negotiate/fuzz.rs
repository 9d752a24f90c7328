//! The body of the fuzz target: any octets as an offer and as an answer.

use super::{Local, Negotiation, SrtpPolicy};
use crate::random::Random;
use std::net::{Ipv4Addr, SocketAddr};

/// Answers `octets` under each SRTP policy, takes them as the answer to an offer, and checks what came out.
///
/// # Panics
/// Only if a rule of RFC 3264 is broken by us: a bug.
pub fn fuzz_negotiation(octets: &[u8]) {
    for policy in [SrtpPolicy::Off, SrtpPolicy::Optional, SrtpPolicy::Required] {
        let random = &mut Random::from_seed(7);
        let mut local = Local::new(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000)));
        local.srtp = policy;
        let mut callee = Negotiation::new(local.clone(), random);
        match callee.answer(octets, random) {
            Err(rejected) => assert!(matches!(rejected.status(), 400 | 488) && rejected.warning().is_some()),
            Ok((answer, agreement)) => {
                assert!(agreement.plan.srtp.is_some() || policy != SrtpPolicy::Required, "unprotected");
                assert!(!agreement.plan.direction.sends() || !agreement.plan.remote_rtp.ip().is_unspecified());
                let again = callee.answer(octets, random);
                assert!(
                    again.is_ok_and(|(same, agreement)| same == answer && !agreement.changed.any()),
                    "the same offer got another answer"
                );
                let _ = callee.offer(random);
            }
        }
        let mut caller = Negotiation::new(local, random);
        let _ = caller.offer(random);
        if let Ok(agreement) = caller.answered(octets) {
            assert!(agreement.plan.srtp.is_some() || policy != SrtpPolicy::Required, "unprotected");
            let _ = (caller.answer(octets, random), caller.offer(random));
        }
    }
}
