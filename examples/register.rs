//! Registers an account, stays registered for some seconds (or until Ctrl-C), and takes the binding back.
//!
//! ```text
//! SIDETONE_PASSWORD=… cargo run --example register -- sip:alice@example.com [SECONDS]
//! ```

use sidetone::phone::{Account, AccountId, Event, Phone, RegistrationState, Settings};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main]
async fn main() -> ExitCode {
    match register().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("register: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn register() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let aor = arguments.next().ok_or("usage: register sip:USER@HOST [SECONDS]")?;
    let seconds =
        arguments.next().map(|text| text.parse()).transpose().map_err(|_| "SECONDS is a number such as 60")?;

    let mut account = Account::new(aor.parse()?);
    account.password = std::env::var("SIDETONE_PASSWORD").ok().map(Into::into);
    let (phone, mut events) = Phone::start(Settings { accounts: vec![account], ..Settings::default() })?;
    phone.register(AccountId(0)).await?;

    // The first outcome decides; later ones (a refresh, a registrar that went away) are only told.
    let mut registered = false;
    let end = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Registration(registration)) => match registration.state {
                    RegistrationState::Registered { contact, granted, .. } => {
                        registered = true;
                        println!("registered {aor} for {} s, reachable as {contact}", granted.as_secs());
                    }
                    RegistrationState::Failed { failure, .. } if registered => println!("registration lost: {failure}"),
                    RegistrationState::Failed { failure, .. } => return Err(format!("{aor}: {failure}").into()),
                    _ => {}
                },
                Some(_) => {}
                None => return Err("the phone ended".into()),
            },
            () = &mut end => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    phone.shutdown().await?;
    println!("unregistered {aor}");
    Ok(())
}
