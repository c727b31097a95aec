//! The tool: its arguments, and what it shows of damaged segments.

use crate::file::File;
use crate::image::{self, Image};
use crate::mutation;
use crate::record::Record;
use clap::Parser;
use sharena::Options;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

#[allow(dead_code, reason = "what is asked for is not done")]
#[allow(missing_docs, reason = "of a program")]
#[path = "../../cli/src/args.rs"]
mod args;
#[allow(dead_code, missing_docs, reason = "of a program; it can list segments, too")]
#[path = "../../cli/src/human.rs"]
mod human;
#[allow(dead_code, missing_docs, reason = "as above")]
#[path = "../../cli/src/json.rs"]
mod json;

/// Words that mean something among the arguments; a byte below their number stands for one.
const WORDS: [&str; 16] = [
    "ls",
    "stat",
    "objects",
    "check",
    "recover",
    "rm",
    "help",
    "--json",
    "--path",
    "--force",
    "--help",
    "--version",
    "-h",
    "-V",
    "--",
    "prices",
];

/// A first byte that is even: arguments, apart from each other by zeros. Odd: a script as that of
/// [`mutated`](crate::targets::mutated), of which only the changes are made; all is shown.
pub fn tool(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first % 2 == 0 {
        let arguments = rest.split(|byte| *byte == 0).map(|bytes| match bytes {
            [word] if usize::from(*word) <= WORDS.len() => WORDS[usize::from(*word) - 1].into(),
            bytes => OsString::from_vec(bytes.to_vec()),
        });
        match args::Cli::try_parse_from([OsString::from("sharena")].into_iter().chain(arguments)) {
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        return;
    }
    let Some((number, script)) = rest.split_first() else { return };
    let bases = image::all();
    let mut image = Image::of(&bases[usize::from(*number) % bases.len()]);
    Record::all(script).take(64).for_each(|record| mutation::apply(&mut image, &record));
    let opened = Options::new().recover_at_open(false).open_fd(File::of_image(&image).descriptor());
    let Ok(segment) = opened else { return };
    if let Ok(stats) = segment.stats() {
        assert!(is_plain(&human::stats("fuzz", &stats)));
        assert!(json::stats(&stats).is_object());
    }
    if let Ok(objects) = segment.objects() {
        assert!(is_plain(&human::objects(&objects)));
        assert!(json::objects(&objects).is_array());
    }
    if let Ok(report) = segment.check() {
        assert!(is_plain(&human::report("fuzz", &report)));
        assert!(json::report(&report).is_object());
    }
    if let Ok(recovered) = segment.recover() {
        assert!(json::recovered(&recovered).is_object());
    }
}

/// Whether a terminal shows it and does nothing else.
fn is_plain(text: &str) -> bool {
    text.chars().all(|char| char == '\n' || !char.is_control())
}
