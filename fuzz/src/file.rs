//! A segment's file in memory, of this process alone, and what is in it.

use crate::image::Image;
use crate::sparse::Sparse;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SeekFrom, fstat, ftruncate, memfd_create, seek};
use rustix::io::{Errno, fcntl_dupfd_cloexec, pread, pwrite};

/// A memory file.
#[derive(Debug)]
pub struct File(OwnedFd);

impl File {
    /// With these bytes.
    ///
    /// # Panics
    /// As all here, if the system has no memory.
    pub fn of(sparse: &Sparse) -> File {
        let fd = memfd_create("sharena-fuzz", MemfdFlags::CLOEXEC).expect("a memory file");
        ftruncate(&fd, sparse.size).expect("a size");
        let file = File(fd);
        for (at, bytes) in &sparse.parts {
            // A part may lie behind the end, where it would make the file longer.
            let room = sparse.size.saturating_sub(*at).min(bytes.len() as u64);
            file.write(*at, &bytes[..room as usize]);
        }
        file
    }

    /// With an image.
    pub fn of_image(image: &Image<'_>) -> File {
        let file = Self::of(&image.base.sparse);
        image.changed.iter().for_each(|(at, word)| file.write(*at, &word.to_le_bytes()));
        file
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            assert_eq!(pwrite(&self.0, bytes, at), Ok(bytes.len()));
        }
    }

    /// The word at `at`.
    pub fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        let _ = pread(&self.0, &mut bytes, at).expect("it can be read");
        u64::from_le_bytes(bytes)
    }

    /// Another descriptor of it.
    pub fn descriptor(&self) -> OwnedFd {
        fcntl_dupfd_cloexec(self.0.as_fd(), 3).expect("a descriptor")
    }

    /// Where it has memory from `from` on: offset and bytes.
    pub fn extents(&self, from: u64) -> Vec<(u64, u64)> {
        let (mut found, mut at) = (Vec::new(), from);
        loop {
            let start = match seek(&self.0, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => return found,
                Err(errno) => panic!("seek: {errno}"),
            };
            let end = seek(&self.0, SeekFrom::Hole(start)).expect("a hole, or the end");
            found.push((start, end - start));
            at = end;
        }
    }

    /// All that is in it.
    pub fn contents(&self) -> Sparse {
        let extents = self.extents(0).into_iter().map(|(at, bytes)| {
            let mut part = vec![0; bytes as usize];
            assert_eq!(pread(&self.0, &mut part[..], at), Ok(part.len()));
            (at, part)
        });
        Sparse::of(self.size(), extents)
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        fstat(&self.0).expect("a file").st_size as u64
    }
}
