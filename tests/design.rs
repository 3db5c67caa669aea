//! The rules of the design name the mutants that show them, and these mutants exist.
//!
//! Both are read as text: the rules from `src/_design/mod.rs`, the mutants from the files of
//! `tests/mutants/list`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Rules that no mutant can show. Their sections say why, and begin a line with "No mutant".
const WITHOUT_A_MUTANT: [u8; 1] = [11];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of each rule of the design, without the comment marks.
fn rules(text: &str) -> BTreeMap<u8, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
    let text: String = lines.map(|line| format!("{}\n", line.trim())).collect();
    let sections = text.split("\n## Rule ").skip(1);
    let rule = |section: &str| {
        let (number, body) = section.split_once('\n').expect("a heading and a body");
        (number.trim().parse().expect("a number"), body.to_owned())
    };
    sections.map(rule).collect()
}

/// What stands between backticks in the item of `rule` that begins with "Mutants:".
fn mutants_of(rule: &str) -> Vec<String> {
    let Some((_, item)) = rule.split_once("- Mutants:") else { return Vec::new() };
    let item = item.split("\n\n").next().unwrap_or(item);
    item.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Each mutant that breaks a rule, with the rule's number.
fn listed(text: &str) -> BTreeMap<String, u8> {
    let mut listed = BTreeMap::new();
    let mut name = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("name: \"") {
            name = rest.split('"').next();
        } else if let Some(rest) = line.strip_prefix("breaks: Rule(") {
            let number = rest.split(')').next().and_then(|number| number.parse().ok());
            let name = name.take().expect("the name comes first");
            listed.insert(name.to_owned(), number.expect("a number"));
        }
    }
    listed
}

/// The text of all files that list mutants.
fn mutants() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants/list");
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let text = |file: fs::DirEntry| fs::read_to_string(file.path()).expect("readable");
    files.map(|file| text(file.expect("readable"))).collect()
}

#[test]
fn each_rule_says_what_keeps_it_and_names_a_mutant_or_why_there_is_none() {
    let rules = rules(&read("src/_design/mod.rs"));
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    for (number, text) in &rules {
        assert!(text.contains("\n- Kept by:"), "rule {number} names no code");
        let is_excused = text.contains("\n- No mutant");
        assert_eq!(is_excused, WITHOUT_A_MUTANT.contains(number), "rule {number}");
        assert_eq!(mutants_of(text).is_empty(), is_excused, "the mutants of rule {number}");
    }
}

#[test]
fn each_mutant_that_a_rule_names_is_listed_and_breaks_that_rule() {
    let listed = listed(&mutants());
    for (number, text) in rules(&read("src/_design/mod.rs")) {
        for name in mutants_of(&text) {
            assert_eq!(listed.get(&name), Some(&number), "{name}, which rule {number} names");
        }
    }
}

#[test]
fn each_file_that_a_page_of_the_design_names_exists() {
    for page in ["mod", "layers", "contributing"] {
        let text = read(&format!("src/_design/{page}.rs"));
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", ".ci/"].iter().any(|root| quoted.starts_with(root));
            if is_path && !quoted.contains(char::is_whitespace) {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(quoted);
                assert!(path.exists(), "{quoted}, which src/_design/{page}.rs names");
            }
        }
    }
}

#[test]
fn the_two_formats_are_read_as_they_are_written() {
    let page = "//! # The rules\n//!\n//! ## Rule 3\n//!\n//! **Text.** More `code`.\n//!\n\
                //! - Kept by: `x`.\n//! - Mutants: `a`,\n//!   `b-c`.\n//!\n//! [`x`]: y\n";
    assert_eq!(mutants_of(&rules(page)[&3]), ["a", "b-c"]);
    let list = "Mutant {\n  name: \"a\",\n  breaks: Rule(3),\n}, Mutant {\n  name: \"b\",\n  \
                breaks: Promise(\"p\"),\n}";
    assert_eq!(listed(list), BTreeMap::from([("a".to_owned(), 3)]));
}
