//! Which oauth scopes a flow asks for.

use crate::connector::Connector;
use crate::protocol::scopes::Scopes;
use crate::upstream::discovery::Discovered;

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Empty: no `scope` parameter at all, and the issuer decides.
    pub(super) scopes: Scopes,
    /// The server wants more than the connector's limit lets be asked for.
    pub(super) limited: bool,
}

/// What asks for a refresh token at issuers that say so (OpenID Connect Core §11).
pub(super) const OFFLINE_ACCESS: &str = "offline_access";

/// What decides, besides connector and discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Before {
    /// At a step-up: everything requested so far, which the challenge does not repeat.
    pub(super) requested: Option<Scopes>,
    /// The issuer refused the scopes of the last flow.
    pub(super) refused: bool,
}

/// The challenge's scopes, else the connector's, else what the server's metadata lists, else none.
///
/// An operator's list stands before the server's own, because servers list everything they have, but behind a challenge, which
/// says what the call at hand needs.
pub(super) fn choose(connector: &Connector, discovered: &Discovered, before: &Before) -> Choice {
    //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
    //# The oauth scopes asked for SHOULD be those of the challenge, else all of the resource's
    //# `scopes_supported`, else the parameter is left out (AZQ-08, U).
    //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
    //# The `scope` of a challenge MUST be taken as what the current operation needs, and the engine MUST NOT
    //# expect of it any relation to `scopes_supported` (CH-06, U).
    let wanted = discovered
        .challenge_scopes
        .as_ref()
        .or(connector.scopes.as_ref())
        .or(discovered.resource_scopes.as_ref())
        .cloned()
        .unwrap_or_default();
    // T-12: a union too large to be asked for leaves what the call at hand needs.
    let wanted = match &before.requested {
        Some(requested) => requested.union(&wanted).unwrap_or(wanted),
        None => wanted,
    };
    let configured = connector.scopes.clone().unwrap_or_default();
    let bounded = match &connector.scope_limit {
        // atk:TOK-10
        Some(limit) => only(&wanted, |scope| limit.contains(scope) || configured.contains(scope)),
        None => wanted.clone(),
    };
    let limited = bounded != wanted;
    Choice { scopes: with_offline_access(bounded, &configured, discovered, before.refused), limited }
}

/// Adds `offline_access` where the issuer lists it, and takes it out where it does not (T-15). What an operator has
/// configured stays: some issuers take it without listing it. An issuer that refused the last request is asked without it
/// once (R32).
fn with_offline_access(
    scopes: Scopes,
    configured: &Scopes,
    discovered: &Discovered,
    refused: bool,
) -> Scopes {
    let is_configured = configured.contains(OFFLINE_ACCESS);
    //= spec/mcp-2026-07-28.md#idx-refresh-tokens
    //# `offline_access` MAY be asked for, and then with `prompt=consent`, where the issuer's own
    //# `scopes_supported` lists it, and elsewhere MUST NOT be (AZQ-09, U).
    let is_listed =
        discovered.issuer.scopes_supported.as_ref().is_some_and(|list| list.contains(OFFLINE_ACCESS));
    if is_listed && !refused && !scopes.is_empty() {
        let offline = Scopes::from_tokens([OFFLINE_ACCESS]).unwrap_or_default();
        return scopes.union(&offline).unwrap_or(scopes);
    }
    if is_configured || (is_listed && !refused) {
        return scopes;
    }
    only(&scopes, |scope| scope != OFFLINE_ACCESS)
}

fn only(scopes: &Scopes, wanted: impl Fn(&str) -> bool) -> Scopes {
    // INVARIANT: a part of a set is a set.
    Scopes::from_tokens(scopes.iter().filter(|scope| wanted(scope))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::discovery::IssuerFacts;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    fn discovered(challenge: Option<&str>, resource: Option<&str>, issuer: Option<&str>) -> Discovered {
        Discovered {
            resource: None,
            audience: "https://h.example/mcp".to_owned(),
            parent: false,
            issuer: IssuerFacts {
                issuer: "https://as.example".to_owned(),
                authorization_endpoint: "https://as.example/authorize".to_owned(),
                token_endpoint: "https://as.example/token".to_owned(),
                registration_endpoint: None,
                revocation_endpoint: None,
                promises_iss: true,
                auth_methods: None,
                accepts_cimd: false,
                scopes_supported: issuer.map(scopes),
            },
            named: Vec::new(),
            resource_scopes: resource.map(scopes),
            challenge_scopes: challenge.map(scopes),
            notes: Vec::new(),
        }
    }

    fn connector(configured: Option<&str>, limit: Option<&str>) -> Connector {
        Connector {
            scopes: configured.map(scopes),
            scope_limit: limit.map(scopes),
            ..Connector::server("https://h.example/mcp")
        }
    }

    fn chosen(connector: &Connector, discovered: &Discovered) -> String {
        choose(connector, discovered, &Before::default()).scopes.to_string()
    }

    //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
    //= type=test
    //# The oauth scopes asked for SHOULD be those of the challenge, else all of the resource's
    //# `scopes_supported`, else the parameter is left out (AZQ-08, U).
    #[test]
    fn the_challenge_comes_before_the_operator_before_the_servers_list() {
        let plain = connector(None, None);
        assert_eq!(chosen(&plain, &discovered(Some("c"), Some("r"), None)), "c");
        assert_eq!(chosen(&plain, &discovered(None, Some("r1 r2"), None)), "r1 r2");
        assert_eq!(chosen(&plain, &discovered(None, None, None)), "");
        let configured = connector(Some("o"), None);
        assert_eq!(chosen(&configured, &discovered(Some("c"), Some("r"), None)), "c");
        assert_eq!(chosen(&configured, &discovered(None, Some("r"), None)), "o");
    }

    // atk:TOK-10
    #[test]
    fn nothing_beyond_the_operators_limit_is_asked_for() {
        let limited = connector(Some("o"), Some("read write"));
        let choice = choose(&limited, &discovered(Some("read admin o"), None, None), &Before::default());
        assert_eq!(choice, Choice { scopes: scopes("o read"), limited: true });
        let choice = choose(&limited, &discovered(Some("read"), None, None), &Before::default());
        assert_eq!(choice, Choice { scopes: scopes("read"), limited: false });
        assert_eq!(
            chosen(&connector(None, Some("read")), &discovered(None, Some("admin read"), None)),
            "read"
        );
    }

    // T-12
    #[test]
    fn a_step_up_keeps_what_was_requested_before() {
        let before = Before { requested: Some(scopes("basic")), refused: false };
        let discovered = discovered(Some("write"), Some("profile"), None);
        let scopes = choose(&connector(None, None), &discovered, &before).scopes;
        assert_eq!(scopes.to_string(), "basic write");
    }

    //= spec/mcp-2026-07-28.md#idx-refresh-tokens
    //= type=test
    //# `offline_access` MAY be asked for, and then with `prompt=consent`, where the issuer's own
    //# `scopes_supported` lists it, and elsewhere MUST NOT be (AZQ-09, U).
    // T-15
    #[test]
    fn offline_access_is_asked_for_only_where_the_issuer_lists_it() {
        let plain = connector(None, None);
        assert_eq!(
            chosen(&plain, &discovered(None, Some("r"), Some("r offline_access"))),
            "offline_access r"
        );
        assert_eq!(chosen(&plain, &discovered(None, Some("r offline_access"), Some("r"))), "r");
        assert_eq!(chosen(&plain, &discovered(Some("r offline_access"), None, None)), "r");
        assert_eq!(chosen(&plain, &discovered(None, None, Some("offline_access"))), "");
        let configured = connector(Some("r offline_access"), None);
        assert_eq!(chosen(&configured, &discovered(None, None, None)), "offline_access r");
    }

    #[test]
    fn offline_access_is_dropped_once_after_a_refusal() {
        let before = Before { requested: None, refused: true };
        let listed = discovered(None, Some("r offline_access"), Some("offline_access"));
        assert_eq!(choose(&connector(None, None), &listed, &before).scopes.to_string(), "r");
        let configured = connector(Some("r offline_access"), None);
        assert_eq!(choose(&configured, &listed, &before).scopes.to_string(), "offline_access r");
    }
}
