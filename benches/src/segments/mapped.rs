//! A shared mapping of a file.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

/// The first bytes of a file.
pub struct Mapped(NonNull<u8>, usize);

impl Mapped {
    /// So many of them.
    pub fn new(file: &File, len: usize) -> Result<Mapped> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let (at, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: the kernel chooses a place where nothing is.
        let at = unsafe { libc::mmap(at, len, rights, libc::MAP_SHARED, fd, 0) };
        ensure!(at != libc::MAP_FAILED, "not mapped: {}", std::io::Error::last_os_error());
        Ok(Mapped(NonNull::new(at.cast()).context("mapped at 0")?, len))
    }

    /// They.
    ///
    /// # Safety
    /// Nobody else uses the file while they are borrowed.
    pub unsafe fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped, as long as this; the caller promises the rest.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), self.1) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made.
        unsafe { libc::munmap(self.0.as_ptr().cast(), self.1) };
    }
}
