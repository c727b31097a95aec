//! Where in the program an address lies, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The source lines of instructions that this process or a child of it executed, if the tool
/// `addr2line` is there; their offsets in the program or library otherwise.
pub fn of(addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut by_file: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for &address in addresses {
        match in_file(&maps, address) {
            Some((file, offset)) => by_file.entry(file).or_default().push((address, offset)),
            None => _ = places.insert(address, format!("at {address:#x}")),
        }
    }
    for (file, offsets) in by_file {
        let lines = lines(file, offsets.iter().map(|(_, offset)| *offset));
        for (i, (address, offset)) in offsets.iter().enumerate() {
            let line = lines.get(i).map(|line| format!("\n{line}")).unwrap_or_default();
            places.insert(*address, format!("at {offset:#x} of {file}{line}"));
        }
    }
    places
}

/// The file that is mapped there, and the offset from where its mappings begin.
fn in_file(maps: &str, address: u64) -> Option<(&str, u64)> {
    let number = |text| u64::from_str_radix(text, 16).ok();
    let mappings = || {
        maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            Some((number(start)?, number(end)?, &rest[rest.find('/')?..]))
        })
    };
    let (.., file) = mappings().find(|(start, end, _)| (*start..*end).contains(&address))?;
    let (base, ..) = mappings().find(|(.., other)| *other == file)?;
    Some((file, address - base))
}

/// Function and line of each, with what it was inlined into.
fn lines(file: &str, offsets: impl Iterator<Item = u64>) -> Vec<String> {
    let mut command = Command::new("addr2line");
    command.args(["--addresses", "--basenames", "--functions", "--demangle", "--inlines"]);
    command.args(["--pretty-print", "--exe", file]);
    let told = command.args(offsets.map(|offset| format!("{offset:#x}"))).output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    let told = format!("\n{}", told.unwrap_or_default());
    let records = told
        .split("\n0x")
        .skip(1)
        .map(|record| record.split_once(": ").map_or("", |(_, lines)| lines).trim_end().to_owned());
    records.collect()
}
