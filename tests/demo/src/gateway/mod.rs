//! The example host: a person's browser and an MCP client go through its gateway, from the first request to the last.

mod client;
mod host;

use std::fs;
use std::path::Path;

use grantway_testing::serve::{Answer, Browser};

use self::client::{Client, REDIRECT, Speaks};
use self::host::Host;
use crate::say::{Deviation, Story};

pub(crate) fn tell(story: &mut Story, out: &Path) -> Result<(), Deviation> {
    story.step("The host starts: a login, a gateway, an MCP endpoint, and two services to connect");
    let host = Host::start(out)?;
    host.printed.iter().for_each(|line| story.see(line.clone()));
    let mut alice = Browser::default();

    let mut client = knock(story, &host)?;
    let services = sign_in(story, &mut alice, &client)?;
    let services = connect_notes(story, &mut alice, &services)?;
    let back = approve(story, &mut alice, &services)?;
    redeem(story, &mut client, &back)?;
    let link = challenge(story, &mut client)?;
    follow_link(story, &host, &mut alice, &link)?;
    call_again(story, &mut client)?;
    let old = renew(story, &mut client)?;
    disconnect(story, &host, &mut alice, &mut client)?;
    sign_out(story, &mut client)?;
    end(story, host, out, &[&old.0, &old.1, &client.access, &client.refresh])
}

fn knock(story: &mut Story, host: &Host) -> Result<Client, Deviation> {
    story.step("An MCP client calls the endpoint, is refused, finds the gateway and registers itself");
    let endpoint = format!("{}/mcp", host.base);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let refused =
        Browser::default().send("POST", &endpoint, &[("Content-Type", "application/json")], call)?;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    story.check(refused.status == 401, format!("without a token: 401, {challenge}"))?;
    let client = Client::register(&endpoint, challenge)?;
    story.see(format!("It is registered as {}.", client.id));
    Ok(client)
}

fn sign_in(story: &mut Story, browser: &mut Browser, client: &Client) -> Result<Answer, Deviation> {
    story.step("It opens alice's browser, where she says who she is");
    let page = browser.open(&client.authorization_url()?, REDIRECT)?;
    check(
        story,
        &page,
        shows(&page, "Who are you?"),
        "the gateway asks who she is, before anything is allowed",
    )?;
    let login = page.link("Sign in").ok_or_else(|| unlike("a link to sign in", &page))?;
    let page = browser.open(login.as_str(), REDIRECT)?;
    let page = browser.press(&page, "I am alice", &[], REDIRECT)?;
    check(
        story,
        &page,
        shows(&page, "Connect your accounts") && shows(&page, "You are alice"),
        "the host's own login has led her back, and she is shown what there is to connect",
    )?;
    Ok(page)
}

fn connect_notes(story: &mut Story, browser: &mut Browser, page: &Answer) -> Result<Answer, Deviation> {
    story.step("She connects her account at Notes on the way");
    let page = browser.press(page, "Connect", &[("connector", "notes")], REDIRECT)?;
    check(
        story,
        &page,
        shows(&page, "Notes") && page.body.contains("Allow"),
        "Notes asks her whether she allows it",
    )?;
    story.see(format!("at {}", page.url.origin().ascii_serialization()));
    let page = browser.press(&page, "Allow", &[("user", "alice")], REDIRECT)?;
    check(
        story,
        &page,
        shows(&page, "Connected, yours once you approve"),
        "she is back, and the account is ready to be connected",
    )?;
    Ok(page)
}

fn approve(story: &mut Story, browser: &mut Browser, page: &Answer) -> Result<Answer, Deviation> {
    story.step("She approves the client");
    let next = page.link("Continue to approval").ok_or_else(|| unlike("a way to go on", page))?;
    let page = browser.open(next.as_str(), REDIRECT)?;
    let facts = ["Demo client", "Nobody has checked this client", REDIRECT, "alice"];
    check(
        story,
        &page,
        facts.iter().all(|fact| shows(&page, fact)),
        "the page names the client, warns that nobody knows it, and says where it sends her",
    )?;
    let back = browser.press(&page, "Approve", &[], REDIRECT)?;
    check(
        story,
        &back,
        back.query("code").is_some(),
        format!("the browser goes back to the client at {REDIRECT}"),
    )?;
    Ok(back)
}

fn redeem(story: &mut Story, client: &mut Client, back: &Answer) -> Result<(), Deviation> {
    story.step("The client redeems its code and calls tools as alice");
    client.redeem(back)?;
    let me = client.said("whoami")?;
    story.check(me.starts_with("alice"), format!("`whoami`: {me}"))?;
    let notes = client.said("notes_list")?;
    story.check(notes.starts_with("alice's notes"), format!("`notes_list`: {notes}"))
}

fn challenge(story: &mut Story, client: &mut Client) -> Result<String, Deviation> {
    story.step("It calls a tool whose account is not connected: a challenge, in the form that each client understands");
    let text = client.said("files_list")?;
    story.check(text.contains("not connected"), format!("2025-06-18: {text}"))?;
    let error = &client.call("files_list", Speaks::Elicitation)?["error"];
    let asked = &error["data"]["elicitations"][0];
    let is_form = error["code"] == -32042 && asked["mode"] == "url" && asked["elicitationId"].is_string();
    story.check(is_form, "2025-11-25: error -32042 with an elicitation by URL")?;
    let url = asked["url"].as_str().unwrap_or_default().to_owned();
    let result = &client.call("files_list", Speaks::InputRequired)?["result"];
    let request = &result["inputRequests"]["files"];
    let is_form = result["resultType"] == "input_required"
        && request["method"] == "elicitation/create"
        && request["params"]["url"] == url.as_str();
    story.check(is_form, "2026-07-28: a result that is `input_required`, with the same page")?;
    Ok(url)
}

fn follow_link(story: &mut Story, host: &Host, alice: &mut Browser, link: &str) -> Result<(), Deviation> {
    story.step("The link is opened: by bob in vain, and by alice, who connects Files");
    let mut bob = Browser::default();
    let page = bob.open(&format!("{}/login", host.base), "")?;
    bob.press(&page, "I am bob", &[], "")?;
    let refused = bob.open(link, "")?;
    check(
        story,
        &refused,
        refused.status == 400 || refused.status == 403,
        "bob cannot connect an account through alice's link",
    )?;
    let page = alice.open(link, "")?;
    check(
        story,
        &page,
        shows(&page, "Connect files"),
        "alice is shown what it is for; opening it changes nothing",
    )?;
    let page = alice.press(&page, "Continue", &[], "")?;
    let page = alice.press(&page, "Allow", &[("user", "alice")], "")?;
    check(
        story,
        &page,
        page.url.path() == "/connections" && page.status == 200,
        "she allows it at Files, and is led to her connected accounts",
    )
}

fn call_again(story: &mut Story, client: &mut Client) -> Result<(), Deviation> {
    story.step("The client makes the call again");
    let files = client.said("files_list")?;
    story.check(files.starts_with("alice's files"), format!("`files_list`: {files}"))
}

fn renew(story: &mut Story, client: &mut Client) -> Result<(String, String), Deviation> {
    story.step("It renews its tokens");
    let old = client.renew()?;
    story.check(client.access != old.0 && client.refresh != old.1, "both tokens are new")?;
    let again = client.token(&[("grant_type", "refresh_token"), ("refresh_token", &old.1)])?.json();
    story.check(
        again["refresh_token"] == client.refresh.as_str(),
        "the old one, sent again because an answer might have been lost, gives the same pair",
    )?;
    let me = client.said("whoami")?;
    story.check(me.starts_with("alice"), format!("`whoami`: {me}"))?;
    Ok(old)
}

fn disconnect(
    story: &mut Story,
    host: &Host,
    browser: &mut Browser,
    client: &mut Client,
) -> Result<(), Deviation> {
    story.step("alice looks at her connected accounts and disconnects Notes");
    let page = browser.open(&format!("{}/connections", host.base), "")?;
    let both = page.body.matches("alice@example.com").count();
    check(story, &page, shows(&page, "Connected accounts") && both == 2, "the page shows both accounts")?;
    check(story, &page, shows(&page, "Demo client"), "and the client that is signed in for her")?;
    let page = browser.press(&page, "Disconnect", &[("connector", "notes")], "")?;
    check(
        story,
        &page,
        page.status == 200 && page.body.matches("alice@example.com").count() == 1,
        "one is left",
    )?;
    let text = client.said("notes_list")?;
    story.check(text.contains("Connect your account"), format!("`notes_list`: {text}"))?;
    let files = client.said("files_list")?;
    story.check(files.starts_with("alice's files"), "Files goes on")
}

fn sign_out(story: &mut Story, client: &mut Client) -> Result<(), Deviation> {
    story.step("The client gives its sign-in back");
    let revoked = client.revoke()?;
    story.check(revoked.status == 200, "the gateway has revoked it")?;
    let refused = client.said("whoami").err().map(|deviation| deviation.0).unwrap_or_default();
    story.check(refused.contains("401"), "its access token is dead at once")?;
    let refused = client.renew().err().map(|deviation| deviation.0).unwrap_or_default();
    story.check(refused.contains("invalid_grant"), "so is its refresh token")
}

fn end(story: &mut Story, host: Host, out: &Path, tokens: &[&String]) -> Result<(), Deviation> {
    story.step("The host ends, as by Ctrl-C; what is left to look at");
    story.check(host.stop()?, "it ended by itself")?;
    let mut bytes = Vec::new();
    for name in ["gateway.db", "gateway.db-wal"] {
        bytes.extend(fs::read(out.join(name)).unwrap_or_default());
    }
    let shows = |token: &&&String| bytes.windows(token.len()).any(|window| window == token.as_bytes());
    story.check(
        !bytes.is_empty() && !tokens.iter().any(|token| shows(&token)),
        "no token can be read in the database",
    )?;
    story.see(format!("The database: {}", out.join("gateway.db").display()));
    Ok(())
}

/// As [`Story::check`]; where it is not so, with what the page says instead.
fn check(story: &mut Story, page: &Answer, is_so: bool, what: impl Into<String>) -> Result<(), Deviation> {
    story.check(is_so, what).map_err(|deviation| {
        Deviation(format!("{}; {} at {}: {}", deviation.0, page.status, page.url, page.text()))
    })
}

/// Whether a person reads this on the page.
fn shows(page: &Answer, text: &str) -> bool {
    page.text().contains(text)
}

fn unlike(wanted: &str, page: &Answer) -> Deviation {
    Deviation(format!("there should be {wanted} at {}: {}", page.url, page.text()))
}
