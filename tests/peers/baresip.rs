//! baresip as a far end: plays a fixture, records what it hears (its sndfile filter), answers by itself.

use crate::process::{Peer, address, eventually, free_port};
use crate::sidetone::fixture;
use crate::sound::Sound;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How one is set up.
pub struct Options<'a> {
    /// User part of its address and, with `secret-` before it, its password.
    pub user: &'a str,
    /// Registers here; `None`: no registrar.
    pub registrar: Option<SocketAddr>,
    /// `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// The domain of its address, when it is not the registrar's address.
    pub domain: Option<&'a str>,
    /// Its certificate for those who connect to it by TLS, with its key in the same PEM file.
    pub certificate: Option<PathBuf>,
    /// baresip's names, as `pcmu/8000/1`.
    pub codecs: &'a str,
    /// `mediaenc` of the account: `srtp`, `srtp-mand`, `dtls_srtp` or nothing.
    pub media_encryption: Option<&'a str>,
    /// The fixture that it plays.
    pub plays: &'a str,
    /// Plays what it hears in place of the fixture.
    pub echoes: bool,
    /// At this rate: that of the codec, since baresip's own resampler lets the upper half of the band alias.
    pub rate: u32,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            user: "bob",
            registrar: None,
            transport: "udp",
            domain: None,
            certificate: None,
            codecs: "pcmu/8000/1",
            media_encryption: None,
            plays: "answerer.wav",
            echoes: false,
            rate: 8_000,
        }
    }
}

/// A running baresip.
pub struct Baresip {
    address: SocketAddr,
    user: String,
    control: TcpStream,
    peer: Peer,
    directory: tempfile::TempDir,
}

impl Baresip {
    pub fn start(options: &Options) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ip = address();
        let address = SocketAddr::new(ip, free_port(ip));
        let control = SocketAddr::new(ip, free_port(ip));
        let path = directory.path();
        Sound::read(fixture(options.plays), 0).at_rate(options.rate).write(path.join("source.wav"));
        fs::write(path.join("config"), config(ip, address, control, path, options)).unwrap();
        fs::write(path.join("accounts"), account(address, options)).unwrap();
        fs::write(path.join("contacts"), "").unwrap();
        let peer = Peer::start("baresip", path, Command::new("baresip").arg("-f").arg(path).arg("-v"));
        let mut stream = None;
        let up = eventually(Duration::from_secs(15), || {
            stream = TcpStream::connect(control).ok();
            stream.is_some()
        });
        assert!(up, "baresip opened no control port:\n{}", peer.log());
        let mut baresip = Self { address, user: options.user.to_owned(), control: stream.unwrap(), peer, directory };
        if options.registrar.is_some() {
            baresip.peer.wait_for("200 OK", Duration::from_secs(10));
        }
        baresip
    }

    /// The URI that calls it.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.address)
    }

    /// Runs one command of its menu (`dial sip:…`, `hangup`).
    pub fn command(&mut self, command: &str, parameters: &str) {
        let text = format!(r#"{{"command":"{command}","params":"{parameters}","token":"t"}}"#);
        write!(self.control, "{}:{text},", text.len()).expect("the control port takes a command");
    }

    /// Waits until its control port reports `event` (`CALL_ESTABLISHED`, `CALL_CLOSED`); the whole report.
    pub fn wait_for_event(&mut self, event: &str, limit: Duration) -> String {
        self.control.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut seen = String::new();
        let met = eventually(limit, || {
            let mut buffer = [0; 4096];
            if let Ok(length) = self.control.read(&mut buffer) {
                seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            seen.contains(event)
        });
        assert!(met, "baresip reported no {event} in {limit:?}: {seen}\n{}", self.peer.log());
        seen
    }

    /// What it heard in its last call: a mono WAV file.
    pub fn heard(&self) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(self.directory.path())
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        files.sort();
        files.pop().expect("baresip recorded what it heard")
    }
}

fn config(ip: IpAddr, sip: SocketAddr, control: SocketAddr, directory: &Path, options: &Options) -> String {
    let modules = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/lib/aarch64-linux-gnu/baresip/modules",
    ]
    .into_iter()
    .find(|path| Path::new(path).is_dir())
    .unwrap_or("/usr/lib/baresip/modules");
    let audio = if options.echoes {
        "audio_player aubridge,echo\naudio_source aubridge,echo".to_owned()
    } else {
        format!("audio_player aubridge,none\naudio_source aufile,{}/source.wav", directory.display())
    };
    let loaded = ["g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp", "account", "menu", "ctrl_tcp"]
        .map(|module| format!("module {module}.so\n"))
        .concat();
    let by_handshake = options.media_encryption.is_some_and(|encryption| encryption.starts_with("dtls"));
    // The accounts look for it when they are read.
    let loaded = if by_handshake { format!("module dtls_srtp.so\n{loaded}") } else { loaded };
    let certificate =
        options.certificate.as_ref().map(|path| format!("sip_certificate {}\n", path.display())).unwrap_or_default();
    format!(
        "{certificate}poll_method epoll\nsip_listen {sip}\ncall_max_calls 16\n{audio}\n\
         audio_alert aubridge,silent\nausrc_srate {rate}\nauplay_srate {play_rate}\nausrc_channels 1\nauplay_channels 1\n\
         audio_level no\nrtp_ports 20000-40000\nrtcp_mux no\njitter_buffer_delay 5-10\nrtp_stats yes\nmodule_path {modules}\n{loaded}\
         ctrl_tcp_listen {control}\nsnd_path {directory}\nnet_interface {ip}\nopus_bitrate 32000\nopus_inbandfec yes\n",
        rate = options.rate,
        play_rate = if options.echoes { options.rate } else { 48_000 },
        directory = directory.display(),
    )
}

fn account(address: SocketAddr, options: &Options) -> String {
    let user = options.user;
    let mut line = match options.registrar {
        Some(registrar) if options.domain.is_some() => format!(
            "<sip:{user}@{domain};transport={by}>;outbound=\"sip:{registrar};transport={by}\";auth_user={user};\
             auth_pass=secret-{user};regint=60",
            domain = options.domain.unwrap_or_default(),
            by = options.transport
        ),
        Some(registrar) => format!(
            "<sip:{user}@{registrar};transport={}>;auth_user={user};auth_pass=secret-{user};regint=60",
            options.transport
        ),
        None => format!("<sip:{user}@{address}>;regint=0"),
    };
    line += &format!(";answermode=auto;audio_codecs={}", options.codecs);
    if let Some(encryption) = options.media_encryption {
        line += &format!(";mediaenc={encryption}");
    }
    line + "\n"
}
