//! Every stored file of `tests/fuzz/corpus` through the function that its fuzz target runs.
//!
//! A file is there because it is typical, or because it once broke something. `.ci/fuzz` looks
//! for further ones, which needs a nightly Rust; this needs none.

use std::fs;
use std::path::Path;

#[path = "fuzz/src/lib.rs"]
mod targets;

#[test]
fn no_stored_file_breaks_its_target() {
    for (name, target) in targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let files: Vec<_> = fs::read_dir(&folder).expect(name).collect();
        assert!(!files.is_empty(), "{name} has no files");
        for file in files {
            let path = file.expect("an entry").path();
            // Shown only if the next call panics.
            println!("{}", path.display());
            target(&fs::read(&path).expect("a file"));
        }
    }
}
