//! Programs that look for phones to abuse, known by what they say of themselves.

use crate::sip::header::Name;
use crate::sip::message::Request;

/// Parts of User-Agent, in lower case, that scanning and guessing programs send. Sources: the programs themselves
/// (sipvicious, sippts, nmap's sip scripts, iWar, SIP Army Knife, SIPp is none of them) and the public lists of Kamailio's
/// and OpenSIPS' sample configurations.
const PROGRAMS: [&str; 22] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sip-scan",
    "sipscan",
    "sipsak-scan",
    "sipcli",
    "siparmyknife",
    "sippts",
    "pplsip",
    "vaxsipuseragent",
    "vaxasip",
    "iwar",
    "smap ",
    "sipptk",
    "sivus",
    "gulp",
    "svmap",
    "svwar",
    "svcrack",
    "zxcvfdf11",
];

/// What names a scanning program in `request`: its User-Agent, or an address that only such programs write.
pub fn scanner(request: &Request) -> Option<&'static str> {
    let agent = request.headers.get(&Name::UserAgent).unwrap_or_default();
    if !agent.is_empty() {
        let agent = agent.to_ascii_lowercase();
        if let Some(program) = PROGRAMS.iter().find(|program| agent.contains(*program)) {
            return Some(program);
        }
    }
    let from = request.headers.get(&Name::From).unwrap_or_default();
    let to = request.headers.get(&Name::To).unwrap_or_default();
    // sipvicious writes `"sipvicious"<sip:100@1.1.1.1>` when its User-Agent was changed; nmap probes as nm@nm.
    if [from, to].iter().any(|value| value.contains("\"sipvicious\"")) {
        return Some("sipvicious");
    }
    if from.contains("sip:100@1.1.1.1") && to.contains("sip:100@1.1.1.1") {
        return Some("sipvicious");
    }
    from.contains("<sip:nm@nm>").then_some("nmap")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;
    use crate::sip::uri::Uri;

    fn options(fields: &[(Name, &str)]) -> Request {
        let mut request = Request::new(Method::Options, "sip:100@192.0.2.1".parse::<Uri>().unwrap());
        for (name, value) in fields {
            request.headers.push(name.clone(), *value);
        }
        request
    }

    #[test]
    fn scanners_are_known_and_phones_are_not() {
        let agent = |text: &str| scanner(&options(&[(Name::UserAgent, text)]));
        for text in ["friendly-scanner", "Friendly-Scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "pplsip", "iWar"] {
            assert!(agent(text).is_some(), "{text}");
        }
        let phones =
            ["Yealink SIP-T46S 66.85.0.5", "Asterisk PBX 20", "baresip v1.0.0", "FPBX-16", "Sidetone/0.1", "", "SIPp"];
        for text in phones {
            assert_eq!(agent(text), None, "{text}");
        }
        let address = "\"sipvicious\"<sip:100@1.1.1.1>;tag=6163";
        assert_eq!(scanner(&options(&[(Name::From, address)])), Some("sipvicious"));
        let plain = "<sip:100@1.1.1.1>";
        assert_eq!(scanner(&options(&[(Name::From, plain), (Name::To, plain)])), Some("sipvicious"));
        assert_eq!(scanner(&options(&[(Name::From, "<sip:nm@nm>;tag=root")])), Some("nmap"));
        assert_eq!(scanner(&options(&[(Name::From, "<sip:nm@nmh.example>;tag=a")])), None);
    }
}
