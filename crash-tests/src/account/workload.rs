//! What anybody can do in a segment that is whole.

use crate::stage::{Value, value};
use anyhow::{Context, Result, ensure};
use sharena::{Offset, Segment};
use std::alloc::Layout;

const SIZES: [usize; 12] = [16, 16, 64, 64, 1000, 1000, 4096, 4096, 5000, 5000, 100_000, 300_000];
const NAMES: usize = 6;

/// Takes and frees blocks of many sizes, constructs, finds and destroys objects; so does another
/// thread, which also frees what this one allocated. Leaves nothing.
pub fn run(segment: &Segment) -> Result<()> {
    let mine = blocks(segment)?;
    objects(segment, "second-mine")?;
    let others = segment.clone();
    let thread = std::thread::spawn(move || -> Result<()> {
        let own = blocks(&others)?;
        objects(&others, "second-others")?;
        own.into_iter().chain(mine).try_for_each(|block| Ok(others.deallocate(block)?))
    });
    thread.join().ok().context("a thread panicked")?.context("in a thread")
}

/// Raw blocks, each written full, none of which lies in another.
fn blocks(segment: &Segment) -> Result<Vec<Offset<u8>>> {
    let mut taken = Vec::new();
    for (i, bytes) in SIZES.into_iter().enumerate() {
        let layout = Layout::from_size_align(bytes, 16)?;
        let block = if i % 2 == 0 {
            segment.allocate(layout)?
        } else {
            drop(segment.allocate_block(layout)?);
            segment.allocate_block(layout)?.publish()
        };
        let address = segment.address(block).context("it has memory")?.as_ptr();
        // SAFETY: the block is ours and has so many bytes.
        unsafe { address.write_bytes(i as u8 + 1, bytes.min(5000)) };
        taken.push((block, bytes));
    }
    for (i, (block, bytes)) in taken.iter().enumerate() {
        let address = segment.address(*block).context("it has memory")?.as_ptr();
        // SAFETY: as above.
        let written = unsafe { std::slice::from_raw_parts(address, (*bytes).min(5000)) };
        ensure!(written.iter().all(|byte| *byte == i as u8 + 1), "two hold one block");
    }
    Ok(taken.into_iter().map(|(block, _)| block).collect())
}

fn objects(segment: &Segment, prefix: &str) -> Result<()> {
    let names: Vec<String> = (0..NAMES).map(|i| format!("{prefix}-{i}")).collect();
    for name in &names {
        drop(segment.construct(name, value(name, 0))?);
    }
    for name in &names {
        let found = segment.find::<Value>(name)?.context("a new object is not found")?;
        ensure!(*found == value(name, 0), "{name} holds {:x?}", *found);
        drop(found);
        ensure!(segment.destroy::<Value>(name)?, "a new object cannot be destroyed");
        ensure!(segment.find::<Value>(name)?.is_none(), "a destroyed object is found");
    }
    let published = segment.own(value(prefix, 0))?.publish();
    ensure!(*segment.resolve(published)? == value(prefix, 0), "an object changed");
    Ok(segment.destroy_at(published)?)
}
