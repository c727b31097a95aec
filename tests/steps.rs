//! Death at each step of shared memory that constructing an object takes, in a build with steps:
//! `RUSTFLAGS="--cfg sharena_steps" cargo test --test steps`.
//!
//! Laws: the process dies at the step that was chosen, by SIGKILL; the object is there whole or not at
//! all; others go on, and find nothing damaged.

#![cfg(sharena_steps)]

use sharena::{Segment, remove, steps};

const VALUE: [u64; 4] = [1, 2, 3, 4];

#[test]
fn an_object_is_constructed_whole_or_not_at_all() {
    let mut whole = 0;
    for step in 0.. {
        let name = format!("steps-{}-{step}", std::process::id());
        let segment = Segment::create(&name, 1 << 20).unwrap();
        // SAFETY: the child opens the segment anew, and ends without running anything of its parent.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let segment = Segment::open(&name).unwrap();
            steps::die_at(step);
            std::mem::forget(segment.construct("object", VALUE));
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: waits for our child.
        unsafe { libc::waitpid(child, &mut status, 0) };
        let found = segment.find::<[u64; 4]>("object").unwrap();
        if let Some(object) = &found {
            assert_eq!(**object, VALUE, "after death at step {step}");
            whole += 1;
        }
        let is_there = found.is_some();
        drop(found);
        assert_eq!(segment.destroy::<[u64; 4]>("object").unwrap(), is_there);
        assert_eq!(segment.check().unwrap().damages().count(), 0, "after death at step {step}");
        remove(&name).unwrap();
        if libc::WIFEXITED(status) {
            assert!(step > 20, "there are more steps than {step}");
            assert!(whole > 1, "some die after the object is there");
            break;
        }
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL);
    }
}
