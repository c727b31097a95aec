use super::*;
use crate::file::Link;
use crate::file::tests::{Child, Scratch, in_child, is_root, replace_descriptor};
use crate::mapping::Mapping;
use crate::process::participant::Participant;
use crate::sync::{AtomicU64, Release};
use std::time::{Duration, Instant};

/// A participant table in a file of its own, mapped; not unmapped at exec or in children.
pub(crate) struct Table {
    mapping: Mapping,
    slots: usize,
}

impl Table {
    pub(crate) const BYTES: u64 = 64 << 10;

    pub(crate) fn new(slots: usize) -> Table {
        Self::of(SegmentFile::memory("table", Self::BYTES).unwrap(), slots)
    }
    pub(crate) fn of(file: SegmentFile, slots: usize) -> Table {
        let mapping = Mapping::new(file, Self::BYTES).unwrap();
        mapping.back(0, Self::BYTES).unwrap();
        Table { mapping, slots }
    }
    pub(crate) fn file(&self) -> &SegmentFile {
        self.mapping.file()
    }
    fn word_at(&self, index: usize) -> &AtomicU64 {
        assert!(index < 512);
        // SAFETY: in the first page, which holds words only.
        unsafe { &*self.mapping.base().cast::<AtomicU64>().add(index) }
    }
    pub(crate) fn high(&self) -> &AtomicU64 {
        self.word_at(0)
    }
    /// A word for tests to speak through.
    pub(crate) fn signal(&self) -> &AtomicU64 {
        self.word_at(1)
    }
    pub(crate) fn wait_for(&self, value: u64) {
        until(|| self.signal().load(Acquire) >= value);
    }
    pub(crate) fn records(&self) -> &[ParticipantRecord] {
        assert!(self.slots <= 512);
        // SAFETY: behind the first page, inside the mapping, zero at first, atomics only.
        unsafe { std::slice::from_raw_parts(self.mapping.base().add(4096).cast(), self.slots) }
    }
    pub(crate) fn word(&self, slot: usize) -> ParticipantWord {
        ParticipantWord::of(self.records()[slot].word.load(Acquire)).unwrap()
    }
    pub(crate) fn attach(&self) -> Participant {
        Participant::attach(self.records(), self.high(), self.file()).unwrap()
    }
    pub(crate) fn attach_by(&self, way: HeldBy) -> Participant {
        let (own, window) = (Identity::own(), NoFork::enter());
        let (records, high) = (self.records(), self.high());
        Participant::attach_by(&[way], &window, &own, records, 0..records.len(), high, self.file())
            .unwrap()
    }
    fn judge(&self, judge: &Judge<'_>, slot: u16) -> Verdict {
        let record = &self.records()[usize::from(slot)];
        judge.judge(ParticipantId(slot), record, self.word(usize::from(slot)))
    }
    /// The verdict of a new visitor.
    fn verdict(&self, slot: u16) -> Verdict {
        self.judge(&Judge::visitor(self.file()).unwrap(), slot)
    }
    fn say(&self, value: u64) {
        self.signal().store(value, Release);
    }
}

fn until(mut reached: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !reached() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: sleeps until the signal that kills.
        unsafe { libc::pause() };
    }
}

fn close_all() {
    // SAFETY: in a child whose descriptors nobody needs; that is the test.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
}

#[test]
fn a_lock_survives_the_closing_of_all_descriptors_and_falls_with_the_process() {
    let table = Table::new(4);
    let child = Child::run(|| {
        table.attach();
        close_all();
        table.say(1);
        sleep_for_ever()
    });
    table.wait_for(1);
    let me = table.attach();
    for _ in 0..20 {
        assert_eq!(table.verdict(0), Verdict::Alive);
        assert_eq!(table.judge(&Judge::participant(table.file(), me.id()), 0), Verdict::Alive);
    }
    // SAFETY: our own child.
    unsafe { libc::kill(child.0, libc::SIGSTOP) };
    assert_eq!(table.verdict(0), Verdict::Alive, "stopped is alive");
    child.kill();
    until(|| table.verdict(0) == Verdict::Dead);
    assert_eq!(table.judge(&Judge::participant(table.file(), me.id()), 0), Verdict::Dead);
    assert_eq!(table.verdict(1), Verdict::Alive);
    let dead = ParticipantWord::Dead { counter: table.word(0).counter() };
    table.records()[0].word.store(dead.word(), Release);
    assert_eq!(table.verdict(0), Verdict::Dead);
    assert_eq!(table.verdict(2), Verdict::Unknown, "nobody");
}

#[test]
fn exec_is_death() {
    let table = Table::new(2);
    let child = Child::run(|| {
        table.attach();
        table.say(1);
        table.wait_for(2);
        let argv = [c"sleep".as_ptr(), c"60".as_ptr(), std::ptr::null()];
        // SAFETY: a list that ends with null.
        unsafe { libc::execvp(argv[0], argv.as_ptr()) };
        false
    });
    table.wait_for(1);
    assert_eq!(table.verdict(0), Verdict::Alive);
    table.say(2);
    until(|| table.verdict(0) == Verdict::Dead);
    // SAFETY: no status is asked for.
    let state = unsafe { libc::waitpid(child.0, std::ptr::null_mut(), libc::WNOHANG) };
    assert_eq!(state, 0, "the process itself still runs");
}

#[test]
fn a_forked_child_does_not_keep_its_parent_alive() {
    let table = Table::new(2);
    let parent = Child::run(|| {
        table.attach();
        let grandchild = Child::run(|| {
            table.say(1);
            table.wait_for(2);
            table.say(3);
            true
        });
        std::mem::forget(grandchild);
        sleep_for_ever()
    });
    table.wait_for(1);
    assert_eq!(table.verdict(0), Verdict::Alive);
    parent.kill();
    until(|| table.verdict(0) == Verdict::Dead);
    table.say(2);
    table.wait_for(3);
}

#[test]
fn a_child_forked_while_another_thread_attaches_does_not_keep_its_parent_alive() {
    for round in 0..10 {
        let table = Table::new(2);
        let parent = Child::run(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..40 {
                        // Ends when told to, or by its alarm.
                        std::mem::forget(Child::run(|| {
                            table.wait_for(2 << 32);
                            true
                        }));
                    }
                    table.say(1);
                });
                while table.signal().load(Acquire) == 0 {
                    table.attach().detach(table.records());
                    // The gate goes to whoever comes by: who forks on a busy processor must find it open at some time.
                    std::thread::sleep(Duration::from_micros(20));
                }
            });
            table.attach();
            table.signal().fetch_or(1 << 32, Release);
            sleep_for_ever()
        });
        table.wait_for(1 << 32);
        parent.kill();
        // A lock that a child had inherited would stay held as long as the child lives.
        let locks = |byte| holder(table.file().fd(), PARTICIPANT_BYTES + byte, Kind::Exclusive);
        until(|| (0..2).all(|byte| locks(byte) == Ok(Holder::Free)));
        assert_eq!(table.verdict(0), Verdict::Dead, "round {round}");
        table.say(2 << 32);
    }
}

#[test]
fn a_process_whose_first_thread_ended_is_alive() {
    let table = Table::new(2);
    let child = Child::run(|| {
        table.attach();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                table.say(1);
                sleep_for_ever()
            });
            // SAFETY: ends this thread; the other uses nothing of its stack but the table,
            // and the stack stays mapped.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
        false
    });
    table.wait_for(1);
    until(|| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0)).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
    });
    assert_eq!(table.verdict(0), Verdict::Alive);
    child.kill();
    until(|| table.verdict(0) == Verdict::Dead);
}

#[test]
fn a_descriptor_that_is_closed_is_not_death_but_a_process_that_is_gone_is() {
    let table = Table::new(2);
    let child = Child::run(|| {
        let me = table.attach_by(HeldBy::Descriptor);
        table.say(1);
        table.wait_for(2);
        close_all();
        table.say(3);
        table.wait_for(4);
        me.is_attached()
    });
    table.wait_for(1);
    assert!(matches!(table.word(0), ParticipantWord::Live { held_by: HeldBy::Descriptor, .. }));
    assert_eq!(table.verdict(0), Verdict::Alive);
    table.say(2);
    table.wait_for(3);
    assert_eq!(table.verdict(0), Verdict::Unknown, "its lock is gone, it is not");
    let record = &table.records()[0];
    let namespace = record.pid_namespace.load(Acquire);
    table.say(4);
    assert_eq!(child.wait(), Some(0));
    record.pid_namespace.store(namespace + 1, Release);
    assert_eq!(table.verdict(0), Verdict::Unknown, "its number means nothing here");
    record.pid_namespace.store(namespace, Release);
    assert_eq!(table.verdict(0), Verdict::Dead);
    // Its number is used again, by this process.
    record.pid.store(u64::from(std::process::id()), Release);
    let start = start_time("/proc/self/stat").unwrap();
    record.start.store(start - 1, Release);
    assert_eq!(table.verdict(0), Verdict::Dead, "started at another time");
    record.start.store(start, Release);
    assert_eq!(table.verdict(0), Verdict::Unknown);
}

#[test]
fn forgetting_in_a_child_lets_go_of_the_parents_descriptor() {
    let table = Table::new(2);
    let parent = Child::run(|| {
        let me = table.attach_by(HeldBy::Descriptor);
        let grandchild = Child::run(|| {
            me.forget();
            table.say(1);
            table.wait_for(2);
            true
        });
        std::mem::forget(grandchild);
        sleep_for_ever()
    });
    table.wait_for(1);
    assert_eq!(table.verdict(0), Verdict::Alive);
    parent.kill();
    parent.wait();
    until(|| table.verdict(0) == Verdict::Dead);
    table.say(2);
}

#[test]
fn who_does_not_see_its_own_lock_judges_nobody() {
    let table = Table::new(4);
    assert!(in_child(|| table.attach().is_attached()));
    assert_eq!(table.verdict(0), Verdict::Dead);
    let nobody = Judge::participant(table.file(), ParticipantId(3));
    assert_eq!(table.judge(&nobody, 0), Verdict::Unknown);
}

#[test]
fn who_detaches_before_its_lock_is_asked_for_is_not_called_dead() {
    let table = Table::new(4);
    let (me, other) = (table.attach(), table.attach());
    let judge = Judge::participant(table.file(), me.id());
    let (who, record) = (other.id(), &table.records()[usize::from(other.id().0)]);
    let seen = table.word(1);
    other.detach(table.records());
    assert_eq!(judge.judge(who, record, seen), Verdict::Unknown);
    // Another has judged meanwhile: that stays.
    for word in [ParticipantWord::Dead { counter: 0 }, ParticipantWord::Closed { counter: 0 }] {
        record.word.store(word.word(), Release);
        assert_eq!(judge.judge(who, record, seen), Verdict::Dead);
    }
    record.word.store(ParticipantWord::Dead { counter: 1 }.word(), Release);
    assert_eq!(judge.judge(who, record, seen), Verdict::Unknown, "one of later");
}

#[test]
fn a_wrong_descriptor_leads_to_no_wrong_verdict() {
    let scratch = Scratch::new("judge-replaced");
    let other = std::fs::File::create(scratch.path("other")).unwrap();
    let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
    assert_eq!(file.link(&scratch.path("a")).unwrap(), Link::Linked);
    let with_path = Table::of(file, 4);
    for (table, expected) in [(with_path, Verdict::Dead), (Table::new(4), Verdict::Unknown)] {
        let me = table.attach();
        assert!(in_child(|| table.attach().is_attached()));
        let judge = Judge::participant(table.file(), me.id());
        assert_eq!(table.judge(&judge, 1), Verdict::Dead);
        replace_descriptor(table.file(), &other);
        assert_eq!(table.judge(&judge, 1), expected);
        assert_ne!(table.judge(&judge, me.id().0), Verdict::Dead);
    }
}

#[test]
fn where_locks_do_not_outlive_descriptors_a_descriptor_holds_it() {
    if !is_root() {
        eprintln!("skipped: mounting an overlay needs root");
        return;
    }
    let scratch = Scratch::new("overlay");
    for part in ["lower", "upper", "work", "all"] {
        std::fs::create_dir(scratch.path(part)).unwrap();
    }
    assert!(in_child(|| {
        let text =
            |path: std::path::PathBuf| std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        let at = text(scratch.path("all"));
        let part = |name| scratch.path(name).to_str().unwrap().to_string();
        let parts = [part("lower"), part("upper"), part("work")];
        let parts = format!("lowerdir={},upperdir={},workdir={}", parts[0], parts[1], parts[2]);
        let parts = text(parts.into());
        let none = std::ptr::null();
        let (flags, overlay) = (libc::MS_REC | libc::MS_PRIVATE, c"overlay".as_ptr());
        // SAFETY: strings that live through the calls; only this child sees the mounts.
        let mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) == 0
                && libc::mount(overlay, at.as_ptr(), overlay, 0, parts.as_ptr().cast()) == 0
        };
        if !mounted {
            eprintln!("skipped: no permission to mount an overlay");
            return true;
        }
        let file = SegmentFile::create(&scratch.path("all"), Table::BYTES, 0o600).unwrap();
        let table = Table::of(file, 2);
        let me = table.attach();
        let by = HeldBy::Descriptor;
        assert_eq!(table.word(0), ParticipantWord::Live { counter: 0, held_by: by });
        assert_eq!(table.verdict(0), Verdict::Alive);
        me.detach(table.records());
        table.word(0) == ParticipantWord::Free { counter: 1 }
    }));
}

#[test]
fn a_process_knows_itself_and_a_forked_child_is_another() {
    let is_so = || {
        let of = |it: Identity| (it.pid, it.start, it.pid_namespace, it.time_namespace);
        // The first may be what others have asked for before.
        (0..2).all(|_| of(Identity::known()) == of(Identity::own()))
    };
    assert!(is_so());
    std::thread::sleep(Duration::from_millis(50)); // the kernel tells the start in hundredths
    assert_eq!(Child::run(is_so).wait(), Some(0));
}

#[test]
fn the_start_time_is_read_behind_any_program_name() {
    assert!(in_child(|| {
        let before = start_time("/proc/self/stat").unwrap();
        // SAFETY: a name that ends with 0.
        unsafe { libc::prctl(libc::PR_SET_NAME, c") 1 (2) 3".as_ptr()) };
        before > 0 && start_time("/proc/self/stat") == Some(before)
    }));
}

#[test]
fn the_start_time_is_some_moment_of_the_past() {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split_ascii_whitespace().next().unwrap().parse().unwrap();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let started = start_time("/proc/self/stat").unwrap() as f64 / ticks;
    assert!(started <= uptime + 1.0 && started > uptime - 3600.0, "{started} of {uptime} s");
}
