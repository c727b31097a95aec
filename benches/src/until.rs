//! Trying again and again.

use std::thread;

/// Tries until it is done. Lets others run if it takes long: there may be more threads than processors.
pub fn until(mut is_done: impl FnMut() -> bool) {
    let mut tries = 0u32;
    while !is_done() {
        tries += 1;
        if tries.is_multiple_of(64) {
            thread::yield_now();
        } else {
            core::hint::spin_loop();
        }
    }
}
