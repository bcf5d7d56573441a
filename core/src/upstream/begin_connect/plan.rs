//! The plan of an attempt: whether it is allowed, and what flow it becomes once issuer and client are known.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::begin_flow::{BeginFlow, Spent};
use super::bind::Bound;
use super::scopes::{Before, OFFLINE_ACCESS, choose};
use super::{BeginConnect, FlowBinding, Redirect};
use crate::connector::{Connector, Waivers};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::operation::{Context, Versioned};
use crate::policy;
use crate::principal::Principal;
use crate::protocol::authorization::AuthorizationRequest;
use crate::protocol::pkce;
use crate::protocol::redirect_uri::RedirectUri;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::{HttpUrl, is_own_path};
use crate::secret::Secret;
use crate::store::records::{
    Client, Connection, ConnectorRecord, ConsentHash, Flow, FlowHash, FlowStatus, RegistrationSource, Terms,
    Ticket, TicketReason,
};
use crate::store::{Key, Stored, lookup_hash};
use crate::upstream::callback_uri::{base_url, callback_uri, loopback_uri, serves_one_issuer};
use crate::upstream::discovery::{Discovered, Hint, Inquiry};
use crate::upstream::egress;
use crate::upstream::note::Note;
use crate::upstream::open_ticket::{Look, is_good, own_ticket};
use crate::upstream::place::Place;
use crate::upstream::registration::Wanted;
use crate::upstream::ticket::{challenge_id, ticket_key, ticket_of_key};

/// Refuses what can be refused before anything is read.
pub(super) fn check(engine: &Engine, arguments: &BeginConnect) -> Result<(), Failure> {
    match &arguments.binding {
        FlowBinding::Browser => base_url(engine, &arguments.caller.tenant).map(drop)?,
        FlowBinding::Paste { redirect_uri } | FlowBinding::Process { redirect_uri } => {
            loopback_uri(redirect_uri).map(drop)?;
        }
    }
    match &arguments.return_to {
        //= spec/oauth21.md#2-3-6
        //# The callback page SHOULD hold no third-party script and lead on to a clean URL, and MUST NOT
        //# redirect to a place the request names (AZR-12, U).
        Some(path) if !is_own_path(path) => Err(Code::ReturnToRefused.into()),
        _ => Ok(()),
    }
}

/// The ticket named, if there is one named: good, or to be dropped before that is said.
pub(super) fn own_good_ticket(
    cx: &Context<'_>,
    arguments: &BeginConnect,
    found: &[Option<Versioned>],
) -> Result<Result<Option<Ticket>, Look>, Failure> {
    let Some(because) = &arguments.because else { return Ok(Ok(None)) };
    let caller = &arguments.caller;
    let key = ticket_key(&caller.tenant, because);
    let ticket = own_ticket(cx, &key, caller, found.get(2).and_then(Option::as_ref))?.record;
    if ticket.connector != arguments.connector {
        return Err(Code::TicketUnknown.into());
    }
    if !is_good(cx, &ticket) {
        return Ok(Err(Look { caller: caller.clone(), ticket: because.clone() }));
    }
    Ok(Ok(Some(ticket)))
}

/// An allowed attempt, and the records it rests on.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Plan {
    arguments: BeginConnect,
    consent: Option<ConsentHash>,
    place: Place,
    connector: Stored<ConnectorRecord>,
    connection: Option<Connection>,
    ticket: Option<Ticket>,
}

impl Plan {
    /// Nothing is asked of anybody outside before this is through.
    pub(super) fn new(
        cx: &Context<'_>,
        arguments: BeginConnect,
        consent: Option<ConsentHash>,
        owner: Principal,
        ticket: Option<Ticket>,
        found: &[Option<Versioned>],
    ) -> Result<Self, Failure> {
        let not_allowed = |reason| Failure::new(Code::NotAllowed).because(reason);
        let caller = &arguments.caller;
        let place = Place { tenant: caller.tenant.clone(), owner, connector: arguments.connector.clone() };
        let key = Key::connector(&place.tenant, &place.connector);
        let connector = cx
            .open::<ConnectorRecord>(&key, found.first().and_then(Option::as_ref))?
            .ok_or(Code::ConnectorUnknown)?;
        let config = &connector.record.connector;
        // F64, F65
        if !policy::may_manage(caller, &place.owner) {
            return Err(Code::NotAllowed.into());
        }
        policy::check_assurance(caller, config)?;
        // F59, F60: a connection that no resolution would use is not begun.
        if !policy::owners(caller, config).iter().any(|(_, owner)| *owner == place.owner) {
            return Err(not_allowed("the connector uses no accounts of this owner"));
        }
        let connection = cx
            .open::<Connection>(&place.key(), found.get(1).and_then(Option::as_ref))?
            .map(|stored| stored.record);
        // F76
        if connection.as_ref().is_some_and(|connection| connection.suspended.is_some()) {
            return Err(not_allowed("the connection is suspended, and connecting again does not help"));
        }
        Ok(Self { arguments, consent, place, connector, connection, ticket })
    }

    fn connector(&self) -> &Connector {
        &self.connector.record.connector
    }

    /// What is to be found out, given what the challenge behind the ticket said.
    pub(super) fn inquiry(&self) -> Inquiry {
        let hint = self.ticket.as_ref().map_or_else(Hint::default, |ticket| {
            let counts = match ticket.reason {
                TicketReason::Connect | TicketReason::StepUp => true,
                // A link for a reconnect repeats what was once requested. Unless a challenge led to it, server and
                // configuration may say otherwise now; so may they where the issuer refused the last request.
                TicketReason::Reconnect => ticket.resource_metadata.is_some() && !self.before().refused,
            };
            Hint {
                resource_metadata: ticket.resource_metadata.clone(),
                scopes: ticket.scopes.clone().filter(|_| counts),
            }
        });
        Inquiry { tenant: self.place.tenant.clone(), connector: self.connector().clone(), hint, fresh: false }
    }

    /// The client that this flow needs.
    pub(super) fn wanted(&self, engine: &Engine, discovered: &Discovered) -> Result<Wanted, Failure> {
        let Place { tenant, connector, .. } = &self.place;
        let redirect_uri = match &self.arguments.binding {
            FlowBinding::Browser => {
                callback_uri(engine, tenant, connector, self.connector(), &discovered.issuer)?
            }
            FlowBinding::Paste { redirect_uri } | FlowBinding::Process { redirect_uri } => {
                loopback_uri(redirect_uri)?
            }
        };
        Ok(Wanted {
            tenant: tenant.clone(),
            connector_id: connector.clone(),
            connector: self.connector().clone(),
            client_secret: self.connector.record.client_secret.clone(),
            issuer: discovered.issuer.clone(),
            redirect_uri,
            anew: self.arguments.new_registration,
        })
    }

    /// The flow and the redirect to it. From here on nothing is looked up in configuration again (atk:MIX-06).
    pub(super) fn into_flow(
        self,
        cx: &Context<'_>,
        discovered: Discovered,
        client: Client,
    ) -> Result<(BeginFlow, Redirect), Failure> {
        let redirect_uri = RedirectUri::new(client.redirect_uri.as_str()).map_err(|_| Code::Internal)?;
        let protected = self.is_protected(&discovered, &client, &redirect_uri);
        if !protected && cx.engine.is_strict() {
            return Err(Code::MixUpUnprotected.into());
        }
        let choice = choose(self.connector(), &discovered, &self.before());
        let mut notes = discovered.notes.clone();
        notes.extend((!protected).then_some(Note::MixUpUnprotected));
        notes.extend(choice.limited.then_some(Note::ScopesLimited));

        // New for every flow, each value from a label of its own.
        let entropy = &cx.moment.entropy;
        //= spec/oauth21.md#4-1-1
        //# `state` and `scope` SHOULD NOT carry anything sensitive, and data in `state` MUST be protected
        //# against change, which is why ours is random and no more (AZQ-14, U).
        // atk:CSR-06: behind the sealed name of the tenant 256 bits that say nothing.
        let locator = cx.engine.keyring().locate(entropy, "state", self.place.tenant.as_str());
        //= spec/mcp-2026-07-28.md#sec-open-redirection
        //# `state` SHOULD be random, used once and tied to user agent and pending flow, and where PKCE is
        //# missing it MUST be (AZQ-05, U).
        let random = entropy.token("begin_connect/state");
        //= spec/oauth21.md#7-5-2
        //# A step-up MUST be a pending flow of its own, with fresh verifier and state and its own recorded
        //# issuer (STEP-06, U).
        let secrets = Secrets {
            state: Secret::new(format!("{locator}.{}", random.expose())),
            //= spec/rfc7636.md#4-1
            //# The verifier MUST have 43 to 128 unreserved characters, be made from 32 random octets, and be
            //# new for every pending flow, after an error too (AZQ-04, U).
            verifier: entropy.token("begin_connect/verifier"),
        };
        let hash = FlowHash(lookup_hash("state", secrets.state.expose()));
        let bound = Bound::new(cx, &self.arguments, hash);
        let url =
            self.authorization_url(cx, &discovered, &client.id, &redirect_uri, &choice.scopes, &secrets)?;

        let expires_at = cx.now().plus(cx.engine.limits().flow_ms);
        let redirect = Redirect {
            url,
            cookie: bound.cookie,
            process_secret: bound.process_secret,
            flow: BASE64_URL_SAFE_NO_PAD.encode(hash.0),
            expires_at,
            issuer: discovered.issuer.issuer.clone(),
            protected,
            parent: discovered.parent,
            notes,
        };
        let flow = Flow {
            status: FlowStatus::Created,
            created_at: cx.now(),
            expires_at,
            // Set when it is written.
            epoch: 0,
            owner: self.place.owner.clone(),
            principal: self.arguments.caller.principal.clone(),
            connector: self.place.connector.clone(),
            iss_promised: discovered.issuer.promises_iss,
            //= spec/mcp-2026-07-28.md#idx-authorization-response-validation
            //# The validated issuer MUST stand in the pending flow, beside verifier and state, before the
            //# user is sent off (AZQ-10, U).
            terms: self.terms(cx, discovered, client, protected)?,
            redirect_uri: redirect_uri.as_str().to_owned(),
            scopes: choice.scopes,
            verifier: secrets.verifier,
            binding: bound.binding,
            challenge: self.arguments.because.as_deref().map(challenge_id),
            consent: self.consent,
            return_to: self.arguments.return_to,
        };
        let spent = self.ticket.zip(self.arguments.because).map(|(ticket, text)| Spent {
            key: ticket_key(&self.place.tenant, &text),
            twin: ticket_of_key(&self.place.tenant, &ticket),
            ticket: Secret::new(text),
        });
        Ok((BeginFlow { place: self.place, connector: self.connector.version, hash, flow, spent }, redirect))
    }

    /// Whether a mix-up with another issuer is excluded (atk:MIX-01): the issuer names itself in the callback; or nobody but
    /// the operator can have registered our redirect URI there, and no other issuer's callbacks arrive at it.
    fn is_protected(&self, discovered: &Discovered, client: &Client, redirect_uri: &RedirectUri) -> bool {
        let Place { tenant, connector, .. } = &self.place;
        let issuer = &discovered.issuer;
        issuer.promises_iss
            || (client.source == RegistrationSource::Static
                && issuer.registers_nobody()
                && serves_one_issuer(redirect_uri, tenant, connector, issuer))
    }

    /// What the connection tells about earlier requests.
    fn before(&self) -> Before {
        let steps_up = self.ticket.as_ref().is_some_and(|ticket| ticket.reason == TicketReason::StepUp);
        let known = self.connection.as_ref();
        Before {
            //= spec/derived.md#step-05
            //# What was requested before MUST come from our own record, never from `scopes_supported`, as a
            //# case-sensitive set without order or hierarchy (STEP-05, U, derived).
            requested: known.filter(|_| steps_up).map(|known| known.requested.clone()),
            refused: known.and_then(|known| known.last_failure.as_deref()) == Some(Code::ScopeRefused.slug()),
        }
    }

    fn authorization_url(
        &self,
        cx: &Context<'_>,
        discovered: &Discovered,
        client_id: &str,
        redirect_uri: &RedirectUri,
        scopes: &Scopes,
        secrets: &Secrets,
    ) -> Result<String, Failure> {
        let endpoint = parse(cx, &discovered.issuer.authorization_endpoint)?;
        let request = AuthorizationRequest {
            endpoint: &endpoint,
            client_id,
            redirect_uri,
            state: &secrets.state,
            code_challenge: &pkce::challenge(&secrets.verifier),
            resource: discovered.resource.as_deref(),
            scopes,
            prompt_consent: scopes.contains(OFFLINE_ACCESS),
            extra: &self.connector().authorize_params,
        };
        request.url().map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
    }

    fn terms(
        &self,
        cx: &Context<'_>,
        discovered: Discovered,
        client: Client,
        protected: bool,
    ) -> Result<Terms, Failure> {
        let connector = self.connector();
        let issuer = discovered.issuer;
        let plain = cx.engine.plain_http();
        let token_endpoint = parse(cx, &issuer.token_endpoint)?;
        let revocation_endpoint =
            issuer.revocation_endpoint.as_deref().map(|url| parse(cx, url)).transpose()?;
        Ok(Terms {
            issuer: issuer.issuer,
            address_policy: egress(connector, plain, &token_endpoint),
            revocation_policy: egress(
                connector,
                plain,
                revocation_endpoint.as_ref().unwrap_or(&token_endpoint),
            ),
            token_endpoint: issuer.token_endpoint,
            revocation_endpoint: issuer.revocation_endpoint,
            client,
            resource: discovered.resource,
            audience: discovered.audience,
            parent: discovered.parent,
            protected,
            dialect: connector.dialect.clone(),
            // The profile `strict` has let none of them count.
            waivers: if cx.engine.is_strict() { Waivers::default() } else { connector.waivers.clone() },
            connector_revision: self.connector.record.revision,
        })
    }
}

/// The two values of a flow that the issuer sees only one of.
struct Secrets {
    state: Secret,
    verifier: Secret,
}

fn parse(cx: &Context<'_>, url: &str) -> Result<HttpUrl, Failure> {
    HttpUrl::parse(url, cx.engine.plain_http())
        .map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/oauth21.md#2-3-6
    //= type=test
    //# The callback page SHOULD hold no third-party script and lead on to a clean URL, and MUST NOT redirect
    //# to a place the request names (AZR-12, U).
    #[test]
    fn a_page_to_return_to_is_a_path_of_the_hosts_own_site() {
        for path in ["/", "/settings?tab=2&x=%20y", "/a/b.html"] {
            assert!(is_own_path(path), "{path}");
        }
        for text in [
            "",
            "settings",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "@evil.example",
            ".evil.example",
            ":1/x",
            "/a/../b",
            "/%2f/evil.example",
            "/\r\nx",
            "/#f",
        ] {
            assert!(!is_own_path(text), "{text:?}");
        }
    }
}
