//! `tools`, `call`, `token`, `status`, `list`.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use grantway_testing::Response;
use serde_json::{Value, json};

use crate::stand::{Stand, come_back};

/// The token in a request.
fn bearer(request: &grantway_testing::Request) -> String {
    request.one("authorization").unwrap_or_default().to_owned()
}

#[test]
fn tools_are_listed_and_called() {
    let stand = Stand::new();
    stand.connect("alice");
    stand.messages();
    let (code, listed) = stand.json("alice", &["tools"]);
    assert_eq!((code, &listed["tools"][0]["name"]), (0, &json!("whoami")));
    let methods: Vec<_> = stand
        .messages()
        .iter()
        .map(|message| message.json()["method"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "tools/list"]);
    assert_eq!(stand.run("alice", &["tools", "local"]).out, "whoami\n");
    assert_eq!(stand.run("alice", &["call", "whoami", "{}", "--server", "local"]).out, "alice\n");
    let (code, said) = stand.json("alice", &["call", "nothing"]);
    assert_eq!((code, &said["error"]["slug"]), (1, &json!("mcp.error")));
}

#[test]
fn arguments_come_from_the_command_line_or_from_standard_input() {
    let stand = Stand::new();
    stand.connect("alice");
    stand.messages();
    let sent = || stand.messages().last().unwrap().json()["params"]["arguments"].clone();
    stand.run("alice", &["call", "whoami"]);
    assert_eq!(sent(), json!({}));
    stand.run("alice", &["call", "whoami", r#"{"a": [1]}"#]);
    assert_eq!(sent(), json!({ "a": [1] }));
    let mut child = stand.command("alice", &["call", "whoami", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"b\": 2}").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(sent(), json!({ "b": 2 }));
    let (code, said) = stand.json("alice", &["call", "whoami", "[1]"]);
    assert_eq!((code, &said["error"]["slug"]), (2, &json!("command.usage")));
}

#[test]
fn a_tool_that_reports_an_error_ends_with_1_and_says_what_it_said() {
    let stand = Stand::new();
    stand.connect("alice");
    let answers = [
        json!({ "id": 1, "result": { "protocolVersion": "2025-11-25" } }),
        Value::Null,
        json!({ "id": 2, "result": { "isError": true, "content": [{ "type": "text", "text": "no such page" }] } }),
    ];
    answers.iter().for_each(|answer| stand.mcp.answer_instead(1, Response::json(200, answer)));
    let (code, called) = stand.json("alice", &["call", "whoami"]);
    assert_eq!((code, &called["result"]["isError"]), (1, &json!(true)));
}

#[test]
fn a_session_and_a_stream_are_understood() {
    let stand = Stand::new();
    stand.connect("alice");
    let initialized = json!({ "id": 1, "result": { "protocolVersion": "2025-06-18" } });
    stand.mcp.answer_instead(1, Response::json(200, &initialized).header("Mcp-Session-Id", "s-1"));
    stand.mcp.answer_instead(1, Response::new(202));
    let stream = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n\
        event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"tools\":[{\"name\":\"streamed\"}]}}\n\n";
    stand.mcp.answer_instead(1, Response::new(200).header("Content-Type", "text/event-stream").body(stream));
    stand.messages();
    assert_eq!(stand.run("alice", &["tools"]).out, "streamed\n");
    let messages = stand.messages();
    assert_eq!(messages[0].one("mcp-session-id"), None);
    for message in &messages[1..] {
        assert_eq!(message.one("mcp-session-id"), Some("s-1"));
        assert_eq!(message.one("mcp-protocol-version"), Some("2025-06-18"));
    }
}

#[test]
fn a_server_of_the_wire_without_sessions_is_understood() {
    let stand = Stand::new();
    stand.connect("alice");
    let unknown =
        json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32601, "message": "no such method" } });
    for status in [404, 200] {
        stand.mcp.answer_instead(1, Response::json(status, &unknown));
        stand.messages();
        assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
        let messages = stand.messages();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[1].one("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(
            (messages[1].one("mcp-method"), messages[1].one("mcp-name")),
            (Some("tools/call"), Some("whoami"))
        );
        let meta = &messages[1].json()["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert!(meta["io.modelcontextprotocol/clientCapabilities"].is_object());
    }
}

#[test]
fn a_token_that_has_ended_is_refreshed_by_the_next_call() {
    let stand = Stand::new();
    stand.issuer.behave(|issuer| issuer.access_token_ms = 2_000);
    stand.connect("alice");
    assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
    let first = bearer(stand.messages().last().unwrap());
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
    let messages = stand.messages();
    assert_ne!(bearer(messages.last().unwrap()), first);
    assert!(messages.iter().all(|message| bearer(message) != first));
    assert_eq!(stand.issuer.families_revoked(), 0);
}

#[test]
fn a_token_is_shown_only_when_asked_for() {
    let stand = Stand::new();
    stand.connect("alice");
    let secrets =
        [stand.issuer.live_access_tokens(grantway_testing::serve::now()), stand.issuer.live_refresh_tokens()];
    let [access, _] = &secrets;
    let hidden = |text: &str| secrets.iter().flatten().all(|secret| !text.contains(secret.as_str()));
    for arguments in [&["token"][..], &["--json", "token"], &["status"], &["--json", "status"], &["list"]] {
        let ended = stand.run("alice", arguments);
        assert_eq!(ended.code, 0);
        assert!(hidden(&ended.out) && hidden(&ended.err), "{arguments:?}");
    }
    let (_, shown) = stand.json("alice", &["token", "--show"]);
    assert_eq!(shown["headers"]["Authorization"], format!("Bearer {}", access[0]));
    assert!(
        stand
            .run("alice", &["token", "--show"])
            .out
            .ends_with(&format!("Authorization: Bearer {}\n", access[0]))
    );
}

#[test]
fn without_a_connection_a_person_is_needed_and_told_what_to_run() {
    let stand = Stand::new();
    stand.connect("alice");
    for arguments in [&["tools"][..], &["call", "whoami"], &["token"]] {
        let (code, said) = stand.json("bob", arguments);
        let error = &said["error"];
        assert_eq!((code, &error["slug"]), (3, &json!("user.authorization_needed")));
        assert_eq!((&error["reason"], &error["retry"]), (&json!("connect"), &json!("after_action")));
        assert_eq!(error["next"], "run `grantway --as bob connect local`");
    }
}

#[test]
fn a_call_that_needs_more_scopes_leads_to_a_consent_for_all_of_them() {
    let stand = Stand::new();
    stand.mcp.behave(|mcp| {
        mcp.scopes_supported = Some(vec!["read".into()]);
        mcp.tool_scopes.insert("write".into(), vec!["write".into()]);
    });
    stand.connect("alice");
    let (code, said) = stand.json("alice", &["call", "write"]);
    assert_eq!((code, &said["error"]["reason"]), (3, &json!("step_up")));
    let (_, status) = stand.json("alice", &["status"]);
    assert_eq!(
        status["servers"][0]["status"]["per_user_auth"]["state"],
        json!({ "needs_scope": { "missing": ["write"] } })
    );
    let next = said["error"]["next"].as_str().unwrap();
    let because =
        next.strip_prefix("run `grantway --as alice connect local --because ").unwrap().trim_end_matches('`');
    let connecting = stand.begin("alice", &["local", "--because", because]);
    assert_eq!(come_back(&stand.issuer.approve(connecting.url())).status, 303);
    assert_eq!(connecting.end().json()["scopes"], json!(["read", "write"]));
    assert_eq!(stand.run("alice", &["call", "write"]).out, "alice\n");
}

#[test]
fn status_and_list_say_where_each_person_stands() {
    let stand = Stand::new();
    stand.connect("alice");
    let (_, status) = stand.json("alice", &["status"]);
    assert_eq!(status["servers"][0]["status"]["per_user_auth"]["status"], "connected");
    let (_, list) = stand.json("alice", &["list"]);
    assert_eq!(
        list["servers"][0],
        json!({
            "server": "local", "url": stand.mcp.url(), "status": "connected", "state": "connected", "account": null,
        })
    );
    let (_, list) = stand.json("bob", &["list"]);
    assert_eq!(list["servers"][0]["status"], "disconnected");
    let status = stand.run("alice", &["status", "local"]).out;
    assert!(status.contains("state: connected") && status.contains("token ends: in "), "{status}");
}

#[test]
fn several_servers_are_told_apart_by_name_or_url() {
    let (stand, second) = (Stand::new(), Stand::new());
    stand.connect("alice");
    let connecting = stand.begin("alice", &[&second.mcp.url(), "--allow-loopback"]);
    assert_eq!(come_back(&second.issuer.approve(connecting.url())).status, 303);
    assert_eq!(connecting.end().json()["server"], "local-2");
    let (code, said) = stand.json("alice", &["tools"]);
    assert_eq!((code, &said["error"]["next"]), (2, &json!("name one of: local, local-2")));
    stand.messages();
    second.messages();
    assert_eq!(stand.run("alice", &["call", "whoami", "--server", "local-2"]).code, 0);
    assert_eq!(stand.run("alice", &["call", "whoami", "--server", &second.mcp.url()]).code, 0);
    assert!(stand.messages().is_empty() && second.messages().len() == 6);
}

#[test]
fn a_server_that_cannot_be_reached_is_the_networks_fault() {
    let mut stand = Stand::new();
    stand.connect("alice");
    stand.unplug();
    let (code, said) = stand.json("alice", &["tools"]);
    assert_eq!((code, &said["error"]["slug"]), (1, &json!("network.server_unavailable")));
}

#[test]
fn errors_for_people_name_the_next_step() {
    let stand = Stand::new();
    let ended = stand.run("alice", &["tools"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert_eq!(
        ended.err,
        "grantway: no server is known yet (command.usage)\n  next: run `grantway --as alice connect URL`\n"
    );
}
