//! What a segment's file holds: looked at after each instruction, and copied as a death would leave it.

use anyhow::{Result, ensure};
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::ptr::{self, NonNull};

/// Bytes that are compared, and taken over, together.
const CHUNK: usize = 64 << 10;

/// A mapping of this process, unmapped when dropped.
struct Mapped {
    base: NonNull<u8>,
    bytes: usize,
}

impl Mapped {
    fn new(bytes: usize, protection: i32, flags: i32, fd: i32) -> Result<Mapped> {
        // SAFETY: a fresh mapping at an address that the kernel chooses harms nobody.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, 0) };
        ensure!(base != libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
        Ok(Mapped { base: NonNull::new(base.cast()).expect("mapped"), bytes })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and its bytes are reached through this value alone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// As long as neither changes, nor do the extents.
#[derive(PartialEq, Eq, Default)]
struct Age {
    /// Memory that the file has, in blocks of 512 bytes.
    blocks: u64,
    /// Page faults of who writes. Memory that was asked for ahead is no data before the first store to
    /// it, which changes no count of blocks but is a fault.
    faults: u64,
}

/// The segment in a file: a view of it, and all that it held at the last look.
pub struct Image {
    file: File,
    /// The segment itself, read-only. Only what has memory is read: a look at a hole would fill it.
    segment: Mapped,
    last: Mapped,
    /// Where the file had data: offset and bytes.
    extents: Vec<(usize, usize)>,
    /// What the extents were when they were found.
    as_of: Age,
}

impl Image {
    /// Looks for the first time: see [`look`](Image::look).
    pub fn new(path: &Path, faults: u64) -> Result<Image> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.size() as usize;
        let segment = Mapped::new(bytes, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd())?;
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let last = Mapped::new(bytes, libc::PROT_READ | libc::PROT_WRITE, private, -1)?;
        let mut image = Image { file, segment, last, extents: Vec::new(), as_of: Age::default() };
        image.look(faults)?;
        Ok(image)
    }

    /// Whether the segment differs from what it was at the last look, in its bytes or in how much
    /// memory it has. Who writes to it has had so many page faults, and stands still meanwhile.
    pub fn look(&mut self, faults: u64) -> Result<bool> {
        let age = Age { blocks: self.file.metadata()?.blocks(), faults };
        let mut changed = age.blocks != self.as_of.blocks;
        if age != self.as_of {
            self.extents = extents(&self.file)?;
            self.as_of = age;
        }
        for &(start, bytes) in &self.extents {
            for at in (start..start + bytes).step_by(CHUNK) {
                let bytes = CHUNK.min(start + bytes - at);
                // SAFETY: within both mappings, as extents lie within the file; nobody writes now.
                unsafe {
                    let now = self.segment.base.as_ptr().add(at);
                    let last = self.last.base.as_ptr().add(at);
                    if libc::memcmp(now.cast(), last.cast(), bytes) != 0 {
                        ptr::copy_nonoverlapping(now, last, bytes);
                        changed = true;
                    }
                }
            }
        }
        Ok(changed)
    }

    /// Makes a file that holds what the last look saw: the segment, but of no process that has it.
    pub fn copy(&self, path: &Path) -> Result<()> {
        let copy = File::create_new(path)?;
        copy.set_len(self.last.bytes as u64)?;
        for &(start, bytes) in &self.extents {
            // SAFETY: within the mapping, which only `look` writes to.
            let held =
                unsafe { std::slice::from_raw_parts(self.last.base.as_ptr().add(start), bytes) };
            copy.write_all_at(held, start as u64)?;
        }
        Ok(())
    }
}

/// The parts of a file that have memory.
pub fn extents(file: &File) -> Result<Vec<(usize, usize)>> {
    let seek = |from: usize, what| {
        // SAFETY: moves the descriptor's position, which nobody relies on.
        let at = unsafe { libc::lseek(file.as_raw_fd(), from as i64, what) };
        if at >= 0 {
            return Ok(Some(at as usize));
        }
        let error = Error::last_os_error();
        if error.raw_os_error() == Some(libc::ENXIO) { Ok(None) } else { Err(error) }
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = seek(at, libc::SEEK_DATA)? {
        let end = seek(start, libc::SEEK_HOLE)?.unwrap_or(start);
        found.push((start, end - start));
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No count of blocks tells of the first store to memory that was asked for ahead.
    #[test]
    fn no_change_is_missed() {
        let path = format!("/dev/shm/sharena-crash-image-{}", std::process::id());
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        let mut image = Image::new(Path::new(&path), 0).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!image.look(0).unwrap());
        // SAFETY: asks for memory, and changes no byte.
        let backed = unsafe { libc::posix_fallocate(file.as_raw_fd(), 65_536, 65_536) };
        assert_eq!(backed, 0);
        assert!(image.look(0).unwrap());
        assert!(!image.look(0).unwrap());
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let mapped = Mapped::new(1 << 20, both, libc::MAP_SHARED, file.as_raw_fd()).unwrap();
        for (faults, at) in [(1, 65_536), (1, 65_600), (2, 131_071), (3, 500_000)] {
            // SAFETY: within the mapping.
            unsafe { mapped.base.add(at).write(1) };
            assert!(image.look(faults).unwrap(), "a store at {at}");
            assert!(!image.look(faults).unwrap());
        }
    }
}
