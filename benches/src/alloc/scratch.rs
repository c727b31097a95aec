//! Small objects that are written often: who has two of different members in one cache line makes both slow
//! (cache-thrash and cache-scratch: E. Berger, K. McKinley, R. Blumofe, P. Wilson, "Hoard: A Scalable Memory Allocator
//! for Multithreaded Applications", 2000).

use super::subjects::{Passes, Subject};
use super::works::{Done, layout};
use crate::args::Kind;
use crate::members::{Common, Span, Start, together};
use anyhow::Result;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

/// Bytes of an object.
const OBJECT: usize = 8;
/// Writes to an object between its allocation and its free.
const WRITES: usize = 100;
/// Members that can be.
const MEMBERS: usize = 128;

/// Each member allocates an object, writes it often, frees it, and again.
#[inline(never)]
pub fn thrash<S: Subject>(subject: &S, parts: u32, start: impl FnOnce()) -> Done {
    subject.begin(OBJECT);
    start();
    write_often(subject, parts, Instant::now())
}

/// The same, but first each frees an object that member 0 allocated beside those of the others: an allocator that gives
/// it out again where it was freed has it beside theirs still.
pub fn scratch<S: Passes>(
    kind: Kind,
    members: u32,
    parts: u32,
    subject: impl Fn() -> Result<S> + Sync,
) -> Result<Vec<(u64, Span)>> {
    let base = Instant::now();
    let handed = Common::<MEMBERS>::new()?;
    let handed = &handed.words()[..members as usize];
    together(kind, members, |member, start: &Start<'_>| {
        let subject = subject()?;
        subject.begin(OBJECT);
        if member == 0 {
            for place in handed {
                // Release pairs with the Acquire below.
                place.store(subject.token(subject.allocate(layout(OBJECT))), Release);
            }
        }
        start.wait();
        let begin = Instant::now();
        // SAFETY: of member 0, of the same memory, and for this member alone.
        let object = unsafe { subject.taken(handed[member as usize].load(Acquire)) };
        // SAFETY: the layout that it was allocated with.
        unsafe { subject.free(object, layout(OBJECT)) };
        Ok(write_often(&subject, parts, begin).since(base))
    })
}

#[inline(always)]
fn write_often<S: Subject>(subject: &S, parts: u32, begin: Instant) -> Done {
    let pairs = 200_000 / parts;
    for _ in 0..pairs {
        let block = subject.allocate(layout(OBJECT));
        let object = subject.address(&block);
        for write in 0..WRITES {
            // SAFETY: one of its bytes, and ours alone.
            unsafe {
                let byte = object.add(write % OBJECT);
                byte.write_volatile(byte.read_volatile().wrapping_add(1));
            }
        }
        // SAFETY: its layout.
        unsafe { subject.free(block, layout(OBJECT)) };
    }
    Done { pairs, begin, took: begin.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::subjects::tests::Counted;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn each_member_frees_one_that_the_first_allocated() {
        let counts = [AtomicU64::new(0), AtomicU64::new(0)];
        let done = scratch(Kind::Threads, 3, 100, || Ok(Counted(&counts))).unwrap();
        let pairs: u64 = done.iter().map(|(pairs, _)| pairs).sum();
        assert_eq!(pairs, 3 * 2_000);
        assert_eq!(counts.map(AtomicU64::into_inner), [pairs + 3; 2]);
    }
}
