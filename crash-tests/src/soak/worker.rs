//! A worker: a process that attaches, works with a few threads, detaches, and again, until it is
//! killed.

use super::board::{Activity, Board, THREADS};
use super::crew::set_nice;
use super::load::{Load, Pool, Post, end_pool, places_of};
use super::operation::Operation;
use crate::args::Plant;
use anyhow::{Context, Result};
use sharena::Segment;
use std::thread::Scope;
use std::time::{Duration, Instant};

/// What the soak tells a worker.
#[derive(clap::Args)]
pub struct WorkerArgs {
    pub segment: String,
    /// Path of the board.
    pub board: String,
    #[arg(long)]
    pub number: u32,
    /// Of all workers.
    #[arg(long)]
    pub processes: u32,
    #[arg(long)]
    pub seed: u64,
    #[arg(long)]
    pub plant: Option<Plant>,
}

/// The process. It says on the board what it finds wrong.
pub fn run(args: &WorkerArgs) -> Result<bool> {
    // SAFETY: asks the kernel to end this process with the thread that started it.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    set_nice(0, 0);
    let board = Board::open(&args.board)?;
    let number = args.number as usize * THREADS;
    let main = Post { board, number, places: places_of(args.processes) };
    std::panic::set_hook(Box::new(move |panic| board.fail(&format!("a worker: {panic}"))));
    let mut random = fastrand::Rng::with_seed(args.seed);
    main.place().enter(board);
    while !board.is_finishing() {
        if let Err(error) = session(args, main, &mut random) {
            board.fail(&format!("worker {}: {error:#}", args.number));
            return Ok(false);
        }
    }
    main.place().set_activity(Activity::Off);
    Ok(true)
}

/// Attached for a moment.
fn session(args: &WorkerArgs, main: Post, random: &mut fastrand::Rng) -> Result<()> {
    let place = main.place();
    place.begin(Operation::Attach);
    // Some have the segment open twice, as two participants.
    let times = if random.u8(..4) == 0 { 2 } else { 1 };
    let opened = (0..times).map(|_| Segment::open(&args.segment));
    let segments = opened.collect::<Result<Vec<_>, _>>().context("attach")?;
    place.end(Operation::Attach);

    let pool = Pool::default();
    let end = Instant::now() + Duration::from_millis(random.u64(5..400));
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        // Mostly its main thread alone.
        let further = random.usize(..2 * THREADS).saturating_sub(THREADS);
        for thread in 1..=further {
            let post = Post { number: main.number + thread, ..main };
            let segment = &segments[random.usize(..segments.len())];
            let random = random.fork();
            threads.push(start(scope, post, segment, &pool, random, args.plant, end));
        }
        let mut ended = Load::new(main, &segments[0], &pool, random.fork(), args.plant)
            .and_then(|load| load.run(|| Instant::now() >= end || main.board.is_finishing()));
        // Waiting for a thread is no operation, also if something is wrong: a pause may come meanwhile, in which
        // they rest, and which would wait for us.
        place.set_activity(Activity::Off);
        for (post, thread) in threads {
            let done = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            post.place().set_activity(Activity::Off);
            ended = ended.and(done);
        }
        place.enter(main.board);
        ended
    })?;

    place.begin(Operation::Detach);
    end_pool(pool, random.bool())?;
    drop(segments);
    place.end(Operation::Detach);
    place.park_if_asked(main.board);
    Ok(())
}

type Thread<'scope> = std::thread::ScopedJoinHandle<'scope, Result<()>>;

/// Starts a thread that works for a moment, and the next after it, until `end`.
fn start<'scope, 'p: 'scope, 's: 'p>(
    scope: &'scope Scope<'scope, '_>,
    post: Post,
    segment: &'s Segment,
    pool: &'p Pool<'s>,
    mut random: fastrand::Rng,
    plant: Option<Plant>,
    end: Instant,
) -> (Post, Thread<'scope>) {
    let over = end.min(Instant::now() + Duration::from_millis(random.u64(1..200)));
    let body = move || {
        let place = post.place();
        place.enter(post.board);
        let done = Load::new(post, segment, pool, random, plant)
            .and_then(|load| load.run(|| Instant::now() >= over || post.board.is_finishing()));
        place.begin(Operation::EndThread);
        place.set_activity(Activity::Ending);
        done
    };
    (post, scope.spawn(body))
}
