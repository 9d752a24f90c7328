//! Digest responses against the shared known answers.

mod shared;

use sidetone::sip::auth::{Algorithm, Digest, Password, Qop};

#[test]
fn known_answers() {
    let Some(folder) = shared::vectors("digest") else { return };
    let file: serde_json::Value = serde_json::from_slice(&shared::octets(&folder.join("digest.json"))).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(!vectors.is_empty());
    let mut algorithms = Vec::new();
    for vector in vectors {
        let text = |name: &str| vector[name].as_str();
        let name = text("name").unwrap();
        let password = Password::new(text("password").unwrap());
        let algorithm = Algorithm::of(text("algorithm").unwrap()).expect(name);
        let digest = Digest {
            algorithm,
            qop: text("qop").map(|qop| Qop::of(qop).expect(name)),
            username: text("username").unwrap(),
            realm: text("realm").unwrap(),
            password: &password,
            nonce: text("nonce").unwrap(),
            count: text("nc").map_or(0, |count| u32::from_str_radix(count, 16).unwrap()),
            cnonce: text("cnonce").unwrap_or_default(),
            method: text("method").unwrap(),
            uri: text("uri").unwrap(),
            body: text("entity_body").unwrap_or_default().as_bytes(),
        };
        assert_eq!(digest.response(), text("response").unwrap(), "{name}");
        algorithms.push(algorithm);
    }
    algorithms.sort();
    algorithms.dedup();
    assert_eq!(algorithms, Algorithm::ALL, "every algorithm has an answer to check");
}

/// No formatting of a password shows it, wrapped in whatever.
#[test]
fn passwords_do_not_show() {
    let credentials = sidetone::sip::auth::Credentials::new("ann", "topsecret");
    for shown in [
        format!("{credentials:?}"),
        format!("{credentials:#?}"),
        format!("{:?}", sidetone::sip::auth::Client::new(credentials.clone())),
    ] {
        assert!(shown.contains("ann") && !shown.contains("topsecret"), "{shown}");
    }
}
