//! Any sequence of calls, by any of several threads of several processes, against a reference that
//! knows no cleverness: a map of the intervals in use, and a map of the names.
//!
//! - no two things that are in use overlap, and each lies where its layout says;
//! - each byte of a block or object is as its holder left it; zeroed blocks are zero;
//! - what is refused changes nothing: freeing twice, freeing what is private, freeing from inside;
//! - memory is refused only if more is in use than the segment promised;
//! - a name leads to what was constructed under it, until that is destroyed; of calls at once what
//!   is answered is what some order of them would answer;
//! - what is referred to stays as it is while it is referred to, destroyed or not;
//! - a process that leaves or is killed leaves what it published, and nothing else; what death cut off
//!   has happened or not, and an object is whole or not there;
//! - with everything freed, as many bytes are free as at the start, and the check finds nothing.
//!
//! `PROPTEST_CASES` runs more, `cargo xtask property` many; failures are kept in
//! `property.regressions`.

mod common;
#[path = "common/life.rs"]
mod life;
#[path = "common/linear.rs"]
mod linear;
mod model;
#[path = "common/named.rs"]
mod named;
#[path = "common/report.rs"]
mod report;

use common::role;
use model::{Counts, Crew};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Times that a script is tried while one that fails is shrunk.
const TRIES: u32 = 10;

/// What was done.
#[derive(Serialize)]
struct Tally<'a> {
    crew: &'a str,
    operations: u64,
    cases: u64,
    seconds: f64,
    cut_off_by_death: u64,
    cut_off_but_done: u64,
    kinds: &'a BTreeMap<&'static str, u64>,
}

/// Scripts until as many operations were done as were asked for, or else so many cases.
fn try_scripts(called: &str, crew: Crew<'_>, cases: u32) {
    let persistence = FileFailurePersistence::Direct("tests/property.regressions");
    let defaults = ProptestConfig::default();
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig {
        cases: if given { defaults.cases } else { cases },
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_iters: 50_000,
        max_shrink_time: 120_000,
        ..defaults
    };
    let asked = report::asked::<u64>("SHARENA_OPERATIONS");
    let counts = RefCell::new(Counts::default());
    let begin = Instant::now();
    let scripts = model::script::scripts();
    let has_failed = Cell::new(false);
    loop {
        // A runner has done its cases when it has done them.
        let run = TestRunner::new(config.clone()).run(&scripts, |script| {
            // What happens at once happens one way or another: that a smaller script agreed once does
            // not say that it always will.
            for _ in 0..if has_failed.get() { TRIES } else { 1 } {
                let run = || model::run(crew, &script, &mut counts.borrow_mut());
                if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                    has_failed.set(true);
                    return Err(TestCaseError::fail(model::actor::text_of(&*panic)));
                }
            }
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{error}"));
        if asked.is_none_or(|asked| counts.borrow().operations() >= asked) {
            break;
        }
    }
    let counts = counts.into_inner();
    report::write(&Tally {
        crew: called,
        operations: counts.operations(),
        cases: counts.cases,
        seconds: begin.elapsed().as_secs_f64(),
        cut_off_by_death: counts.cut_off,
        cut_off_but_done: counts.cut_off_but_done,
        kinds: &counts.kinds,
    });
}

#[test]
fn any_script_of_threads_and_attachments_agrees_with_the_reference() {
    try_scripts("attachments of one process", Crew::Threads, 150);
}

#[test]
fn any_script_of_processes_agrees_with_the_reference() {
    const TEST: &str = "any_script_of_processes_agrees_with_the_reference";
    if role().is_some() {
        return model::crew::child();
    }
    try_scripts("real processes", Crew::Processes(TEST), 60);
}
