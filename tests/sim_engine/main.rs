//! Two engines in virtual time: a link between them, media that is only pretended, and the records that come out.
#![allow(unreachable_pub, reason = "the modules are one test program")]

mod carriers;
mod early;
mod hold;
mod identity;
mod media;
mod moves;
mod policies;
mod random_life;
mod records;
mod rfc5359;
mod scripted;
mod transfers;
mod world;
