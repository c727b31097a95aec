//! Maps behind locks: changed in each way that there is.

use super::shelf::{self, Counts, EMPTY, In, changes_table, changes_tree, set, text};
use super::{Operation, Things};
use sharena::collections::{BTreeMapMut, HashMapMut};
use std::mem::forget;

const fn tree(tree: u64) -> Counts {
    Counts { tree, ..EMPTY }
}

const fn table(table: u64) -> Counts {
    Counts { table, ..EMPTY }
}

/// Keys of a tree that is one full leaf.
const LEAF: u64 = 15;
/// Of one whose second leaf is small: with what is behind it, the first one is full.
const TWO: u64 = LEAF + 1;
/// The key between its leaves.
const BETWEEN: u64 = 13;
/// Of a table that is full.
const TABLE: u64 = 7;

pub const OPERATIONS: &[Operation] = &[
    Operation::new("change-tree-insert", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_tree(victim, move |tree| forget(tree.insert(9, new)))
    })
    .set_up(|stage| shelf::set_up(stage, tree(3)))
    .turns(set(tree(3)), set(tree(3)).and(In::Tree, 9, 9))
    .of_collections()
    .of_steps(12),
    Operation::new("change-tree-insert-splits", |_, victim| {
        let new = text(victim.segment(), 77);
        changes_tree(victim, move |tree| forget(tree.insert(LEAF, new)))
    })
    .set_up(|stage| shelf::set_up(stage, tree(LEAF)))
    .turns(set(tree(LEAF)), set(tree(LEAF)).and(In::Tree, LEAF, 77))
    .of_collections()
    .of_steps(40),
    Operation::new("change-tree-replace", |_, victim| {
        let new = text(victim.segment(), 77);
        changes_tree(victim, move |tree| forget(tree.insert(BETWEEN, new)))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(
        set(tree(TWO)),
        set(tree(TWO)).without(In::Tree, BETWEEN, BETWEEN).and(In::Tree, BETWEEN, 77),
    )
    .of_collections()
    .of_steps(30),
    Operation::new("change-tree-remove", |_, victim| {
        changes_tree(victim, |tree| forget(tree.remove(&1)))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(set(tree(TWO)), set(tree(TWO)).without(In::Tree, 1, 1))
    .of_collections()
    .of_steps(30),
    Operation::new("change-tree-remove-between", |_, victim| {
        changes_tree(victim, |tree| forget(tree.remove(&BETWEEN)))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(set(tree(TWO)), set(tree(TWO)).without(In::Tree, BETWEEN, BETWEEN))
    .of_collections()
    .of_steps(60),
    Operation::new("change-tree-pop-merges", |_, victim| {
        changes_tree(victim, |tree| forget(tree.pop_last()))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(set(tree(TWO)), set(tree(LEAF)))
    .of_collections()
    .of_steps(60),
    Operation::new("change-tree-pop-first", |_, victim| {
        changes_tree(victim, |tree| forget(tree.pop_first()))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(set(tree(TWO)), set(tree(TWO)).without(In::Tree, 0, 0))
    .of_collections()
    .of_steps(30),
    Operation::new("change-tree-retain", |_, victim| {
        changes_tree(victim, |tree| tree.retain(|key, _| *key < 3))
    })
    .set_up(|stage| shelf::set_up(stage, tree(TWO)))
    .turns(set(tree(TWO)), set(tree(3)))
    .of_collections()
    .of_steps(100),
    Operation::new("change-tree-clear", |_, victim| changes_tree(victim, |tree| tree.clear()))
        .set_up(|stage| shelf::set_up(stage, tree(TWO)))
        .turns(set(tree(TWO)), set(EMPTY))
        .of_collections()
        .of_steps(100),
    Operation::new("change-table-insert", |_, victim| {
        let new = text(victim.segment(), 9);
        changes_table(victim, move |table| forget(table.insert(9, new)))
    })
    .set_up(|stage| shelf::set_up(stage, table(3)))
    .turns(set(table(3)), set(table(3)).and(In::Table, 9, 9))
    .of_collections()
    .of_steps(12),
    Operation::new("change-table-insert-grows", |_, victim| {
        let new = text(victim.segment(), 77);
        changes_table(victim, move |table| forget(table.insert(TABLE, new)))
    })
    .set_up(|stage| shelf::set_up(stage, table(TABLE)))
    .turns(set(table(TABLE)), set(table(TABLE)).and(In::Table, TABLE, 77))
    .of_collections()
    .of_steps(30),
    Operation::new("change-table-replace", |_, victim| {
        let new = text(victim.segment(), 77);
        changes_table(victim, move |table| forget(table.insert(1, new)))
    })
    .set_up(|stage| shelf::set_up(stage, table(3)))
    .turns(set(table(3)), REPLACED)
    .of_collections()
    .of_steps(30),
    Operation::new("change-table-remove", |_, victim| {
        changes_table(victim, |table| forget(table.remove(&1)))
    })
    .set_up(|stage| shelf::set_up(stage, table(3)))
    .turns(set(table(3)), set(table(3)).without(In::Table, 1, 1))
    .of_collections()
    .of_steps(30),
    Operation::new("change-table-retain", |_, victim| {
        changes_table(victim, |table| table.retain(|key, _| *key < 3))
    })
    .set_up(|stage| shelf::set_up(stage, table(TABLE)))
    .turns(set(table(TABLE)), set(table(3)))
    .of_collections()
    .of_steps(30),
    Operation::new("change-table-clear", |_, victim| changes_table(victim, |table| table.clear()))
        .set_up(|stage| shelf::set_up(stage, table(TABLE)))
        .turns(set(table(TABLE)), set(EMPTY))
        .of_collections()
        .of_steps(30),
];

const REPLACED: Things = set(table(3)).without(In::Table, 1, 1).and(In::Table, 1, 77);
