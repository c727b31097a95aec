//! A `managed_shared_memory`, by the functions of `boost/boost.cpp`.

use anyhow::{Context, Result};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

// SAFETY: as `boost/boost.cpp` declares them; a `bool` of C++ is one of Rust's.
unsafe extern "C" {
    fn sharena_boost_create(name: *const c_char, bytes: usize) -> *mut c_void;
    fn sharena_boost_close(segment: *mut c_void);
    fn sharena_boost_allocate(segment: *mut c_void, bytes: usize) -> *mut u8;
    fn sharena_boost_deallocate(segment: *mut c_void, block: *mut u8);
    fn sharena_boost_construct(segment: *mut c_void, name: *const c_char, value: u64) -> *mut u64;
    fn sharena_boost_find(segment: *mut c_void, name: *const c_char) -> *mut u64;
    fn sharena_boost_destroy(segment: *mut c_void, name: *const c_char) -> bool;
}

/// This process' own, and that of children that it forks: they have it at the same address.
pub struct Segment(NonNull<c_void>);

// SAFETY: every operation on it takes its mutex, which processes share.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// Of so many bytes, all of which the system must have.
    pub fn new(bytes: usize) -> Result<Segment> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // Relaxed: nothing but the number is told.
        let number = MADE.fetch_add(1, Relaxed);
        let name = CString::new(format!("sharena-bench-boost-{}-{number}", std::process::id()))?;
        // SAFETY: a name that ends.
        let segment = unsafe { sharena_boost_create(name.as_ptr(), bytes) };
        let segment = NonNull::new(segment);
        Ok(Segment(segment.with_context(|| format!("/dev/shm has no {} MiB", bytes >> 20))?))
    }

    /// A block; `None`: it is full.
    pub fn allocate(&self, bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: a segment that is open.
        NonNull::new(unsafe { sharena_boost_allocate(self.0.as_ptr(), bytes) })
    }

    /// Frees a block.
    ///
    /// # Safety
    /// It is of [`allocate`](Self::allocate), of this segment, and was not freed before.
    pub unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise, and a segment that is open.
        unsafe { sharena_boost_deallocate(self.0.as_ptr(), block.as_ptr()) };
    }
}

impl Segment {
    /// A named object; `None`: there is one of that name, or no room.
    pub fn construct(&self, name: &CStr, value: u64) -> Option<NonNull<u64>> {
        // SAFETY: a segment that is open, and a name that ends.
        NonNull::new(unsafe { sharena_boost_construct(self.0.as_ptr(), name.as_ptr(), value) })
    }

    /// The object of that name, if it is there: nobody keeps others from destroying it.
    pub fn find(&self, name: &CStr) -> Option<NonNull<u64>> {
        // SAFETY: a segment that is open, and a name that ends.
        NonNull::new(unsafe { sharena_boost_find(self.0.as_ptr(), name.as_ptr()) })
    }

    /// Whether there was one.
    pub fn destroy(&self, name: &CStr) -> bool {
        // SAFETY: a segment that is open, and a name that ends.
        unsafe { sharena_boost_destroy(self.0.as_ptr(), name.as_ptr()) }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: of `new`, and nobody borrows it any more.
        unsafe { sharena_boost_close(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Kind;
    use crate::members::together;

    #[test]
    fn names_are_there_once_and_for_every_process() {
        let segment = Segment::new(1 << 20).unwrap();
        assert!(segment.construct(c"a", 5).is_some());
        assert!(segment.construct(c"a", 6).is_none());
        // SAFETY: it was constructed, and nobody destroys it meanwhile.
        let read = |name: &CStr| segment.find(name).map(|it| unsafe { it.read() });
        let saw = together(Kind::Processes, 1, |_, _| {
            segment.construct(c"b", 7);
            Ok((read(c"a"), segment.destroy(c"a")))
        });
        assert_eq!(saw.unwrap(), [(Some(5), true)]);
        assert_eq!((read(c"a"), read(c"b"), segment.destroy(c"a")), (None, Some(7), false));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let segment = Segment::new(1 << 16).unwrap();
        assert!(segment.allocate(1 << 17).is_none());
        assert!(Segment::new(1 << 50).is_err());
    }
}
