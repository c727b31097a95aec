//! Every mutant of a file at once: each behind a switch that is thrown when the tests run, so that
//! one build serves all of them.
//!
//! cargo-mutants says where a mutant is and what it puts there; the file is parsed, and
//!
//! | mutant | becomes |
//! |---|---|
//! | `a + b` → `a - b` | `(if is(7) { a - b } else { a + b })` |
//! | `!a` → `a` | `(if is(7) { a } else { !a })` |
//! | a body → `value` | `if is(7) { return value; }` before the body |
//! | an arm is deleted | its guard says `!is(7)` |
//! | a guard → `true` | the guard is `(if is(7) { true } else { guard })` |
//! | a field is deleted | `(if is(7) { base.field } else { value })` |
//!
//! An alternative holds what stood there, without further switches: one mutant is on at a time.
//!
//! What the compiler evaluates can have no switch. So a private `const fn` is doubled: constants
//! are made by `NAME_const`, as it was, and `NAME` is evaluated when it is called. A static that is
//! made by one becomes a `LazyLock`. Other constants have no switches.

use super::list::{Genre, Mutant};
use anyhow::{Context, Result, ensure};
use proc_macro2::Span;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::visit_mut::{self, VisitMut};
use syn::{Arm, BinOp, Block, Expr, Item, Signature, Stmt, UnOp, Visibility, parse_quote};

/// What `is` is, put into the crate. Where `SHARENA_REACHED` names a file, no mutant is on, and the byte of
/// each that is asked for becomes 1: whatever runs without such an asking cannot see that mutant.
pub const MODULE: &str = r#"
/// Which mutant is on.
#[allow(missing_docs)]
pub mod mutant {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering::Relaxed};

    const UNKNOWN: u32 = u32::MAX;
    const NOTING: u32 = u32::MAX - 1;
    static NOW: AtomicU32 = AtomicU32::new(UNKNOWN);
    static REACHED: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());

    #[inline(always)]
    pub fn is(number: u32) -> bool {
        let now = NOW.load(Relaxed);
        (if now >= NOTING { ask(now, number) } else { now }) == number
    }

    #[cold]
    fn ask(now: u32, number: u32) -> u32 {
        if now == UNKNOWN {
            let told = std::env::var("SHARENA_MUTANT").ok().and_then(|told| told.parse().ok());
            let file = std::env::var_os("SHARENA_REACHED").and_then(map);
            REACHED.store(file.unwrap_or(std::ptr::null_mut()), Relaxed);
            NOW.store(if file.is_some() { NOTING } else { told.unwrap_or(0) }, Relaxed);
        }
        if NOW.load(Relaxed) != NOTING {
            return NOW.load(Relaxed);
        }
        // SAFETY: the file has a byte for each mutant and stays mapped.
        let byte = unsafe { &*REACHED.load(Relaxed).add(number as usize) };
        if byte.load(Relaxed) == 0 {
            byte.store(1, Relaxed);
        }
        0
    }

    fn map(path: std::ffi::OsString) -> Option<*mut AtomicU8> {
        let file = std::fs::File::options().read(true).write(true).open(path).ok()?;
        let bytes = file.metadata().ok()?.len() as usize;
        let (access, start) = (libc::PROT_READ | libc::PROT_WRITE, std::ptr::null_mut());
        // SAFETY: a new mapping of a file that keeps its length.
        let at = unsafe { libc::mmap(start, bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        (at != libc::MAP_FAILED).then_some(at.cast())
    }
}
"#;

/// A line and a column as cargo-mutants counts them, both from 1.
type Place = (usize, usize);

fn start(span: Span) -> Place {
    (span.start().line, span.start().column + 1)
}

/// The file with a switch for each of `mutants`, by their numbers, and which of them have one.
pub fn plant(text: &str, mutants: &[(u32, &Mutant)]) -> Result<(String, HashSet<u32>)> {
    let mut file = syn::parse_file(text)?;
    let mut by_place: HashMap<(Genre, Place), Vec<(u32, &Mutant)>> = HashMap::new();
    for (number, mutant) in mutants {
        let place = (mutant.span.start.line, mutant.span.start.column);
        by_place.entry((mutant.genre, place)).or_default().push((*number, mutant));
    }
    let mut planter = Planter { by_place, planted: HashSet::new(), failed: None };
    let constants = double_const_functions(&mut file);
    planter.visit_file_mut(&mut file);
    file.items.extend(constants);
    if let Some(error) = planter.failed {
        return Err(error);
    }
    Ok((prettyplease::unparse(&file), planter.planted))
}

/// Makes the `const fn`s of a module and its statics run-time ones; returns the doubles.
fn double_const_functions(file: &mut syn::File) -> Vec<Item> {
    // Constants of other modules may need the public ones.
    let is_const = |item: &Item| matches!(item, Item::Fn(f) if f.sig.constness.is_some() && matches!(f.vis, Visibility::Inherited));
    let mut doubles: Vec<Item> = file.items.iter().filter(|item| is_const(item)).cloned().collect();
    let name = |item: &Item| match item {
        Item::Fn(function) => Some(function.sig.ident.to_string()),
        _ => None,
    };
    let mut double = ToDouble { names: doubles.iter().filter_map(name).collect(), found: false };
    for item in &mut doubles {
        double.visit_item_mut(item);
    }
    for item in &mut file.items {
        let doubled = is_const(item);
        match item {
            Item::Fn(function) if doubled => function.sig.constness = None,
            Item::Fn(function) if function.sig.constness.is_some() => {
                double.visit_item_fn_mut(function);
            }
            Item::Const(_) => double.visit_item_mut(item),
            Item::Static(constant) => {
                let mut copy = constant.clone();
                double.found = false;
                double.visit_item_static_mut(&mut copy);
                if double.found {
                    let (ty, made) = (&constant.ty, &constant.expr);
                    constant.expr = parse_quote!(std::sync::LazyLock::new(|| #made));
                    constant.ty = parse_quote!(std::sync::LazyLock<#ty>);
                }
            }
            _ => {}
        }
    }
    doubles
}

/// Renames the functions that are doubled.
struct ToDouble {
    names: HashSet<String>,
    found: bool,
}

impl VisitMut for ToDouble {
    fn visit_ident_mut(&mut self, ident: &mut proc_macro2::Ident) {
        if self.names.contains(&ident.to_string()) {
            *ident = quote::format_ident!("{ident}_const");
            self.found = true;
        }
    }
}

struct Planter<'m> {
    by_place: HashMap<(Genre, Place), Vec<(u32, &'m Mutant)>>,
    planted: HashSet<u32>,
    failed: Option<anyhow::Error>,
}

impl Planter<'_> {
    /// The mutants at a place, each with what it puts there.
    fn at(&mut self, genre: Genre, place: Place) -> Vec<(u32, String)> {
        let found = self.by_place.get(&(genre, place)).cloned().unwrap_or_default();
        self.planted.extend(found.iter().map(|(number, _)| number));
        found.into_iter().map(|(number, mutant)| (number, mutant.replacement.clone())).collect()
    }

    fn parse<T: syn::parse::Parse>(&mut self, text: &str) -> Option<T> {
        let parsed = syn::parse_str(text).with_context(|| format!("cannot parse {text:?}"));
        parsed.map_err(|error| self.failed = Some(error)).ok()
    }

    /// `usual`, or what the mutant that is on puts in its place.
    fn choose(alternatives: Vec<(u32, Expr)>, usual: Expr) -> Expr {
        if alternatives.is_empty() {
            return usual;
        }
        let chosen = alternatives.into_iter().rfold(usual, |usual, (number, other)| {
            let rest: Expr = match &usual {
                Expr::If(chain) if switch_of(chain).is_some() => usual,
                _ => parse_quote!({ #usual }),
            };
            parse_quote!(if crate::mutant::is(#number) { #other } else #rest)
        });
        parse_quote!((#chosen))
    }

    fn body(&mut self, signature: &Signature, block: &mut Block) {
        let begins = block.stmts.first().map(|stmt| start(stmt.span()));
        if signature.constness.is_some() {
            return;
        }
        visit_mut::visit_block_mut(self, block);
        let Some(begins) = begins else { return };
        // The first one on goes first.
        for (number, value) in self.at(Genre::FnValue, begins).into_iter().rev() {
            let Some(value) = self.parse::<Expr>(&value) else { return };
            let leave: Stmt = parse_quote!(if crate::mutant::is(#number) { return #value; });
            block.stmts.insert(0, leave);
        }
    }
}

/// Whether `let` stands among what `&&` joins: it cannot be put into a block.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
            has_let(&binary.left) || has_let(&binary.right)
        }
        _ => false,
    }
}

impl VisitMut for Planter<'_> {
    fn visit_item_fn_mut(&mut self, function: &mut syn::ItemFn) {
        self.body(&function.sig, &mut function.block);
    }
    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        self.body(&function.sig, &mut function.block);
    }
    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {}
    fn visit_item_static_mut(&mut self, constant: &mut syn::ItemStatic) {
        if matches!(&*constant.expr, Expr::Call(_)) {
            self.visit_expr_mut(&mut constant.expr); // a LazyLock
        }
    }
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_item_enum_mut(&mut self, _: &mut syn::ItemEnum) {}
    fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}
    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let mut alternatives = Vec::new();
        match expr {
            Expr::Binary(binary) if !has_let(&binary.left) && !has_let(&binary.right) => {
                for (number, op) in self.at(Genre::BinaryOperator, start(binary.op.span())) {
                    let Some(op) = self.parse::<BinOp>(&op) else { return };
                    let other = syn::ExprBinary { op, ..binary.clone() };
                    alternatives.push((number, Expr::Binary(other)));
                }
            }
            Expr::Unary(unary) if !matches!(unary.op, UnOp::Deref(_)) => {
                for (number, _) in self.at(Genre::UnaryOperator, start(unary.op.span())) {
                    alternatives.push((number, (*unary.expr).clone()));
                }
            }
            _ => {}
        }
        visit_mut::visit_expr_mut(self, expr);
        if !alternatives.is_empty() {
            let usual = expr.clone();
            *expr = Self::choose(alternatives, usual);
        }
    }

    fn visit_expr_struct_mut(&mut self, literal: &mut syn::ExprStruct) {
        let base = literal.rest.clone();
        for field in &mut literal.fields {
            let begins = start(field.member.span());
            visit_mut::visit_expr_mut(self, &mut field.expr);
            let Some(base) = &base else { continue };
            let (value, member) = (field.expr.clone(), field.member.clone());
            let others = self.at(Genre::StructField, begins).into_iter();
            let others = others.map(|(number, _)| (number, parse_quote!((#base).#member)));
            field.expr = Self::choose(others.collect(), value);
        }
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        let begins = start(arm.pat.span());
        let guarded = arm.guard.as_ref().map(|(_, guard)| start(guard.span()));
        visit_mut::visit_arm_mut(self, arm);
        if let (Some((_, guard)), Some(place)) = (&mut arm.guard, guarded) {
            let mut others = Vec::new();
            for (number, value) in self.at(Genre::MatchArmGuard, place) {
                let Some(value) = self.parse::<Expr>(&value) else { return };
                others.push((number, value));
            }
            **guard = Self::choose(others, (**guard).clone());
        }
        for (number, _) in self.at(Genre::MatchArm, begins) {
            let guard: Expr = match &arm.guard {
                None => parse_quote!(!crate::mutant::is(#number)),
                Some((_, guard)) => parse_quote!(!crate::mutant::is(#number) && #guard),
            };
            arm.guard = Some((Default::default(), Box::new(guard)));
        }
    }
}

/// The number of the mutant that an `if` switches on.
fn switch_of(chain: &syn::ExprIf) -> Option<u32> {
    let Expr::Call(call) = &*chain.cond else { return None };
    let Expr::Path(function) = &*call.func else { return None };
    let segments = function.path.segments.iter();
    let path = segments.map(|segment| segment.ident.to_string()).collect::<Vec<_>>();
    if path != ["crate", "mutant", "is"] {
        return None;
    }
    match call.args.first() {
        Some(Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(number), .. })) => {
            number.base10_parse().ok()
        }
        _ => None,
    }
}

/// Of a file with switches: what each mutant puts there, in bytes.
pub fn alternatives(text: &str) -> Result<Vec<(u32, Range<usize>)>> {
    struct Finder(Vec<(u32, Range<usize>)>);
    impl<'a> Visit<'a> for Finder {
        fn visit_expr_if(&mut self, chain: &'a syn::ExprIf) {
            if let Some(number) = switch_of(chain) {
                self.0.push((number, chain.then_branch.span().byte_range()));
            }
            syn::visit::visit_expr_if(self, chain);
        }
    }
    let mut finder = Finder(Vec::new());
    finder.visit_file(&syn::parse_file(text)?);
    ensure!(!finder.0.is_empty(), "no switch in it");
    Ok(finder.0)
}
