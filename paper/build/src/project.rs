//! The project's files as the typesetter sees them.

use anyhow::{Result, anyhow, bail};
use std::fs;
use std::path::{Path, PathBuf};
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::ecow::EcoVec;
use typst::foundations::{Bytes, Datetime, Dict, Duration, Label, Selector, Value};
use typst::introspection::{Introspector, MetadataElem};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::{LazyHash, PicoStr};
use typst::{Library, LibraryExt, World, WorldExt, compile};
use typst_layout::PagedDocument;
use typst_pdf::PdfOptions;

/// By which label the text says that a figure is missing.
const MISSING: &str = "missing";

/// All below the project's folder can be read, and nothing else.
pub struct Project {
    root: PathBuf,
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    main: FileId,
}

/// A paper that was set.
pub struct Set {
    /// The file.
    pub pdf: Vec<u8>,
    /// How many.
    pub pages: usize,
    /// What the text found missing, each once.
    pub missing: Vec<String>,
}

impl Project {
    /// The project at `root`, with `inputs` for the text.
    pub fn new(root: &Path, inputs: Dict) -> Result<Project> {
        let fonts: Vec<Font> =
            typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect();
        Ok(Project {
            root: root.to_owned(),
            library: LazyHash::new(Library::builder().with_inputs(inputs).build()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            main: id("main.typ")?,
        })
    }

    /// Sets the text at `main`, a path from the project's folder.
    pub fn set(mut self, main: &str) -> Result<Set> {
        self.main = id(main)?;
        let result = compile::<PagedDocument>(&self);
        for warning in &result.warnings {
            eprintln!("warning: {}", self.tell(warning));
        }
        let document = result.output.map_err(|errors| self.error(&errors))?;
        let pdf = typst_pdf::pdf(&document, &PdfOptions::default())
            .map_err(|errors| self.error(&errors))?;
        Ok(Set { pdf, pages: document.pages().len(), missing: missing(&document) })
    }

    fn error(&self, errors: &EcoVec<SourceDiagnostic>) -> anyhow::Error {
        let told: Vec<String> = errors.iter().map(|it| self.tell(it)).collect();
        anyhow!("{}", told.join("\n"))
    }

    /// With where it is, and with the calls that led there.
    fn tell(&self, what: &SourceDiagnostic) -> String {
        let mut told = what.message.to_string();
        let traced = what.trace.iter().map(|it| it.span.into());
        for span in std::iter::once(what.span).chain(traced) {
            let Some(id) = span.id() else { continue };
            let path = id.get().vpath().get_without_slash();
            let line = self.range(span).and_then(|range| {
                self.source(id).ok()?.lines().byte_to_line(range.start).map(|line| line + 1)
            });
            told += &line.map_or(format!("\n  in {path}"), |line| format!("\n  at {path}:{line}"));
        }
        for hint in &what.hints {
            told += &format!("\n  {}", hint.v);
        }
        told
    }

    fn read(&self, id: FileId) -> FileResult<Vec<u8>> {
        let VirtualRoot::Project = id.get().root() else {
            return Err(FileError::Other(Some("the paper uses no packages".into())));
        };
        let path = id.get().vpath().realize(&self.root).map_err(FileError::Realize)?;
        fs::read(&path).map_err(|error| FileError::from_io(error, &path))
    }
}

impl World for Project {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.main
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        let text = String::from_utf8(self.read(id)?).map_err(|_| FileError::InvalidUtf8)?;
        Ok(Source::new(id, text))
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.read(id).map(Bytes::new)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index).cloned()
    }

    /// Of none: the same files make the same paper.
    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn id(path: &str) -> Result<FileId> {
    match VirtualPath::new(path) {
        Ok(path) => Ok(RootedPath::new(VirtualRoot::Project, path).intern()),
        Err(error) => bail!("{path} is no path in the project: {error:?}"),
    }
}

fn missing(document: &PagedDocument) -> Vec<String> {
    let label = Label::new(PicoStr::intern(MISSING)).expect("it is not empty");
    let found = document.introspector().query(&Selector::Label(label));
    let mut missing: Vec<String> = found
        .iter()
        .filter_map(|it| it.to_packed::<MetadataElem>())
        .filter_map(|it| match &it.value {
            Value::Str(what) => Some(what.to_string()),
            _ => None,
        })
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<Set> {
        let root =
            std::env::temp_dir().join(format!("paper-{}-{}", std::process::id(), text.len()));
        fs::create_dir_all(&root)?;
        fs::write(root.join("main.typ"), text)?;
        let set = Project::new(&root, Dict::new())?.set("main.typ");
        fs::remove_dir_all(&root)?;
        set
    }

    #[test]
    fn what_the_text_finds_missing_is_told_once_and_in_order() {
        let text =
            "a #metadata(\"b\") <missing> #metadata(\"a\") <missing> #metadata(\"b\") <missing>";
        let set = set(text).unwrap();
        assert_eq!((set.missing, set.pages), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert!(set.pdf.starts_with(b"%PDF"));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_that_says_where_it_is_wanted() {
        let error = set("one line\n#json(\"absent.json\")").err().expect("it is not there");
        let told = error.to_string();
        assert!(told.contains("absent.json") && told.contains("main.typ:2"), "{told}");
    }
}
