//! The numbers of states, pinned: an exploration that silently sees less proves less.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::explore::Report;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("states.json")
}

fn pinned() -> BTreeMap<String, usize> {
    std::fs::read_to_string(path()).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The pinned number, if fewer states were seen. A scenario that is not pinned counts as shrunk.
pub(crate) fn has_shrunk(report: &Report) -> Option<usize> {
    let pinned = pinned().get(report.scenario).copied().unwrap_or(usize::MAX);
    (report.states < pinned).then_some(pinned)
}

/// Pins what was seen.
pub(crate) fn pin<'a>(reports: impl Iterator<Item = &'a Report>) -> std::io::Result<()> {
    let mut all = pinned();
    all.extend(reports.map(|report| (report.scenario.to_owned(), report.states)));
    std::fs::write(path(), serde_json::to_string_pretty(&all)? + "\n")
}
