//! `cargo xtask kill faults`: plants faults that are known, one after the other, and sees whether the
//! suite that is named for each finds it.
//!
//! A fault is a condition in the crate on `--cfg sharena_fault="NAME"`. Only the project's own crates
//! are built anew for each: this program stands between cargo and the compiler for them, and adds it.

use crate::kill_args::FaultsArgs;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The fault that a build gets, for this program as the compiler's wrapper.
const FAULT: &str = "SHARENA_FAULT";

struct Fault {
    name: &'static str,
    /// What goes wrong.
    breaks: &'static str,
    found_by: Check,
}

/// What must fail.
enum Check {
    /// `kill steps` of the operations whose names contain this.
    Steps(&'static str),
    /// `cargo test` with these arguments.
    Test(&'static [&'static str]),
}

use Check::{Steps, Test};

const FAULTS: &[Fault] = &[
    Fault {
        name: "link-without-journal",
        breaks: "a known name is given an object without the journal saying so",
        found_by: Steps("construct-known-name"),
    },
    Fault {
        name: "intern-without-journal",
        breaks: "a new name is given an object without the journal saying so",
        found_by: Steps("construct-new"),
    },
    Fault {
        name: "link-before-state",
        breaks: "an object is linked before its block says PUBLISHED",
        found_by: Steps("construct-known-name"),
    },
    Fault {
        name: "destroy-without-journal",
        breaks: "an object is retired without the journal saying so",
        found_by: Steps("destroy"),
    },
    Fault {
        name: "destroy-not-finished",
        breaks: "recovery does not finish what the dead were destroying",
        found_by: Steps("destroy"),
    },
    Fault {
        name: "head-freed-first",
        breaks: "the head of what is given back goes before its tails",
        found_by: Steps("free-run"),
    },
    Fault {
        name: "claims-stay",
        breaks: "recovery leaves units that the dead were claiming",
        found_by: Steps("allocate-fresh-slab"),
    },
    Fault {
        name: "covered-tails-taken",
        breaks: "recovery takes tails that their head covers",
        found_by: Steps("resize-grow"),
    },
    Fault {
        name: "private-stays",
        breaks: "the sweep leaves blocks that were private",
        found_by: Steps("allocate-private"),
    },
    Fault {
        name: "journals-not-asked",
        breaks: "the sweep frees no block that was never linked",
        found_by: Steps("construct-new"),
    },
    Fault {
        name: "oldest-kept",
        breaks: "recovery does not let go of the array that the dead were giving back",
        found_by: Steps("names-growth"),
    },
    Fault {
        name: "pins-stay",
        breaks: "recovery leaves the pins of the dead",
        found_by: Steps("find"),
    },
    Fault {
        name: "lanes-stay",
        breaks: "recovery does not give the lanes of the dead free",
        found_by: Steps("allocate-private"),
    },
    Fault {
        name: "hints-not-remade",
        breaks: "recovery does not make lost hints anew",
        found_by: Steps("allocate-grow"),
    },
    Fault {
        name: "liveness-by-pid",
        breaks: "who has a process number is alive",
        found_by: Test(&["--test", "liveness"]),
    },
    Fault {
        name: "liveness-by-zombie",
        breaks: "a process that reads as a zombie is dead",
        found_by: Test(&["--test", "liveness"]),
    },
    Fault {
        name: "liveness-by-descriptor",
        breaks: "the lock hangs on a descriptor alone",
        found_by: Test(&["--test", "liveness"]),
    },
    Fault {
        name: "no-canary",
        breaks: "who does not see its own lock judges all the same",
        found_by: Test(&["--lib", "liveness"]),
    },
];

/// As the compiler's wrapper: the compiler with the fault; `None`: this program is not called as that.
pub fn compile() -> Option<Result<bool>> {
    let fault = std::env::var(FAULT).ok()?;
    let mut args = std::env::args_os().skip(1);
    let compiler = args.next()?;
    let mut command = Command::new(compiler);
    command.args(args).arg("--cfg").arg(format!("sharena_fault={fault:?}"));
    Some(command.status().map(|status| status.success()).context("run the compiler"))
}

/// The command; whether each fault was found.
pub fn run(args: &FaultsArgs) -> Result<bool> {
    let dir = crate::root()?.join("target/faults");
    fs::create_dir_all(&dir)?;
    let wanted = |fault: &&Fault| args.fault.as_ref().is_none_or(|part| fault.name.contains(part));
    let faults: Vec<&Fault> = FAULTS.iter().filter(wanted).collect();
    ensure!(!faults.is_empty(), "no fault has such a name");
    let mut report = String::from("| fault | what goes wrong | found by | |\n|---|---|---|---|\n");
    let mut missed = 0;
    for fault in &faults {
        let check = fault.found_by.shown();
        // A check that fails anyhow finds nothing.
        ensure!(!fails(NOTHING, &fault.found_by, &dir)?, "{check} fails without a fault");
        let found = fails(fault.name, &fault.found_by, &dir)?;
        missed += usize::from(!found);
        let verdict = if found { "found" } else { "NOT FOUND" };
        println!("{verdict:<10} {:<26} {check}", fault.name);
        report
            .push_str(&format!("| {} | {} | `{check}` | {verdict} |\n", fault.name, fault.breaks));
    }
    println!("{} faults, {missed} not found", faults.len());
    if let Some(path) = &args.report {
        fs::write(path, report).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(missed == 0)
}

/// A fault that is planted nowhere.
const NOTHING: &str = "none";

/// Whether the check fails with the fault, though it can be built.
fn fails(fault: &str, check: &Check, dir: &Path) -> Result<bool> {
    // Cargo knows a wrapper by its path: another one for each fault.
    let wrapper = dir.join(format!("rustc-with-{fault}"));
    if !wrapper.exists() {
        fs::copy(std::env::current_exe()?, &wrapper)?;
    }
    let cargo = |args: &[&OsStr]| -> Result<std::process::Output> {
        let mut command = crate::cargo();
        command.args(args).current_dir(crate::root()?);
        command.arg("--target-dir").arg(dir);
        command.env("RUSTC_WORKSPACE_WRAPPER", &wrapper).env(FAULT, fault);
        command.env("RUSTFLAGS", "--cfg sharena_steps").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.output().context("run cargo")
    };
    let words = |words: &[&'static str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let (build, program): (_, Option<&str>) = match *check {
        Steps(operation) => {
            (words(&["build", "--release", "--package", "sharena-crash"]), Some(operation))
        }
        Test(args) => (
            words(&[&["test", "--release", "--package", "sharena", "--no-run"], args].concat()),
            None,
        ),
    };
    let built = cargo(&build.iter().map(OsString::as_os_str).collect::<Vec<_>>())?;
    ensure!(
        built.status.success(),
        "{fault} cannot be built:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let checked = match program {
        Some(operation) => Command::new(dir.join("release/sharena-crash"))
            .args(["steps", operation])
            .output()
            .context("run the suite")?,
        None => {
            let run: Vec<OsString> =
                build.into_iter().filter(|word| word.as_os_str() != "--no-run").collect();
            cargo(&run.iter().map(OsString::as_os_str).collect::<Vec<_>>())?
        }
    };
    Ok(!checked.status.success())
}

impl Check {
    /// As one would type it.
    fn shown(&self) -> String {
        match self {
            Steps(operation) => format!("cargo xtask kill steps {operation}"),
            Test(args) => format!("cargo test {}", args.join(" ")),
        }
    }
}
