//! Answers everybody who calls this address, without an account, and sends back what is said.
//!
//! ```text
//! cargo run --example echo -- [IP:PORT]        then, elsewhere:  sidetone call sip:echo@IP:PORT
//! ```

use sidetone::audio::{Sink, Source};
use sidetone::phone::{Event, Io, Moment, Phone, Settings};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match echo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn echo() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:5060".to_owned());
    let address: SocketAddr =
        address.parse().map_err(|_| format!("\"{address}\" is no address; usage: echo [IP:PORT]"))?;
    let settings =
        Settings { ips: vec![address.ip()], port: Some(address.port()), take_unclaimed: true, ..Settings::default() };
    let (phone, mut events) = Phone::start(settings)?;
    let bound = phone.bound();
    println!("echoing on {}", bound.first().ok_or("no socket could be bound")?);

    loop {
        tokio::select! {
            event = events.next() => match event.ok_or("the phone ended")? {
                Event::Call(event) => match event.moment {
                    Moment::Ringing { .. } => {
                        let io = Io { source: Source::Echo, sink: Sink::Null, ..Io::default() };
                        if let Err(error) = phone.answer(event.call, io).await {
                            println!("{} gave up: {error}", event.record.from);
                        }
                    }
                    Moment::Answered => println!("{} called", event.record.from),
                    Moment::Ended => println!("{} ended: {:?}", event.record.from, event.record.status),
                    _ => {}
                },
                Event::Notice { text, .. } => println!("{text}"),
                Event::Registration(_) | Event::Aside(_) | Event::Recorded { .. } | Event::Sound { .. } => {}
                Event::Lagged { missed } => println!("{missed} events were missed"),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(phone.shutdown().await?)
}
