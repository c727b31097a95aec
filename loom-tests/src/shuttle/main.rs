//! The same crate under shuttle. `cargo xtask shuttle` builds and runs it.
//!
//! shuttle runs the threads of an execution one at a time and may switch at each access to a shared
//! word. It knows interleavings only: an ordering that is too weak never shows here, which is loom's part. What it has
//! over loom is room: as many threads and as long scripts as a segment has in use, by random schedules
//! and by PCT (Burckhardt et al., 2010), which finds a bug that needs d chance meetings with a
//! probability that falls with d and not with the length of the script.
//!
//! - `outcomes/`: the small models of `outcomes/` in every interleaving, a second opinion on loom.
//! - the rest: scripts of random operations on a segment, each with an account in the model's own
//!   memory of who holds which block and which name has an object. It fails at the first step that does
//!   not agree, and at rest the segment is counted against it, and emptied.
//!
//! A script is drawn from shuttle's own random numbers, so that a schedule replays the script, too.

mod account;
mod actor;
#[path = "../checker.rs"]
mod checker;
mod harness;
#[path = "../outcomes/mod.rs"]
mod outcomes;
mod scripts;

fn main() -> std::process::ExitCode {
    harness::main(scripts::MODELS)
}
