//! By which name a peer is reached: what its certificate has to be for.
//!
//! A hop holds an address; the name that it was looked up for is kept here, because the certificate is checked against
//! the name that was asked for and never against one that DNS answered with (RFC 5922 section 4).

use crate::time::{Duration, Instant};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Most peers remembered.
const PEERS: usize = 4096;

/// How long nobody else's name replaces one that no connection has confirmed: longer than it takes to connect.
const PENDING: Duration = Duration::from_secs(20);

/// Two names lead to one address, and its certificate is not known to be for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::net) struct Conflict {
    /// The name that it is in use for.
    pub(in crate::net) held: String,
}

#[derive(Debug)]
struct Note {
    name: String,
    at: Instant,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(in crate::net) struct Names(HashMap<SocketAddr, Note>);

impl Names {
    /// The name that the certificate of `remote` has to be for; its address where no name is known.
    pub(in crate::net) fn of(&self, remote: SocketAddr) -> String {
        self.0.get(&remote).map_or_else(|| remote.ip().to_string(), |note| note.name.clone())
    }

    /// Was `remote` looked up?
    pub(in crate::net) fn knows(&self, remote: SocketAddr) -> bool {
        self.0.contains_key(&remote)
    }

    /// `host` was looked up and leads to `remote`. `confirmed`: whether the certificate of the open connection with it is
    /// for `host`, if there is one.
    pub(in crate::net) fn note(
        &mut self,
        now: Instant,
        host: &str,
        remote: SocketAddr,
        confirmed: Option<bool>,
    ) -> Result<(), Conflict> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let held = self.0.get(&remote);
        match (held, confirmed) {
            // The address that is known by a name: a Route or Contact that names a machine, not a domain.
            (Some(_), _) if host.parse::<std::net::IpAddr>().is_ok() => return Ok(()),
            (Some(note), _) if note.name == host => {}
            (_, Some(true)) => {}
            (held, Some(false)) => {
                return Err(Conflict { held: held.map_or_else(|| remote.ip().to_string(), |note| note.name.clone()) });
            }
            (Some(note), None) if now < note.at + PENDING => return Err(Conflict { held: note.name.clone() }),
            (_, None) => {}
        }
        if self.0.len() >= PEERS
            && !self.0.contains_key(&remote)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, note)| note.at).map(|(remote, _)| *remote)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(remote, Note { name: host, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_talked_over() {
        let remote: SocketAddr = "192.0.2.1:5061".parse().unwrap();
        let (mut names, start) = (Names::default(), Instant::ZERO);
        assert_eq!(names.of(remote), "192.0.2.1");
        names.note(start, "Sip.Example.com.", remote, None).unwrap();
        assert_eq!(names.of(remote), "sip.example.com");
        // A bare address is the same machine.
        names.note(start, "192.0.2.1", remote, None).unwrap();
        assert_eq!(names.of(remote), "sip.example.com");
        let conflict = names.note(start, "evil.example", remote, None).unwrap_err();
        assert_eq!(conflict.held, "sip.example.com");
        assert!(names.note(start + PENDING, "evil.example", remote, Some(false)).is_err());
        names.note(start, "other.example.com", remote, Some(true)).unwrap();
        names.note(start + PENDING, "moved.example", remote, None).unwrap();
        assert_eq!(names.of(remote), "moved.example");
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut names = Names::default();
        for number in 0..=u16::try_from(PEERS).unwrap() {
            let remote = SocketAddr::from(([192, 0, 2, 1], number));
            names.note(Instant::from_millis(u64::from(number)), "a.example", remote, None).unwrap();
        }
        assert_eq!(names.0.len(), PEERS);
        assert!(!names.knows(SocketAddr::from(([192, 0, 2, 1], 0))));
    }
}
