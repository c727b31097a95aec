//! The segment: create, open, remove, list; capacity and permissions.

use crate::arena::Arena;
use crate::attached::{Attached, LaneInUse, with_lane};
use crate::error::{CapacityLimit, Error};
use crate::file::{self, Link, SegmentFile};
use crate::heap::error::{AllocError, exhausted};
use crate::heap::unit::{UNIT, UNIT_SHIFT};
use crate::heap::{Exhausted, Heap};
use crate::layout::{Header, Layout, MAGIC, MAX_CAPACITY, VERSION};
use crate::mapping::Mapping;
use crate::names::Names;
use crate::names::array::Array;
use crate::names::error::ObjectError;
use crate::recovery::Recovered;
use crate::sync::{Acquire, Release};
use crate::word::Tag;
use core::fmt;
use core::mem::size_of;
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rounds of opening and creating before a name that others create and remove all the time is an error.
const ROUNDS: u32 = 64;

/// Memory that processes share: a heap and a table of named objects, mapped into this process.
///
/// A clone is another handle to the same mapping. When the last one is dropped, this process
/// detaches: what it had not published is freed, what it had stays for the others. `Send` and
/// `Sync`; each thread that uses it takes a lane, of which there are 4095 among all processes.
///
/// # What a child made by fork may do
/// Use the segment: it becomes a participant of its own with its first allocation or find. Dropping
/// an [`Owned`](crate::Owned) or [`Block`](crate::Block) of its parent does nothing there. It must
/// not use references (`Ref`) that its parent had, as they protect the parent only.
/// A fork inside a signal handler, in the middle of an operation on the segment, is not supported.
#[derive(Clone)]
pub struct Segment {
    attached: Arc<Attached>,
    place: Place,
}

/// Where a segment is found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Name(String),
    Path(PathBuf),
    Nameless,
}

impl Place {
    fn path(&self) -> Result<PathBuf, Error> {
        match self {
            Place::Name(name) => file::path_of_name(name),
            Place::Path(path) => Ok(path.clone()),
            Place::Nameless => unreachable!("a nameless segment is not looked for"),
        }
    }
}

/// How a segment is created.
///
/// ```
/// # fn main() -> Result<(), sharena::Error> {
/// # let name = format!("doc-options-{}", std::process::id());
/// let segment = sharena::Options::new().capacity(1 << 30).mode(0o600).create(&name)?;
/// assert!(segment.capacity() >= 1 << 30);
/// # sharena::remove(&name)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    capacity: u64,
    mode: u32,
    recovers: bool,
    huge_pages: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { capacity: 1 << 30, mode: 0o600, recovers: true, huge_pages: false }
    }
}

impl Options {
    /// Capacity 1 GiB, permissions 0600, recovering the dead at open.
    pub fn new() -> Options {
        Options::default()
    }

    /// Bytes of room for objects, at least. A promise of room and nothing more: memory is taken from
    /// the system as it is used, so a large capacity costs no more than a small one. At most 16 TiB,
    /// less the tables.
    pub fn capacity(mut self, bytes: u64) -> Options {
        self.capacity = bytes;
        self
    }

    /// The permission bits of the file, exactly, whatever the umask: who may open the segment. All
    /// who open it read and write.
    pub fn mode(mut self, mode: u32) -> Options {
        self.mode = mode & 0o777;
        self
    }

    /// Whether opening a segment recovers the processes that died in it ([`Segment::recover`]), which
    /// it does unless told otherwise. Those that only look leave it as they find it.
    pub fn recover_at_open(mut self, recovers: bool) -> Options {
        self.recovers = recovers;
        self
    }

    /// Whether this process has huge pages in the segment, which it has not unless told to: of 2 MiB on x86-64, so that
    /// fewer translations of addresses are missed, and growth has the memory of 512 small pages by one call of the kernel
    /// and one page fault. Memory is then taken by so much. It needs no rights.
    ///
    /// Growth and [`prepare`](Segment::prepare) have the kernel make them (`MADV_COLLAPSE`, Linux 6.1) whatever
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says; where that says `advise`, `within_size` or `always`, the
    /// first touch of memory has some, too. Where the kernel has none, all goes on with small pages.
    ///
    /// Not for who cannot bear that an allocation waits for the kernel, but if all is prepared before: to make one the
    /// kernel may have to move memory first, and has every processor empty its lists of pages, which one does not as
    /// long as a thread of a real-time priority spins on it: beside such a one a call was seen to take 0.44 s, the time
    /// until the kernel held that thread up.
    pub fn huge_pages(mut self, wanted: bool) -> Options {
        self.huge_pages = wanted;
        self
    }

    /// Opens the segment `name` in shared memory, as [`Segment::open`] does; capacity and mode are as
    /// its creator chose.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open(&self, name: &str) -> Result<Segment, Error> {
        self.open_in(Place::Name(name.into()))
    }

    /// As [`open`](Self::open), for the file `path`.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_at(&self, path: impl AsRef<Path>) -> Result<Segment, Error> {
        self.open_in(Place::Path(path.as_ref().into()))
    }

    /// As [`open`](Self::open), by a descriptor, which is taken over.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_fd(&self, descriptor: OwnedFd) -> Result<Segment, Error> {
        self.open_file(SegmentFile::from_fd(descriptor)?, Place::Nameless)
    }

    /// Creates the segment `name` in shared memory (`/dev/shm`).
    ///
    /// Atomic: others see nothing, or a complete segment. Waits for nobody. Killed inside: nothing
    /// is left.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], and those of the operating system, each with what to do.
    pub fn create(&self, name: &str) -> Result<Segment, Error> {
        self.create_in(Place::Name(name.into()))
    }

    /// Creates a segment in the file `path`, on any file system that keeps open-file-description
    /// locks and shared mappings.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_at(&self, path: impl AsRef<Path>) -> Result<Segment, Error> {
        self.create_in(Place::Path(path.as_ref().into()))
    }

    fn create_in(&self, place: Place) -> Result<Segment, Error> {
        let path = place.path()?;
        if file::exists(&path)? {
            return Err(Error::AlreadyExists { path });
        }
        match self.try_create(place, &path)? {
            Ok(segment) => Ok(segment),
            Err(_) => Err(Error::AlreadyExists { path }),
        }
    }

    fn try_create(&self, place: Place, path: &Path) -> Result<Result<Segment, Place>, Error> {
        let layout = self.layout()?;
        let file = SegmentFile::create(file::directory_of(path), layout.bytes(), self.mode)?;
        let segment = Segment::lay_out(file, layout, self.capacity, place)?;
        self.advise(&segment.attached);
        match segment.attached.arena.mapping().file().link(path)? {
            Link::Linked => Ok(Ok(segment)),
            Link::Exists => Ok(Err(segment.place)),
        }
    }

    /// Creates a segment without a name, in a memory file: other processes open it by its
    /// descriptor, inherited or sent to them. It is gone with the last process that has it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_anonymous(&self) -> Result<Segment, Error> {
        let layout = self.layout()?;
        let file = SegmentFile::memory("sharena", layout.bytes())?;
        let segment = Segment::lay_out(file, layout, self.capacity, Place::Nameless)?;
        self.advise(&segment.attached);
        Ok(segment)
    }

    /// Opens the segment `name` in shared memory, or creates it; says which.
    ///
    /// Of any number of callers at once exactly one creates it, and all get the same. Waits for
    /// nobody: it alternates between opening and creating until one succeeds, which takes more than
    /// two rounds only if others create and remove the name meanwhile.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`Segment::open`], and [`Error::Unstable`].
    pub fn open_or_create(&self, name: &str) -> Result<Opened, Error> {
        self.open_or_create_in(Place::Name(name.into()))
    }

    /// As [`open_or_create`](Self::open_or_create), for the file `path`.
    ///
    /// # Errors
    /// As [`open_or_create`](Self::open_or_create).
    pub fn open_or_create_at(&self, path: impl AsRef<Path>) -> Result<Opened, Error> {
        self.open_or_create_in(Place::Path(path.as_ref().into()))
    }

    fn open_or_create_in(&self, mut place: Place) -> Result<Opened, Error> {
        let path = place.path()?;
        self.layout()?;
        for _ in 0..ROUNDS {
            match self.open_in(place.clone()) {
                Ok(segment) => return Ok(Opened { segment, created: false }),
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            match self.try_create(place, &path)? {
                Ok(segment) => return Ok(Opened { segment, created: true }),
                Err(again) => place = again,
            }
        }
        Err(Error::Unstable { path })
    }

    fn open_in(&self, place: Place) -> Result<Segment, Error> {
        let path = place.path()?;
        for _ in 0..ROUNDS {
            let segment = self.open_file(SegmentFile::open(&path)?, place.clone())?;
            // The name may have been removed between open and attach; then nobody else will find
            // this segment, and the name may mean another by now.
            if segment.attached.arena.mapping().file().is_linked()? {
                return Ok(segment);
            }
        }
        Err(Error::Unstable { path })
    }

    fn open_file(&self, file: SegmentFile, place: Place) -> Result<Segment, Error> {
        let (layout, tag) = read_header(&file)?;
        let attached = match kept(&file, tag) {
            Some(kept) => kept,
            None => {
                check_low_units(&file, &layout)?;
                Attached::new(map(file, layout)?)?
            }
        };
        self.advise(&attached);
        if self.recovers {
            attached.recover_at_attach();
        }
        Ok(Segment { attached, place })
    }

    fn advise(&self, attached: &Attached) {
        if self.huge_pages {
            // A kernel without them has none to give, which is no error.
            let _ = attached.arena.mapping().ask_for_huge_pages();
        }
    }

    fn layout(&self) -> Result<Layout, Error> {
        if self.capacity == 0 {
            return Err(Error::CapacityZero);
        }
        let too_large = || Error::CapacityTooLarge {
            asked: self.capacity,
            limit: CapacityLimit::Format(MAX_CAPACITY),
        };
        Layout::for_room(room_for(self.capacity).ok_or_else(too_large)?).ok_or_else(too_large)
    }
}

/// Bytes of units that surely hold objects of so many bytes: each size class of each of a few
/// threads may have a slab that is nearly empty, and rounding and state bytes take their part. They
/// are address space, not memory.
fn room_for(capacity: u64) -> Option<u64> {
    capacity.checked_add(capacity / 4)?.checked_add(32 << 20)
}

/// What [`Options::open_or_create`] did.
#[derive(Debug)]
pub struct Opened {
    /// The segment.
    pub segment: Segment,
    /// Whether this call created it.
    pub created: bool,
}

impl Segment {
    /// Creates the segment `name` in shared memory with room for at least `capacity` bytes of
    /// objects, and permissions 0600. See [`Options::create`].
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(name: &str, capacity: u64) -> Result<Segment, Error> {
        Options::new().capacity(capacity).create(name)
    }

    /// Opens the segment `name`, or creates it as [`create`](Self::create) does; says which.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(name: &str, capacity: u64) -> Result<Opened, Error> {
        Options::new().capacity(capacity).open_or_create(name)
    }

    /// Opens the segment `name` in shared memory.
    ///
    /// Waits for nobody: what has a name is complete. The file is checked before it is used (magic,
    /// version, layout, sizes, where its tables lie), whoever may have written it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotASegment`], [`Error::WrongVersion`], [`Error::WrongLayout`],
    /// [`Error::Corrupt`], [`Error::TooManyProcesses`] and those of the operating system, each with
    /// what to do.
    pub fn open(name: &str) -> Result<Segment, Error> {
        Options::new().open(name)
    }

    /// Opens the segment in the file `path`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(path: impl AsRef<Path>) -> Result<Segment, Error> {
        Options::new().open_at(path)
    }

    /// Opens the segment behind a descriptor, which is taken over.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_fd(descriptor: OwnedFd) -> Result<Segment, Error> {
        Options::new().open_fd(descriptor)
    }

    /// The segment's descriptor, to pass on to another process: inherited (it is close-on-exec), or
    /// sent through a socket.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.attached.arena.mapping().file().fd()
    }

    /// Makes a new file a complete segment, of which this process is a participant.
    fn lay_out(
        file: SegmentFile,
        layout: Layout,
        asked: u64,
        place: Place,
    ) -> Result<Segment, Error> {
        let path = file.shown();
        let failed = |action| {
            let path = path.clone();
            move |errno| Error::os(action, &*path, errno)
        };
        let mapping = Mapping::new(file, layout.bytes())?;
        let (head, bytes) = layout.head();
        mapping.back(head, bytes).map_err(failed("back the header of"))?;
        let first_zone = layout.first_unit / crate::layout::ZONE_UNITS as u64;
        for (at, bytes) in layout.tables_of_zone(first_zone) {
            mapping.back(at, bytes).map_err(failed("back the tables of"))?;
        }
        let mut random = [0u64; 4];
        for word in &mut random {
            let mut bytes = [0; 8];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
                .map_err(failed("draw a number for"))?;
            *word = u64::from_ne_bytes(bytes);
        }
        let header =
            Header::new(&layout, asked, [random[0], random[1]], random[2], Tag::draw(random[3]));
        // SAFETY: the head is backed, and nobody else knows the file yet.
        unsafe { mapping.base().cast::<Header>().write(header) };
        // SAFETY: as long as the layout, head backed.
        let arena = unsafe { Arena::new(mapping, layout) };
        // Release: whoever sees the name, sees all this; the frontier says which tables are backed.
        arena.header().frontier.store(layout.first_unit, Release);
        arena.header().lanes_high.store(1, Release);
        let segment = Segment { attached: Attached::create(arena)?, place };
        let founded = with_lane(&segment.attached, |lane| {
            Names::found(Heap { arena: &segment.attached.arena, lane })
        });
        match founded {
            Ok(Ok(())) => Ok(segment),
            _ => Err(failed("back the first unit of")(rustix::io::Errno::NOSPC)),
        }
    }

    /// Runs `with` with the table of names, on the calling thread's lane.
    pub(crate) fn with_names<R>(
        &self,
        with: impl FnOnce(Names<'_>) -> Result<R, ObjectError>,
    ) -> Result<R, ObjectError> {
        self.attached.with_names(with)
    }

    pub(crate) fn attached(&self) -> &Attached {
        &self.attached
    }

    /// Bytes of room for objects that the creator asked for.
    pub fn capacity(&self) -> u64 {
        self.attached.arena.header().asked
    }

    /// Its name in shared memory; `None`: it was created or opened by path or descriptor.
    pub fn name(&self) -> Option<&str> {
        match &self.place {
            Place::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Tells this segment from every other, also from earlier and later ones of the same name.
    pub fn id(&self) -> u128 {
        let [high, low] = self.attached.arena.header().creation;
        u128::from(high) << 64 | u128::from(low)
    }

    /// Recovers what processes left that died in this segment: values and blocks that they had not
    /// published come back, what they were about to construct is not there, what they were about to
    /// destroy is gone; their pins, their slabs with all free blocks, their threads' and their own
    /// places are free again. What they had published stays: it belongs to whom it was given.
    ///
    /// Dead means that the kernel says so. Opening a segment recovers it, and so does an allocation
    /// that would fail; call this to have it done at another time. Any number of processes may, at
    /// once; each may be killed or stopped inside, and another goes on. Others work meanwhile.
    ///
    /// Lock-free. Takes time in proportion to the segment's units in use and to the state bytes of
    /// the slabs that the dead owned.
    ///
    /// # Errors
    /// [`ObjectError::TooManyRefs`] if the calling thread holds nearly as many references as it can,
    /// [`ObjectError::Alloc`] if it can have no lane; what was not recovered yet will be by the next.
    pub fn recover(&self) -> Result<Recovered, ObjectError> {
        self.with_names(|names| {
            self.attached
                .recover(names.heap)
                .map_err(|refused| ObjectError::of(refused, String::new, self.attached.room()))
        })
    }

    /// Has memory for so many bytes of blocks there before it is needed, that in use included, for those who cannot bear
    /// that an allocation waits for the kernel: the file system backs it, and this process has it in its page tables.
    /// Bytes that are there now, at most the segment's room; [`trim`](Self::trim) gives back what is not used.
    ///
    /// Each process calls it for itself, also a child made by fork: the kernel gives it no page tables of a shared
    /// mapping. Kernels before 5.14 cannot fill page tables: there the first touch of each page in each process
    /// takes a fault still, but finds memory.
    ///
    /// Blocks while the kernel works: some 0.4 ms for each MiB that is not there yet. Others go on meanwhile, and nobody
    /// waits for this. Dead inside: what was backed stays.
    ///
    /// # Errors
    /// [`AllocError::FileSystemFull`]: what was backed until then stays.
    pub fn prepare(&self, bytes: u64) -> Result<u64, AllocError> {
        let units = u32::try_from(bytes.div_ceil(1 << UNIT_SHIFT)).unwrap_or(u32::MAX);
        let asked = usize::try_from(bytes).unwrap_or(usize::MAX);
        let lane = LaneInUse::of(&self.attached)?;
        if !lane.is_live() {
            self.attached.revive(&lane)?;
        }
        let heap = Heap { arena: &self.attached.arena, lane: &lane };
        let full = |reason| exhausted(reason, asked, self.attached.room());
        let units = heap.back_ahead(units).map_err(full)?;
        match heap.populate() {
            // Of an old kernel.
            Ok(()) | Err(Errno::INVAL) => Ok(u64::from(units) << UNIT_SHIFT),
            Err(_) => Err(full(Exhausted::FileSystem)),
        }
    }

    /// Gives back what is kept for speed, and memory to the system: by the calling thread and by
    /// threads of this process that have ended; slabs without owner that are empty; names that have
    /// no object. Bytes returned to the system.
    ///
    /// Lock-free, but takes time in proportion to the segment. Others go on meanwhile.
    ///
    /// # Errors
    /// [`ObjectError::Alloc`] if there is no memory for a smaller table of names, and
    /// [`ObjectError::Corrupt`].
    pub fn trim(&self) -> Result<u64, ObjectError> {
        self.forget_unused_types()?;
        self.with_names(|names| {
            names
                .shed()
                .map_err(|refused| ObjectError::of(refused, String::new, self.attached.room()))?;
            names.heap.remake_hints();
            self.attached.release_idle(names.heap);
            Ok(u64::from(names.heap.decommit_free_units()) << UNIT_SHIFT)
        })
    }
}

impl Segment {
    /// Detaches this process now, though it has used [collections](crate::collections) of the segment,
    /// which keep it attached until it ends otherwise.
    ///
    /// Collections that are left have no block: where they grow, that is
    /// [`AllocError::Closed`](crate::AllocError::Closed).
    ///
    /// # Errors
    /// The segment again, and nothing is done, if another handle to it is left, or a private block, or a
    /// thread that has used it and has not ended.
    ///
    /// # Safety
    /// No other thread of this process uses a collection of the segment during this, dropping and making
    /// one included.
    pub unsafe fn close(self) -> Result<(), Segment> {
        let Segment { attached, place } = self;
        // SAFETY: the caller's promise.
        unsafe { attached.close() }.map_err(|attached| Segment { attached, place })
    }

    /// The same, whatever this process has in the segment; for the fuzzer.
    ///
    /// # Safety
    /// As of [`door::abandon`](crate::door::abandon).
    #[cfg(any(fuzzing, test))]
    pub(crate) unsafe fn abandon(self) -> Result<(), Segment> {
        let Segment { attached, place } = self;
        // SAFETY: the caller's promise.
        unsafe { attached.abandon() }.map_err(|attached| Segment { attached, place })
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("place", &self.place)
            .field("capacity", &self.capacity())
            .field("participant", &self.attached.participant().map(|participant| participant.0))
            .finish()
    }
}

/// Reads the header and says how the segment must be laid out, without mapping anything, and its tag.
fn read_header(file: &SegmentFile) -> Result<(Layout, u64), Error> {
    let path = || file.shown();
    let mut bytes = [0u8; size_of::<Header>()];
    let read = file.read_at(0, &mut bytes)?;
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    if read < 8 || word(core::mem::offset_of!(Header, magic)) != MAGIC {
        let why = if read == 0 { "it is empty" } else { "it does not begin as segments do" };
        return Err(Error::NotASegment { path: path(), why });
    }
    let corrupt = |what: String| Error::Corrupt { path: path(), what };
    if read < bytes.len() {
        return Err(corrupt(format!("it ends after {read} bytes, inside the header")));
    }
    let found = half(core::mem::offset_of!(Header, version));
    if found != VERSION {
        return Err(Error::WrongVersion { path: path(), found, expected: VERSION });
    }
    let found = word(core::mem::offset_of!(Header, fingerprint));
    if found != Layout::fingerprint() {
        return Err(Error::WrongLayout { path: path(), found, expected: Layout::fingerprint() });
    }
    let units = word(core::mem::offset_of!(Header, units));
    let layout = Layout::for_units(units)
        .filter(|layout| layout.first_unit < layout.units)
        .ok_or_else(|| corrupt(format!("the header says {units} units")))?;
    let size = file.size()?;
    if size < layout.bytes() {
        return Err(corrupt(format!(
            "it was cut to {size} bytes, the header says {}",
            layout.bytes()
        )));
    }
    Ok((layout, word(core::mem::offset_of!(Header, tag))))
}

/// The words of the units that lie under the tables: nobody ever writes them, and whoever looks up an
/// offset believes them. Read from the file, as most lie in a hole, which a mapping would fill; of a
/// large segment they are hundreds of KiB, so that the hole is not read either.
fn check_low_units(file: &SegmentFile, layout: &Layout) -> Result<(), Error> {
    let end = layout.unit_words + layout.first_unit * size_of::<u64>() as u64;
    let (mut at, mut bytes) = (layout.unit_words, [0; PIECE]);
    while let Some(data) = file.data_from(at)?.filter(|data| *data < end) {
        let some = bytes.len().min((end - data) as usize);
        let read = file.read_at(data, &mut bytes[..some])?;
        if bytes[..read].iter().any(|byte| *byte != 0) {
            let what = "a unit under the tables is in use".to_owned();
            return Err(Error::Corrupt { path: file.shown(), what });
        }
        if read == 0 {
            break; // it was cut meanwhile
        }
        at = data + read as u64;
    }
    Ok(())
}

/// So many bytes are read at once.
const PIECE: usize = 4096;

/// Whether it is a segment that could be opened, as far as the file says without being mapped.
fn check_unmapped(file: &SegmentFile) -> Result<(), Error> {
    let (layout, _) = read_header(file)?;
    check_low_units(file, &layout)
}

/// The attachment to the same file that this process keeps, if it has one.
fn kept(file: &SegmentFile, tag: u64) -> Option<Arc<Attached>> {
    let holder = Tag::of_header(tag).and_then(Tag::holder);
    // A copy of a segment has its tag and its numbers, too.
    let is_it = |kept: &&Attached| kept.arena.mapping().file().identity() == file.identity();
    holder.filter(is_it).and_then(Attached::again)
}

/// Maps a segment whose header makes sense.
fn map(file: SegmentFile, layout: Layout) -> Result<Arena, Error> {
    let path = file.shown();
    let mapping = Mapping::new(file, layout.bytes())?;
    // SAFETY: the mapping is as long as the layout says, and a segment's head was backed before
    // it had a name; a file whose head is a hole has a header of zeros, which was refused.
    let arena = unsafe { Arena::new(mapping, layout) };
    check_roots(&arena).map_err(|what| Error::Corrupt { path, what: what.into() })?;
    Ok(arena)
}

/// The words of the header from which all else is reached.
fn check_roots(arena: &Arena) -> Result<(), &'static str> {
    let (header, layout) = (arena.header(), arena.layout());
    let frontier = header.frontier.load(Acquire);
    if frontier < layout.first_unit || frontier > layout.units {
        return Err("the frontier lies outside the segment");
    }
    if header.lanes_high.load(Acquire) > crate::layout::MAX_LANES as u64 {
        return Err("the count of lanes is impossible");
    }
    if Tag::of_header(header.tag).is_none() {
        return Err("the tag is impossible");
    }
    if header.participants_high.load(Acquire) > crate::layout::MAX_PARTICIPANTS as u64 {
        return Err("the count of participants is impossible");
    }
    let roots = || (header.names_current.load(Acquire), header.names_oldest.load(Acquire));
    let mut found = roots();
    for _ in 0..ROUNDS {
        let checked = check_names(arena, found);
        let now = roots();
        // The same still: what was found is so. Otherwise an array was given back between the look at
        // the root and the look at the array.
        if checked.is_ok() || now == found {
            return checked;
        }
        found = now;
    }
    Err("the table of names never stands still")
}

/// The arrays of names that the header's words lead to.
fn check_names(arena: &Arena, (current, oldest): (u64, u64)) -> Result<(), &'static str> {
    let (oldest, reaper) = crate::layout::oldest_of(oldest);
    if usize::from(reaper) >= crate::layout::MAX_LANES {
        return Err("the table of names is being cleaned by an impossible lane");
    }
    for array in [current, oldest] {
        let fits = Array::at(arena, array).is_some();
        if !fits || crate::heap::locate(arena, array).is_none_or(|place| place.start != array) {
            return Err("the table of names lies outside the segment");
        }
    }
    Ok(())
}

const _: () = assert!(UNIT == 1 << UNIT_SHIFT);

/// Removes the segment `name`: takes its name away. Processes that have it open keep it until they
/// close it; its memory is free when the last one has. Killed inside: it is removed or not.
///
/// # Errors
/// [`Error::NotFound`], and those of the operating system.
pub fn remove(name: &str) -> Result<(), Error> {
    file::remove(&file::path_of_name(name)?)
}

/// As [`remove`], for a segment in the file `path`.
///
/// # Errors
/// As [`remove`].
pub fn remove_at(path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    check_unmapped(&SegmentFile::open(path)?)?;
    file::remove(path)
}

/// Whether there is something with the name of segment `name`; opening says whether it is one.
///
/// # Errors
/// [`Error::InvalidName`], [`Error::NotARegularFile`] and [`Error::SymbolicLink`] if something else
/// stands there, and those of the operating system.
pub fn exists(name: &str) -> Result<bool, Error> {
    file::exists(&file::path_of_name(name)?)
}

/// As [`exists`], for the file `path`.
///
/// # Errors
/// As [`exists`].
pub fn exists_at(path: impl AsRef<Path>) -> Result<bool, Error> {
    file::exists(path.as_ref())
}

/// A segment in shared memory, as [`list`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Bytes of memory that it has now.
    pub committed: u64,
    /// Bytes of room that its creator asked for; `None`: it cannot be opened by this program.
    pub capacity: Option<u64>,
    /// Why it cannot be opened by this program.
    pub problem: Option<String>,
}

/// The segments in shared memory, by name. Opens none; those that this program cannot open are
/// listed with the reason.
///
/// # Errors
/// Those of reading `/dev/shm`.
pub fn list() -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for name in file::names()? {
        let name = name?;
        let path = file::path_of_name(&name)?;
        let looked = SegmentFile::open(&path).and_then(|file| {
            check_unmapped(&file)?;
            let mut asked = [0; 8];
            file.read_at(core::mem::offset_of!(Header, asked) as u64, &mut asked)?;
            Ok(u64::from_ne_bytes(asked))
        });
        let committed = std::fs::metadata(&path)
            .map_or(0, |data| std::os::unix::fs::MetadataExt::blocks(&data) * 512);
        match looked {
            Err(Error::NotFound { .. }) => {} // removed meanwhile
            Ok(asked) => {
                listed.push(Listed { name, committed, capacity: Some(asked), problem: None })
            }
            Err(error) => listed.push(Listed {
                name,
                committed,
                capacity: None,
                problem: Some(error.to_string()),
            }),
        }
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

#[cfg(all(test, not(loom), not(sharena_shuttle)))]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    /// The words of a large segment are in many pages, most of them holes.
    #[test]
    fn a_unit_under_the_tables_cannot_be_in_use() {
        for capacity in [64 << 20, 1 << 40] {
            refuses_low_units(capacity);
        }
    }

    fn refuses_low_units(capacity: u64) {
        let name = format!("sharena-low-units-{}-{capacity}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let segment = Options::new().capacity(capacity).create_at(&path).unwrap();
        let layout = *segment.attached().arena.layout();
        drop(segment);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for unit in [0, layout.first_unit / 2, layout.first_unit - 1] {
            let at = layout.unit_words + unit * 8;
            file.write_all_at(&[1], at + unit % 8).unwrap();
            let error = Segment::open_at(&path).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{unit}: {error}");
            assert!(error.to_string().contains("under the tables"), "{unit}: {error}");
            file.write_all_at(&[0; 8], at).unwrap();
        }
        let segment = Segment::open_at(&path).unwrap();
        segment.construct("object", 1u64).unwrap();
        drop(segment);
        assert!(Segment::open_at(&path).is_ok(), "the first unit may be");
        remove_at(&path).unwrap();
    }
}
