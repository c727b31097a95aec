//! How long it takes to take back what a dead process owned, and whether others notice.
//!
//! A process takes blocks of one size and ends with all of them, as if it was killed: the kernel alone
//! says so. Then this one, which never used them, recovers. It has [prepared](Segment::prepare), so that its page faults
//! are not measured, of which there may be more or fewer.

use super::states::{States, per_gib};
use crate::alloc::subjects::{Published, Subject};
use crate::alloc::works::{SMALL, layout};
use crate::args::Kind;
use crate::latency::{self, Counts, Latencies};
use crate::members::{Common, Start, together};
use crate::results::Sample;
use anyhow::{Result, ensure};
use sharena::{Options, Segment};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Pairs that are timed between two looks whether the other is through.
const PAIRS: u32 = 5_000;

/// A segment in which a dead process owns so many bytes of such blocks.
fn with_dead(bytes: usize, block: usize) -> Result<Segment> {
    let segment = Options::new().capacity(2 * bytes as u64).create_anonymous()?;
    together(Kind::Processes, 1, |_, _| {
        for _ in 0..bytes / block {
            std::mem::forget(segment.allocate_block(layout(block))?);
        }
        Ok(())
    })?;
    Ok(segment)
}

/// How long it takes to have them back.
fn recover(segment: &Segment, bytes: usize) -> Result<Duration> {
    let begin = Instant::now();
    let recovered = segment.recover();
    let took = begin.elapsed();
    let recovered = recovered?;
    ensure!(recovered.processes == 1 && recovered.bytes >= bytes as u64, "{recovered}");
    Ok(took)
}

/// All of it.
pub fn whole(bytes: usize, block: usize) -> Result<Sample> {
    let segment = with_dead(bytes, block)?;
    segment.prepare(0)?;
    Ok(Sample::Figure(per_gib(recover(&segment, bytes)?, bytes)))
}

/// What pairs of another process take beside one that recovers.
pub fn beside_recovery(bytes: usize, block: usize) -> Result<Sample> {
    let segment = with_dead(bytes, block)?;
    let prepare = || Ok(segment.prepare(0)?);
    beside(&segment, prepare, |_| recover(&segment, bytes).map(|_| ()))
}

/// What they take beside one that reads as many states of its own: the control, which has as much of the
/// machine, but nothing of the segment.
pub fn beside_a_reader(bytes: usize, block: usize) -> Result<Sample> {
    let segment = with_dead(bytes, block)?;
    let read = |states: States| {
        states.read();
        Ok(())
    };
    beside(&segment, || States::new(bytes, block), read)
}

/// One process acts when it has prepared itself; pairs of another, all the while.
fn beside<P>(
    segment: &Segment,
    prepare: impl Fn() -> Result<P> + Sync,
    act: impl Fn(P) -> Result<()> + Sync,
) -> Result<Sample> {
    let over = Common::<1>::new()?;
    let over = &over.words()[0];
    let member = |member, start: &Start<'_>| {
        if member == 0 {
            let prepared = prepare()?;
            start.wait();
            let done = act(prepared);
            over.store(1, SeqCst);
            return done.map(|()| Vec::new());
        }
        let subject = Published::new(segment)?;
        let pairs = |times| {
            latency::measure(times, |_| {
                let block = subject.allocate(layout(SMALL));
                // SAFETY: its layout.
                unsafe { subject.free(block, layout(SMALL)) };
            })
        };
        // Its first blocks come of growth, which is not what is asked for.
        pairs(PAIRS)?;
        start.wait();
        let mut counts = Counts::new();
        while over.load(SeqCst) == 0 {
            counts.extend(pairs(PAIRS)?);
        }
        Ok(counts)
    };
    Ok(Sample::Latencies(Latencies::of_all(together(Kind::Processes, 2, member)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_had_is_taken_back_once() {
        for block in [64, 1 << 20] {
            let segment = with_dead(8 << 20, block).unwrap();
            let owned = segment.stats().unwrap().used;
            recover(&segment, 8 << 20).unwrap();
            let freed = owned - segment.stats().unwrap().used;
            assert!(freed >= 8 << 20, "{freed} bytes of blocks of {block}");
            assert!(recover(&segment, 8 << 20).is_err(), "nobody is dead any more");
        }
    }

    #[test]
    fn pairs_are_timed_while_the_other_acts() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let wait = |()| {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        let Sample::Latencies(all) = beside(&segment, || Ok(()), wait).unwrap() else {
            panic!("latencies")
        };
        let quickest = all.quantile(0.0);
        assert!(quickest > 0 && all.quantile(1.0) > quickest);
        assert!(beside(&segment, || Ok(()), |()| anyhow::bail!("it fails")).is_err());
    }
}
