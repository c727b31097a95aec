//! The images that mutations begin from, and one that is being changed.

use crate::sparse::{Sparse, WORD};
use sharena::door;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bytes of a unit.
pub const UNIT: u64 = 64 << 10;
/// The bits of a word that say an offset.
const OFFSET: u64 = (1 << 44) - 1;

/// A segment as a file holds it.
#[derive(Debug)]
pub struct Base {
    /// The name of its file.
    pub name: String,
    /// What is in it.
    pub sparse: Sparse,
    /// Where the tables are.
    pub areas: Vec<door::Area>,
    /// Offsets of all words that are not zero.
    pub words: Vec<u64>,
}

/// Where the files are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images")
}

/// All images, by name, those of trees last.
///
/// # Panics
/// If one cannot be read, or is of another layout than the crate's: then they are to be made anew.
pub fn all() -> &'static [Base] {
    static ALL: OnceLock<Vec<Base>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(directory())
            .expect("the directory of images")
            .map(|item| item.expect("its list").path())
            .collect();
        // Those of trees came later, then those of changes, of shared values, and of queues of objects: behind the
        // others, so that inputs that are kept mean what they did.
        let came = |path: &PathBuf| {
            let name = path.file_name().expect("a file").to_string_lossy();
            let is = |part| name.contains(part);
            [is("frame-") || is("plate-"), is("arc-"), is("change"), is("tree")]
        };
        paths.sort_by_cached_key(|path| (came(path), path.clone()));
        assert!(!paths.is_empty(), "no images: `cargo xtask fuzz --images`");
        paths.iter().map(|path| Base::read(path)).collect()
    })
}

impl Base {
    fn read(path: &Path) -> Base {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let sparse = Sparse::decode(&std::fs::read(path).expect("an image"));
        let base = Base::of(name, sparse).expect("an image has units");
        let is_stale = base.word(16) != door::fingerprint();
        assert!(!is_stale, "{} is of another layout: `cargo xtask fuzz --images`", base.name);
        base
    }

    /// A file as a segment; `None`: it has too few units to be one, or too many.
    pub fn of(name: String, sparse: Sparse) -> Option<Base> {
        let areas = door::areas(sparse.size / UNIT)?;
        let words = sparse.parts.iter().flat_map(|(at, bytes)| {
            let words = bytes.chunks_exact(WORD).enumerate();
            words
                .filter(|(_, word)| word.iter().any(|byte| *byte != 0))
                .map(move |(number, _)| at + (number * WORD) as u64)
        });
        let words: Vec<u64> = words.collect();
        (!words.is_empty()).then_some(Base { name, areas, words, sparse })
    }

    /// The word at `at`, a multiple of eight.
    pub fn word(&self, at: u64) -> u64 {
        let parts = &self.sparse.parts;
        let behind = parts.partition_point(|(from, _)| *from <= at);
        let Some((from, bytes)) = behind.checked_sub(1).map(|part| &parts[part]) else { return 0 };
        let within = (at - from) as usize;
        let word = bytes.get(within..within + WORD);
        word.map_or(0, |word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
    }
}

/// An image with changes.
#[derive(Debug)]
pub struct Image<'a> {
    /// What it was.
    pub base: &'a Base,
    /// The words that are other ones now.
    pub changed: BTreeMap<u64, u64>,
}

impl<'a> Image<'a> {
    /// Without changes.
    pub fn of(base: &'a Base) -> Image<'a> {
        Image { base, changed: BTreeMap::new() }
    }

    /// The word at `at`; 0 outside.
    pub fn get(&self, at: u64) -> u64 {
        self.changed.get(&at).copied().unwrap_or_else(|| self.base.word(at))
    }

    /// Changes the word at `at`; nothing outside.
    pub fn set(&mut self, at: u64, word: u64) {
        if at + WORD as u64 <= self.base.sparse.size {
            self.changed.insert(at, word);
        }
    }

    /// The area of this name.
    pub fn area(&self, name: &str) -> door::Area {
        *self.base.areas.iter().find(|area| area.name == name).expect("an area's name")
    }

    /// Units below the frontier, at least one.
    pub fn units(&self) -> u64 {
        let area = self.area("units");
        let frontier = self.base.word(self.area("counts").at);
        frontier
            .saturating_mul(UNIT)
            .saturating_sub(area.at)
            .div_ceil(UNIT)
            .clamp(1, area.bytes / UNIT)
    }

    /// The whole file.
    pub fn sparse(&self) -> Sparse {
        let mut words = self.changed.clone();
        for at in &self.base.words {
            words.entry(*at).or_insert_with(|| self.base.word(*at));
        }
        let words = words.into_iter().map(|(at, word)| (at, word.to_le_bytes().to_vec()));
        Sparse::of(self.base.sparse.size, words)
    }

    /// Where a word leads that says an offset; `None`: not into the file.
    pub fn follow(&self, at: u64) -> Option<u64> {
        let [_, oldest] = door::roots();
        let word = if at == oldest { self.get(at) >> 16 } else { self.get(at) };
        Some(word & OFFSET & !7).filter(|to| *to != 0 && *to < self.base.sparse.size)
    }
}
