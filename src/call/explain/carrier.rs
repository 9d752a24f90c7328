//! What carriers say in codes of their own, from their public pages, in our words.

/// Twilio's error codes that a user agent meets (twilio.com/docs/api/errors), and what to do.
pub(super) const TWILIO: &[(&str, &str)] = &[
    ("32001", "more calls per second than the account may make; slow down or have the limit raised"),
    ("32012", "more calls per second than the account may make; slow down or have the limit raised"),
    ("32013", "more calls per second than the account may make; slow down or have the limit raised"),
    ("32002", "it knows no SIP domain of that name; check the domain"),
    ("32005", "voice is disabled for this account; have it enabled"),
    ("32006", "the request made too many hops; start with a Max-Forwards of 70 and look for a loop"),
    ("32007", "this address has ten registrations already; take old ones back or wait until they expire"),
    ("32008", "more than five registrations a second for one address; register less often"),
    ("32009", "the user who was called is not registered; register it first"),
    ("32010", "the trunk has no usable origination URI; set one in the console"),
    ("32011", "Twilio could not reach our side; check the firewall and the registered contact"),
    ("32014", "Twilio heard no RTP and ended the call; keep sending, also on hold, and check NAT"),
    ("32015", "the call reached the longest duration that is allowed; call again"),
    ("32016", "the far end did not ring in time; try again later"),
    ("32017", "the carrier blocked this caller id; use a number of good standing"),
    ("32022", "Twilio never got our ACK; do not rewrite its Contact and follow Record-Route"),
    ("32100", "a trial account calls verified numbers only; verify the number or upgrade"),
    ("32101", "the number is not E.164; dial it as + and digits"),
    ("32102", "it cannot read our SDP; send plain SDP without ICE or DTLS lines"),
    ("32103", "it got no SDP; put an offer into the INVITE"),
    ("32105", "it does not like our Contact; use the public address and port"),
    ("32106", "it did not accept user name and password; check the credential list of the domain or trunk"),
    ("32110", "it cannot read an address in the request; check target and caller id"),
    ("32200", "the account has no permission for this; check what it is allowed to do"),
    ("32201", "our address is not in its access control list; add it, or use credentials"),
    ("32202", "it did not accept user name and password; check the credential list of the domain or trunk"),
    ("32203", "the number is blocked for this account; ask Twilio's support"),
    ("32216", "the number is blocked for this account; ask Twilio's support"),
    ("32204", "the caller id is not verified; use a number of the account or verify this one"),
    ("32206", "the caller id is no valid number; write it as + and digits"),
    ("32205", "calls to that country are not allowed; enable it under the account's geographic permissions"),
    ("13227", "calls to that country are not allowed; enable it under the account's geographic permissions"),
    ("21215", "calls to that country are not allowed; enable it under the account's geographic permissions"),
    ("32207", "it wants no SRTP; set srtp = \"off\", or enable secure media on the domain or trunk"),
    ("32208", "it wants SRTP; set srtp = \"required\""),
    ("32209", "it wants TLS; set transport = \"tls\""),
    ("32210", "registration is not enabled for this domain; enable it in the console"),
    (
        "32212",
        "it did not accept the registration's user name and password; check the domain's credential list for registrations, which is not the one for calls",
    ),
    ("32218", "transfer is not allowed on this trunk; enable call transfer"),
    ("32220", "an edge must not be named when a registered user is called; use the domain without it"),
    ("32222", "this version of TLS is not allowed; use 1.2 or later"),
    ("32223", "the request names no user; put one into the address"),
    ("21210", "the caller id is not verified; use a number of the account or verify this one"),
    ("21211", "the called number is not valid; dial it as + and digits"),
];

/// Telnyx's codes behind the reason phrase (its knowledge base), and what to do.
pub(super) const TELNYX: &[(&str, &str)] = &[
    ("D1", "the account's limit of calls is reached; have it raised"),
    ("D10", "the account or connection is disabled; look into the portal"),
    ("D11", "the account or connection is disabled; look into the portal"),
    ("D12", "the account or connection is disabled; look into the portal"),
    ("D13", "the account or connection is disabled; look into the portal"),
    ("D14", "the account or connection is disabled; look into the portal"),
    ("D15", "the account or connection is disabled; look into the portal"),
    ("D16", "the account or connection is disabled; look into the portal"),
    ("D17", "the account or connection is disabled; look into the portal"),
    ("D18", "the number is not known; check it"),
    ("D19", "the number is not known; check it"),
    ("D21", "the number cannot be reached at present; try again later"),
    ("D22", "all channels of the connection are in use; raise its channel limit"),
    ("D25", "it did not accept user name and password; check the connection's credentials"),
    ("D26", "it did not accept user name and password; check the connection's credentials"),
    ("D27", "it did not accept user name and password; check the connection's credentials"),
    ("D28", "it did not accept user name and password; check the connection's credentials"),
    ("D29", "it did not accept user name and password; check the connection's credentials"),
    ("D35", "the caller id is not valid; use a number of the account as + and digits"),
    ("D36", "the caller id is not a number of this account; use one that is"),
    ("D38", "the connection has no outbound voice profile; assign one in the portal"),
    ("D7", "the connection has no outbound voice profile; assign one in the portal"),
    ("D40", "there is no route to that number; check the country and the outbound profile"),
    ("D42", "transfer by REFER is off; enable it for the connection"),
    ("D51", "the account is not verified for this; verify it in the portal"),
    ("D60", "the account's tier does not allow this; upgrade it"),
    ("RG1", "the called user is not registered; register it first"),
    ("R47", "it takes one Contact in a REGISTER only; send no others"),
    ("P51", "the Contact is too long; shorten the user part"),
    ("B3", "encryption does not match"),
    ("PE", "an error within Telnyx; try again, or another of its servers"),
    ("TV1", "an error within Telnyx; try again, or another of its servers"),
];

/// What a carrier means by a status where it gives no code of its own (its public pages), and what to change: part of the
/// host, the status, whether a registration was refused, the sentence. The first row that fits wins.
const STATUSES: &[(&str, u16, bool, &str)] = &[
    (
        "twilio",
        400,
        false,
        "Twilio takes numbers as + and digits, and a caller id that it knows: dial +COUNTRY..., set numbers, and verify the caller id",
    ),
    ("twilio", 401, true, TWILIO_LIST),
    ("twilio", 407, true, TWILIO_LIST),
    (
        "twilio",
        403,
        true,
        "Twilio does not let this user register: enable registration for the SIP domain, and use its name as the domain, never an address",
    ),
    (
        "twilio",
        403,
        false,
        "Twilio does not allow this call: put our address on the access control list (or use the credential list), call from a number of the account, allow the country under geographic permissions, and name the domain or trunk in the address, never an IP",
    ),
    ("pstn.twilio", 404, false, "the trunk does not know that number: dial it as + and digits"),
    (
        "twilio",
        404,
        false,
        "nobody was dialled: the domain's voice URL has to answer with TwiML that dials; check the number too",
    ),
    ("pstn.twilio", 405, true, "a trunk takes no REGISTER: set register = false (preset = \"twilio-trunk\")"),
    ("twilio", 415, false, "Twilio wants PCMU or PCMA in the offer: add pcmu or pcma to codecs"),
    ("twilio", 423, true, "Twilio registers for 600 s at least and 3600 s at most: set expires = 1800"),
    (
        "twilio",
        503,
        false,
        "more calls per second (one by default) or at once than the account may make: slow down and try again, or have the limit raised",
    ),
    ("pstn.twilio", 603, false, "Twilio has suspended the account: look into the console"),
    ("telnyx", 401, true, TELNYX_CREDENTIALS),
    ("telnyx", 403, true, TELNYX_CREDENTIALS),
    (
        "telnyx",
        403,
        false,
        "Telnyx does not allow this call: call from a number of the account as + and digits, assign an outbound voice profile to the connection, and allow the country in it",
    ),
    ("telnyx", 404, false, "Telnyx does not know that number: dial it as + and digits"),
    ("telnyx", 405, false, "Telnyx takes no REFER unless the connection allows it: enable it in the portal"),
    (
        "telnyx",
        480,
        false,
        "nobody is registered there, or the number cannot be reached at present: register first, and try again later",
    ),
    ("telnyx", 503, false, "an error within Telnyx: try again, or another of its servers"),
    ("signalwire", 401, true, SIGNALWIRE_DOMAIN),
    ("signalwire", 403, true, SIGNALWIRE_DOMAIN),
];

const TWILIO_LIST: &str = "Twilio did not accept user name and password: check that the credential list is mapped to the \
    domain's registrations, which is not the one for calls, and that the user name is that of the credential";

const TELNYX_CREDENTIALS: &str = "Telnyx did not accept user name and password: check that they are those of the credential \
    connection, not of the portal, and that the connection is enabled";

const SIGNALWIRE_DOMAIN: &str = "SignalWire did not accept user name and password: copy the domain from the dashboard \
    (SPACE-SUFFIX.sip.signalwire.com), since without the suffix a server answers that knows no users, and set the password \
    there";

/// Is the carrier the host, or what names itself?
fn is(server: &str, names: &[&str], carrier: &str) -> bool {
    std::iter::once(&server).chain(names).any(|name| name.to_ascii_lowercase().contains(carrier))
}

/// What a carrier means by a status.
pub(super) fn by_status(server: &str, names: &[&str], status: u16, registering: bool) -> Option<&'static str> {
    let fits = |(carrier, of, about, _): &&(&str, u16, bool, &str)| {
        *of == status && *about == registering && is(server, names, carrier)
    };
    STATUSES.iter().find(fits).map(|(.., sentence)| *sentence)
}

/// Does a 488 of that server say that encryption does not fit, where it says no more?
pub(super) fn refuses_by_encryption(server: &str, names: &[&str]) -> bool {
    ["twilio", "signalwire"].iter().any(|carrier| is(server, names, carrier))
}

/// What a carrier's own code means: looked for in `texts` (reason phrase, Warning, the carrier's own fields) where
/// `server`, or what names itself as one, is that carrier.
pub(super) fn meaning(server: &str, names: &[&str], texts: &[&str]) -> Option<(&'static str, &'static str)> {
    let table = match () {
        () if is(server, names, "twilio") => TWILIO,
        () if is(server, names, "telnyx") => TELNYX,
        () => return None,
    };
    let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
    words.into_iter().find_map(|word| table.iter().find(|(code, _)| *code == word).copied())
}
