//! Registration: our client at one issuer. Static before CIMD before dynamic before "ask an administrator"; what is
//! registered belongs to its issuer and is used at no other.
//!
//! ```text
//! begin             + static, its issuer named  -> done
//! begin             + static, no issuer named   -> Pinning            [Read]
//! begin             + CIMD                      -> done
//! begin             + neither                   -> AwaitRecord        [Read]
//! AwaitRecord       + active                    -> done
//! AwaitRecord       + absent, stale, expired    -> AwaitRegistration  [Http]
//! AwaitRegistration + registered                -> Keeping            [Read]
//! Keeping           + kept, or another's        -> done
//! ```

mod keep;
mod pin;

use self::keep::{Keep, Kept};
use self::pin::Pin;
use super::discovery::IssuerFacts;
use super::{Exchange, Transaction, egress};
use crate::connector::{Connector, StaticRegistration};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::METADATA_MAX_BYTES;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, HttpFault, HttpResponse, Progress, Version, Versioned};
use crate::principal::{ConnectorId, TenantId};
use crate::protocol::client_auth::{self, AuthMethod};
use crate::protocol::redirect_uri::{ApplicationType, RedirectUri};
use crate::protocol::registration::{
    RegistrationError, RegistrationErrorCode, RegistrationRequest, RegistrationResponse,
};
use crate::protocol::retry_after;
use crate::protocol::url::HttpUrl;
use crate::secret::{Secret, SecretBytes};
use crate::store::records::{Client, Registration, RegistrationSource};
use crate::store::{Key, Stored};

/// The client that a flow needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Wanted {
    pub(crate) tenant: TenantId,
    pub(crate) connector_id: ConnectorId,
    pub(crate) connector: Connector,
    /// The secret of the connector's static registration.
    pub(crate) client_secret: Option<Secret>,
    pub(crate) issuer: IssuerFacts,
    pub(crate) redirect_uri: RedirectUri,
    /// Registers anew although there is an active registration.
    pub(crate) anew: bool,
}

/// The first step of the ladder that is there; `None`: an administrator must register a client.
pub(crate) fn way(
    engine: &Engine,
    connector: &Connector,
    issuer: &IssuerFacts,
    redirect_uri: Option<&RedirectUri>,
) -> Option<RegistrationSource> {
    //= spec/mcp-2026-07-28.md#reg-client-registration
    //# The engine SHOULD prefer a static registration, then CIMD if the issuer advertises it, then dynamic
    //# registration if there is an endpoint, and ask a person last (REG-02, U).
    if connector.registration.is_some() {
        return Some(RegistrationSource::Static);
    }
    //= spec/mcp-2026-07-28.md#reg-advertising-cimd-support
    //# A URL SHOULD serve as client id only where the issuer has said that it supports CIMD (REG-11, U).
    if issuer.accepts_cimd && redirect_uri.is_some_and(|uri| our_document_lists(engine, uri)) {
        return Some(RegistrationSource::Cimd);
    }
    //= spec/mcp-2026-07-28.md#reg-dynamic-client-registration
    //# Dynamic registration MAY be supported, deprecated as it is (REG-13, U/S).
    issuer.registration_endpoint.is_some().then_some(RegistrationSource::Dynamic)
}

/// Whether there is a client metadata document of ours with this redirect URI: see
/// [`EngineConfig::client_metadata_url`](crate::engine::EngineConfig).
fn our_document_lists(engine: &Engine, uri: &RedirectUri) -> bool {
    //= spec/mcp-2026-07-28.md#sec-open-redirection
    //# The redirect URI of a request MUST be one that was registered, be it dynamically, by CIMD or by hand
    //# (REG-20, U).
    let config = engine.config();
    let listed = match &config.base_url {
        Some(base) => uri.as_str() == format!("{base}/callback"),
        None => uri.is_loopback() && uri.as_str().ends_with("/callback") && uri.path() == "/callback",
    };
    config.client_metadata_url.is_some() && listed
}

/// A registration under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Registering {
    wanted: Box<Wanted>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitRecord,
    /// With the version of the record that the new registration takes the place of.
    AwaitRegistration(Option<Version>),
    Keeping(Box<Transaction<Keep>>),
    Pinning(Box<Transaction<Pin>>),
}

impl Registering {
    pub(crate) fn begin(cx: &mut Context<'_>, wanted: Wanted) -> Progress<Self, Client> {
        let wanted = Box::new(wanted);
        if let Some(own) = &wanted.connector.registration {
            //= spec/mcp-2026-07-28.md#reg-pre-registration
            //# Static credentials from an operator SHOULD be supported (REG-03, U).
            let client = match static_client(own, &wanted) {
                Ok(client) => client,
                Err(failure) => return Progress::fail(failure),
            };
            return match &own.issuer {
                //= spec/mcp-2026-07-28.md#reg-authorization-server-binding
                //# Static credentials whose issuer is no longer the resource's SHOULD lead to an error, not
                //# to an attempt (REG-06, U).
                Some(issuer) if *issuer != wanted.issuer.issuer => {
                    Progress::fail(Code::RegistrationIssuerMismatch)
                }
                Some(_) => Progress::done(client),
                None => {
                    let pin = Pin::new(cx, &wanted, client);
                    let step = Transaction::begin(cx, pin);
                    Self::pinning(wanted, step)
                }
            };
        }
        let way = way(cx.engine, &wanted.connector, &wanted.issuer, Some(&wanted.redirect_uri));
        //= spec/mcp-2026-07-28.md#reg-authorization-server-binding
        //# A CIMD URL MAY be used at a new issuer without registering again, while tokens stay behind
        //# (REG-07, U).
        if let (Some(RegistrationSource::Cimd), Some(url)) = (way, &cx.engine.config().client_metadata_url) {
            return Progress::done(Client {
                id: url.clone(),
                method: AuthMethod::None,
                secret: None,
                source: RegistrationSource::Cimd,
                redirect_uri: wanted.redirect_uri.as_str().to_owned(),
            });
        }
        let keys = vec![wanted.key()];
        Progress::Perform(Self { wanted, state: State::AwaitRecord }, Effect::Read { keys })
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Client> {
        let wanted = self.wanted;
        match (self.state, answer) {
            (State::AwaitRecord, Answer::Read(Some(found))) => Self::look(cx, wanted, &found),
            (State::AwaitRecord, Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::AwaitRegistration(replaces), Answer::Http(answer)) => {
                match registered(cx, &wanted, replaces, answer) {
                    Ok(keep) => {
                        let step = Transaction::begin(cx, keep);
                        Self::keeping(cx, wanted, step)
                    }
                    Err(failure) => Progress::fail(failure),
                }
            }
            (State::Keeping(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::keeping(cx, wanted, step)
            }
            (State::Pinning(transaction), answer) => Self::pinning(wanted, transaction.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }

    fn look(
        cx: &mut Context<'_>,
        wanted: Box<Wanted>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Client> {
        let stored = match cx.open::<Registration>(&wanted.key(), found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Progress::fail(failure),
        };
        if let Some(stored) = &stored {
            // F17, T-38: one registration for all owners.
            if is_active(&stored.record, cx.now()) && !wanted.anew {
                return Progress::done(stored.record.client.clone());
            }
            // atk:TOK-14
            if let Some(until) = renewal_refused_until(cx, stored) {
                let failure = Failure::new(Code::ClientRefused)
                    .because("a new registration was made less than an hour ago");
                return Progress::fail(failure.retry_at(until));
            }
        }
        match request(cx, &wanted) {
            Ok(effect) => {
                let state = State::AwaitRegistration(stored.map(|stored| stored.version));
                Progress::Perform(Self { wanted, state }, effect)
            }
            Err(failure) => Progress::fail(failure),
        }
    }

    fn keeping(
        cx: &mut Context<'_>,
        wanted: Box<Wanted>,
        step: Progress<Transaction<Keep>, Kept>,
    ) -> Progress<Self, Client> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Keeping(Box::new(transaction));
                Progress::Perform(Self { wanted, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Kept { client, ours })) => {
                if ours {
                    let issuer = wanted.issuer.issuer.clone();
                    let connector = Some(&wanted.connector_id);
                    cx.emit(&wanted.tenant, None, connector, What::Registered { issuer });
                }
                Progress::done(client)
            }
        }
    }

    fn pinning(wanted: Box<Wanted>, step: Progress<Transaction<Pin>, Client>) -> Progress<Self, Client> {
        step.embed(
            |transaction| Self { wanted, state: State::Pinning(Box::new(transaction)) },
            Progress::Done,
        )
    }
}

impl Wanted {
    /// atk:TEN-06: nothing registered at one issuer, or for one tenant, is found for another.
    fn key(&self) -> Key {
        //= spec/mcp-2026-07-28.md#reg-authorization-server-binding
        //# A registration MUST be stored under the issuer that gave it (REG-04, U).
        //= spec/mcp-2026-07-28.md#reg-authorization-server-binding
        //# When a resource moves to another issuer, the engine MUST NOT take the old credentials along and
        //# MUST register anew (REG-05, U).
        Key::registration(&self.tenant, &self.issuer.issuer, self.redirect_uri.as_str())
    }
}

/// Whether the issuer, as far as we know, still knows the client.
fn is_active(registration: &Registration, now: UnixMillis) -> bool {
    //= spec/rfc7591.md#3-2-1
    //# A client secret MUST be used no longer than its `client_secret_expires_at`, where 0 means for ever,
    //# and a new registration follows (REG-19, U).
    !registration.stale && registration.expires_at.is_none_or(|end| now < end)
}

fn renewal_refused_until(cx: &Context<'_>, stored: &Stored<Registration>) -> Option<UnixMillis> {
    let limits = cx.engine.limits();
    let renewed_at = stored.record.renewed_at?;
    let until = renewed_at.plus(limits.registration_renewal_ms);
    // A time that is still to come was written by a clock that has jumped.
    (renewed_at <= cx.now().plus(limits.clock_skew_ms) && cx.now() < until).then_some(until)
}

fn static_client(own: &StaticRegistration, wanted: &Wanted) -> Result<Client, Failure> {
    let needed = |reason| Failure::new(Code::RegistrationNeeded).because(reason);
    let methods = wanted.issuer.auth_methods.as_deref();
    let method = client_auth::choose(own.auth_method, wanted.client_secret.is_some(), methods)
        .ok_or_else(|| needed("the issuer accepts no client authentication that the registration allows"))?;
    if method == AuthMethod::PrivateKeyJwt {
        return Err(needed("`private_key_jwt` is not supported yet"));
    }
    Ok(Client {
        id: own.client_id.clone(),
        method,
        secret: wanted.client_secret.clone(),
        source: RegistrationSource::Static,
        redirect_uri: wanted.redirect_uri.as_str().to_owned(),
    })
}

fn request(cx: &Context<'_>, wanted: &Wanted) -> Result<Effect, Failure> {
    let Some(endpoint) = &wanted.issuer.registration_endpoint else {
        //= spec/mcp-2026-07-28.md#idx-client-registration
        //# A static, CIMD or dynamic registration MUST be in hand before authorization is asked for
        //# (REG-01, U).
        return Err(Code::RegistrationNeeded.into());
    };
    let plain = cx.engine.plain_http();
    let url = HttpUrl::parse(endpoint, plain)
        .map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))?;
    let application_type = wanted.redirect_uri.application_type();
    let auth_method = wished(wanted.issuer.auth_methods.as_deref(), application_type).ok_or_else(|| {
        Failure::new(Code::RegistrationNeeded).because("the issuer accepts no client authentication of ours")
    })?;
    let body = RegistrationRequest {
        redirect_uris: std::slice::from_ref(&wanted.redirect_uri),
        client_name: &cx.engine.config().client_name,
        auth_method,
        application_type,
        // COMPAT: a client registered for some scopes could not ask for more at a step-up.
        scopes: None,
        client_uri: None,
    }
    .to_body();
    //= spec/rfc7591.md#3-1
    //# The engine MUST register by a POST of JSON and SHOULD name only redirect URIs, grants, response types
    //# and an authentication method it really uses (REG-14, U).
    Exchange::new(&url, egress(&wanted.connector, plain, &url), METADATA_MAX_BYTES).post(
        cx,
        "application/json",
        SecretBytes::new(body),
    )
}

/// How we want to authenticate: a site keeps a secret where the issuer gives one, a program on somebody's machine cannot.
/// The issuer's answer counts.
///
/// COMPAT: of two listed methods the body comes before the header: issuers built on the MCP Python SDK list both, and want
/// `client_id` in the body even beside the header, where others refuse it.
fn wished(supported: Option<&[String]>, application_type: ApplicationType) -> Option<AuthMethod> {
    use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public};
    let order = match application_type {
        ApplicationType::Native => [Public, ClientSecretPost, ClientSecretBasic],
        ApplicationType::Web if supported.is_some_and(|list| !list.is_empty()) => {
            [ClientSecretPost, ClientSecretBasic, Public]
        }
        ApplicationType::Web => [ClientSecretBasic, ClientSecretPost, Public],
    };
    let listed = |method: &AuthMethod| {
        let list = supported.filter(|list| !list.is_empty());
        list.is_none_or(|list| list.iter().any(|name| name == method.as_str()))
    };
    order.into_iter().find(listed)
}

/// What the issuer's answer comes to: a registration to be kept.
fn registered(
    cx: &Context<'_>,
    wanted: &Wanted,
    replaces: Option<Version>,
    answer: Result<HttpResponse, HttpFault>,
) -> Result<Keep, Failure> {
    let invalid = |reason| Failure::new(Code::RegistrationInvalid).because(reason);
    let response = match answer {
        Ok(response) => response,
        Err(HttpFault::AddressRefused { .. }) => return Err(Code::AddressRefused.into()),
        Err(HttpFault::Encoded) => return Err(invalid("the body is encoded though that was not accepted")),
        Err(HttpFault::TooLarge) => return Err(Code::ResponseTooLarge.into()),
        // A registration that nobody answered for is of no harm: at worst there is one more.
        Err(HttpFault::NotSent | HttpFault::Unknown) => return Err(Code::IssuerUnavailable.into()),
    };
    match response.status {
        200 | 201 => {}
        // atk:NET-05
        300..=399 => return Err(Code::Redirected.into()),
        408 | 425 | 429 | 500.. => {
            let failure = Failure::new(Code::IssuerUnavailable);
            let after = response.header("retry-after").and_then(|value| retry_after::read(value, cx.now()));
            return Err(after.map_or(failure.clone(), |at| failure.retry_at(at)));
        }
        _ => return Err(refusal(&response)),
    }
    let answer = RegistrationResponse::parse(response.body.expose()).map_err(|error| invalid(error.0))?;
    //= spec/rfc7591.md#3-2-1
    //# What the registration response says MUST replace what was asked for: authentication method, redirect
    //# URIs, oauth scopes and grants are the issuer's to change (REG-17, U).
    // T-09
    let methods = wanted.issuer.auth_methods.as_deref();
    let method = client_auth::choose(answer.auth_method, answer.client_secret.is_some(), methods)
        .filter(|method| *method != AuthMethod::PrivateKeyJwt)
        .ok_or_else(|| invalid("it leaves no client authentication of ours"))?;
    let redirect_uri = wanted.redirect_uri.as_str().to_owned();
    let now = cx.now();
    Ok(Keep {
        key: wanted.key(),
        replaces,
        registration: Registration {
            issuer: wanted.issuer.issuer.clone(),
            client: Client {
                id: answer.client_id,
                method,
                // A secret that came along with `none` is kept, and not sent.
                secret: answer.client_secret,
                source: RegistrationSource::Dynamic,
                redirect_uri: redirect_uri.clone(),
            },
            //= spec/rfc7591.md#3-2-1
            //= type=exception
            //= reason=The redirect URI stays ours; what an issuer did not register it refuses when asked.
            //# What the registration response says MUST replace what was asked for: authentication method, redirect URIs,
            //# oauth scopes and grants are the issuer's to change (REG-17, U).
            // COMPAT: ours, whatever the issuer repeats; one that changed them refuses the authorization request.
            redirect_uris: vec![redirect_uri],
            expires_at: answer.client_secret_expires_at,
            stale: false,
            registered_at: now,
            renewed_at: replaces.map(|_| now),
            management_url: answer.registration_client_uri,
            management_token: answer.registration_access_token,
        },
    })
}

/// Why the issuer refused, readable, in its own words where it has some.
fn refusal(response: &HttpResponse) -> Failure {
    let error = RegistrationError::read(response.body.expose());
    let failure = Failure::new(Code::RegistrationRefused);
    let failure = match error.code {
        //= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
        //# A registration refused over its redirect URIs MUST be provided for: it SHOULD end in a meaningful
        //# error and MAY be tried again with another type or other URIs (REG-16, U).
        RegistrationErrorCode::InvalidRedirectUri => failure.because("it does not accept the redirect URI"),
        RegistrationErrorCode::InvalidClientMetadata => {
            failure.because("it does not accept the client metadata")
        }
        RegistrationErrorCode::Other => failure,
    };
    match error.text {
        Some(text) => failure.quoting(text),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T-09
    #[test]
    fn what_is_asked_for_is_what_both_sides_can_do() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (native, web) = (ApplicationType::Native, ApplicationType::Web);
        for (supported, application_type, expected) in [
            (None, web, Some(AuthMethod::ClientSecretBasic)),
            (None, native, Some(AuthMethod::None)),
            (Some(list(&[])), native, Some(AuthMethod::None)),
            (Some(list(&["none"])), web, Some(AuthMethod::None)),
            (Some(list(&["none", "client_secret_post"])), web, Some(AuthMethod::ClientSecretPost)),
            (Some(list(&["none", "client_secret_post"])), native, Some(AuthMethod::None)),
            (Some(list(&["client_secret_basic"])), native, Some(AuthMethod::ClientSecretBasic)),
            (
                Some(list(&["client_secret_post", "client_secret_basic"])),
                web,
                Some(AuthMethod::ClientSecretPost),
            ),
            (Some(list(&["private_key_jwt", "tls_client_auth"])), web, None),
        ] {
            assert_eq!(wished(supported.as_deref(), application_type), expected, "{supported:?}");
        }
    }
}
