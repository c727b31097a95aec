//! `cargo xtask bench page`: BENCHMARKS.md and its plots, by a file of results.

mod axis;
mod bars;
pub mod contest;
mod details;
mod draw;
mod losses;
mod plots;
mod style;
mod text;
pub mod words;

use crate::args::PageArgs;
use crate::results::Results;
use anyhow::{Context, Result};
use bars::Bars;
use std::fs;
use std::path::Path;
use style::Styles;

/// Where the plots are, and what they were made of.
const FOLDER: &str = "benches/results";

/// A picture of the page.
struct Picture {
    /// Of the file, without its ending.
    name: String,
    title: String,
    svg: String,
}

/// The command.
pub fn run(args: &PageArgs) -> Result<bool> {
    let results = Results::read(&args.results)?;
    let source = fs::read(&args.results)?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a project")?;
    let pictures = write(&results, &source, args.to.as_deref().unwrap_or(project))?;
    println!("BENCHMARKS.md, {pictures} pictures in {FOLDER}");
    Ok(true)
}

/// Writes all of it below `root`; how many pictures. Pictures of an earlier page go.
fn write(results: &Results, source: &[u8], root: &Path) -> Result<usize> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|it| it == "svg") {
            fs::remove_file(path)?;
        }
    }
    let pictures = pictures(results)?;
    for picture in &pictures {
        fs::write(folder.join(&picture.name).with_extension("svg"), &picture.svg)?;
    }
    fs::write(folder.join("results.json"), source)?;
    fs::write(root.join("BENCHMARKS.md"), text::page(results, &pictures))?;
    Ok(pictures.len())
}

fn pictures(results: &Results) -> Result<Vec<Picture>> {
    let styles = Styles::of(&results.rows);
    let mut pictures = Vec::new();
    if let Some(bars) = Bars::of(results) {
        let (name, title) = ("alone".into(), bars::TITLE.into());
        pictures.push(Picture { name, title, svg: bars.draw(&styles)? });
    }
    for plot in plots::plots(&results.rows) {
        let svg = draw::plot(&plot, &styles)?;
        pictures.push(Picture { name: plot.name, title: plot.title, svg });
    }
    Ok(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::results::Key;
    use contest::tests::row;

    #[test]
    fn each_picture_of_the_page_is_there_and_no_other() {
        let root = std::env::temp_dir().join(format!("page-{}", std::process::id()));
        let folder = root.join(FOLDER);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("old.svg"), "of another run").unwrap();
        let at = |members, subject, ns| {
            row(&Key::new(Work::Larson, Kind::Threads, members), subject, &[ns])
        };
        let rows = vec![
            at(1, "published", 8.0),
            at(2, "published", 4.0),
            at(1, "glibc", 9.0),
            at(2, "glibc", 5.0),
        ];
        let results = Results::here(rows);
        write(&results, b"the source", &root).unwrap();
        let page = fs::read_to_string(root.join("BENCHMARKS.md")).unwrap();
        let mut files: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let source = fs::read_to_string(folder.join("results.json")).unwrap();
        let svg = fs::read_to_string(folder.join("scaling-larson.svg")).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(files, ["alone.svg", "results.json", "scaling-larson.svg"]);
        assert!(files.iter().all(|it| page.contains(&format!("({FOLDER}/{it})"))), "{page}");
        assert_eq!(source, "the source");
        // Text, and not outlines of it.
        assert!(svg.contains("\npublished\n</text>") && svg.contains("\nglibc\n</text>"), "{svg}");
    }
}
