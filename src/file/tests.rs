use super::*;
use std::io::{PipeReader, Read, pipe};
use std::os::unix::fs::{MetadataExt, symlink};

/// A directory in shared memory for one test, removed with all that is in it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Scratch {
        let name = format!("sharena-test-{}-{test}", std::process::id());
        let path = Path::new(SHARED_MEMORY).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn entries(&self) -> usize {
        std::fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A forked child that runs `body` and exits with 0 if that says true. Killed when dropped, and
/// after a minute: a panic in it may wait for a lock that another thread held at the fork.
pub(crate) struct Child(pub(crate) i32);

impl Child {
    pub(crate) fn run(body: impl FnOnce() -> bool) -> Child {
        // SAFETY: the child runs test code that uses no thread but its own, and ends by _exit.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: no conditions.
                unsafe { libc::alarm(60) };
                let body = std::panic::AssertUnwindSafe(body);
                let good = std::panic::catch_unwind(body).unwrap_or(false);
                // SAFETY: ends the process.
                unsafe { libc::_exit(i32::from(!good)) }
            }
            pid => {
                assert!(pid > 0, "fork failed");
                Child(pid)
            }
        }
    }
    pub(crate) fn kill(&self) {
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
    /// The exit code; `None` if a signal ended it.
    pub(crate) fn wait(mut self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        assert_eq!(unsafe { libc::waitpid(self.0, &mut status, 0) }, self.0);
        self.0 = 0;
        libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.0 > 0 {
            self.kill();
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
        }
    }
}

pub(crate) fn in_child(body: impl FnOnce() -> bool) -> bool {
    Child::run(body).wait() == Some(0)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// From here on the process is nobody in particular; for children.
pub(crate) fn become_nobody() {
    if is_root() {
        // SAFETY: ids only.
        let done = unsafe {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(65534, 65534, 65534) + libc::setresuid(65534, 65534, 65534)
        };
        assert_eq!(done, 0);
    }
}

/// The number of `file`'s descriptor means `other` afterwards.
pub(crate) fn replace_descriptor(file: &SegmentFile, other: &std::fs::File) {
    // SAFETY: both are open; the test is about exactly this misdeed.
    assert!(unsafe { libc::dup2(other.as_raw_fd(), file.fd().as_raw_fd()) } >= 0);
}

type Create = fn(&Path, u64, u32) -> Result<SegmentFile, Error>;
const WAYS: [Create; 2] = [SegmentFile::create, SegmentFile::create_temporary];

#[test]
fn a_new_file_has_the_size_and_permissions_asked_for_and_gets_its_name_once() {
    for (way, create) in WAYS.iter().enumerate() {
        let scratch = Scratch::new(&format!("new-{way}"));
        let path = scratch.path("a");
        let umasked = || {
            rustix::process::umask(Mode::from_raw_mode(0o077));
            let file = create(&scratch.0, 1 << 20, 0o664).unwrap();
            assert_eq!(file.is_linked().unwrap(), way == 1);
            assert_eq!(file.link(&path).unwrap(), Link::Linked);
            file.is_linked().unwrap() && file.shown() == path
        };
        assert!(in_child(umasked));
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o7777), (1 << 20, 0o664));
        let second = create(&scratch.0, 4096, 0o600).unwrap();
        assert_eq!(second.link(&path).unwrap(), Link::Exists);
        drop(second);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), meta.ino(), "replaced");
        assert_eq!(scratch.entries(), 1, "way {way} left a temporary name");
        let opened = SegmentFile::open(&path).unwrap();
        remove(&path).unwrap();
        assert!(!opened.is_linked().unwrap());
        assert!(matches!(remove(&path), Err(Error::NotFound { .. })));
    }
}

#[test]
fn of_many_who_give_the_same_name_one_does() {
    for (way, create) in WAYS.iter().enumerate() {
        let scratch = Scratch::new(&format!("race-{way}"));
        for round in 0..10 {
            let path = scratch.path(&format!("n{round}"));
            let (mut start, go) = pipe().unwrap();
            let racers: Vec<Child> = (0..16)
                .map(|_| {
                    let body = || {
                        let file = create(&scratch.0, 4096, 0o600).unwrap();
                        // SAFETY: the child's copy, which nobody else uses.
                        unsafe { libc::close(go.as_raw_fd()) };
                        start.read_to_end(&mut Vec::new()).unwrap();
                        let link = file.link(&path).unwrap();
                        drop(file);
                        link == Link::Linked
                    };
                    Child::run(body)
                })
                .collect();
            drop(go);
            let codes: Vec<_> = racers.into_iter().map(Child::wait).collect();
            assert!(codes.iter().all(Option::is_some), "{codes:?}");
            assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
        }
        assert_eq!(scratch.entries(), 10, "way {way} left temporary names");
    }
}

fn ready(pipe: &mut PipeReader) {
    assert_eq!(pipe.read(&mut [0]).unwrap(), 1);
}

#[test]
fn the_temporary_names_of_the_dead_are_swept_and_those_of_the_living_stay() {
    let scratch = Scratch::new("sweep");
    let (mut from, mut to) = pipe().unwrap();
    let creator = Child::run(|| {
        let _file = SegmentFile::create_temporary(&scratch.0, 4096, 0o600).unwrap();
        to.write_all(&[1]).unwrap();
        loop {
            // SAFETY: sleeps until the signal that kills.
            unsafe { libc::pause() };
        }
    });
    ready(&mut from);
    sweep(&scratch.0);
    assert_eq!(scratch.entries(), 1, "a living creator's name was taken");
    creator.kill();
    creator.wait();
    std::fs::write(scratch.path("sharena.other"), b"").unwrap();
    let mine = SegmentFile::create_temporary(&scratch.0, 4096, 0o600).unwrap();
    assert_eq!(scratch.entries(), 2, "the dead creator's name is still there");
    assert_eq!(mine.link(&scratch.path("a")).unwrap(), Link::Linked);
    sweep(&scratch.0);
    assert_eq!(scratch.entries(), 2);
}

#[test]
fn what_is_no_segment_file_is_named_precisely() {
    let scratch = Scratch::new("kinds");
    let at = |name: &str| scratch.path(name);
    std::fs::create_dir(at("dir")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    std::fs::write(at("file"), b"x").unwrap();
    symlink(at("file"), at("link")).unwrap();
    rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let kinds = [
        (at("dir"), FileKind::Directory),
        (at("fifo"), FileKind::Fifo),
        (at("socket"), FileKind::Socket),
        ("/dev/null".into(), FileKind::CharacterDevice),
    ];
    for (path, expected) in kinds {
        for error in [SegmentFile::open(&path).err(), remove(&path).err(), exists(&path).err()] {
            let error = error.expect("no regular file");
            assert!(
                matches!(&error, Error::NotARegularFile { kind, .. } if *kind == expected),
                "{error}"
            );
        }
    }
    for name in ["dangling", "link"] {
        let opened = SegmentFile::open(&at(name));
        assert!(matches!(opened, Err(Error::SymbolicLink { .. })), "{name}");
        assert!(matches!(remove(&at(name)), Err(Error::SymbolicLink { .. })), "{name}");
    }
    let new = SegmentFile::create(&scratch.0, 4096, 0o600).unwrap();
    assert_eq!(new.link(&at("dangling")).unwrap(), Link::Exists);
    assert!(matches!(SegmentFile::open(&at("none")), Err(Error::NotFound { .. })));
    assert!(exists(&at("file")).unwrap() && !exists(&at("none")).unwrap());
    let nowhere = SegmentFile::create(&at("none"), 4096, 0o600);
    assert!(matches!(nowhere, Err(Error::NoDirectory { .. })));
    let nowhere = new.link(&at("none/a"));
    assert!(matches!(nowhere, Err(Error::NoDirectory { .. })), "{nowhere:?}");
    let nul = SegmentFile::open(Path::new("a\0b"));
    assert!(matches!(nul, Err(Error::InvalidName { .. })));
}

#[test]
fn without_permission_is_an_error() {
    let scratch = Scratch::new("permission");
    let path = scratch.path("a");
    std::fs::write(&path, b"x").unwrap();
    let none = || std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&path, none()).unwrap();
    assert!(in_child(|| {
        become_nobody();
        let denied = |error| matches!(error, Some(Error::PermissionDenied { .. }));
        denied(SegmentFile::open(&path).err())
            && denied(SegmentFile::create(Path::new("/"), 4096, 0o600).err())
    }));
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    let scratch = Scratch::new("fsize");
    assert!(in_child(|| {
        let limit = Some(1 << 20);
        let rlimit = rustix::process::Rlimit { current: limit, maximum: limit };
        rustix::process::setrlimit(Resource::Fsize, rlimit).unwrap();
        let too_large = |made: Result<SegmentFile, Error>| {
            matches!(made, Err(Error::FileSizeLimit { limit: 1048576, needed: 1048577 }))
        };
        WAYS.iter().all(|create| too_large(create(&scratch.0, (1 << 20) + 1, 0o600)))
            && too_large(SegmentFile::memory("m", (1 << 20) + 1))
            && SegmentFile::create(&scratch.0, 1 << 20, 0o600).is_ok()
    }));
    let made = SegmentFile::create(&scratch.0, u64::MAX, 0o600);
    assert!(matches!(made, Err(Error::CapacityTooLarge { .. })));
    assert_eq!(scratch.entries(), 0);
}

#[test]
fn a_memory_file_cannot_change_its_size_and_can_be_passed_on() {
    let file = SegmentFile::memory("m", 1 << 20).unwrap();
    for size in [0, 4096, 1 << 21] {
        assert_eq!(ftruncate(file.fd(), size), Err(Errno::PERM));
    }
    assert_eq!(fcntl_add_seals(file.fd(), SealFlags::WRITE), Err(Errno::PERM));
    assert!(file.is_linked().unwrap());
    let passed = SegmentFile::from_fd(file.reopen().unwrap()).unwrap();
    assert_eq!(passed.identity(), file.identity());
    assert!(passed.is_linked().unwrap());
    assert_eq!(passed.size().unwrap(), 1 << 20);
    assert!(matches!(SegmentFile::memory("a/b", 1), Err(Error::InvalidName { .. })));
}

#[test]
fn a_passed_descriptor_must_be_a_file_open_for_reading_and_writing() {
    let scratch = Scratch::new("passed");
    let path = scratch.path("a");
    std::fs::write(&path, b"hello").unwrap();
    for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::PATH] {
        let fd = open(&path, flags, Mode::empty()).unwrap();
        let adopted = SegmentFile::from_fd(fd);
        assert!(matches!(adopted, Err(Error::DescriptorNotReadWrite { .. })), "{flags:?}");
    }
    let adopted = SegmentFile::from_fd(open(&scratch.0, OFlags::RDONLY, Mode::empty()).unwrap());
    let directory = FileKind::Directory;
    assert!(matches!(adopted, Err(Error::NotARegularFile { kind, .. }) if kind == directory));
    let file = SegmentFile::from_fd(open(&path, OPEN, Mode::empty()).unwrap()).unwrap();
    let mut bytes = [9; 8];
    assert_eq!(file.read_at(1, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes, b"ello\x09\x09\x09\x09");
    remove(&path).unwrap();
    assert!(!file.is_linked().unwrap());
}

#[test]
fn a_descriptor_that_came_to_mean_another_file_is_noticed_and_left_open() {
    let scratch = Scratch::new("replaced");
    let file = SegmentFile::create(&scratch.0, 4096, 0o600).unwrap();
    file.link(&scratch.path("a")).unwrap();
    let other = std::fs::File::create(scratch.path("other")).unwrap();
    let number = file.fd().as_raw_fd();
    replace_descriptor(&file, &other);
    assert!(!file.is_ours());
    assert!(file.size().is_err() && file.link(&scratch.path("b")).is_err());
    let again = SegmentFile::from_fd(file.reopen().unwrap()).unwrap();
    assert_eq!(again.identity(), file.identity(), "found by its path");
    assert!(matches!(file.prober(), Ok(Prober::New(_))));
    drop(file);
    // SAFETY: a number; the answer is what is asked for.
    assert_eq!(unsafe { libc::close(number) }, 0, "another's descriptor was closed");

    let nameless = SegmentFile::memory("m", 4096).unwrap();
    replace_descriptor(&nameless, &other);
    let number = nameless.fd().as_raw_fd();
    let errno = nameless.reopen().unwrap_err();
    assert!(matches!(nameless.no_reopen(errno), Error::NoReopen { .. }));
    drop(nameless);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::close(number) }, 0);
}

#[test]
fn names_are_checked_and_listed() {
    let longest = "n".repeat(LONGEST_NAME);
    for name in ["", "a/b", "a\0b", &format!("{longest}n")] {
        assert!(matches!(path_of_name(name), Err(Error::InvalidName { .. })), "{name}");
    }
    assert_eq!(path_of_name(&longest).unwrap().file_name().unwrap().len(), 255);
    let name = format!("test-{}-listed", std::process::id());
    let path = path_of_name(&name).unwrap();
    let listed = || names().unwrap().any(|found| found.unwrap() == name);
    assert!(!listed());
    let file = SegmentFile::create(directory_of(&path), 4096, 0o600).unwrap();
    assert_eq!(file.link(&path).unwrap(), Link::Linked);
    assert!(listed());
    remove(&path).unwrap();
    assert!(!listed());
}
