//! One function for each target.

use crate::acts::Runner;
use crate::file::File;
use crate::image::{self, Image, UNIT};
use crate::mutation;
use crate::record::{ACT, Record};
use crate::sparse::Sparse;
use sharena::{Error, FindingPlace, Options, Report, Segment, door};

/// Units of a hostile file: as large a one as its author likes takes as long as he likes.
const MOST_UNITS: u64 = 4500;
/// Where the header has these counts.
const FRONTIER: u64 = 128;
const LANES_HIGH: u64 = 192;
/// And which layout it is.
const FINGERPRINT: u64 = 16;
/// Records that are looked at.
const MOST: usize = 256;

/// What can be fuzzed.
pub struct Target {
    /// Its name, and that of its program in `fuzz_targets/`.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// All of them.
pub const ALL: &[Target] = &[
    Target { name: "calls", run: crate::calls::calls },
    Target { name: "derive", run: crate::derive::derive },
    Target { name: "hostile", run: hostile },
    Target { name: "mutated", run: mutated },
    Target { name: "names", run: crate::names::names },
    Target { name: "recovery", run: recovery },
    Target { name: "tool", run: crate::tool::tool },
];

/// Any bytes as a segment's file. A first byte that is even: the bytes that follow. Odd: a
/// [sparse](crate::sparse) file, then the operations that follow the last part. Unless its fourth bit is
/// set, a file that begins as a segment is one of this format and layout: so that inputs keep their
/// meaning when those change.
pub fn hostile(data: &[u8]) {
    let Some((mode, sparse, acts)) = hostile_file(data) else { return };
    use_file(|| File::of(&sparse), &acts, mode & 2 == 0, mode & 4 == 0);
}

/// How the file is opened, the file, and what is done with it.
pub fn hostile_file(data: &[u8]) -> Option<(u8, Sparse, Vec<Record>)> {
    let (mode, rest) = data.split_first()?;
    let (mut sparse, records) = match mode % 2 {
        0 => (Sparse { size: rest.len() as u64, parts: vec![(0, rest.to_vec())] }, &[][..]),
        _ => {
            let acts = usize::from(rest.first().copied().unwrap_or(0)) % 32 * crate::record::BYTES;
            let rest = rest.get(1..).unwrap_or_default();
            let (file, acts) = rest.split_at(rest.len().saturating_sub(acts));
            (Sparse::decode(file), acts)
        }
    };
    sparse.size = sparse.size.min(MOST_UNITS * UNIT);
    sparse.parts.truncate(20_000);
    if mode & 8 == 0 {
        renew(&mut sparse);
    }
    let acts = Record::all(records).map(|record| Record { tag: record.tag | ACT, ..record });
    Some((*mode, sparse, acts.collect()))
}

/// Gives a file that begins as a segment the format and layout of this build.
fn renew(sparse: &mut Sparse) {
    let (version_at, version) = door::version();
    let Some((0, head)) = sparse.parts.first_mut() else { return };
    if head.get(..8) != Some(&door::magic().to_le_bytes()) {
        return;
    }
    let mut put = |at: u64, bytes: &[u8]| {
        let at = at as usize;
        if let Some(place) = head.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(version_at, &version.to_le_bytes());
    put(FINGERPRINT, &door::fingerprint().to_le_bytes());
}

/// A valid image, one of those in `images/`, with changes, and operations on it. The first two bytes:
/// which image, and how it is opened.
pub fn mutated(data: &[u8]) {
    let Some(([number, mode], rest)) = data.split_first_chunk() else { return };
    let bases = image::all();
    let mut image = Image::of(&bases[usize::from(*number) % bases.len()]);
    let records: Vec<Record> = Record::all(rest).take(MOST).collect();
    let changes = records.iter().filter(|record| !record.is_act());
    changes.for_each(|record| mutation::apply(&mut image, record));
    keep_identity(&mut image);
    let acts: Vec<Record> = records.into_iter().filter(|record| record.is_act()).collect();
    use_file(|| File::of_image(&image), &acts, mode & 1 == 0, mode & 2 == 0);
}

/// The recovery of an image with changes: whoever is in it is dead, and more of what the dead leave is
/// put there. It is recovered twice, and then used.
pub fn recovery(data: &[u8]) {
    let Some(([number, mode], rest)) = data.split_first_chunk() else { return };
    let bases = image::all();
    let mut image = Image::of(&bases[usize::from(*number) % bases.len()]);
    let records: Vec<Record> = Record::all(rest).take(MOST).collect();
    let (changes, acts): (Vec<Record>, Vec<Record>) =
        records.into_iter().partition(|record| !record.is_act());
    for change in changes {
        mutation::apply(&mut image, &in_what_recovery_reads(change));
    }
    keep_identity(&mut image);
    let file = File::of_image(&image);
    let Ok(segment) = Options::new().recover_at_open(mode & 1 == 0).open_fd(file.descriptor())
    else {
        return;
    };
    let before = Look::at(&segment, &file);
    let recovered = segment.recover();
    let after = Look::at(&segment, &file);
    if let (Ok(first), true) = (&recovered, before.is_sound()) {
        after.assert_sound(&before, "recovery damaged what was sound");
        let again = segment.recover().expect("it did so before");
        // One that another lane says it is at is left to it, also if only damage says so.
        assert!(again.is_nothing() || first.pending != 0, "recovered twice: {first}; {again}");
    }
    let mut runner = Runner::new(&segment, &file);
    acts.iter().for_each(|record| runner.act(record));
    drop(runner);
    let_go(segment);
}

/// A change of participants, lanes, journals, units or the table of names, in place of another.
pub fn in_what_recovery_reads(change: Record) -> Record {
    let area = [2, 3, 4, 6, 7, 8, 9, 11, 12, 13];
    Record { what: area[usize::from(change.what) % area.len()], ..change }
}

/// Magic, version and fingerprint stay, and the count of units: otherwise it is refused at once.
fn keep_identity(image: &mut Image<'_>) {
    for at in [0, 8, 16, 24] {
        image.changed.remove(&at);
    }
}

/// What a check found.
struct Look {
    report: Option<Report>,
    /// Lanes whose records were looked at: the others had never been used.
    lanes: u64,
}

impl Look {
    fn at(segment: &Segment, file: &File) -> Look {
        let report = segment.check().ok();
        report.iter().for_each(|report| assert!(!report.to_string().is_empty()));
        Look { report, lanes: file.word(LANES_HIGH) }
    }

    fn is_sound(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.damages().next().is_none())
    }

    /// What was sound `before` still is.
    fn assert_sound(&self, before: &Look, said: &str) {
        let report = self.report.as_ref().expect("it was checked before");
        let is_known = |place: &FindingPlace| match place {
            FindingPlace::Lane(lane) => u64::from(*lane) < before.lanes,
            _ => true,
        };
        let damage = report.damages().find(|finding| is_known(&finding.place));
        assert!(damage.is_none(), "{said}:\n{report}");
    }
}

/// Detaches, though collections were used: there are thousands more.
fn let_go(segment: Segment) {
    // SAFETY: what used collections of it is gone, and no other thread did.
    let left = unsafe { door::abandon(segment) };
    assert!(left.is_ok(), "a handle is left");
}

/// Opens what `make` makes, looks, works, looks again.
fn use_file(make: impl Fn() -> File, acts: &[Record], recovers: bool, looks_first: bool) {
    let file = make();
    let before = file.extents(0);
    let opened = Options::new().recover_at_open(recovers).open_fd(file.descriptor());
    let segment = match opened {
        Ok(segment) => segment,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let refused = matches!(
                error,
                Error::NotASegment { .. }
                    | Error::WrongVersion { .. }
                    | Error::WrongLayout { .. }
                    | Error::Corrupt { .. }
            );
            if refused {
                let is_same = file.contents() == make().contents();
                assert!(is_same, "a file that was refused is another one: {error}");
            }
            return;
        }
    };
    let first = looks_first.then(|| Look::at(&segment, &file));
    let mut runner = Runner::new(&segment, &file);
    acts.iter().for_each(|record| runner.act(record));
    drop(runner);
    let last = Look::at(&segment, &file);
    if let Some(first) = first.filter(Look::is_sound) {
        last.assert_sound(&first, "damaged by use, or before, and check did not see it");
    }
    let_go(segment);
    let frontier = file.word(FRONTIER).saturating_mul(UNIT).min(file.size());
    let had = |at| before.iter().any(|(start, bytes)| (*start..start + bytes).contains(&at));
    for (start, bytes) in file.extents(frontier) {
        let stray = (start..start + bytes).step_by(4096).find(|at| !had(*at));
        assert!(stray.is_none(), "memory behind the frontier, {frontier:#x}, was used: {stray:x?}");
    }
}
