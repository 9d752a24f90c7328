//! Calls somebody, sends a tone (or a WAV file) for some seconds, and tells how the call was.
//!
//! ```text
//! SIDETONE_PASSWORD=… cargo run --example dial -- sip:alice@example.com sip:bob@example.com [SECONDS [FILE.wav]]
//! ```

use sidetone::audio::{Sink, Source};
use sidetone::call::MediaOptions;
use sidetone::call::record::Status;
use sidetone::phone::{Account, AccountId, Dial, Event, Io, Moment, Phone, Settings};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main]
async fn main() -> ExitCode {
    match dial().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dial: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn dial() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(aor), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dial sip:USER@HOST sip:WHOM@HOST [SECONDS [FILE.wav]]".into());
    };
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse()).map_err(|_| "SECONDS is a number such as 5")?;
    let source = match arguments.next() {
        Some(path) => Source::File { path: path.into(), repeat: true },
        None => Source::Tone(440.0),
    };
    source.check()?;
    let mut account = Account::new(aor.parse()?);
    account.password = std::env::var("SIDETONE_PASSWORD").ok().map(Into::into);
    let (phone, mut events) = Phone::start(Settings { accounts: vec![account], ..Settings::default() })?;
    let wish = Dial {
        account: AccountId(0),
        target: target.parse()?,
        from_number: None,
        media: MediaOptions::default(),
        ring_limit: Duration::from_secs(60),
        headers: Vec::new(),
    };
    let call = phone.dial(wish, Io { source, sink: Sink::Null, ..Io::default() }).await?;
    while let Some(event) = events.next().await {
        let Event::Call(event) = event else { continue };
        let record = event.record;
        match event.moment {
            Moment::Ringing { .. } => println!("{target} rings"),
            Moment::Answered => {
                println!("answered, {}", record.codec.as_deref().unwrap_or("codec not agreed yet"));
                let phone = phone.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    // A far end that was faster has ended it already.
                    let _ = phone.hangup(call).await;
                });
            }
            Moment::Ended if record.status == Status::Completed => {
                let heard = record.quality.inbound;
                let mos = heard.mos.map_or("unknown".to_owned(), |mos| format!("{mos:.2}"));
                let talked = record.talk_seconds.unwrap_or_default();
                println!("talked {talked:.1} s: heard {} packets, {} lost, MOS {mos}", heard.packets, heard.lost);
                return Ok(phone.shutdown().await?);
            }
            Moment::Ended => {
                let reason = record.sip_reason.or(record.metadata.get("reason").map(ToString::to_string));
                let (code, reason) = (record.sip_code.unwrap_or_default(), reason.unwrap_or_default());
                return Err(format!("{target} was not reached: {code} {reason}").into());
            }
            _ => {}
        }
    }
    Err("the phone ended".into())
}
