//! A request to the gateway, as the host got it.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::moment::UnixMillis;
use crate::principal::Caller;
use crate::secret::{Secret, SecretBytes};

/// An HTTP request, raw. Its `Debug` form shows the method, the path and the names of its headers.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `GET`, `HEAD`, `POST` or `OPTIONS`; any other is refused.
    pub method: String,
    /// Path and query as they stood in the request line, undecoded. They may hold a code.
    pub target: Secret,
    /// All headers in order, repeated ones included. Names in any case.
    #[serde(default)]
    pub headers: Vec<(String, Secret)>,
    /// The body; over 64 KiB it is refused, so that a host may stop reading there.
    #[serde(default, deserialize_with = "text")]
    pub body: SecretBytes,
}

/// A person whom the host has signed in where the request came from, with everything its login demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIn {
    /// Who it is.
    pub caller: Caller,
    /// When the login was completed, second factor included. `None`: it is not complete, and nothing is approved before it is.
    #[serde(default)]
    pub auth_time: Option<UnixMillis>,
    /// How, as the host calls it (OpenID Connect Core §2, `acr`). Kept for the events.
    #[serde(default)]
    pub acr: Option<String>,
}

impl Request {
    /// A GET without headers.
    pub fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            target: Secret::new(target),
            headers: Vec::new(),
            body: SecretBytes::default(),
        }
    }

    /// The values of a header, by its lower-case name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Secret> {
        self.headers.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The one value of a header; `None` if there is none, or more than one.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none()).map(Secret::expose)
    }

    /// All cookies, as one header.
    pub(crate) fn cookies(&self) -> Option<Secret> {
        let fields: Vec<&str> = self.all("cookie").map(Secret::expose).collect();
        (!fields.is_empty()).then(|| Secret::new(fields.join("; ")))
    }

    /// The path and the query, if there is one.
    pub(crate) fn path_and_query(&self) -> (&str, Option<&str>) {
        let target = self.target.expose();
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
    }
}

/// A body from a message, where it is text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretBytes, D::Error> {
    Ok(SecretBytes::new(String::deserialize(deserializer)?.into_bytes()))
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path_and_query().0)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}
