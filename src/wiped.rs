//! Memory that a forked child finds empty.

/// Zeroed memory for one `T`, of this process alone, that reads as zero again in a forked child.
pub(crate) fn on_fork<T>() -> Result<*mut T, rustix::io::Errno> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    let bytes = size_of::<T>();
    // SAFETY: a fresh mapping at an address that the kernel chooses harms nobody.
    unsafe {
        let memory = mmap_anonymous(
            core::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?;
        if let Err(error) = madvise(memory, bytes, Advice::LinuxWipeOnFork) {
            let _ = rustix::mm::munmap(memory, bytes);
            return Err(error);
        }
        Ok(memory.cast())
    }
}

/// Gives it back.
///
/// # Safety
/// `memory` is from [`on_fork`] and not used any more.
pub(crate) unsafe fn unmap<T>(memory: *mut T) {
    // SAFETY: the caller's promise. A failure would mean that it was not mapped.
    let _ = unsafe { rustix::mm::munmap(memory.cast(), size_of::<T>()) };
}
