use super::*;
use crate::file::Link;
use crate::file::tests::{Child, Scratch, become_nobody, in_child, is_root};
use crate::process::liveness::tests::Table;
use crate::process::liveness::{Judge, Verdict};
use crate::sync::{AcqRel, Acquire, Release};

#[test]
fn words_come_back_as_they_went() {
    for counter in [0, 1, u32::MAX] {
        let free = ParticipantWord::Free { counter };
        let by_descriptor = free.attach(HeldBy::Descriptor).unwrap();
        let live = free.attach(HeldBy::Mapping).unwrap();
        let (dead, closed) =
            (ParticipantWord::Dead { counter }, ParticipantWord::Closed { counter });
        for word in [free, by_descriptor, live, dead, closed] {
            assert_eq!(ParticipantWord::of(word.word()), Some(word));
        }
    }
    assert_eq!(ParticipantWord::Free { counter: 0 }.word(), 0, "fresh memory is free slots");
    for word in [4, 1 << 4, 2 | 1 << 4, 1 | 1 << 5, 1 << 31] {
        assert_eq!(ParticipantWord::of(word), None, "{word:#x}");
    }
}

#[test]
fn a_word_takes_the_steps_of_the_picture_and_no_other() {
    let next = ParticipantWord::Free { counter: 0 };
    let free = ParticipantWord::Free { counter: u32::MAX };
    let live = free.attach(HeldBy::Mapping).unwrap();
    assert_eq!(live.detach(), Some(next), "it wraps");
    let (dead, closed) =
        (ParticipantWord::Dead { counter: 7 }, ParticipantWord::Closed { counter: 7 });
    for word in [live, dead, closed] {
        assert_eq!(word.attach(HeldBy::Mapping), None);
    }
    for word in [free, dead, closed] {
        assert_eq!(word.detach(), None);
    }
}

#[test]
fn a_slot_that_is_given_out_again_has_another_number() {
    for counter in [0, 41, u32::MAX] {
        let (free, again) = (
            ParticipantWord::Free { counter },
            ParticipantWord::Free { counter: counter.wrapping_add(1) },
        );
        for held_by in [HeldBy::Mapping, HeldBy::Descriptor] {
            let live = free.attach(held_by).unwrap();
            assert_eq!(live, ParticipantWord::Live { counter, held_by });
            let dead = live.die().unwrap();
            assert_eq!(dead, ParticipantWord::Dead { counter });
            let closed = dead.close().unwrap();
            assert_eq!(closed, ParticipantWord::Closed { counter });
            assert_eq!((live.detach(), closed.reopen()), (Some(again), Some(again)));
            for word in [free, dead, closed] {
                assert_eq!(word.die(), None);
            }
            for word in [free, live, closed] {
                assert_eq!(word.close(), None);
            }
            for word in [free, live, dead] {
                assert_eq!(word.reopen(), None);
            }
        }
    }
}

#[test]
fn two_attachments_of_a_process_are_two_participants() {
    let table = Table::new(4);
    let (first, second) = (table.attach(), table.attach());
    assert_eq!((first.id(), second.id()), (ParticipantId(0), ParticipantId(1)));
    assert_eq!(table.high().load(Acquire), 2);
    assert_eq!(table.records()[0].pid.load(Relaxed), u64::from(std::process::id()));
    first.detach(table.records());
    first.detach(table.records());
    assert!(!first.is_attached() && second.is_attached());
    assert_eq!(table.word(0), ParticipantWord::Free { counter: 1 });
    let third = table.attach();
    assert_eq!((third.id(), third.tenure().counter), (ParticipantId(0), 1));
    second.detach(table.records());
    third.detach(table.records());
    assert_eq!(table.word(0), ParticipantWord::Free { counter: 2 });
    assert_eq!(table.high().load(Acquire), 2);
    for byte in [0, 1] {
        let free = crate::file::holder(
            table.file().fd(),
            crate::file::PARTICIPANT_BYTES + byte,
            crate::file::Kind::Exclusive,
        );
        assert_eq!(free, Ok(Holder::Free));
    }
}

#[test]
fn a_full_table_is_an_error() {
    let table = Table::new(3);
    let all: Vec<Participant> = (0..3).map(|_| table.attach()).collect();
    let more = Participant::attach(table.records(), table.high(), table.file());
    assert!(matches!(more, Err(Error::TooManyProcesses { limit: 3, .. })));
    all[1].detach(table.records());
    assert_eq!(table.attach().id(), ParticipantId(1));
}

#[test]
fn what_is_no_word_is_not_taken() {
    let table = Table::new(2);
    table.records()[0].word.store(0xf, Release);
    assert_eq!(table.attach().id(), ParticipantId(1));
    assert_eq!(table.records()[0].word.load(Acquire), 0xf);
}

#[test]
fn a_strangers_record_lock_is_reported_by_its_process() {
    let table = Table::new(2);
    let stranger = Child::run(|| {
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        use rustix::fd::AsRawFd;
        // SAFETY: the structure lives through the call.
        let done =
            unsafe { libc::fcntl(table.file().fd().as_raw_fd(), libc::F_SETLK, &raw const whole) };
        table.signal().store(done as u64 + 1, Release);
        loop {
            // SAFETY: sleeps until the signal that kills.
            unsafe { libc::pause() };
        }
    });
    table.wait_for(1);
    let refused = Participant::attach(table.records(), table.high(), table.file());
    assert!(matches!(refused, Err(Error::ForeignLock { pid, .. }) if pid == stranger.0));
    drop(stranger);
    assert_eq!(table.attach().id(), ParticipantId(0));
}

#[test]
fn attaching_needs_permission_for_the_file_now() {
    if !is_root() {
        eprintln!("skipped: giving up permissions needs root");
        return;
    }
    let scratch = Scratch::new("attach-permission");
    let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
    assert_eq!(file.link(&scratch.path("a")).unwrap(), Link::Linked);
    let table = Table::of(file, 2);
    assert!(in_child(|| {
        become_nobody();
        let refused = Participant::attach(table.records(), table.high(), table.file());
        matches!(refused, Err(Error::PermissionDenied { .. }))
    }));
    assert_eq!(table.word(0), ParticipantWord::Free { counter: 0 });
}

#[test]
fn a_nameless_file_can_be_attached_to_before_it_gets_its_name() {
    let scratch = Scratch::new("attach-nameless");
    let file = SegmentFile::create(&scratch.0, Table::BYTES, 0o600).unwrap();
    let table = Table::of(file, 2);
    let me = table.attach();
    assert_eq!(table.file().link(&scratch.path("a")).unwrap(), Link::Linked);
    let opened = SegmentFile::open(&scratch.path("a")).unwrap();
    let visitor = Judge::visitor(&opened).unwrap();
    assert_eq!(visitor.judge(me.id(), &table.records()[0], table.word(0)), Verdict::Alive);
}

#[test]
fn processes_that_attach_at_once_get_a_slot_each() {
    let table = Table::new(24);
    let children: Vec<Child> = (0..24)
        .map(|_| {
            Child::run(|| {
                for _ in 0..20 {
                    table.attach().detach(table.records());
                }
                let me = table.attach();
                table.signal().fetch_add(1, AcqRel);
                table.wait_for(24);
                let word = table.word(usize::from(me.id().0));
                word == ParticipantWord::Live {
                    counter: me.tenure().counter,
                    held_by: HeldBy::Mapping,
                }
            })
        })
        .collect();
    assert!(children.into_iter().all(|child| child.wait() == Some(0)));
    assert_eq!(table.high().load(Acquire), 24);
}

#[test]
fn a_forked_child_is_no_participant_and_can_become_one() {
    let table = Table::new(4);
    let parent = table.attach();
    assert!(in_child(|| {
        parent.forget();
        parent.detach(table.records());
        let me = table.attach();
        let alone = !parent.is_attached() && me.id() == ParticipantId(1);
        me.detach(table.records());
        alone
    }));
    let judge = Judge::participant(table.file(), parent.id());
    assert_eq!(judge.judge(parent.id(), &table.records()[0], table.word(0)), Verdict::Alive);
    assert_eq!(table.word(1), ParticipantWord::Free { counter: 1 });
}

#[test]
fn threads_that_fork_and_threads_that_attach_do_not_lock_each_other_out() {
    let table = Table::new(16);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    table.attach().detach(table.records());
                }
            });
            scope.spawn(|| {
                for _ in 0..30 {
                    assert!(in_child(|| {
                        table.attach().detach(table.records());
                        in_child(|| {
                            table.attach().detach(table.records());
                            true
                        })
                    }));
                }
            });
        }
    });
}

#[test]
fn a_copy_is_the_same_participation() {
    let table = Table::new(2);
    for way in [HeldBy::Mapping, HeldBy::Descriptor] {
        let participant = table.attach_by(way);
        let copy = participant.copy();
        assert_eq!(copy.tenure(), participant.tenure());
        copy.detach(table.records());
        assert!(matches!(table.word(0), ParticipantWord::Free { .. }));
        let byte = crate::file::PARTICIPANT_BYTES;
        let holder = crate::file::holder(table.file().fd(), byte, crate::file::Kind::Exclusive);
        assert_eq!(holder, Ok(Holder::Free), "by the copy the lock falls, too");
    }
}
