//! Works that need a heap that nobody has used: each round in a process of its own.
//!
//! A forked one would not do: it has the free memory of its parent, where the same allocators have worked.

use crate::alloc::subjects::{
    GLIBC, JEMALLOC, MIMALLOC, Noop, Passes, Published, RPMALLOC, SNMALLOC,
};
use crate::args::Work;
use crate::results::name;
use crate::segments::growth::{self, Growth, GrowthLatency};
use crate::space::held::{self, Held};
use anyhow::{Context, Result, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};
use sharena::Segment;
use std::process::{Command, Stdio};

/// What the process is told.
#[derive(clap::Args)]
pub struct FreshArgs {
    work: Work,
    subject: String,
}

/// A work of any allocator.
pub trait Trial: Sized {
    /// What comes of it.
    type Said: Serialize;

    /// Does it once. The blocks of the subject lie in `shared`, if they are not the process' own.
    fn run<S: Passes>(self, subject: &S, shared: Option<&Segment>) -> Result<Self::Said>;

    /// Has the subject of that name do it.
    fn of(self, subject: &str) -> Result<Self::Said> {
        let published =
            |segment: &Segment, trial: Self| trial.run(&Published::new(segment)?, Some(segment));
        match subject {
            "published" | held::TRIMMED => published(&growth::segment()?, self),
            "warmed" => published(&growth::warmed_segment()?, self),
            "huge" => published(&growth::huge_segment()?, self),
            "mimalloc" => self.run(&MIMALLOC, None),
            "jemalloc" => self.run(&JEMALLOC, None),
            "snmalloc" => self.run(&SNMALLOC, None),
            "rpmalloc" => self.run(&RPMALLOC, None),
            "glibc" => self.run(&GLIBC, None),
            "noop" => self.run(&Noop::new(growth::GROWN), None),
            _ => bail!("nobody here is called {subject}"),
        }
    }
}

/// The command of such a process.
pub fn run(args: &FreshArgs) -> Result<bool> {
    let subject = &args.subject;
    let said = match args.work {
        Work::Growth => serde_json::to_string(&Growth.of(subject)?),
        Work::GrowthLatency => serde_json::to_string(&GrowthLatency.of(subject)?),
        Work::Held => serde_json::to_string(&Held::new(subject == held::TRIMMED)?.of(subject)?),
        work => bail!("{} needs no process of its own", name(work)),
    };
    println!("{}", said?);
    Ok(true)
}

/// Has such a process do it: what it says.
pub fn ask<R: DeserializeOwned>(work: Work, subject: &str) -> Result<R> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fresh", &name(work), subject]).stderr(Stdio::inherit());
    let told = command.output().context("start a process")?;
    ensure!(told.status.success(), "the process of {subject} ended with {}", told.status);
    serde_json::from_slice(&told.stdout).context("what a fresh process says")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::PEERS;
    use std::alloc::Layout;

    /// Whether a block can be written, and lies in the segment.
    struct Where;

    impl Trial for Where {
        type Said = (bool, bool);

        fn run<S: Passes>(self, subject: &S, shared: Option<&Segment>) -> Result<(bool, bool)> {
            let layout = Layout::new::<u64>();
            subject.begin(layout.size());
            let block = subject.allocate(layout);
            let at = subject.address(&block).cast::<u64>();
            // SAFETY: a block for it, ours alone.
            let written = unsafe {
                at.write_volatile(7);
                at.read_volatile() == 7
            };
            let shares = shared.is_some_and(|it| it.offset_of(at.as_ptr().cast()).is_some());
            // SAFETY: its layout.
            unsafe { subject.free(block, layout) };
            Ok((written, shares))
        }
    }

    #[test]
    fn each_subject_is_found_by_its_name() {
        for ours in ["published", held::TRIMMED, "warmed", "huge"] {
            assert_eq!(Where.of(ours).unwrap(), (true, true), "{ours}");
        }
        for private in PEERS.into_iter().chain(["noop"]) {
            assert_eq!(Where.of(private).unwrap(), (true, false), "{private}");
        }
        assert!(Where.of("nobody").is_err());
    }
}
