//! The segment's bytes in this process: map, back, give back.

use rustix::io::Errno;

#[cfg(loom)]
pub use model::Mapping;
#[cfg(not(loom))]
use {
    crate::error::{CapacityLimit, Error},
    crate::file::SegmentFile,
    rustix::fs::{FallocateFlags, fallocate},
    rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
    std::ffi::c_void,
    std::ptr,
    std::sync::atomic::{AtomicBool, Ordering},
};

/// Bytes asked for in one system call: a failed call keeps what it got on some file systems, and
/// starts over after a signal on others.
#[cfg(not(loom))]
const STEP: u64 = 256 << 10;
#[cfg(not(loom))]
const PAGE: u64 = crate::layout::PAGE;
/// Bytes of a huge page, and what each large mapping is aligned to.
pub const HUGE_PAGE: u64 = 2 << 20;

/// A whole segment file mapped shared, readable and writable. Any thread may use it.
///
/// **Invariant**: `base..base + len` is one mapping of the file that nothing in this process
/// replaces or removes before the drop. It is aligned to 2 MiB, below that size to 64 KiB, and left
/// out of core dumps: the kernel would back a nameless segment up to its capacity to dump it.
///
/// Having an address does not mean that there is memory behind it: a store to a page that is not
/// backed ends the process by SIGBUS if the file system is full. [`back`](Self::back) comes first.
#[cfg(not(loom))]
pub struct Mapping {
    base: *mut u8,
    len: usize,
    file: SegmentFile,
    wants_huge_pages: AtomicBool,
}

// SAFETY: the mapping belongs to the process; `base` is only handed out, and the methods are system
// calls that may be made from any thread at any time.
#[cfg(not(loom))]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl Sync for Mapping {}

#[cfg(not(loom))]
impl Mapping {
    /// Maps the first `len` bytes of `file`, which is all of them.
    ///
    /// Errors: `Corrupt` if the file is shorter, `CapacityTooLarge` if the address space has no room.
    ///
    /// # Panics
    /// If `len` is 0 or not in whole pages.
    pub fn new(file: SegmentFile, len: u64) -> Result<Mapping, Error> {
        assert!(len > 0 && len.is_multiple_of(PAGE), "a segment has whole pages, not {len} bytes");
        let size = file.size()?;
        if size < len {
            let what = format!("the file has {size} bytes, its header says {len}");
            return Err(Error::Corrupt { path: file.shown(), what });
        }
        let align = if len >= HUGE_PAGE { HUGE_PAGE as usize } else { 64 << 10 };
        let no_room = || {
            let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
            let limit = limit.map_or(CapacityLimit::AddressSpace, CapacityLimit::AddressSpaceLimit);
            Error::CapacityTooLarge { asked: len, limit }
        };
        let failed = |errno| match errno {
            Errno::NOMEM => no_room(),
            errno => Error::os("map", &*file.shown(), errno),
        };
        let (len, reserved) = usize::try_from(len)
            .ok()
            .and_then(|len| Some((len, len.checked_add(align)?)))
            .ok_or_else(no_room)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses a place where nothing is.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), reserved, ProtFlags::empty(), flags) }
            .map_err(failed)?
            .cast::<u8>();
        let base = start.map_addr(|at| at.next_multiple_of(align));
        let unreserve = |from: *mut u8, bytes: usize| {
            if bytes > 0 {
                // SAFETY: part of the reservation above, which nobody else knows of.
                let done = unsafe { munmap(from.cast(), bytes) };
                debug_assert!(done.is_ok(), "{done:?}");
            }
        };
        let (flags, rights) =
            (MapFlags::SHARED | MapFlags::FIXED, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: `base..base + len` lies inside the reservation, which is ours to replace.
        if let Err(errno) = unsafe { mmap(base.cast(), len, rights, flags, file.fd(), 0) } {
            unreserve(start, reserved);
            return Err(failed(errno));
        }
        let (head, tail) = (base.addr() - start.addr(), base.wrapping_add(len));
        unreserve(start, head);
        unreserve(tail, reserved - head - len);
        let mapping = Mapping { base, len, file, wants_huge_pages: AtomicBool::new(false) };
        mapping
            .advise(0, len as u64, Advice::LinuxDontDump)
            .map_err(|errno| Error::os("keep out of core dumps", &*mapping.file.shown(), errno))?;
        Ok(mapping)
    }

    /// Where the segment begins in this process.
    #[inline(always)]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Bytes mapped.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The file behind it.
    pub fn file(&self) -> &SegmentFile {
        &self.file
    }

    /// Sees to it that there is memory behind the range, so that no load or store there can raise
    /// SIGBUS while nobody punches it or truncates the file. What was backed keeps its contents;
    /// the rest reads zero. May be called for any range, any number of times, beside users of it;
    /// blocks while the kernel works.
    ///
    /// After an error a part of the range may have been backed and stays so. Dying in here leaves
    /// nothing else behind. By huge pages, where they are [wanted](Self::ask_for_huge_pages) and can be had.
    ///
    /// # Errors
    /// `NOSPC`: the file system is full (or someone cut the file short); `INVAL`: not in the
    /// segment; others as from fallocate(2). The limit of a memory control group is no error: the
    /// kernel kills.
    pub fn back(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let end = self.end_of(offset, len)?;
        let (mut at, mut step) = (offset, STEP);
        while at < end {
            // The number of a descriptor that was closed behind our back may mean another file by
            // now; then, and where the file system has no fallocate, by address.
            if !self.file.is_ours() {
                return self.populate(at, end - at);
            }
            if self.back_by_huge_page(at, end) {
                at += HUGE_PAGE;
                continue;
            }
            let bytes = step.min(end - at).min(HUGE_PAGE - at % HUGE_PAGE);
            match fallocate(self.file.fd(), FallocateFlags::KEEP_SIZE, at, bytes) {
                Ok(()) => at += bytes,
                // Signals that come faster than a step is done must not hold us up for ever.
                Err(Errno::INTR) => step = (step / 2).max(PAGE),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF) => {
                    return self.populate(at, end - at);
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Backs the range and enters it into this process' page tables, as if each page were stored
    /// to: a latency-sensitive user touches nothing for the first time later.
    ///
    /// # Errors
    /// As [`back`](Self::back); `INVAL` also from kernels before 5.14.
    pub fn populate(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let end = self.end_of(offset, len)?.next_multiple_of(PAGE);
        let mut at = offset / PAGE * PAGE;
        while at < end {
            let bytes = STEP.min(end - at);
            match self.advise(at, bytes, Advice::LinuxPopulateWrite) {
                Ok(()) => at += bytes,
                Err(Errno::INTR) => {}
                // Where a store would raise SIGBUS.
                Err(Errno::FAULT) => return Err(Errno::NOSPC),
                Err(errno) => return Err(errno),
            }
        }
        // Behind: of pages that are backed and no more the kernel takes ten times as long to make one.
        let mut at = offset.next_multiple_of(HUGE_PAGE);
        while self.wants_huge_pages() && at + HUGE_PAGE <= end {
            self.make_huge_page(at);
            at += HUGE_PAGE;
        }
        Ok(())
    }

    /// Asks for huge pages throughout: of the kernel, which gives some at a touch if its settings say so, and of
    /// [`back`](Self::back) and [`populate`](Self::populate), which have it make them whatever these say.
    ///
    /// # Errors
    /// `INVAL`: the kernel has none.
    pub fn ask_for_huge_pages(&self) -> Result<(), Errno> {
        // Relaxed: who does not see it yet goes on without.
        self.wants_huge_pages.store(true, Ordering::Relaxed);
        self.advise(0, self.len as u64, Advice::LinuxHugepage)
    }

    /// Whether somebody has asked for them.
    pub fn wants_huge_pages(&self) -> bool {
        self.wants_huge_pages.load(Ordering::Relaxed)
    }

    /// Backs what begins at `at` by a huge page, if they are wanted, a whole one lies there before `end`, and the kernel
    /// has one. False: nothing has changed, but that the first page may be backed.
    fn back_by_huge_page(&self, at: u64, end: u64) -> bool {
        let is_whole = at.is_multiple_of(HUGE_PAGE) && end - at >= HUGE_PAGE;
        if !self.wants_huge_pages() || !is_whole {
            return false;
        }
        // The kernel makes one of the pages that are there, and none where there is none.
        self.advise(at, PAGE, Advice::LinuxPopulateWrite).is_ok() && self.make_huge_page(at)
    }

    /// Makes a huge page of those at `at`, if the kernel has one, and a call for it (Linux 6.1). What was there keeps its
    /// contents, whoever stores there meanwhile; what was not is backed.
    fn make_huge_page(&self, at: u64) -> bool {
        let start = self.base.wrapping_add(at as usize).cast::<c_void>();
        // SAFETY: in our own mapping, by the callers' checks; what can be accessed there stays the same.
        unsafe { libc::madvise(start, HUGE_PAGE as usize, libc::MADV_COLLAPSE) == 0 }
    }

    /// Gives the memory of a range of whole pages back to the file system. Afterwards it reads zero
    /// and is not backed. Nobody may be using the range.
    ///
    /// # Errors
    /// `INVAL`: not whole pages, not in the segment, or the process has locked its memory
    /// (mlockall(2)); `OPNOTSUPP`: the file system has no holes. The memory is then still there.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), Errno> {
        self.end_of(offset, len)?;
        if !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) {
            return Err(Errno::INVAL);
        }
        loop {
            match self.advise(offset, len, Advice::LinuxRemove) {
                Err(Errno::INTR) => {}
                done => return done,
            }
        }
    }

    /// The range's end if it lies in the segment.
    fn end_of(&self, offset: u64, len: u64) -> Result<u64, Errno> {
        offset.checked_add(len).filter(|end| *end <= self.len as u64).ok_or(Errno::INVAL)
    }

    /// madvise(2) on a range that lies in the segment.
    fn advise(&self, offset: u64, len: u64, advice: Advice) -> Result<(), Errno> {
        let at = self.base.wrapping_add(offset as usize).cast::<c_void>();
        // SAFETY: in our own mapping, by the callers' checks; none of the advices used changes what
        // can be accessed. REMOVE changes contents, all of which are atomics or unused by contract.
        unsafe { madvise(at, len as usize, advice) }
    }
}

#[cfg(not(loom))]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping; whoever lends out references into it keeps it alive for them.
        let done = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert!(done.is_ok(), "{done:?}");
    }
}

/// loom's world: heap memory, always backed.
#[cfg(loom)]
mod model {
    use super::Errno;
    use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

    /// Zeroed memory aligned to 64 KiB that stands for a mapping.
    pub struct Mapping {
        base: *mut u8,
        memory: Layout,
    }

    // SAFETY: `base` is only handed out.
    unsafe impl Send for Mapping {}
    // SAFETY: as above.
    unsafe impl Sync for Mapping {}

    impl Mapping {
        pub fn zeroed(bytes: usize) -> Mapping {
            assert!(bytes > 0);
            let memory = Layout::from_size_align(bytes, 64 << 10).expect("bytes of a small model");
            // SAFETY: not of size zero.
            let base = unsafe { alloc_zeroed(memory) };
            if base.is_null() {
                handle_alloc_error(memory);
            }
            Mapping { base, memory }
        }
        pub fn base(&self) -> *mut u8 {
            self.base
        }
        pub fn len(&self) -> usize {
            self.memory.size()
        }
        pub fn back(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
            Ok(())
        }
        pub fn wants_huge_pages(&self) -> bool {
            false
        }
        pub fn populate(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
            Ok(())
        }
        pub fn punch(&self, _offset: u64, _len: u64) -> Result<(), Errno> {
            Ok(())
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: allocated by `zeroed` with this layout.
            unsafe { dealloc(self.base, self.memory) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::file::tests::{Scratch, in_child, is_root, replace_descriptor};
    use std::os::unix::fs::MetadataExt;

    fn memory(bytes: u64) -> Mapping {
        Mapping::new(SegmentFile::memory("m", bytes).unwrap(), bytes).unwrap()
    }

    fn byte(mapping: &Mapping, at: usize) -> *mut u8 {
        assert!(at < mapping.len());
        mapping.base().wrapping_add(at)
    }

    fn put(mapping: &Mapping, at: usize, value: u8) {
        // SAFETY: inside the mapping, and no other thread uses it.
        unsafe { byte(mapping, at).write_volatile(value) }
    }

    fn get(mapping: &Mapping, at: usize) -> u8 {
        // SAFETY: as above.
        unsafe { byte(mapping, at).read_volatile() }
    }

    fn flags_of(mapping: &Mapping) -> String {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let start = format!("{:x}-", mapping.base().addr());
        let entry = &smaps[smaps.find(&start).expect("one mapping begins at the base")..];
        entry.lines().find(|line| line.starts_with("VmFlags:")).unwrap().to_owned()
    }

    fn backed(mapping: &Mapping) -> u64 {
        rustix::fs::fstat(mapping.file().fd()).unwrap().st_blocks as u64 * 512
    }

    #[test]
    fn a_mapping_is_aligned_shared_and_left_out_of_dumps() {
        for (bytes, align) in [(64 << 10, 64 << 10), (2 << 20, 2 << 20), (1 << 40, 2 << 20)] {
            let first = memory(bytes);
            let file = SegmentFile::from_fd(first.file().reopen().unwrap()).unwrap();
            let second = Mapping::new(file, bytes).unwrap();
            assert_eq!(first.base().addr() % align, 0, "{bytes}");
            assert_eq!(first.len() as u64, bytes);
            put(&first, first.len() - 1, 7);
            assert_eq!(get(&second, first.len() - 1), 7);
            let flags = flags_of(&first);
            assert!(flags.contains(" dd"), "{flags}");
        }
    }

    #[test]
    fn huge_pages_are_had_by_who_asks_for_them() {
        let flags_of = |asks| {
            let options = crate::Options::new().capacity(8 << 20).huge_pages(asks);
            let segment = options.create_anonymous().unwrap();
            let flags = flags_of(segment.attached().arena.mapping());
            flags.contains(" hg")
        };
        let is_there = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        assert_eq!((flags_of(false), flags_of(true)), (false, is_there));
    }

    /// Bytes of the mapping that this process sees by huge pages.
    fn by_huge_pages(mapping: &Mapping) -> u64 {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let start = format!("{:x}-", mapping.base().addr());
        let entry = &smaps[smaps.find(&start).expect("one mapping begins at the base")..];
        let line = entry.lines().find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    #[test]
    fn huge_pages_are_made_where_whole_ones_lie_and_keep_what_was_there() {
        let mapping = memory(8 * HUGE_PAGE);
        mapping.back(0, 2 * HUGE_PAGE).unwrap();
        let setting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
        let unasked = std::fs::read_to_string(setting).is_ok_and(|says| says.contains("[always]"));
        assert!(unasked || by_huge_pages(&mapping) == 0, "nobody asked for them");
        let there = mapping.ask_for_huge_pages().is_ok() && mapping.back_by_huge_page(0, HUGE_PAGE);
        if !there {
            eprintln!("skipped: the kernel makes no huge pages of shared memory when asked");
            return;
        }
        // Stored to all the while.
        let (over, counts) = (AtomicBool::new(false), HUGE_PAGE as usize + 64);
        // SAFETY: inside the mapping, aligned, and all who use it now do so as an atomic.
        let word = unsafe { &*byte(&mapping, counts).cast::<std::sync::atomic::AtomicU64>() };
        put(&mapping, 3 * HUGE_PAGE as usize - 1, 7);
        std::thread::scope(|scope| {
            let counted = scope.spawn(|| {
                let mut counted = 0;
                while !over.load(Ordering::Relaxed) {
                    counted += 1;
                    assert_eq!(word.fetch_add(1, Ordering::Relaxed) + 1, counted);
                }
                counted
            });
            mapping.back(PAGE, 5 * HUGE_PAGE - PAGE).unwrap();
            mapping.populate(6 * HUGE_PAGE, HUGE_PAGE + PAGE).unwrap();
            over.store(true, Ordering::Relaxed);
            assert_eq!(counted.join().unwrap(), word.load(Ordering::Relaxed));
        });
        assert_eq!(get(&mapping, 3 * HUGE_PAGE as usize - 1), 7);
        assert_eq!(backed(&mapping), 6 * HUGE_PAGE + PAGE, "0 to 5, and one and a page from 6 on");
        assert_eq!(by_huge_pages(&mapping), 6 * HUGE_PAGE);
        // They are given back in parts, too.
        mapping.punch(0, 8 * HUGE_PAGE - PAGE).unwrap();
        assert_eq!(backed(&mapping), 0);
    }

    #[test]
    fn the_rest_of_the_reservation_is_given_back() {
        let bytes = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').next().unwrap().parse::<u64>().unwrap() * PAGE
        };
        // In a child, where nobody else maps.
        assert!(in_child(|| {
            let before = bytes();
            let mapping = memory(1 << 30);
            let with = bytes();
            drop(mapping);
            with - before < (1 << 30) + (1 << 20) && bytes() < before + (1 << 20)
        }));
    }

    #[test]
    fn backing_keeps_contents_and_punching_takes_them() {
        let mapping = memory(1 << 20);
        assert_eq!(backed(&mapping), 0);
        mapping.back(PAGE, 2 * PAGE).unwrap();
        assert_eq!(backed(&mapping), 2 * PAGE);
        put(&mapping, PAGE as usize, 5);
        mapping.back(100, 3 * PAGE).unwrap();
        assert_eq!(get(&mapping, PAGE as usize), 5);
        assert_eq!(backed(&mapping), 4 * PAGE, "pages 0 to 3");
        mapping.punch(PAGE, PAGE).unwrap();
        assert_eq!(backed(&mapping), 3 * PAGE);
        mapping.back(PAGE, PAGE).unwrap();
        assert_eq!(get(&mapping, PAGE as usize), 0);
        mapping.populate(8 * PAGE + 1, 1).unwrap();
        assert_eq!(backed(&mapping), 5 * PAGE);
        mapping.back(0, 1 << 20).unwrap();
        assert_eq!(backed(&mapping), 1 << 20);
        for (offset, len) in [(0, (1 << 20) + 1), (1 << 20, 1), (u64::MAX, 2)] {
            assert_eq!(mapping.back(offset, len), Err(Errno::INVAL));
            assert_eq!(mapping.populate(offset, len), Err(Errno::INVAL));
            assert_eq!(mapping.punch(offset, len), Err(Errno::INVAL));
        }
        assert_eq!(mapping.punch(1, PAGE), Err(Errno::INVAL));
        assert_eq!(mapping.punch(0, PAGE - 1), Err(Errno::INVAL));
    }

    #[test]
    fn another_file_behind_the_descriptor_is_left_alone() {
        let scratch = Scratch::new("back-replaced");
        let mapping = memory(1 << 20);
        let seen = mapping.file().reopen().unwrap();
        let other = std::fs::File::create(scratch.path("other")).unwrap();
        other.set_len(1 << 20).unwrap();
        replace_descriptor(mapping.file(), &other);
        mapping.back(0, 1 << 19).unwrap();
        mapping.punch(0, PAGE).unwrap();
        assert_eq!(other.metadata().unwrap().blocks(), 0);
        let blocks = rustix::fs::fstat(&seen).unwrap().st_blocks as u64;
        assert_eq!(blocks * 512, (1 << 19) - PAGE);
    }

    #[test]
    fn signals_do_not_keep_backing_from_its_end() {
        extern "C" fn nothing(_: i32) {}
        assert!(in_child(|| {
            let often = libc::timeval { tv_sec: 0, tv_usec: 50 };
            let timer = libc::itimerval { it_interval: often, it_value: often };
            // SAFETY: the handler does nothing, and the timer is a valid value.
            unsafe {
                libc::signal(libc::SIGALRM, nothing as *const () as libc::sighandler_t);
                libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
            }
            let mapping = memory(16 << 20);
            mapping.back(0, 16 << 20).unwrap();
            backed(&mapping) == 16 << 20
        }));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(in_child(|| {
            let limit = Some(2 << 30);
            let rlimit = rustix::process::Rlimit { current: limit, maximum: limit };
            rustix::process::setrlimit(rustix::process::Resource::As, rlimit).unwrap();
            let file = SegmentFile::memory("m", 4 << 30).unwrap();
            let limit = CapacityLimit::AddressSpaceLimit(2 << 30);
            matches!(
                Mapping::new(file, 4 << 30),
                Err(Error::CapacityTooLarge { asked, limit: l }) if asked == 4 << 30 && l == limit
            )
        }));
        let file = SegmentFile::memory("m", 1 << 47).unwrap();
        let limit = CapacityLimit::AddressSpace;
        assert!(matches!(
            Mapping::new(file, 1 << 47),
            Err(Error::CapacityTooLarge { limit: l, .. }) if l == limit
        ));
        let file = SegmentFile::memory("m", PAGE).unwrap();
        assert!(matches!(Mapping::new(file, 2 * PAGE), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn a_full_file_system_is_an_error_and_no_signal() {
        if !is_root() {
            eprintln!("skipped: mounting a small file system needs root");
            return;
        }
        let scratch = Scratch::new("full");
        let body = || {
            let at = std::ffi::CString::new(scratch.0.to_str().unwrap()).unwrap();
            let none = std::ptr::null();
            // SAFETY: strings that live through the calls; only this child sees the mounts.
            let mounted = unsafe {
                libc::unshare(libc::CLONE_NEWNS) == 0
                    && libc::mount(
                        none,
                        c"/".as_ptr(),
                        none,
                        libc::MS_REC | libc::MS_PRIVATE,
                        none.cast(),
                    ) == 0
                    && libc::mount(
                        c"small".as_ptr(),
                        at.as_ptr(),
                        c"tmpfs".as_ptr(),
                        0,
                        c"size=1m".as_ptr().cast(),
                    ) == 0
            };
            if !mounted {
                eprintln!("skipped: no permission to mount");
                return true;
            }
            let file = SegmentFile::create(&scratch.0, 64 << 20, 0o600).unwrap();
            let mapping = Mapping::new(file, 64 << 20).unwrap();
            mapping.back(0, 512 << 10).unwrap();
            put(&mapping, 0, 3);
            assert_eq!(mapping.back(0, 2 << 20), Err(Errno::NOSPC));
            assert_eq!(mapping.populate(0, 2 << 20), Err(Errno::NOSPC));
            assert_eq!(get(&mapping, 0), 3);
            mapping.punch(64 << 10, (2 << 20) - (64 << 10)).unwrap();
            mapping.back(32 << 20, 512 << 10).unwrap();
            put(&mapping, 32 << 20, 4);
            true
        };
        assert!(in_child(body));
    }
}
