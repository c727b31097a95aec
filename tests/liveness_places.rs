//! Who is alive does not depend on where one asks, who one is, or where the file lies:
//!
//! - numbers of processes are used again, and mean something else in other namespaces: they decide
//!   nothing;
//! - a process that has given up its permissions is alive and judges; its forked child, which cannot
//!   attach any more, is told so;
//! - a file system that forgets locks is noticed, and there, too, no live process is called dead;
//! - in a copy of a segment file nobody lives, whatever its records say;
//! - a stranger's lock on the file kills nobody, and is named to those whom it keeps out.
#[path = "common/mod.rs"]
mod common;
#[path = "common/life.rs"]
mod life;

use common::{Directory, Name, Process, arg, at_rest, hear, role, say};
use life::{
    Held, Words, assert_alive, assert_recovered, assert_works, await_death, close_pipes, fork,
    holder, is_holder, obey, open, reap, signal, state, until, verdict_by, verdicts,
};
use sharena::{AllocError, Error, Liveness, Options, Segment};
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

/// Whether this process may do what only root may; else the test is left out.
fn is_root() -> bool {
    // SAFETY: a number.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn unshare(flags: libc::c_int) -> bool {
    // SAFETY: changes what this process sees from here on, no memory.
    let done = unsafe { libc::unshare(flags) } == 0;
    if !done {
        eprintln!("skipped: no namespaces: {}", std::io::Error::last_os_error());
    }
    done
}

const SKIPPED: &str = "skipped";

/// A process in a new pid namespace and what it takes to talk to it: its parent, which is outside,
/// passes on each order and each answer.
struct Inside {
    door: Process,
    /// Its number, as it is outside.
    pid: u32,
}

impl Inside {
    /// Starts a [`holder`] as the first process of a namespace. `None`: that cannot be had.
    fn holder(test: &str, place: &str) -> Option<Inside> {
        let mut door = Process::start(test, "door", &[place]);
        let said = door.listen();
        (said != SKIPPED).then(|| Inside { door, pid: said.parse().unwrap() })
    }

    /// What the door does.
    fn open_door(test: &str) {
        if !unshare(libc::CLONE_NEWPID) {
            return say(SKIPPED);
        }
        let mut inside = holder(test, &arg(0));
        say(inside.id());
        loop {
            match hear().as_str() {
                "gone?" => return say(format_args!("{}", inside.ended())),
                order => inside.tell(order),
            }
            say(inside.listen());
        }
    }
}

/// As which number a process is known to itself: the first in its namespace.
const FIRST: u32 = 1;

#[test]
fn processes_in_different_pid_namespaces_judge_each_other() {
    const TEST: &str = "processes_in_different_pid_namespaces_judge_each_other";
    match role().as_deref() {
        Some("door") => return Inside::open_door(TEST),
        _ if is_holder() || !is_root() => return,
        _ => {}
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let fresh = at_rest(&segment);
    // Two namespaces, in both of which the first process has the same number.
    let Some(mut one) = Inside::holder(TEST, &name) else { return };
    let Some(mut two) = Inside::holder(TEST, &name) else { return };
    let outside = holder(TEST, &name);
    assert_eq!(verdicts(&segment, FIRST), [Liveness::Alive; 2]);
    for inside in [&mut one.door, &mut two.door] {
        // The number of one outside is nobody's inside.
        assert_eq!(verdict_by(inside, outside.id()), "[Alive]");
        assert_eq!(verdict_by(inside, std::process::id()), "[Alive]");
        assert_eq!(verdict_by(inside, FIRST), "[Alive, Alive]");
        inside.tell("recover");
        assert_eq!(inside.listen(), "recovered");
    }
    assert_eq!(verdicts(&segment, FIRST), [Liveness::Alive; 2]);
    // One inside dies, while its number is another's in each place from which it is looked at.
    signal(one.pid, libc::SIGKILL);
    until("its death", || verdicts(&segment, FIRST) == [Liveness::Dead, Liveness::Alive]);
    assert_eq!(verdict_by(&mut two.door, FIRST), "[Dead, Alive]");
    one.door.tell("gone?");
    assert_eq!(one.door.listen(), "signal: 9 (SIGKILL)");
    one.door.finish();
    // One outside dies, and is recovered from inside.
    let dead = outside.id();
    signal(dead, libc::SIGKILL);
    outside.ended();
    assert_eq!(verdict_by(&mut two.door, dead), "[Dead]");
    two.door.tell("recover");
    assert_eq!(two.door.listen(), "recovered");
    assert_eq!(verdicts(&segment, dead), []);
    assert_alive(&segment, FIRST);
    assert_works(&mut two.door);
    signal(two.pid, libc::SIGKILL);
    await_death(&segment, FIRST);
    assert_recovered(&segment, &fresh);
}

#[test]
fn a_number_that_is_used_again_makes_nobody_live_again() {
    const TEST: &str = "a_number_that_is_used_again_makes_nobody_live_again";
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    match role().as_deref() {
        Some("host") => {
            // In a namespace of its own nobody else takes the number.
            if unshare(libc::CLONE_NEWPID) {
                Process::start(TEST, "first", &[&arg(0)]).finish();
            }
            return;
        }
        Some(_) => {}
        None => {
            if is_root() {
                let name = Name::new(TEST);
                drop(Segment::create(&name, 16 << 20).unwrap());
                Process::start(TEST, "host", &[&name]).finish();
            }
            return;
        }
    }
    let segment = open(&arg(0));
    segment.construct("words", Words::default()).unwrap();
    let fresh = at_rest(&segment);
    let words = segment.find::<Words>("words").unwrap().unwrap();
    for _ in 0..20 {
        let child = || {
            // It ends without goodbye.
            let segment = ManuallyDrop::new(open(&arg(0)));
            let held = ManuallyDrop::new(Held::take(&segment));
            segment.find::<Words>("words").unwrap().unwrap().beat();
            held.assert_intact();
        };
        let pid = fork(child);
        words.assert_beats();
        signal(pid, libc::SIGKILL);
        assert_eq!(reap(pid), None);
        if let Err(error) = std::fs::write(LAST, (pid - 1).to_string()) {
            eprintln!("skipped: {LAST}: {error}");
            return;
        }
        // Often in the same clock tick, so that not even the time at which it started differs.
        assert_eq!(fork(child), pid);
        words.assert_beats();
        assert_eq!(verdicts(&segment, pid), [Liveness::Dead, Liveness::Alive]);
        assert_eq!(segment.recover().unwrap().processes, 1);
        assert_alive(&segment, pid);
        words.stop.store(1, std::sync::atomic::Ordering::Release);
        assert_eq!(reap(pid), Some(0));
        assert_eq!(verdicts(&segment, pid), [Liveness::Dead]);
        segment.recover().unwrap();
        words.stop.store(0, std::sync::atomic::Ordering::Release);
    }
    drop(words);
    assert_recovered(&segment, &fresh);
}

/// From here on the process is nobody in particular; all of its threads.
fn become_nobody() {
    // SAFETY: ids only.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setresgid(65534, 65534, 65534) + libc::setresuid(65534, 65534, 65534)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn who_gives_up_its_permissions_is_alive_and_judges() {
    const TEST: &str = "who_gives_up_its_permissions_is_alive_and_judges";
    match role().as_deref() {
        Some("nobody") => {
            let segment = open(&arg(0));
            let held = Held::take(&segment);
            become_nobody();
            let child = fork(|| {
                // It is no participant yet, and may not become one: the file is root's alone.
                let layout = std::alloc::Layout::new::<u64>();
                assert_eq!(segment.allocate(layout).unwrap_err(), AllocError::NotAttached);
                for refused in [
                    segment.find::<Words>("words").map(|_| ()).unwrap_err(),
                    segment.stats().map(|_| ()).unwrap_err(),
                    segment.recover().map(|_| ()).unwrap_err(),
                    segment.own(1u8).map(|_| ()).unwrap_err(),
                ] {
                    assert!(refused.to_string().contains("could not attach"), "{refused}");
                }
                let why = Segment::open(&arg(0)).unwrap_err();
                assert!(matches!(why, Error::PermissionDenied { .. }), "{why}");
                let again = segment.as_fd().try_clone_to_owned().unwrap();
                let why = Segment::open_fd(again).unwrap_err();
                assert!(matches!(why, Error::PermissionDenied { .. }), "{why}");
                // SAFETY: this process' copies, not used any more.
                unsafe {
                    drop(std::ptr::read(&held));
                    drop(std::ptr::read(&segment));
                }
            });
            assert_eq!(reap(child), Some(0), "a child that may not attach");
            return obey(&segment, &held);
        }
        _ if is_holder() || !is_root() => return,
        _ => {}
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 16 << 20).unwrap();
    segment.construct("words", Words::default()).unwrap();
    let fresh = at_rest(&segment);
    let mut nobody = Process::start(TEST, "nobody", &[&name]);
    assert_eq!(nobody.listen(), "ready");
    let mut other = holder(TEST, &name);
    let (pid, dead) = (nobody.id(), other.id());
    assert_alive(&segment, pid);
    assert_eq!(verdict_by(&mut other, pid), "[Alive]");
    assert_eq!(verdict_by(&mut nobody, dead), "[Alive]");
    assert_eq!(verdict_by(&mut nobody, std::process::id()), "[Alive]");
    assert_eq!(segment.recover().unwrap().processes, 0);
    assert_works(&mut nobody);
    signal(dead, libc::SIGKILL);
    other.ended();
    assert_eq!(verdict_by(&mut nobody, dead), "[Dead]");
    nobody.tell("recover");
    assert_eq!(nobody.listen(), "recovered");
    assert_eq!(verdicts(&segment, dead), []);
    // Without a descriptor it cannot look any more, and says so.
    nobody.tell("close");
    assert_eq!(nobody.listen(), "closed");
    assert_eq!(verdict_by(&mut nobody, std::process::id()), "[Unknown]");
    assert_alive(&segment, pid);
    assert_works(&mut nobody);
    signal(pid, libc::SIGKILL);
    nobody.ended();
    assert_eq!(verdicts(&segment, pid), [Liveness::Dead]);
    assert_recovered(&segment, &fresh);
}

#[test]
fn where_locks_are_forgotten_nobody_alive_is_called_dead() {
    const TEST: &str = "where_locks_are_forgotten_nobody_alive_is_called_dead";
    match role().as_deref() {
        Some("host") => {}
        _ => {
            if !is_holder() && is_root() {
                let directory = Directory::new(TEST);
                for part in ["lower", "upper", "work", "all"] {
                    std::fs::create_dir(directory.join(part)).unwrap();
                }
                let at = directory.join("");
                Process::start(TEST, "host", &[at.to_str().unwrap()]).finish();
            }
            return;
        }
    }
    if !unshare(libc::CLONE_NEWNS) || !mount_overlay(&arg(0)) {
        return;
    }
    let path = format!("{}all/segment", arg(0));
    let segment = Options::new().capacity(16 << 20).create_at(&path).unwrap();
    segment.construct("words", Words::default()).unwrap();
    let fresh = at_rest(&segment);
    let words = segment.find::<Words>("words").unwrap().unwrap();

    let (mut one, mut two) = (holder(TEST, &path), holder(TEST, &path));
    let [a, b] = [one.id(), two.id()];
    for _ in 0..20 {
        assert_alive(&segment, a);
        assert_alive(&segment, std::process::id());
        assert_eq!(verdict_by(&mut one, b), "[Alive]");
        assert_eq!(verdict_by(&mut two, a), "[Alive]");
        assert_eq!(segment.recover().unwrap().processes, 0);
    }
    // A lock that hangs on a descriptor falls with it: what is left to go by tells life, not death.
    one.tell("close");
    assert_eq!(one.listen(), "closed");
    for _ in 0..20 {
        assert_eq!(verdicts(&segment, a), [Liveness::Unknown], "its lock is gone, it is not");
        assert_eq!(verdict_by(&mut two, a), "[Unknown]");
        assert_eq!(segment.recover().unwrap().processes, 0);
        // It does not see its own life, so it judges nobody else either.
        assert_ne!(verdict_by(&mut one, b), "[Dead]");
        one.tell("recover");
        assert_eq!(one.listen(), "recovered");
    }
    assert_works(&mut one);
    signal(a, libc::SIGSTOP);
    until("the stop", || state(a) == Some('T'));
    assert_eq!(verdicts(&segment, a), [Liveness::Unknown]);
    signal(a, libc::SIGKILL);
    one.ended();
    assert_eq!(verdicts(&segment, a), [Liveness::Dead]);
    segment.recover().unwrap();
    assert_eq!(verdicts(&segment, a), []);

    // A forked child has the descriptor, too: late, but never wrong.
    two.tell("fork");
    let child: u32 = two.listen().parse().unwrap();
    words.assert_beats();
    assert_alive(&segment, child);
    signal(b, libc::SIGKILL);
    two.ended();
    // The child uses the segment, so it has let go of what it inherited.
    assert_eq!(verdicts(&segment, b), [Liveness::Dead]);
    assert_eq!(segment.recover().unwrap().processes, 1);
    assert_alive(&segment, child);
    words.assert_beats();
    words.stop.store(1, std::sync::atomic::Ordering::Release);
    drop(words);
    await_death(&segment, child);
    assert_recovered(&segment, &fresh);
}

/// An overlay at `all` in `directory`, for this process and its children.
fn mount_overlay(directory: &str) -> bool {
    let text = |text: String| CString::new(text).unwrap();
    let at = text(format!("{directory}all"));
    let parts = ["lower", "upper", "work"].map(|part| format!("{part}dir={directory}{part}"));
    let parts = text(parts.join(","));
    let none = std::ptr::null();
    let (flags, overlay) = (libc::MS_REC | libc::MS_PRIVATE, c"overlay".as_ptr());
    // SAFETY: strings that live through the calls.
    let done = unsafe {
        libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) == 0
            && libc::mount(overlay, at.as_ptr(), overlay, 0, parts.as_ptr().cast()) == 0
    };
    if !done {
        eprintln!("skipped: no overlay: {}", std::io::Error::last_os_error());
    }
    done
}

#[test]
fn in_a_copy_of_the_file_nobody_lives() {
    const TEST: &str = "in_a_copy_of_the_file_nobody_lives";
    if is_holder() {
        return;
    }
    let directory = Directory::new(TEST);
    for is_of_another_boot in [false, true] {
        let name = Name::new(TEST);
        let segment = Segment::create(&name, 16 << 20).unwrap();
        let fresh = at_rest(&segment);
        segment.construct("kept", 17u64).unwrap();
        segment.construct_slice("slice", 10_000, |i| i as u32).unwrap();
        let offset = segment.own([3u64; 40]).unwrap().publish();
        let holders: Vec<_> = (0..3).map(|_| holder(TEST, &name)).collect();
        // As after a power cut: the file is there, and every lock is gone.
        let path = directory.join("copy");
        std::fs::copy(name.path(), &path).unwrap();
        if is_of_another_boot {
            change_boot_id(&path);
        }
        let copy = open(path.to_str().unwrap());
        let stats = copy.stats().unwrap();
        for one in stats.participants.iter().filter(|one| !one.is_self) {
            assert_eq!(one.liveness, Liveness::Dead, "{one:?}");
        }
        assert_eq!(stats.participants.len(), 5);
        assert_eq!(copy.recover().unwrap().processes, 4);
        assert_eq!(*copy.find::<u64>("kept").unwrap().unwrap(), 17);
        let slice = copy.find_slice::<u32>("slice").unwrap().unwrap();
        assert!(slice.iter().enumerate().all(|(i, n)| *n == i as u32) && slice.len() == 10_000);
        drop(slice);
        assert_eq!(*copy.resolve(offset).unwrap(), [3; 40]);
        copy.destroy_at(offset).unwrap();
        copy.clear().unwrap();
        assert_recovered(&copy, &fresh);
        // And where they live, they live on.
        for mut holder in holders {
            assert_alive(&segment, holder.id());
            assert_works(&mut holder);
            holder.tell("end");
            holder.finish();
        }
        segment.destroy_at(offset).unwrap();
        segment.clear().unwrap();
        assert_recovered(&segment, &fresh);
        std::fs::remove_file(&path).unwrap();
    }
}

/// The file looks as if it was made before the machine was started.
fn change_boot_id(path: &std::path::Path) {
    use std::os::unix::fs::FileExt;
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let id = u128::from_str_radix(&id.trim().replace('-', ""), 16).unwrap();
    let id = [(id >> 64) as u64, id as u64].map(u64::to_ne_bytes).concat();
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut head = [0; 4096];
    file.read_exact_at(&mut head, 0).unwrap();
    let at = head.windows(16).position(|bytes| bytes == id).expect("a boot id in the header");
    file.write_all_at(&[0x11; 16], at as u64).unwrap();
}

#[test]
fn a_strangers_lock_kills_nobody_and_is_named() {
    const TEST: &str = "a_strangers_lock_kills_nobody_and_is_named";
    if is_holder() {
        return;
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let fresh = at_rest(&segment);
    let (mut other, killed) = (holder(TEST, &name), holder(TEST, &name));
    let dead = killed.id();
    signal(dead, libc::SIGKILL);
    killed.ended();
    // The stranger knows nothing of segments. It can lock what nobody alive has locked.
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    let (mut ready, tell) = std::io::pipe().unwrap();
    let stranger = fork(|| {
        close_pipes();
        let mut range = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            // The bytes of all participants but the first two, which are at it.
            l_start: (1 << 62) + 2,
            l_len: 0,
            l_pid: 0,
        };
        // SAFETY: the structure lives through the call.
        let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut range) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        use std::io::Write;
        (&tell).write_all(b"!").unwrap();
        // SAFETY: sleeps until the signal that kills.
        unsafe { libc::pause() };
    });
    std::io::Read::read_exact(&mut ready, &mut [0]).unwrap();
    assert_alive(&segment, other.id());
    assert_eq!(verdict_by(&mut other, std::process::id()), "[Alive]");
    assert_ne!(verdicts(&segment, dead), [Liveness::Dead], "it cannot be told");
    assert_eq!(segment.recover().unwrap().processes, 0);
    let refused = Segment::open(&name).unwrap_err();
    assert!(
        matches!(refused, Error::ForeignLock { pid, .. } if pid == stranger as i32),
        "{refused}"
    );
    signal(stranger, libc::SIGKILL);
    reap(stranger);
    assert_eq!(verdicts(&segment, dead), [Liveness::Dead]);
    drop(Segment::open(&name).unwrap());
    assert_works(&mut other);
    other.tell("end");
    other.finish();
    assert_recovered(&segment, &fresh);
}
