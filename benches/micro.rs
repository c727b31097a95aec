//! `cargo bench`: single operations of this crate by themselves, for who changes one. What they are beside those of
//! others says `cargo xtask bench`.

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode};
use sharena::{Options, Segment};
use std::alloc::Layout;
use std::hint::black_box;
use std::time::Duration;

const CAPACITY: u64 = 1 << 30;
/// Bytes of blocks: a few, a slab's middle, and whole units.
const BLOCKS: [usize; 4] = [16, 64, 1024, 65_536];
/// Names that are there.
const NAMES: [usize; 2] = [100, 10_000];
/// From a name to the next that is looked for: prime, so that all have their turn, and large, so that it is elsewhere.
const STRIDE: usize = 7919;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(900))
        .configure_from_args();
    blocks(&mut criterion);
    names(&mut criterion);
    segments(&mut criterion);
    criterion.final_summary();
}

fn anonymous() -> Segment {
    Options::new().capacity(CAPACITY).create_anonymous().expect("a segment")
}

/// Allocates and frees: private blocks and such as others can free, by a handle and by the thread-local look-up.
fn blocks(criterion: &mut Criterion) {
    const ROOM: &str = "room for a block";
    const IS_THERE: &str = "a block that is allocated";
    let segment = anonymous();
    let handle = segment.handle().expect("a lane");
    let mut group = criterion.benchmark_group("allocate and free");
    for bytes in BLOCKS {
        let layout = Layout::from_size_align(bytes, 16).expect("a layout");
        group.bench_function(BenchmarkId::new("private", bytes), |b| {
            b.iter(|| handle.free_block(black_box(handle.allocate_block(layout).expect(ROOM))));
        });
        group.bench_function(BenchmarkId::new("private-tls", bytes), |b| {
            b.iter(|| drop(black_box(segment.allocate_block(layout).expect(ROOM))));
        });
        group.bench_function(BenchmarkId::new("published", bytes), |b| {
            b.iter(|| {
                let block = black_box(handle.allocate(layout).expect(ROOM));
                handle.deallocate(block).expect(IS_THERE);
            });
        });
        group.bench_function(BenchmarkId::new("published-tls", bytes), |b| {
            b.iter(|| {
                let block = black_box(segment.allocate(layout).expect(ROOM));
                segment.deallocate(block).expect(IS_THERE);
            });
        });
    }
}

/// Named objects of 8 bytes, beside so many.
fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("names");
    for count in NAMES {
        let segment = anonymous();
        let names = |what: &str| -> Vec<String> {
            (0..count).map(|i| format!("market/{what}/{i:06}")).collect()
        };
        let (there, elsewhere) = (names("EURUSD"), names("USDJPY"));
        for name in &there {
            segment.construct(name, 1u64).expect("room for an object");
        }
        let mut at = 0;
        let mut next = || {
            at = (at + STRIDE) % count;
            at
        };
        group.bench_function(BenchmarkId::new("find", count), |b| {
            b.iter(|| segment.find::<u64>(&there[next()]).map(|it| *it.expect("it is there")));
        });
        group.bench_function(BenchmarkId::new("miss", count), |b| {
            b.iter(|| {
                assert!(segment.find::<u64>(&elsewhere[next()]).is_ok_and(|it| it.is_none()))
            });
        });
        group.bench_function(BenchmarkId::new("construct and destroy", count), |b| {
            b.iter(|| {
                let name = &elsewhere[next()];
                drop(segment.construct(name, 1u64).expect("room for an object"));
                assert!(segment.destroy::<u64>(name).is_ok_and(|done| done));
            });
        });
    }
}

/// What has a name in the system, without the time that it takes to drop it.
fn segments(criterion: &mut Criterion) {
    let name = format!("sharena-micro-{}", std::process::id());
    let mut group = criterion.benchmark_group("segment");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("create and remove", |b| {
        let make = |()| {
            let made = Segment::create(&name, CAPACITY).expect("a segment");
            sharena::remove(&name).expect("it has that name");
            made
        };
        b.iter_batched(|| (), make, BatchSize::PerIteration);
    });
    let _made = Segment::create(&name, CAPACITY).expect("a segment");
    group.bench_function("attach", |b| {
        let open = |()| Segment::open(&name).expect("a segment of that name");
        b.iter_batched(|| (), open, BatchSize::PerIteration);
    });
    sharena::remove(&name).expect("it has that name");
}
