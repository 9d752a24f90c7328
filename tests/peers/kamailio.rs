//! Kamailio as registrar and record-routing proxy with digest authentication, UDP and TCP, empty location table.

use crate::process::{Peer, address, eventually, free_port};
use crate::rtpengine::RtpEngine;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running Kamailio; the password of user `U` is `secret-U`.
pub struct Kamailio {
    pub address: SocketAddr,
    /// Where TLS is spoken, if it is.
    pub secure: SocketAddr,
    peer: Peer,
    media: Option<RtpEngine>,
    _directory: tempfile::TempDir,
}

const CONFIG: &str = r#"#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:@ADDRESS@
listen=tcp:@ADDRESS@
@TLS_LISTEN@tcp_connection_lifetime=120
@TLS_MODULE@loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
@MODULES@
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 120)
modparam("registrar", "min_expires", 10)
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", 300)
modparam("auth", "algorithm", "@ALGORITHM@")
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_timer", 5000)

request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (is_method("BYE|ACK") || (is_method("INVITE") && has_totag())) { @RELAY@ }
    if (has_totag()) {
        if (loose_route()) { t_on_reply("MEDIA"); xlog("L_ALERT", "$rm in dialog by $proto\n"); t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply("404", "Not Here"); exit;
    }
    if (is_method("OPTIONS") && uri == myself && $rU == $null) { sl_send_reply("200", "Keepalive"); exit; }
    if (is_method("REGISTER")) {
        xlog("L_ALERT", "REGISTER $fu by $proto expires $hdr(Expires) contact $ct\n");
        $var(expires) = $(hdr(Expires){s.int});
        if ($var(expires) > 0 && $var(expires) < 10) {
            append_to_reply("Min-Expires: 10\r\n"); sl_send_reply("423", "Interval Too Brief"); exit;
        }
        if (!pv_www_authenticate("$fd", "secret-$fU", "0")) { www_challenge("$fd", "1"); exit; }
        save("location"); exit;
    }
    if (is_method("INVITE")) {
        if (!pv_proxy_authenticate("$fd", "secret-$fU", "0")) { proxy_challenge("$fd", "1"); exit; }
        consume_credentials();
        xlog("L_ALERT", "INVITE $fu to $ru by $proto\n");
    }
    record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    if (is_method("INVITE")) { @RELAY@ }
    t_on_reply("MEDIA");
    t_relay();
}

onreply_route[MEDIA] {
    if (has_body("application/sdp")) { @RELAY_BACK@ }
}
"#;

/// Has media go through rtpengine, plain towards the callee whatever the caller wants.
/// A block without a statement is a syntax error to Kamailio 5.6.
const NOTHING: &str = "$var(relay) = 0;";

const MODULES: &str = r#"loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:@CONTROL@")
"#;

const OUTBOUND: &str = r#"loadmodule "stun.so"
modparam("registrar", "outbound_mode", 1)
"#;

impl Kamailio {
    /// Starts one that challenges with MD5.
    pub fn start() -> Self {
        Self::with_algorithm("MD5")
    }

    /// Starts one that challenges with `algorithm` (`MD5` or `SHA-256`).
    pub fn with_algorithm(algorithm: &str) -> Self {
        Self::with(algorithm, None, None)
    }

    /// Starts one that puts a media relay between the parties, which the callee reaches without SRTP.
    pub fn with_media_relay() -> Self {
        Self::with("MD5", Some(RtpEngine::start()), None)
    }

    /// Starts one that keeps flows (RFC 5626), and speaks STUN where it speaks SIP.
    pub fn with_outbound() -> Self {
        Self::with_modules("MD5", None, None, OUTBOUND)
    }

    /// The media relay.
    pub fn media(&mut self) -> &mut RtpEngine {
        self.media.as_mut().expect("a media relay")
    }

    /// Starts one that also speaks TLS, with this certificate and key, on the port [`Kamailio::secure`].
    pub fn with_certificate(certificate: &Path, key: &Path) -> Self {
        Self::with("MD5", None, Some((certificate, key)))
    }

    fn with(algorithm: &str, media: Option<RtpEngine>, tls: Option<(&Path, &Path)>) -> Self {
        Self::with_modules(algorithm, media, tls, "")
    }

    fn with_modules(algorithm: &str, media: Option<RtpEngine>, tls: Option<(&Path, &Path)>, more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ip = address();
        let address = SocketAddr::new(ip, free_port(ip));
        let secure = SocketAddr::new(ip, free_port(ip));
        let config = directory.path().join("kamailio.cfg");
        let (listen, module) = match tls {
            None => (String::new(), String::new()),
            Some((certificate, key)) => (
                format!("listen=tls:{secure}\nenable_tls=yes\n"),
                format!(
                    "loadmodule \"tls.so\"\nmodparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n\
                     modparam(\"tls\", \"certificate\", \"{}\")\nmodparam(\"tls\", \"private_key\", \"{}\")\n",
                    certificate.display(),
                    key.display()
                ),
            ),
        };
        let text = CONFIG.replace("@ADDRESS@", &address.to_string()).replace("@ALGORITHM@", algorithm);
        let text = text.replace("@TLS_LISTEN@", &listen).replace("@TLS_MODULE@", &module);
        let relay = if media.is_some() { r#"rtpengine_manage("RTP/AVP replace-origin");"# } else { NOTHING };
        let modules = media.as_ref().map(|media| MODULES.replace("@CONTROL@", &media.control.to_string()));
        let back = if media.is_some() { r#"rtpengine_manage("replace-origin");"# } else { NOTHING };
        let text = text
            .replace("@RELAY@", relay)
            .replace("@RELAY_BACK@", back)
            .replace("@MODULES@", &(modules.unwrap_or_default() + more));
        fs::write(&config, text).unwrap();
        let mut command = Command::new("kamailio");
        command.arg("-DD").arg("-f").arg(&config);
        for option in ["-w", "-Y"] {
            command.arg(option).arg(directory.path());
        }
        command.arg("-P").arg(directory.path().join("pid"));
        let peer = Peer::start("kamailio", directory.path(), &mut command);
        let kamailio = Self { address, secure, peer, media, _directory: directory };
        kamailio.wait_until_it_answers();
        kamailio
    }

    /// Everything that it logged.
    pub fn log(&self) -> String {
        self.peer.log()
    }

    fn wait_until_it_answers(&self) {
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let local = socket.local_addr().unwrap();
        let ping = format!(
            "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKping\r\nFrom: <sip:test@{local}>;tag=1\r\n\
             To: <sip:{0}>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        let answered = eventually(Duration::from_secs(15), || {
            let _ = socket.send_to(ping.as_bytes(), self.address);
            socket.recv(&mut [0; 2048]).is_ok()
        });
        assert!(answered, "Kamailio does not answer:\n{}", self.peer.log());
    }
}
