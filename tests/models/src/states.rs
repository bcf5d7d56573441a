//! The numbers of states, pinned: an exploration that silently sees less proves less.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::explore::Report;

/// Why an exploration proves less than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shrunk {
    /// So many states were pinned.
    From(usize),
    NotPinned,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("states.json")
}

fn all() -> BTreeMap<String, usize> {
    std::fs::read_to_string(path()).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The number pinned for a scenario.
pub(crate) fn pinned(scenario: &str) -> Option<usize> {
    all().get(scenario).copied()
}

/// Whether fewer states were seen than are pinned. A hundredth fewer is let pass: where two ways meet in one state the store's counter
/// of versions may differ, and which of them is followed depends on who came first.
pub(crate) fn shrunk(report: &Report) -> Option<Shrunk> {
    match pinned(report.scenario) {
        None => Some(Shrunk::NotPinned),
        Some(pinned) => (report.states < pinned - pinned / 100).then_some(Shrunk::From(pinned)),
    }
}

/// Pins what was seen.
pub(crate) fn pin<'a>(reports: impl Iterator<Item = &'a Report>) -> std::io::Result<()> {
    let mut all = all();
    all.extend(reports.map(|report| (report.scenario.to_owned(), report.states)));
    std::fs::write(path(), serde_json::to_string_pretty(&all)? + "\n")
}
