//! The life of two connections at one server, with what the issuer was sent counted after each step.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use grantway_core::challenge::Challenge;
use grantway_core::upstream::disconnect::Revocation;
use grantway_core::upstream::resolve::Resolution;
use tokio::time::sleep;

use crate::Result;
use crate::gateway::{AtGateway, caller_of};
use crate::server::{Exchange, Server};
use crate::user::{Called, Gateway, User};

/// What the MCP server beside an issuer can do.
#[derive(Clone, Copy)]
pub(crate) struct Tools {
    /// `whoami` answers with the name that the person has signed in with.
    pub(crate) knows_names: bool,
    /// There is a tool `write`, which needs a scope that is not asked for at first.
    pub(crate) write: bool,
}

pub(crate) struct Journey<'a> {
    server: &'a Server,
    tools: Tools,
    token_lifetime: Duration,
}

impl<'a> Journey<'a> {
    pub(crate) fn new(server: &'a Server, tools: Tools, token_lifetime: Duration) -> Self {
        Self { server, tools, token_lifetime }
    }

    /// Goes the whole way; `passed` hears of each step.
    pub(crate) async fn travel(&self, mut passed: impl FnMut(&str)) -> Result<()> {
        let gateway = Gateway::to(self.server.mcp()).await?;
        let (alice, bob) = (gateway.user("alice")?, gateway.user("bob")?);

        self.connects(&alice).await?;
        passed("connects: discovery, dynamic registration, PKCE, one code exchange; the tool answers");
        self.refreshes(&alice).await?;
        passed("refreshes an expired token with the refresh token it was given, and keeps the rotated one");
        self.refreshes_once_for_a_crowd(&alice).await?;
        passed("refreshes once for four workers at the same moment");
        self.refreshes_a_refused_token(&alice).await?;
        passed("refreshes a token that the MCP server refuses before its time, and calls again");
        if self.tools.write {
            self.steps_up(&alice).await?;
            passed("steps up to the scope that a 403 asks for, keeping the former one");
        }
        self.connects_another(&bob, &alice).await?;
        passed("connects a second person by the same registration, each to an account of their own");
        self.disconnects(&alice, &bob).await?;
        passed("disconnects: the issuer refuses the revoked refresh token; the other connection stays");
        self.registers_anew(&bob).await?;
        passed(
            "meets invalid_client when the issuer has forgotten the client, and connects by a new registration",
        );
        self.signs_a_client_in(&gateway).await?;
        passed("signs an MCP client in at the gateway; the person connects this server in the same consent");
        self.sent_nothing_twice().await?;
        passed("has sent no code and no refresh token twice");
        Ok(())
    }

    async fn connects(&self, alice: &User<'_>) -> Result<()> {
        let challenge = challenged(alice.call("whoami", None).await?, "connect")?;
        let connected = alice.connect(&challenge).await?;
        same("generation", &connected.generation, &1)?;
        self.answers(alice, "alice").await?;
        let log = self.server.log().await?;
        same("registrations", &registrations(&log).len(), &1)?;
        same("code exchanges", &tokens(&log, "authorization_code").len(), &1)
    }

    async fn refreshes(&self, alice: &User<'_>) -> Result<()> {
        self.expiry().await;
        same("generation", &alice.ready().await?.generation(), &2)?;
        self.answers(alice, "alice").await?;
        let log = self.server.log().await?;
        let first = tokens(&log, "authorization_code")[0].given("refresh_token");
        let refreshes = tokens(&log, "refresh_token");
        same("refreshes", &refreshes.len(), &1)?;
        same("refresh token sent", &refreshes[0].sent("refresh_token"), &first)?;
        ensure(refreshes[0].given("refresh_token") != first, "the issuer did not rotate the refresh token")
    }

    async fn refreshes_once_for_a_crowd(&self, alice: &User<'_>) -> Result<()> {
        self.expiry().await;
        let crowd = tokio::join!(alice.ready(), alice.ready(), alice.ready(), alice.ready());
        let crowd = [crowd.0?, crowd.1?, crowd.2?, crowd.3?];
        let generations: BTreeSet<_> = crowd.iter().map(|ready| ready.generation()).collect();
        same("generations", &generations, &BTreeSet::from([3]))?;
        same("refreshes", &tokens(&self.server.log().await?, "refresh_token").len(), &2)
    }

    async fn refreshes_a_refused_token(&self, alice: &User<'_>) -> Result<()> {
        let ready = alice.ready().await?;
        // The server refuses what it has seen.
        answered(alice.call("whoami", Some(ready)).await?)?;
        let (ready, before) = (alice.ready().await?, self.server.log().await?.len());
        self.server.order("refuse-tokens").await?;
        let generation = ready.generation();
        answered(alice.call("whoami", Some(ready)).await?)?;
        same("generation", &alice.ready().await?.generation(), &(generation + 1))?;
        let log = self.server.log().await?;
        same(
            "exchanges since",
            &log[before..].iter().map(|e| e.sent("grant_type")).collect::<Vec<_>>(),
            &vec!["refresh_token"],
        )
    }

    async fn steps_up(&self, alice: &User<'_>) -> Result<()> {
        let ready = alice.ready().await?;
        let former = ready.scopes().clone();
        let challenge = challenged(alice.call("write", Some(ready)).await?, "step_up")?;
        alice.connect(&challenge).await?;
        let ready = alice.ready().await?;
        ensure(former.iter().all(|scope| ready.scopes().contains(scope)), "the step-up lost a scope")?;
        same("answer", &answered(alice.call("write", Some(ready)).await?)?, &"write: alice".to_owned())
    }

    /// Both halves: the client's token is the gateway's, and behind it stands the person's account at this server.
    async fn signs_a_client_in(&self, gateway: &Gateway) -> Result<()> {
        let carol = gateway.user("carol")?;
        let mut pages = AtGateway::new(gateway, "carol")?;
        let tokens = pages.sign_in(&carol.browser).await?;
        let caller = caller_of(gateway, &tokens.access).await?.ok_or("the gateway refuses its own token")?;
        same("caller", &caller.principal.id(), &"carol")?;
        self.answers(&carol, "carol").await?;
        let newer = pages.refresh(&tokens).await?;
        ensure(newer.access != tokens.access && newer.refresh != tokens.refresh, "the tokens are the same")?;
        ensure(caller_of(gateway, &newer.access).await?.is_some(), "the gateway refuses a refreshed token")?;
        let foreign = carol.ready().await?;
        let (_, upstream) = foreign.own_headers().next().ok_or("no header")?;
        let upstream = upstream.expose().trim_start_matches("Bearer ");
        ensure(caller_of(gateway, upstream).await?.is_none(), "the gateway takes the upstream's token")
    }

    async fn connects_another(&self, bob: &User<'_>, alice: &User<'_>) -> Result<()> {
        let challenge = challenged(bob.call("whoami", None).await?, "connect")?;
        bob.connect(&challenge).await?;
        self.answers(bob, "bob").await?;
        self.answers(alice, "alice").await?;
        same("registrations", &registrations(&self.server.log().await?).len(), &1)
    }

    async fn disconnects(&self, alice: &User<'_>, bob: &User<'_>) -> Result<()> {
        let disconnected = alice.disconnect().await?;
        needs_person(alice.resolve().await?, "connect")?;
        ensure(!disconnected.doubt, "the disconnect leaves a doubt")?;
        // Not every issuer revokes access tokens too; then there is nothing to be tried again.
        ensure(disconnected.revocation != Revocation::Pending, "the issuer is said not to have answered")?;

        let log = self.server.log().await?;
        let given: BTreeSet<_> = log.iter().map(|exchange| exchange.given("refresh_token")).collect();
        let revoked = log.iter().filter(|exchange| exchange.path == "/revoke" && exchange.status == 200);
        let token = revoked.map(|exchange| exchange.sent("token")).rfind(|token| given.contains(token));
        let token = token.ok_or("no refresh token was revoked")?;
        // The issuer itself says that the token is dead, not that the client is wrong.
        same("issuer's answer", &self.server.redeem(&log, token).await?, &"invalid_grant".to_owned())?;
        self.answers(bob, "bob").await
    }

    async fn registers_anew(&self, bob: &User<'_>) -> Result<()> {
        self.server.order("forget-clients").await?;
        self.expiry().await;
        let challenge = needs_person(bob.resolve().await?, "reconnect")?;
        let log = self.server.log().await?;
        same(
            "issuer's answer",
            &log.last().map(|exchange| exchange.given("error")),
            &Some("invalid_client"),
        )?;
        bob.connect(&challenge).await?;
        self.answers(bob, "bob").await?;
        let log = self.server.log().await?;
        let clients = registrations(&log);
        same("registrations", &clients.len(), &2)?;
        ensure(clients[0] != clients[1], "the second registration is the first")?;
        let exchange = tokens(&log, "authorization_code").pop().ok_or("no code exchange")?;
        same("client of the code exchange", &exchange.client(), &clients[1].to_owned())
    }

    async fn sent_nothing_twice(&self) -> Result<()> {
        let log = self.server.log().await?;
        for parameter in ["code", "refresh_token"] {
            let sent = log.iter().map(|exchange| exchange.sent(parameter));
            let mut sent: Vec<_> = sent.filter(|value| !value.is_empty()).collect();
            let all = sent.len();
            sent.sort_unstable();
            sent.dedup();
            same(parameter, &sent.len(), &all)?;
        }
        Ok(())
    }

    async fn expiry(&self) {
        sleep(self.token_lifetime + Duration::from_millis(100)).await;
    }

    /// The tool answers this person, as far as it knows persons.
    async fn answers(&self, user: &User<'_>, name: &str) -> Result<()> {
        let ready = user.ready().await?;
        let text = answered(user.call("whoami", Some(ready)).await?)?;
        let name = if self.tools.knows_names { name } else { "somebody" };
        same("answer", &text, &format!("whoami: {name}"))
    }
}

fn registrations(log: &[Exchange]) -> Vec<&str> {
    let registrations = log.iter().filter(|exchange| exchange.path == "/register" && exchange.status == 201);
    registrations.map(|exchange| exchange.given("client_id")).collect()
}

fn tokens<'a>(log: &'a [Exchange], grant_type: &str) -> Vec<&'a Exchange> {
    log.iter()
        .filter(|exchange| exchange.path == "/token" && exchange.sent("grant_type") == grant_type)
        .collect()
}

fn answered(called: Called) -> Result<String> {
    match called {
        Called::Answered(text) => Ok(text),
        Called::Challenged(challenge) => Err(challenge.text().into()),
    }
}

fn challenged(called: Called, reason: &str) -> Result<Box<Challenge>> {
    match called {
        Called::Answered(text) => {
            Err(format!("the tool answers `{text}`, and `{reason}` was expected").into())
        }
        Called::Challenged(challenge) => because(challenge, reason),
    }
}

fn needs_person(resolution: Resolution, reason: &str) -> Result<Box<Challenge>> {
    match resolution {
        Resolution::Challenge(challenge) => because(challenge, reason),
        other => Err(format!("`{reason}` was expected, not {other:?}").into()),
    }
}

fn because(challenge: Box<Challenge>, reason: &str) -> Result<Box<Challenge>> {
    same("reason of the challenge", &challenge.reason.as_str(), &reason).map(|()| challenge)
}

fn ensure(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn same<T: PartialEq + Debug>(what: &str, have: &T, expected: &T) -> Result<()> {
    if have == expected { Ok(()) } else { Err(format!("{what}: {have:?}, expected {expected:?}").into()) }
}
