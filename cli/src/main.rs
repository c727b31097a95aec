//! `sharena`: looks at segments of shared memory from outside of the programs that use them, and
//! recovers them.

mod args;
mod human;
mod json;

use args::{Cli, Command, Target};
use clap::Parser;
use sharena::{ObjectError, Options, Segment};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program ends with exit code 2.
enum Failure {
    Segment(sharena::Error),
    Objects(ObjectError),
    Refused(String),
    Output(io::Error),
}

impl From<sharena::Error> for Failure {
    fn from(error: sharena::Error) -> Failure {
        Failure::Segment(error)
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Failure {
        Failure::Objects(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Segment(error) => error.fmt(f),
            Failure::Objects(error) => error.fmt(f),
            Failure::Refused(why) => f.write_str(why),
            Failure::Output(error) => write!(f, "could not write the output: {error}"),
        }
    }
}

/// What a command answers, in both forms.
struct Answer {
    text: String,
    json: serde_json::Value,
    /// Something is there, and all is well.
    is_well: bool,
}

impl Target {
    fn open(&self) -> Result<Segment, Failure> {
        // As it is: only `recover` changes it.
        let options = Options::new().recover_at_open(false);
        Ok(match (&self.name, &self.path) {
            (Some(name), _) => options.open(name)?,
            (None, Some(path)) => options.open_at(path)?,
            (None, None) => unreachable!("the group is required"),
        })
    }

    fn shown(&self) -> String {
        match (&self.name, &self.path) {
            (Some(name), _) => name.clone(),
            (None, path) => path.clone().unwrap_or_default().display().to_string(),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match answer(&cli.command).and_then(|answer| print(&answer, cli.json).map(|()| answer.is_well))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            // Nobody may be listening there, either.
            let _ = writeln!(io::stderr(), "sharena: {failure}");
            ExitCode::from(2)
        }
    }
}

fn answer(command: &Command) -> Result<Answer, Failure> {
    Ok(match command {
        Command::Ls => {
            let listed = sharena::list()?;
            Answer {
                text: human::list(&listed),
                json: json::list(&listed),
                is_well: !listed.is_empty(),
            }
        }
        Command::Stat(target) => {
            let stats = target.open()?.stats()?;
            let text = human::stats(&target.shown(), &stats);
            Answer { text, json: json::stats(&stats), is_well: true }
        }
        Command::Objects(target) => {
            let mut objects = target.open()?.objects()?;
            objects.sort_by(|a, b| (&a.name, a.unique).cmp(&(&b.name, b.unique)));
            Answer {
                text: human::objects(&objects),
                json: json::objects(&objects),
                is_well: !objects.is_empty(),
            }
        }
        Command::Check(target) => {
            let report = target.open()?.check()?;
            let text = human::report(&target.shown(), &report);
            Answer { text, json: json::report(&report), is_well: report.is_clean() }
        }
        Command::Recover(target) => {
            let recovered = target.open()?.recover()?;
            let text = format!("{}: {recovered}\n", human::plain(&target.shown()));
            Answer { text, json: json::recovered(&recovered), is_well: recovered.pending == 0 }
        }
        Command::Rm { target, force } => {
            remove(target, *force)?;
            let text = format!("removed {}\n", human::plain(&target.shown()));
            Answer { text, json: serde_json::json!({ "removed": target.shown() }), is_well: true }
        }
    })
}

/// Removes a segment; with `force` any regular file of that name.
fn remove(target: &Target, force: bool) -> Result<(), Failure> {
    let refused =
        |why: &str| Failure::Refused(format!("{why}; to remove it all the same, use --force"));
    match (&target.name, &target.path) {
        (Some(name), _) => {
            let listed = sharena::list()?.into_iter().find(|listed| listed.name == *name);
            if let Some(problem) = listed.and_then(|listed| listed.problem).filter(|_| !force) {
                return Err(refused(&problem));
            }
            sharena::remove(name)?;
        }
        (None, Some(path)) => match sharena::remove_at(path) {
            Err(error) if is_unrecognized(&error) => {
                if !force {
                    return Err(refused(&error.to_string()));
                }
                // An error if it is no regular file.
                if sharena::exists_at(path)? {
                    std::fs::remove_file(path).map_err(|error| {
                        Failure::Refused(format!("could not remove {}: {error}", path.display()))
                    })?;
                }
            }
            done => done?,
        },
        (None, None) => unreachable!("the group is required"),
    }
    Ok(())
}

/// Whether a file was found and could be read, but is not what it should be.
fn is_unrecognized(error: &sharena::Error) -> bool {
    use sharena::Error::{Corrupt, NotASegment, WrongLayout, WrongVersion};
    matches!(error, NotASegment { .. } | WrongVersion { .. } | WrongLayout { .. } | Corrupt { .. })
}

/// A reader that has seen enough and is gone is no error.
fn print(answer: &Answer, as_json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = if as_json {
        writeln!(out, "{:#}", answer.json).and_then(|()| out.flush())
    } else {
        out.write_all(answer.text.as_bytes()).and_then(|()| out.flush())
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
