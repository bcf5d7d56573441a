//! Who acts, and for whom: tenant, principal, caller.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// LIMIT: identifiers are at most 255 bytes, the most a length byte in a store key can say.
pub const ID_MAX_BYTES: usize = 255;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text: 1 to 255 bytes, kept byte for byte, never normalized.
            pub fn new(id: impl Into<String>) -> Result<Self, ConfigError> {
                let id = id.into();
                if id.is_empty() || id.len() > ID_MAX_BYTES {
                    return Err(ConfigError::new($field, &id, "must be 1 to 255 bytes long"));
                }
                Ok(Self(id))
            }

            /// The text as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = ConfigError;

            fn try_from(id: String) -> Result<Self, ConfigError> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// The isolation root; the first part of every store key.
    TenantId,
    "tenant"
);
id!(
    /// The name of a connector within its tenant.
    ConnectorId,
    "connector"
);

/// What kind of party a principal is. Kinds are separate name spaces: user `7` is not key `7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person the host has signed in.
    User,
    /// A team of the tenant.
    Team,
    /// The tenant itself as an owner.
    Org,
    /// A bot seat.
    Agent,
    /// The holder of an API key.
    Key,
    /// A session the engine minted; it ends by itself.
    Session,
}

impl PrincipalKind {
    /// Its name in messages: `user`, `team`, `org`, `agent`, `key`, `session`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Team => "team",
            Self::Org => "org",
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Session => "session",
        }
    }
}

/// An authenticated party, asserted by the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    kind: PrincipalKind,
    id: PrincipalId,
}

id!(
    /// The host's identifier of a principal within its kind.
    PrincipalId,
    "principal"
);

impl Principal {
    /// A principal of any kind; the id is 1 to 255 bytes.
    pub fn new(kind: PrincipalKind, id: impl Into<String>) -> Result<Self, ConfigError> {
        Ok(Self { kind, id: PrincipalId::new(id)? })
    }

    pub(crate) fn of(kind: PrincipalKind, id: PrincipalId) -> Self {
        Self { kind, id }
    }

    /// A person the host has signed in.
    pub fn user(id: impl Into<String>) -> Result<Self, ConfigError> {
        Self::new(PrincipalKind::User, id)
    }

    /// A team.
    pub fn team(id: impl Into<String>) -> Result<Self, ConfigError> {
        Self::new(PrincipalKind::Team, id)
    }

    /// The owner of what the whole tenant shares.
    pub fn org(tenant: &TenantId) -> Self {
        Self { kind: PrincipalKind::Org, id: PrincipalId(tenant.0.clone()) }
    }

    /// A bot seat.
    pub fn agent(id: impl Into<String>) -> Result<Self, ConfigError> {
        Self::new(PrincipalKind::Agent, id)
    }

    /// Its kind.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its id within the kind.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }
}

/// How sure the host is of a principal. Ordered: a connector may demand a minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A session the engine minted for a browser nobody has identified.
    Ephemeral,
    /// Somebody said so.
    Asserted,
    /// The holder of an API key.
    Possession,
    /// The host has verified it.
    #[default]
    Verified,
}

/// A caller's standing in one team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    /// Uses what the team shares.
    Member,
    /// Connects and disconnects the team's accounts as well.
    Manager,
}

/// Membership of one team.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// The team's id, as in [`Principal::team`].
    pub id: PrincipalId,
    /// The caller's standing in it.
    pub role: TeamRole,
}

/// A caller's standing in the tenant. Ordered: each includes the rights of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Connects and uses accounts of its own.
    #[default]
    Member,
    /// Connects the tenant's shared accounts and decides on sharing.
    Manager,
    /// Configures connectors; revokes, suspends, purges.
    Admin,
}

/// What the host passes with each request: who asks, verified by the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The tenant the caller belongs to.
    pub tenant: TenantId,
    /// Who it is.
    pub principal: Principal,
    /// How sure the host is; `verified` unless said otherwise.
    #[serde(default)]
    pub assurance: Assurance,
    /// The teams the caller is in, as of now.
    #[serde(default)]
    pub teams: Vec<Team>,
    /// Its standing in the tenant; `member` unless said otherwise.
    #[serde(default)]
    pub role: Role,
}

impl Caller {
    /// A verified member without teams.
    pub fn new(tenant: impl Into<String>, principal: Principal) -> Result<Self, ConfigError> {
        Ok(Self {
            tenant: TenantId::new(tenant)?,
            principal,
            assurance: Assurance::default(),
            teams: Vec::new(),
            role: Role::default(),
        })
    }

    /// The same caller with another role.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// The same caller as a member (or manager) of one more team.
    pub fn with_team(mut self, id: impl Into<String>, role: TeamRole) -> Result<Self, ConfigError> {
        self.teams.push(Team { id: PrincipalId::new(id)?, role });
        Ok(self)
    }

    /// The same caller with another assurance.
    #[must_use]
    pub fn with_assurance(mut self, assurance: Assurance) -> Self {
        self.assurance = assurance;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_overlong_id_cannot_be_expressed() {
        assert!(TenantId::new("").is_err());
        assert!(Principal::user("").is_err());
        assert!(Principal::user("x".repeat(256)).is_err());
        assert!(serde_json::from_str::<TenantId>("\"\"").is_err());
        assert!(Principal::user("x".repeat(255)).is_ok());
    }

    #[test]
    fn a_caller_reads_with_defaults_and_refuses_unknown_members() {
        let caller: Caller =
            serde_json::from_str(r#"{"tenant":"acme","principal":{"kind":"user","id":"u-42"}}"#).unwrap();
        assert_eq!(caller, Caller::new("acme", Principal::user("u-42").unwrap()).unwrap());
        assert!(
            serde_json::from_str::<Caller>(
                r#"{"tenant":"acme","principal":{"kind":"user","id":"u-42"},"admin":true}"#
            )
            .is_err()
        );
    }
}
