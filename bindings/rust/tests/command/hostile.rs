//! Issuers, servers, pages and programs that mean no good.

use grantway_testing::{CallbackIss, Response};
use serde_json::{Value, json};

use crate::stand::{Stand, come_back, exchange, get};

/// The state in an authorization URL.
fn state(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned()
}

// atk:CSR-01
// atk:CSR-08
#[test]
fn a_forged_callback_neither_connects_nor_ends_the_wait() {
    let stand = Stand::new();
    let arguments = [&stand.mcp.url(), "--allow-loopback"];
    let mut connecting = stand.begin("alice", &arguments);
    let (redirect_uri, genuine) = (connecting.redirect_uri(), stand.issuer.approve(connecting.url()));

    // The attacker's own flow at the same issuer, begun on the same machine.
    let attackers = stand.begin("mallory", &arguments);
    let foreign = stand.issuer.approve_as("mallory", attackers.url());
    let foreign_query = foreign.split_once('?').unwrap().1;
    for forged in [
        format!("{redirect_uri}?{foreign_query}"),
        format!("{redirect_uri}?code=stolen&state=guessed"),
        format!("{redirect_uri}?error=access_denied&state={}", &state(connecting.url())[1..]),
        format!("{redirect_uri}?state={0}&state={0}", state(connecting.url())),
        redirect_uri.clone(),
    ] {
        let answer = get(&forged);
        assert_eq!((answer.status, answer.one("location")), (303, Some("/ignored")), "{forged}");
        assert!(connecting.is_waiting(), "{forged}");
    }
    // Not from a page whose name was made to lead here, not by a form, not elsewhere.
    let authority = redirect_uri.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(exchange("GET", &genuine, "evil.example").status, 421);
    assert_eq!(exchange("POST", &genuine, &authority).status, 405);
    assert_eq!(get(&genuine.replace("/callback", "/other")).status, 404);
    assert!(connecting.is_waiting());

    assert_eq!(come_back(&genuine).one("location"), Some("/connected"));
    assert_eq!(connecting.end().code, 0);
    assert_eq!(stand.json("alice", &["call", "whoami"]).1["result"]["content"][0]["text"], "alice");
}

// atk:MIX-01
#[test]
fn a_callback_in_another_issuers_name_ends_without_a_connection() {
    let stand = Stand::new();
    stand.issuer.behave(|issuer| issuer.callback_iss = CallbackIss::Other("https://evil.example".into()));
    let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
    assert_eq!(come_back(&stand.issuer.approve(connecting.url())).one("location"), Some("/not-connected"));
    let ended = connecting.end();
    let error = &ended.json()["error"];
    assert_eq!((ended.code, &error["slug"]), (1, &json!("peer_misbehaved.callback_issuer_mismatch")));
    assert_eq!(error["fault"], "peer");
    assert_eq!(stand.json("alice", &["call", "whoami"]).0, 3);
}

#[test]
fn who_declines_is_told_what_to_do_next() {
    let stand = Stand::new();
    let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
    assert_eq!(come_back(&stand.issuer.deny(connecting.url())).one("location"), Some("/not-connected"));
    let ended = connecting.end();
    let error = &ended.json()["error"];
    assert_eq!((ended.code, &error["slug"]), (3, &json!("user.access_denied")));
    assert_eq!(error["next"], "run `grantway --as alice connect local` again and approve");
}

// atk:URL-01
// atk:URL-03
#[test]
fn a_hostile_authorization_endpoint_reaches_the_browser_encoded_and_as_one_argument() {
    let stand = Stand::new();
    let begin = |endpoint: String| {
        stand.issuer.behave(|issuer| {
            issuer.metadata_edits.clear();
            issuer.metadata_edits.set("authorization_endpoint", endpoint);
        });
        stand.try_begin("alice", &[&stand.mcp.url(), "--allow-loopback"])
    };
    let issuer = stand.issuer.url();
    let inert = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%@+".contains(&byte);
    for payload in ["$(touch${IFS}x)", "'*(x);!|,", "`id`", "a&calc", "%2dx", "\"--help\"", "^x"] {
        match begin(format!("{issuer}/{payload}/authorize?x={payload}")) {
            Ok(connecting) => {
                let [url] = connecting.arguments.as_slice() else { panic!("{:?}", connecting.arguments) };
                assert!(url.starts_with(&issuer) && url.bytes().all(inert), "{url}");
            }
            Err(ended) => {
                assert_eq!(ended.json()["error"]["slug"], "peer_misbehaved.url_refused", "{payload}")
            }
        }
    }
    let opened = begin(format!("{issuer}/$(id)/authorize"));
    assert!(opened.is_ok_and(|connecting| connecting.url().contains("/%24%28id%29/")));
}

// atk:URL-02
// atk:URL-03
// atk:URL-04
#[test]
fn an_authorization_endpoint_that_is_no_web_page_opens_nothing() {
    let stand = Stand::new();
    for endpoint in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ms-msdt:/id",
        "--upload-pack=evil",
        "-oProxyCommand=evil",
        "http://as.example/authorize",
        "http://user:pass@127.0.0.1/authorize",
    ] {
        stand.issuer.behave(|issuer| {
            issuer.metadata_edits.clear();
            issuer.metadata_edits.set("authorization_endpoint", endpoint);
        });
        let begun = stand.try_begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
        let Err(ended) = begun else { panic!("`{endpoint}` was opened") };
        assert_eq!(ended.code, 1, "{endpoint}: {ended:?}");
        let slug = ended.json()["error"]["slug"].as_str().unwrap().to_owned();
        assert!(slug.starts_with("peer_misbehaved."), "{endpoint}: {slug}");
    }
}

const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[2Jfree\u{9b}31m\u{202e}txt\u{e0041}\u{7f}";

fn is_harmless(text: &str) -> bool {
    let harmful = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{e0041}".contains(c);
    text.contains("free") && !text.contains(harmful)
}

#[test]
fn nothing_a_server_says_moves_the_terminal() {
    let stand = Stand::new();
    stand.connect("alice");
    let script = |member: &str, value: Value| {
        stand.mcp.answer_instead(
            1,
            Response::json(200, &json!({ "id": 1, "result": { "protocolVersion": "2025-11-25" } })),
        );
        stand.mcp.answer_instead(1, Response::new(202));
        stand.mcp.answer_instead(1, Response::json(200, &json!({ "id": 2, member: value })));
    };
    let tools = json!({ "tools": [{ "name": HOSTILE, "description": HOSTILE }] });
    let content = json!({ "content": [{ "type": "text", "text": HOSTILE }, { "type": HOSTILE }] });
    let error = json!({ "code": -32000, "message": HOSTILE });
    for json in [&[][..], &["--json"]] {
        script("result", tools.clone());
        let listed = stand.run("alice", &[json, &["tools"]].concat());
        assert!(is_harmless(&listed.out), "{listed:?}");
        script("result", content.clone());
        let called = stand.run("alice", &[json, &["call", "whoami"]].concat());
        assert!(is_harmless(&called.out), "{called:?}");
        script("error", error.clone());
        let refused = stand.run("alice", &[json, &["call", "whoami"]].concat());
        assert!(is_harmless(&format!("{}{}", refused.out, refused.err)), "{refused:?}");
    }
}

// atk:NET-06
#[test]
fn a_server_that_redirects_a_call_does_not_lead_the_token_away() {
    let stand = Stand::new();
    stand.connect("alice");
    let elsewhere = Stand::new();
    stand.mcp.answer_instead(1, Response::redirect(307, &elsewhere.mcp.url()));
    let (code, said) = stand.json("alice", &["call", "whoami"]);
    assert_eq!((code, &said["error"]["slug"]), (1, &json!("mcp.status")));
    assert!(elsewhere.messages().is_empty());
}

#[test]
fn a_server_that_answers_nonsense_is_said_to() {
    let stand = Stand::new();
    stand.connect("alice");
    for (body, slug) in
        [("", "mcp.unreadable"), ("[]", "mcp.unreadable"), (r#"{"id":1,"result":7}"#, "mcp.unreadable")]
    {
        let answer = Response::new(200).header("Content-Type", "application/json").body(body);
        stand.mcp.answer_instead(9, answer);
        let (code, said) = stand.json("alice", &["tools"]);
        assert_eq!((code, &said["error"]["slug"]), (1, &json!(slug)), "{said}");
        // The scripted answers that were not asked for.
        while stand.run("alice", &["tools"]).code != 0 {}
    }
}
