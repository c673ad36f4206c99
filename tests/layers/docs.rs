//! What the documents promise points at tests that exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for document in ["docs/durability.md", "docs/threat-model.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for (file, test) in text.split('`').filter_map(|code| code.split_once(".rs::")) {
            let file = format!("{file}.rs");
            let code = fs::read_to_string(root.join(&file))
                .unwrap_or_else(|e| panic!("{document} names {file}: {e}"));
            assert!(code.contains(&format!("fn {test}(")), "{document} names {file}::{test}");
            named += 1;
        }
    }
    assert!(named > 60, "only {named} tests are named");
}
