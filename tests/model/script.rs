//! What a test does to a segment: a script, as proptest makes and shrinks it. It names nothing that
//! there might not be: a `pick` chooses among the things that there are when its turn comes.

use crate::linear::Call;
use crate::named;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// Processes that may be attached at the same time, beside the test itself.
pub const PROCESSES: usize = 3;
/// Threads of each.
pub const THREADS: usize = 2;
/// Names that are used all the time. The last two are unique instances, of which the type is the name.
pub const NAMES: usize = 8;
pub const UNIQUE: Range<usize> = NAMES - 2..NAMES;
/// The first of the names that come in crowds.
pub const CROWD: usize = 100;

#[derive(Clone)]
pub enum Step {
    /// All of them at once, each by another thread; most often it is one.
    Round(Vec<Turn>),
    /// A process leaves. What it has not published it drops, or forgets.
    Detach { process: usize, forgets: bool },
    /// A process is killed while it does nothing.
    Kill { process: usize },
}

#[derive(Clone)]
pub struct Turn {
    pub process: usize,
    pub thread: usize,
    pub op: Op,
    /// The process is killed so many ns after it began.
    pub kill: Option<u32>,
}

/// A line each, as a script that failed is printed.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Round(turns) if turns.len() == 1 => write!(f, "{:?}", turns[0]),
            Step::Round(turns) => write!(f, "at once {turns:?}"),
            Step::Detach { process, forgets } => {
                write!(f, "{process} detaches{}", if *forgets { ", and forgets" } else { "" })
            }
            Step::Kill { process } => write!(f, "{process} is killed"),
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Turn { process, thread, op, kill } = self;
        write!(f, "{process}.{thread} {op:?}")?;
        kill.map_or(Ok(()), |after| write!(f, ", killed after {after} ns"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    Raw,
    RawByHandle,
    Zeroed,
    Private,
    PrivateByHandle,
}

impl How {
    pub fn is_private(self) -> bool {
        matches!(self, How::Private | How::PrivateByHandle)
    }
}

#[derive(Clone, Debug)]
pub enum Op {
    Allocate {
        bytes: usize,
        align: u32,
        how: How,
    },
    Many {
        bytes: usize,
        count: usize,
    },
    Free {
        pick: usize,
        by_handle: bool,
    },
    FreeHalf {
        pick: usize,
    },
    Publish {
        pick: usize,
    },
    Resize {
        pick: usize,
        bytes: usize,
    },
    /// The largest raw block, by so many units.
    Grow {
        units: usize,
    },
    FreeTwice {
        pick: usize,
    },
    FreeInside {
        pick: usize,
        bytes: usize,
    },
    Own {
        kind: u64,
        bytes: usize,
    },
    Resolve {
        pick: usize,
        holds: bool,
    },
    DestroyAt {
        pick: usize,
    },
    /// An object is taken for what it is not.
    Mistake {
        pick: usize,
    },
    Name {
        name: usize,
        call: NameOp,
        holds: bool,
    },
    Crowd {
        from: usize,
        count: usize,
        is_made: bool,
    },
    LetGo {
        pick: usize,
    },
    Objects,
    Clear,
    Trim,
    Recover,
    Check,
}

/// A call whose value is yet to be made.
#[derive(Clone, Copy, Debug)]
pub enum NameOp {
    Construct {
        kind: u64,
        bytes: usize,
    },
    FindOrConstruct {
        kind: u64,
    },
    Find {
        kind: u64,
    },
    Contains,
    Destroy {
        kind: u64,
    },
    /// With the type that it has.
    DestroyRight,
}

/// Sizes where rounding turns: around each class and each unit, and a few of all lengths.
pub fn sizes() -> impl Strategy<Value = usize> {
    let around = |shifts: Range<u32>| {
        (shifts, -1isize..=1, 0usize..4).prop_map(|(shift, by, quarter)| {
            ((1usize << shift) + quarter * (1 << shift) / 4).saturating_add_signed(by).max(1)
        })
    };
    prop_oneof![
        6 => 1usize..=1024,
        4 => around(3..18),
        2 => 1024usize..=300 << 10,
        1 => around(18..22),
    ]
}

/// Of objects: as above, but seldom large, as each byte of them is looked at.
fn object_sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 8usize..=700,
        1 => (sizes(), 8usize..9).prop_map(|(bytes, least)| bytes.clamp(least, 400 << 10)),
    ]
}

fn hows() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::Raw),
        Just(How::RawByHandle),
        Just(How::Zeroed),
        Just(How::Private),
        Just(How::PrivateByHandle)
    ]
}

fn name_ops() -> impl Strategy<Value = NameOp> {
    let kind = || 0..named::KINDS;
    prop_oneof![
        4 => (kind(), object_sizes()).prop_map(|(kind, bytes)| NameOp::Construct { kind, bytes }),
        2 => (0..named::BYTES).prop_map(|kind| NameOp::FindOrConstruct { kind }),
        3 => kind().prop_map(|kind| NameOp::Find { kind }),
        1 => Just(NameOp::Contains),
        2 => kind().prop_map(|kind| NameOp::Destroy { kind }),
        2 => Just(NameOp::DestroyRight),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let aligns = prop_oneof![8 => 0u32..=6, 2 => 7u32..=12, 1 => 13u32..=16];
    let pick = || 0usize..1 << 20;
    prop_oneof![
        16 => (sizes(), aligns, hows()).prop_map(|(bytes, align, how)| Op::Allocate { bytes, align, how }),
        2 => (1usize..600, 50usize..800).prop_map(|(bytes, count)| Op::Many { bytes, count }),
        12 => (pick(), any::<bool>()).prop_map(|(pick, by_handle)| Op::Free { pick, by_handle }),
        2 => pick().prop_map(|pick| Op::FreeHalf { pick }),
        4 => pick().prop_map(|pick| Op::Publish { pick }),
        4 => (pick(), sizes()).prop_map(|(pick, bytes)| Op::Resize { pick, bytes }),
        2 => (1usize..40).prop_map(|units| Op::Grow { units }),
        2 => pick().prop_map(|pick| Op::FreeTwice { pick }),
        2 => (pick(), 0usize..1 << 22).prop_map(|(pick, bytes)| Op::FreeInside { pick, bytes }),
        4 => (0..named::KINDS, object_sizes()).prop_map(|(kind, bytes)| Op::Own { kind, bytes }),
        3 => (pick(), any::<bool>()).prop_map(|(pick, holds)| Op::Resolve { pick, holds }),
        3 => pick().prop_map(|pick| Op::DestroyAt { pick }),
        2 => pick().prop_map(|pick| Op::Mistake { pick }),
        16 => (0..NAMES, name_ops(), prop::bool::weighted(0.3))
            .prop_map(|(name, call, holds)| Op::Name { name, call, holds }),
        1 => crowds(),
        3 => pick().prop_map(|pick| Op::LetGo { pick }),
        1 => Just(Op::Objects),
        1 => Just(Op::Clear),
        2 => Just(Op::Trim),
        1 => Just(Op::Recover),
        1 => Just(Op::Check),
    ]
}

fn crowds() -> impl Strategy<Value = Op> {
    (0usize..300, 1usize..120, any::<bool>()).prop_map(|(from, count, is_made)| Op::Crowd {
        from,
        count,
        is_made,
    })
}

fn turns() -> impl Strategy<Value = Turn> {
    let kill = prop::option::weighted(0.02, prop_oneof![4 => 1u32..40_000, 1 => 1u32..400_000]);
    (0..PROCESSES, 0..THREADS, ops(), kill).prop_map(|(process, thread, op, kill)| Turn {
        process,
        thread,
        op,
        kill,
    })
}

/// Of one that does so much at once that it is hit in the midst.
fn deaths() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        3 => crowds(),
        1 => (0usize..1 << 20).prop_map(|pick| Op::FreeHalf { pick }),
        1 => (1usize..600, 50usize..800).prop_map(|(bytes, count)| Op::Many { bytes, count }),
    ];
    (0..PROCESSES, 0..THREADS, op, 1u32..60_000).prop_map(|(process, thread, op, after)| {
        Step::Round(vec![Turn { process, thread, op, kill: Some(after) }])
    })
}

/// Scripts. Where processes are not real ones, nobody is killed.
pub fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        60 => turns().prop_map(|turn| Step::Round(vec![turn])),
        20 => prop::collection::vec(turns(), 2..=PROCESSES * THREADS).prop_map(Step::Round),
        1 => (0..PROCESSES, any::<bool>())
            .prop_map(|(process, forgets)| Step::Detach { process, forgets }),
        1 => (0..PROCESSES).prop_map(|process| Step::Kill { process }),
        1 => deaths(),
    ];
    prop::collection::vec(step, 1..200)
}

/// What to call a segment's object with this number; `None`: it is known by its type.
pub fn name_of(name: usize) -> Option<String> {
    match name {
        name if UNIQUE.contains(&name) => None,
        // An entry of another size class.
        3 => Some("the third, of which the name is long ".repeat(9)),
        name => Some(format!("name {name}")),
    }
}

/// As a crowd is called: it has one kind.
pub fn crowd_calls(
    from: usize,
    count: usize,
    is_made: bool,
    mut value: impl FnMut() -> u64,
) -> Vec<(usize, Call)> {
    let call = |_| if is_made { Call::Construct(value()) } else { Call::Destroy(named::WORD) };
    (from..from + count).map(|i| CROWD + i).zip((0..count).map(call)).collect()
}
