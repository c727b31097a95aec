//! Objects to which a word in another object leads.

use super::{BLOCK, Ruin, Tree, VALUE, Worker};
use crate::heap::Heap;
use crate::heap::unit::State;
use crate::names::entry::{Life, ObjectHeader};
use crate::sync::AtomicU64;
use crate::trace::map::{Item, Map, Node, Part};

/// An object whose word leads to another, or to none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Root(u64);

/// The fingerprint of such.
const ROOT: u64 = 15;

fn root_map() -> Map {
    let leads = vec![Item { at: 0, part: Part::Leads }];
    let node = Node { fingerprint: ROOT, size: 8, align: 8, items: leads };
    Map { nodes: vec![node], checks: Vec::new() }
}

impl Worker {
    /// Publishes the map of such objects.
    pub fn know_roots(&self) {
        self.know(ROOT, &root_map());
    }

    /// A published one, whose word leads to none.
    pub fn root(&self) -> Root {
        let arena = &self.world.arena;
        let block = self.take(BLOCK).expect("room for it");
        ObjectHeader::write(arena, block, ROOT, Life { has_parts: true, ..Life::new(1, true) });
        // SAFETY: inside the block, which is this lane's alone.
        unsafe { arena.at(block + VALUE).cast::<AtomicU64>().write(AtomicU64::new(0)) };
        Heap::set_state(arena, block, State::Published);
        Root(block)
    }

    fn word_of(&self, root: Root) -> (u64, &AtomicU64) {
        let at = root.0 + VALUE;
        (at, self.world.arena.word(at).expect("inside a block"))
    }

    /// Links an object on which a block hangs by the word, which leads to none, and is this lane's to write.
    pub fn link_led(&self, root: Root, tree: Tree) {
        let pins = [self.pin(root.0), self.pin(tree.object)];
        self.names().link_alone(self.word_of(root), tree.object, &[tree.part]);
        pins.into_iter().for_each(|pin| self.unpin(pin));
    }

    /// Destroys what the word, which is this lane's to write, leads to; whether it did.
    pub fn end_led(&self, root: Root) -> bool {
        let pin = self.pin(root.0);
        let led = self.names().led(self.word_of(root));
        let led = led.unwrap_or_else(|refused| panic!("{refused:?}"));
        if let Some(led) = led {
            assert!(self.names().destroy_led(&led), "it leads to what was destroyed");
            self.names().unpin(led.hazard);
            self.fall(Ruin(led.object));
        }
        self.unpin(pin);
        led.is_some()
    }

    /// Destroys the root, whose word nobody writes any more.
    pub fn ruin_root(&self, root: Root) -> Ruin {
        let arena = &self.world.arena;
        let retired_by = self.lane.id();
        let life = Life { has_parts: true, retired_by, ..Life::new(1, true) };
        let header = ObjectHeader::at(arena, root.0).expect("it is there");
        header.life.store(life.word(), crate::sync::Release);
        Heap::set_state(arena, root.0, State::Doomed);
        Ruin(root.0)
    }
}
