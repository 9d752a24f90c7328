//! What RFC 3261 says of every message, checked on all that an agent sent in a simulation.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use sidetone::sip::header::Name;
use sidetone::sip::message::{Message, Method, Request, Response};
use sidetone::sip::wire::parse_datagram;

use crate::world::World;

/// Checks everything that was sent from `agent`, in order.
#[track_caller]
pub fn check(world: &World, agent: SocketAddr) {
    // Strangers may use a branch for more than one request.
    let mut asked: HashMap<(String, String), Vec<Request>> = HashMap::new();
    let mut invites: HashMap<String, Request> = HashMap::new();
    let mut rejections: HashMap<String, Vec<String>> = HashMap::new();
    let mut numbers: HashMap<(String, String), u32> = HashMap::new();
    let mut sent: HashSet<String> = HashSet::new();
    for wire in &world.trace {
        let Ok(message) = parse_datagram(&wire.bytes) else { continue };
        let context = || format!("{:?} seed {}: {message:#?}", wire.at, world.seed);
        let branch = message.headers().top_via().unwrap().branch().unwrap_or_default().to_owned();
        // An agent may call itself, so that everything counts as received.
        match &message {
            Message::Request(request) => {
                asked.entry((branch.clone(), request.method.to_string())).or_default().push(request.clone());
            }
            Message::Response(response) if response.status.code() >= 300 => {
                let tag = response.headers.to().unwrap().tag().unwrap_or_default().to_owned();
                rejections.entry(branch.clone()).or_default().push(tag);
            }
            Message::Response(_) => {}
        }
        if wire.from != agent {
            continue;
        }
        match &message {
            Message::Response(response) => {
                let method = response.headers.cseq().unwrap().method.to_string();
                // A damaged request got a stateless answer, or one whose branch was damaged too.
                if let Some(requests) = asked.get(&(branch, method)) {
                    let repeats = requests.iter().any(|request| repeats(request, response));
                    assert!(repeats, "{requests:#?} answered by {}", context());
                }
            }
            Message::Request(request) => {
                well_formed(request, &context);
                let headers = &request.headers;
                let number = headers.cseq().unwrap().number;
                match request.method {
                    Method::Ack => match invites.get(&branch) {
                        Some(invite) => {
                            let tag = headers.to().unwrap().tag().unwrap_or_default().to_owned();
                            let tags = rejections.get(&branch).map(Vec::as_slice).unwrap_or_default();
                            assert!(tags.contains(&tag), "the To tag of no rejection: {}", context());
                            assert_eq!(request.uri, invite.uri, "{}", context());
                        }
                        None => assert!(headers.to().unwrap().tag().is_some(), "{}", context()),
                    },
                    Method::Cancel => {
                        let invite = invites.get(&branch).unwrap_or_else(|| panic!("no INVITE: {}", context()));
                        for name in [Name::Via, Name::From, Name::To, Name::CallId] {
                            assert_eq!(headers.get(&name), invite.headers.get(&name), "{}", context());
                        }
                        assert_eq!((number, &request.uri), (invite.headers.cseq().unwrap().number, &invite.uri));
                    }
                    _ => {
                        let from = headers.from().unwrap().tag().unwrap().to_owned();
                        let key = (headers.call_id().unwrap().to_owned(), from);
                        // One that is repeated while later ones go out is no new request.
                        if sent.insert(branch.clone())
                            && let Some(last) = numbers.insert(key, number)
                        {
                            // Several forks may be ended with the same number, each in a dialog of its own.
                            let next = number == last + 1 || request.method == Method::Bye && number == last;
                            assert!(next, "CSeq {number} after {last}: {}", context());
                        }
                    }
                }
                if request.method == Method::Invite {
                    invites.insert(branch, request.clone());
                }
            }
        }
    }
}

/// RFC 3261 section 8.2.6: a response repeats Via, From, Call-ID, CSeq, and To but for its tag.
fn repeats(request: &Request, response: &Response) -> bool {
    let same = |name: &Name| request.headers.get(name) == response.headers.get(name);
    let hosts = |message: &sidetone::sip::header::Headers| -> Vec<_> {
        let vias = message.vias().unwrap();
        vias.iter().map(|via| (via.host.clone(), via.port, via.branch().map(str::to_owned))).collect()
    };
    let (asked, told) = (request.headers.to().unwrap(), response.headers.to().unwrap());
    same(&Name::From)
        && same(&Name::CallId)
        && request.headers.cseq() == response.headers.cseq()
        && hosts(&request.headers) == hosts(&response.headers)
        && asked.uri == told.uri
        && (asked.tag().is_none() || asked.tag() == told.tag())
        && (told.tag().is_some() || response.status.code() == 100)
}

/// RFC 3261 section 8.1.1.
fn well_formed(request: &Request, context: &dyn Fn() -> String) {
    let headers = &request.headers;
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards] {
        assert_eq!(headers.all(&name).count(), 1, "{name} of {}", context());
    }
    assert_eq!(headers.get(&Name::MaxForwards), Some("70"), "{}", context());
    assert!(headers.from().unwrap().tag().is_some(), "{}", context());
    assert!(headers.top_via().unwrap().wants_rport(), "{}", context());
    if request.method == Method::Invite {
        assert_eq!(headers.contacts().unwrap().len(), 1, "{}", context());
    }
}
