//! Members of a crowd: processes made by fork, or threads, that begin at the same moment.

use crate::args::Kind;
use crate::results::Sample;
use anyhow::{Context, Result, anyhow, ensure};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Instant;

/// Seconds after which a member that hangs is ended.
const PATIENCE: u32 = 60;

/// Memory of zeros that this process and the children that it forks share.
pub struct Common<const N: usize>(*mut [AtomicU64; N]);

// SAFETY: it leads to atomics alone, mapped for as long as it is there.
unsafe impl<const N: usize> Sync for Common<N> {}

impl<const N: usize> Common<N> {
    /// Fresh.
    pub fn new() -> Result<Common<N>> {
        // SAFETY: a fresh mapping at an address that the kernel chooses harms nobody.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<[AtomicU64; N]>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        ensure!(at != libc::MAP_FAILED, "map memory: {}", std::io::Error::last_os_error());
        Ok(Common(at.cast()))
    }

    /// What is in it.
    pub fn words(&self) -> &[AtomicU64; N] {
        // SAFETY: mapped until this is dropped, and zeros are such words.
        unsafe { &*self.0 }
    }
}

impl<const N: usize> Drop for Common<N> {
    fn drop(&mut self) {
        // SAFETY: of `new`, and nobody borrows it any more.
        unsafe { libc::munmap(self.0.cast(), size_of::<[AtomicU64; N]>()) };
    }
}

/// Where all wait for all, once.
pub struct Start<'c> {
    ready: &'c AtomicU64,
    all: u64,
}

impl Start<'_> {
    /// Returns when everybody has come here.
    ///
    /// # Panics
    /// If somebody does not come.
    pub fn wait(&self) {
        let begin = Instant::now();
        self.ready.fetch_add(1, SeqCst);
        while self.ready.load(SeqCst) < self.all {
            assert!(begin.elapsed().as_secs() < PATIENCE.into(), "somebody does not come");
            thread::yield_now();
        }
    }
}

/// Does it in a process of its own, with memory that is like this one's, and elsewhere as soon as it is written: what it
/// says.
///
/// This process must have one thread.
pub fn apart<R: Serialize + DeserializeOwned>(act: impl FnOnce() -> Result<R>) -> Result<R> {
    fork(act)?.said()
}

/// Has so many members do `act`, each with its number, at the same time: what they say, in that order. Each waits once
/// for the others when it is prepared.
///
/// This process must have one thread.
pub fn together<R: Serialize + DeserializeOwned + Send>(
    kind: Kind,
    count: u32,
    act: impl Fn(u32, &Start<'_>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let common = Common::<1>::new()?;
    let start = Start { ready: &common.words()[0], all: count.into() };
    match kind {
        Kind::Threads => thread::scope(|scope| {
            let (act, start) = (&act, &start);
            let begin = |member| scope.spawn(move || act(member, start));
            let threads: Vec<_> = (0..count).map(begin).collect();
            threads
                .into_iter()
                .map(|it| it.join().map_err(|_| anyhow!("a thread panicked"))?)
                .collect()
        }),
        Kind::Processes => {
            let members = (0..count).map(|member| fork(|| act(member, &start)));
            let members = members.collect::<Result<Vec<_>>>()?;
            members.into_iter().map(|it| it.said()).collect()
        }
    }
}

/// A process that was forked.
struct Child {
    pid: libc::pid_t,
    says: std::io::PipeReader,
}

fn fork<R: Serialize>(act: impl FnOnce() -> Result<R>) -> Result<Child> {
    let (says, mut to_parent) = std::io::pipe()?;
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Ok(Child { pid, says });
    }
    // SAFETY: sets a timer and touches no memory.
    unsafe { libc::alarm(PATIENCE) };
    let act = || -> Result<()> {
        let said = serde_json::to_vec(&act()?)?;
        Ok(to_parent.write_all(&said)?)
    };
    let status = match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("a process of the crowd: {error:#}");
            1
        }
        Err(_) => 101,
    };
    // SAFETY: ends the child, and nothing of its parent's.
    unsafe { libc::_exit(status) }
}

impl Child {
    fn said<R: DeserializeOwned>(mut self) -> Result<R> {
        let mut said = Vec::new();
        self.says.read_to_end(&mut said)?;
        let mut status = 0;
        // SAFETY: a place to write to.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        ensure!(waited == self.pid && status == 0, "a process of the crowd ended with {status}");
        serde_json::from_slice(&said).context("what a process of the crowd says")
    }
}

/// From when the first began till the last was through, in nanoseconds since one moment for all.
#[derive(Serialize, serde::Deserialize, Clone, Copy)]
pub struct Span {
    begin: u64,
    end: u64,
}

impl Span {
    /// Since `base`, which is from before there was a crowd.
    pub fn since(base: Instant, begin: Instant, took: std::time::Duration) -> Span {
        let begin = begin.duration_since(base).as_nanos() as u64;
        Span { begin, end: begin + took.as_nanos() as u64 }
    }

    /// Of all, in nanoseconds.
    pub fn of_all(spans: &[Span]) -> f64 {
        let begin = spans.iter().map(|it| it.begin).min().unwrap_or(0);
        let end = spans.iter().map(|it| it.end).max().unwrap_or(0);
        (end - begin) as f64
    }
}

/// Nanoseconds of one operation, of so many of each.
pub fn per_operation(all: &[(u64, Span)]) -> Sample {
    let operations: u64 = all.iter().map(|(operations, _)| operations).sum();
    let spans: Vec<Span> = all.iter().map(|(_, span)| *span).collect();
    Sample::Figure(Span::of_all(&spans) / operations as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_begun_before_anybody_goes_on() {
        for kind in [Kind::Threads, Kind::Processes] {
            let begun = Common::<1>::new().unwrap();
            let saw = together(kind, 4, |member, start| {
                begun.words()[0].fetch_add(1, SeqCst);
                start.wait();
                Ok((member, begun.words()[0].load(SeqCst)))
            });
            assert_eq!(saw.unwrap(), [(0, 4), (1, 4), (2, 4), (3, 4)], "{kind:?}");
        }
    }

    #[test]
    fn what_is_done_apart_is_told_and_changes_nothing_here() {
        let mut here = 1;
        let told = apart(|| {
            here += 1;
            Ok(here)
        });
        assert_eq!((told.unwrap(), here), (2, 1));
        assert!(apart(|| anyhow::bail!("it fails") as Result<()>).is_err());
    }

    #[test]
    fn one_that_fails_fails_the_work() {
        let fails = |member, start: &Start<'_>| {
            start.wait();
            ensure!(member != 1, "it is that one");
            Ok(())
        };
        for kind in [Kind::Threads, Kind::Processes] {
            assert!(together(kind, 2, fails).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn a_span_of_all_is_from_the_first_to_the_last() {
        let spans = [Span { begin: 5, end: 8 }, Span { begin: 3, end: 7 }];
        assert_eq!(Span::of_all(&spans), 5.0);
    }
}
