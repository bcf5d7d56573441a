//! Connectors: a tenant's configuration of one upstream.

use serde::{Deserialize, Serialize};

use crate::address::AddressPolicy;
use crate::error::ConfigError;
use crate::principal::{Assurance, ConnectorId, PrincipalId};
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::scopes::Scopes;

/// A tenant's configuration of one upstream: an MCP server, or an account that other connectors draw on.
///
/// It holds no secret: the secret of a static registration is handed in beside it. Every member but `upstream` has a default, and
/// the defaults are the strict ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// The upstream itself.
    pub upstream: Upstream,
    /// Whose credential a call may use, in this order. Default: `personal` alone.
    #[serde(default = "personal_only")]
    pub precedence: Vec<CredentialScope>,
    /// Whether owners other than the caller may be used at all. Default: off.
    #[serde(default)]
    pub sharing: bool,
    /// Whether a personal credential that is broken (not absent) lets a shared one step in. Default: no.
    #[serde(default)]
    pub broken_personal_falls_back: bool,
    /// The least assurance a caller needs. Default: `ephemeral`, anybody the host passes.
    #[serde(default = "any_assurance")]
    pub minimum_assurance: Assurance,
    /// Our client at the issuer, registered by hand. Default: none.
    #[serde(default)]
    pub registration: Option<StaticRegistration>,
    /// The oauth scopes to request when the server does not say. Default: what the server's metadata lists.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// The most that a challenge may add to a request; scopes beyond it are not asked for. Default: no bound.
    #[serde(default)]
    pub scope_limit: Option<Scopes>,
    /// What goes into a call. Default: the connection's token as `Authorization: Bearer`.
    #[serde(default = "bearer_only")]
    pub injections: Vec<Injection>,
    /// Which addresses the connector's own host may have. Default: public ones.
    #[serde(default)]
    pub address_policy: AddressPolicy,
    /// The `resource` parameter. Default: as the server's metadata names it.
    #[serde(default)]
    pub resource: ResourceMode,
    /// Fixed extra parameters of the authorization request. They never override the engine's own.
    #[serde(default)]
    pub authorize_params: Vec<(String, String)>,
    /// Deviations of the issuer.
    #[serde(default)]
    pub dialect: Dialect,
    /// Checks the operator has switched off.
    #[serde(default)]
    pub waivers: Waivers,
    /// A callback path of this connector's own, at the price of a registration of its own. For hosts that let tenants name issuers.
    #[serde(default)]
    pub own_callback_path: bool,
}

/// The upstream of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Upstream {
    /// An account at an issuer, which other connectors name as their source; there is no server URL.
    Account {
        /// The issuer, byte for byte.
        issuer: String,
    },
    /// An MCP server.
    Server {
        /// Its URL, as configured.
        url: String,
        /// The issuer to use instead of asking the server. Default: ask.
        #[serde(default)]
        issuer: Option<String>,
    },
}

/// Class of owner, as seen by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialScope {
    /// A bot seat, by its id.
    Agent(PrincipalId),
    /// What the tenant shares.
    Org,
    /// The caller's own principal, whatever its kind.
    Personal,
    /// The caller's teams, in the order the host gives them.
    Team,
}

impl CredentialScope {
    /// Its name: `personal`, `team`, `org`, `agent`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Agent(_) => "agent",
            Self::Org => "org",
            Self::Personal => "personal",
            Self::Team => "team",
        }
    }
}

/// Our client at one issuer, registered by hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticRegistration {
    /// The issuer it belongs to, byte for byte. `None`: whichever the server names, and that alone from then on.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The client id.
    pub client_id: String,
    /// How the client authenticates. Default: chosen from the issuer's metadata.
    #[serde(default)]
    pub auth_method: Option<AuthMethod>,
}

/// One value that goes into a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Where it goes.
    pub target: Target,
    /// Where it comes from.
    pub source: Source,
    /// Put before the value: `Bearer `. Default: nothing.
    #[serde(default)]
    pub prefix: String,
}

/// Where an injected value goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An environment variable of a process.
    Env(String),
    /// A header of an HTTP request.
    Header(String),
}

/// Where an injected value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// The access token of the same owner's connection to an account connector.
    Account(ConnectorId),
    /// The access token of this connection.
    Connection,
    /// A stored secret.
    Secret {
        /// Its name.
        name: String,
        /// Whose.
        of: SecretOwner,
    },
    /// The text itself; not a secret.
    Static(String),
}

/// Whose stored secret an injection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretOwner {
    /// The tenant's.
    Org,
    /// That of the first of the caller's teams that has one.
    Team,
    /// The caller's own.
    User,
}

/// How the `resource` parameter is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceMode {
    /// As the resource metadata names it.
    #[default]
    Auto,
    /// This URI.
    Explicit(String),
    /// Not at all.
    Omit,
}

/// Declared deviations of a non-compliant issuer; data, not code. Fixed in flow and grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// Whether the same refresh token may be sent again after a lost answer. Default: once.
    #[serde(default)]
    pub in_doubt: InDoubt,
}

/// What follows a refresh whose answer was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// The grant needs re-authorization at once: here a replay revokes more than this grant.
    Never,
    /// The same refresh token is sent once more, at once.
    #[default]
    RetryOnce,
}

/// Checks that the operator has switched off for one connector. Each is visible in status and stored in flow and grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waivers {
    /// Goes on with S256 although the metadata does not list PKCE methods; an explicit list without S256 always stops.
    #[serde(default)]
    pub danger_s256_unadvertised: bool,
    /// Pairs (asked, answered): metadata asked for under the first may name the second as its issuer.
    #[serde(default)]
    pub danger_trusted_issuers: Vec<(String, String)>,
    /// Origins, besides the issuer's own, on which its endpoints may stand: `https://oauth2.googleapis.com`.
    #[serde(default)]
    pub danger_endpoint_origins: Vec<String>,
    /// Falls back to the discovery of MCP 2025-03-26 where no resource metadata was ever seen.
    #[serde(default)]
    pub danger_legacy_discovery: bool,
    /// Follows a `resource_metadata` URL on another origin than the server's.
    #[serde(default)]
    pub danger_foreign_resource_metadata: bool,
}

impl Waivers {
    /// Whether nothing is waived.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The names of what is waived.
    pub fn names(&self) -> Vec<&'static str> {
        [
            (self.danger_s256_unadvertised, "danger_s256_unadvertised"),
            (!self.danger_trusted_issuers.is_empty(), "danger_trusted_issuers"),
            (!self.danger_endpoint_origins.is_empty(), "danger_endpoint_origins"),
            (self.danger_legacy_discovery, "danger_legacy_discovery"),
            (self.danger_foreign_resource_metadata, "danger_foreign_resource_metadata"),
        ]
        .into_iter()
        .filter_map(|(waived, name)| waived.then_some(name))
        .collect()
    }
}

impl Connector {
    /// An MCP server with all defaults: personal accounts, dynamic registration, one bearer header.
    pub fn server(url: impl Into<String>) -> Self {
        Self::new(Upstream::Server { url: url.into(), issuer: None })
    }

    /// An account at an issuer.
    pub fn account(issuer: impl Into<String>) -> Self {
        Self::new(Upstream::Account { issuer: issuer.into() })
    }

    fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            precedence: personal_only(),
            sharing: false,
            broken_personal_falls_back: false,
            minimum_assurance: any_assurance(),
            registration: None,
            scopes: None,
            scope_limit: None,
            injections: bearer_only(),
            address_policy: AddressPolicy::default(),
            resource: ResourceMode::default(),
            authorize_params: Vec::new(),
            dialect: Dialect::default(),
            waivers: Waivers::default(),
            own_callback_path: false,
        }
    }

    /// The server's URL, for connectors that have one.
    pub fn server_url(&self) -> Option<&str> {
        match &self.upstream {
            Upstream::Server { url, .. } => Some(url),
            Upstream::Account { .. } => None,
        }
    }

    /// The issuer that the configuration demands: the upstream's, or the one the static registration belongs to.
    pub(crate) fn demanded_issuer(&self) -> Option<&str> {
        match &self.upstream {
            Upstream::Account { issuer } => Some(issuer),
            Upstream::Server { issuer, .. } => issuer.as_deref().or_else(|| {
                self.registration.as_ref().and_then(|registration| registration.issuer.as_deref())
            }),
        }
    }

    /// The first account that an injection draws on.
    pub(crate) fn drawn_account(&self) -> Option<&ConnectorId> {
        self.injections.iter().find_map(|injection| match &injection.source {
            Source::Account(account) => Some(account),
            _ => None,
        })
    }

    /// Whether any injection uses this connection's own token.
    pub(crate) fn uses_connection(&self) -> bool {
        self.injections.iter().any(|injection| injection.source == Source::Connection)
    }
}

fn personal_only() -> Vec<CredentialScope> {
    vec![CredentialScope::Personal]
}

fn any_assurance() -> Assurance {
    Assurance::Ephemeral
}

fn bearer_only() -> Vec<Injection> {
    vec![Injection {
        target: Target::Header("Authorization".to_owned()),
        source: Source::Connection,
        prefix: "Bearer ".to_owned(),
    }]
}

impl Connector {
    /// Checks everything that can be checked without asking anybody; see [`ConfigError`] for what is named.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub(crate) fn check(&self, plain: crate::protocol::url::PlainHttp) -> Result<(), ConfigError> {
        let url = |field, text: &str| {
            crate::protocol::url::HttpUrl::parse(text, plain)
                .map(drop)
                .map_err(|invalid| ConfigError::new(field, text, invalid.0))
        };
        match &self.upstream {
            Upstream::Account { issuer } => url("issuer", issuer)?,
            Upstream::Server { url: server, issuer } => {
                url("url", server)?;
                issuer.as_deref().map_or(Ok(()), |issuer| url("issuer", issuer))?;
            }
        }
        if let ResourceMode::Explicit(resource) = &self.resource {
            url("resource", resource)?;
        }
        self.waivers
            .danger_endpoint_origins
            .iter()
            .try_for_each(|origin| url("danger_endpoint_origins", origin))?;
        if self.precedence.is_empty() {
            return Err(ConfigError::new("precedence", "[]", "must name at least one credential scope"));
        }
        let shared = self.precedence.iter().any(|scope| *scope != CredentialScope::Personal);
        if shared && !self.sharing {
            return Err(ConfigError::new("precedence", "shared", "needs `sharing = true`"));
        }
        self.injections.iter().try_for_each(Injection::check)
    }
}

impl Injection {
    fn check(&self) -> Result<(), ConfigError> {
        // atk:HDR-01: names are tokens, values carry no control characters.
        let (field, name) = match &self.target {
            Target::Header(name) => ("header", name),
            Target::Env(name) => ("env", name),
        };
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(ConfigError::new(field, name, "is not a name"));
        }
        let text =
            [Some(&self.prefix), if let Source::Static(text) = &self.source { Some(text) } else { None }];
        match text.into_iter().flatten().find(|text| !text.bytes().all(|b| (0x20..0x7f).contains(&b))) {
            Some(text) => Err(ConfigError::new(field, text, "must be visible ASCII")),
            None => Ok(()),
        }
    }
}
