//! Disconnecting, and being stopped halfway.

use std::process::Command;
use std::time::{Duration, Instant};

use grantway_testing::serve::now;
use serde_json::json;

use crate::stand::{Stand, try_exchange};

#[test]
fn disconnecting_revokes_the_tokens_at_the_issuer_and_nobody_elses() {
    let stand = Stand::new();
    stand.connect("alice");
    let of_alice = stand.issuer.live_refresh_tokens();
    stand.connect("bob");
    let (code, ended) = stand.json("alice", &["disconnect", "local"]);
    assert_eq!((code, &ended["was_connected"], &ended["revocation"]), (0, &json!(true), &json!("complete")));
    assert!(stand.issuer.revocations().contains(&of_alice[0]));
    assert_eq!(stand.issuer.live_refresh_tokens().len(), 1);
    assert_eq!(stand.issuer.live_access_tokens(now()).len(), 1);
    assert_eq!(stand.json("alice", &["call", "whoami"]).0, 3);
    assert_eq!(stand.run("bob", &["call", "whoami"]).out, "bob\n");

    let (code, again) = stand.json("alice", &["disconnect", "local"]);
    assert_eq!((code, &again["was_connected"], &again["revocation"]), (0, &json!(false), &json!("nothing")));
}

#[test]
fn what_cannot_be_revoked_now_is_said_and_the_connection_is_gone_all_the_same() {
    let mut stand = Stand::new();
    stand.connect("alice");
    stand.unplug();
    let (code, ended) = stand.json("alice", &["disconnect", "local"]);
    assert_eq!((code, &ended["revocation"]), (1, &json!("pending")));
    let (_, status) = stand.json("alice", &["status"]);
    assert_eq!(status["servers"][0]["status"]["per_user_auth"]["status"], "disconnected");
    assert!(status["servers"][0]["status"]["connections"][0]["unrevoked"].as_u64().unwrap() > 0);
    assert!(stand.run("alice", &["status"]).out.contains("next: grantway --as alice disconnect local"));
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn who_is_stopped_while_waiting_leaves_nothing_but_a_flow_that_ends_by_itself() {
    for name in ["-INT", "-TERM", "-KILL"] {
        let stand = Stand::new();
        let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
        let callback = stand.issuer.approve(connecting.url());
        signal(name, connecting.pid());
        assert_ne!(connecting.end().code, 0);
        // Nobody listens any more, so the code goes nowhere.
        assert!(try_exchange("GET", &callback, "127.0.0.1").is_err());
        assert_eq!(stand.json("alice", &["call", "whoami"]).0, 3);
        stand.connect("alice");
        assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
    }
}

#[test]
fn who_is_killed_while_the_code_is_redeemed_can_connect_again() {
    let stand = Stand::new();
    let connecting = stand.begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
    stand.issuer.behave(|issuer| issuer.token_delay_ms = 5_000);
    let callback = stand.issuer.approve(connecting.url());
    let browser = std::thread::spawn(move || {
        let authority = callback.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let _ = try_exchange("GET", &callback, &authority);
    });
    // The tokens are given out while the answer is under way.
    let begun = Instant::now();
    while stand.issuer.live_refresh_tokens().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    connecting.kill();
    browser.join().unwrap();
    stand.issuer.behave(|issuer| issuer.token_delay_ms = 0);

    let (code, _) = stand.json("alice", &["call", "whoami"]);
    assert_eq!(code, 3);
    stand.connect("alice");
    assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
    // What was lost is not kept quiet: only the person can end it at the issuer.
    let (_, ended) = stand.json("alice", &["disconnect", "local"]);
    assert_eq!((&ended["revocation"], &ended["doubt"]), (&json!("complete"), &json!(true)));
}

#[test]
fn who_is_killed_in_a_refresh_leaves_a_grant_that_still_works() {
    let stand = Stand::new();
    stand.issuer.behave(|issuer| {
        issuer.access_token_ms = 2_000;
        issuer.rotation = grantway_testing::Rotation::Grace(60_000);
    });
    stand.connect("alice");
    std::thread::sleep(Duration::from_millis(2_100));
    stand.issuer.behave(|issuer| {
        issuer.access_token_ms = 3_600_000;
        issuer.token_delay_ms = 3_000;
    });
    let mut calling = stand.command("alice", &["call", "whoami"]).spawn().unwrap();
    let begun = Instant::now();
    while stand.issuer.posts_per_refresh_token().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    calling.kill().unwrap();
    calling.wait().unwrap();
    stand.issuer.behave(|issuer| issuer.token_delay_ms = 0);

    // Until the lease has ended, others wait, and say so.
    let (code, said) = stand.json("alice", &["call", "whoami"]);
    assert_eq!((code, &said["error"]["slug"]), (1, &json!("network.refresh_under_way")), "{said}");
    assert_eq!(said["error"]["retry"], "later");
    assert_eq!(stand.issuer.families_revoked(), 0);
}

#[test]
fn a_url_that_leads_nowhere_is_not_remembered() {
    let mut stand = Stand::new();
    stand.unplug();
    let ended = stand.try_begin("alice", &[&stand.mcp.url(), "--allow-loopback"]);
    let error = ended.err().unwrap().json();
    assert_eq!(error["error"]["fault"], "network");
    assert_eq!(stand.json("alice", &["list"]).1["servers"], json!([]));
}

#[test]
fn plain_http_and_private_networks_are_refused_with_what_to_add() {
    let stand = Stand::new();
    for (url, next) in
        [(stand.mcp.url(), "--allow-loopback"), ("https://10.1.2.3/mcp".into(), "--allow-private")]
    {
        let (_, said) = stand.json("alice", &["connect", &url]);
        assert!(said["error"]["next"].as_str().unwrap().contains(next), "{said}");
    }
}
