//! Words that lead from a queue to its objects.

use super::*;
use crate::collections::String;
use crate::queue::ObjectQueue;

type Texts = ObjectQueue<String, 3>;

/// A segment with a queue of two texts; the words of its cells.
fn texts() -> (Segment, [u64; 3]) {
    let segment = anonymous();
    let queue = segment.construct("texts", Texts::new()).unwrap();
    for text in ["a text that has a block", "another text that has a block"] {
        let text = segment.own(String::from_in(text, &segment)).unwrap();
        queue.push(text).unwrap();
    }
    let arena = &segment.attached().arena;
    // Behind three lines there are cells of two words, of which the second leads to an object.
    let first = arena.offset_of(core::ptr::from_ref(&*queue).cast()) + 192 + 8;
    drop(queue);
    let words = [0, 1, 2].map(|cell| first + 16 * cell);
    let lead = words.map(|at| arena.word(at).unwrap().load(Relaxed) != 0);
    assert_eq!(lead, [true, true, false]);
    (segment, words)
}

#[test]
fn what_a_queue_leads_to_is_an_object_that_nothing_else_leads_to() {
    let (segment, [first, second, third]) = texts();
    let report = segment.check().unwrap();
    assert!(report.is_clean() && report.looked.parts == 2, "{report}");
    let arena = &segment.attached().arena;
    let word = |at| arena.word(at).unwrap();
    let [one, other] = [first, second].map(|at| word(at).load(Relaxed));
    let named = segment.construct("named", 7u64).unwrap();
    let named = arena.offset_of(core::ptr::from_ref(&*named).cast()) - 16;
    let raw = raw(&segment, 64);
    let breaks: [(u64, u64, FindingKind); 6] = [
        (third, one, FindingKind::TwoNames),
        (third, named, FindingKind::TwoNames),
        (third, one + 16, FindingKind::Value),
        (third, raw, FindingKind::Value),
        (third, 3, FindingKind::Value),
        // Nothing leads to the object then, nor to what hangs on it.
        (second, 0, FindingKind::Block),
    ];
    for (at, to, kind) in breaks {
        let was = word(at).swap(to, Relaxed);
        let report = segment.check().unwrap();
        assert!(report.damages().any(|it| it.kind == kind), "{at:#x} → {to:#x}: {report}");
        word(at).store(was, Relaxed);
        assert!(segment.check().unwrap().is_clean());
    }
    let life = &ObjectHeader::at(arena, other).unwrap().life;
    let was = life.load(Relaxed);
    for (broken, kind) in [
        (Life { named: false, ..Life::of(was) }, FindingKind::Object),
        (Life { retired_by: LaneId(1), ..Life::of(was) }, FindingKind::Object),
    ] {
        life.store(broken.word(), Relaxed);
        let report = segment.check().unwrap();
        assert!(report.damages().any(|it| it.kind == kind), "{broken:?}: {report}");
        life.store(was, Relaxed);
    }
    assert!(segment.check().unwrap().is_clean());
}
