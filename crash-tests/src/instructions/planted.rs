//! Operations that break the laws: what finds nothing in them, finds nothing.

use crate::operations::{Held, Operation, Things};
use std::alloc::Layout;
use std::fs::File;
use std::os::fd::AsRawFd as _;

const NOTHING: Things =
    Things { segments: 1, raw: 0, run_bytes: 0, unnamed: 0, named: 0, digest: 0 };

const PLANTED: Operation = Operation {
    name: "",
    setup: |_| Ok(Held::new()),
    prepare: |_, _| Box::new(|| ()),
    before: NOTHING,
    after: NOTHING,
    in_parts: false,
    least: 0,
    in_own_thread: false,
    takes_all_names: false,
    of_collections: false,
};

/// Where the header has its frontier.
const FRONTIER: usize = 128;

pub const OPERATIONS: &[Operation] = &[
    // Publishes a block of which nobody knows.
    Operation {
        name: "planted-leak",
        prepare: |_, victim| {
            let segment = victim.segment();
            let block = segment.allocate_block(Layout::new::<[u8; 64]>()).expect("there is room");
            Box::new(|| _ = block.publish())
        },
        ..PLANTED
    },
    // The segment is damaged between one store and the next.
    Operation {
        name: "planted-instant",
        prepare: |stage, _| {
            let file = File::options().read(true).write(true).open(stage.path()).expect("a file");
            let (read_and_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            // SAFETY: a fresh mapping at an address that the kernel chooses harms nobody.
            let header = unsafe {
                libc::mmap(std::ptr::null_mut(), 4096, read_and_write, shared, file.as_raw_fd(), 0)
            };
            assert_ne!(header, libc::MAP_FAILED);
            let frontier = header.wrapping_byte_add(FRONTIER).cast::<u64>();
            Box::new(move || {
                // SAFETY: a word of the header, which stays mapped, and nobody else is at work.
                unsafe {
                    let right = frontier.read_volatile();
                    frontier.write_volatile(u64::MAX);
                    frontier.write_volatile(right);
                }
            })
        },
        ..PLANTED
    },
];
