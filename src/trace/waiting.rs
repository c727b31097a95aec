//! Destroyed objects that nobody let fall: whoever looked at them last died, or looked the other way.

use super::reap;
use crate::heap::unit::{State, Unit};
use crate::names::{Names, Refused};
use crate::stats::look::Looker;
use crate::sync::Acquire;

/// Lets all destroyed objects fall that nobody looks at; how many did.
///
/// Lock-free; takes time in proportion to the state bytes of all slabs.
pub fn reap_all(names: Names<'_>) -> Result<u64, Refused> {
    let mut doomed = Vec::new();
    let looker = Looker::new(names).map_err(|_| Refused::TooManyPins)?;
    for head in names.heap.arena.units() {
        let word = names.heap.arena.unit_word(head).load(Acquire);
        let class = match Unit::of(word) {
            Some(Unit::Slab { class, .. } | Unit::Orphan { class } | Unit::Sweep { class, .. }) => {
                class
            }
            Some(Unit::Run { state: State::Doomed, .. }) => {
                doomed.push(head.offset());
                continue;
            }
            _ => continue,
        };
        let cut = class.cut();
        if u64::from(head.0) + u64::from(cut.span) > u64::from(names.heap.arena.frontier().0) {
            continue; // damaged
        }
        looker.states(head, word, class, |index, byte| {
            if byte == State::Doomed as u8 {
                let at = u64::from(index) * u64::from(cut.size);
                doomed.push(head.offset() + at);
            }
        });
    }
    drop(looker);
    let mut fell = 0;
    for object in doomed {
        fell += u64::from(reap(&names, object)?);
    }
    Ok(fell)
}
