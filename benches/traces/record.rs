//! Records what a program allocates: `cargo run -p sharena-bench --features peers --example record-trace` writes
//! `benches/traces/metadata.bin` anew.
//!
//! The program: `serde_json` reads what `cargo metadata` says of this project and all that it depends on; who depends on
//! whom is put into a map, printed as JSON, and as a table; and the words of the benchmarks' sources are counted.

#[path = "../src/alloc/trace.rs"]
#[allow(dead_code, reason = "it reads traces, too")]
mod trace;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use trace::{Call, Totals};

/// Calls that can be recorded.
const MOST_CALLS: usize = 1 << 20;

struct Recorder;

#[global_allocator]
static RECORDER: Recorder = Recorder;

/// What was recorded; `None`: nothing is to be.
static RECORD: Mutex<Option<Record>> = Mutex::new(None);

/// Room for all of it is taken before it begins, so that it allocates nothing itself.
struct Record {
    calls: Vec<Call>,
    /// By where it is: the number and the size of a block that lives.
    blocks: HashMap<usize, (u64, u64)>,
    live: u64,
    totals: Totals,
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        if let Some(record) = &mut *RECORD.lock().expect("nothing panics") {
            record.allocated(block.addr(), layout.size() as u64);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(record) = &mut *RECORD.lock().expect("nothing panics") {
            record.freed(block.addr());
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) };
    }
}

impl Record {
    fn new() -> Record {
        Record {
            calls: Vec::with_capacity(MOST_CALLS),
            blocks: HashMap::with_capacity(MOST_CALLS),
            live: 0,
            totals: Totals::default(),
        }
    }

    fn allocated(&mut self, block: usize, size: u64) {
        self.call(Call::Allocate(size));
        self.blocks.insert(block, (self.totals.blocks, size));
        self.live += size;
        self.totals.blocks += 1;
        self.totals.bytes += size;
        self.totals.most_live = self.totals.most_live.max(self.live);
        self.totals.largest = self.totals.largest.max(size);
    }

    /// What is older than the record is not in it.
    fn freed(&mut self, block: usize) {
        if let Some((number, size)) = self.blocks.remove(&block) {
            self.call(Call::Free(number));
            self.live -= size;
        }
    }

    fn call(&mut self, call: Call) {
        if self.calls.len() == self.calls.capacity() {
            // A panic would allocate.
            std::process::abort();
        }
        self.calls.push(call);
    }
}

fn main() -> Result<()> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--manifest-path"])
        .arg(benches.join("Cargo.toml"))
        .output()?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata = String::from_utf8(told.stdout)?;
    let entries = std::fs::read_dir(benches.join("src"))?;
    let mut files = entries.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|it| it.is_file());
    files.sort();
    let sources = files.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let record = Record::new();
    *RECORD.lock().expect("nothing panics") = Some(record);
    let printed = job(&metadata, &sources);
    let record = RECORD.lock().expect("nothing panics").take().expect("put there");
    let printed = printed?;
    let encoded = trace::encode(&record.calls, record.totals);
    trace::decode(&encoded)?;
    let file = benches.join("traces/metadata.bin");
    std::fs::write(&file, &encoded)?;
    println!("{printed} bytes printed, {:?}", record.totals);
    println!("{} bytes in {}", encoded.len(), file.display());
    Ok(())
}

/// How many bytes it would print.
fn job(metadata: &str, sources: &[String]) -> Result<usize> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let name = package["name"].as_str().context("a name")?;
        let dependencies = package["dependencies"].as_array().context("dependencies")?;
        let names = dependencies.iter().filter_map(|it| it["name"].as_str()).map(str::to_owned);
        needs.entry(name.to_owned()).or_default().extend(names);
    }
    let mut table = comfy_table::Table::new();
    for (name, needs) in &needs {
        table.add_row([name.clone(), needs.len().to_string(), needs.join(", ")]);
    }
    let mut words: HashMap<String, usize> = HashMap::new();
    for source in sources {
        for word in source.split(|it: char| !it.is_alphanumeric()) {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let printed = [table.to_string(), serde_json::to_string_pretty(&needs)?];
    Ok(printed.iter().map(String::len).sum::<usize>() + words.len())
}
