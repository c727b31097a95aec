//! Samples of a sensor, streamed from one process to another: `cargo run --release --example stream`.
//!
//! The program starts itself as the sensor. That is killed by SIGKILL in the middle: what it had pushed is received,
//! then the receiver is told that it is gone, and another sensor takes its end of the ring and goes on.

use sharena::queue::{SpscRecvError, SpscRing};
use sharena::{Segment, Shareable};
use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(Shareable, Clone, Copy)]
struct Sample {
    number: u64,
    degrees: f64,
}

type Samples = SpscRing<Sample, 64>;

const NAME: &str = "Samples";
const ALL: u64 = 300_000;
/// Samples before the first sensor is killed.
const ENOUGH: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => guide(),
        [segment, number] => sense(segment, number.parse()?),
        _ => Err("it is started without arguments".into()),
    }
}

/// Pushes samples from `first` on.
fn sense(segment: &str, first: u64) -> Done {
    let segment = Segment::open(segment)?;
    let samples = segment.find::<Samples>(NAME)?.ok_or("there is no ring")?;
    let mut producer = samples.producer()?; // also if one who is dead has it
    for number in first..ALL {
        producer.push_for(Sample { number, degrees: degrees(number) }, PATIENCE)?;
    }
    samples.close(); // there will be no more
    Ok(())
}

fn degrees(number: u64) -> f64 {
    20.0 + (number as f64 / 1000.0).sin()
}

fn guide() -> Done {
    let name = format!("example-stream-{}", std::process::id());
    let segment = Segment::create(&name, 1 << 20)?;
    let done = receive(&segment, &name);
    sharena::remove(&name)?;
    done
}

fn receive(segment: &Segment, name: &str) -> Done {
    let samples = segment.construct(NAME, Samples::new())?;
    let mut consumer = samples.consumer()?;
    let mut sensor = start(name, 0)?;
    let (mut next, mut sum) = (0, 0.0);
    loop {
        match consumer.recv_for(PATIENCE) {
            Ok(sample) if sample.number == next => {
                sum += sample.degrees;
                next += 1;
                if next == ENOUGH {
                    sensor.kill()?;
                    let signal = sensor.wait()?.signal().ok_or("it ended by itself")?;
                    println!("The sensor is killed by signal {signal}.");
                }
            }
            Ok(sample) => return Err(format!("{} instead of {next}", sample.number).into()),
            Err(SpscRecvError::ProducerGone) => {
                println!("All {next} samples that it had pushed are received; another goes on.");
                sensor = start(name, next)?;
            }
            Err(SpscRecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if !sensor.wait()?.success() {
        return Err("the second sensor failed".into());
    }
    if next != ALL {
        return Err(format!("{next} samples instead of {ALL}").into());
    }
    println!(
        "{next} samples, each once and in order: {:.2} degrees on average.",
        sum / next as f64
    );
    Ok(())
}

fn start(segment: &str, first: u64) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([segment, &first.to_string()])
        .stdin(Stdio::null())
        .spawn()
}
