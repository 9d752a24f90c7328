//! The flags of accounts and media.

use super::policy::PolicyFlags;
use super::sound::SoundFlags;
use super::trust::TrustFlags;
use std::path::PathBuf;

/// Who we are: the flags that every verb with an account has.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AccountFlags {
    /// Configuration file; $SIDETONE_CONFIG, the user's or the machine's when absent
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Account of the configuration; its default or only one when absent
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Carrier whose ways fill in what is not said: generic, signalwire, telnyx, twilio-domain or twilio-trunk
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Address of record of the account, as sip:user@host
    #[arg(long, value_name = "URI")]
    pub aor: Option<String>,
    /// Where REGISTER goes; the host of the address of record when absent
    #[arg(long, value_name = "HOST[:PORT]")]
    pub registrar: Option<String>,
    /// User name for digest authentication; the user part of the address of record when absent
    #[arg(long, value_name = "NAME")]
    pub auth_user: Option<String>,
    /// File whose first line is the password; otherwise SIDETONE_PASSWORD is used
    #[arg(long, value_name = "PATH")]
    pub password_file: Option<PathBuf>,
    /// udp, tcp or tls
    #[arg(long, value_name = "TRANSPORT")]
    pub transport: Option<String>,
    /// Proxy that every request outside a dialog is sent through; given again, the next one to try when it fails
    #[arg(long, value_name = "HOST[:PORT]")]
    pub outbound_proxy: Vec<String>,
    /// Another Route entry behind the proxy; may be given again
    #[arg(long, value_name = "URI")]
    pub route: Vec<String>,
    /// How long a server may be silent before the next one is tried [default: 4]
    #[arg(long, value_name = "SECONDS")]
    pub failover: Option<f64>,
    /// Lifetime to ask the registrar for, seconds
    #[arg(long, value_name = "SECONDS")]
    pub expires: Option<u32>,
    /// Display name
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Local addresses for SIP, separated by commas: every interface, IPv4 and IPv6, and any port when absent; TLS has
    /// the port above
    #[arg(long, value_name = "IP[:PORT]")]
    pub bind: Option<String>,
    /// How the world sees us, shown in Contact and SDP, where an address translator is in between
    #[arg(long, value_name = "IP[:PORT]")]
    pub public_address: Option<String>,
    /// STUN server that tells how the world sees us
    #[arg(long, value_name = "HOST[:PORT]")]
    pub stun: Option<String>,
    /// PEM file of certificate authorities to trust for TLS beside those of the system
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// PEM file of our certificate and its chain; with it, TLS connections are taken too
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the key of our certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Takes any certificate: whoever is on the way can listen. For tests only
    #[arg(long)]
    pub tls_insecure: bool,
    /// Name server to ask instead of the system's
    #[arg(long, value_name = "IP[:PORT]")]
    pub dns_server: Option<String>,
    /// Whom the account trusts.
    #[command(flatten)]
    pub trust: TrustFlags,
}

/// What calls may use.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MediaFlags {
    /// Codecs in order of preference; the account's, or opus,g722,pcmu,pcma when absent. For tests also l16/8000, l16/16000,
    /// l16/44100 and l16/48000
    #[arg(long, value_name = "LIST")]
    pub codec: Option<String>,
    /// Encryption of media: off, optional, required, or dtls (keys by a handshake on the media path, DTLS-SRTP); the
    /// account's, or off when absent
    #[arg(long, value_name = "POLICY")]
    pub srtp: Option<String>,
    /// SRTP suites in order of preference, and no others, such as AEAD_AES_256_GCM,AES_CM_128_HMAC_SHA1_80
    #[arg(long, value_name = "LIST")]
    pub srtp_suites: Option<String>,
    /// ICE: off, or lite (answers the connectivity checks of far ends that insist on them); the account's, or off when
    /// absent
    #[arg(long, value_name = "ICE")]
    pub ice: Option<String>,
    /// Keeps RTCP on a port of its own, also where the far end could take it with RTP (RFC 5761)
    #[arg(long)]
    pub no_rtcp_mux: bool,
    /// Audio per packet, ms: 10, 20, ... 120, or the next shorter one that the codec has (Opus: 10, 20, 40, 60, 80, 100,
    /// 120); the account's, or 20 when absent
    #[arg(long, value_name = "MS")]
    pub packet_time: Option<u32>,
    /// Opus settings, separated by commas: bitrate=, max-bitrate= (bit/s that we and that the far end sends at most),
    /// complexity=0..10, application=voip|audio|lowdelay, bandwidth=narrow|medium|wide|superwide|full, and fec=, dtx=,
    /// cbr=on|off for both directions
    #[arg(long, value_name = "LIST")]
    pub opus: Option<String>,
    /// Sends comfort noise (RFC 3389) in place of silence with G.711, where the far end takes it
    #[arg(long)]
    pub vad: bool,
    /// How they behave.
    #[command(flatten)]
    pub policy: PolicyFlags,
    /// How they use sound devices.
    #[command(flatten)]
    pub sound: SoundFlags,
}
