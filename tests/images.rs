//! Segments as deaths left them: the files in `fuzz/images/`, each made by a process that was killed at
//! one step of one operation.
//!
//! Laws: whoever opens such a file recovers it; a second recovery finds nothing; a check finds nothing
//! wrong; memory and names work as in any segment; what was done there since is gone without a trace.

mod common;
#[path = "../fuzz/src/sparse.rs"]
#[allow(dead_code)] // to write such files is the fuzzer's affair
mod sparse;

use common::Directory;
use sharena::Options;
use sparse::Sparse;
use std::alloc::Layout;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn images() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/images");
    let mut images: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|item| item.unwrap().path()).collect();
    images.sort();
    images
}

#[test]
fn what_each_death_left_is_recovered_and_works() {
    let directory = Directory::new("images");
    let images = images();
    assert!(images.len() > 100, "few deaths: {}", images.len());
    let mut found_something = 0;
    for image in &images {
        let name = image.file_stem().unwrap().to_string_lossy();
        let path = directory.join(&name);
        let sparse = Sparse::decode(&std::fs::read(image).unwrap());
        let file = File::create(&path).unwrap();
        file.set_len(sparse.size).unwrap();
        for (at, bytes) in &sparse.parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        let segment = Options::new().recover_at_open(false).open_at(&path).unwrap();
        let first = segment.recover().unwrap();
        found_something += usize::from(!first.is_nothing());
        assert_eq!(first.is_nothing(), first.to_string() == "no dead process", "{name}: {first}");
        let again = segment.recover().unwrap();
        assert!(again.is_nothing(), "{name}: {again}");
        assert_eq!(again.to_string(), "no dead process");
        let assert_clean = || {
            let report = segment.check().unwrap();
            assert!(report.is_clean(), "{name}: {report}");
        };
        assert_clean();
        let free = common::at_rest(&segment).free;
        let object = segment.construct("behind the death", 7u64).unwrap();
        assert_eq!(*segment.find::<u64>("behind the death").unwrap().unwrap(), 7);
        drop(object);
        segment.destroy::<u64>("behind the death").unwrap();
        for bytes in [16, 100, 3000, 70_000, 300_000] {
            let block = segment.allocate_block(Layout::from_size_align(bytes, 16).unwrap());
            drop(block.unwrap_or_else(|error| panic!("{name}: {bytes} bytes: {error}")));
        }
        assert_clean();
        // The name itself stays interned.
        let lost = free - common::at_rest(&segment).free;
        assert!(lost <= 128, "{name}: {lost} bytes are lost");
        drop(segment);
        std::fs::remove_file(&path).unwrap();
    }
    assert!(found_something > images.len() / 2, "the images have no dead: {found_something}");
}
