//! loom models of the shipped modules. `cargo xtask loom` builds and runs them.
//!
//! A model runs the crate's own code in every interleaving, up to a number of preemptions where it
//! has a bound, with what the C11 memory model lets each load see as far as loom knows it. The law
//! that it holds stands in the table and in the texts of its assertions. Behind each edge lies a
//! plain cell, which its holder writes: loom reports two holders, or one who does not see what the
//! last one did, as a race on it.
//!
//! What loom cannot see: two read-modify-writes of one thread that pass each other; a relaxed load
//! that is satisfied by a later store of another thread's future (load buffering). Fences are no
//! scheduling points in loom; the crate's facade puts one before each full fence.

mod checker;
mod death;
mod harness;
mod heap;
mod index_set;
mod lock;
mod names;
mod outcomes;
mod process;
mod queue;
mod spsc;

fn main() -> std::process::ExitCode {
    let models = [
        harness::models_of(outcomes::KNOWN),
        index_set::models(),
        heap::models(),
        death::models(),
        process::models(),
        names::models(),
        lock::models(),
        queue::models(),
        spsc::models(),
    ];
    harness::main(models.concat())
}
