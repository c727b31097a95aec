//! What the tests share: names that are taken away again, and tests that start themselves as other
//! processes in a role.
#![allow(dead_code)] // each test file uses a part

use sharena::{Block, Segment, Stats};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

const ROLE: &str = "SHARENA_TEST_ROLE";
const ARGS: &str = "SHARENA_TEST_ARGS";
/// What a child says to its parent begins so: the test harness writes to the same pipe.
const SAID: &str = "@@ ";
/// Seconds after which the kernel ends a child: a hang is a failure, not a hang.
const PATIENCE: u32 = 120;

/// Whether the long form of the tests was asked for.
pub fn long() -> bool {
    std::env::var_os("SHARENA_LONG").is_some_and(|value| value != "0" && !value.is_empty())
}

/// A segment name of this process and test alone; removed when dropped, whatever the test does.
pub struct Name(String);

impl Name {
    pub fn new(test: &str) -> Name {
        Name(format!("test-{}-{test}", std::process::id()))
    }

    pub fn path(&self) -> PathBuf {
        format!("/dev/shm/sharena.{}", self.0).into()
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Not by sharena::remove: what stands there need not be a segment.
        let _ = std::fs::remove_file(self.path());
    }
}

/// A directory of this process and test alone, removed when dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("sharena-test-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The role that this process was started in by another of these tests; `None`: it is the test.
pub fn role() -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    // SAFETY: sets a timer and touches no memory.
    unsafe { libc::alarm(if long() { 3600 } else { PATIENCE }) };
    Some(role)
}

/// What the parent passed along, by position.
pub fn arg(index: usize) -> String {
    let args = std::env::var(ARGS).expect("started by a test");
    args.split('\n').nth(index).unwrap_or_else(|| panic!("no argument {index}")).to_owned()
}

/// Tells the parent.
pub fn say(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{SAID}{text}").and_then(|()| out.flush()).expect("a parent that listens");
}

/// Waits for a line from the parent.
pub fn hear() -> String {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line).expect("a parent that speaks");
    assert_ne!(read, 0, "the parent is gone");
    line.trim_end().to_owned()
}

/// Another process that runs one test of this binary in a role.
pub struct Process {
    child: std::process::Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    role: String,
}

impl Process {
    /// Starts `test` (its full name) as `role`.
    pub fn start(test: &str, role: &str, args: &[&str]) -> Process {
        Self::start_by(Self::command(test, role, args), role)
    }

    /// The command that [`start`](Self::start) runs, to be changed before it does.
    pub fn command(test: &str, role: &str, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(ARGS, args.join("\n"));
        command
    }

    pub fn start_by(mut command: Command, role: &str) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Process { child, input, output, role: role.to_owned() }
    }

    pub fn tell(&mut self, text: impl std::fmt::Display) {
        let input = self.input.as_mut().expect("not finished");
        writeln!(input, "{text}").unwrap_or_else(|error| panic!("{} is gone: {error}", self.role));
    }

    /// Kills it, and waits until it is gone; what it had said that was not listened to.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.killed()
    }

    /// Waits until it was killed, by whomever; what it had said that was not listened to.
    pub fn killed(mut self) -> Vec<String> {
        let said = std::iter::from_fn(|| self.next_said()).collect();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{} ended by itself", self.role);
        said
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0, "signal {signal}");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The next thing that it says.
    pub fn listen(&mut self) -> String {
        self.next_said().unwrap_or_else(|| panic!("{} ended without a word", self.role))
    }

    /// The next thing that it says; `None`: it has ended.
    pub fn next_said(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(at) = line.find(SAID) {
                return Some(line[at + SAID.len()..].trim_end().to_owned());
            }
        }
    }

    /// Waits until it has ended, which it must do well, having said nothing more than was listened to.
    pub fn finish(mut self) {
        self.input = None;
        let rest = self.next_said();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}", self.role);
        assert_eq!(rest, None, "{} said more", self.role);
    }

    /// Waits until it has ended, however.
    pub fn ended(mut self) -> ExitStatus {
        self.input = None;
        while self.next_said().is_some() {}
        self.child.wait().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a test that failed: what was started, ends.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What the segment holds, once nothing is kept for speed. Threads that worked on it are joined
/// before: the end of a scope waits for their closures only, not until they gave back what they held.
pub fn at_rest(segment: &Segment) -> Stats {
    segment.trim().unwrap();
    segment.stats().unwrap()
}

/// The segment is whole, and as many bytes are free as of one that was never used.
pub fn assert_like_fresh(segment: &Segment, fresh: &Stats) {
    let now = at_rest(segment);
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!(now.free, fresh.free, "free bytes are lost\nfresh: {fresh:#?}\nnow: {now:#?}");
}

/// Numbers that differ by seed (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// Bytes that tell blocks apart.
pub fn pattern(seed: u64, index: usize) -> u8 {
    let mixed = (seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u8
}

/// Asserts that the text has the words, and returns what it is of.
pub fn says<E: std::fmt::Display>(error: E, words: &[&str]) -> E {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    error
}

/// Blocks of all the memory that there is.
pub fn fill(segment: &Segment) -> Vec<Block<'_>> {
    let sizes = [1 << 20, 64 << 10].into_iter().chain((1..=256).rev().map(|step| 16 * step));
    let blocks = sizes.flat_map(|bytes| {
        let layout = std::alloc::Layout::from_size_align(bytes, 16).unwrap();
        std::iter::from_fn(move || segment.allocate_block(layout).ok())
    });
    blocks.collect()
}
