//! Pictures that go from process to process and stay where they are: `cargo run --release --example frames`.
//!
//! A camera makes them in shared memory, and viewers receive them there: what goes through the queue is a word,
//! whatever hangs on the picture. The program starts itself as viewers. One of them is killed by SIGKILL while it has
//! a picture: another has that, and is told; and in the end not a byte is lost.

use sharena::collections::{String as Text, Vec as List};
use sharena::queue::{ObjectPushError, ObjectQueue, ObjectRecvError};
use sharena::{Segment, Shareable};
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

#[derive(Shareable)]
struct Frame {
    number: u64,
    pixels: List<u8>,
    labels: List<Text>,
}

const NAME: &str = "frames";
const FRAMES: u64 = 20;
const BYTES: usize = 1 << 20;
/// Who is killed.
const VICTIM: &str = "1";

type Frames = ObjectQueue<Frame, 4>;
type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => guide(),
        [segment, viewer] => view(segment, viewer),
        _ => Err("it is started without arguments".into()),
    }
}

fn guide() -> Done {
    let name = format!("example-frames-{}", std::process::id());
    let segment = Segment::create(&name, 64 << 20)?;
    let done = film(&segment, &name);
    sharena::remove(&name)?;
    done
}

fn film(segment: &Segment, name: &str) -> Done {
    let frames = segment.construct(NAME, Frames::new())?;
    // By the first one the segment learns what a frame consists of, which stays.
    push(segment, &frames, 0)?;
    frames.recv_job()?.done();
    segment.trim()?;
    let free = segment.stats()?.free;

    push(segment, &frames, 1)?;
    let (mut victim, mut said) = start(name, VICTIM)?;
    let mut line = String::new();
    said.read_line(&mut line)?;
    println!("viewer {VICTIM} looks at frame {}", line.trim());
    victim.kill()?;
    let signal = victim.wait()?.signal().ok_or("it ended by itself")?;
    println!("viewer {VICTIM} is killed by signal {signal}");

    let (mut viewer, said) = start(name, "2")?;
    for number in 2..=FRAMES {
        push(segment, &frames, number)?; // waits for room: four are under way at most
    }
    frames.close();
    let mut seen: Vec<u64> = Vec::new();
    for line in said.lines() {
        let line = line?;
        println!("viewer 2: {line}");
        seen.push(line.split_whitespace().nth(1).ok_or("no number")?.parse()?);
    }
    if !viewer.wait()?.success() {
        return Err("the viewer failed".into());
    }

    if seen != (1..=FRAMES).collect::<Vec<_>>() {
        return Err(format!("not each frame once, and in order: {seen:?}").into());
    }
    segment.recover()?; // what those had at hand who are gone
    segment.trim()?;
    let lost = free - segment.stats()?.free;
    println!("{FRAMES} frames were seen, each once; bytes lost: {lost}");
    if lost == 0 { Ok(()) } else { Err("memory is lost".into()) }
}

/// Makes a picture, which nobody else sees before it is pushed.
fn push(segment: &Segment, frames: &Frames, number: u64) -> Done {
    let (pixels, labels) = (List::new_in(segment), List::new_in(segment));
    let mut frame = segment.own(Frame { number, pixels, labels })?;
    frame.pixels.extend((0..BYTES).map(|at| (at as u64 ^ number) as u8));
    frame.labels.push(Text::from_in("a cat", segment));
    frame.labels.push(Text::from_in("a box, perhaps with another cat", segment));
    frames.push(frame).map_err(ObjectPushError::without)?;
    Ok(())
}

fn view(segment: &str, viewer: &str) -> Done {
    let segment = Segment::open(segment)?;
    let frames = segment.find::<Frames>(NAME)?.ok_or("there are no frames")?;
    loop {
        let frame = match frames.recv_job() {
            Ok(frame) => frame,
            Err(ObjectRecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if viewer == VICTIM {
            println!("{}", frame.number);
            // It stays in the middle of it; and ends also if the one who started it does.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let is_whole = |(at, pixel): (usize, &u8)| *pixel == (at as u64 ^ frame.number) as u8;
        if frame.pixels.len() != BYTES || !frame.pixels.iter().enumerate().all(is_whole) {
            return Err("the picture is damaged".into());
        }
        let note = if frame.is_redelivered() { ", which somebody had before" } else { "" };
        let labels: Vec<&str> = frame.labels.iter().map(|label| &**label).collect();
        println!("frame {} of {BYTES} bytes shows {}{note}", frame.number, labels.join(" and "));
        frame.done();
    }
}

fn start(segment: &str, viewer: &str) -> std::io::Result<(Child, BufReader<ChildStdout>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([segment, viewer])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = BufReader::new(child.stdout.take().expect("piped"));
    Ok((child, said))
}
