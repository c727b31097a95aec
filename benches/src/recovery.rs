//! `recovery`: how long it takes to take back what a killed process owned, and whether others notice.
//!
//! A process takes blocks of one size, is killed and waited for; then this one recovers, timed, while
//! a thread of it allocates and frees, each pair timed. What sweeping state bytes costs anyhow, page
//! faults of a process that never touched them included, is measured on bytes that lie likewise in
//! another memory file.

use crate::args::RecoveryArgs;
use crate::machine::Machine;
use crate::median::median;
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sharena::{Options, Segment};
use std::alloc::Layout;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Sizes of the blocks that the process owned; the last are runs.
const SIZES: [usize; 4] = [64, 1024, 16 << 10, 1 << 20];

/// Milliseconds per GiB, beyond the sweep of state bytes.
const BAR: f64 = 1.0;

/// What the hidden command that owns memory is told.
#[derive(clap::Args)]
pub struct OwnerArgs {
    segment: String,
    #[arg(long)]
    block: usize,
    #[arg(long)]
    bytes: usize,
}

/// Takes the blocks, says so, and waits to be killed.
pub fn own(args: &OwnerArgs) -> Result<bool> {
    let segment = Segment::open(&args.segment)?;
    let layout = Layout::from_size_align(args.block, 16)?;
    for _ in 0..args.bytes / args.block {
        std::mem::forget(segment.allocate_block(layout)?);
    }
    println!("ready");
    thread::sleep(Duration::from_secs(600));
    Ok(false)
}

#[derive(Serialize)]
struct Row {
    block: usize,
    owned_gib: f64,
    rounds: u32,
    /// Medians over the rounds.
    recovery_ms: f64,
    sweep_ms: f64,
    beyond_ms_per_gib: f64,
    /// One allocation and free of another thread, while nobody recovers and while somebody does: the
    /// largest of ten thousand but one.
    quiet_p99_99_ns: u64,
    busy_p99_99_ns: u64,
    busy_pairs: usize,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    rows: Vec<Row>,
}

/// The command; whether every bar that was asked for is met.
pub fn run(args: &RecoveryArgs) -> Result<bool> {
    let machine = Machine::here();
    let rows = SIZES.iter().map(|size| row(args, *size)).collect::<Result<Vec<_>>>()?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "block",
        "owned GiB",
        "recovery ms",
        "sweep alone ms",
        "beyond, ms per GiB",
        "others' p99.99 quiet",
        "while recovering, ns",
    ]);
    for row in &rows {
        table.add_row([
            row.block.to_string(),
            format!("{:.2}", row.owned_gib),
            format!("{:.2}", row.recovery_ms),
            format!("{:.2}", row.sweep_ms),
            format!("{:.2}", row.beyond_ms_per_gib),
            row.quiet_p99_99_ns.to_string(),
            row.busy_p99_99_ns.to_string(),
        ]);
    }
    for column in 0..7 {
        table.column_mut(column).expect("seven of them").set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    let met = rows.iter().all(|row| row.beyond_ms_per_gib <= BAR);
    println!("{}: at most {BAR} ms per GiB beyond the sweep", if met { "met" } else { "NOT MET" });
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&Results { machine, rows })?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    Ok(met || !args.gate)
}

fn row(args: &RecoveryArgs, block: usize) -> Result<Row> {
    let bytes = (args.mib as usize) << 20;
    let owned_gib = bytes as f64 / f64::from(1 << 30);
    let (mut times, mut sweeps) = (Vec::new(), Vec::new());
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let name = format!("bench-recovery-{}", std::process::id());
        let segment = Options::new().capacity(2 * bytes as u64).create(&name)?;
        let done = round(&segment, &name, block, bytes, &mut quiet, &mut busy);
        sharena::remove(&name)?;
        times.push(done?);
        sweeps.push(sweep(bytes, block)?);
    }
    let (recovery_ms, sweep_ms) = (median(times), median(sweeps));
    Ok(Row {
        block,
        owned_gib,
        rounds: args.rounds,
        recovery_ms,
        sweep_ms,
        beyond_ms_per_gib: (recovery_ms - sweep_ms) / owned_gib,
        quiet_p99_99_ns: p99_99(&mut quiet),
        busy_p99_99_ns: p99_99(&mut busy),
        busy_pairs: busy.len(),
    })
}

/// Milliseconds that one recovery took.
fn round(
    segment: &Segment,
    name: &str,
    block: usize,
    bytes: usize,
    quiet: &mut Vec<u64>,
    busy: &mut Vec<u64>,
) -> Result<f64> {
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["owner", name, "--block", &block.to_string(), "--bytes", &bytes.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut told = [0; 6];
    owner.stdout.take().context("piped")?.read_exact(&mut told).context("the owner failed")?;
    owner.kill()?;
    owner.wait()?;
    let (recovering, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = scope.spawn(|| time_pairs(segment, &recovering, &over));
        thread::sleep(Duration::from_millis(20));
        recovering.store(true, Relaxed);
        let start = Instant::now();
        let recovered = segment.recover();
        let took = start.elapsed();
        over.store(true, Relaxed);
        let (calm, beside) = other.join().expect("it measures")?;
        quiet.extend(calm);
        busy.extend(beside);
        let recovered = recovered?;
        ensure!(recovered.processes == 1 && recovered.bytes >= bytes as u64, "{recovered}");
        Ok(took.as_secs_f64() * 1e3)
    })
}

/// Nanoseconds of pairs, before and while `recovering`.
fn time_pairs(
    segment: &Segment,
    recovering: &AtomicBool,
    over: &AtomicBool,
) -> Result<(Vec<u64>, Vec<u64>)> {
    let (handle, layout) = (segment.handle()?, Layout::from_size_align(64, 16)?);
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    while !over.load(Relaxed) {
        let start = Instant::now();
        let block = handle.allocate(layout)?;
        handle.deallocate(block)?;
        let took = start.elapsed().as_nanos() as u64;
        if recovering.load(Relaxed) { busy.push(took) } else { quiet.push(took) }
    }
    Ok((quiet, busy))
}

/// Milliseconds of turning the state bytes of so many bytes of blocks from one state to another, eight
/// at a time: at the start of each unit, or side by side where they stand in a table.
fn sweep(bytes: usize, block: usize) -> Result<f64> {
    let units = bytes / UNIT;
    let (stride, count) = if block < TABLED { (UNIT, UNIT / block) } else { (LINE, UNIT / block) };
    let len = units * stride;
    let file = Memory::new(len)?;
    file.map()?.as_mut().fill(1); // backs it, by a mapping of its own
    let mut fresh = file.map()?;
    let start = Instant::now();
    for unit in fresh.as_mut().chunks_mut(stride) {
        for eight in unit[..count].chunks_mut(8) {
            if *black_box(&eight[0]) == 1 {
                eight.fill(0);
            }
        }
    }
    black_box(fresh.as_mut());
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Bytes of a unit; of its line in the table of states; the smallest blocks whose states stand there.
const UNIT: usize = 64 << 10;
const LINE: usize = 128;
const TABLED: usize = 512;

/// A memory file.
struct Memory(OwnedFd, usize);

/// A shared mapping of all of it.
struct Mapped(NonNull<u8>, usize);

impl Memory {
    fn new(len: usize) -> Result<Memory> {
        // SAFETY: a name that lives through the call.
        let fd = unsafe { libc::memfd_create(c"sweep".as_ptr(), libc::MFD_CLOEXEC) };
        ensure!(fd >= 0, "no memory file: {}", std::io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else has.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(len as u64)?;
        Ok(Memory(file.into(), len))
    }

    fn map(&self) -> Result<Mapped> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                self.1,
                rights,
                libc::MAP_SHARED,
                self.0.as_raw_fd(),
                0,
            )
        };
        ensure!(at != libc::MAP_FAILED, "not mapped: {}", std::io::Error::last_os_error());
        Ok(Mapped(NonNull::new(at.cast()).context("mapped at 0")?, self.1))
    }
}

impl Mapped {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped, as long as this; nobody else uses the file while it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), self.1) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made.
        unsafe { libc::munmap(self.0.as_ptr().cast(), self.1) };
    }
}

fn p99_99(of: &mut [u64]) -> u64 {
    of.sort_unstable();
    of.get((of.len() as f64 * 0.9999) as usize).copied().unwrap_or(0)
}
