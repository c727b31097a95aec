//! What reading state bytes costs anyhow.

use super::mapped::Mapped;
use crate::results::Sample;
use anyhow::{Result, ensure};
use std::fs::File;
use std::hint::black_box;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes of a unit; of its line in the table of states; the smallest blocks whose states stand there.
const UNIT: usize = 64 << 10;
const LINE: usize = 128;
const TABLED: usize = 512;

/// As many state bytes as so many bytes of blocks have, lying as theirs do, in a memory file of their own.
pub struct States {
    mapped: Mapped,
    /// From those of one unit to those of the next.
    stride: usize,
    /// Of a unit: none if larger blocks lie in it, whose states its own word says.
    of_unit: usize,
}

impl States {
    /// All of them 1.
    pub fn new(bytes: usize, block: usize) -> Result<States> {
        let of_unit = UNIT / block;
        let stride = if block < TABLED { UNIT } else { LINE };
        let len = (bytes / UNIT) * stride;
        // SAFETY: a name that lives through the call.
        let fd = unsafe { libc::memfd_create(c"states".as_ptr(), libc::MFD_CLOEXEC) };
        ensure!(fd >= 0, "no memory file: {}", std::io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else has.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: backs a file of ours, and touches no memory.
        let backed = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len as i64) };
        ensure!(backed == 0, "not backed: {}", std::io::Error::last_os_error());
        let mut states = States { mapped: Mapped::new(&file, len)?, stride, of_unit };
        states.units().for_each(|unit| unit.fill(1));
        Ok(states)
    }

    /// Their states.
    fn units(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let of_unit = self.of_unit;
        // SAFETY: nobody else has the file, or uses another mapping of it.
        let all = unsafe { self.mapped.bytes() };
        all.chunks_mut(self.stride).map(move |unit| &mut unit[..of_unit])
    }

    /// Counts those that are 1, eight at a time: how many, and how long that takes.
    pub fn read(mut self) -> (u64, Duration) {
        let begin = Instant::now();
        let mut ones = 0;
        for unit in self.units() {
            for eight in unit.chunks(8) {
                let mut bytes = [0; 8];
                bytes[..eight.len()].copy_from_slice(black_box(eight));
                ones += u64::from_ne_bytes(bytes).wrapping_mul(0x0101_0101_0101_0101) >> 56;
            }
        }
        (ones, begin.elapsed())
    }
}

/// Milliseconds for a GiB of so many bytes.
pub fn per_gib(took: Duration, bytes: usize) -> f64 {
    took.as_secs_f64() * 1e3 / (bytes as f64 / f64::from(1 << 30))
}

/// The reading alone.
pub fn alone(bytes: usize, block: usize) -> Result<Sample> {
    let (_, took) = States::new(bytes, block)?.read();
    Ok(Sample::Figure(per_gib(took, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read() {
        for (block, all) in [(64, 16 * 1024), (1024, 16 * 64), (16 << 10, 16 * 4), (1 << 20, 0)] {
            assert_eq!(States::new(1 << 20, block).unwrap().read().0, all, "{block}");
        }
    }

    #[test]
    fn a_quarter_of_a_gib_counts_four_times() {
        assert_eq!(per_gib(Duration::from_millis(3), 256 << 20), 12.0);
    }
}
