//! What can go wrong when a segment is created, opened, attached to, inspected or removed.

use rustix::io::Errno;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a segment could not be created, opened, attached to, inspected or removed.
///
/// Each message says what happened, to which name or path, and what can be done. Where the
/// operating system refused something, [`source`](std::error::Error::source) is its
/// [`std::io::Error`]. The path of a segment without a name is a description such as
/// `(memory file)`.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Error {
    /// No segment can have this name.
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no such segment.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The directory that should hold the segment is not there, or is none.
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// The name is taken.
    AlreadyExists {
        /// The path that exists already.
        path: PathBuf,
    },
    /// The permissions of the file, of its directory or of its file system forbid it.
    PermissionDenied {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// A regular file, but no segment.
    NotASegment {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// Something that is no regular file has the segment's name.
    NotARegularFile {
        /// Where it stands.
        path: PathBuf,
        /// What it is.
        kind: FileKind,
    },
    /// A symbolic link has the segment's name; links are not followed.
    SymbolicLink {
        /// Where it stands.
        path: PathBuf,
    },
    /// The descriptor handed over is not open for reading and writing.
    DescriptorNotReadWrite {
        /// Its number.
        descriptor: i32,
    },
    /// Another version of this crate, with another format, made the segment.
    WrongVersion {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that this program reads.
        expected: u32,
    },
    /// The segment has this version's format, but its tables are laid out in another way (other
    /// byte order, word size or table sizes).
    WrongLayout {
        /// The segment.
        path: PathBuf,
        /// Fingerprint of its layout.
        found: u64,
        /// Fingerprint of the layout of this program.
        expected: u64,
    },
    /// The segment contradicts itself.
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// A capacity of zero bytes was asked for.
    CapacityZero,
    /// The segment does not fit.
    CapacityTooLarge {
        /// Bytes asked for.
        asked: u64,
        /// Where it does not fit into.
        limit: CapacityLimit,
    },
    /// The process may not make files of this size (RLIMIT_FSIZE).
    FileSizeLimit {
        /// The limit, bytes.
        limit: u64,
        /// The file's size, bytes.
        needed: u64,
    },
    /// The file system is full, or the user's quota of it is used up.
    NoSpace {
        /// What was tried.
        action: &'static str,
        /// For which file.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// As many processes as a segment can have are attached to it.
    TooManyProcesses {
        /// The segment.
        path: PathBuf,
        /// How many that is.
        limit: usize,
        /// How many of them are dead, as far as can be told from here.
        dead: usize,
    },
    /// Another program holds a classic record lock on the file, which keeps this process from
    /// taking its own.
    ForeignLock {
        /// The segment.
        path: PathBuf,
        /// The process that holds the lock; 0 if it is not visible from here.
        pid: i32,
    },
    /// The file system does not keep open-file-description locks, so that nobody could tell whether
    /// this process is alive.
    LivenessUnsupported {
        /// The segment.
        path: PathBuf,
        /// Which step failed.
        why: &'static str,
        /// What the operating system said, if it said something.
        source: Option<Arc<std::io::Error>>,
    },
    /// The name was created and removed by others again and again while it was being opened.
    Unstable {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be opened a second time, which attaching needs: there is no usable `/proc`,
    /// and no path leads to the file (any more).
    NoReopen {
        /// The segment.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// The operating system refused for another reason.
    Os {
        /// What was tried.
        action: &'static str,
        /// On which file; empty if on none.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
}

/// What a file is that is no regular file.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A socket.
    Socket,
    /// Anything else.
    Other,
}

/// What bounds the capacity of a segment.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CapacityLimit {
    /// Offsets inside a segment reach no further; bytes.
    Format(u64),
    /// The process' address space has no gap of that size.
    AddressSpace,
    /// The process' address space is limited (RLIMIT_AS); bytes.
    AddressSpaceLimit(u64),
    /// The file system has no files of that size.
    FileSystem,
}

impl Error {
    /// The error for `errno`, which the system answered when `action` was tried on `path`; `None`
    /// if no file was concerned.
    pub(crate) fn os<'a>(
        action: &'static str,
        path: impl Into<Option<&'a Path>>,
        errno: Errno,
    ) -> Error {
        let path = path.into().map_or_else(PathBuf::new, Path::to_path_buf);
        let source = Arc::new(errno.into());
        match errno {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => {
                Error::PermissionDenied { action, path, source }
            }
            Errno::NOSPC | Errno::DQUOT => Error::NoSpace { action, path, source },
            _ => Error::Os { action, path, source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidName { name, reason } => {
                write!(f, "{name:?} cannot be the name of a segment: {reason}; choose another name")
            }
            Error::NotFound { path } => write!(
                f,
                "there is no segment {}; check the name, or create it first",
                path.display()
            ),
            Error::NoDirectory { path, source } => write!(
                f,
                "{} is not a directory that can hold a segment ({source}); make it, or choose another",
                path.display()
            ),
            Error::AlreadyExists { path } => write!(
                f,
                "{} exists already; open it, remove it, or choose another name",
                path.display()
            ),
            Error::PermissionDenied { action, path, source } => write!(
                f,
                "no permission to {action} {} ({source}); run as its owner, or have the permissions changed",
                path.display()
            ),
            Error::NotASegment { path, why } => write!(
                f,
                "{} is not a segment: {why}; it was left as it is, use another name",
                path.display()
            ),
            Error::NotARegularFile { path, kind } => write!(
                f,
                "{} is {kind}, not a regular file; it was left as it is, use another name",
                path.display()
            ),
            Error::SymbolicLink { path } => write!(
                f,
                "{} is a symbolic link, and links are not followed; use the path that it leads to, or remove the link",
                path.display()
            ),
            Error::DescriptorNotReadWrite { descriptor } => write!(
                f,
                "descriptor {descriptor} is not open for reading and writing; open the file with O_RDWR before passing it on"
            ),
            Error::WrongVersion { path, found, expected } => write!(
                f,
                "{} has format {found}, this program reads format {expected}; use the version that made it, or remove it and create it anew",
                path.display()
            ),
            Error::WrongLayout { path, found, expected } => write!(
                f,
                "{} is laid out differently (fingerprint {found:016x}, here {expected:016x}); use a program built like the one that made it, or remove it and create it anew",
                path.display()
            ),
            Error::Corrupt { path, what } => write!(
                f,
                "{} is damaged: {what}; restore it from a copy, or remove it",
                path.display()
            ),
            Error::CapacityZero => {
                f.write_str("a segment cannot have a capacity of 0 bytes; ask for at least 1")
            }
            Error::CapacityTooLarge { asked, limit } => {
                write!(f, "a segment of {asked} bytes is too large: {limit}")
            }
            Error::FileSizeLimit { limit, needed } => write!(
                f,
                "the segment's file needs {needed} bytes, but this process may make files of at most {limit} (RLIMIT_FSIZE); raise the limit (ulimit -f), or ask for a smaller capacity"
            ),
            Error::NoSpace { action, path, source } => write!(
                f,
                "no room to {action} {} ({source}); free space in its file system, or enlarge it",
                path.display()
            ),
            Error::TooManyProcesses { path, limit, dead } => write!(
                f,
                "{limit} processes are attached to {}, and more cannot be; close it in some. {dead} of them are dead: if that is not 0, another process recovers them just now, try again",
                path.display()
            ),
            Error::ForeignLock { path, pid } => write!(
                f,
                "process {pid} holds a record lock on {}, which keeps others from attaching; end that program, it must not lock segments",
                path.display()
            ),
            Error::LivenessUnsupported { path, why, source } => {
                write!(f, "the file system of {} does not keep locks: {why}", path.display())?;
                if let Some(source) = source {
                    write!(f, " ({source})")?;
                }
                f.write_str("; put the segment on another file system, such as /dev/shm")
            }
            Error::Unstable { path } => write!(
                f,
                "{} kept being created and removed by others; find out which programs do, and try again",
                path.display()
            ),
            Error::NoReopen { path, source } => write!(
                f,
                "{} cannot be opened a second time ({source}); mount /proc, or use a segment with a path",
                path.display()
            ),
            Error::Os { action, path, source } if path.as_os_str().is_empty() => {
                write!(f, "could not {action}: {source}")
            }
            Error::Os { action, path, source } => {
                write!(f, "could not {action} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NoDirectory { source, .. }
            | Error::PermissionDenied { source, .. }
            | Error::NoSpace { source, .. }
            | Error::NoReopen { source, .. }
            | Error::Os { source, .. }
            | Error::LivenessUnsupported { source: Some(source), .. } => Some(&**source),
            _ => None,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Directory => "a directory",
            FileKind::Fifo => "a named pipe",
            FileKind::CharacterDevice => "a character device",
            FileKind::BlockDevice => "a block device",
            FileKind::Socket => "a socket",
            FileKind::Other => "a special file",
        })
    }
}

impl fmt::Display for CapacityLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CapacityLimit::Format(limit) => {
                write!(f, "segments end at {limit} bytes; ask for less")
            }
            CapacityLimit::AddressSpace => f.write_str(
                "this process has no gap of that size in its address space; ask for less",
            ),
            CapacityLimit::AddressSpaceLimit(limit) => write!(
                f,
                "this process may use {limit} bytes of address space (RLIMIT_AS), of which it needs some itself; raise the limit (ulimit -v), or ask for less"
            ),
            CapacityLimit::FileSystem => f.write_str(
                "its file system has no files of that size; ask for less, or use another",
            ),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_system_error_becomes_the_error_that_says_what_to_do() {
        let path = Path::new("/dev/shm/sharena.x");
        let of = |errno| Error::os("open", path, errno);
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert!(matches!(of(errno), Error::PermissionDenied { .. }));
        }
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(matches!(of(errno), Error::NoSpace { .. }));
        }
        let error = of(Errno::MFILE);
        assert!(matches!(error, Error::Os { .. }));
        let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
        assert!(error.to_string().contains("/dev/shm/sharena.x"), "{error}");
    }

    #[test]
    fn a_message_names_what_it_is_about() {
        let error =
            Error::NotARegularFile { path: "/dev/shm/sharena.d".into(), kind: FileKind::Fifo };
        let text = error.to_string();
        assert!(text.contains("/dev/shm/sharena.d") && text.contains("a named pipe"), "{text}");
        let limit = CapacityLimit::AddressSpaceLimit(4096);
        let text = Error::CapacityTooLarge { asked: 1 << 40, limit }.to_string();
        assert!(text.contains("1099511627776") && text.contains("4096"), "{text}");
        assert!(error.source().is_none());
    }
}
