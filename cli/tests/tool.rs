//! Laws: each command answers in both forms and by its exit code; what cannot be opened is an error
//! with its reason on standard error; nothing is removed that is no segment, unless forced.

use serde_json::Value;
use sharena::{Options, Segment};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sharena")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn errors(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The JSON that a command prints, and its exit code.
fn json(arguments: &[&str]) -> (Value, i32) {
    let output = run(&[arguments, &["--json"]].concat());
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (value, output.status.code().unwrap())
}

/// A name that is removed at last.
struct Name(String);

impl Name {
    fn new(test: &str) -> Name {
        Name(format!("tool-{test}-{}", std::process::id()))
    }

    /// With two objects and a unique instance in it.
    fn create(&self) -> Segment {
        let segment = Options::new().capacity(1 << 20).create(&self.0).unwrap();
        segment.construct("answer", 42u64).unwrap();
        segment.construct_slice_default::<u8>("bytes", 1000).unwrap();
        segment.construct_unique(7u32).unwrap();
        segment
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(format!("/dev/shm/sharena.{}", self.0))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.file());
    }
}

#[test]
fn ls_lists_segments_and_leftovers_with_the_reason() {
    let (good, bad) = (Name::new("ls"), Name::new("ls-bad"));
    let _segment = good.create();
    std::fs::write(bad.file(), "something else").unwrap();
    let (listed, code) = json(&["ls"]);
    let find =
        |name: &Name| listed.as_array().unwrap().iter().find(|one| one["name"] == *name.0).unwrap();
    assert_eq!(code, 0);
    assert_eq!(find(&good)["capacity"], 1 << 20);
    assert!(find(&good)["committed"].as_u64().unwrap() > 65_536);
    assert_eq!(find(&good)["problem"], Value::Null);
    assert_eq!(find(&bad)["capacity"], Value::Null);
    assert!(find(&bad)["problem"].as_str().unwrap().contains("not a segment"));
    let human = run(&["ls"]);
    let line =
        text(&human).lines().find(|line| line.contains(&good.0) && !line.contains(&bad.0)).unwrap();
    assert!(line.contains("1.00 MiB"), "{line}");
    assert!(text(&human).contains("not a segment"));
}

#[test]
fn stat_counts_what_is_there() {
    let name = Name::new("stat");
    let segment = name.create();
    let (stat, code) = json(&["stat", &name.0]);
    assert_eq!(code, 0);
    let number = |key: &str| stat[key].as_u64().unwrap();
    assert_eq!(number("free") + number("used"), number("total"));
    assert_eq!(stat["names"]["objects"], 3);
    let participants = stat["participants"].as_array().unwrap();
    let of = |is_self: bool| participants.iter().find(|one| one["is_self"] == is_self).unwrap();
    assert_eq!(participants.len(), 2);
    assert_eq!(of(false)["pid"], std::process::id());
    assert_eq!(of(false)["liveness"], "alive");
    let human = run(&["stat", &name.0]);
    assert_eq!(human.status.code(), Some(0));
    assert!(
        text(&human).contains("this tool") && text(&human).contains("PUBLISHED"),
        "{}",
        text(&human)
    );
    let before = number("used");
    segment.construct_slice_default::<u8>("more", 1_000_000).unwrap();
    let after = json(&["stat", &name.0]).0["used"].as_u64().unwrap();
    assert!(after >= before + 1_000_000, "{before} {after}");
}

#[test]
fn objects_are_listed_by_name() {
    let name = Name::new("objects");
    let segment = name.create();
    let (objects, code) = json(&["objects", &name.0]);
    assert_eq!(code, 0);
    let names: Vec<_> =
        objects.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["answer", "bytes", "u32"]);
    assert_eq!(objects[0]["type"], "u64");
    assert_eq!(
        (&objects[1]["count"], &objects[1]["unique"], &objects[2]["unique"]),
        (&1000.into(), &false.into(), &true.into())
    );
    let human = run(&["objects", &name.0]);
    assert!(text(&human).contains("answer") && text(&human).contains("(unique)"));
    segment.clear().unwrap();
    let (none, code) = json(&["objects", &name.0]);
    assert_eq!((none, code), (Value::Array(vec![]), 1));
    assert!(text(&run(&["objects", &name.0])).contains("no named objects"));
}

#[test]
fn check_says_whether_it_is_whole() {
    let name = Name::new("check");
    drop(name.create());
    let (report, code) = json(&["check", &name.0]);
    assert_eq!((&report["clean"], code), (&true.into(), 0), "{report}");
    assert!(text(&run(&["check", &name.0])).contains("clean"));
    let path = name.file();
    let (objects, _) = json(&["objects", "--path", path.to_str().unwrap()]);
    // The header of an object, behind which its name stands: so many values that they do not fit.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let life = 1 << 63 | 5u64 << 17 | 1 << 16;
    file.write_all_at(&life.to_ne_bytes(), objects[0]["offset"].as_u64().unwrap()).unwrap();
    let (report, code) = json(&["check", "--path", path.to_str().unwrap()]);
    assert_eq!((&report["clean"], code), (&false.into(), 1), "{report}");
    let finding = &report["findings"][0];
    assert_eq!((&finding["severity"], &finding["kind"]), (&"damage".into(), &"object".into()));
    assert!(finding["place"].as_str().unwrap().contains("answer"), "{finding}");
    let human = run(&["check", &name.0]);
    assert_eq!(human.status.code(), Some(1));
    assert!(
        text(&human).contains("not clean") && text(&human).contains("answer"),
        "{}",
        text(&human)
    );
}

#[test]
fn recover_takes_back_what_the_dead_left_and_check_does_not() {
    const VICTIM: &str = "SHARENA_TOOL_VICTIM";
    if let Ok(name) = std::env::var(VICTIM) {
        let segment = Segment::open(&name).unwrap();
        std::mem::forget(segment.own_slice(1000, |_| 0u64).unwrap());
        std::process::abort();
    }
    let name = Name::new("recover");
    let _segment = name.create();
    let test = "recover_takes_back_what_the_dead_left_and_check_does_not";
    let died = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(VICTIM, &name.0)
        .output()
        .unwrap();
    assert!(!died.status.success());
    for _ in 0..2 {
        let (report, code) = json(&["check", &name.0]);
        assert_eq!((&report["clean"], code), (&false.into(), 1), "{report}");
        assert_eq!(report["findings"][0]["severity"], "leftover");
    }
    let (recovered, code) = json(&["recover", &name.0]);
    assert_eq!((&recovered["processes"], &recovered["pending"]), (&1.into(), &0.into()));
    assert!(recovered["bytes"].as_u64().unwrap() >= 8000, "{recovered}");
    assert_eq!(code, 0);
    assert_eq!(json(&["check", &name.0]).1, 0);
    let human = run(&["recover", &name.0]);
    assert!(text(&human).contains("no dead process"), "{}", text(&human));
}

#[test]
fn rm_removes_segments_and_nothing_else() {
    let name = Name::new("rm");
    drop(name.create());
    let (removed, code) = json(&["rm", &name.0]);
    assert_eq!((&removed["removed"], code), (&name.0.as_str().into(), 0));
    assert!(!name.file().exists());
    let again = run(&["rm", &name.0]);
    assert_eq!(again.status.code(), Some(2));
    std::fs::write(name.file(), "something else").unwrap();
    let path = name.file();
    for target in [&["rm", &name.0][..], &["rm", "--path", path.to_str().unwrap()]] {
        let refused = run(target);
        assert_eq!(refused.status.code(), Some(2), "{target:?}");
        assert!(
            errors(&refused).contains("--force") && errors(&refused).contains("not a segment"),
            "{}",
            errors(&refused)
        );
        assert!(name.file().exists());
        assert_eq!(run(&[target, &["--force"]].concat()).status.code(), Some(0), "{target:?}");
        assert!(!name.file().exists());
        std::fs::write(name.file(), "something else").unwrap();
    }
    let directory = std::env::temp_dir();
    let refused = run(&["rm", "--force", "--path", directory.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(directory.exists() && errors(&refused).contains("directory"), "{}", errors(&refused));
}

#[test]
fn what_cannot_be_opened_is_an_error_with_its_reason() {
    let bad = Name::new("bad");
    std::fs::write(bad.file(), "something else").unwrap();
    for command in ["stat", "objects", "check"] {
        for (target, reason) in
            [("tool-absent", "no segment"), (&*bad.0, "not a segment"), ("a/b", "a/b")]
        {
            for form in [&[][..], &["--json"]] {
                let output = run(&[&[command, target], form].concat());
                assert_eq!(output.status.code(), Some(2), "{command} {target}");
                assert!(output.stdout.is_empty());
                assert!(errors(&output).starts_with("sharena: "), "{}", errors(&output));
                assert!(errors(&output).contains(reason), "{}", errors(&output));
            }
        }
    }
}

#[test]
fn wrong_usage_is_explained() {
    for arguments in
        [&[][..], &["stat"], &["stat", "x", "--path", "y"], &["frobnicate"], &["ls", "--colour"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(errors(&output).contains("Usage"), "{}", errors(&output));
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for part in ["Examples:", "Exit codes:", "sharena check", "--json"] {
        assert!(text(&help).contains(part), "{part}: {}", text(&help));
    }
    for command in ["ls", "stat", "objects", "check", "rm"] {
        assert_eq!(run(&[command, "--help"]).status.code(), Some(0));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let name = Name::new("pipe");
    let segment = name.create();
    for i in 0..5000 {
        segment.construct(&format!("object number {i}"), i).unwrap();
    }
    let mut tool = Command::new(env!("CARGO_BIN_EXE_sharena"))
        .args(["objects", &name.0])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = tool.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    drop(out);
    let ended = tool.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{}", errors(&ended));
}
