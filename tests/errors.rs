//! Bad input and bad places, by name. Each is an error (never a panic, a signal or a hang), which
//!
//! - is of the kind that tells it from every other;
//! - says in its text what was wrong, where, and what to do;
//! - leaves everything as it was.
mod common;

use common::{Directory, Name, Process, arg, role, say, says};
use sharena::{AllocError, CapacityLimit, Error, FileKind, ObjectError, Options, Segment};
use std::alloc::Layout;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, words: &[&str]) -> Error {
    says(result.expect_err("refused"), words)
}

/// All that can be done with a name or path that leads to no segment.
fn each_way_in(path: &Path) -> [(&'static str, Result<Segment, Error>); 3] {
    [
        ("open", Segment::open_at(path)),
        ("create", Options::new().capacity(1 << 16).create_at(path)),
        (
            "open_or_create",
            Options::new().capacity(1 << 16).open_or_create_at(path).map(|opened| opened.segment),
        ),
    ]
}

#[test]
fn names_that_cannot_be() {
    let long = "x".repeat(300);
    for (name, reason) in
        [("", "empty"), (&*long, "long"), ("a/b", "/"), ("a\0b", "NUL"), ("/", "/")]
    {
        for result in [
            Segment::create(name, 1 << 16),
            Segment::open(name),
            Segment::open_or_create(name, 1 << 16).map(|opened| opened.segment),
        ] {
            let error = refused(result, &[reason, "choose another name"]);
            assert!(
                matches!(&error, Error::InvalidName { name: given, .. } if given == name),
                "{error}"
            );
        }
        assert!(matches!(sharena::remove(name), Err(Error::InvalidName { .. })), "{name:?}");
        assert!(matches!(sharena::exists(name), Err(Error::InvalidName { .. })), "{name:?}");
    }
    // The longest that can be.
    let test = Name::new("longest");
    let longest = format!("{}{}", &*test, "x".repeat(255 - "sharena.".len() - test.len()));
    drop(Segment::create(&longest, 1 << 16).unwrap());
    sharena::remove(&longest).unwrap();
    assert!(matches!(Segment::create(&(longest + "x"), 1 << 16), Err(Error::InvalidName { .. })));
}

#[test]
fn what_is_absent() {
    let name = Name::new("absent");
    let error = refused(Segment::open(&name), &["no segment", &name, "create it first"]);
    assert!(matches!(&error, Error::NotFound { path } if *path == name.path()), "{error}");
    let error = refused(sharena::remove(&name), &["no segment", &name]);
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(!sharena::exists(&name).unwrap());

    let directory = Directory::new("absent");
    let error =
        refused(Segment::open_at(directory.join("nothing")), &["nothing", "create it first"]);
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = refused(sharena::remove_at(directory.join("nothing")), &["nothing"]);
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let deep = directory.join("no such directory").join("segment");
    for (way, result) in &each_way_in(&deep)[1..] {
        let error = result.as_ref().err().unwrap_or_else(|| panic!("{way}"));
        assert!(matches!(error, Error::NoDirectory { .. }), "{way}: {error}");
        assert!(
            error.to_string().contains("no such directory")
                && error.to_string().contains("make it")
        );
    }
    assert!(Segment::open_at(&deep).is_err());
}

#[test]
fn what_exists() {
    let name = Name::new("existing");
    let segment = Segment::create(&name, 1 << 16).unwrap();
    let error =
        refused(Segment::create(&name, 1 << 16), &["exists already", &name, "open it, remove it"]);
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(Segment::open(&name).unwrap().id(), segment.id(), "it is still the first");
}

#[test]
fn capacities_that_cannot_be() {
    let name = Name::new("capacity");
    let error = refused(Segment::create(&name, 0), &["0 bytes", "at least 1"]);
    assert!(matches!(error, Error::CapacityZero), "{error}");
    assert!(matches!(Segment::open_or_create(&name, 0), Err(Error::CapacityZero)));
    assert!(matches!(Options::new().capacity(0).create_anonymous(), Err(Error::CapacityZero)));
    for asked in [(16 << 40) + 1, 1 << 47, 1 << 63, u64::MAX] {
        let error = refused(
            Segment::create(&name, asked),
            &["too large", &asked.to_string(), "ask for less"],
        );
        let Error::CapacityTooLarge { asked: said, limit: CapacityLimit::Format(limit) } = error
        else {
            panic!("{error}")
        };
        assert_eq!((said, limit), (asked, 16 << 40));
    }
    assert!(!sharena::exists(&name).unwrap(), "nothing was left behind");
}

#[test]
fn more_processes_than_a_segment_takes() {
    let name = Name::new("participants");
    let first = Segment::create(&name, 1 << 16).unwrap();
    // Each opening is an attachment of its own, as if of another process.
    let mut attached: Vec<Segment> = (1..511).map(|_| Segment::open(&name).unwrap()).collect();
    assert_eq!(first.stats().unwrap().participants.len(), 511);
    let error = refused(Segment::open(&name), &["511 processes", &name]);
    assert!(matches!(error, Error::TooManyProcesses { limit: 511, .. }), "{error}");
    attached.pop();
    let again = Segment::open(&name).unwrap();
    again.construct("object", 1u8).unwrap();
    assert_eq!(*first.find::<u8>("object").unwrap().unwrap(), 1);
}

#[test]
fn files_that_are_no_segment() {
    let directory = Directory::new("no-segment");
    let path = directory.join("file");
    for (content, reason) in [
        (&b""[..], "empty"),
        (b"s", "does not begin"),
        (b"sharena", "does not begin"),
        (b"something else, and long enough to hold a header", "does not begin"),
        (&[0; 10_000], "does not begin"),
        (&[0xff; 10_000], "does not begin"),
    ] {
        std::fs::write(&path, content).unwrap();
        for way in ["open", "open_or_create"] {
            let result = match way {
                "open" => Segment::open_at(&path),
                _ => Options::new().open_or_create_at(&path).map(|opened| opened.segment),
            };
            let error = refused(result, &["file", "not a segment", reason, "use another name"]);
            assert!(matches!(error, Error::NotASegment { .. }), "{error}");
        }
        assert!(matches!(Options::new().create_at(&path), Err(Error::AlreadyExists { .. })));
        assert!(
            matches!(sharena::remove_at(&path), Err(Error::NotASegment { .. })),
            "what is not ours stays"
        );
        assert_eq!(std::fs::read(&path).unwrap(), content, "left as it was");
    }
}

#[test]
fn segments_of_another_making() {
    let directory = Directory::new("making");
    let path = directory.join("segment");
    let segment = Options::new().capacity(1 << 16).create_at(&path).unwrap();
    segment.construct("object", 1u64).unwrap();
    drop(segment);
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // Where the header has its version, fingerprint and count of units.
    let with = |at: u64, bytes: &[u8], words: &[&str]| {
        let mut before = vec![0; bytes.len()];
        file.read_exact_at(&mut before, at).unwrap();
        assert_ne!(before, bytes);
        file.write_all_at(bytes, at).unwrap();
        let error = refused(Segment::open_at(&path), words);
        let opened = Options::new().open_or_create_at(&path);
        assert_eq!(refused(opened, words).to_string(), error.to_string());
        file.write_all_at(&before, at).unwrap();
        error
    };
    for version in [0u32, 77] {
        let text = format!("format {version}");
        let error = with(
            8,
            &version.to_ne_bytes(),
            &[&text, "format 7", "the version that made it", "segment"],
        );
        assert!(
            matches!(error, Error::WrongVersion { found, expected: 7, .. } if found == version),
            "{error}"
        );
    }
    let error = with(16, &7u64.to_ne_bytes(), &["laid out differently", "0000000000000007"]);
    assert!(matches!(error, Error::WrongLayout { found: 7, .. }), "{error}");
    let mut units = [0; 8];
    file.read_exact_at(&mut units, 24).unwrap();
    let units = u64::from_ne_bytes(units);
    for wrong in [0, 1, units + 4096, u64::MAX, 1 << 40] {
        let error = with(24, &wrong.to_ne_bytes(), &["damaged", "restore it from a copy"]);
        assert!(matches!(error, Error::Corrupt { .. }), "{wrong} units: {error}");
    }
    // Words that lead elsewhere: the frontier, the counts of lanes and participants, the names.
    for at in [128, 192, 200, 256, 264] {
        for wrong in [u64::MAX, 1 << 43, 12345] {
            let error = with(at, &wrong.to_ne_bytes(), &["damaged"]);
            assert!(matches!(error, Error::Corrupt { .. }), "{wrong:#x} at {at}: {error}");
        }
    }
    assert_eq!(
        *Segment::open_at(&path).unwrap().find::<u64>("object").unwrap().unwrap(),
        1,
        "all put back"
    );
}

#[test]
fn segments_that_were_cut_off() {
    let directory = Directory::new("cut");
    let path = directory.join("segment");
    drop(Options::new().capacity(1 << 16).create_at(&path).unwrap());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let whole = file.metadata().unwrap().len();
    for bytes in [whole - 1, whole - 4096, whole / 2, 1 << 20, 5000, 4096, 400, 320] {
        file.set_len(bytes).unwrap();
        let error = refused(Segment::open_at(&path), &["damaged", &bytes.to_string(), "segment"]);
        assert!(matches!(error, Error::Corrupt { .. }), "{bytes}: {error}");
    }
    for bytes in [100, 16, 8] {
        file.set_len(bytes).unwrap();
        let error = refused(Segment::open_at(&path), &["damaged", "inside the header"]);
        assert!(matches!(error, Error::Corrupt { .. }), "{bytes}: {error}");
    }
    for bytes in [7, 1, 0] {
        file.set_len(bytes).unwrap();
        assert!(matches!(Segment::open_at(&path), Err(Error::NotASegment { .. })), "{bytes}");
    }
}

#[test]
fn names_of_other_things() {
    let directory = Directory::new("things");
    let (folder, fifo, socket) =
        (directory.join("folder"), directory.join("fifo"), directory.join("socket"));
    std::fs::create_dir(&folder).unwrap();
    let c_fifo = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a string that ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(c_fifo.as_ptr(), 0o600) }, 0);
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, kind, word) in [
        (&*folder, FileKind::Directory, "a directory"),
        (&*fifo, FileKind::Fifo, "a named pipe"),
        (&*socket, FileKind::Socket, "a socket"),
        (Path::new("/dev/null"), FileKind::CharacterDevice, "a character device"),
    ] {
        for (way, result) in each_way_in(path) {
            let error = refused(result, &[word, "use another name"]);
            assert!(
                matches!(error, Error::NotARegularFile { kind: found, .. } if found == kind),
                "{way}: {error}"
            );
        }
        assert!(sharena::remove_at(path).is_err());
        assert!(path.exists());
    }
    // A directory that stands where a named segment would.
    let name = Name::new("directory");
    std::fs::create_dir(name.path()).unwrap();
    assert!(matches!(Segment::open(&name), Err(Error::NotARegularFile { .. })));
    assert!(matches!(Segment::open_or_create(&name, 1 << 16), Err(Error::NotARegularFile { .. })));
    assert!(sharena::remove(&name).is_err());
    std::fs::remove_dir(name.path()).unwrap();
}

#[test]
fn links_are_not_followed() {
    let directory = Directory::new("links");
    let (target, link, dangling) =
        (directory.join("target"), directory.join("link"), directory.join("dangling"));
    drop(Options::new().capacity(1 << 16).create_at(&target).unwrap());
    symlink(&target, &link).unwrap();
    symlink(directory.join("nowhere"), &dangling).unwrap();
    for path in [&link, &dangling] {
        for (way, result) in each_way_in(path) {
            let error = refused(result, &["symbolic link", "use the path that it leads to"]);
            assert!(matches!(error, Error::SymbolicLink { .. }), "{way}: {error}");
        }
    }
    assert!(!directory.join("nowhere").exists());
    let looped = directory.join("loop");
    symlink(&looped, &looped).unwrap();
    assert!(matches!(Options::new().open_or_create_at(&looped), Err(Error::SymbolicLink { .. })));
    // In shared memory, too.
    let name = Name::new("dangling");
    symlink("/dev/shm/sharena-test-nowhere", name.path()).unwrap();
    assert!(matches!(Segment::open_or_create(&name, 1 << 16), Err(Error::SymbolicLink { .. })));
    assert!(!Path::new("/dev/shm/sharena-test-nowhere").exists());
}

#[test]
fn descriptors_that_will_not_do() {
    let directory = Directory::new("descriptors");
    let path = directory.join("segment");
    drop(Options::new().capacity(1 << 16).create_at(&path).unwrap());
    let read_only = File::open(&path).unwrap();
    let error = refused(
        Segment::open_fd(read_only.into()),
        &["not open for reading and writing", "O_RDWR"],
    );
    assert!(matches!(error, Error::DescriptorNotReadWrite { .. }), "{error}");
    let (pipe, _write) = std::io::pipe().unwrap();
    assert!(matches!(
        Segment::open_fd(pipe.into()),
        Err(Error::NotARegularFile { kind: FileKind::Fifo, .. })
    ));
    let empty = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(directory.join("empty"))
        .unwrap();
    assert!(matches!(Segment::open_fd(empty.into()), Err(Error::NotASegment { .. })));
}

fn is_root() -> bool {
    // SAFETY: asks who we are.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn what_others_may_not_open() {
    const TEST: &str = "what_others_may_not_open";
    if role().is_some() {
        // SAFETY: changes who this process is; it has done nothing yet.
        unsafe { assert!(libc::setgid(65534) == 0 && libc::setuid(65534) == 0) };
        let words = ["no permission", &arg(0), "as its owner"];
        let error = refused(Segment::open(&arg(0)), &words);
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
        let opened = Segment::open_or_create(&arg(0), 1 << 16);
        assert!(
            matches!(opened, Err(Error::PermissionDenied { .. })),
            "no endless loop: {opened:?}"
        );
        assert!(matches!(Segment::create(&arg(0), 1 << 16), Err(Error::AlreadyExists { .. })));
        let removed = sharena::remove(&arg(0));
        assert!(matches!(removed, Err(Error::PermissionDenied { .. })), "{removed:?}");
        // Where we may not make files at all.
        let created = Options::new().capacity(1 << 16).create_at(Path::new(&arg(1)).join("new"));
        assert!(matches!(created, Err(Error::PermissionDenied { .. })), "{created:?}");
        let opened =
            Options::new().capacity(1 << 16).open_or_create_at(Path::new(&arg(1)).join("new"));
        assert!(matches!(opened, Err(Error::PermissionDenied { .. })), "{opened:?}");
        assert!(Segment::open(&arg(2)).is_ok(), "what everybody may open");
        return;
    }
    if !is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let (closed, open, directory) =
        (Name::new("closed"), Name::new("everybody's"), Directory::new("closed"));
    let _closed = Segment::create(&closed, 1 << 16).unwrap();
    let _open = Options::new().capacity(1 << 16).mode(0o666).create(&open).unwrap();
    std::fs::set_permissions(directory.join("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    Process::start(TEST, "nobody", &[&closed, directory.join("").to_str().unwrap(), &open])
        .finish();
}

/// Sets a limit of this process.
fn limit(what: libc::__rlimit_resource_t, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a limit of our own.
    assert_eq!(unsafe { libc::setrlimit(what, &limit) }, 0);
}

#[test]
fn a_limit_of_file_sizes() {
    const TEST: &str = "a_limit_of_file_sizes";
    if role().is_none() {
        return Process::start(TEST, "limited", &[]).finish();
    }
    let name = Name::new("fsize");
    let before = Segment::create(&name, 64 << 20).unwrap();
    limit(libc::RLIMIT_FSIZE, 1 << 20);
    let other = Name::new("fsize-other");
    let error =
        refused(Segment::create(&other, 64 << 20), &["1048576", "RLIMIT_FSIZE", "ulimit -f"]);
    assert!(matches!(error, Error::FileSizeLimit { limit: 1_048_576, .. }), "{error}");
    assert!(!sharena::exists(&other).unwrap());
    assert!(Options::new().create_anonymous().is_err());
    // What was made before can be opened and used; where the limit stops it, by an error.
    let segment = Segment::open(&name).unwrap();
    let mut blocks = Vec::new();
    while blocks.len() < 2000 {
        match segment.allocate(Layout::new::<[u64; 4096]>()) {
            Ok(block) => blocks.push(block),
            Err(error) => {
                says(error, &["no room"]);
                break;
            }
        }
        // SAFETY: the block is ours.
        unsafe { segment.address(*blocks.last().unwrap()).unwrap().as_ptr().write_bytes(1, 32768) };
    }
    blocks.into_iter().for_each(|block| before.deallocate(block).unwrap());
}

#[test]
fn a_limit_of_address_space() {
    const TEST: &str = "a_limit_of_address_space";
    if role().is_none() {
        return Process::start(TEST, "limited", &[]).finish();
    }
    let name = Name::new("as");
    drop(Segment::create(&name, 8 << 30).unwrap());
    limit(libc::RLIMIT_AS, 4 << 30);
    for result in [Options::new().capacity(8 << 30).create_anonymous(), Segment::open(&name)] {
        let error = refused(result, &["too large", "4294967296", "RLIMIT_AS", "ulimit -v"]);
        assert!(
            matches!(
                error,
                Error::CapacityTooLarge { limit: CapacityLimit::AddressSpaceLimit(_), .. }
            ),
            "{error}"
        );
    }
    Options::new().capacity(1 << 30).create_anonymous().unwrap();
}

/// Mounts a memory file system of so many bytes that this process alone sees; `false`: we may not.
fn mount_small(at: &Path, bytes: usize) -> bool {
    let c = |text: &str| std::ffi::CString::new(text).unwrap();
    let (at, kind, root) = (c(at.to_str().unwrap()), c("tmpfs"), c("/"));
    let options = c(&format!("size={bytes}"));
    // SAFETY: strings that end with NUL; the name space is our own.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                root.as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast())
                == 0
    }
}

#[test]
fn a_full_file_system() {
    const TEST: &str = "a_full_file_system";
    if role().is_none() {
        let directory = Directory::new("full");
        let mut other = Process::start(TEST, "filler", &[directory.join("").to_str().unwrap()]);
        if other.listen() == "skipped" {
            eprintln!("skipped: only root can mount a small file system");
        }
        return other.finish();
    }
    let directory = arg(0);
    let place = Path::new(&directory);
    if !is_root() || !mount_small(place, 8 << 20) {
        return say("skipped");
    }
    say("mounted");
    let segment = Options::new().capacity(1 << 30).create_at(place.join("segment")).unwrap();
    for size in [1 << 20, 100_000, 3000, 64] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let mut blocks = Vec::new();
        let error = loop {
            match segment.allocate(layout) {
                Ok(block) => {
                    // SAFETY: the block is ours and so long. Not backed, it would be a signal.
                    unsafe {
                        segment.address(block).unwrap().as_ptr().write_bytes(size as u8, size)
                    };
                    blocks.push(block);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(
            says(error, &["file system", "is full", "free space"]),
            AllocError::FileSystemFull { asked: size }
        );
        assert!(blocks.len() * size > 3 << 20, "{} blocks of {size}", blocks.len());
        if size < 4096 {
            let left = rustix::fs::statvfs(place).unwrap();
            let bytes = left.f_bavail * left.f_frsize;
            assert!(bytes < 64 << 10, "{bytes} bytes were room for another slab of {size}");
        }

        // Everything that was there goes on; what needs room is an error.
        let objects = segment.construct_slice("object", 2 << 20, |_| 0u8);
        assert!(matches!(
            objects.err(),
            Some(ObjectError::Alloc(AllocError::FileSystemFull { .. }))
        ));
        assert!(!segment.contains("object").unwrap());
        let other = Options::new().capacity(1 << 20).create_at(place.join("other"));
        let error = refused(other, &["no room", "free space"]);
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        std::thread::scope(|scope| {
            let by_another = scope.spawn(|| segment.allocate(layout)).join().unwrap();
            assert!(matches!(by_another, Err(AllocError::FileSystemFull { .. })), "{by_another:?}");
        });
        // By another attachment of this process.
        match Segment::open_at(place.join("segment")) {
            Ok(again) => assert_eq!(again.usable_size(blocks[0]), segment.usable_size(blocks[0])),
            Err(error) => drop(says(error, &["no room"])),
        }
        for block in &blocks {
            let at = segment.address(*block).unwrap().as_ptr();
            // SAFETY: as above.
            let is_kept = |i| unsafe { at.add(i).read() } == size as u8;
            assert!((0..size).all(is_kept), "what was written stays");
        }
        // One freed, one fits.
        segment.deallocate(blocks.pop().unwrap()).unwrap();
        blocks.push(segment.allocate(layout).unwrap());
        blocks.into_iter().for_each(|block| segment.deallocate(block).unwrap());
        assert!(segment.trim().unwrap() > 0, "the file system has it again");
        let error = segment.prepare(32 << 20).unwrap_err();
        says(error, &["file system", "is full", "free space"]);
        segment.trim().unwrap();
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{:#?}", report.findings);
    }
    segment.construct_slice("object", 2 << 20, |_| 0u8).unwrap();
}
