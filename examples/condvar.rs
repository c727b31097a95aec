//! A value that one process hands to another, by a condition variable: `cargo run --release --example
//! condvar`.
//!
//! The program starts itself as the producer. Then once more as one that is killed before it has produced
//! anything: who waits for it is told, and does not wait for ever.

use sharena::lock::{Condvar, Mutex, WaitError};
use sharena::{Segment, Shareable};
use std::error::Error;
use std::io::Read;
use std::process::{Child, Command, Stdio};

#[derive(Shareable)]
struct SyncData {
    state: Mutex<State>,
    condition: Condvar,
}

#[derive(Shareable, Default)]
struct State {
    data_ready: bool,
    value: u64,
}

const NAME: &str = "SyncData";
const VALUES: u64 = 5;

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => guide(),
        [role, segment] => produce(role, segment),
        _ => Err("it is started without arguments".into()),
    }
}

fn produce(role: &str, segment: &str) -> Done {
    let segment = Segment::open(segment)?;
    let shared = segment.find::<SyncData>(NAME)?.ok_or("there is no data")?;
    if role == "victim" {
        // It never gets to it; and ends also if the one who started it does.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    for value in 1..=VALUES {
        let state = shared.state.lock().expect("nobody dies");
        // Until the last value was taken.
        let mut state =
            shared.condition.wait_while(state, |state| state.data_ready).expect("nobody dies");
        *state = State { data_ready: true, value: value * value };
        drop(state);
        shared.condition.notify_all();
    }
    Ok(())
}

fn guide() -> Done {
    let name = format!("example-condvar-{}", std::process::id());
    let segment = Segment::create(&name, 65_536)?;
    let done = consume(&segment, &name);
    sharena::remove(&name)?;
    done
}

fn consume(segment: &Segment, name: &str) -> Done {
    let sync_data = SyncData { state: Mutex::default(), condition: Condvar::new() };
    let shared = segment.construct(NAME, sync_data)?;

    let mut producer = start("producer", name)?;
    for value in 1..=VALUES {
        let state = shared.state.lock().expect("nobody dies");
        let mut state =
            shared.condition.wait_while(state, |state| !state.data_ready).expect("nobody dies");
        println!("consumer: got {}", state.value);
        if state.value != value * value {
            return Err("another value was expected".into());
        }
        state.data_ready = false;
        drop(state);
        shared.condition.notify_all();
    }
    if !producer.wait()?.success() {
        return Err("the producer failed".into());
    }

    println!("Another producer is killed before it has produced anything.");
    let deaths = segment.deaths(); // whoever dies from here on is news
    let mut victim = start("victim", name)?;
    // It takes part from here on.
    while segment.stats()?.participants.len() < 2 {
        std::thread::yield_now();
    }
    victim.kill()?;
    let state = shared.state.lock().expect("nobody died with the lock");
    let waited = shared.condition.wait_while_alive(state, &deaths, |state| !state.data_ready);
    match waited {
        Err(error @ WaitError::SomeoneDied(_)) => println!("consumer: {error}"),
        _ => return Err("nobody said that it died".into()),
    }
    victim.wait()?;
    Ok(())
}

fn start(role: &str, segment: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).args([role, segment]).stdin(Stdio::piped()).spawn()
}
