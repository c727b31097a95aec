//! How long it takes to create a segment, and to open one that another handle holds.
//!
//! The control does the least that any shared memory takes: it creates, or opens, a plain file in the same
//! file system and maps it. It has no contents to lay out or to check, and its name is there before its
//! size is.

use super::mapped::Mapped;
use crate::median::median;
use crate::results::Sample;
use anyhow::{Context, Result};
use sharena::{Options, Segment};
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Segments of a round.
const TIMES: usize = 100;

/// A segment's name, which is taken away with this.
struct Named(String);

impl Named {
    fn new() -> Named {
        Named(format!("sharena-bench-opening-{}", std::process::id()))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = sharena::remove(&self.0);
    }
}

/// A plain file among the segments, which is removed with this.
struct Plain(PathBuf);

impl Plain {
    fn new() -> Plain {
        Plain(format!("/dev/shm/sharena-bench-plain-{}", std::process::id()).into())
    }

    fn create(&self, bytes: u64) -> Result<(File, Mapped)> {
        let mut how = File::options();
        let file = how.read(true).write(true).create_new(true).open(&self.0).context("create")?;
        file.set_len(bytes)?;
        let mapped = Mapped::new(&file, bytes as usize)?;
        Ok((file, mapped))
    }

    fn open(&self) -> Result<(File, Mapped)> {
        let file = File::options().read(true).write(true).open(&self.0).context("open")?;
        let mapped = Mapped::new(&file, file.metadata()?.len() as usize)?;
        Ok((file, mapped))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The median of [`TIMES`], in microseconds.
fn median_of(mut once: impl FnMut() -> Result<Duration>) -> Result<Sample> {
    let times = (0..TIMES).map(|_| Ok(once()?.as_secs_f64() * 1e6)).collect::<Result<Vec<_>>>()?;
    Ok(Sample::Figure(median(times)))
}

/// How long `act` takes; what it makes is dropped outside the clock.
fn timed<R>(act: impl FnOnce() -> Result<R>) -> Result<Duration> {
    let begin = Instant::now();
    let made = act();
    let took = begin.elapsed();
    made.map(|_| took)
}

/// Of a segment that can grow to so many bytes; removed outside the clock.
pub fn create(capacity: u64) -> Result<Sample> {
    median_of(|| {
        let name = Named::new();
        timed(|| Ok(Options::new().capacity(capacity).create(&name.0)?))
    })
}

/// Of a plain file; removed outside the clock.
pub fn create_plain(bytes: u64) -> Result<Sample> {
    median_of(|| {
        let plain = Plain::new();
        timed(|| plain.create(bytes))
    })
}

/// Of opening alone: a place among the participants is taken by the first use.
pub fn attach(capacity: u64) -> Result<Sample> {
    let name = Named::new();
    let _held = Options::new().capacity(capacity).create(&name.0)?;
    median_of(|| timed(|| Ok(Segment::open(&name.0)?)))
}

/// Of a plain file.
pub fn attach_plain(bytes: u64) -> Result<Sample> {
    let plain = Plain::new();
    let _held = plain.create(bytes)?;
    median_of(|| timed(|| plain.open()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_what_was_made() {
        for act in [create, create_plain, attach, attach_plain] {
            let Sample::Figure(microseconds) = act(1 << 20).unwrap() else { panic!("a figure") };
            assert!(microseconds > 0.0);
            assert!(!sharena::exists(&Named::new().0).unwrap());
            assert!(!Plain::new().0.exists());
        }
    }
}
