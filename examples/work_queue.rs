//! Jobs that several processes work off, by a queue: `cargo run --release --example work_queue`.
//!
//! The program starts itself as workers. One of them is killed by SIGKILL in the middle of a job: the job is not
//! lost, another worker has it, and is told that somebody had it before.

use sharena::queue::{Queue, RecvError};
use sharena::{Segment, Shareable};
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Count the prime numbers below `below`.
#[derive(Shareable, Clone, Copy)]
struct Job {
    number: u64,
    below: u64,
}

#[derive(Shareable, Clone, Copy)]
struct Answer {
    job: Job,
    primes: u64,
    worker: u64,
    /// Whether somebody had the job before.
    is_redelivered: bool,
}

/// Two queues in one object: jobs, and what came of them.
#[derive(Shareable)]
struct Office {
    jobs: Queue<Job, 16>,
    answers: Queue<Answer, 16>,
}

const NAME: &str = "Office";
const JOBS: u64 = 12;
const WORKERS: u64 = 3;
/// Who is killed.
const VICTIM: u64 = 1;
const PATIENCE: Duration = Duration::from_secs(60);

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => guide(),
        [segment, number] => work(segment, number.parse()?),
        _ => Err("it is started without arguments".into()),
    }
}

fn work(segment: &str, worker: u64) -> Done {
    let segment = Segment::open(segment)?;
    let office = segment.find::<Office>(NAME)?.ok_or("there is no office")?;
    loop {
        let job = match office.jobs.recv_job() {
            Ok(job) => job,
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if worker == VICTIM {
            println!("{}", job.number);
            // It stays in the middle of it; and ends also if the one who started it does.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let answer = Answer {
            job: *job,
            primes: primes_below(job.below),
            worker,
            is_redelivered: job.is_redelivered(),
        };
        // First the answer, then the acknowledgement: who is killed in between has it done once more, which is
        // better than never.
        office.answers.push(answer)?;
        job.done();
    }
}

fn primes_below(below: u64) -> u64 {
    let mut is_prime = vec![true; below as usize];
    let mut primes = 0;
    for number in 2..below as usize {
        if is_prime[number] {
            primes += 1;
            (number * number..below as usize).step_by(number).for_each(|n| is_prime[n] = false);
        }
    }
    primes
}

fn guide() -> Done {
    let name = format!("example-work-queue-{}", std::process::id());
    let segment = Segment::create(&name, 1 << 20)?;
    let done = play(&segment, &name);
    sharena::remove(&name)?;
    done
}

fn play(segment: &Segment, name: &str) -> Done {
    let office = segment.construct(NAME, Office { jobs: Queue::new(), answers: Queue::new() })?;
    for number in 1..=JOBS {
        office.jobs.push(Job { number, below: number * 100_000 })?;
    }
    office.jobs.close(); // there will be no more
    println!("{JOBS} jobs are in the queue.");

    let mut victim = start(name, VICTIM)?;
    let mut line = String::new();
    BufReader::new(victim.stdout.take().ok_or("piped")?).read_line(&mut line)?;
    let lost: u64 = line.trim().parse()?;
    println!("Worker {VICTIM} is in the middle of job {lost}.");

    let others: Vec<Child> =
        (VICTIM + 1..=WORKERS).map(|worker| start(name, worker)).collect::<Result<_, _>>()?;
    let mut answers: Vec<Answer> = Vec::new();
    for received in 1..=JOBS {
        if received == JOBS {
            // All others are done, and the workers wait: that one might come back.
            victim.kill()?;
            let signal = victim.wait()?.signal().ok_or("it ended by itself")?;
            println!("Worker {VICTIM} is killed by signal {signal}.");
        }
        let answer = office.answers.recv_for(PATIENCE)?;
        let Answer { job: Job { number, below }, primes, worker, is_redelivered } = answer;
        let note = if is_redelivered { ", which somebody had before" } else { "" };
        println!("Worker {worker} did job {number}{note}: {primes} primes below {below}.");
        answers.push(answer);
    }
    for mut worker in others {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }

    answers.sort_unstable_by_key(|answer| answer.job.number);
    let numbers: Vec<u64> = answers.iter().map(|answer| answer.job.number).collect();
    if numbers != (1..=JOBS).collect::<Vec<_>>() {
        return Err(format!("not each job once: {numbers:?}").into());
    }
    let redelivered: Vec<u64> =
        answers.iter().filter(|a| a.is_redelivered).map(|a| a.job.number).collect();
    if redelivered != [lost] {
        return Err(format!("redelivered: {redelivered:?}, and not {lost} alone").into());
    }
    if answers[9].primes != 78_498 {
        return Err("there are 78498 primes below a million".into());
    }
    println!("All {JOBS} jobs are done, each once; the one that was begun by who was killed, too.");
    Ok(())
}

fn start(segment: &str, number: u64) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([segment, &number.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}
