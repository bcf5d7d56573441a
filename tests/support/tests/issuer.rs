//! The issuer and the MCP server against requests made by hand: they accept what is right and refuse what is not.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use grantway_testing::{
    AuthMethod, BodyForm, CallbackIss, Endpoint, Issuer, McpServer, MetadataPlace, Parameters, Request,
    Response, Rotation, WellKnown, World, rpc,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const AS: &str = "https://as.good";
const MCP: &str = "https://mcp.good/mcp";
const REDIRECT: &str = "https://gateway.example/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-0123456";

struct Scene {
    world: World,
    issuer: Issuer,
    mcp: McpServer,
}

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let issuer = Issuer::new(AS);
        let mcp = McpServer::new(MCP, &issuer);
        issuer.register_static("ours", None, AuthMethod::None, &[REDIRECT]);
        world.host(AS, issuer.clone());
        world.host("https://mcp.good", mcp.clone());
        Self { world, issuer, mcp }
    }

    fn post(&mut self, endpoint: Endpoint, form: &[(&str, &str)]) -> Response {
        let url = self.issuer.endpoint(endpoint);
        self.world.send(Request::post_form(&url, form))
    }

    fn code(&self, change: &[(&str, &str)]) -> String {
        let callback = self.issuer.approve(&authorize_url(&self.issuer, change));
        callback_parameters(&callback).need("code").unwrap().to_owned()
    }

    fn redeem(&mut self, code: &str, change: &[(&str, &str)]) -> Response {
        let form = edited(
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("client_id", "ours"),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
                ("resource", MCP),
            ],
            change,
        );
        let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(Endpoint::Token, &form)
    }

    fn connect(&mut self) -> Value {
        let code = self.code(&[]);
        let response = self.redeem(&code, &[]);
        assert_eq!(response.status, 200);
        response.value()
    }

    fn refresh(&mut self, tokens: &Value) -> Response {
        let token = tokens["refresh_token"].as_str().unwrap();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", "ours"),
            ("resource", MCP),
        ];
        self.post(Endpoint::Token, &form)
    }

    fn call(&mut self, tool: &str, tokens: &Value) -> Response {
        let token = tokens["access_token"].as_str().unwrap();
        let request = Request::post_json(MCP, &rpc("tools/call", json!({ "name": tool })));
        self.world.send(request.header("Authorization", &format!("Bearer {token}")))
    }
}

/// An empty value takes the parameter out.
fn edited(parameters: &[(&str, &str)], change: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, value) in change {
        all.retain(|(have, _)| have != name);
        if !value.is_empty() {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    all
}

fn authorize_url(issuer: &Issuer, change: &[(&str, &str)]) -> String {
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let parameters = edited(
        &[
            ("response_type", "code"),
            ("client_id", "ours"),
            ("redirect_uri", REDIRECT),
            ("state", "some-state"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", MCP),
            ("scope", "read write"),
        ],
        change,
    );
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{}?{query}", issuer.endpoint(Endpoint::Authorize))
}

fn callback_parameters(callback: &str) -> Parameters {
    let (at, query) = callback.split_once('?').unwrap();
    assert_eq!(at, REDIRECT);
    Parameters::parse(query.as_bytes()).unwrap()
}

fn error(response: &Response) -> (u16, String) {
    (response.status, response.value()["error"].as_str().unwrap_or_default().to_owned())
}

fn refused(error: &str) -> (u16, String) {
    (400, error.to_owned())
}

#[test]
fn an_approved_user_calls_a_tool_with_the_token() {
    let mut scene = Scene::new();
    let tokens = scene.connect();
    let said = scene.call("whoami", &tokens).value();
    assert_eq!(said["result"]["content"][0]["text"], "alice");
    assert_eq!(tokens["scope"], "read write");
    scene.world.advance(3_600_000);
    assert_eq!(scene.call("whoami", &tokens).status, 401);
}

#[test]
fn the_callback_carries_state_and_iss() {
    let scene = Scene::new();
    let url = authorize_url(&scene.issuer, &[]);
    let callback = callback_parameters(&scene.issuer.approve(&url));
    assert_eq!((callback.get("state"), callback.get("iss")), (Some("some-state"), Some(AS)));
    let denied = callback_parameters(&scene.issuer.deny(&url));
    assert_eq!((denied.get("error"), denied.get("code")), (Some("access_denied"), None));
    scene.issuer.behave(|b| b.callback_iss = CallbackIss::Other("https://evil.example".into()));
    assert_eq!(callback_parameters(&scene.issuer.approve(&url)).get("iss"), Some("https://evil.example"));
    scene.issuer.behave(|b| b.callback_iss = CallbackIss::Absent);
    assert_eq!(callback_parameters(&scene.issuer.approve(&url)).get("iss"), None);
    assert_eq!(scene.issuer.authorizations().len(), 4);
}

#[test]
fn unacceptable_authorization_requests_are_refused() {
    let scene = Scene::new();
    for change in [
        ("response_type", "token"),
        ("client_id", "nobody"),
        ("client_id", "https://client.example/c.json"),
        ("redirect_uri", "https://gateway.example/callback/"),
        ("redirect_uri", ""),
        ("code_challenge", ""),
        ("code_challenge", VERIFIER),
        ("code_challenge_method", "plain"),
        ("code_challenge_method", ""),
        ("resource", ""),
        ("resource", "https://mcp.good/mcp#f"),
    ] {
        assert!(
            scene.issuer.authorize("alice", &authorize_url(&scene.issuer, &[change])).is_err(),
            "{change:?}"
        );
    }
    let twice = format!("{}&state=other", authorize_url(&scene.issuer, &[]));
    assert!(scene.issuer.authorize("alice", &twice).is_err());
    assert!(scene.issuer.authorizations().is_empty());
}

#[test]
fn a_code_is_good_once_for_whom_it_was_given() {
    let mut scene = Scene::new();
    scene.issuer.register_static("other", None, AuthMethod::None, &[REDIRECT]);
    for (change, expected) in [
        (("client_id", "other"), "invalid_grant"),
        (("redirect_uri", "https://gateway.example/other"), "invalid_grant"),
        (("code_verifier", "another-verifier-of-forty-three-characters-"), "invalid_grant"),
        (("code_verifier", ""), "invalid_request"),
        (("resource", "https://other.example"), "invalid_target"),
        (("resource", ""), "invalid_target"),
        (("grant_type", "password"), "unsupported_grant_type"),
    ] {
        let code = scene.code(&[]);
        assert_eq!(error(&scene.redeem(&code, &[change])), refused(expected), "{change:?}");
    }
    let code = scene.code(&[]);
    let tokens = scene.redeem(&code, &[]).value();
    assert_eq!(scene.call("whoami", &tokens).status, 200);
    assert_eq!(error(&scene.redeem(&code, &[])), refused("invalid_grant"));
    assert_eq!(scene.call("whoami", &tokens).status, 401);
    assert_eq!(scene.issuer.families_revoked(), 1);
}

#[test]
fn reuse_of_a_refresh_token_is_treated_by_kind() {
    let all_good = (200, 200, 200, 0);
    let family_lost = (400, 401, 400, 1);
    for (rotation, waited_ms, expected) in [
        (Rotation::RevokeOnReuse, 0, family_lost),
        (Rotation::Grace(30_000), 29_999, all_good),
        (Rotation::Grace(30_000), 30_000, family_lost),
        (Rotation::Never, 0, all_good),
        (Rotation::WithoutRevocation, 0, (400, 200, 200, 0)),
    ] {
        let mut scene = Scene::new();
        scene.issuer.behave(|b| b.rotation = rotation);
        let first = scene.connect();
        let second = scene.refresh(&first).value();
        assert_eq!(second["refresh_token"].is_null(), rotation == Rotation::Never);
        scene.world.advance(waited_ms);
        let again = scene.refresh(&first).status;
        let use_of_second = scene.call("whoami", &second).status;
        let newest = if rotation == Rotation::Never { &first } else { &second };
        let next = scene.refresh(newest).status;
        assert_eq!((again, use_of_second, next, scene.issuer.families_revoked()), expected, "{rotation:?}");
        let posts = scene.issuer.posts_per_refresh_token();
        let expected = if rotation == Rotation::Never { 3 } else { 2 };
        assert_eq!(posts[first["refresh_token"].as_str().unwrap()], expected);
    }
}

#[test]
fn a_refresh_may_narrow_scopes_and_never_widen_them() {
    let mut scene = Scene::new();
    scene.issuer.behave(|b| b.grantable_scopes = Some(vec!["read".into()]));
    let tokens = scene.connect();
    assert_eq!(tokens["scope"], "read");
    let token = tokens["refresh_token"].as_str().unwrap().to_owned();
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("client_id", "ours"),
        ("resource", MCP),
        ("scope", "read write"),
    ];
    assert_eq!(error(&scene.post(Endpoint::Token, &form)), refused("invalid_scope"));
    form[4].1 = "read";
    assert_eq!(scene.post(Endpoint::Token, &form).status, 200);
}

#[test]
fn registered_clients_authenticate_as_registered_and_in_no_other_way() {
    let basic = |id: &str, secret: &str| {
        let encode = |part: &str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
        format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
    };
    let (id, secret) = ("id with:colon", "s%cret+ä");
    let form = [("grant_type", "refresh_token"), ("refresh_token", "unknown")];
    for (method, expected) in [
        (AuthMethod::Basic, [refused("invalid_grant"), unauthorized(), unauthorized()]),
        (AuthMethod::Post, [unauthorized(), refused("invalid_grant"), unauthorized()]),
        (AuthMethod::None, [unauthorized(), unauthorized(), refused("invalid_grant")]),
    ] {
        let mut scene = Scene::new();
        scene.issuer.register_static(id, Some(secret), method, &[REDIRECT]);
        let url = scene.issuer.endpoint(Endpoint::Token);
        let with = |more: &[(&str, &str)]| Request::post_form(&url, &[&form[..], more].concat());
        let requests = [
            with(&[]).header("Authorization", &basic(id, secret)),
            with(&[("client_id", id), ("client_secret", secret)]),
            with(&[("client_id", id)]),
        ];
        assert_eq!(requests.map(|request| error(&scene.world.send(request))), expected, "{method:?}");
        let wrong = with(&[]).header("Authorization", &basic(id, "wrong"));
        assert_eq!(error(&scene.world.send(wrong)), unauthorized());
        let both = with(&[("client_secret", secret)]).header("Authorization", &basic(id, secret));
        assert_eq!(error(&scene.world.send(both)), refused("invalid_request"));
    }
}

fn unauthorized() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

#[test]
fn dynamic_registration_gives_what_it_was_asked_for_where_offered() {
    let mut scene = Scene::new();
    let url = scene.issuer.endpoint(Endpoint::Register);
    let register = |scene: &mut Scene, method: &str| {
        let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method });
        scene.world.send(Request::post_json(&url, &body))
    };
    let public = register(&mut scene, "none").value();
    assert_eq!(
        (&public["token_endpoint_auth_method"], &public["client_secret"]),
        (&json!("none"), &Value::Null)
    );
    let confidential = register(&mut scene, "client_secret_post").value();
    assert!(confidential["client_secret"].is_string() && confidential["client_id"] != public["client_id"]);

    scene.issuer.behave(|b| {
        b.auth_methods = vec![AuthMethod::Basic];
        b.registration_edits.remove("token_endpoint_auth_method");
    });
    let other = register(&mut scene, "none").value();
    assert!(other["client_secret"].is_string() && other["token_endpoint_auth_method"].is_null());
    let bad = scene.world.send(Request::post_json(&url, &json!({ "redirect_uris": [] })));
    assert_eq!(error(&bad), refused("invalid_redirect_uri"));
    assert_eq!(scene.issuer.registrations().len(), 4);

    let id = public["client_id"].as_str().unwrap();
    assert!(scene.issuer.authorize("alice", &authorize_url(&scene.issuer, &[("client_id", id)])).is_ok());
    scene.issuer.forget_clients();
    assert!(scene.issuer.authorize("alice", &authorize_url(&scene.issuer, &[("client_id", id)])).is_err());
    scene.issuer.behave(|b| b.dynamic_registration = false);
    assert_eq!(register(&mut scene, "none").status, 404);
}

#[test]
fn a_client_id_document_must_be_known_and_be_about_its_url() {
    let scene = Scene::new();
    let id = "https://client.example/c.json";
    let url = authorize_url(&scene.issuer, &[("client_id", id)]);
    scene.issuer.publish_client(id, json!({ "client_id": id, "redirect_uris": [REDIRECT] }));
    assert!(scene.issuer.authorize("alice", &url).is_err());
    scene.issuer.behave(|b| b.client_id_documents = true);
    assert!(scene.issuer.authorize("alice", &url).is_ok());
    let stolen = json!({ "client_id": "https://other.example", "redirect_uris": [REDIRECT] });
    scene.issuer.publish_client(id, stolen);
    assert!(scene.issuer.authorize("alice", &url).is_err());
}

#[test]
fn a_loopback_redirect_may_use_any_port() {
    let scene = Scene::new();
    scene.issuer.register_static("native", None, AuthMethod::None, &["http://127.0.0.1/callback"]);
    for (redirect, accepted) in [
        ("http://127.0.0.1:49152/callback", true),
        ("http://127.0.0.1:49152/other", false),
        ("http://localhost:49152/callback", false),
    ] {
        let url = authorize_url(&scene.issuer, &[("client_id", "native"), ("redirect_uri", redirect)]);
        assert_eq!(scene.issuer.authorize("alice", &url).is_ok(), accepted, "{redirect}");
    }
}

#[test]
fn metadata_stand_where_the_standards_put_them() {
    for (issuer, form, path) in [
        (AS, WellKnown::OAuth, "/.well-known/oauth-authorization-server"),
        ("https://as.good/t1", WellKnown::OAuth, "/.well-known/oauth-authorization-server/t1"),
        ("https://as.good/t1", WellKnown::OpenIdInserted, "/.well-known/openid-configuration/t1"),
        ("https://as.good/t1", WellKnown::OpenIdAppended, "/t1/.well-known/openid-configuration"),
    ] {
        let mut world = World::new();
        let server = Issuer::new(issuer);
        server.behave(|b| {
            b.metadata_at = vec![form];
            b.metadata_edits
                .set("token_endpoint", "https://evil.example/token")
                .remove("response_types_supported");
        });
        world.host(AS, server.clone());
        assert_eq!(server.endpoint(Endpoint::Metadata), format!("{AS}{path}"));
        let document = world.send(Request::get(&format!("{AS}{path}"))).value();
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["authorization_endpoint"], format!("{issuer}/authorize"));
        assert_eq!(document["token_endpoint"], "https://evil.example/token");
        assert!(document["response_types_supported"].is_null());
        assert_eq!(document["jwks_uri"].is_null(), form == WellKnown::OAuth);
    }
}

#[test]
fn scripted_answers_come_k_times_and_process_or_not() {
    let mut scene = Scene::new();
    let first = scene.connect();
    scene.issuer.answer_instead(Endpoint::Token, 2, Response::new(503).header("Retry-After", "7"));
    assert_eq!(scene.refresh(&first).one("retry-after"), Some("7"));
    assert_eq!(scene.refresh(&first).status, 503);
    scene.issuer.answer_after_processing(Endpoint::Token, 1, Response::html(200, "<p>hello"));
    assert_eq!(scene.refresh(&first).body, b"<p>hello");
    assert_eq!(error(&scene.refresh(&first)), refused("invalid_grant"));
    assert_eq!(scene.issuer.families_revoked(), 1);
    assert_eq!(scene.issuer.posts_per_refresh_token()[first["refresh_token"].as_str().unwrap()], 4);
}

#[test]
fn token_responses_come_in_the_forms_that_old_servers_use() {
    let mut scene = Scene::new();
    scene.issuer.behave(|b| {
        b.token_body = BodyForm::Form;
        b.token_edits.set("expires_in", "abc").remove("scope");
    });
    let code = scene.code(&[]);
    let response = scene.redeem(&code, &[]);
    let form = Parameters::parse(&response.body).unwrap();
    assert_eq!((form.get("expires_in"), form.get("scope")), (Some("abc"), None));
    assert!(form.need("access_token").is_ok());
    scene.issuer.behave(|b| b.token_body = BodyForm::JsonErrorsIn200);
    assert_eq!(error(&scene.redeem("unknown-code", &[])), (200, "invalid_grant".to_owned()));
    scene.issuer.behave(|b| b.token_delay_ms = 1_500);
    let before = scene.world.elapsed_ms();
    scene.redeem("unknown-code", &[]);
    assert_eq!(scene.world.elapsed_ms() - before, 1_500);
}

#[test]
fn an_id_token_tells_the_user_apart() {
    let mut scene = Scene::new();
    scene.issuer.behave(|b| b.id_tokens = true);
    let claims = |tokens: &Value| -> Value {
        let part = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let first = claims(&scene.connect());
    assert_eq!(
        (&first["iss"], &first["aud"], &first["sub"]),
        (&json!(AS), &json!("ours"), &json!("sub-of-alice"))
    );
    scene.issuer.behave(|b| {
        b.id_token_edits.set("sub", "somebody");
    });
    assert_eq!(claims(&scene.connect())["sub"], "somebody");
}

#[test]
fn revoking_a_refresh_token_ends_its_family_for_its_own_client_only() {
    let mut scene = Scene::new();
    scene.issuer.register_static("other", None, AuthMethod::None, &[REDIRECT]);
    let tokens = scene.connect();
    let token = tokens["refresh_token"].as_str().unwrap();
    let by_other = scene.post(Endpoint::Revoke, &[("token", token), ("client_id", "other")]);
    assert_eq!(error(&by_other), refused("invalid_grant"));
    assert_eq!(scene.call("whoami", &tokens).status, 200);
    assert_eq!(scene.post(Endpoint::Revoke, &[("token", token), ("client_id", "ours")]).status, 200);
    assert_eq!(scene.call("whoami", &tokens).status, 401);
    assert_eq!(scene.post(Endpoint::Revoke, &[("token", "unknown"), ("client_id", "ours")]).status, 200);
    assert_eq!(scene.issuer.revocations(), [token, "unknown"]);
    assert_eq!(scene.issuer.families_revoked(), 0);
    assert!(scene.issuer.live_refresh_tokens().is_empty());
    assert!(scene.issuer.live_access_tokens(scene.world.now()).is_empty());
}

#[test]
fn the_server_side_may_end_tokens_and_grants() {
    let mut scene = Scene::new();
    let tokens = scene.connect();
    scene.issuer.end_access_tokens();
    assert_eq!(scene.call("whoami", &tokens).status, 401);
    let tokens = scene.refresh(&tokens).value();
    assert_eq!(scene.call("whoami", &tokens).status, 200);
    scene.issuer.end_grants_of("alice");
    assert_eq!(error(&scene.refresh(&tokens)), refused("invalid_grant"));
}

#[test]
fn a_challenge_names_the_metadata_and_they_name_the_issuer() {
    let mut scene = Scene::new();
    scene.mcp.behave(|b| {
        b.challenged_scope = Some("read".into());
        b.scopes_supported = Some(vec!["read".into(), "write".into()]);
    });
    let challenge = scene.world.send(Request::get(MCP));
    assert_eq!(challenge.status, 401);
    let metadata_url = "https://mcp.good/.well-known/oauth-protected-resource/mcp";
    let expected = format!("Bearer scope=\"read\", resource_metadata=\"{metadata_url}\"");
    assert_eq!(challenge.one("www-authenticate"), Some(expected.as_str()));
    let document = scene.world.send(Request::get(metadata_url)).value();
    assert_eq!(
        document,
        json!({
            "resource": MCP,
            "authorization_servers": [AS],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["read", "write"],
        })
    );
}

#[test]
fn metadata_and_challenges_can_be_elsewhere_or_nowhere() {
    let mut scene = Scene::new();
    let root = "https://mcp.good/.well-known/oauth-protected-resource";
    scene.mcp.behave(|b| {
        b.metadata_at = vec![MetadataPlace::Root, MetadataPlace::At("/custom.json".into())];
        b.metadata_edits.set("resource", "https://evil.example/mcp");
        b.challenged_metadata = None;
    });
    assert_eq!(scene.world.send(Request::get(&format!("{root}/mcp"))).status, 404);
    for url in [root, "https://mcp.good/custom.json"] {
        assert_eq!(scene.world.send(Request::get(url)).value()["resource"], "https://evil.example/mcp");
    }
    assert_eq!(scene.world.send(Request::get(MCP)).one("www-authenticate"), Some("Bearer"));
    scene.mcp.behave(|b| b.challenged_metadata = Some(MetadataPlace::At("https://evil.example/prm".into())));
    let challenge = scene.world.send(Request::get(MCP));
    let expected = "Bearer resource_metadata=\"https://evil.example/prm\"";
    assert_eq!(challenge.one("www-authenticate"), Some(expected));
    scene.mcp.behave(|b| b.www_authenticate = Some(vec!["Basic".into(), "Bearer x=\"".into()]));
    assert_eq!(scene.world.send(Request::get(MCP)).headers.len(), 2);
}

#[test]
fn a_resource_is_named_as_it_was_given() {
    let mut world = World::new();
    let mcp = McpServer::new("https://mcp.good", &Issuer::new(AS));
    world.host("https://mcp.good", mcp.clone());
    let document = world.send(Request::get("https://mcp.good/.well-known/oauth-protected-resource")).value();
    assert_eq!(document["resource"], "https://mcp.good");
    assert_eq!(world.send(Request::get("https://mcp.good")).status, 401);
}

#[test]
fn no_two_servers_give_the_same_values() {
    let code = |issuer: Issuer| {
        issuer.register_static("ours", None, AuthMethod::None, &[REDIRECT]);
        let callback = issuer.approve(&authorize_url(&issuer, &[]));
        callback_parameters(&callback).need("code").unwrap().to_owned()
    };
    let [a, b, c] = [Issuer::new(AS), Issuer::new("https://as.other"), Issuer::salted(AS, "2")].map(code);
    assert!(a != b && b != c && a != c);
}

#[test]
fn a_token_for_another_audience_is_refused() {
    let mut scene = Scene::new();
    let code = scene.code(&[("resource", "https://other.example/mcp")]);
    let tokens = scene.redeem(&code, &[("resource", "https://other.example/mcp")]).value();
    let answer = scene.call("whoami", &tokens);
    assert_eq!(answer.status, 401);
    assert!(answer.one("www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));
    scene.mcp.behave(|b| b.audience = None);
    assert_eq!(scene.call("whoami", &tokens).status, 200);
}

#[test]
fn a_tool_may_want_more_scopes() {
    let mut scene = Scene::new();
    scene.mcp.behave(|b| {
        b.tool_scopes.insert("erase".into(), vec!["admin".into()]);
        b.tool_scopes.insert("store".into(), vec!["write".into()]);
    });
    let tokens = scene.connect();
    let refused = scene.call("erase", &tokens);
    assert_eq!(refused.status, 403);
    let challenge = refused.one("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\"admin\""), "{challenge}");
    assert_eq!(scene.call("store", &tokens).value()["result"]["content"][0]["text"], "alice");
    assert_eq!(scene.call("unknown", &tokens).value()["error"]["code"], -32602);
}

#[test]
fn the_mcp_server_speaks_both_wires() {
    let mut scene = Scene::new();
    let token = scene.connect()["access_token"].as_str().unwrap().to_owned();
    let mut send = |method: &str, params: Value| {
        let request = Request::post_json(MCP, &rpc(method, params));
        scene.world.send(request.header("Authorization", &format!("Bearer {token}")))
    };
    let initialized = send("initialize", json!({ "protocolVersion": "2025-11-25" })).value();
    assert_eq!(initialized["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(send("notifications/initialized", json!({})).status, 202);
    assert_eq!(send("server/discover", json!({})).status, 200);
    assert_eq!(send("tools/list", json!({})).value()["result"]["tools"][0]["name"], "whoami");
    assert_eq!(send("unknown", json!({})).status, 404);
}

#[test]
fn methods_may_be_open_and_single_answers_scripted() {
    let mut scene = Scene::new();
    scene.mcp.behave(|b| b.open_methods = vec!["tools/list".into()]);
    let list = || Request::post_json(MCP, &rpc("tools/list", json!({})));
    assert_eq!(scene.world.send(list()).status, 200);
    scene.mcp.answer_instead(1, Response::new(401));
    assert_eq!(scene.world.send(list()).status, 401);
    assert_eq!(scene.world.send(list()).status, 200);
}
