use super::*;
use crate::random::Random;
use std::collections::VecDeque;

#[expect(clippy::disallowed_methods, reason = "an anchor that virtual time is added to")]
fn identity() -> Identity {
    Identity::generate(std::time::Instant::now()).unwrap()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Two ends and what flies between them.
struct Link {
    ends: [Association; 2],
    flying: VecDeque<(Instant, usize, BytesMut)>,
    now: Instant,
    delay: Duration,
    /// Of 100 datagrams.
    loss: u32,
    random: Random,
    secured: [Option<(Instant, Secured)>; 2],
    failed: [Option<Failed>; 2],
}

impl Link {
    fn new(ends: [Association; 2], delay: u64) -> Self {
        Self {
            ends,
            flying: VecDeque::new(),
            now: Instant::ZERO,
            delay: Duration::from_millis(delay),
            loss: 0,
            random: Random::from_seed(1),
            secured: [None, None],
            failed: [None, None],
        }
    }

    fn look(&mut self) {
        for side in 0..2 {
            while let Some((to, datagram)) = self.ends[side].poll_transmit() {
                assert_eq!(to, address(u16::try_from(2 - side).unwrap()), "where the other end is");
                if self.random.range(0, 100) >= u64::from(self.loss) {
                    self.flying.push_back((self.now + self.delay, 1 - side, datagram));
                }
            }
            match self.ends[side].poll_outcome() {
                Some(Ok(secured)) => self.secured[side] = Some((self.now, secured)),
                Some(Err(failed)) => self.failed[side] = Some(failed),
                None => {}
            }
        }
    }

    fn run(&mut self, until: u64) {
        let until = Instant::from_millis(until);
        self.look();
        loop {
            let timers = self.ends.iter().filter_map(Association::poll_timeout);
            let due = timers.chain(self.flying.front().map(|(due, ..)| *due)).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            if let Some((_, side, datagram)) = self.flying.pop_front_if(|(due, ..)| *due <= self.now) {
                self.ends[side].handle(self.now, address(u16::try_from(2 - side).unwrap()), &datagram);
            }
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            self.look();
        }
        self.now = until;
    }
}

/// What `other` says of itself, seen by an end that plays `role`.
fn said(role: Role, other: &Identity) -> Dtls {
    Dtls { role, fingerprints: vec![other.fingerprint().clone()], tls_id: None, suites: Vec::new() }
}

fn pair(suites: &[SrtpSuite]) -> ([Identity; 2], [Association; 2]) {
    let identities = [identity(), identity()];
    let ends = identities.clone().map(|own| Association::listen(own, suites.to_vec()));
    (identities, ends)
}

/// End 0 asks, end 1 answers.
fn introduce(link: &mut Link, [asks, answers]: &[Identity; 2]) {
    link.ends[0].expect(link.now, said(Role::Client, answers));
    link.ends[0].direct(link.now, address(2));
    link.ends[1].expect(link.now, said(Role::Server, asks));
}

#[test]
fn both_ends_get_the_same_keys_crosswise_for_every_profile() {
    for suite in PROFILES {
        let (identities, ends) = pair(&[suite]);
        let mut link = Link::new(ends, 10);
        introduce(&mut link, &identities);
        link.run(1_000);
        let [Some((_, ours)), Some((_, theirs))] = &link.secured else { panic!("{suite}: {:?}", link.failed) };
        assert_eq!((ours.srtp.suite, theirs.srtp.suite), (suite, suite));
        assert_eq!((&ours.srtp.local, &ours.srtp.remote), (&theirs.srtp.remote, &theirs.srtp.local));
        assert_ne!(ours.srtp.local, ours.srtp.remote);
        assert_eq!(ours.srtp.local.0.len(), suite.key_and_salt_length());
        assert_eq!((ours.from, theirs.from), (address(2), address(1)));
    }
}

/// RFC 5763 section 6.2: the first flight may come before the answer, which is what tells who it may come from.
#[test]
fn a_first_flight_before_the_answer_is_answered_at_once_and_believed_only_by_its_fingerprint() {
    let (identities, ends) = pair(&[]);
    let mut link = Link::new(ends, 20);
    link.ends[0].expect(link.now, said(Role::Client, &identities[1]));
    link.ends[0].direct(link.now, address(2));
    link.run(2_000);
    let (secured, _) = link.secured[0].clone().expect("the end that knows all is through");
    // Two round trips with the cookie, and one with the keys.
    assert_eq!(secured, Instant::from_millis(120));
    assert_eq!(link.secured[1], None, "nothing is let through before the answer");
    link.ends[1].expect(link.now, said(Role::Server, &identities[0]));
    link.run(2_000);
    assert_eq!(link.secured[1].as_ref().map(|(at, _)| *at), Some(Instant::from_millis(2_000)), "no flight is lost");
}

#[test]
fn another_certificate_than_that_of_the_description_ends_it() {
    let (identities, ends) = pair(&[]);
    let stranger = identity();
    let mut link = Link::new(ends, 10);
    link.ends[0].expect(link.now, said(Role::Client, &stranger));
    link.ends[0].direct(link.now, address(2));
    link.ends[1].expect(link.now, said(Role::Server, &stranger));
    link.run(5_000);
    assert_eq!(link.secured, [None, None]);
    for (side, failed) in link.failed.iter().enumerate() {
        let Some(Failed::Fingerprint { found, said }) = failed else { panic!("{failed:?}") };
        assert_eq!(found, identities[1 - side].fingerprint());
        assert_eq!(*said, stranger.fingerprint().to_string());
    }
}

/// A fork that shook hands and did not answer is none of ours.
#[test]
fn of_several_who_began_the_one_that_answered_counts() {
    let (identities, ends) = pair(&[]);
    let mut link = Link::new(ends, 10);
    link.ends[0].expect(link.now, said(Role::Client, &identities[1]));
    link.ends[0].direct(link.now, address(2));
    link.run(1_000);
    let answered = identity();
    link.ends[1].expect(link.now, said(Role::Server, &answered));
    link.run(2_000);
    assert_eq!((&link.secured[1], &link.failed[1]), (&None, &None), "its own first flight may still come");
    let mut other = Association::listen(answered, Vec::new());
    other.expect(link.now, said(Role::Client, &identities[1]));
    other.direct(link.now, address(2));
    link.ends[0] = other;
    link.secured[0] = None;
    link.run(3_000);
    assert!(link.secured.iter().all(Option::is_some), "{:?}", link.failed);
}

#[test]
fn no_loss_keeps_keys_from_being_agreed() {
    let mut slowest = Duration::ZERO;
    for seed in 0..40 {
        let (identities, ends) = pair(&[]);
        let mut link = Link::new(ends, 15);
        (link.loss, link.random) = (20, Random::from_seed(seed));
        introduce(&mut link, &identities);
        link.run(20_000);
        let [Some((first, _)), Some((second, _))] = &link.secured else { panic!("seed {seed}: {:?}", link.failed) };
        slowest = slowest.max(first.since_start()).max(second.since_start());
    }
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
}

#[test]
fn who_never_answers_is_told_of() {
    let (identities, ends) = pair(&[]);
    let mut link = Link::new(ends, 10);
    link.loss = 100;
    introduce(&mut link, &identities);
    link.run(60_000);
    assert_eq!(link.failed, [Some(Failed::Silent), Some(Failed::NotBegun)]);
    assert!(link.ends.iter().all(|end| end.poll_timeout().is_none()), "nothing is left to wait for");
}

#[test]
fn without_a_profile_in_common_both_ends_give_up() {
    let identities = [identity(), identity()];
    let [first, second] = identities.clone();
    let ends = [
        Association::listen(first, vec![SrtpSuite::AeadAes128Gcm]),
        Association::listen(second, vec![SrtpSuite::AesCm128HmacSha1_80]),
    ];
    let mut link = Link::new(ends, 10);
    introduce(&mut link, &identities);
    link.run(30_000);
    assert_eq!(link.secured, [None, None]);
    assert!(link.failed.iter().all(Option::is_some), "{:?}", link.failed);
}

/// What anybody can send must neither break anything nor fill the memory.
#[test]
fn noise_ends_nothing() {
    let (identities, ends) = pair(&[]);
    let mut link = Link::new(ends, 10);
    let mut random = Random::from_seed(3);
    for round in 0..3_000_u64 {
        let mut noise = vec![0; usize::try_from(random.range(1, 80)).unwrap()];
        random.fill(&mut noise);
        noise[0] = u8::try_from(random.range(20, 64)).unwrap();
        if round % 3 == 0 && noise.len() > 14 {
            noise[..5].copy_from_slice(&[22, 254, 253, 0, 0]);
            noise[13] = 1;
        }
        link.ends[1].handle(link.now, address(u16::try_from(1_000 + round).unwrap()), &noise);
        while link.ends[1].poll_transmit().is_some() {}
    }
    assert!(link.ends[1].handshakes.len() <= STRANGERS);
    introduce(&mut link, &identities);
    link.run(2_000);
    assert!(link.secured.iter().all(Option::is_some), "{:?}", link.failed);
}
