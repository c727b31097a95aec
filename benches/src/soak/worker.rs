//! One process of the soak: its threads begin and end, and it ends itself after a while.

use super::load::{Counts, Load};
use anyhow::Result;
use sharena::{Block, Segment};
use std::mem;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What the soak tells a worker.
#[derive(clap::Args)]
pub struct WorkerArgs {
    segment: String,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    millis: u64,
}

/// The process; prints what it did as a line of JSON.
pub fn run(args: &WorkerArgs) -> Result<bool> {
    let end = Instant::now() + Duration::from_millis(args.millis);
    let mut random = fastrand::Rng::with_seed(args.seed);
    // Some have the segment open twice, as two participants.
    let times = if random.u8(..4) == 0 { 2 } else { 1 };
    let segments =
        (0..times).map(|_| Segment::open(&args.segment)).collect::<Result<Vec<_>, _>>()?;
    let pool = Mutex::new(Vec::new());
    let counts = work(&segments, &pool, random.fork(), end)?;
    let left = pool.into_inner().expect("no thread panics with it");
    if random.bool() {
        // What is not freed at the end of a process is freed by detaching.
        mem::forget(left);
    }
    println!("{}", serde_json::to_string(&counts)?);
    Ok(true)
}

/// Keeps some threads at work until `end`, each for a moment.
fn work<'s>(
    segments: &'s [Segment],
    pool: &Mutex<Vec<Block<'s>>>,
    mut random: fastrand::Rng,
    end: Instant,
) -> Result<Counts> {
    let at_once = random.usize(1..=3);
    let mut counts = Counts::default();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        loop {
            while threads.len() < at_once && Instant::now() < end {
                let segment = &segments[random.usize(..segments.len())];
                let seed = random.u64(..);
                let until = end.min(Instant::now() + Duration::from_millis(random.u64(..400)));
                let body = move || Load::new(segment, pool, seed)?.run(|| Instant::now() >= until);
                threads.push(scope.spawn(body));
            }
            if threads.is_empty() {
                return Ok(counts);
            }
            // The oldest; the others may be over as well, and are replaced a little later.
            match threads.remove(0).join() {
                Ok(done) => counts.add(&done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    })
}
