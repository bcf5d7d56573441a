//! `list_connections`: the connections of one owner, or all to one upstream, a page at a time. Only what is shown is opened.

use std::sync::Arc;

use serde::Deserialize;

use super::ConnectionStatus;
use super::rows::Rows;
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Versioned, machine};
use crate::policy::{has_role, may_withdraw};
use crate::principal::{Caller, ConnectorId, Principal, Role};
use crate::store::Key;
use crate::upstream::Place;
use crate::upstream::page::{self, Cursor, Page, scan};

/// Lists connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListConnections {
    /// Who asks.
    pub caller: Caller,
    /// Which ones. Default: the caller's own.
    #[serde(default)]
    pub of: Option<Listed>,
    /// Where the page before ended. `None`: the first page.
    #[serde(default)]
    pub after: Option<Cursor>,
    /// The length of the page, 1 to 100.
    pub limit: u32,
}

/// Which connections are listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// All to this upstream. For managers and administrators of the tenant.
    Connector(ConnectorId),
    /// All of this owner. For who manages it, and administrators.
    Owner(Principal),
}

impl Engine {
    /// Lists connections that are there, or were and have left something to say: tokens to be revoked, a doubt, a suspension.
    ///
    /// Failures: `user.not_allowed`, those of the store. A connection whose record does not open is listed as such.
    pub fn list_connections(self: &Arc<Self>, arguments: ListConnections) -> Operation<ListingConnections> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, ListingConnections(State::Fresh(Box::new(arguments))))
    }
}

/// A `list_connections` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct ListingConnections(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// The places that the index has named.
    AwaitConnections(Caller, Vec<Place>, Option<Cursor>),
    /// With the prefix that is scanned.
    AwaitPage(Caller, Listed, Key),
    AwaitRest(Box<Rows>, Option<Cursor>),
    Fresh(Box<ListConnections>),
}

impl machine::Sealed for ListingConnections {}

impl Machine for ListingConnections {
    type Output = Page<ConnectionStatus>;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Page<ConnectionStatus>> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::begin(*arguments),
            (State::AwaitPage(caller, listed, prefix), Answer::Scan(Some((entries, more)))) => {
                let next = page::next(&prefix, &entries, more);
                match listed {
                    Listed::Owner(owner) => Self::of_owner(cx, caller, &owner, &entries, next),
                    Listed::Connector(connector) => Self::of_connector(caller, &connector, &entries, next),
                }
            }
            (State::AwaitConnections(caller, places, next), Answer::Read(Some(found))) => {
                let mut rows = Rows::new(caller);
                for (place, raw) in places.into_iter().zip(&found) {
                    // An entry of the index that points to nothing is whoever purges or sweeps to delete.
                    if raw.is_some() {
                        rows.push(cx, place, None, raw.as_ref());
                    }
                }
                Self::rest(rows, next)
            }
            (State::AwaitRest(rows, next), Answer::Read(Some(found))) => {
                let mut items = rows.shown(cx, &found);
                items.retain(ConnectionStatus::says_something);
                Progress::done(Page { items, next })
            }
            (State::AwaitPage(..), Answer::Scan(None))
            | (State::AwaitConnections(..) | State::AwaitRest(..), Answer::Read(None)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl ListingConnections {
    fn begin(arguments: ListConnections) -> Progress<Self, Page<ConnectionStatus>> {
        let ListConnections { caller, of, after, limit } = arguments;
        let listed = of.unwrap_or_else(|| Listed::Owner(caller.principal.clone()));
        // atk:TEN-05, atk:TEN-09: refused before any record is read.
        let (may, prefix) = match &listed {
            Listed::Connector(connector) => {
                (has_role(&caller, Role::Manager), Key::all_by_connector(&caller.tenant, connector))
            }
            Listed::Owner(owner) => {
                (may_withdraw(&caller, owner), Key::connections_of(&caller.tenant, owner))
            }
        };
        if !may {
            return Progress::fail(Failure::new(Code::NotAllowed));
        }
        let effect = scan(&prefix, after.as_ref(), limit);
        Progress::Perform(Self(State::AwaitPage(caller, listed, prefix)), effect)
    }

    fn of_owner(
        cx: &Context<'_>,
        caller: Caller,
        owner: &Principal,
        entries: &[(Key, Versioned)],
        next: Option<Cursor>,
    ) -> Progress<Self, Page<ConnectionStatus>> {
        let tenant = caller.tenant.clone();
        let mut rows = Rows::new(caller);
        for (key, raw) in entries {
            let Some((_, connector)) = key.connection_target() else {
                return Progress::fail(Code::StoreIntegrity);
            };
            let place = Place { tenant: tenant.clone(), owner: owner.clone(), connector };
            rows.push(cx, place, None, Some(raw));
        }
        Self::rest(rows, next)
    }

    fn of_connector(
        caller: Caller,
        connector: &ConnectorId,
        entries: &[(Key, Versioned)],
        next: Option<Cursor>,
    ) -> Progress<Self, Page<ConnectionStatus>> {
        let place = |owner| Place { tenant: caller.tenant.clone(), owner, connector: connector.clone() };
        let places: Option<Vec<Place>> =
            entries.iter().map(|(key, _)| key.by_connector_owner().map(place)).collect();
        let Some(places) = places else { return Progress::fail(Code::StoreIntegrity) };
        if places.is_empty() {
            return Progress::done(Page { items: Vec::new(), next });
        }
        let keys = places.iter().map(Place::key).collect();
        Progress::Perform(Self(State::AwaitConnections(caller, places, next)), Effect::Read { keys })
    }

    fn rest(rows: Rows, next: Option<Cursor>) -> Progress<Self, Page<ConnectionStatus>> {
        let keys = rows.keys();
        if keys.is_empty() {
            return Progress::done(Page { items: Vec::new(), next });
        }
        Progress::Perform(Self(State::AwaitRest(Box::new(rows), next)), Effect::Read { keys })
    }
}
