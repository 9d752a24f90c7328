//! A voice agent: answers everybody who calls this address, says back each utterance when it is over, and falls silent when
//! it is interrupted.
//!
//! ```text
//! cargo run --example agent -- [IP:PORT]        then, elsewhere:  sidetone call sip:agent@IP:PORT
//! ```
//!
//! A real one has a recogniser and a speech synthesis where this one has a buffer: the frames, marks and clearing are the
//! same.

use sidetone::audio::{Heard, Speaker, StreamListener, StreamOptions};
use sidetone::phone::{Event, Io, Moment, Phone, Settings};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Root mean square above which a frame is speech.
const SPEECH: f64 = 500.0;

/// Frames of 20 ms without speech that end an utterance.
const PAUSE: usize = 15;

/// Frames with speech in a row that interrupt the agent.
const INTERRUPTION: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    match agent().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn agent() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:5060".to_owned());
    let address: SocketAddr =
        address.parse().map_err(|_| format!("\"{address}\" is no address; usage: agent [IP:PORT]"))?;
    let settings =
        Settings { ips: vec![address.ip()], port: Some(address.port()), take_unclaimed: true, ..Settings::default() };
    let (phone, mut events) = Phone::start(settings)?;
    println!("listening on {}", phone.bound().first().ok_or("no socket could be bound")?);
    loop {
        tokio::select! {
            event = events.next() => match event.ok_or("the phone ended")? {
                Event::Call(event) => match event.moment {
                    Moment::Ringing { .. } => drop(phone.answer(event.call, Io::default()).await),
                    Moment::Answered => {
                        let (speaker, listener) = phone.stream(event.call, &StreamOptions::default()).await?;
                        tokio::spawn(converse(speaker, listener));
                    }
                    _ => {}
                },
                Event::Notice { text, .. } => println!("{text}"),
                _ => {}
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    Ok(phone.shutdown().await?)
}

/// Talks with one caller until the call ends.
async fn converse(mut speaker: Speaker, mut listener: StreamListener) {
    let (mut utterance, mut silent, mut loud) = (Vec::new(), 0, 0);
    let mut talking = false;
    while let Some(heard) = listener.next().await {
        match heard {
            Heard::Frame(frame) => {
                let speech = level(frame.samples()) > SPEECH;
                (silent, loud) = if speech { (0, loud + 1) } else { (silent + 1, 0) };
                if talking && loud >= INTERRUPTION {
                    speaker.clear();
                    talking = false;
                    println!("interrupted");
                }
                if speech || !utterance.is_empty() {
                    utterance.extend_from_slice(frame.samples());
                }
                if silent == PAUSE && !utterance.is_empty() {
                    println!("heard {} ms", utterance.len() / 16);
                    talking = speaker.say(&utterance) > 0;
                    speaker.mark("said");
                    utterance.clear();
                }
            }
            Heard::Mark { cleared: false, name } => {
                talking = false;
                println!("{name}");
            }
            Heard::Mark { cleared: true, .. } => {}
            Heard::Cleared { samples } => println!("dropped {} ms", samples / 16),
        }
    }
    println!("the call ended");
}

fn level(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / samples.len().max(1) as f64).sqrt()
}
