//! What the gateway says about itself, and how clients come to be registered there.

use std::collections::BTreeSet;
use std::sync::Arc;

use grantway_core::downstream::config::{GatewayConfig, ResourceConfig};
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::request::Request;
use grantway_core::downstream::response::Response;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::event::What;
use grantway_core::principal::TenantId;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::{Keyring, Kind, SealingKey};
use grantway_testing::{CommitFault, Lands, World, contains_secret, drive, kind_of};
use serde_json::{Value, json};

const DAY: u64 = 24 * 3_600_000;
const OK: &str = "https://c.good/cb";

struct Gateway {
    world: World,
    engine: Arc<Engine>,
    tenant: TenantId,
    events: Vec<What>,
}

impl Gateway {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut config = EngineConfig {
            base_url: Some("https://gw.good".to_owned()),
            gateway: Some(GatewayConfig::new("/mcp")),
            ..EngineConfig::new("Gateway")
        };
        change(&mut config);
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let engine = Engine::new(config, keyring).unwrap();
        Self { world: World::new(), engine, tenant: TenantId::new("acme").unwrap(), events: Vec::new() }
    }

    fn with_gateway(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::with(|config| change(config.gateway.as_mut().unwrap()))
    }

    fn send(&mut self, request: Request) -> Response {
        let tenant = self.tenant.clone();
        let handle = self.engine.handle(Handle { tenant, request, signed_in: None });
        let outcome = drive(&mut self.world, handle);
        self.events.extend(outcome.events.into_iter().map(|event| event.what));
        outcome.result.unwrap()
    }

    fn get(&mut self, target: &str) -> Response {
        self.send(Request::get(target))
    }

    fn document(&mut self, target: &str) -> Value {
        let response = self.get(target);
        assert_eq!(response.status, 200, "{target}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("cache-control"), Some("public, max-age=300"));
        body(&response)
    }

    fn post(&mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
        let headers = vec![("Content-Type".to_owned(), Secret::new(content_type))];
        let body = SecretBytes::new(body.into());
        self.send(Request { method: "POST".to_owned(), headers, body, ..Request::get("/register") })
    }

    fn register(&mut self, request: &Value) -> Response {
        self.post("application/json", request.to_string())
    }

    fn rows(&self, kind: Kind) -> usize {
        self.world.store.rows().keys().filter(|key| kind_of(key) == Some(kind as u8)).count()
    }
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(response.body.expose()).unwrap()
}

fn error(response: &Response) -> String {
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    body(response)["error"].as_str().unwrap().to_owned()
}

fn public_client() -> Value {
    json!({ "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none" })
}

fn endpoint(path: &str, name: Option<&str>, scopes: &str, more: &str) -> ResourceConfig {
    ResourceConfig {
        path: path.to_owned(),
        name: name.map(str::to_owned),
        scopes: Scopes::parse(scopes).unwrap(),
        more_scopes: Scopes::parse(more).unwrap(),
    }
}

//= spec/rfc9728.md#2
//= type=test
//# The document of a resource MUST name at least one issuer in `authorization_servers` (PRM-01, R).
//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# A resource MUST let its document be found, by a challenge or at a well-known URL (PRM-02, R).
//= spec/rfc9728.md#2
//= type=test
//# `resource` MUST be an absolute https URL without fragment, in the form in which it is asked for, with no
//# slash added (PRM-03, R).
//= spec/rfc9728.md#3-2
//= type=test
//# The document of a resource MUST be given with 200 as `application/json`, its lists as arrays and no empty
//# one among them (PRM-05, R).
//= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
//= type=test
//# `scopes_supported` of a resource SHOULD be what its basic use needs, never everything, never
//# `offline_access` (PRM-06, R).
//= spec/rfc9728.md#2
//= type=test
//# The document MAY say how a token is presented and what people call the resource (PRM-07, R).
//= spec/rfc9728.md#3-1
//= type=test
//# Of several endpoints on a host each MUST have a document of its own, and one for the root describes the
//# root alone (PRM-08, R).
#[test]
fn each_endpoint_has_a_document_at_its_path_and_there_is_none_for_the_root() {
    let mut gateway = Gateway::with_gateway(|config| {
        config.resources = vec![
            endpoint("/mcp", Some("Tools"), "tools:read offline_access", "tools:write"),
            endpoint("/mcp/admin", None, "", "all"),
        ];
    });
    assert_eq!(
        gateway.document("/.well-known/oauth-protected-resource/mcp"),
        json!({
            "resource": "https://gw.good/mcp",
            "authorization_servers": ["https://gw.good"],
            "scopes_supported": ["tools:read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Tools",
        })
    );
    assert_eq!(
        gateway.document("/.well-known/oauth-protected-resource/mcp/admin"),
        json!({
            "resource": "https://gw.good/mcp/admin",
            "authorization_servers": ["https://gw.good"],
            "bearer_methods_supported": ["header"],
        })
    );
    for target in ["", "/", "/mcp/", "/MCP", "/mcp/other", "/mc", "//mcp", "/mcp%2fadmin"] {
        let response = gateway.get(&format!("/.well-known/oauth-protected-resource{target}"));
        assert_eq!(response.status, 404, "{target}");
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.failure.unwrap().slug(), "user.page_unknown");
    }
}

//= spec/mcp-2026-07-28.md#idx-overview
//= type=test
//# The authorization server MUST publish its metadata by RFC 8414 or by OpenID Connect Discovery (ASM-01, S).
//= spec/rfc8414.md#2
//= type=test
//# `issuer` MUST be an https URL without query and fragment, the one that resources name, with the metadata
//# where its path is inserted (ASM-10, S).
//= spec/rfc8414.md#2
//= type=test
//# The metadata MUST be given with 200 as `application/json` and hold the issuer, both endpoints and the
//# response type `code` (ASM-11, S).
//= spec/mcp-2026-07-28.md#sec-authorization-code-protection
//= type=test
//# The metadata of our authorization server MUST list `S256` among its code challenge methods (ASM-12, S).
//= spec/mcp-2026-07-28.md#reg-advertising-cimd-support
//= type=test
//# Where a client's id may be the URL of its document, the metadata MUST say so (ASM-13, S).
//= spec/rfc9207.md#2-3
//= type=test
//# `authorization_response_iss_parameter_supported` MUST be true exactly if responses carry `iss`
//# (ASM-14, S).
//= spec/rfc8414.md#2
//= type=test
//# `grant_types_supported` and `token_endpoint_auth_methods_supported` SHOULD be stated, because silence
//# means others than ours (ASM-15, S).
//= spec/rfc8414.md#2
//= type=test
//# Where `private_key_jwt` is offered its algorithms MUST be stated, `none` never among them (ASM-16, S).
//= spec/rfc8414.md#2
//= type=test
//# A registration endpoint SHOULD be named only where clients may register, and the revocation endpoint with
//# its methods (ASM-17, S).
#[test]
fn the_issuer_says_what_it_can_do() {
    let mut gateway = Gateway::with_gateway(|config| {
        config.resources =
            vec![endpoint("/a", None, "x", "y"), endpoint("/b", None, "x", "z offline_access")];
    });
    let methods = json!(["none", "client_secret_post", "client_secret_basic"]);
    assert_eq!(
        gateway.document("/.well-known/oauth-authorization-server"),
        json!({
            "issuer": "https://gw.good",
            "authorization_endpoint": "https://gw.good/authorize",
            "token_endpoint": "https://gw.good/token",
            "registration_endpoint": "https://gw.good/register",
            "revocation_endpoint": "https://gw.good/revoke",
            "revocation_endpoint_auth_methods_supported": methods,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["offline_access", "x", "y", "z"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": true,
        })
    );

    let mut less = Gateway::with_gateway(|config| {
        (config.registration, config.client_documents, config.public_clients) = (false, false, false);
    });
    let document = less.document("/.well-known/oauth-authorization-server");
    for absent in ["registration_endpoint", "client_id_metadata_document_supported", "scopes_supported"] {
        assert_eq!(document.get(absent), None, "{absent}");
    }
    for member in ["token_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"] {
        assert_eq!(document[member], json!(["client_secret_post", "client_secret_basic"]));
    }
}

//= spec/rfc9728.md#3-1
//= type=test
//# The document of a resource MUST stand at the well-known suffix between host and path, a slash right after
//# the host removed (PRM-04, R).
//= spec/rfc8414.md#2
//= type=test
//# `issuer` MUST be an https URL without query and fragment, the one that resources name, with the metadata
//# where its path is inserted (ASM-10, S).
#[test]
fn each_tenant_has_documents_of_its_own_at_the_inserted_path() {
    let mut gateway = Gateway::with(|config| {
        config.base_url = Some("https://gw.good/t/{tenant}".to_owned());
    });
    let resource = gateway.document("/.well-known/oauth-protected-resource/t/acme/mcp");
    assert_eq!(resource["resource"], "https://gw.good/t/acme/mcp");
    assert_eq!(resource["authorization_servers"], json!(["https://gw.good/t/acme"]));
    let issuer = gateway.document("/.well-known/oauth-authorization-server/t/acme");
    assert_eq!(issuer["issuer"], "https://gw.good/t/acme");
    assert_eq!(issuer["token_endpoint"], "https://gw.good/t/acme/token");
    for target in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/t/other",
        "/.well-known/oauth-authorization-server/t/acme/",
        "/.well-known/oauth-protected-resource/t/other/mcp",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        assert_eq!(gateway.get(target).status, 404, "{target}");
    }
}

//= spec/oauth21.md#3-1
//= type=test
//# CORS MUST NOT be allowed at the authorization endpoint, and metadata, token, registration and revocation
//# endpoints allow it for clients in browsers (ASM-18, S).
// atk:NET-14, atk:CON-09
#[test]
fn no_header_changes_a_document_or_an_answer() {
    let mut gateway = Gateway::with(|config| {
        config.client_metadata_url = Some("https://gw.good/client.json".to_owned());
    });
    let headers: Vec<_> = [
        ("Host", "evil.example"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Uri", "/evil"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Port", "8080"),
        ("X-Original-URL", "/evil"),
        ("X-Rewrite-URL", "/evil"),
        ("Forwarded", "host=evil.example;proto=http"),
        ("X_Forwarded_User", "alice"),
        ("X-Forwarded-User", "alice"),
        ("X-User-Id", "alice"),
        ("Origin", "https://evil.example"),
        ("X-Tenant", "other"),
        ("Cookie", "a=b"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), Secret::new(value)))
    .collect();
    for target in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/client.json",
    ] {
        let plain = gateway.get(target);
        assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
        let poisoned = gateway.send(Request { headers: headers.clone(), ..Request::get(target) });
        assert_eq!(plain, poisoned, "{target}");
        assert_eq!(plain.status, 200, "{target}");
        for method in ["HEAD", "OPTIONS"] {
            let request = Request { method: method.to_owned(), ..Request::get(target) };
            assert!(matches!(gateway.send(request).status, 200 | 204));
        }
        let request = Request { method: "POST".to_owned(), ..Request::get(target) };
        assert_eq!(gateway.send(request).status, 405);
    }
    let page = gateway.send(Request { method: "OPTIONS".to_owned(), ..Request::get("/authorize") });
    assert_eq!(page.header("access-control-allow-origin"), None);
    assert!(gateway.world.trace().is_empty(), "documents need nothing");
}

#[test]
fn our_own_client_document_stands_at_the_url_that_is_its_id_and_nowhere_else() {
    let at = |url: Option<&str>| {
        let url = url.map(str::to_owned);
        Gateway::with(move |config| config.client_metadata_url = url).get("/client.json")
    };
    let response = at(Some("https://gw.good/client.json"));
    let document = body(&response);
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!(document["client_id"], "https://gw.good/client.json");
    assert_eq!(document["client_name"], "Gateway");
    assert_eq!(document["redirect_uris"], json!(["https://gw.good/callback"]));
    for other in [None, Some("https://gw.good/other.json"), Some("https://elsewhere.example/client.json")] {
        assert_eq!(at(other).status, 404, "{other:?}");
    }
}

//= spec/oauth21.md#7-4
//= type=test
//# A client SHOULD NOT be able to choose an id that can pass for a person's (AS-16, S).
//= spec/rfc7591.md#3-2-1
//= type=test
//# A registration MUST be answered with 201, never to be stored, with the client id, all that was registered,
//# and beside a secret when it ends (REG-30, S).
//= spec/cimd.md#supporting-both
//= type=test
//# An id that the authorization server gives SHOULD NOT begin with `https://` (REG-28, S).
//= spec/oauth21.md#8-1
//= type=test
//# The type of a client MUST be recorded, and a secret that stands in a program on people's own machines
//# proves nothing (REG-34, S).
#[test]
fn a_registration_is_answered_with_all_that_was_registered() {
    let mut gateway = Gateway::with_gateway(|config| {
        config.resources = vec![endpoint("/mcp", None, "a", "b")];
        config.private_redirect_uris = vec!["cursor://anysphere.cursor-mcp/oauth/callback".to_owned()];
    });
    let response = gateway.register(&json!({
        "redirect_uris": ["https://c.good/cb", "vscode://x/cb", "cursor://anysphere.cursor-mcp/oauth/callback"],
        "client_name": "Good",
        "client_id": "alice",
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "scope": "a admin b",
    }));
    assert_eq!(response.status, 201);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let mut answer = body(&response);
    let id = answer["client_id"].take().as_str().unwrap().to_owned();
    let secret = answer["client_secret"].take().as_str().unwrap().to_owned();
    assert!(id.starts_with("gwd_") && id.len() >= 4 + 22, "{id}");
    assert!(secret.starts_with("gws_") && secret.len() >= 4 + 22);
    assert_eq!(
        answer,
        json!({
            "client_id": null,
            "client_id_issued_at": gateway.world.now().0 / 1000,
            "client_secret": null,
            "client_secret_expires_at": 0,
            "client_name": "Good",
            "redirect_uris": ["https://c.good/cb", "cursor://anysphere.cursor-mcp/oauth/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
            "scope": "a b",
        })
    );
    assert_eq!(gateway.events, [What::ClientRegistered { client_id: id }]);
    // Its hash alone is kept, and nothing of it is printed.
    for row in gateway.world.store.rows().values() {
        assert!(!contains_secret(&row.value, &secret));
    }
    assert!(!format!("{response:?}").contains(&secret));
    let indexed = (gateway.rows(Kind::Client), gateway.rows(Kind::Slot), gateway.rows(Kind::Expiry));
    assert_eq!(indexed, (1, 1, 1));
    gateway
        .world
        .store
        .rows()
        .iter()
        .filter(|(key, _)| kind_of(key) == Some(Kind::Client as u8))
        .for_each(|(_, row)| assert_eq!(row.expires_at, Some(gateway.world.now().0 + DAY)));

    let post = gateway
        .register(&json!({ "redirect_uris": [OK], "token_endpoint_auth_method": "client_secret_post" }));
    assert!(body(&post)["client_secret"].is_string());
    let public = body(&gateway.register(&public_client()));
    assert_eq!(public["token_endpoint_auth_method"], "none");
    for absent in ["client_secret", "client_secret_expires_at", "client_name", "scope"] {
        assert_eq!(public.get(absent), None, "{absent}");
    }
    assert_eq!(public["grant_types"], json!(["authorization_code"]));
}

//= spec/rfc7591.md#3-2-2
//= type=test
//# A registration that is refused MUST be answered with 400 and what is wrong: redirect URIs, metadata, or
//# the software statement (REG-31, S).
//= spec/oauth21.md#8-4-3
//= type=test
//# A client's redirect URI MUST be https, loopback http or of a private-use scheme, with a path and without
//# fragment, and a scheme without a dot SHOULD be refused (REG-32, S).
// atk:RED-02, atk:RED-03, atk:RED-04, atk:RED-06, atk:RED-07, atk:RED-08
#[test]
fn hostile_registrations_are_refused_and_leave_nothing_behind() {
    let mut gateway = Gateway::new();
    for uri in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "http://c.good/cb",
        "https://c.good/cb#",
        "https://c.good/a/../cb",
        "https://c.good@evil.example/",
        "https://C.GOOD/cb",
        "https://①②⑦.⓪.⓪.①/cb",
        "https://c.good\\@evil.example",
        "https:/evil.example/",
        "//evil.example/",
        "https://c.good/cb?code=x",
        "https://c.good/cb?iss=x",
        "https://c.good/cb\r\nSet-Cookie: a=b",
        "",
    ] {
        let response = gateway.register(&json!({ "redirect_uris": [uri] }));
        assert_eq!((response.status, error(&response).as_str()), (400, "invalid_redirect_uri"), "{uri}");
        assert!(!String::from_utf8_lossy(response.body.expose()).contains("evil"), "{uri}");
    }
    for (content_type, text) in [
        ("application/json", ""),
        ("application/json", "[]"),
        ("application/json", "{\"redirect_uris\":[\"https://c.good/cb\"]"),
        (
            "application/json",
            r#"{"redirect_uris":["https://c.good/cb"],"redirect_uris":["https://evil.example/cb"]}"#,
        ),
        (
            "application/json",
            r#"{"redirect_uris":["https://c.good/cb"],"token_endpoint_auth_method":"private_key_jwt"}"#,
        ),
        ("application/json", r#"{"redirect_uris":["https://c.good/cb"],"grant_types":["password"]}"#),
        ("text/plain", r#"{"redirect_uris":["https://c.good/cb"]}"#),
        ("application/x-www-form-urlencoded", r#"{"redirect_uris":["https://c.good/cb"]}"#),
        ("application/json, text/html", r#"{"redirect_uris":["https://c.good/cb"]}"#),
    ] {
        let response = gateway.post(content_type, text);
        assert_eq!((response.status, error(&response).as_str()), (400, "invalid_client_metadata"), "{text}");
    }
    let statement = gateway.register(&json!({ "redirect_uris": [OK], "software_statement": "a.b.c" }));
    assert_eq!(error(&statement), "unapproved_software_statement");
    let long = gateway.post("application/json", vec![b' '; 64 * 1024 + 1]);
    assert_eq!((long.status, error(&long).as_str()), (400, "invalid_request"));
    let deep = format!(r#"{{"redirect_uris":["{OK}"],"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(gateway.post("application/json", deep).status, 400);
    assert_eq!(gateway.get("/register").status, 405);
    assert!(gateway.world.store.rows().is_empty() && gateway.world.trace().is_empty());
}

// atk:NET-08
#[test]
fn no_url_of_a_registration_is_asked() {
    let mut gateway = Gateway::new();
    let inside = "http://169.254.169.254/latest/meta-data";
    let response = gateway.register(&json!({
        "redirect_uris": [OK],
        "jwks_uri": inside,
        "logo_uri": inside,
        "client_uri": inside,
        "policy_uri": inside,
        "tos_uri": inside,
        "sector_identifier_uri": inside,
        "request_uris": [inside],
        "initiate_login_uri": inside,
    }));
    assert_eq!(response.status, 201);
    assert!(!String::from_utf8_lossy(response.body.expose()).contains(inside));
    assert!(gateway.world.network.exchanges().is_empty());
    assert!(gateway.world.trace().iter().all(|line| line.contains("read") || line.contains("commit")));
}

//= spec/mcp-2026-07-28.md#reg-dynamic-client-registration
//= type=test
//# Dynamic registration MAY be supported, deprecated as it is (REG-13, U/S).
#[test]
fn registration_and_public_clients_can_be_switched_off() {
    let mut off = Gateway::with_gateway(|config| config.registration = false);
    let response = off.register(&public_client());
    assert_eq!((response.status, error(&response).as_str()), (404, "invalid_request"));
    assert!(off.world.trace().is_empty());
    let mut confidential = Gateway::with_gateway(|config| {
        (config.public_clients, config.client_documents) = (false, false);
    });
    assert_eq!(error(&confidential.register(&public_client())), "invalid_client_metadata");
    assert_eq!(confidential.register(&json!({ "redirect_uris": [OK] })).status, 201);
}

//= spec/rfc7591.md#5
//= type=test
//# What a client says of itself MUST be taken as its own word, and open registration SHOULD be limited in
//# number and time (REG-33, S).
// atk:CON-17
#[test]
fn a_flood_of_registrations_ends_in_429_and_harms_nobody() {
    let mut gateway = Gateway::new();
    let mut ids = BTreeSet::new();
    let refused = loop {
        let response = gateway.register(&public_client());
        if response.status != 201 {
            break response;
        }
        assert!(ids.insert(body(&response)["client_id"].as_str().unwrap().to_owned()));
        assert!(ids.len() <= 500, "there is no end to it");
    };
    // What is asked for at random is not found when nearly all are taken.
    assert!(ids.len() > 250, "{}", ids.len());
    assert_eq!((refused.status, error(&refused).as_str()), (429, "temporarily_unavailable"));
    assert_eq!(refused.failure.unwrap().slug(), "client.too_many");
    for _ in 0..400 {
        gateway.register(&public_client());
    }
    let clients = gateway.rows(Kind::Client);
    assert!(clients >= ids.len() && clients <= 500);
    assert_eq!(clients, gateway.rows(Kind::Slot));
    // A day later those that nobody has used give way.
    gateway.world.advance(DAY);
    assert_eq!(gateway.register(&public_client()).status, 201);
    // A clock that had run ahead blocks nothing.
    let now = gateway.world.now();
    gateway.world.set_clock(grantway_core::moment::UnixMillis(now.0 - 10 * DAY));
    assert_eq!(gateway.register(&public_client()).status, 201);
}

// atk:CON-17
#[test]
fn there_is_no_way_to_change_a_registration() {
    let mut gateway = Gateway::new();
    let id = body(&gateway.register(&public_client()))["client_id"].as_str().unwrap().to_owned();
    let before = gateway.world.store.rows().clone();
    for method in ["PUT", "DELETE", "PATCH"] {
        for target in ["/register".to_owned(), format!("/register/{id}")] {
            let request = Request { method: method.to_owned(), ..Request::get(target) };
            assert!(matches!(gateway.send(request).status, 404 | 405));
        }
    }
    // An id is the gateway's to give.
    let taken = gateway.register(&json!({ "redirect_uris": ["https://evil.example/cb"], "client_id": id }));
    assert_ne!(body(&taken)["client_id"], id);
    for (key, row) in before {
        assert_eq!(gateway.world.store.rows().get(&key), Some(&row));
    }
}

#[test]
fn a_registration_is_made_once_whatever_the_store_says() {
    for fault in [CommitFault::Conflict, CommitFault::Unknown(Lands::Now), CommitFault::Unknown(Lands::Never)]
    {
        let mut gateway = Gateway::new();
        gateway.world.on_commit(1, fault);
        let response = gateway.register(&public_client());
        assert_eq!(response.status, 201);
        assert_eq!((gateway.rows(Kind::Client), gateway.events.len()), (1, 1));
    }
    let mut gateway = Gateway::new();
    gateway.world.on_commit(1, CommitFault::Unavailable);
    let response = gateway.register(&public_client());
    assert_eq!((response.status, error(&response).as_str()), (503, "temporarily_unavailable"));
    assert_eq!(response.header("retry-after"), Some("5"));
    gateway.world.on_read(1);
    assert_eq!(gateway.register(&public_client()).status, 503);
    assert!(gateway.world.store.rows().is_empty());
}
