//! `import_grant`: tokens obtained elsewhere become an ordinary grant, with all that keeps one alive and lets it be revoked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::refresh::save::schedule;
use super::secrets::{check_client_secret, check_text};
use super::single::{Act, News, Single, Told, single};
use super::{Decide, Decision, Place, egress};
use crate::connector::Waivers;
use crate::engine::Engine;
use crate::error::{Code, ConfigError, Failure};
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{Context, Operation, OperationId, Versioned};
use crate::policy::may_manage;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::resource::covers;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::HttpUrl;
use crate::secret::Secret;
use crate::store::records::{Client, Connection, ConnectorRecord, Grant, RegistrationSource, Terms};
use crate::store::{Key, as_seen, keep, put_index};

/// Brings in tokens that were obtained elsewhere. For who manages the owner: whose account an owner's calls use is nobody else's to
/// say, so an administrator who moves the accounts of others names each of them as the caller.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct ImportGrant {
    /// Who asks.
    pub caller: Caller,
    /// Whose connection it is to be. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// To which upstream.
    pub connector: ConnectorId,
    /// The access token, of type `Bearer`.
    pub access_token: Secret,
    /// The refresh token. From now on nobody else may use it. Default: none.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// When the access token ends. Default: not known.
    #[serde(default)]
    pub expires_at: Option<UnixMillis>,
    /// The oauth scopes granted. Default: none known.
    #[serde(default)]
    pub scopes: Scopes,
    /// The issuer, byte for byte as its metadata names it.
    pub issuer: String,
    /// Where the refresh token is redeemed.
    pub token_endpoint: String,
    /// Where tokens are revoked. Default: nowhere.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// The client the tokens were issued to.
    pub client_id: String,
    /// How that client authenticates.
    pub auth_method: AuthMethod,
    /// Its secret. Default: the one stored with the connector, if its configuration names this issuer and this client id.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The `resource` that was requested; it is sent with each refresh, and the tokens go nowhere else. Default: none was; the tokens
    /// go to the connector's own server URL.
    #[serde(default)]
    pub resource: Option<String>,
}

/// What became of tokens that were to be brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum GrantImported {
    /// They are the connection's grant; tokens of a former one are revoked.
    Imported(Imported),
    /// They are not acceptable for this connector.
    Refused(ConfigError),
}

/// A connection whose grant was brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Imported {
    /// The connection.
    pub connection: OperationId,
    /// The generation the grant begins with.
    pub generation: u64,
}

impl Engine {
    /// Brings in tokens that were obtained elsewhere.
    ///
    /// Failures: `user.not_allowed`, `config.connector_unknown`, `config.parent_grant_refused` (profile `strict`), those of the store.
    pub fn import_grant(self: &Arc<Self>, arguments: ImportGrant) -> Operation<ImportingGrant> {
        let actor = Some(arguments.caller.principal.clone());
        let owner = arguments.owner.clone().unwrap_or_else(|| arguments.caller.principal.clone());
        let tenant = arguments.caller.tenant.clone();
        let place = Place { tenant, owner, connector: arguments.connector.clone() };
        Operation::new(
            Arc::clone(self),
            actor,
            ImportingGrant(Single::new(Import { place, arguments, wanted: None })),
        )
    }
}

single! {
    /// A grant being brought in.
    ImportingGrant(Import) -> GrantImported
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Import {
    place: Place,
    arguments: ImportGrant,
    /// The generation that the first try was to bring about. A later try that finds it reached cannot tell whose it is: were it ours and
    /// refreshed since, these tokens would be spent ones.
    wanted: Option<u64>,
}

impl Act for Import {
    type Answer = GrantImported;

    fn admit(&self, _: &Context<'_>) -> Result<Option<GrantImported>, Failure> {
        // atk:CSR-03
        if !may_manage(&self.arguments.caller, &self.place.owner) {
            return Err(Code::NotAllowed.into());
        }
        Ok(self.check_values().err().map(GrantImported::Refused))
    }
}

impl Import {
    fn check_values(&self) -> Result<(), ConfigError> {
        let ImportGrant { access_token, refresh_token, client_secret, client_id, auth_method, .. } =
            &self.arguments;
        // atk:HDR-01
        check_text("access_token", access_token)?;
        refresh_token.iter().try_for_each(|token| check_text("refresh_token", token))?;
        client_secret.iter().try_for_each(check_client_secret)?;
        if client_id.is_empty() || !client_id.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(ConfigError::new("client_id", client_id, "must be printable ASCII"));
        }
        if *auth_method == AuthMethod::PrivateKeyJwt {
            return Err(ConfigError::new("auth_method", auth_method.as_str(), "is not supported yet"));
        }
        Ok(())
    }

    /// The grant as it will stand in the connection, but for its family.
    fn grant(&self, cx: &Context<'_>, record: &ConnectorRecord) -> Result<Grant, ConfigError> {
        let arguments = &self.arguments;
        let (now, longest) = (cx.now(), cx.engine.limits().grant_max_ms);
        Ok(Grant {
            access_token: arguments.access_token.clone(),
            refresh_token: arguments.refresh_token.clone(),
            obtained_at: now,
            expires_at: arguments.expires_at.map(|end| end.min(now.plus(longest))),
            terms: self.terms(cx, record)?,
            scopes: arguments.scopes.clone(),
            family: 0,
            sends: 0,
            lease: None,
            backoff: None,
            condemned: None,
            rejected_at: None,
        })
    }

    fn terms(&self, cx: &Context<'_>, record: &ConnectorRecord) -> Result<Terms, ConfigError> {
        let (arguments, connector) = (&self.arguments, &record.connector);
        let url = |field: &'static str, text: &str| {
            HttpUrl::parse(text, cx.engine.plain_http()).map_err(|e| ConfigError::new(field, text, e.0))
        };
        let strict = cx.engine.is_strict();
        let waivers = if strict { Waivers::default() } else { connector.waivers.clone() };
        let issuer = url("issuer", &arguments.issuer)?;
        if connector.demanded_issuer().is_some_and(|configured| configured != arguments.issuer) {
            return Err(ConfigError::new("issuer", &arguments.issuer, "is not the connector's issuer"));
        }
        // atk:MIX-04: as for endpoints that are discovered.
        let endpoint = |field: &'static str, text: &str| {
            let endpoint = url(field, text)?;
            let pins = &waivers.danger_endpoint_origins;
            let is_pinned = |pin: &String| url(field, pin).is_ok_and(|pin| pin.same_origin(&endpoint));
            if endpoint.same_origin(&issuer) || pins.iter().any(is_pinned) {
                return Ok(endpoint);
            }
            Err(ConfigError::new(field, text, "is on another origin than the issuer"))
        };
        let token_endpoint = endpoint("token_endpoint", &arguments.token_endpoint)?;
        arguments
            .revocation_endpoint
            .iter()
            .try_for_each(|text| endpoint("revocation_endpoint", text).map(drop))?;

        let resource = arguments.resource.as_deref().map(|text| url("resource", text)).transpose()?;
        let server = connector.server_url().map(|text| url("url", text)).transpose()?;
        if let (Some(resource), Some(server)) = (&resource, &server)
            && !covers(resource, server)
        {
            // atk:AUD-06
            return Err(ConfigError::new(
                "resource",
                resource.received(),
                "does not cover the connector's URL",
            ));
        }
        let parent = match (&resource, &server) {
            (Some(resource), Some(server)) => resource.path() == "/" && server.path() != "/",
            _ => false,
        };
        let audience = resource.as_ref().filter(|_| server.is_some()).or(server.as_ref()).unwrap_or(&issuer);
        let plain = cx.engine.plain_http();
        let revocation =
            arguments.revocation_endpoint.as_deref().and_then(|url| HttpUrl::parse(url, plain).ok());
        Ok(Terms {
            issuer: arguments.issuer.clone(),
            token_endpoint: arguments.token_endpoint.clone(),
            revocation_endpoint: arguments.revocation_endpoint.clone(),
            client: self.client(record)?,
            resource: arguments.resource.clone(),
            audience: audience.received().to_owned(),
            parent,
            // No callback has brought these tokens, so none can have been mixed up.
            protected: true,
            dialect: connector.dialect.clone(),
            waivers: waivers.clone(),
            address_policy: egress(connector, plain, &token_endpoint),
            revocation_policy: egress(connector, plain, revocation.as_ref().unwrap_or(&token_endpoint)),
            connector_revision: record.revision,
        })
    }

    fn client(&self, record: &ConnectorRecord) -> Result<Client, ConfigError> {
        let ImportGrant { issuer, client_id, auth_method, client_secret, .. } = &self.arguments;
        // atk:MIX-05: the operator's secret is for the operator's own issuer, never for one that the caller names.
        let of_connector = || record.static_secret()?.of(issuer, client_id);
        let secret = client_secret.clone().or_else(of_connector);
        if *auth_method != AuthMethod::None && secret.is_none() {
            return Err(ConfigError::new(
                "client_secret",
                "",
                "is needed for this client's way to authenticate",
            ));
        }
        Ok(Client {
            id: client_id.clone(),
            method: *auth_method,
            secret: secret.filter(|_| *auth_method != AuthMethod::None),
            source: RegistrationSource::Static,
            // No registration record of ours stands behind it.
            redirect_uri: String::new(),
        })
    }
}

impl Decide for Import {
    type Output = Told<GrantImported>;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key(), Key::connector(&self.place.tenant, &self.place.connector)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<GrantImported>> {
        let [connection, connector] = found else { return Decision::fail(Code::Internal) };
        let (key, connector_key) =
            (self.place.key(), Key::connector(&self.place.tenant, &self.place.connector));
        let opened = (
            cx.open::<Connection>(&key, connection.as_ref()),
            cx.open::<ConnectorRecord>(&connector_key, connector.as_ref()),
        );
        let (stored, connector) = match opened {
            (Ok(stored), Ok(Some(connector))) => (stored, connector),
            (Ok(_), Ok(None)) => return Decision::fail(Code::ConnectorUnknown),
            (Err(failure), _) | (_, Err(failure)) => return Decision::fail(failure),
        };
        let mut grant = match self.grant(cx, &connector.record) {
            Ok(grant) if grant.terms.parent && cx.engine.is_strict() => {
                return Decision::fail(Code::ParentGrantRefused);
            }
            Ok(grant) => grant,
            Err(error) => return Decision::done(Told::nothing_new(GrantImported::Refused(error))),
        };
        let precondition = as_seen(stored.as_ref());
        let mut connection = stored.map_or_else(|| Connection::new(id), |stored| stored.record);
        let next = connection.generation.saturating_add(1);
        if connection.generation >= *self.wanted.get_or_insert(next) {
            let failure = Failure::new(Code::StoreUnknown);
            return Decision::fail(failure.because("the connection has new tokens since, ours or another's"));
        }
        connection.retire_grant();
        // The same tokens brought in again: they must not be revoked as those of a former grant.
        let ours = [Some(&grant.access_token), grant.refresh_token.as_ref()];
        connection.outbox.retain(|parked| !ours.contains(&Some(&parked.token)));
        connection.generation = next;
        grant.family = connection.generation;
        connection.account = None;
        connection.connected_by = Some(self.arguments.caller.principal.clone());
        connection.connected_at = Some(cx.now());
        connection.requested = grant.scopes.clone();
        connection.step_ups.clear();
        connection.last_failure = None;
        connection.purged_until = None;
        connection.grant = Some(Box::new(grant));

        let mut writes = schedule(cx, &self.place, &mut connection);
        writes.insert(0, cx.put(&key, precondition, &connection, id, None));
        writes.push(put_index(self.place.by_connector(), None));
        writes.push(keep(connector_key, connector.version));
        let imported = Imported { connection: connection.id, generation: connection.generation };
        let news = News::about(&self.place, What::Imported);
        let told = Told::new(GrantImported::Imported(imported), news);
        Decision::Commit(writes, told.and_drain(&self.place, &connection.outbox))
    }
}

#[cfg(test)]
mod tests;
