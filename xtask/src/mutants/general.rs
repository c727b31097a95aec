//! `cargo xtask mutants --general`: what cargo-mutants would try in the core, each tried by the suites
//! in turn until one fails.
//!
//! The mutants of a file are planted together, behind [switches], so that a suite is
//! built once for all of them. What has no switch (a `const fn`, a value of another type than the body)
//! is planted alone, into a tree of its own that is built for it. Of a suite that asks for no switch of a
//! mutant nothing is run for it.
//!
//! Results are kept below `target/mutants`, by keys that outlive edits elsewhere in a file: a run
//! that was cut off goes on where it was, and `--again` tries the survivors once more.

use super::list::{Genre, Mutant, list};
use super::suites::{self, End, Limits, Program, QUICK, SUITES, Suite};
use super::{report, switches, tree};
use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to run `--general`.
#[derive(clap::Args)]
pub struct GeneralArgs {
    /// Tries what cargo-mutants would change in the core, instead of the kept list.
    #[arg(long)]
    pub general: bool,
    /// Suites up to this one, by their order in the report.
    #[arg(long, value_name = "SUITE", requires = "general")]
    pub until: Option<String>,
    /// Only these suites.
    #[arg(long, value_name = "SUITE", requires = "general", conflicts_with = "until")]
    pub suite: Vec<String>,
    /// Only so many, a fair sample.
    #[arg(long, value_name = "MUTANTS", requires = "general")]
    pub sample: Option<usize>,
    /// Tries survivors again, by all suites.
    #[arg(long, requires = "general")]
    pub again: bool,
    /// Only survivors: goes on with them, by the suites that did not try them yet.
    #[arg(long, requires = "general")]
    pub survivors: bool,
}

/// What became of a mutant.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It does not compile.
    Unviable,
    Caught {
        by: String,
        seconds: f64,
        /// By the limit on its time.
        hung: bool,
    },
    /// The suites that passed.
    Survived { after: Vec<String> },
}

/// By key.
pub type Fates = BTreeMap<String, Fate>;

/// The command; whether each mutant is caught or explained.
pub fn run(names: &[String], args: &GeneralArgs, file: Option<&Path>) -> Result<bool> {
    let dir = crate::root()?.join("target/mutants");
    // The sources as they are now, whatever happens to them while this runs.
    let root = dir.join("sound");
    tree::copy(crate::root()?, &root)?;
    let all = list(&root)?;
    let state = dir.join("general.json");
    let mut fates: Fates = match fs::read(&state) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Fates::new(),
    };
    let keys: HashSet<&str> = all.iter().map(|mutant| mutant.key.as_str()).collect();
    fates.retain(|key, _| keys.contains(key.as_str()));
    let wanted =
        |mutant: &Mutant| names.is_empty() || names.iter().any(|part| mutant.key.contains(part));
    let mut chosen: Vec<usize> = (0..all.len()).filter(|number| wanted(&all[*number])).collect();
    // Shuffled, so that what was tried when a run was cut off is a fair sample.
    chosen.sort_by_cached_key(|number| {
        let mut hasher = DefaultHasher::new();
        all[*number].key.hash(&mut hasher);
        hasher.finish()
    });
    chosen.truncate(args.sample.unwrap_or(chosen.len()));
    if args.survivors {
        chosen.retain(|number| matches!(fates.get(&all[*number].key), Some(Fate::Survived { .. })));
    }
    if args.again {
        for number in &chosen {
            if let Some(Fate::Survived { .. }) = fates.get(&all[*number].key) {
                fates.remove(&all[*number].key);
            }
        }
    }
    let place = |name: &String| {
        SUITES
            .iter()
            .position(|suite| suite.name == name)
            .with_context(|| format!("no suite {name}"))
    };
    let last = args.until.as_ref().map_or(Ok(SUITES.len() - 1), place)?;
    let named = args.suite.iter().map(place).collect::<Result<Vec<_>>>()?;
    let is_wanted = |at: &usize| *at <= last && (named.is_empty() || named.contains(at));
    let of =
        |range: Range<usize>| range.filter(is_wanted).map(|at| &SUITES[at]).collect::<Vec<_>>();
    let (quick, slow) = (of(0..QUICK), of(QUICK..SUITES.len()));
    let keep = |fates: &Fates| fs::write(&state, serde_json::to_vec_pretty(fates)?).context("keep");
    let mut shop = Shop::open(&root, dir.clone(), &all, &mut fates)?;
    keep(&fates)?;
    let one = |fates: &mut Fates, shop: &mut Shop, suite: &'static Suite, number: usize| {
        let mutant = &all[number];
        let mut after = match fates.get(&mutant.key) {
            None => Vec::new(),
            Some(Fate::Survived { after }) => after.clone(),
            Some(_) => return Ok(()),
        };
        if after.iter().any(|name| name == suite.name) {
            return Ok(());
        }
        let fate = match shop.try_one(suite, number)? {
            Tried::Unseen | Tried::Ended(End::Passed, _) => {
                after.push(suite.name.to_owned());
                Fate::Survived { after }
            }
            Tried::Ended(end, took) => {
                println!("{:<24} {:>6.1} s  {}", suite.name, took.as_secs_f64(), mutant.name);
                let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
                Fate::Caught { by: suite.name.to_owned(), seconds, hung: end == End::Hung }
            }
            Tried::Unviable => Fate::Unviable,
        };
        fates.insert(mutant.key.clone(), fate);
        keep(fates)
    };
    // A mutant goes through the quick ones at once; the slow ones are for the survivors of all. Those that
    // must be built alone take as long as many others, and go last.
    let has_switch = |number: &&usize| shop.switched.contains(&(**number as u32 + 1));
    let (switched, alone): (Vec<usize>, Vec<usize>) = chosen.iter().partition(has_switch);
    println!("{} mutants have a switch, {} do not", switched.len(), alone.len());
    for (suites, numbers) in std::iter::once((&quick[..], &switched))
        .chain(slow.chunks(1).map(|suite| (suite, &switched)))
        .chain([(&quick[..], &alone), (&slow[..], &alone)])
    {
        for &number in numbers {
            for &suite in suites {
                one(&mut fates, &mut shop, suite, number)?;
            }
        }
    }
    report::general(&all, &fates, file)
}

/// How a suite ended for a mutant.
enum Tried {
    Unviable,
    /// Nothing of it runs where the mutant is.
    Unseen,
    Ended(End, Duration),
}

/// The programs in which the mutants are.
struct Shop<'a> {
    root: &'a Path,
    dir: PathBuf,
    all: &'a [Mutant],
    /// The mutants that have a switch, by number; numbers count from 1.
    switched: HashSet<u32>,
    built: HashMap<Program, PathBuf>,
    limits: HashMap<String, Limits>,
    /// The mutants that a suite asks for.
    reached: HashMap<&'static str, HashSet<u32>>,
    /// Which mutant is planted in the tree for one.
    alone: Option<usize>,
}

impl<'a> Shop<'a> {
    /// Makes the tree with switches. A mutant that does not compile behind one is unviable.
    fn open(
        root: &'a Path,
        dir: PathBuf,
        all: &'a [Mutant],
        fates: &mut Fates,
    ) -> Result<Shop<'a>> {
        let mut shop = Shop {
            root,
            dir,
            all,
            switched: HashSet::new(),
            built: HashMap::new(),
            limits: HashMap::new(),
            reached: HashMap::new(),
            alone: None,
        };
        tree::copy_all(root, &shop.tree())?;
        loop {
            let texts = shop.plant(fates)?;
            match suites::build(Program::Lib, &shop.tree(), &shop.dir, false)? {
                Ok(program) => {
                    shop.built.insert(Program::Lib, program);
                    return Ok(shop);
                }
                Err(told) => {
                    let unviable = to_blame(&told, &texts)?;
                    println!("{} mutants do not compile", unviable.len());
                    for number in unviable {
                        let key = &all[number as usize - 1].key;
                        ensure!(
                            fates.insert(key.clone(), Fate::Unviable).is_none(),
                            "{key} does not compile, though it is not planted"
                        );
                    }
                }
            }
        }
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("switched")
    }

    /// Writes the files with switches for all but the unviable; the texts by path.
    fn plant(&mut self, fates: &Fates) -> Result<HashMap<String, String>> {
        let mut by_file: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in (1..).zip(self.all) {
            if fates.get(&mutant.key) != Some(&Fate::Unviable) && !changes_type(mutant) {
                by_file.entry(&mutant.file).or_default().push((number, mutant));
            }
        }
        self.switched.clear();
        let mut texts = HashMap::new();
        for (file, mutants) in by_file {
            let text = fs::read_to_string(self.root.join(file))?;
            let (text, planted) =
                switches::plant(&text, &mutants).with_context(|| file.to_owned())?;
            self.switched.extend(planted);
            tree::write(&self.tree().join(file), text.as_bytes())?;
            texts.insert(file.to_owned(), text);
        }
        let lib = fs::read_to_string(self.root.join("src/lib.rs"))? + switches::MODULE;
        tree::write(&self.tree().join("src/lib.rs"), lib.as_bytes())?;
        Ok(texts)
    }

    /// Runs a suite on a mutant.
    fn try_one(&mut self, suite: &'static Suite, number: usize) -> Result<Tried> {
        let mutant = &self.all[number];
        let switch = number as u32 + 1;
        if !self.switched.contains(&switch) {
            return self.try_alone(suite, number);
        }
        self.open_suite(suite)?;
        if self.reached.get(suite.name).is_some_and(|reached| !reached.contains(&switch)) {
            return Ok(Tried::Unseen);
        }
        let program = self.built[&suite.program].clone();
        let all = suite.args_for(&mutant.file).into_iter().map(str::to_owned).collect();
        for args in suite.of_file(&mutant.file).into_iter().chain([all]) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let limits = self.limits(suite, &program, &args)?;
            let (end, took) = suites::run(&program, &args, &self.tree(), switch, limits)?;
            if end != End::Passed {
                return Ok(Tried::Ended(end, took));
            }
        }
        Ok(Tried::Ended(End::Passed, Duration::ZERO))
    }

    /// The same for one without a switch: tests alone, as it is built for each.
    fn try_alone(&mut self, suite: &'static Suite, number: usize) -> Result<Tried> {
        if !matches!(suite.program, Program::Lib | Program::Test(_)) {
            return Ok(Tried::Unseen);
        }
        self.open_suite(suite)?;
        let args = suite.args_for("");
        let limits = self.limits(suite, &self.built[&suite.program].clone(), &args)?;
        let mutant = &self.all[number];
        let tree = self.dir.join("alone");
        if self.alone != Some(number) {
            tree::copy_all(self.root, &tree)?;
            let text = fs::read_to_string(self.root.join(&mutant.file))?;
            tree::write(&tree.join(&mutant.file), mutant.applied(&text)?.as_bytes())?;
            self.alone = Some(number);
        }
        let Ok(program) = suites::build(suite.program, &tree, &self.dir.join("for-one"), true)?
        else {
            return Ok(Tried::Unviable);
        };
        let (end, took) = suites::run(&program, &args, &tree, 0, limits)?;
        Ok(Tried::Ended(end, took))
    }

    /// Builds a suite, and sees which mutants it asks for, if it is of tests: others are run in part.
    fn open_suite(&mut self, suite: &'static Suite) -> Result<()> {
        if !self.built.contains_key(&suite.program) {
            let built = suites::build(suite.program, &self.tree(), &self.dir, false)?;
            let program =
                built.map_err(|_| anyhow!("{} does not compile with switches", suite.name))?;
            self.built.insert(suite.program, program);
        }
        let is_of_tests = matches!(suite.program, Program::Lib | Program::Test(_));
        if is_of_tests && !self.reached.contains_key(suite.name) {
            let (program, args) = (&self.built[&suite.program], suite.args_for(""));
            let count = self.all.len() + 1;
            let (end, reached) = suites::reached(program, &args, &self.tree(), PATIENT, count)?;
            ensure!(end == End::Passed, "{} fails without a mutant: {end:?}", suite.name);
            println!("{} asks for {} mutants", suite.name, reached.len());
            self.reached.insert(suite.name, reached);
        }
        Ok(())
    }

    /// Runs a suite without a mutant: it must pass, and its time makes the limits.
    fn limits(&mut self, suite: &Suite, program: &Path, args: &[&str]) -> Result<Limits> {
        let key = format!("{} {}", suite.name, args.join(" "));
        if let Some(limits) = self.limits.get(&key) {
            return Ok(*limits);
        }
        let (end, usual) = suites::run(program, args, &self.tree(), 0, PATIENT)?;
        ensure!(end == End::Passed, "{key} fails without a mutant: {end:?}");
        println!("{key} takes {:.1} s", usual.as_secs_f64());
        let limits = Limits::of(usual);
        self.limits.insert(key, limits);
        Ok(limits)
    }
}

/// For a suite whose usual time is not known.
const PATIENT: Limits = Limits { cpu: 726, clock: Duration::from_secs(2420) };

/// Whether what it returns is of another type than the body, though both are what the function
/// promises.
fn changes_type(mutant: &Mutant) -> bool {
    mutant.genre == Genre::FnValue && mutant.does().contains("-> impl ")
}

/// The mutants in whose alternatives the compiler sees errors.
fn to_blame(told: &str, texts: &HashMap<String, String>) -> Result<HashSet<u32>> {
    let mut found = HashSet::new();
    let mut places = HashMap::new();
    for line in told.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let message = &message["message"];
        if message["level"] != "error" || message["spans"].as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let mut blamed = false;
        for span in message["spans"].as_array().context("spans")? {
            let file = span["file_name"].as_str().context("a file")?;
            let Some(text) = texts.get(file) else { continue };
            if !places.contains_key(file) {
                places.insert(file.to_owned(), switches::alternatives(text)?);
            }
            let at = span["byte_start"].as_u64().context("a place")? as usize;
            let around = places[file].iter().filter(|(_, extent)| extent.contains(&at));
            if let Some((number, _)) = around.min_by_key(|(_, extent)| extent.len()) {
                found.insert(*number);
                blamed = true;
                break;
            }
        }
        ensure!(blamed, "no mutant is to blame for {}", message["rendered"]);
    }
    ensure!(!found.is_empty(), "it does not compile, and no mutant is to blame: {told}");
    Ok(found)
}
