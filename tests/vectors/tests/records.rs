//! `spec/records.md` names every kind, record and member that the code has.

use grantway_vectors::directory;

fn file(path: &str) -> String {
    std::fs::read_to_string(directory().join("../..").join(path)).unwrap()
}

#[test]
fn the_page_has_a_row_for_every_kind_of_key() {
    let (page, code) = (file("spec/records.md"), file("core/src/store/key.rs"));
    let kinds = code.split("pub enum Kind {").nth(1).unwrap().split('}').next().unwrap();
    let kinds: Vec<_> =
        kinds.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = ")).collect();
    assert!(kinds.len() >= 12);
    for (name, number) in kinds {
        assert!(page.contains(&format!("| {number} | {name} |")), "{name} {number}");
    }
}

#[test]
fn the_page_names_every_member_of_every_record() {
    let page = file("spec/records.md");
    let code: String = ["core/src/store/records.rs", "core/src/store/records/downstream.rs"]
        .map(|path| file(path).split_once("record! {").unwrap().1.to_owned())
        .concat();
    let member = |line: &str| {
        let (name, _) =
            line.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub ").split_once(": ")?;
        name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then(|| name.to_owned())
    };
    let members: Vec<_> = code.lines().filter_map(member).collect();
    assert!(members.len() > 140);
    for member in members {
        assert!(page.contains(&format!("`{member}`")), "{member}");
    }
    for record in code.lines().filter_map(|line| line.split_once(" v ").map(|(name, _)| name.trim())) {
        assert!(page.contains(record.trim_end_matches("Record")), "{record}");
    }
}
