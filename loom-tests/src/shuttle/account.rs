//! Who holds what, in the model's own memory: exact, as nobody is switched in the middle of a line of it.
//!
//! A holder writes itself down after it has got a block and strikes itself out before it gives it, so
//! that what stands here is held in any case.

use std::collections::BTreeMap;

/// What a place of the smallest block is in use for.
enum Use {
    /// Somebody's block, or a part of it.
    Held,
    /// An object with this name, destroyed or not, and how many have it pinned.
    Object { name: usize, pins: u32 },
}

#[derive(Clone, Copy, Default)]
struct Name {
    constructed: u32,
    /// Those that are just being destroyed among them.
    destroyed: u32,
    /// Destroyed objects whose blocks were taken again.
    taken: u32,
}

/// The account of an execution.
pub struct Account {
    places: BTreeMap<usize, Use>,
    names: Vec<Name>,
}

impl Account {
    pub fn new(names: usize) -> Account {
        Account { places: BTreeMap::new(), names: vec![Name::default(); names] }
    }

    /// Somebody got `count` places from `place` on.
    pub fn hold(&mut self, place: usize, count: usize) {
        for place in place..place + count {
            match self.places.insert(place, Use::Held) {
                None => {}
                Some(Use::Held) => panic!("a block has two holders: place {place}"),
                Some(Use::Object { name, pins }) => {
                    assert_eq!(pins, 0, "a pinned object was taken: place {place}");
                    let name = &mut self.names[name];
                    name.taken += 1;
                    assert!(
                        name.taken <= name.destroyed,
                        "an object was taken that nobody destroyed"
                    );
                }
            }
        }
    }

    /// Who holds them gives them.
    pub fn give(&mut self, place: usize, count: usize) {
        for place in place..place + count {
            let was = self.places.remove(&place);
            assert!(matches!(was, Some(Use::Held)), "the holder of place {place} is none");
        }
    }

    /// Who holds the place makes an object of it.
    pub fn constructing(&mut self, place: usize, name: usize) {
        self.give(place, 1);
        self.places.insert(place, Use::Object { name, pins: 0 });
        self.names[name].constructed += 1;
    }

    /// It did not come to that: it holds the place as before.
    pub fn not_constructed(&mut self, place: usize, name: usize) {
        let was = self.places.insert(place, Use::Held);
        let is = matches!(was, Some(Use::Object { name: of, pins: 0 }) if of == name);
        assert!(is, "an object that was refused was found, or taken: place {place}");
        self.names[name].constructed -= 1;
    }

    /// Somebody found the object of `name` there, and has pinned it.
    pub fn pinned(&mut self, place: usize, name: usize) {
        match self.places.get_mut(&place) {
            Some(Use::Object { name: of, pins }) if *of == name => *pins += 1,
            Some(Use::Object { name: of, .. }) => panic!("name {name} leads to the object of {of}"),
            _ => panic!("name {name} leads to place {place}, which is no object"),
        }
    }

    /// It lets go of it.
    pub fn unpinned(&mut self, place: usize) {
        let Some(Use::Object { pins, .. }) = self.places.get_mut(&place) else {
            panic!("a pinned object was taken: place {place}");
        };
        *pins -= 1;
    }

    /// Somebody begins to destroy the object of `name`.
    pub fn destroying(&mut self, name: usize) {
        self.names[name].destroyed += 1;
    }

    /// There was none.
    pub fn not_destroyed(&mut self, name: usize) {
        self.names[name].destroyed -= 1;
    }

    /// At rest: the objects that there are of each name.
    pub fn live(&self) -> Vec<u32> {
        let live = |name: &Name| {
            name.constructed
                .checked_sub(name.destroyed)
                .expect("no more objects are destroyed than constructed")
        };
        self.names.iter().map(live).collect()
    }

    /// Places that somebody holds.
    pub fn held(&self) -> usize {
        self.places.values().filter(|is| matches!(is, Use::Held)).count()
    }
}
