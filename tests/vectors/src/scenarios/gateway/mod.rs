//! `handle`, `authenticate`, `list_sign_ins`, `revoke_sign_in`.

mod browser;
mod clients;
mod consent;
mod tokens;

use serde_json::Value;

use super::Scenario;

pub(super) const SCENARIOS: [&[Scenario]; 3] = [clients::SCENARIOS, consent::SCENARIOS, tokens::SCENARIOS];

fn handle(arguments: Value) -> (&'static str, Value) {
    ("handle", arguments)
}
