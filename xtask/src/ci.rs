//! `cargo xtask ci`: what a change must pass.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One thing that a change must pass.
struct Step {
    name: &'static str,
    does: Does,
    /// What to do if it fails.
    advice: &'static str,
}

enum Does {
    /// A command of cargo.
    Cargo(&'static [&'static str]),
    /// An example, of which the README shows what it prints.
    Example(&'static str),
    /// The documentation, of which every warning is an error.
    Docs,
    /// A task of this program.
    Task(&'static [&'static str]),
    /// The writer and the reader that people start by hand.
    WriterAndReader,
}

use Does::{Cargo, Docs, Example, Task, WriterAndReader};

/// The quick ones first; of the slow ones those that a mistake is likeliest to break.
const STEPS: &[Step] = &[
    Step {
        name: "format",
        does: Cargo(&["fmt", "--all", "--check"]),
        advice: "run `cargo fmt --all`",
    },
    Step {
        name: "format of the models",
        does: Cargo(&["fmt", "--manifest-path", "loom-tests/Cargo.toml", "--check"]),
        advice: "run `cargo fmt --manifest-path loom-tests/Cargo.toml`",
    },
    Step {
        name: "lints",
        does: Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        advice: "mend what clippy says; an `allow` needs a reason beside it",
    },
    Step {
        name: "lints, all features",
        does: Cargo(&[
            "clippy",
            "--package",
            "sharena",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ]),
        advice: "code behind a feature is broken: try with --all-features",
    },
    Step {
        name: "lints, no features",
        does: Cargo(&[
            "clippy",
            "--package",
            "sharena",
            "--no-default-features",
            "--",
            "-D",
            "warnings",
        ]),
        advice: "something outside a feature needs it: try with --no-default-features",
    },
    Step {
        name: "tests",
        does: Cargo(&["test", "--workspace"]),
        advice: "run the test alone by its name: `cargo test --workspace NAME -- --nocapture`",
    },
    Step {
        name: "tests, all features",
        does: Cargo(&[
            "test",
            "--package",
            "sharena",
            "--all-features",
            "--lib",
            "--test",
            "derive",
            "--test",
            "serde",
            "--test",
            "archive",
        ]),
        advice: "something behind a feature is broken: run the test alone by its name",
    },
    Step {
        name: "documentation",
        does: Docs,
        advice: "mend the links and the missing texts that rustdoc names",
    },
    Step {
        name: "examples",
        // At once, as each is one long work of the linker.
        does: Cargo(&["build", "--release", "--examples"]),
        advice: "an example uses what is not there any more",
    },
    Step {
        name: "tour",
        does: Cargo(&["run", "--release", "--example", "tour"]),
        advice: "it is the first thing that a newcomer runs: its last lines say what went wrong",
    },
    Step {
        name: "a vector between processes",
        does: Example("vector"),
        advice: "run it by hand: it says what the reader found; and the README shows what it prints",
    },
    Step {
        name: "a map between processes",
        does: Example("map"),
        advice: "run it by hand: it says what the reader found; and the README shows what it prints",
    },
    Step {
        name: "writer and reader",
        does: WriterAndReader,
        advice: "start `cargo run --example writer` and `--example reader` by hand, in two terminals",
    },
    Step {
        name: "example: mutex",
        does: Example("mutex"),
        advice: "it says what was not as it should be: additions are lost, or nobody was told of a death",
    },
    Step {
        name: "example: condvar",
        does: Example("condvar"),
        advice: "it says what was not as it should be: a value, or the news of a death",
    },
    Step {
        name: "example: work_queue",
        does: Cargo(&["run", "--release", "--example", "work_queue"]),
        advice: "it says what was not as it should be: a job is lost, or done twice, or nobody was told",
    },
    Step {
        name: "example: frames",
        does: Cargo(&["run", "--release", "--example", "frames"]),
        advice: "it says what was not as it should be: a picture is lost, or damaged, or its memory is",
    },
    Step {
        name: "example: stream",
        does: Cargo(&["run", "--release", "--example", "stream"]),
        advice: "it says what was not as it should be: a sample is lost, or had twice, or nobody was told",
    },
    Step {
        name: "models",
        does: Task(&["loom", "--short"]),
        advice: "run the model alone: `cargo xtask loom NAME`; it prints the interleaving that failed",
    },
    Step {
        name: "what loom misses",
        does: Task(&["loom", "--unmended", "outcomes"]),
        advice: "the published loom misses more or less than is known: see loom-tests/src/outcomes/mod.rs",
    },
    Step {
        name: "models under shuttle",
        does: Task(&["shuttle", "--iterations", "300"]),
        advice: "replay the schedule with the command under the model that failed",
    },
    Step {
        name: "memcheck",
        does: Task(&["valgrind"]),
        advice: "run the test alone under valgrind; it names the line that reads or jumps by what is not there",
    },
    Step {
        name: "planted bugs",
        does: Task(&["mutants", "--apply-only"]),
        advice: "the code under a patch of mutants/planted/ has changed: make the patch anew, then see \
                 that `cargo xtask mutants NAME` still catches it",
    },
    Step {
        name: "scripts and a reference",
        does: Task(&["property", "--operations", "40000"]),
        advice: "the smallest script that fails is printed, and kept in tests/property.regressions: `cargo test --test property` runs it first",
    },
    Step {
        name: "linearizability",
        does: Task(&["linearizability", "--seconds", "20"]),
        advice: "the calls that cannot be are printed; the models say which protocol: `cargo xtask loom names`",
    },
    Step {
        name: "deaths at each step",
        does: Task(&["kill", "steps", "--short"]),
        advice: "run the operation alone, as the last lines say: `cargo xtask kill steps NAME`",
    },
    Step {
        name: "deaths at each instruction",
        does: Task(&["kill", "instructions"]),
        advice: "run the operation alone: `cargo xtask kill instructions NAME`; it names the source line",
    },
    Step {
        name: "deaths under load",
        does: Task(&["kill", "soak", "--kills", "500"]),
        advice: "run it with the seed that it printed; the segment is kept: `sharena check NAME`",
    },
    Step {
        name: "deaths of creators",
        does: Task(&["kill", "creation", "--kills", "100"]),
        advice: "run `cargo xtask kill creation` with the seed that it printed",
    },
    Step {
        name: "deaths of holders of a lock",
        does: Task(&["kill", "lock", "--kills", "300"]),
        advice: "run `cargo xtask kill lock` with the seed that it printed; the models say which step: \
                 `cargo xtask loom lock`",
    },
    Step {
        name: "format of the fuzzer",
        does: Cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]),
        advice: "run `cargo fmt --manifest-path fuzz/Cargo.toml`",
    },
    Step {
        name: "lints of the fuzzer",
        does: Cargo(&[
            "clippy",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--config",
            "build.rustflags=['--cfg', 'fuzzing']",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
        advice: "mend what clippy says in fuzz/",
    },
    Step {
        name: "what the fuzzer keeps",
        does: Task(&["fuzz", "--replay"]),
        advice: "it names the input: see what it does by `cargo run --example show TARGET FILE` in fuzz/",
    },
    Step {
        name: "lints of the benchmarks",
        does: Cargo(&[
            "clippy",
            "--release",
            "--package",
            "sharena-bench",
            "--all-targets",
            "--features",
            "peers",
            "--",
            "-D",
            "warnings",
        ]),
        advice: "mend what clippy says in benches/",
    },
    Step {
        name: "tests of the benchmarks",
        does: Cargo(&["test", "--release", "--package", "sharena-bench", "--features", "peers"]),
        advice: "run the test alone by its name, with --release --package sharena-bench --features peers",
    },
    Step {
        name: "soak",
        does: Task(&["soak", "--seconds", "10"]),
        advice: "run `cargo xtask soak` with the seed that it printed; what failed is in its last lines",
    },
    Step {
        name: "benchmarks, one round",
        does: Task(&["bench", "--quick", "--rounds", "1", "--members", "1", "--members", "2"]),
        advice: "run the work alone by --work; this step asks only that it runs",
    },
    Step {
        name: "benchmark of locks",
        does: Task(&["bench", "locks", "--rounds", "1"]),
        advice: "additions in the lock were lost: `cargo xtask loom lock` says how; of speed it asks nothing",
    },
];

/// The command; whether all steps passed.
pub fn run() -> Result<bool> {
    let begin = Instant::now();
    let mut times = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", number + 1, STEPS.len(), step.name, step.does.shown());
        let start = Instant::now();
        let done = step.does.run();
        times.push((step.name, start.elapsed()));
        if let Err(error) = done {
            println!("\nfailed: {}, after {}: {error:#}", step.name, seconds(start.elapsed()));
            println!("what to do: {}", step.advice);
            return Ok(false);
        }
    }
    println!("\n{:<26} {:>9}", "step", "time");
    for (name, time) in times.into_iter().chain([("all", begin.elapsed())]) {
        println!("{name:<26} {:>9}", seconds(time));
    }
    Ok(true)
}

const DOCS: [&str; 3] = ["doc", "--workspace", "--no-deps"];
const EXAMPLE: [&str; 4] = ["cargo", "run", "--release", "--example"];
const WRITER: [&str; 4] = ["run", "--release", "--example", "writer"];
const READER: [&str; 4] = ["run", "--release", "--example", "reader"];

impl Does {
    /// As one would type it.
    fn shown(&self) -> String {
        match self {
            Cargo(args) => format!("cargo {}", args.join(" ")),
            Example(name) => format!("{} {name}, as the README shows it", EXAMPLE.join(" ")),
            Docs => format!("RUSTDOCFLAGS=-Dwarnings cargo {}", DOCS.join(" ")),
            Task(args) => format!("cargo xtask {}", args.join(" ")),
            WriterAndReader => {
                format!("cargo {}, and meanwhile cargo {}", WRITER.join(" "), READER.join(" "))
            }
        }
    }

    fn run(&self) -> Result<()> {
        match self {
            Example(name) => example(name),
            Cargo(args) => succeed(&mut cargo(args)?),
            Docs => succeed(cargo(&DOCS)?.env("RUSTDOCFLAGS", "-Dwarnings")),
            Task(args) => {
                // This program itself, so that it is not built again meanwhile.
                let mut command = Command::new(std::env::current_exe()?);
                if matches!(args[0], "bench" | "soak") {
                    command.envs([LINKED_QUICKLY]);
                }
                succeed(command.args(*args).current_dir(crate::root()?))
            }
            WriterAndReader => writer_and_reader(),
        }
    }
}

/// The examples and the benchmarks are to run here, and not to be quick: optimizing each of them as a whole, when it is
/// linked, takes minutes. What is killed at each of its instructions is built as users build it.
const LINKED_QUICKLY: (&str, &str) = ("CARGO_PROFILE_RELEASE_LTO", "off");

fn cargo(args: &[&str]) -> Result<Command> {
    let mut command = crate::cargo();
    command.args(args).envs([LINKED_QUICKLY]).current_dir(crate::root()?);
    Ok(command)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Runs an example, which prints what the README says that it prints, but for numbers.
fn example(name: &str) -> Result<()> {
    let output =
        cargo(&["run", "--release", "--example", name])?.stderr(Stdio::inherit()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    ensure!(output.status.success(), "{}", output.status);
    let readme = std::fs::read_to_string(crate::root()?.join("README.md"))?;
    let shown =
        shown_in(&readme, name).with_context(|| format!("README.md does not show {name}"))?;
    let (shown, printed) = (without_numbers(shown), without_numbers(&printed));
    ensure!(shown == printed, "README.md shows something else:\n{shown}");
    Ok(())
}

/// What a document shows behind the command line of an example, up to the next one or the end of the block.
fn shown_in<'t>(document: &'t str, name: &str) -> Option<&'t str> {
    let command = format!("\n$ {} {name}\n", EXAMPLE.join(" "));
    let (_, shown) = document.split_once(&command)?;
    let ends = ["\n$ ", "\n```"].into_iter().filter_map(|end| shown.find(end));
    Some(&shown[..ends.min()? + 1])
}

/// The text with one mark for each number in it: of processes, and of who was the quickest.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character.is_ascii_digit() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(character),
        }
    }
    shown
}

/// What a person does in two terminals.
fn writer_and_reader() -> Result<()> {
    let mut writer = cargo(&WRITER)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let enter = writer.stdin.take().context("piped")?;
    let mut told = BufReader::new(writer.stdout.take().context("piped")?);
    let mut line = String::new();
    while told.read_line(&mut line)? > 0 && !line.contains("start the reader") {
        line.clear();
    }
    let read = cargo(&READER)?.output()?;
    drop(enter); // which the writer takes for the Enter that it waits for
    let mut rest = String::new();
    told.read_to_string(&mut rest)?;
    let status = writer.wait()?;
    ensure!(status.success(), "the writer: {status}");
    let read_text = String::from_utf8_lossy(&read.stdout);
    print!("{read_text}");
    ensure!(
        read.status.success(),
        "the reader: {}, {}",
        read.status,
        String::from_utf8_lossy(&read.stderr)
    );
    ensure!(read_text.contains("MyInteger = 42"), "the reader did not find what was written");
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_shows_of_an_example_is_found() {
        let document = "text\n```text\n$ cargo run --release --example one\nit is 12\nand 3\n\
                        $ cargo run --release --example two\nit is 4\n```\nmore";
        assert_eq!(shown_in(document, "one"), Some("it is 12\nand 3\n"));
        assert_eq!(shown_in(document, "two"), Some("it is 4\n"));
        assert_eq!(shown_in(document, "three"), None);
        assert_eq!(without_numbers("it is 12, 7-3"), without_numbers("it is 3, 51-444"));
        assert_ne!(without_numbers("it is 12"), without_numbers("it was 12"));
    }
}
