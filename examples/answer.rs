//! Registers an account and answers its calls, all at once, with a tone; tells the digits that callers press.
//!
//! ```text
//! SIDETONE_PASSWORD=… cargo run --example answer -- sip:bob@example.com [CALLS]
//! ```
//!
//! Ends after CALLS calls, or with Ctrl-C.

use sidetone::audio::{Sink, Source};
use sidetone::phone::{Account, AccountId, Event, Io, Moment, Phone, RegistrationState, Settings};
use std::error::Error;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match answer().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("answer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let aor = arguments.next().ok_or("usage: answer sip:USER@HOST [CALLS]")?;
    let calls = arguments.next().map_or(Ok(u64::MAX), |text| text.parse()).map_err(|_| "CALLS is a number")?;

    let mut account = Account::new(aor.parse()?);
    account.password = std::env::var("SIDETONE_PASSWORD").ok().map(Into::into);
    let (phone, mut events) = Phone::start(Settings { accounts: vec![account], ..Settings::default() })?;
    phone.register(AccountId(0)).await?;

    let mut ended = 0;
    while ended < calls {
        tokio::select! {
            event = events.next() => match event.ok_or("the phone ended")? {
                Event::Registration(registration) => match registration.state {
                    RegistrationState::Registered { .. } => println!("taking calls to {aor}"),
                    RegistrationState::Failed { failure, .. } => return Err(format!("{aor}: {failure}").into()),
                    _ => {}
                },
                Event::Call(event) => {
                    let from = &event.record.from;
                    match event.moment {
                        Moment::Ringing { .. } => {
                            let io = Io { source: Source::Tone(880.0), sink: Sink::Null, ..Io::default() };
                            if let Err(error) = phone.answer(event.call, io).await {
                                println!("{from} gave up: {error}");
                            }
                        }
                        Moment::Answered => println!("talking with {from}"),
                        Moment::Dtmf { digit, .. } => println!("{from} pressed {digit}"),
                        Moment::Ended => {
                            ended += 1;
                            let packets = event.record.quality.inbound.packets;
                            println!("{from} ended: {:?}, {packets} packets heard", event.record.status);
                        }
                        _ => {}
                    }
                }
                Event::Notice { text, .. } => println!("{text}"),
                Event::Aside(_) | Event::Recorded { .. } | Event::Sound { .. } => {}
                Event::Lagged { missed } => println!("{missed} events were missed"),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    phone.shutdown().await?;
    println!("{ended} calls");
    Ok(())
}
