//! The answers as text for people.

use comfy_table::{CellAlignment, Table, presets};
use sharena::{Finding, Listed, ObjectInfo, ParticipantStats, Report, Stats};
use std::fmt::Write;
use std::time::SystemTime;

/// A table without lines, its columns named; `numbers`: those that are aligned to the right.
fn table<const N: usize>(
    titles: [&str; N],
    numbers: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(titles);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// Text from a segment, with what could disturb a terminal spelled out.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// A number of bytes, to three digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!(
            "{:.*} {}",
            if value < 10.0 { 2 } else { usize::from(value < 100.0) },
            value,
            UNITS[unit]
        ),
    }
}

pub fn list(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no segments in shared memory\n".into();
    }
    let capacity = |one: &Listed| one.capacity.map_or("?".into(), size);
    table(
        ["NAME", "CAPACITY", "COMMITTED", "PROBLEM"],
        &[1, 2],
        listed.iter().map(|one| {
            let problem = one.problem.as_deref().unwrap_or_default();
            [plain(&one.name), capacity(one), size(one.committed), plain(problem)]
        }),
    )
}

pub fn objects(objects: &[ObjectInfo]) -> String {
    if objects.is_empty() {
        return "no named objects\n".into();
    }
    table(
        ["NAME", "TYPE", "COUNT", "BYTES", "OFFSET"],
        &[2, 3, 4],
        objects.iter().map(|one| {
            let name = if one.unique { "(unique)".into() } else { plain(&one.name) };
            let offset = format!("{:#x}", one.offset);
            [name, plain(&one.type_name), one.count.to_string(), one.bytes.to_string(), offset]
        }),
    )
}

pub fn stats(name: &str, stats: &Stats) -> String {
    let mut text = format!("{}\n", plain(name));
    let names = stats.names;
    let facts = [
        ("capacity asked for", size(stats.capacity)),
        ("room", format!("{} ({} bytes)", size(stats.total), stats.total)),
        ("free", format!("{} ({} bytes)", size(stats.free), stats.free)),
        ("used", format!("{} ({} bytes)", size(stats.used), stats.used)),
        ("memory committed", size(stats.committed)),
        (
            "objects",
            format!(
                "{} of {} names; {} types described",
                names.objects, names.entries, names.types
            ),
        ),
        ("table of names", format!("{} slots, {} arrays", names.slots, names.arrays)),
        ("slabs without owner", stats.orphan_slabs.to_string()),
    ];
    for (what, number) in facts {
        let _ = writeln!(text, "  {what:<20} {number}");
    }
    if !stats.classes.is_empty() {
        text.push('\n');
        text += &table(
            ["BLOCK", "SLABS", "FREE", "PRIVATE", "PUBLISHED", "PARTS", "RAW", "LIMBO"],
            &[0, 1, 2, 3, 4, 5, 6, 7],
            stats.classes.iter().map(|class| {
                let blocks = class.blocks;
                let block = if class.leases { "lease".into() } else { class.block.to_string() };
                let counts = [
                    class.slabs,
                    blocks.free,
                    blocks.private,
                    blocks.published,
                    blocks.parts,
                    blocks.raw,
                    blocks.limbo,
                ];
                let [slabs, free, private, published, parts, raw, limbo] =
                    counts.map(|number| number.to_string());
                [block, slabs, free, private, published, parts, raw, limbo]
            }),
        );
    }
    let runs = stats.runs;
    let runs = [
        ("private", runs.private),
        ("published", runs.published),
        ("part", runs.parts),
        ("raw", runs.raw),
        ("limbo", runs.limbo),
    ];
    if runs.iter().any(|(_, sum)| sum.count != 0) {
        text.push('\n');
        let rows = runs.iter().filter(|(_, sum)| sum.count != 0);
        let row = |(state, sum): &(&str, sharena::Sum)| {
            [(*state).into(), sum.count.to_string(), size(sum.bytes)]
        };
        text += &table(["LARGE BLOCKS", "COUNT", "SIZE"], &[1, 2], rows.map(row));
    }
    text.push('\n');
    text += &table(
        ["PROCESS", "STATE", "ATTACHED", "LANES", "SLABS", "PRIVATE"],
        &[0, 2, 3, 4, 5],
        stats.participants.iter().map(participant),
    );
    text
}

fn participant(one: &ParticipantStats) -> [String; 6] {
    let state = if one.is_self { "this tool".into() } else { one.liveness.to_string() };
    let (lanes, slabs) = (one.lanes.to_string(), one.slabs.to_string());
    [one.pid.to_string(), state, age(one.attached_at), lanes, slabs, size(one.private)]
}

fn age(since: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(since).map_or(0, |age| age.as_secs());
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86400),
    }
}

pub fn report(name: &str, report: &Report) -> String {
    let name = plain(name);
    let mut text = if report.is_clean() {
        format!("{name}: clean\n")
    } else {
        let (damages, leftovers) = (report.damages().count(), report.leftovers().count());
        format!("{name}: not clean: damages: {damages}, leftovers of dead processes: {leftovers}\n")
    };
    let all: Vec<&Finding> = report.findings.iter().chain(&report.notes).collect();
    if !all.is_empty() {
        text.push('\n');
        text += &table(
            ["SEVERITY", "KIND", "PLACE", "WHAT"],
            &[],
            all.iter().map(|one| {
                [
                    one.severity.to_string(),
                    one.kind.name().into(),
                    plain(&one.place.to_string()),
                    plain(&one.text),
                ]
            }),
        );
        text.push('\n');
    }
    if report.omitted != 0 {
        let _ = writeln!(text, "and {} more findings", report.omitted);
    }
    let looked = report.looked;
    let _ = writeln!(
        text,
        "looked at {} units, {} slabs, {} blocks, {} names, {} objects, {} lanes of {} processes",
        looked.units,
        looked.slabs,
        looked.blocks,
        looked.names,
        looked.objects + looked.unnamed + looked.shared,
        looked.lanes,
        looked.participants
    );
    if report.others != 0 {
        let _ = writeln!(
            text,
            "{} other threads use the segment: exact only if they are at rest",
            report.others
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let shown =
            [0, 999, 1000, 1024, 65_536, 1 << 20, 1_409_286_144, 1 << 40, u64::MAX].map(size);
        let expected = [
            "0 B", "999 B", "0.98 KiB", "1.00 KiB", "64.0 KiB", "1.00 MiB", "1.31 GiB", "1.00 TiB",
            "16.0 EiB",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_cannot_disturb_a_terminal() {
        assert_eq!(plain("größe\x1b[31m\n"), "größe\\u{1b}[31m\\n");
    }
}
