//! On what, from what and when a result was made.

use serde::{Deserialize, Serialize};
use std::process::Command;
use std::{fmt, fs};

/// What a figure depends on beside the code.
#[derive(Serialize, Deserialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    load_average: String,
    rustc: String,
    date: String,
    /// The commit that was checked out; `-dirty`: with changes.
    commit: Option<String>,
    command: Vec<String>,
}

impl Machine {
    /// This machine, now. What it does not tell is `unknown`.
    pub fn here() -> Machine {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let or_unknown =
            |text: &str| if text.is_empty() { "unknown".into() } else { text.trim().to_owned() };
        let cpus = read("/proc/cpuinfo");
        let model =
            cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        Machine {
            cpu: or_unknown(model.trim_start_matches([' ', '\t', ':'])),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: or_unknown(&read("/proc/sys/kernel/osrelease")),
            load_average: or_unknown(&read("/proc/loadavg")),
            rustc: env!("BUILT_BY").to_owned(),
            date: jiff::Timestamp::now().to_string(),
            commit: commit(),
            command: command(),
        }
    }
}

#[allow(dead_code, reason = "not each program that shares this file asks")]
impl Machine {
    /// Threads that run at the same time.
    pub fn cores(&self) -> usize {
        self.cores
    }

    /// All that is known of it, by name.
    pub fn facts(&self) -> [(&'static str, String); 7] {
        [
            ("processor", self.cpu.clone()),
            ("cores", self.cores.to_string()),
            ("kernel", self.kernel.clone()),
            ("load before", self.load_average.clone()),
            ("compiler", self.rustc.clone()),
            ("date", self.date.clone()),
            ("commit", self.commit.clone().unwrap_or_else(|| "none".into())),
        ]
    }

    /// What it was made by, as a user of the project gives it.
    pub fn command(&self) -> String {
        let arguments = self.command.iter().skip(1).map(String::as_str);
        ["cargo", "xtask"].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// In a line, for people.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, _) = self.date.split_once('T').unwrap_or((&self.date, ""));
        let commit = self.commit.as_deref().map_or("no commit", |it| it.get(..7).unwrap_or(it));
        write!(f, "{day}, {} cores, {}, on {commit}", self.cores, self.cpu)
    }
}

/// The program's name and its arguments, without the directories of this machine.
fn command() -> Vec<String> {
    let name = |arg: String| match std::path::Path::new(&arg).file_name() {
        Some(name) if arg.contains('/') => name.to_string_lossy().into_owned(),
        _ => arg,
    };
    std::env::args().map(name).collect()
}

fn commit() -> Option<String> {
    let told = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--abbrev=40",
            "--exclude=*",
            "--dirty",
        ])
        .output()
        .ok()
        .filter(|told| told.status.success())?;
    Some(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}
