//! `cargo xtask verify`: the ladder of what is verified, one row a rung.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How to run `verify`.
#[derive(clap::Args)]
pub struct VerifyArgs {
    /// Rungs whose names contain one of these (all when none is given).
    names: Vec<String>,
    /// All rungs, each at its full length: hours.
    #[arg(long)]
    long: bool,
}

/// One kind of evidence.
struct Rung {
    name: &'static str,
    /// What holds.
    law: &'static str,
    /// The task of this program, or (beginning with `test`) the command of cargo, for the short ladder;
    /// none: the rung is of the long one alone.
    short: Option<&'static [&'static str]>,
    long: &'static [&'static str],
    cases: Cases,
}

/// How many cases a rung tried, in what it printed.
#[derive(Clone, Copy)]
enum Cases {
    /// The sum of the numbers before this text, wherever it stands.
    Before(&'static str),
    /// The sum of the numbers after this text, where a line begins with it.
    After(&'static str),
    /// The sum of a column, from 0, over the lines whose first word contains this.
    Column(&'static str, usize),
}

use Cases::{After, Before, Column};

const EXECUTIONS: Cases = Column("/", 4);

/// From the smallest world to the largest.
const RUNGS: &[Rung] = &[
    Rung {
        name: "known outcomes",
        law: "the model checker itself sees what C11 allows, and no more",
        short: Some(&["loom", "outcomes"]),
        long: &["loom", "--long", "outcomes"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "models",
        law: "each protocol keeps its law in every interleaving of its model",
        short: Some(&["loom", "index-set", "heap", "process", "names"]),
        long: &["loom", "--long", "index-set", "heap", "process", "names"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "models with death",
        law: "the same when one process dies before any of its writes, and is recovered at any time",
        short: Some(&["loom", "death", "recovery"]),
        long: &["loom", "--long", "death", "recovery"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "models of locks",
        law: "one is inside at a time, nobody sleeps for ever, and a death is told, wherever it strikes",
        short: Some(&["loom", "lock"]),
        long: &["loom", "--long", "lock"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "models of the queue",
        law: "what is pushed is had once, or again and told; nobody sleeps for ever, wherever a death strikes",
        short: Some(&["loom", "queue"]),
        long: &["loom", "--long", "queue"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "models of the ring",
        law: "what is pushed is had once, or again and told; nobody sleeps for ever, wherever a death strikes",
        short: Some(&["loom", "spsc"]),
        long: &["loom", "--long", "spsc"],
        cases: EXECUTIONS,
    },
    Rung {
        name: "scripts under shuttle",
        law: "many threads at everything leave exact accounts, by random schedules and PCT",
        short: Some(&["shuttle", "--iterations", "300"]),
        long: &["shuttle", "--iterations", "20000"],
        cases: Column("/", 3),
    },
    Rung {
        name: "tests",
        law: "units, properties, any bytes, several processes: as documented",
        short: Some(&["test", "--workspace"]),
        long: &["test", "--workspace"],
        cases: Before(" passed;"),
    },
    Rung {
        name: "scripts and a reference",
        law: "any sequence of public calls, kills among them, agrees with a reference without cleverness",
        short: Some(&["property", "--operations", "40000"]),
        long: &["property", "--operations", "1000000"],
        cases: After("operations:"),
    },
    Rung {
        name: "histories",
        law: "what real processes do to names, some of them killed, is linearizable",
        short: Some(&["linearizability", "--seconds", "20"]),
        long: &["linearizability", "--seconds", "600"],
        cases: After("operations "),
    },
    Rung {
        name: "what the fuzzer keeps",
        law: "any bytes are refused, or used without harm",
        short: Some(&["fuzz", "--replay"]),
        long: &["fuzz", "--replay"],
        cases: Before(" inputs"),
    },
    Rung {
        name: "deaths at each step",
        law: "a death or a stop before any write to shared memory costs nobody anything",
        short: Some(&["kill", "steps", "--short"]),
        long: &["kill", "steps"],
        cases: Before(" deaths and stops,"),
    },
    Rung {
        name: "deaths at each instruction",
        law: "nor does one behind any machine instruction",
        short: Some(&["kill", "instructions"]),
        long: &["kill", "instructions", "--every"],
        cases: Column("total", 1),
    },
    Rung {
        name: "deaths of creators",
        law: "the next opener succeeds, or is told that there is nothing",
        short: Some(&["kill", "creation", "--kills", "100"]),
        long: &["kill", "creation", "--kills", "10000"],
        cases: Before(" kills in "),
    },
    Rung {
        name: "deaths under load",
        law: "the accounts are right to the byte, whoever died at whatever moment",
        short: Some(&["kill", "soak", "--kills", "500"]),
        long: &["kill", "soak", "--kills", "100000"],
        cases: Before(" kills in "),
    },
    Rung {
        name: "deaths of holders of a lock",
        law: "the next has it soon, with the news, and nobody hangs",
        short: Some(&["kill", "lock", "--kills", "300"]),
        long: &["kill", "lock", "--kills", "10000"],
        cases: Before(" kills in "),
    },
    Rung {
        name: "planted bugs",
        law: "the rungs above see each bug of the kept list",
        short: None,
        long: &["mutants"],
        cases: Before(" planted bugs,"),
    },
    Rung {
        name: "mutants",
        law: "what one change breaks in the core is seen, or explained",
        short: None,
        long: &["mutants", "--general"],
        cases: Before(" viable mutants"),
    },
];

/// A rung that was run.
struct Ran {
    rung: &'static Rung,
    cases: u64,
    took: Duration,
    passed: bool,
}

/// The command; whether every rung held. One that fails does not keep the next from running.
pub fn run(args: &VerifyArgs) -> Result<bool> {
    let wanted = |rung: &&Rung| {
        args.names.is_empty() || args.names.iter().any(|name| rung.name.contains(name.as_str()))
    };
    let mut ran = Vec::new();
    for rung in RUNGS.iter().filter(wanted) {
        let command = if args.long { Some(rung.long) } else { rung.short };
        let Some(command) = command else { continue };
        println!("\n== {}: {}", rung.name, shown(command));
        let begin = Instant::now();
        let (passed, cases) = climb(command, rung.cases)?;
        // A rung that tried nothing holds nothing.
        ran.push(Ran { rung, cases, took: begin.elapsed(), passed: passed && cases > 0 });
    }
    println!("\n{:<27} {:>10} {:>8}  {:<7} law", "rung", "cases", "s", "result");
    for Ran { rung, cases, took, passed } in &ran {
        let (seconds, result) = (took.as_secs_f64(), if *passed { "held" } else { "FAILED" });
        println!("{:<27} {cases:>10} {seconds:>8.1}  {result:<7} {}", rung.name, rung.law);
    }
    Ok(!ran.is_empty() && ran.iter().all(|ran| ran.passed))
}

fn shown(command: &[&str]) -> String {
    let task = if command[0] == "test" { "" } else { "xtask " };
    format!("cargo {task}{}", command.join(" "))
}

/// Runs a command, passing on what it prints; whether it succeeded, and the cases that it tells.
fn climb(command: &[&str], cases: Cases) -> Result<(bool, u64)> {
    let mut process = match command[0] {
        "test" => crate::cargo(),
        // This program itself, so that it is not built again meanwhile.
        _ => Command::new(std::env::current_exe()?),
    };
    process.args(command).current_dir(crate::root()?).stdout(Stdio::piped());
    let mut child = process.spawn().with_context(|| shown(command))?;
    let mut sum = 0;
    for line in BufReader::new(child.stdout.take().context("piped")?).lines() {
        let line = line?;
        println!("{line}");
        sum += cases.of(&line);
    }
    Ok((child.wait()?.success(), sum))
}

impl Cases {
    fn of(self, line: &str) -> u64 {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        match self {
            Before(text) => {
                let before = line.split(text).next().filter(|before| before.len() < line.len());
                number(before.and_then(|before| before.split_whitespace().last()))
            }
            After(text) => {
                let after = line.strip_prefix(text).and_then(|rest| rest.split_whitespace().next());
                number(after.map(|after| after.trim_end_matches(',')))
            }
            Column(name, column) => {
                let mut words = line.split_whitespace();
                let is_row = words.clone().next().is_some_and(|first| first.contains(name));
                if is_row { number(words.nth(column)) } else { 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_from_what_the_suites_print() {
        let tests = Before(" passed;");
        assert_eq!(
            tests.of("test result: ok. 17 passed; 0 failed; 0 ignored; finished in 0.02s"),
            17
        );
        assert_eq!(tests.of("running 17 tests"), 0);
        assert_eq!(After("operations:").of("operations: 57355, cases: 420"), 57355);
        assert_eq!(After("operations:").of("operations                 7636"), 0);
        assert_eq!(After("operations ").of("operations                 2332485"), 2_332_485);
        assert_eq!(After("operations ").of("operations begun"), 0);
        assert_eq!(Before(" inputs").of("hostile: 310 inputs"), 310);
        let script = "names/few                  4      pct3        300     0.0  two names";
        assert_eq!(Column("/", 3).of(script), 300);
        let deaths = Before(" deaths and stops,");
        assert_eq!(
            deaths.of("93 operations, 26315 deaths and stops, 0 failures, 215.4 s: passed"),
            26315
        );
        let row = "heap/two-adopters              3     2      -      12345     1.0  one adopts";
        assert_eq!(EXECUTIONS.of(row), 12345);
        assert_eq!(Column("total", 1).of(" total   5120  4000  4000  0  99.5 "), 5120);
        assert_eq!(EXECUTIONS.of("26 models, 0 failed, 20 s"), 0);
        assert_eq!(
            Before(" kills in ").of("500 kills in 41.2 s (12 a second), 30 accounts; 1"),
            500
        );
    }
}
