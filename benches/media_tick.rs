//! What one packet time of one call costs: audio captured, encoded and sent; a packet received, decoded and played.
//!
//! At 20 ms per tick, a tick of 10 us is 0.05 % of a core per call.

mod work;

use divan::Bencher;
use sidetone::media::plan::Codec;
use work::{Call, Lossy};

/// Shows what a tick allocates: nothing without SRTP, once the buffers have grown.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [
    (Codec::Pcmu, false), (Codec::Pcmu, true), (Codec::Pcma, false), (Codec::Opus, false), (Codec::Opus, true),
])]
fn tick(bencher: Bencher<'_, '_>, (codec, keyed): (Codec, bool)) {
    let mut call = Call::new(codec, keyed);
    bencher.bench_local(|| call.tick());
}

/// Playout alone while every tenth packet is lost.
#[divan::bench]
fn playout_with_loss(bencher: Bencher<'_, '_>) {
    let mut lossy = Lossy::new();
    bencher.bench_local(|| lossy.pull());
}
