//! Who is alive, by the word of the kernel and by nothing else:
//!
//! - dead is who can never run an instruction again: killed (waited for or not), ended without
//!   goodbye, aborted, replaced by another program in the same process;
//! - alive is everybody else, whatever it looks like from outside: stopped, with all descriptors
//!   closed, with its first thread gone, with a child of vfork left in its memory;
//! - what is the dead's comes back, what is the living's stays, by the same verdict;
//! - who cannot tell says so, and calls nobody dead.
#[path = "common/mod.rs"]
mod common;
#[path = "common/life.rs"]
mod life;

use common::{Name, Process, arg, at_rest, hear, long, role, say};
use life::{
    Words, assert_alive, assert_recovered, assert_works, await_death, close_pipes, fork, holder,
    is_holder, open, reap, signal, state, until, verdict_by, verdicts,
};
use sharena::{Liveness, Segment, Stats};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A segment with [`Words`] in it, and what it is like so.
fn new(test: &str) -> (Name, Segment, Stats) {
    let name = Name::new(test);
    let segment = Segment::create(&name, 16 << 20).unwrap();
    segment.construct("words", Words::default()).unwrap();
    let fresh = at_rest(&segment);
    (name, segment, fresh)
}

#[test]
fn the_killed_are_dead_before_anybody_waits_for_them() {
    const TEST: &str = "the_killed_are_dead_before_anybody_waits_for_them";
    if is_holder() {
        return;
    }
    for is_waited_for in [false, true] {
        let (name, segment, fresh) = new(TEST);
        let killed = holder(TEST, &name);
        let pid = killed.id();
        assert_alive(&segment, pid);
        segment.recover().unwrap();
        assert_alive(&segment, pid);
        signal(pid, libc::SIGKILL);
        if is_waited_for {
            assert_eq!(killed.ended().signal(), Some(libc::SIGKILL));
            // Its memory was gone before it could be waited for.
            assert_eq!(verdicts(&segment, pid), [Liveness::Dead]);
            assert_recovered(&segment, &fresh);
        } else {
            await_death(&segment, pid);
            // Its lock falls on its way to be a zombie, on which it sleeps for nobody.
            let told = state(pid);
            assert!(matches!(told, Some('R' | 'D' | 'X' | 'Z')), "nobody has waited: {told:?}");
            assert_recovered(&segment, &fresh);
            let end = Instant::now() + Duration::from_secs(20);
            while state(pid) != Some('Z') {
                assert!(state(pid).is_some() && Instant::now() < end, "nobody has waited for it");
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn who_ends_without_goodbye_is_dead() {
    const TEST: &str = "who_ends_without_goodbye_is_dead";
    if is_holder() {
        return;
    }
    let ways = [("exit", None), ("_exit", None), ("abort", Some(libc::SIGABRT))];
    for (way, by_signal) in ways.into_iter().chain([("panic", Some(libc::SIGABRT))]) {
        let (name, segment, fresh) = new(TEST);
        let mut other = holder(TEST, &name);
        let pid = other.id();
        other.tell(way);
        assert_eq!(other.ended().signal(), by_signal, "{way}");
        assert_eq!(verdicts(&segment, pid), [Liveness::Dead], "{way}");
        assert_recovered(&segment, &fresh);
    }
    // And who says goodbye has nothing to be recovered.
    let (name, segment, fresh) = new(TEST);
    let mut other = holder(TEST, &name);
    other.tell("end");
    other.finish();
    assert_eq!(segment.recover().unwrap().processes, 0);
    assert_recovered(&segment, &fresh);
}

#[test]
fn a_process_whose_first_thread_ended_works_on_and_is_alive() {
    const TEST: &str = "a_process_whose_first_thread_ended_works_on_and_is_alive";
    if role().is_some() {
        // The thread that forks is the first one in the child.
        let child = fork(|| {
            let segment = open(&arg(0));
            std::thread::scope(|scope| {
                scope.spawn(|| life::obey(&segment, &life::Held::take(&segment)));
                // SAFETY: ends this thread alone; its stack, with the segment in it, stays mapped.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
            });
        });
        say(child);
        reap(child);
        return;
    }
    for ending in ["_exit", "kill"] {
        let (name, segment, fresh) = new(TEST);
        let mut other = Process::start(TEST, "parent", &[&name]);
        let said = [other.listen(), other.listen()];
        let pid = said.iter().find_map(|said| said.parse().ok()).expect("its number");
        until("the end of the first thread", || state(pid) == Some('Z'));
        for _ in 0..20 {
            assert_alive(&segment, pid);
            assert_eq!(segment.recover().unwrap().processes, 0);
            assert_works(&mut other);
        }
        match ending {
            "kill" => signal(pid, libc::SIGKILL),
            how => other.tell(how),
        }
        other.finish();
        assert_eq!(verdicts(&segment, pid), [Liveness::Dead]);
        assert_recovered(&segment, &fresh);
    }
}

#[test]
fn a_stopped_process_is_alive_and_finds_what_it_left() {
    const TEST: &str = "a_stopped_process_is_alive_and_finds_what_it_left";
    if is_holder() {
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let (mut stopped, mut other) = (holder(TEST, &name), holder(TEST, &name));
    let pid = stopped.id();
    signal(pid, libc::SIGSTOP);
    until("the stop", || state(pid) == Some('T'));
    let time = Duration::from_secs(if long() { 60 } else { 1 });
    let begin = Instant::now();
    while begin.elapsed() < time {
        assert_alive(&segment, pid);
        assert_eq!(verdict_by(&mut other, pid), "[Alive]");
        assert_eq!(segment.recover().unwrap().processes, 0);
        other.tell("recover");
        assert_eq!(other.listen(), "recovered");
        // What comes back would be given out.
        life::Held::take(&segment).assert_intact();
    }
    signal(pid, libc::SIGCONT);
    assert_works(&mut stopped);
    // Stopped again, and killed so.
    signal(pid, libc::SIGSTOP);
    signal(pid, libc::SIGKILL);
    await_death(&segment, pid);
    other.tell("end");
    other.finish();
    assert_recovered(&segment, &fresh);
}

#[test]
fn exec_is_death_and_the_new_program_can_attach() {
    const TEST: &str = "exec_is_death_and_the_new_program_can_attach";
    if is_holder() {
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let mut other = holder(TEST, &name);
    let pid = other.id();
    other.tell(format_args!("exec {TEST}"));
    assert_eq!(other.listen(), "ready");
    assert_eq!(verdicts(&segment, pid), [Liveness::Dead, Liveness::Alive]);
    assert_eq!(verdict_by(&mut other, pid), "[Dead, Alive]", "its own view");
    // The new program recovers what the old one left.
    other.tell("recover");
    assert_eq!(other.listen(), "recovered");
    assert_alive(&segment, pid);
    assert_works(&mut other);
    other.tell(format_args!("exec {TEST}"));
    assert_eq!(other.listen(), "ready");
    segment.recover().unwrap();
    assert_alive(&segment, pid);
    assert_works(&mut other);
    other.tell("end");
    other.finish();
    assert_recovered(&segment, &fresh);
}

#[test]
fn who_closes_all_descriptors_is_alive_and_judges_rightly() {
    const TEST: &str = "who_closes_all_descriptors_is_alive_and_judges_rightly";
    if is_holder() {
        return;
    }
    // What the numbers come to mean: nothing, any file, another segment (where all locks are free).
    let (another, _segment, _) = new("another");
    let another = another.path().to_str().unwrap().to_owned();
    for file in ["", "/dev/null", &another] {
        let (name, segment, fresh) = new(TEST);
        let (mut closer, killed) = (holder(TEST, &name), holder(TEST, &name));
        let (me, pid, dead) = (std::process::id(), closer.id(), killed.id());
        closer.tell("close");
        assert_eq!(closer.listen(), "closed");
        if !file.is_empty() {
            closer.tell(format_args!("open {file}"));
            assert_eq!(closer.listen(), "opened");
        }
        for _ in 0..20 {
            assert_alive(&segment, pid);
            assert_eq!(verdict_by(&mut closer, me), "[Alive]", "{file}");
            assert_eq!(verdict_by(&mut closer, pid), "[Alive]", "{file}");
            closer.tell("recover");
            assert_eq!(closer.listen(), "recovered");
            assert_eq!(segment.recover().unwrap().processes, 0);
        }
        assert_works(&mut closer);
        signal(dead, libc::SIGKILL);
        killed.ended();
        assert_eq!(verdict_by(&mut closer, dead), "[Dead]", "by name it finds the file again");
        closer.tell("recover");
        assert_eq!(closer.listen(), "recovered");
        assert_eq!(verdicts(&segment, dead), [], "{file}");
        // The file has lost its name: nothing leads there from a process without a descriptor.
        std::fs::remove_file(name.path()).unwrap();
        assert_eq!(verdict_by(&mut closer, me), "[Unknown]", "{file}");
        assert_works(&mut closer);
        closer.tell("opened?");
        assert_eq!(closer.listen(), "true", "another's descriptor was closed");
        signal(pid, libc::SIGKILL);
        closer.ended();
        assert_eq!(verdicts(&segment, pid), [Liveness::Dead]);
        assert_recovered(&segment, &fresh);
    }
}

#[test]
fn a_forked_child_outlives_its_parent_as_a_process_of_its_own() {
    const TEST: &str = "a_forked_child_outlives_its_parent_as_a_process_of_its_own";
    if is_holder() {
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let words = segment.find::<Words>("words").unwrap().unwrap();
    let mut parent = holder(TEST, &name);
    let pid = parent.id();
    parent.tell("fork");
    let child = parent.listen().parse().unwrap();
    words.assert_beats();
    assert_alive(&segment, pid);
    assert_alive(&segment, child);
    signal(pid, libc::SIGKILL);
    parent.ended();
    assert_eq!(verdicts(&segment, pid), [Liveness::Dead], "whatever its child inherited");
    segment.recover().unwrap();
    assert_alive(&segment, child);
    words.assert_beats();
    assert_alive(&segment, child);
    words.stop.store(1, Ordering::Release);
    drop(words);
    await_death(&segment, child);
    assert_recovered(&segment, &fresh);
}

#[test]
fn a_child_in_the_memory_of_a_killed_parent_is_its_life() {
    const TEST: &str = "a_child_in_the_memory_of_a_killed_parent_is_its_life";
    extern "C" fn child(words: *mut libc::c_void) -> libc::c_int {
        close_pipes();
        // SAFETY: a timer; and the words, in memory that is mapped as long as this process lives.
        unsafe {
            libc::alarm(120);
            (*words.cast::<Words>()).beat();
        }
        0
    }
    if role().is_some() {
        let segment = open(&arg(0));
        let held = life::Held::take(&segment);
        let words = segment.find::<Words>("words").unwrap().unwrap();
        let mut stack = vec![0u8; 64 << 10];
        let words = (&raw const *words).cast_mut().cast();
        // As vfork, but that the parent goes on.
        // SAFETY: the stack grows down from its end, which is aligned, and stays; the child touches
        // nothing of ours but the words.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len()).map_addr(|top| top & !15);
            libc::clone(child, top.cast(), libc::CLONE_VM | libc::SIGCHLD, words)
        };
        assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
        assert_eq!(hear(), "child?");
        say(pid);
        life::obey(&segment, &held);
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let words = segment.find::<Words>("words").unwrap().unwrap();
    let mut parent = Process::start(TEST, "parent", &[&name]);
    let pid = parent.id();
    parent.tell("child?");
    let child: u32 = parent.listen().parse().unwrap();
    words.assert_beats();
    signal(pid, libc::SIGKILL);
    parent.ended();
    assert_eq!(state(pid), None, "killed, and waited for");
    for _ in 0..20 {
        words.assert_beats();
        assert_eq!(
            verdicts(&segment, pid),
            [Liveness::Alive],
            "somebody still writes in its memory"
        );
        assert_eq!(segment.recover().unwrap().processes, 0);
    }
    assert_eq!(verdicts(&segment, child), [], "it is no process of its own to the segment");
    words.stop.store(1, Ordering::Release);
    drop(words);
    await_death(&segment, pid);
    assert_recovered(&segment, &fresh);
}

#[test]
fn who_detaches_is_never_called_dead() {
    const TEST: &str = "who_detaches_is_never_called_dead";
    if role().is_some() {
        let (segment, begin) = (open(&arg(0)), Instant::now());
        let words = segment.find::<Words>("words").unwrap().unwrap();
        while words.stop.load(Ordering::Acquire) == 0 && begin.elapsed() < Duration::from_secs(100)
        {
            drop(open(&arg(0)));
            words.beat.fetch_add(1, Ordering::AcqRel);
        }
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let words = segment.find::<Words>("words").unwrap().unwrap();
    let other = Process::start(TEST, "comes and goes", &[&name]);
    let mut looks = 0;
    until("some comings and goings", || {
        for _ in 0..20 {
            assert!(!verdicts(&segment, other.id()).contains(&Liveness::Dead), "look {looks}");
            assert_eq!(segment.recover().unwrap().processes, 0);
            looks += 1;
        }
        words.beat.load(Ordering::Acquire) > 3000 && looks > 3000
    });
    words.stop.store(1, Ordering::Release);
    other.finish();
    drop(words);
    assert_recovered(&segment, &fresh);
}

#[test]
fn a_watchers_forked_child_keeps_no_dead_alive() {
    const TEST: &str = "a_watchers_forked_child_keeps_no_dead_alive";
    if is_holder() {
        return;
    }
    if role().is_some() {
        let segment = open(&arg(0));
        let _watcher = segment.watch(|_| {}).unwrap();
        let waiters = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
            let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
            tasks.flat_map(name).filter(|name| name.trim() == "sharena-waiter").count()
        };
        until("a waiter for each other", || waiters() == 2);
        // It inherits the descriptors through which the waiters wait.
        let child = fork(|| {
            close_pipes();
            // SAFETY: sleeps until the signal that kills.
            unsafe { libc::pause() };
        });
        say(child);
        hear();
        signal(child, libc::SIGKILL);
        reap(child);
        return;
    }
    let (name, segment, fresh) = new(TEST);
    let killed = holder(TEST, &name);
    let mut watcher = Process::start(TEST, "watcher", &[&name]);
    watcher.listen();
    let dead = killed.id();
    signal(dead, libc::SIGKILL);
    killed.ended();
    until("the watcher", || verdicts(&segment, dead).is_empty());
    watcher.tell("end");
    watcher.finish();
    assert_recovered(&segment, &fresh);
}
