//! `docs/doctor-flaws.md` is the table of flaws.
#![allow(clippy::unwrap_used)]

use portcullis_doctor::Flaw;
use portcullis_doctor::flaws::{PAGE_HEAD, page};

#[test]
fn the_page_of_flaws_is_this_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor-flaws.md");
    if std::env::var_os("PORTCULLIS_WRITE_PAGES").is_some() {
        std::fs::write(file, page()).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(
        kept == page(),
        "docs/doctor-flaws.md is not the table; run this test with PORTCULLIS_WRITE_PAGES=1"
    );
}

#[test]
fn every_flaw_that_the_page_names_in_its_words_is_in_the_table() {
    let words = PAGE_HEAD.split('`').skip(1).step_by(2);
    for id in words.filter(|word| !word.starts_with("--") && !word.contains(' ')) {
        assert!(Flaw::by_id(id).is_some(), "{id}");
    }
}
