//! Processes that are to die: forked from a harness of one thread, told apart by how they end.

use anyhow::{Context, Result, ensure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Seconds after which the kernel ends a process that hangs.
const PATIENCE: u32 = 20;
/// What a child that panicked returns.
const PANICKED: i32 = 101;

/// What a thread of a victim does when it takes over: it performs what is left of the operation, and
/// the thread that began it waits. Set by suites that follow threads.
pub static TAKES_OVER: OnceLock<fn()> = OnceLock::new();

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By itself.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A page that a process and the children that it forks share, beside any segment.
pub struct Page(*mut Words);

/// What a child says.
#[repr(C)]
struct Words {
    /// 0: it has not begun with what counts. 1: it has. 2: it is through.
    phase: AtomicU64,
    steps: AtomicU64,
    /// Bytes of `text` that are written.
    length: AtomicU64,
    text: [u8; 3000],
}

const _: () = assert!(size_of::<Words>() <= 4096);

impl Page {
    /// A page of zeros.
    pub fn new() -> Result<Page> {
        // SAFETY: a fresh mapping at an address that the kernel chooses harms nobody.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        ensure!(page != libc::MAP_FAILED, "map a page: {}", std::io::Error::last_os_error());
        Ok(Page(page.cast()))
    }

    fn words(&self) -> &Words {
        // SAFETY: mapped until this is dropped; zeros are valid, and what changes are atomics. The
        // text is read through this only when no child is left that writes it.
        unsafe { &*self.0 }
    }

    /// Forgets what the last child said.
    pub fn clear(&self) {
        for word in [&self.words().phase, &self.words().steps, &self.words().length] {
            word.store(0, SeqCst);
        }
    }

    /// The child is prepared: what counts begins.
    pub fn begin(&self) {
        self.words().phase.store(1, SeqCst);
    }

    /// The child is through, after so many steps.
    pub fn done(&self, steps: u64) {
        self.words().steps.store(steps, SeqCst);
        self.words().phase.store(2, SeqCst);
    }

    /// Whether the child was prepared.
    pub fn has_begun(&self) -> bool {
        self.words().phase.load(SeqCst) >= 1
    }

    /// The steps that the child took, if it came to the end.
    pub fn steps(&self) -> Option<u64> {
        (self.words().phase.load(SeqCst) == 2).then(|| self.words().steps.load(SeqCst))
    }

    /// What the child said when it panicked.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.written()).into_owned()
    }

    fn written(&self) -> &[u8] {
        let words = self.words();
        &words.text[..(words.length.load(SeqCst) as usize).min(words.text.len())]
    }

    /// Leaves numbers for the parent.
    pub fn list(&self, numbers: impl Iterator<Item = u64>) {
        let bytes: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
        assert!(bytes.len() <= self.words().text.len(), "too many numbers for a page");
        self.write(&bytes);
    }

    /// The numbers that a child left, once it has ended.
    pub fn listed(&self) -> Vec<u64> {
        let numbers = self.written().chunks_exact(8);
        numbers.map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight"))).collect()
    }

    fn say(&self, text: &str) {
        self.write(&text.as_bytes()[..text.len().min(self.words().text.len())]);
    }

    fn write(&self, bytes: &[u8]) {
        // SAFETY: no longer than the text; the child is the only one that writes.
        unsafe {
            (&raw mut (*self.0).text).cast::<u8>().copy_from(bytes.as_ptr(), bytes.len());
        }
        self.words().length.store(bytes.len() as u64, SeqCst);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the last use.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Runs `work` in a forked child, which ends without running anything else of its parent; its id.
///
/// The caller has one thread, beside those that hold bells and sleep. A panic in `work` is told on the page.
pub fn fork(page: &Page, work: impl FnOnce()) -> Result<libc::pid_t> {
    // SAFETY: the process has one thread that does anything: of what the child may use nothing is left locked in it.
    let child = unsafe { libc::fork() };
    ensure!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child != 0 {
        return Ok(child);
    }
    // SAFETY: sets a timer and touches no memory.
    unsafe { libc::alarm(PATIENCE) };
    let said = page.0 as usize;
    std::panic::set_hook(Box::new(move |info| {
        // What is dropped here would unmap the page under the parent's copy of it: nothing is.
        std::mem::ManuallyDrop::new(Page(said as *mut Words)).say(&info.to_string());
    }));
    let code = if catch_unwind(AssertUnwindSafe(work)).is_ok() { 0 } else { PANICKED };
    // SAFETY: ends the child; what its parent has to do at its end is not the child's to do.
    unsafe { libc::_exit(code) }
}

/// Waits for the end of a child.
pub fn wait(child: libc::pid_t) -> Result<End> {
    let mut status = 0;
    // SAFETY: `status` is a place to write to.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    ensure!(waited == child, "wait: {}", std::io::Error::last_os_error());
    let exited = libc::WIFEXITED(status).then(|| End::Exited(libc::WEXITSTATUS(status)));
    let killed = libc::WIFSIGNALED(status).then(|| End::Killed(libc::WTERMSIG(status)));
    exited.or(killed).context("a child that has ended has exited or was killed")
}

/// Waits until a child is stopped; false: it has ended, as it should.
pub fn wait_for_stop(child: libc::pid_t) -> Result<bool> {
    let mut status = 0;
    // SAFETY: `status` is a place to write to.
    let waited = unsafe { libc::waitpid(child, &mut status, libc::WUNTRACED) };
    ensure!(waited == child, "wait: {}", std::io::Error::last_os_error());
    if libc::WIFSTOPPED(status) {
        return Ok(true);
    }
    ensure!(status == 0, "it ended with status {status:#x} and was not stopped");
    Ok(false)
}

/// Runs `work` in a child that must come to its end.
pub fn run(page: &Page, work: impl FnOnce()) -> Result<()> {
    page.clear();
    let end = wait(fork(page, work)?)?;
    ensure!(end == End::Exited(0), "a helper ended with {end:?}: {}", page.text());
    Ok(())
}
