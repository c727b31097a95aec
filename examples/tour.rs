//! A tour: `cargo run --release --example tour`.
//!
//! This program starts others (itself, in other roles) that share a segment with it, lets them write,
//! read, allocate and free each other's blocks, kills one, and shows what happens. It exits with 1 if
//! anything is not as it says.

use sharena::{Offset, Options, Segment, Shareable};
use std::alloc::Layout;
use std::error::Error;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Done = Result<(), Box<dyn Error>>;

/// A value of our own: no pointers, so it may lie at another address in each process.
#[derive(Shareable, Clone, Copy, Debug, PartialEq)]
struct Quote {
    bid: f64,
    ask: f64,
    size: u32,
}

/// How the processes of the exchange tell each other where blocks are, and when to begin.
#[derive(Shareable)]
struct Exchange {
    boxes: [AtomicU64; 64],
    ready: AtomicU64,
    go: AtomicU64,
    freed_of_others: AtomicU64,
}

const WORKERS: u64 = 4;
const ROUNDS: u64 = 100_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let done = match (arguments.next(), arguments.next()) {
        (None, _) => guide(),
        (Some(role), Some(segment)) => play(&role, &segment, arguments.next()),
        (Some(role), None) => Err(format!("a {role} needs the name of a segment").into()),
    };
    if let Err(error) = done {
        eprintln!("tour: {error}");
        std::process::exit(1);
    }
}

fn play(role: &str, segment: &str, number: Option<String>) -> Done {
    let segment = Segment::open(segment)?;
    match role {
        "writer" => writer(&segment),
        "reader" => reader(&segment),
        "worker" => worker(&segment, number.unwrap_or_default().parse()?),
        "victim" => victim(&segment),
        _ => Err(format!("there is no role {role}").into()),
    }
}

fn guide() -> Done {
    let name = format!("tour-{}", std::process::id());
    let _cleanup = Cleanup(name.clone());

    println!("1. A segment with room for 1 TiB of objects.");
    let begun = Instant::now();
    let segment = Options::new().capacity(1 << 40).create(&name)?;
    let stats = segment.stats()?;
    println!(
        "   Created in {:?}; it takes {} KiB of memory.",
        begun.elapsed(),
        stats.committed / 1024
    );
    segment.trim()?;
    let fresh = segment.stats()?.free;

    println!("2. A writer constructs named objects, in a process of its own.");
    finish(start("writer", &name, 0)?)?;
    for object in segment.objects()? {
        println!(
            "   {}: {} × {}, {} bytes",
            object.name, object.count, object.type_name, object.bytes
        );
    }

    println!("3. Three readers find them, each in its own process.");
    for reader in (0..3).map(|i| start("reader", &name, i)).collect::<Result<Vec<_>, _>>()? {
        finish(reader)?;
    }

    println!("4. {WORKERS} processes allocate blocks and free each other's.");
    let exchange = segment.construct("exchange", new_exchange())?;
    let workers = (0..WORKERS).map(|i| start("worker", &name, i)).collect::<Result<Vec<_>, _>>()?;
    while exchange.ready.load(Ordering::Acquire) < WORKERS {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    exchange.go.store(1, Ordering::Release);
    for worker in workers {
        finish(worker)?;
    }
    println!(
        "   {} blocks in {:?}; {} were freed by another process than had allocated them.",
        WORKERS * ROUNDS,
        begun.elapsed(),
        exchange.freed_of_others.load(Ordering::Relaxed)
    );
    for one in &exchange.boxes {
        if let Some(block) = Offset::from_bits(one.swap(0, Ordering::Acquire)) {
            segment.deallocate(block)?;
        }
    }
    drop(exchange);

    println!("5. A process is killed in the middle of its work.");
    let mut victim = start("victim", &name, 0)?;
    while segment.find::<Quote>("legacy")?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(20));
    victim.kill()?;
    victim.wait()?;
    let begun = Instant::now();
    let recovered = segment.recover()?;
    println!("   Recovered in {:?}: {recovered}.", begun.elapsed());
    let left = segment.find::<Quote>("legacy")?.ok_or("what was published is gone")?;
    println!("   What it had published is still here: {:?}", *left);
    expect(left.bid == 7.0, "the legacy says 7")?;
    expect(recovered.bytes > 8000, "its private values came back")?;
    drop(left);

    println!("6. All objects are destroyed, memory goes back.");
    let destroyed = segment.clear()?;
    segment.trim()?;
    let report = segment.check()?;
    println!("   {destroyed} destroyed. {}", report.to_string().lines().next().unwrap_or_default());
    let free = segment.stats()?.free;
    println!("   {free} bytes are free; in the new segment there were {fresh}.");
    expect(report.is_clean(), "nothing is damaged or left behind")?;
    expect(free == fresh, "every byte came back")?;
    println!("That was the tour.");
    Ok(())
}

fn writer(segment: &Segment) -> Done {
    segment.construct("answer", 42i32)?;
    segment.construct_slice_from("greeting", "Hello from shared memory!".as_bytes())?;
    segment.construct("quote", Quote { bid: 99.5, ask: 100.5, size: 300 })?;
    segment.construct_slice("squares", 1000, |i| (i * i) as u64)?;
    Ok(())
}

fn reader(segment: &Segment) -> Done {
    let answer = segment.find::<i32>("answer")?.ok_or("no answer")?;
    let greeting = segment.find_slice::<u8>("greeting")?.ok_or("no greeting")?;
    let quote = segment.find::<Quote>("quote")?.ok_or("no quote")?;
    let squares = segment.find_slice::<u64>("squares")?.ok_or("no squares")?;
    expect(
        *answer == 42 && squares[999] == 998_001 && quote.size == 300,
        "what was written is read",
    )?;
    let wrong = segment.find::<u64>("answer").err().ok_or("an i32 was found as u64")?;
    println!(
        "   process {}: {:?}; asked for a u64: {wrong}",
        std::process::id(),
        std::str::from_utf8(&greeting)?
    );
    Ok(())
}

fn new_exchange() -> Exchange {
    Exchange {
        boxes: [const { AtomicU64::new(0) }; 64],
        ready: AtomicU64::new(0),
        go: AtomicU64::new(0),
        freed_of_others: AtomicU64::new(0),
    }
}

/// Puts blocks into the boxes, and frees what it finds there, whoever allocated it.
fn worker(segment: &Segment, me: u64) -> Done {
    let exchange = segment.find::<Exchange>("exchange")?.ok_or("no exchange")?;
    let handle = segment.handle()?;
    exchange.ready.fetch_add(1, Ordering::AcqRel);
    while exchange.go.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    let mut freed_of_others = 0;
    for round in 0..ROUNDS {
        let size = 16 + (round * 37 + me * 11) % 500;
        let block = handle.allocate(Layout::from_size_align(size as usize, 8)?)?;
        let bytes = segment.address(block).ok_or("a block without address")?;
        // SAFETY: ours alone until it is in a box, and at least 16 bytes long.
        unsafe { bytes.cast::<[u64; 2]>().write([me, !me]) };
        let one = &exchange.boxes[(round * 7 + me * 13) as usize % exchange.boxes.len()];
        if let Some(other) = Offset::from_bits(one.swap(block.to_bits(), Ordering::AcqRel)) {
            let bytes = segment.address(other).ok_or("a block without address")?;
            // SAFETY: the swap has made it ours alone.
            let [from, check] = unsafe { bytes.cast::<[u64; 2]>().read() };
            expect(check == !from, "what a process wrote is what another reads")?;
            freed_of_others += u64::from(from != me);
            handle.deallocate(other)?;
        }
    }
    exchange.freed_of_others.fetch_add(freed_of_others, Ordering::Relaxed);
    Ok(())
}

/// Works until it is killed.
fn victim(segment: &Segment) -> Done {
    let _private = segment.own_slice(1000, |i| i as u64)?;
    segment.construct("legacy", Quote { bid: 7.0, ask: 8.0, size: 1 })?;
    for round in 0u64.. {
        segment.construct_slice("work", 500, |i| round + i as u64)?;
        segment.destroy::<u64>("work")?;
    }
    Ok(())
}

fn expect(holds: bool, what: &str) -> Done {
    if holds { Ok(()) } else { Err(format!("it does not hold that {what}").into()) }
}

fn start(role: &str, segment: &str, number: u64) -> Result<Child, Box<dyn Error>> {
    Ok(Command::new(std::env::current_exe()?).args([role, segment, &number.to_string()]).spawn()?)
}

fn finish(mut child: Child) -> Done {
    let status = child.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("process {} ended with {status}", child.id()).into())
    }
}

/// Removes the segment at the end, however that comes.
struct Cleanup(String);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = sharena::remove(&self.0);
    }
}
