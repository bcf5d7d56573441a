//! `connect`, when everybody means well.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;

use grantway_testing::AuthMethod;
use serde_json::json;

use crate::stand::{Pasting, Stand, come_back, get, try_exchange};

#[test]
fn two_people_connect_and_each_calls_as_themselves() {
    let stand = Stand::new();
    for user in ["alice", "bob"] {
        let connected = stand.connect(user);
        assert_eq!((&connected["server"], &connected["user"]), (&json!("local"), &json!(user)));
        assert_eq!(connected["url"], stand.mcp.url());
    }
    for user in ["alice", "bob"] {
        let (code, called) = stand.json(user, &["call", "whoami"]);
        assert_eq!((code, &called["result"]["content"][0]["text"]), (0, &json!(user)));
    }
    // One client for all who come back to the same port, the usual one if no other test has it.
    let asked = stand.issuer.authorizations();
    let of_each =
        |name: &str| asked.iter().map(|asked| asked.get(name).unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(stand.issuer.registrations().len(), of_each("redirect_uri").len());
    assert_eq!(of_each("state").len(), 2);
}

// AZQ-12
// atk:CSR-10
#[test]
fn the_browser_ends_on_a_plain_page_without_the_code() {
    let stand = Stand::new();
    let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
    let redirect_uri = connecting.redirect_uri();
    assert!(redirect_uri.starts_with("http://127.0.0.1:") && redirect_uri.ends_with("/callback"));

    let callback = get(&stand.issuer.approve(connecting.url()));
    assert_eq!((callback.status, callback.one("location")), (303, Some("/connected")));
    let page_url = redirect_uri.replace("/callback", "/connected");
    let page = get(&page_url);
    assert_eq!((page.status, page.one("content-type")), (200, Some("text/html; charset=utf-8")));
    for response in [&callback, &page] {
        assert_eq!(response.one("referrer-policy"), Some("no-referrer"));
        assert_eq!(response.one("cache-control"), Some("no-store"));
        let policy = response.one("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
    }
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.contains("Connected") && !text.contains("<script") && !text.contains("http"), "{text}");

    assert_eq!(connecting.end().code, 0);
    // The port is closed with the flow.
    assert!(try_exchange("GET", &page_url, "127.0.0.1").is_err());
}

#[test]
fn without_a_browser_the_url_is_printed_and_the_callback_pasted() {
    let stand = Stand::new();
    let arguments = ["--json", "connect", &stand.mcp.url(), "--allow-loopback", "--no-browser"];
    let mut pasting = Pasting::begin(stand.command("alice", &arguments));
    let open: serde_json::Value = serde_json::from_str(&pasting.line()).unwrap();
    let callback = stand.issuer.approve(open["open"].as_str().unwrap());
    // What is no answer to this flow is passed over.
    for text in ["", "hello", "http://127.0.0.1:1/callback", "http://127.0.0.1:1/callback?code=a&state=b"] {
        pasting.paste(text);
    }
    pasting.paste(&format!("  {callback}  "));
    let connected: serde_json::Value = serde_json::from_str(&pasting.line()).unwrap();
    assert_eq!((&connected["server"], pasting.end()), (&json!("local"), 0));
}

#[test]
fn a_browser_that_cannot_be_started_is_no_obstacle() {
    let stand = Stand::new();
    let mut command = stand.command("alice", &["--json", "connect", &stand.mcp.url(), "--allow-loopback"]);
    command.env("BROWSER", "/nowhere/browser");
    let mut pasting = Pasting::begin(command);
    let open: serde_json::Value = serde_json::from_str(&pasting.line()).unwrap();
    assert_eq!(come_back(&stand.issuer.approve(open["open"].as_str().unwrap())).status, 303);
    assert!(pasting.line().contains("\"server\":\"local\""));
    assert_eq!(pasting.end(), 0);
}

#[test]
fn a_client_registered_by_hand_is_used_with_its_secret_and_its_redirect_uri() {
    let stand = Stand::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let redirect_uri = format!("http://127.0.0.1:{}/back", port.local_addr().unwrap().port());
    stand.issuer.behave(|issuer| issuer.dynamic_registration = false);
    stand.issuer.register_static("ours", Some("a secret"), AuthMethod::Basic, &[&redirect_uri]);
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(&secret, "a secret\n").unwrap();
    let reference = format!("file:{}", secret.path().display());
    let url = stand.mcp.url();
    let arguments = [
        &url,
        "--allow-loopback",
        "--client-id",
        "ours",
        "--client-secret",
        &reference,
        "--redirect-uri",
        &redirect_uri,
    ];
    // That port and no other will do.
    let (code, said) = stand.json("alice", &[&["connect"], &arguments[..]].concat());
    assert_eq!((code, &said["error"]["slug"]), (4, &json!("command.port_taken")), "{said}");
    drop(port);
    let connecting = stand.begin("alice", &arguments);
    assert_eq!(connecting.redirect_uri(), redirect_uri);
    assert_eq!(come_back(&stand.issuer.approve(connecting.url())).status, 303);
    assert_eq!(connecting.end().code, 0);
    assert_eq!(stand.json("alice", &["call", "whoami"]).0, 0);
}

#[test]
fn a_name_is_made_from_the_url_or_given_and_used_from_then_on() {
    let stand = Stand::new();
    let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback", "--name", "notes"]);
    assert_eq!(come_back(&stand.issuer.approve(connecting.url())).status, 303);
    assert_eq!(connecting.end().json()["server"], "notes");
    // Known: no option has to be said again, and no second name is given.
    let connecting = stand.begin("bob", &["notes"]);
    assert_eq!(come_back(&stand.issuer.approve_as("bob", connecting.url())).status, 303);
    assert_eq!(connecting.end().json()["server"], "notes");
    let (code, said) = stand.json("alice", &["connect", &stand.mcp.url(), "--name", "other"]);
    assert_eq!((code, &said["error"]["slug"]), (2, &json!("command.usage")));
    let (_, list) = stand.json("alice", &["list"]);
    assert_eq!(list["servers"].as_array().unwrap().len(), 1);
}

#[test]
fn scopes_are_asked_for_as_said() {
    let stand = Stand::new();
    let connecting =
        stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback", "--scopes", "files:read files:write"]);
    assert_eq!(come_back(&stand.issuer.approve(connecting.url())).status, 303);
    assert_eq!(connecting.end().json()["scopes"], json!(["files:read", "files:write"]));
}

#[test]
fn another_account_is_taken_only_if_said_so() {
    let stand = Stand::new();
    stand.issuer.behave(|issuer| issuer.id_tokens = true);
    assert_eq!(stand.connect("alice")["account"], "alice@example.com");

    let sign_in_as_carol = |arguments: &[&str]| {
        let connecting = stand.begin("alice", arguments);
        assert_eq!(come_back(&stand.issuer.approve_as("carol", connecting.url())).status, 303);
        connecting.end()
    };
    let refused = sign_in_as_carol(&["local"]);
    assert_eq!((refused.code, &refused.json()["error"]["slug"]), (3, &json!("command.other_account")));
    let whoami = || stand.json("alice", &["call", "whoami"]).1["result"]["content"][0]["text"].clone();
    assert_eq!(whoami(), "alice");
    assert_eq!(sign_in_as_carol(&["local", "--take-account"]).code, 0);
    assert_eq!(whoami(), "carol");
}
