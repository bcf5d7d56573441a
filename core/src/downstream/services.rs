//! The upstreams that a person may have in a consent session, and where each stands for them.
//!
//! ```text
//! start            -> AwaitConnectors  [Scan]
//! AwaitConnectors  -> AwaitConnections [Read]
//! ```

use super::pages::{DisplayName, ServiceShown, ServiceState};
use crate::connector::{Connector, CredentialScope, Upstream};
use crate::error::Code;
use crate::operation::{Answer, Context, Effect, Progress, Versioned};
use crate::policy;
use crate::principal::{Caller, ConnectorId};
use crate::protocol::url::HttpUrl;
use crate::store::Key;
use crate::store::records::{Connection, ConnectorRecord, ConsentRecord};
use crate::upstream::status::wants_connection;
use crate::upstream::{Candidate, Choice, Place, Standing, choose};

/// LIMIT: upstreams on one page.
const SERVICES_MAX: u32 = 50;

/// The question under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Listing {
    caller: Caller,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// With whose connections count, for each.
    AwaitConnections(Vec<Upstreams>),
    AwaitConnectors,
}

/// A connector, and whose connections to it this caller could use.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Upstreams {
    id: ConnectorId,
    record: ConnectorRecord,
    candidates: Vec<Candidate>,
}

impl Listing {
    pub(crate) fn begin(caller: Caller) -> Progress<Self, Vec<ServiceShown>> {
        let prefix = Key::connectors(&caller.tenant);
        let effect = Effect::Scan { prefix, after: None, limit: SERVICES_MAX };
        Progress::Perform(Self { caller, state: State::AwaitConnectors }, effect)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Vec<ServiceShown>> {
        let Self { caller, state } = self;
        match (state, answer) {
            (State::AwaitConnectors, Answer::Scan(Some((entries, _)))) => {
                let mut upstreams = Vec::new();
                for (key, raw) in &entries {
                    // One that does not open is for the operator to mend, not for this person to see.
                    let Ok(Some(stored)) = cx.open::<ConnectorRecord>(key, Some(raw)) else { continue };
                    let Some(id) = key.connector_name() else { continue };
                    let connector = &stored.record.connector;
                    // F47: what policy keeps from this caller is not shown.
                    let owners = policy::owners(&caller, connector);
                    let visible = policy::check_assurance(&caller, connector).is_ok() && !owners.is_empty();
                    if visible && wants_connection(connector) {
                        let candidate = |(scope, owner)| Candidate { scope, owner, stored: None };
                        let candidates = owners.into_iter().map(candidate).collect();
                        upstreams.push(Upstreams { id, record: stored.record, candidates });
                    }
                }
                let keys: Vec<Key> = upstreams
                    .iter()
                    .flat_map(|upstream| {
                        upstream.candidates.iter().map(|it| upstream.place(&caller, it).key())
                    })
                    .collect();
                if keys.is_empty() {
                    return Progress::done(Vec::new());
                }
                let state = State::AwaitConnections(upstreams);
                Progress::Perform(Self { caller, state }, Effect::Read { keys })
            }
            (State::AwaitConnections(upstreams), Answer::Read(Some(found))) => {
                let mut found = found.into_iter();
                let shown = upstreams.into_iter().map(|it| it.shown(cx, &caller, &mut found)).collect();
                Progress::done(shown)
            }
            (State::AwaitConnectors, Answer::Scan(None))
            | (State::AwaitConnections(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Upstreams {
    fn place(&self, caller: &Caller, candidate: &Candidate) -> Place {
        let (tenant, owner) = (caller.tenant.clone(), candidate.owner.clone());
        Place { tenant, owner, connector: self.id.clone() }
    }

    fn shown(
        mut self,
        cx: &Context<'_>,
        caller: &Caller,
        found: &mut impl Iterator<Item = Option<Versioned>>,
    ) -> ServiceShown {
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut broken = false;
        for candidate in &mut candidates {
            let raw = found.next().flatten();
            let key = self.place(caller, candidate).key();
            match cx.open::<Connection>(&key, raw.as_ref()) {
                Ok(stored) => candidate.stored = stored,
                Err(_) => broken = true,
            }
        }
        let connector = &self.record.connector;
        let may_connect = candidates.iter().any(|it| it.owner == caller.principal);
        let account = |candidate: &Candidate| {
            let connection = &candidate.stored.as_ref()?.record;
            connection.account.as_ref()?.label.as_deref().map(DisplayName::new)
        };
        let scopes = |candidate: &Candidate| {
            let grant = candidate.stored.as_ref().and_then(|stored| stored.record.grant.as_ref());
            grant.map(|grant| grant.scopes.clone()).unwrap_or_default()
        };
        let asked = || connector.scopes.clone().unwrap_or_default();
        let (state, account, scopes) = match choose(cx, connector, Some(&self.record), candidates) {
            Choice::Use(it) | Choice::Refresh(it) => {
                let own = it.scope == CredentialScope::Personal;
                let state = if own { ServiceState::Connected } else { ServiceState::Shared };
                (state, account(&it), scopes(&it))
            }
            Choice::Broken(it, Standing::Ended(_)) if it.owner == caller.principal => {
                (ServiceState::Ended, account(&it), asked())
            }
            Choice::Absent if may_connect && !broken => (ServiceState::Open, None, asked()),
            Choice::Absent | Choice::Broken(..) => (ServiceState::Unavailable, None, asked()),
        };
        ServiceShown {
            connector: self.id.as_str().to_owned(),
            name: DisplayName::new(self.id.as_str()),
            host: host(connector),
            state,
            account,
            scopes: scopes.iter().map(str::to_owned).collect(),
        }
    }
}

/// The host of the upstream, in ASCII.
pub(crate) fn host(connector: &Connector) -> String {
    let url = match &connector.upstream {
        Upstream::Account { issuer } => issuer,
        Upstream::Server { url, .. } => url,
    };
    HttpUrl::parse(url, crate::protocol::url::PlainHttp::Loopback)
        .map(|url| url.host().to_string())
        .unwrap_or_default()
}

/// What the consent session adds to where the upstreams stand.
pub(crate) fn in_session(consent: &ConsentRecord, services: &mut [ServiceShown]) {
    for service in services {
        let named = |id: &ConnectorId| id.as_str() == service.connector;
        if consent.staged.iter().any(named) {
            service.state = ServiceState::Staged;
        } else if service.state == ServiceState::Open && consent.skipped.iter().any(named) {
            service.state = ServiceState::Skipped;
        }
    }
}
