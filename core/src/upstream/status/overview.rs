//! All that a caller could connect or manages, connected or not, for a page of accounts.
//!
//! ```text
//! start            -> AwaitConnectors  [Scan]
//! AwaitConnectors  -> AwaitConnections [Read]
//! AwaitConnections -> AwaitRest        [Read]
//! ```

use super::ConnectionStatus;
use super::rows::Rows;
use crate::connector::{Connector, CredentialScope, Source, Upstream};
use crate::error::Code;
use crate::operation::{Answer, Context, Effect, Progress};
use crate::policy;
use crate::principal::{Caller, Principal};
use crate::store::Key;
use crate::store::records::ConnectorRecord;
use crate::upstream::Place;

/// LIMIT: upstreams on one page.
const CONNECTORS_MAX: u32 = 50;

/// A connection there is or could be, and its upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Seen {
    pub(crate) status: ConnectionStatus,
    pub(crate) connector: Connector,
}

/// The question under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Overviewing {
    caller: Caller,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
#[allow(clippy::enum_variant_names, reason = "states are named for what they wait for")]
enum State {
    AwaitConnections(Vec<Candidate>),
    AwaitConnectors,
    AwaitRest(Vec<Candidate>, Box<Rows>),
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Candidate {
    place: Place,
    scope: Option<CredentialScope>,
    connector: Connector,
}

impl Overviewing {
    pub(crate) fn begin(caller: Caller) -> Progress<Self, Vec<Seen>> {
        let prefix = Key::connectors(&caller.tenant);
        let effect = Effect::Scan { prefix, after: None, limit: CONNECTORS_MAX };
        Progress::Perform(Self { caller, state: State::AwaitConnectors }, effect)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Vec<Seen>> {
        let Self { caller, state } = self;
        match (state, answer) {
            (State::AwaitConnectors, Answer::Scan(Some((entries, _)))) => {
                let mut candidates = Vec::new();
                for (key, raw) in &entries {
                    let Ok(Some(stored)) = cx.open::<ConnectorRecord>(key, Some(raw)) else { continue };
                    let Some(id) = key.connector_name() else { continue };
                    let connector = stored.record.connector;
                    if !wants_connection(&connector) || policy::check_assurance(&caller, &connector).is_err()
                    {
                        continue;
                    }
                    for (scope, owner) in owners(&caller, &connector) {
                        let place = Place { tenant: caller.tenant.clone(), owner, connector: id.clone() };
                        candidates.push(Candidate { place, scope, connector: connector.clone() });
                    }
                }
                if candidates.is_empty() {
                    return Progress::done(Vec::new());
                }
                let keys = candidates.iter().map(|candidate| candidate.place.key()).collect();
                Progress::Perform(
                    Self { caller, state: State::AwaitConnections(candidates) },
                    Effect::Read { keys },
                )
            }
            (State::AwaitConnections(candidates), Answer::Read(Some(found))) => {
                let mut rows = Rows::new(caller.clone());
                for (candidate, raw) in candidates.iter().zip(&found) {
                    rows.push(cx, candidate.place.clone(), candidate.scope.clone(), raw.as_ref());
                }
                let keys = rows.keys();
                let state = State::AwaitRest(candidates, Box::new(rows));
                Progress::Perform(Self { caller, state }, Effect::Read { keys })
            }
            (State::AwaitRest(candidates, rows), Answer::Read(Some(found))) => {
                let shown = rows.shown(cx, &found).into_iter().zip(candidates);
                let seen = shown.map(|(status, candidate)| Seen { status, connector: candidate.connector });
                // Of what is others', only what the caller manages or what is there to be used.
                let is_shown = |seen: &Seen| {
                    let owner = &seen.status.owner;
                    policy::may_manage(&caller, owner) || seen.status.says_something()
                };
                Progress::done(seen.filter(is_shown).collect())
            }
            (State::AwaitConnectors, Answer::Scan(None))
            | (State::AwaitConnections(_) | State::AwaitRest(..), Answer::Read(None)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

/// Whose connections count: those that a call could use, then others that the caller manages.
fn owners(caller: &Caller, connector: &Connector) -> Vec<(Option<CredentialScope>, Principal)> {
    let usable = policy::owners(caller, connector);
    let managed = policy::managed(caller, connector);
    let others: Vec<_> =
        managed.into_iter().filter(|owner| usable.iter().all(|(_, have)| have != owner)).collect();
    let usable = usable.into_iter().map(|(scope, owner)| (Some(scope), owner));
    // Without sharing nothing of others would ever be used, and nobody is asked to connect it.
    let others = others.into_iter().filter(|_| connector.sharing).map(|owner| (None, owner));
    usable.chain(others).collect()
}

/// Whether anybody connects it: what only draws on accounts or secrets has no connection of its own.
pub(crate) fn wants_connection(connector: &Connector) -> bool {
    matches!(connector.upstream, Upstream::Account { .. })
        || connector.injections.iter().any(|injection| injection.source == Source::Connection)
}
