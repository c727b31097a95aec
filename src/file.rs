//! The file behind a segment: making it, naming it in one step, finding it again, and the
//! open-file-description locks on it.
//!
//! A new file has no name until it is laid out whole; then [`SegmentFile::link`] gives it its name
//! in one step that never replaces what has the name already. A creator that is killed before that
//! step leaves nothing: the kernel frees a nameless file with its last descriptor and mapping.
//!
//! Where the file system cannot make nameless files, or `/proc` is missing (without which a nameless
//! file can be neither named by everyone nor opened again), the file gets a *temporary name*,
//! `.sharena-temporary.` and 32 random hexadecimal digits, and naming is a rename that does not
//! replace. A temporary name does outlive a killed creator. So the creator holds a lock on a byte
//! of the file through the descriptor that it made it with, and the next creator in the directory
//! [sweeps](sweep): it takes that lock of each file with such a name, without waiting, and removes
//! the name if it got it. Whoever gets the lock first, the other gives way: a creator that finds
//! its fresh file locked or without a name makes another, so a name is taken from a living creator
//! only if other code of its process closed the descriptor; its naming then fails with an error and
//! nothing else is lost. A random name is never used twice, so what is removed is what was locked.

use crate::error::{CapacityLimit, Error, FileKind};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, RenameFlags, SealFlags, Stat, fchmod,
    fcntl_add_seals, fcntl_getfl, fstat, ftruncate, linkat, lstat, memfd_create, open,
    renameat_with, unlink,
};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, getpid, getrlimit};
use std::ffi::{CStr, CString, OsStr};
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

/// Where named segments are.
const SHARED_MEMORY: &str = "/dev/shm";
const PREFIX: &str = "sharena.";
/// A file name has 255 bytes at most.
const LONGEST_NAME: usize = 255 - PREFIX.len();
const TEMPORARY: &str = ".sharena-temporary.";
/// What every opening of a segment file says. NONBLOCK: of no effect on a regular file, but a name
/// that leads to something else must not make us wait.
const OPEN: OFlags =
    OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Locks lie far beyond the end of every file, where no other program's are; from here on, a byte
/// per participant.
pub(crate) const PARTICIPANT_BYTES: i64 = 1 << 62;
/// Locked, shared, by those who are no participant and want to know that locks work.
pub(crate) const VISITOR_BYTE: i64 = PARTICIPANT_BYTES - 1;
/// Locked by the creator of a file that has a temporary name.
const TEMPORARY_BYTE: i64 = PARTICIPANT_BYTES - 2;

/// An open segment file. Any thread may use it.
///
/// **Invariant**: `dev` and `ino` are those of the file that was meant. The descriptor's number
/// may come to mean another file if other code of the process closes what it does not own
/// (closefrom and its kin in daemonizing code); [`is_ours`](Self::is_ours) tells.
/// The descriptor never holds a lock on a participant's byte: a process sees no locks of its own
/// open file, and could not tell its own life from death.
pub(crate) struct SegmentFile {
    fd: ManuallyDrop<OwnedFd>,
    dev: u64,
    ino: u64,
    birth: Birth,
    /// Where the file can be found by others, once it can.
    path: OnceLock<CString>,
}

/// How the file came to be.
enum Birth {
    /// Has a path, or had one when it was passed to us.
    Named,
    /// Has no name and needs none: memory file, or a nameless one passed to us.
    Nameless,
    /// Made without a name, to be given one.
    Unnamed,
    /// Made under a temporary name by this process, which removes it if it is not used.
    Temporary { name: CString, creator: Pid },
}

/// A descriptor whose open file holds no participant's lock: see [`SegmentFile::prober`].
pub(crate) enum Prober<'a> {
    Own(BorrowedFd<'a>),
    New(OwnedFd),
}

impl AsFd for Prober<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Prober::Own(fd) => *fd,
            Prober::New(fd) => fd.as_fd(),
        }
    }
}

/// What [`SegmentFile::link`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// The file has the name now.
    Linked,
    /// Something else has the name.
    Exists,
}

impl SegmentFile {
    /// Makes an unnamed sparse file of `size` bytes in `directory`, with exactly the permission
    /// bits `mode`, whatever the umask. Killed in here: nothing stays, or a temporary name that the
    /// next creator sweeps.
    pub(crate) fn create(directory: &Path, size: u64, mode: u32) -> Result<SegmentFile, Error> {
        match Self::create_unnamed(directory, size, mode)? {
            Some(file) => Ok(file),
            None => Self::create_temporary(directory, size, mode),
        }
    }

    /// `None`: this file system has no unnamed files, or there is no `/proc` to find one again.
    fn create_unnamed(directory: &Path, size: u64, mode: u32) -> Result<Option<Self>, Error> {
        let directory = c_path(some_directory(directory))?;
        let fd = match open(&directory, OPEN | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => fd,
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(no_create(&directory, errno)),
        };
        let file = Self::new(fd, Birth::Unnamed)
            .map_err(|errno| Error::os("look at a new file in", &*shown(&directory), errno))?;
        let again = rustix::fs::stat(&*ProcPath::of(file.fd()));
        if !again.is_ok_and(|stat| file.is_same(&stat)) {
            return Ok(None);
        }
        file.shape(size, mode, &shown(&directory))?;
        Ok(Some(file))
    }

    /// As `create_unnamed` where that cannot be: under a temporary name.
    fn create_temporary(directory: &Path, size: u64, mode: u32) -> Result<SegmentFile, Error> {
        let directory = some_directory(directory);
        sweep(directory);
        // A sweeper takes a name away at most once per file, in the moment between open and lock.
        for _ in 0..64 {
            let mut random = [0u8; 16];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .map_err(|errno| Error::os("draw a random name for a file in", directory, errno))?;
            let digits = u128::from_ne_bytes(random);
            let name = c_path(&directory.join(format!("{TEMPORARY}{digits:032x}")))?;
            let new = OPEN | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let fd = match open(&name, new, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => fd,
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(no_create(&c_path(directory)?, errno)),
            };
            let creator = getpid();
            let file = Self::new(fd, Birth::Temporary { name, creator })
                .map_err(|errno| Error::os("look at a new file in", directory, errno))?;
            match lock(file.fd(), TEMPORARY_BYTE, Kind::Exclusive) {
                Ok(()) if file.is_linked()? => {
                    file.shape(size, mode, directory)?;
                    return Ok(file);
                }
                Ok(()) | Err(Errno::AGAIN | Errno::ACCESS) => {}
                Err(errno) => return Err(Error::os("lock a new file in", directory, errno)),
            }
        }
        Err(Error::Unstable { path: directory.join(TEMPORARY) })
    }

    /// Gives a new file its size and permissions.
    fn shape(&self, size: u64, mode: u32, place: &Path) -> Result<(), Error> {
        set_size(self.fd(), size, place)?;
        fchmod(self.fd(), Mode::from_raw_mode(mode))
            .map_err(|errno| Error::os("set the permissions of a new file in", place, errno))
    }

    /// Makes a memory file: no name, passed on by descriptor only. It is sealed, so that nobody can
    /// change its size.
    pub(crate) fn memory(name: &str, size: u64) -> Result<SegmentFile, Error> {
        check_name(name)?;
        let place = Path::new("(memory file)");
        let failed = |action| move |errno| Error::os(action, place, errno);
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(failed("create"))?;
        set_size(fd.as_fd(), size, place)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(failed("seal"))?;
        Self::new(fd, Birth::Nameless).map_err(failed("look at"))
    }

    /// Opens the segment file at `path`. The last part of the path must be a regular file itself,
    /// not a link to one. Says nothing about the contents.
    pub(crate) fn open(path: &Path) -> Result<SegmentFile, Error> {
        let name = c_path(path)?;
        // Looked at before it is opened: opening a device can have effects.
        require_regular(path, &name)?;
        let fd = match open(&name, OPEN | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => fd,
            // Removed since, and perhaps made anew: then it is for the caller to look again.
            Err(Errno::NOENT) => return Err(Error::NotFound { path: path.into() }),
            Err(errno) => {
                // The name may mean something else than a moment ago; then say that.
                require_regular(path, &name)?;
                return Err(Error::os("open", path, errno));
            }
        };
        let stat = fstat(&fd).map_err(|errno| Error::os("look at", path, errno))?;
        if let Some(kind) = irregular(&stat) {
            return Err(Error::NotARegularFile { path: path.into(), kind });
        }
        let file = Self::of(fd, &stat, Birth::Named);
        file.named(name);
        Ok(file)
    }

    /// Adopts a descriptor that was inherited or received. It must be a regular or memory file,
    /// open for reading and writing.
    pub(crate) fn from_fd(fd: OwnedFd) -> Result<SegmentFile, Error> {
        let descriptor = fd.as_raw_fd();
        let path = || PathBuf::from(format!("(descriptor {descriptor})"));
        let stat = fstat(&fd).map_err(|errno| Error::os("look at", &*path(), errno))?;
        if let Some(kind) = irregular(&stat) {
            return Err(Error::NotARegularFile { path: path(), kind });
        }
        let flags = fcntl_getfl(&fd).map_err(|errno| Error::os("look at", &*path(), errno))?;
        if flags & OFlags::RWMODE != OFlags::RDWR || flags.contains(OFlags::PATH) {
            return Err(Error::DescriptorNotReadWrite { descriptor });
        }
        let birth = if stat.st_nlink == 0 { Birth::Nameless } else { Birth::Named };
        Ok(Self::of(fd, &stat, birth))
    }

    fn new(fd: OwnedFd, birth: Birth) -> Result<SegmentFile, Errno> {
        let stat = fstat(&fd)?;
        Ok(Self::of(fd, &stat, birth))
    }

    fn of(fd: OwnedFd, stat: &Stat, birth: Birth) -> SegmentFile {
        let (dev, ino) = (stat.st_dev, stat.st_ino);
        SegmentFile { fd: ManuallyDrop::new(fd), dev, ino, birth, path: OnceLock::new() }
    }

    /// Gives a file that was created here its name, in one step; never replaces anything.
    ///
    /// Killed before the step: the name stays as it was; after it: the file is there whole. (On
    /// file systems that cannot rename without replacing, a killed process may leave the temporary
    /// name beside the true one, until it is swept.)
    pub(crate) fn link(&self, path: &Path) -> Result<Link, Error> {
        let target = c_path(path)?;
        if !self.is_ours() {
            return Err(Error::os("give its name to", path, Errno::BADF));
        }
        let done = match &self.birth {
            Birth::Temporary { name, .. } => rename_new(name, &target),
            _ => link_nameless(self.fd(), &target),
        };
        match done {
            Ok(()) => {
                self.named(target);
                if let Birth::Temporary { .. } = self.birth {
                    // It has served. That it stayed locked would only cost others a little time.
                    let _ = lock(self.fd(), TEMPORARY_BYTE, Kind::None);
                }
                Ok(Link::Linked)
            }
            Err(Errno::EXIST) => Ok(Link::Exists),
            Err(Errno::NOENT | Errno::NOTDIR) if !directory_of(path).is_dir() => {
                Err(no_create(&c_path(directory_of(path))?, Errno::NOENT))
            }
            Err(errno) => Err(Error::os("give its name to", path, errno)),
        }
    }

    fn named(&self, path: CString) {
        // A second name changes nothing: the first still leads here.
        let _ = self.path.set(path);
    }

    /// Whether the file still has a name by which others can open it; true for memory files, and
    /// for nameless files that were passed to us, which need none. A temporary name counts.
    pub(crate) fn is_linked(&self) -> Result<bool, Error> {
        Ok(matches!(self.birth, Birth::Nameless) || self.stat()?.st_nlink > 0)
    }

    /// The file's size, bytes.
    pub(crate) fn size(&self) -> Result<u64, Error> {
        Ok(self.stat()?.st_size as u64)
    }

    fn stat(&self) -> Result<Stat, Error> {
        let stat = fstat(self.fd()).map_err(|errno| Error::os("look at", &*self.shown(), errno))?;
        if !self.is_same(&stat) {
            return Err(Error::os("look at", &*self.shown(), Errno::BADF));
        }
        Ok(stat)
    }

    /// Reads bytes of the file without mapping it, which backs nothing, not even holes. Returns how
    /// many there were: fewer than asked for only at the end of the file.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < into.len() {
            match rustix::io::pread(self.fd(), &mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::os("read", &*self.shown(), errno)),
            }
        }
        Ok(done)
    }

    /// Where at or after `offset` there is something that is no hole; `None`: nothing. A file system that keeps no
    /// account of holes says that all is data.
    pub(crate) fn data_from(&self, offset: u64) -> Result<Option<u64>, Error> {
        match rustix::fs::seek(self.fd(), rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(errno) => Err(Error::os("look for data in", &*self.shown(), errno)),
        }
    }

    /// The descriptor, which may be another's by now: see [`is_ours`](Self::is_ours).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the descriptor's number still means our file.
    pub(crate) fn is_ours(&self) -> bool {
        fstat(self.fd()).is_ok_and(|stat| self.is_same(&stat))
    }

    /// Whether `stat` is of our file.
    pub(crate) fn is_same(&self, stat: &Stat) -> bool {
        (stat.st_dev, stat.st_ino) == (self.dev, self.ino)
    }

    /// Device and inode number.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// The path of the file, or what to call it in a message.
    pub(crate) fn shown(&self) -> PathBuf {
        match (self.path.get(), &self.birth) {
            (Some(path), _) => shown(path),
            (None, Birth::Nameless) => "(memory file)".into(),
            (None, Birth::Named) => format!("(descriptor {})", self.fd.as_raw_fd()).into(),
            (None, Birth::Unnamed) => "(new file)".into(),
            (None, Birth::Temporary { name, .. }) => shown(name),
        }
    }

    /// Through what the locks on the file are looked at: our descriptor, or a new one if that was
    /// closed behind our back. Errors as of [`reopen`](Self::reopen).
    pub(crate) fn prober(&self) -> Result<Prober<'_>, Errno> {
        if self.is_ours() { Ok(Prober::Own(self.fd())) } else { self.reopen().map(Prober::New) }
    }

    /// A new open file description of the same file, with locks of its own. Needs permission for
    /// the file *now*, not when it was first opened. Allocates nothing.
    ///
    /// # Errors
    /// `Err(NOENT)`: no way leads to the file any more; see [`no_reopen`](Self::no_reopen).
    pub(crate) fn reopen(&self) -> Result<OwnedFd, Errno> {
        let same = |fd: &OwnedFd| fstat(fd).is_ok_and(|stat| self.is_same(&stat));
        // Our number may mean another file, and `/proc` be of another namespace: compared.
        let by_proc = open(&*ProcPath::of(self.fd()), OPEN, Mode::empty());
        let refused = match by_proc {
            Ok(fd) if same(&fd) => return Ok(fd),
            Ok(_) => Errno::NOENT,
            Err(errno) => errno,
        };
        let path = match (self.path.get(), &self.birth) {
            (Some(path), _) => Some(path),
            (None, Birth::Temporary { name, .. }) => Some(name),
            _ => None,
        };
        let by_path = path.map(|path| open(path, OPEN | OFlags::NOFOLLOW, Mode::empty()));
        match by_path {
            Some(Ok(fd)) if same(&fd) => Ok(fd),
            // The more telling of the two answers.
            Some(Err(errno)) if refused == Errno::NOENT => Err(errno),
            _ => Err(refused),
        }
    }

    /// The error for what [`reopen`](Self::reopen) answered.
    pub(crate) fn no_reopen(&self, errno: Errno) -> Error {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::BADF => {
                Error::NoReopen { path: self.shown(), source: Arc::new(errno.into()) }
            }
            errno => Error::os("open a second time", &*self.shown(), errno),
        }
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if let (Birth::Temporary { name, creator }, None) = (&self.birth, self.path.get()) {
            // Not in a forked child: the name is its parent's.
            if *creator == getpid() {
                let _ = unlink(name);
            }
        }
        // A number that came to mean another file is another's to close.
        if self.is_ours() {
            // SAFETY: dropped once, here, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

/// Names the file behind a descriptor that has no name.
fn link_nameless(fd: BorrowedFd<'_>, target: &CStr) -> Result<(), Errno> {
    match linkat(fd, c"", CWD, target, AtFlags::EMPTY_PATH) {
        // Not everyone may do that: the other way gives the answer then.
        Err(errno) if errno != Errno::EXIST => {
            linkat(CWD, &*ProcPath::of(fd), CWD, target, AtFlags::SYMLINK_FOLLOW)
        }
        done => done,
    }
}

/// Renames, but never replaces.
fn rename_new(name: &CStr, target: &CStr) -> Result<(), Errno> {
    match renameat_with(CWD, name, CWD, target, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            linkat(CWD, name, CWD, target, AtFlags::empty())?;
            // The file has its name; a temporary one that stayed beside it is swept.
            let _ = unlink(name);
            Ok(())
        }
        done => done,
    }
}

/// Removes the temporary names in `directory` whose creators are dead, as far as that is permitted.
fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_ours
            && let Ok(fd) = open(entry.path(), OPEN | OFlags::NOFOLLOW, Mode::empty())
            && lock(fd.as_fd(), TEMPORARY_BYTE, Kind::Exclusive).is_ok()
        {
            let _ = unlink(entry.path());
        }
    }
}

/// What RLIMIT_FSIZE forbids is refused here: the kernel would answer with a signal that kills.
fn set_size(fd: BorrowedFd<'_>, size: u64, place: &Path) -> Result<(), Error> {
    if let Some(limit) = getrlimit(Resource::Fsize).current
        && limit < size
    {
        return Err(Error::FileSizeLimit { limit, needed: size });
    }
    match ftruncate(fd, size) {
        Ok(()) => Ok(()),
        Err(Errno::FBIG | Errno::INVAL | Errno::OVERFLOW) => {
            Err(Error::CapacityTooLarge { asked: size, limit: CapacityLimit::FileSystem })
        }
        Err(errno) => Err(Error::os("set the size of a new file in", place, errno)),
    }
}

/// An error unless `path` is a regular file.
fn require_regular(path: &Path, name: &CStr) -> Result<(), Error> {
    let path = || path.to_path_buf();
    match lstat(name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            Err(Error::SymbolicLink { path: path() })
        }
        Ok(stat) => match irregular(&stat) {
            Some(kind) => Err(Error::NotARegularFile { path: path(), kind }),
            None => Ok(()),
        },
        Err(Errno::NOENT) => Err(Error::NotFound { path: path() }),
        Err(errno) => Err(Error::os("look at", &*path(), errno)),
    }
}

/// What it is, if it is no regular file.
fn irregular(stat: &Stat) -> Option<FileKind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return None,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Fifo,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Socket => FileKind::Socket,
        _ => FileKind::Other,
    })
}

fn no_create(directory: &CStr, errno: Errno) -> Error {
    let path = shown(directory);
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NoDirectory { path, source: Arc::new(errno.into()) },
        errno => Error::os("create a file in", &*path, errno),
    }
}

/// The directory that holds `path`.
pub(crate) fn directory_of(path: &Path) -> &Path {
    some_directory(path.parent().unwrap_or(path))
}

fn some_directory(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

fn shown(path: &CStr) -> PathBuf {
    OsStr::from_bytes(path.to_bytes()).into()
}

fn c_path(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::InvalidName {
        name: path.to_string_lossy().into_owned(),
        reason: "it contains a NUL byte",
    })
}

/// `/proc/self/fd/N` on the stack.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn of(fd: BorrowedFd<'_>) -> ProcPath {
        let mut path = [0; 32];
        let room = &mut path[..31];
        write!(&mut &mut *room, "/proc/self/fd/{}", fd.as_raw_fd()).expect("14 + 10 digits fit");
        ProcPath(path)
    }
}

impl std::ops::Deref for ProcPath {
    type Target = CStr;
    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).expect("the last byte is 0")
    }
}

/// Whether a segment can have this name.
fn check_name(name: &str) -> Result<(), Error> {
    let reason = match name {
        "" => "it is empty",
        _ if name.len() > LONGEST_NAME => "it is longer than 247 bytes",
        _ if name.contains('/') => "it contains a slash",
        _ if name.contains('\0') => "it contains a NUL byte",
        _ => return Ok(()),
    };
    Err(Error::InvalidName { name: name.into(), reason })
}

/// The file of the segment called `name`.
pub(crate) fn path_of_name(name: &str) -> Result<PathBuf, Error> {
    check_name(name)?;
    Ok(Path::new(SHARED_MEMORY).join(format!("{PREFIX}{name}")))
}

/// The names of all files that are named like segments; who wants to know whether they are reads
/// their headers. Names that are no UTF-8 cannot have been given by this crate and are left out.
pub(crate) fn names() -> Result<impl Iterator<Item = Result<String, Error>>, Error> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Error::os("list", Path::new(SHARED_MEMORY), errno)
    };
    let entries = std::fs::read_dir(SHARED_MEMORY).map_err(failed)?;
    Ok(entries.filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Err(failed(error))),
        };
        let name = String::from_utf8(entry.file_name().into_vec()).ok()?;
        let name = name.strip_prefix(PREFIX).filter(|name| !name.is_empty())?;
        entry.file_type().is_ok_and(|kind| kind.is_file()).then(|| Ok(name.into()))
    }))
}

/// Takes the name away from the file at `path`, which must be a regular one. Those who have it open
/// keep it.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let name = c_path(path)?;
    require_regular(path, &name)?;
    match unlink(&name) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => Err(Error::NotFound { path: path.into() }),
        Err(errno) => Err(Error::os("remove", path, errno)),
    }
}

/// Whether there is a regular file at `path`; an error if there is something else.
pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    match require_regular(path, &c_path(path)?) {
        Ok(()) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How a byte of the file is to be locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// With others who lock it shared.
    Shared,
    /// Alone.
    Exclusive,
    /// Not at all.
    None,
}

/// Who keeps a byte from being locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holder {
    /// Nobody.
    Free,
    /// Another open file description.
    OpenFile,
    /// A classic record lock of the process with this number; 0: not visible from here.
    Process(i32),
}

fn range(byte: i64, kind: Kind) -> libc::flock {
    let l_type = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
        Kind::None => libc::F_UNLCK,
    };
    libc::flock {
        l_type: l_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// Locks a byte for the open file behind `fd`, without waiting. `AGAIN` or `ACCESS`: another has it.
pub(crate) fn lock(fd: BorrowedFd<'_>, byte: i64, kind: Kind) -> Result<(), Errno> {
    let range = range(byte, kind);
    // SAFETY: F_OFD_SETLK reads the one structure, which lives through the call.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// The same, waiting until nobody else keeps the byte from being locked.
pub(crate) fn wait_for_lock(fd: BorrowedFd<'_>, byte: i64, kind: Kind) -> Result<(), Errno> {
    let range = range(byte, kind);
    loop {
        // SAFETY: F_OFD_SETLKW reads the one structure, which lives through the call.
        match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLKW, &raw const range) } {
            0 => return Ok(()),
            _ => match last_error() {
                Errno::INTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// Who else than the open file behind `fd` has a byte locked, in a way that would keep it from locking
/// it as `kind`.
pub(crate) fn holder(fd: BorrowedFd<'_>, byte: i64, kind: Kind) -> Result<Holder, Errno> {
    let mut range = range(byte, kind);
    // SAFETY: F_OFD_GETLK reads and writes the one structure, which lives through the call.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut range) } {
        0 if range.l_type == libc::F_UNLCK as libc::c_short => Ok(Holder::Free),
        0 if range.l_pid == -1 => Ok(Holder::OpenFile),
        0 => Ok(Holder::Process(range.l_pid)),
        _ => Err(last_error()),
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests;
