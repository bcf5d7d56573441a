//! `discover`: how a server wants to be authorized, step by step, for `doctor` and for administrators. It begins nothing; all
//! it writes is what discovery remembers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::callback_uri::{callback_uri, serves_one_issuer};
use super::discovery::{Discovered, Discovery, DiscoveryStep, Finding, Hint, Inquiry};
use super::note::Note;
use super::registration::way;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Versioned, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Role};
use crate::protocol::scopes::Scopes;
use crate::store::Key;
use crate::store::records::ConnectorRecord;
pub use crate::store::records::RegistrationSource;

/// Asks how a connector's server wants to be authorized.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discover {
    /// Who asks.
    pub caller: Caller,
    /// Which upstream.
    pub connector: ConnectorId,
}

/// What was asked, what was found, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct DiscoveryReport {
    /// All URLs asked, in their order.
    pub steps: Vec<DiscoveryStep>,
    /// What a flow would be begun with, or why none can be.
    pub result: Result<Prospect, Failure>,
    /// The checks that the operator has switched off for this connector; the profile `strict` knows none.
    pub waivers: Vec<&'static str>,
}

/// What a flow would be begun with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Prospect {
    /// The issuer, byte for byte.
    pub issuer: String,
    /// Where the browser would be sent.
    pub authorization_endpoint: String,
    /// Where the code would be redeemed.
    pub token_endpoint: String,
    /// What would be sent as `resource`.
    pub resource: Option<String>,
    /// The scopes that the server's challenge demands.
    pub challenge_scopes: Option<Scopes>,
    /// The scopes that the server's metadata lists.
    pub resource_scopes: Option<Scopes>,
    /// How our client would be known there; `None`: an administrator must register one.
    pub registration: Option<RegistrationSource>,
    /// Whether a mix-up with another issuer is excluded, for flows in the browser.
    pub protected: bool,
    /// Whether the grant would be good for the server's whole origin.
    pub parent: bool,
    /// What was tolerated or cannot be defended.
    pub notes: Vec<Note>,
}

impl Engine {
    /// How a connector's server wants to be authorized. A discovery that fails is reported, not failed. For who has a part in the
    /// connector, and administrators.
    pub fn discover(self: &Arc<Self>, arguments: Discover) -> Operation<Discovering> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Discovering(State::Fresh(Box::new(arguments))))
    }
}

/// A `discover` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Discovering(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitConnector(Box<Discover>),
    Discovering(Box<Discover>, Box<Connector>, Box<Discovery>),
    Fresh(Box<Discover>),
}

impl machine::Sealed for Discovering {}

impl Machine for Discovering {
    type Output = DiscoveryReport;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, DiscoveryReport> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let keys = vec![Key::connector(&arguments.caller.tenant, &arguments.connector)];
                Progress::Perform(Self(State::AwaitConnector(arguments)), Effect::Read { keys })
            }
            (State::AwaitConnector(arguments), Answer::Read(Some(found))) => {
                match connector(cx, &arguments, &found) {
                    Ok(connector) => {
                        let inquiry = Inquiry {
                            tenant: arguments.caller.tenant.clone(),
                            connector: connector.clone(),
                            hint: Hint::default(),
                            fresh: true,
                        };
                        let step = Discovery::begin(cx, inquiry);
                        Self::follow(cx, arguments, Box::new(connector), step)
                    }
                    Err(failure) => Progress::fail(failure),
                }
            }
            (State::AwaitConnector(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::Discovering(arguments, connector, discovery), answer) => {
                let step = discovery.step(cx, answer);
                Self::follow(cx, arguments, connector, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Discovering {
    fn follow(
        cx: &Context<'_>,
        arguments: Box<Discover>,
        connector: Box<Connector>,
        step: Progress<Discovery, Finding>,
    ) -> Progress<Self, DiscoveryReport> {
        match step {
            Progress::Perform(discovery, effect) => {
                let state = State::Discovering(arguments, connector, Box::new(discovery));
                Progress::Perform(Self(state), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(finding)) => Progress::done(DiscoveryReport {
                steps: finding.steps,
                result: finding.result.map(|found| prospect(cx.engine, &arguments, &connector, found)),
                waivers: connector.waivers.names(),
            }),
        }
    }
}

fn connector(
    cx: &Context<'_>,
    arguments: &Discover,
    found: &[Option<Versioned>],
) -> Result<Connector, Failure> {
    let key = Key::connector(&arguments.caller.tenant, &arguments.connector);
    let stored = cx
        .open::<ConnectorRecord>(&key, found.first().and_then(Option::as_ref))?
        .ok_or(Code::ConnectorUnknown)?;
    let (caller, connector) = (&arguments.caller, &stored.record.connector);
    policy::check_assurance(caller, connector)?;
    // atk:TEN-05: who has no part in it does not learn that it is there.
    let has_part =
        !policy::owners(caller, connector).is_empty() || !policy::managed(caller, connector).is_empty();
    if !has_part && !policy::has_role(caller, Role::Admin) {
        return Err(Code::ConnectorUnknown.into());
    }
    Ok(stored.record.connector)
}

fn prospect(engine: &Engine, arguments: &Discover, connector: &Connector, found: Discovered) -> Prospect {
    let (tenant, id) = (&arguments.caller.tenant, &arguments.connector);
    let redirect_uri = callback_uri(engine, tenant, id, connector, &found.issuer).ok();
    let registration = way(engine, connector, &found.issuer, redirect_uri.as_ref());
    let has_own_path = redirect_uri.is_some_and(|uri| serves_one_issuer(&uri, tenant, id, &found.issuer));
    let protected = found.issuer.promises_iss
        || (registration == Some(RegistrationSource::Static)
            && found.issuer.registers_nobody()
            && has_own_path);
    let mut notes = found.notes;
    notes.extend((!protected).then_some(Note::MixUpUnprotected));
    Prospect {
        issuer: found.issuer.issuer,
        authorization_endpoint: found.issuer.authorization_endpoint,
        token_endpoint: found.issuer.token_endpoint,
        resource: found.resource,
        challenge_scopes: found.challenge_scopes,
        resource_scopes: found.resource_scopes,
        registration,
        protected,
        parent: found.parent,
        notes,
    }
}
