//! A struct that several processes change, in a mutex: `cargo run --release --example mutex`.
//!
//! The program starts itself several times. Each of these processes adds to a counter and writes who it was
//! into a buffer, over and over; one of them is killed while it holds the lock.

use sharena::lock::{Cause, Mutex};
use sharena::{Segment, Shareable};
use std::error::Error;
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// The mutex has the data inside: nobody reaches them without the lock.
#[derive(Shareable)]
struct SharedData {
    counter: u64,
    buffer: [u8; 256],
}

const NAME: &str = "SharedData";
const PROCESSES: u64 = 8;
const ADDITIONS: u64 = 100_000;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => guide(),
        [role, segment, number] => work(role, segment, number),
        _ => Err("it is started without arguments".into()),
    }
}

fn work(role: &str, segment: &str, number: &str) -> Done {
    let segment = Segment::open(segment)?;
    let shared = segment.find::<Mutex<SharedData>>(NAME)?.ok_or("there is no data")?;
    if role == "victim" {
        let mut data = shared.lock().expect("nobody died yet");
        data.counter += 1; // and the text does not say so
        println!("inside");
        return Ok(wait_to_be_killed()?);
    }
    for _ in 0..ADDITIONS {
        let mut data = shared.lock().expect("nobody dies");
        data.counter += 1;
        let text = format!("process {number}: {}", data.counter);
        data.buffer.fill(0);
        data.buffer[..text.len()].copy_from_slice(text.as_bytes());
    }
    Ok(())
}

fn guide() -> Done {
    let name = format!("example-mutex-{}", std::process::id());
    let segment = Segment::create(&name, 65_536)?;
    let done = play(&segment, &name);
    sharena::remove(&name)?;
    done
}

fn play(segment: &Segment, name: &str) -> Done {
    let shared =
        segment.construct(NAME, Mutex::new(SharedData { counter: 0, buffer: [0; 256] }))?;

    let workers = (0..PROCESSES).map(|number| start("worker", name, number));
    for mut worker in workers.collect::<Result<Vec<_>, _>>()? {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    let data = shared.lock().expect("nobody died yet");
    println!("{PROCESSES} processes × {ADDITIONS} additions: counter = {}", data.counter);
    println!("the last one wrote {:?}", text(&data.buffer));
    if data.counter != PROCESSES * ADDITIONS || !text(&data.buffer).contains("800000") {
        return Err("additions are lost".into());
    }
    drop(data);

    println!("One more takes the lock, adds, and is killed in the middle of it.");
    let mut victim = start("victim", name, 99)?;
    victim.stdout.as_mut().ok_or("piped")?.read_exact(&mut [0; 7])?;
    victim.kill()?;
    let mut data = match shared.lock() {
        Err(error) if error.cause() == Cause::OwnerDied => {
            println!("The next taker hears: {error}.");
            error.into_inner()
        }
        _ => return Err("nobody said that it died".into()),
    };
    victim.wait()?;
    println!("counter = {}, but the text says {:?}: mended.", data.counter, text(&data.buffer));
    data.counter = PROCESSES * ADDITIONS;
    drop(data);
    shared.clear_poison();
    println!("And on: counter = {}", shared.lock().expect("it is mended").counter);
    Ok(())
}

fn start(role: &str, segment: &str, number: u64) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([role, segment, &number.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// Ends also if the one who started it does.
fn wait_to_be_killed() -> std::io::Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).map(|_| ())
}

fn text(buffer: &[u8]) -> String {
    String::from_utf8_lossy(buffer).trim_end_matches('\0').to_owned()
}
