//! Attacks that belong to no single operation. Each name of the gallery stands at the test that must fail without its check.

mod stage;

use grantway_core::connector::Connector;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{CommitReply, HttpReply, Misuse, ReadReply, Reply, Step};
use grantway_core::principal::{Caller, ConnectorId};
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::complete_connect::CompleteConnect;
use grantway_core::upstream::open_ticket::OpenTicket;
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_testing::{Endpoint, McpServer, Schedule, Stepper, Worker, interleave, posts_to};
use stage::{SERVER, Stage, alice, notes, token, user};

//= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
//= type=test
//# Every authorization request MUST carry `resource`, whether or not the issuer understands it (AZQ-06, U).
//= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
//= type=test
//# The token request MUST carry the `resource` of the authorization request, as the same string (TOK-05, U).
//= spec/rfc8707.md#2-2
//= type=test
//# A refresh request MUST carry the grant's `resource` too (REF-02, U).
// atk:AUD-05
#[test]
fn the_resource_is_the_same_in_every_request_of_a_grant() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    stage.ready(&alice());
    let authorize = stage.issuer.authorizations().pop().unwrap();
    assert_eq!(authorize.get("resource"), Some(SERVER));
    let posts = stage.world.network.seen("POST", "https://as.good/token");
    assert_eq!(posts.len(), 2);
    for post in posts {
        assert_eq!(post.form().unwrap().get("resource"), Some(SERVER));
    }
}

// atk:AUD-07
#[test]
fn two_servers_of_one_issuer_get_a_token_each_and_neither_the_others() {
    const OTHER: &str = "https://other.example/mcp";
    let mut stage = Stage::new();
    stage.world.host("https://other.example", McpServer::new(OTHER, &stage.issuer));
    let other = ConnectorId::new("other").unwrap();
    stage.put(other.clone(), Connector::server(OTHER));
    let mut ready = Vec::new();
    for (connector, server) in [(notes(), SERVER), (other, OTHER)] {
        let operation = stage.engine.begin_connect(BeginConnect::new(alice(), connector.clone()));
        let redirect = stage.drive(operation).result.unwrap();
        let url = stage.issuer.approve_as("alice", &redirect.url);
        let arguments = stage.callback(&alice(), &redirect, &url);
        stage.complete(arguments).result.unwrap();
        assert_eq!(stage.issuer.authorizations().pop().unwrap().get("resource"), Some(server));
        let operation = stage.engine.resolve(Resolve::new(alice(), connector));
        let Resolution::Ready(one) = stage.drive(operation).result.unwrap() else { panic!("{server}") };
        let live = stage.issuer.live_token(&token(&one), stage.world.now()).unwrap();
        assert_eq!(live.resource.as_deref(), Some(server));
        ready.push((one, server));
    }
    assert_ne!(token(&ready[0].0), token(&ready[1].0));
    let moment = stage.world.moment();
    for (own, _) in &ready {
        for (other, server) in &ready {
            let given = own.headers(&moment, "POST", server).is_ok();
            assert_eq!(given, token(own) == token(other), "{server}");
        }
    }
}

// atk:COD-01
#[test]
fn a_code_of_mallorys_flow_buys_nothing_in_alices() {
    let mut stage = Stage::new();
    let mallory = stage.begin(&user("mallory"));
    let stolen = stage.issuer.approve_as("mallory", &mallory.url);
    let code = stolen.split(['?', '&']).find(|pair| pair.starts_with("code=")).unwrap().to_owned();
    let redirect = stage.begin(&alice());
    let genuine = stage.issuer.approve_as("alice", &redirect.url);
    let own = genuine.split(['?', '&']).find(|pair| pair.starts_with("code=")).unwrap().to_owned();
    let injected = stage.callback(&alice(), &redirect, &genuine.replace(&own, &code));
    // The verifier is that of Alice's flow, so the issuer refuses the code.
    assert_eq!(stage.complete(injected).result.unwrap_err().slug(), "peer_refused.code");
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
}

// atk:COD-09
#[test]
fn a_ticket_is_no_state_and_a_state_is_no_ticket() {
    let mut stage = Stage::new();
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!() };
    let ticket = challenge.ticket.unwrap();
    let redirect = stage.begin(&alice());
    let state = url_parameter(&redirect.url, "state");
    let as_state = CompleteConnect {
        caller: Some(alice()),
        callback_url: Secret::new(format!("/callback?code=c&iss=https%3A%2F%2Fas.good&state={ticket}")),
        cookies: redirect.cookie,
        process_secret: None,
    };
    assert_eq!(stage.complete(as_state).result.unwrap_err().slug(), "user.flow_unknown");
    let operation = stage.engine.open_ticket(OpenTicket { caller: alice(), ticket: state });
    assert_eq!(stage.drive(operation).result.unwrap_err().slug(), "user.ticket_unknown");
    let operation = stage.engine.open_ticket(OpenTicket { caller: alice(), ticket });
    stage.drive(operation).result.unwrap();
}

fn url_parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).find(|(have, _)| have == name).unwrap().1.into_owned()
}

//= spec/mcp-2026-07-28.md#disc-authorization-server-location
//= type=test
//# Tokens MUST be stored apart by issuer, and within it by registration, resource and owner (TOK-12, U).
// atk:TEN-04
#[test]
fn two_people_on_one_engine_never_get_each_others_token() {
    let mut stage = Stage::new();
    let people = [alice(), user("bob")];
    for caller in &people {
        stage.connect(caller);
    }
    for round in 0..40 {
        if round % 4 == 0 {
            stage.world.advance(3_600_000);
        }
        let mut workers: Vec<(&Caller, _)> = (0..10)
            .map(|at| &people[at % 2])
            .map(|caller| (caller, Worker::new(stage.engine.resolve(Resolve::new(caller.clone(), notes())))))
            .collect();
        let mut steppers: Vec<&mut dyn Stepper> =
            workers.iter_mut().map(|(_, worker)| worker as &mut dyn Stepper).collect();
        interleave(&mut stage.world, &mut steppers, Schedule::Random);
        for (caller, worker) in &mut workers {
            if let Resolution::Ready(ready) = worker.outcome().unwrap().result.unwrap() {
                let live = stage.issuer.live_token(&token(&ready), stage.world.now()).unwrap();
                assert_eq!(live.user, caller.principal.id());
                assert_eq!(ready.attribution().owner, caller.principal);
            }
        }
    }
}

// atk:IMP-17
#[test]
fn a_reply_that_does_not_fit_is_misuse_and_changes_nothing() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    let mut operation = stage.engine.resolve(Resolve::new(alice(), notes()));
    let mut reply = Reply::Start;
    let mut steps = 0;
    loop {
        let moment = stage.world.moment();
        for wrong in [
            Reply::Woke { after_ms: 1 },
            Reply::Commit(CommitReply::Committed),
            Reply::Http(HttpReply::UnknownOutcome),
            Reply::Read(ReadReply::Unavailable),
            Reply::Start,
        ] {
            if std::mem::discriminant(&wrong) != std::mem::discriminant(&reply) {
                assert!(matches!(operation.step(&moment, wrong), Err(Misuse::UnexpectedReply { .. })));
            }
        }
        // To a read too: not so many keys were asked for, and none is never asked for.
        for count in [0, 99] {
            let partly = Reply::Read(ReadReply::Found(vec![None; count]));
            assert!(matches!(operation.step(&moment, partly), Err(Misuse::UnexpectedReply { .. })));
        }
        let zeros = Moment::new(UnixMillis(1), [0; 32]);
        assert_eq!(operation.step(&zeros, Reply::Start).unwrap_err(), Misuse::NoEntropy);
        match operation.step(&moment, reply).unwrap() {
            Step::Perform(effect) => reply = stage.world.perform(effect, 0).unwrap(),
            Step::Done(outcome) => {
                assert!(matches!(outcome.result.unwrap(), Resolution::Ready(_)));
                break;
            }
        }
        steps += 1;
    }
    assert!(steps >= 5);
    let moment = stage.world.moment();
    assert_eq!(operation.step(&moment, Reply::Start).unwrap_err(), Misuse::Ended);
}

// atk:IMP-13, atk:TEN-11, atk:IMP-12
#[test]
fn a_row_that_was_moved_or_altered_is_refused_and_hands_out_nothing() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.connect(&user("mallory"));
    let keys: Vec<_> = stage
        .world
        .store
        .rows_of(grantway_core::store::Kind::Connection)
        .into_iter()
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(keys.len(), 2);
    stage.world.store.swap(&keys[0], &keys[1]);
    for caller in [alice(), user("mallory")] {
        let operation = stage.engine.resolve(Resolve::new(caller, notes()));
        assert_eq!(stage.drive(operation).result.unwrap_err().slug(), "store.integrity");
    }
    stage.world.store.swap(&keys[0], &keys[1]);
    stage.ready(&alice());
    stage.world.store.flip_bit(&keys[0], 77);
    stage.world.store.flip_bit(&keys[1], 77);
    let operation = stage.engine.resolve(Resolve::new(alice(), notes()));
    assert_eq!(stage.drive(operation).result.unwrap_err().slug(), "store.integrity");
}

//= spec/mcp-2026-07-28.md#sec-token-theft
//= type=test
//# Tokens MUST be stored securely, and no token, code, secret or assertion stands in a URL, a log or a
//# referrer (NET-07, all).
//= spec/mcp-2026-07-28.md#idx-refresh-tokens
//= type=test
//# A refresh token MUST be readable neither on the wire nor in the store (REF-05, U).
// atk:IMP-03, atk:TOK-17
#[test]
fn no_token_verifier_or_secret_is_readable_in_the_store_or_told_to_anybody_else() {
    let mut stage = Stage::new();
    let redirect = stage.begin(&alice());
    let cookie = redirect.cookie.as_ref().unwrap().expose().split(['=', ';']).nth(1).unwrap().to_owned();
    let state = url_parameter(&redirect.url, "state");
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
    let access = token(&stage.ready(&alice()));
    let refresh = stage.issuer.live_refresh_tokens().pop().unwrap();
    let posts = stage.world.network.seen("POST", "https://as.good/token");
    let verifier = posts[0].form().unwrap().get("code_verifier").unwrap().to_owned();
    for secret in [&access, &refresh, &verifier, &cookie, &state] {
        assert!(!stage.world.store.leaks(secret), "{secret}");
    }
    assert_eq!(stage.world.network.who_was_told(&verifier), ["https://as.good".to_owned()].into());
    for secret in [&access, &refresh] {
        assert!(stage.world.network.who_was_told(secret).is_empty(), "nothing was refreshed or called yet");
    }
}

// atk:TOK-04
#[test]
fn an_engine_that_starts_anew_goes_on_from_the_store() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    stage.engine = grantway_core::engine::Engine::new(stage::config(), stage::keyring()).unwrap();
    assert_eq!(stage.ready(&alice()).generation(), 2);
    stage.engine = grantway_core::engine::Engine::new(stage::config(), stage::keyring()).unwrap();
    assert_eq!(stage.ready(&alice()).generation(), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

// atk:NET-04, atk:NET-01
#[test]
fn a_token_answer_from_a_forbidden_address_is_dropped_unread() {
    let mut stage = Stage::new();
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.world.network.rebind(
        "https://as.good",
        grantway_core::operation::Peer::Address(std::net::IpAddr::from([127, 0, 0, 1])),
    );
    let failure = stage.complete(arguments).result.unwrap_err();
    assert_eq!(failure.slug(), "peer_misbehaved.address_refused");
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
}

// atk:TOK-06
#[test]
fn an_issuer_that_is_down_is_asked_with_growing_pauses() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    stage.issuer.answer_instead(Endpoint::Token, 1_000, grantway_testing::Response::new(503));
    let before = stage.world.network.seen("POST", "https://as.good/token").len();
    for _ in 0..600 {
        assert!(matches!(stage.resolve(&alice()), Resolution::Transient(_)));
        stage.world.advance(1_000);
    }
    let asked = stage.world.network.seen("POST", "https://as.good/token").len() - before;
    assert!((5..=12).contains(&asked), "{asked} requests in ten minutes");
}

// atk:CSR-04
#[test]
fn opening_a_link_sets_and_uses_nothing() {
    let mut stage = Stage::new();
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!() };
    let ticket = challenge.ticket.unwrap();
    for _ in 0..3 {
        let operation = stage.engine.open_ticket(OpenTicket { caller: alice(), ticket: ticket.clone() });
        stage.drive(operation).result.unwrap();
    }
    let operation = stage.engine.open_ticket(OpenTicket { caller: user("mallory"), ticket: ticket.clone() });
    assert_eq!(stage.drive(operation).result.unwrap_err().slug(), "user.ticket_unknown");
    assert!(stage.world.store.rows_of(grantway_core::store::Kind::Flow).is_empty());
    let begin = BeginConnect { because: Some(ticket.clone()), ..BeginConnect::new(alice(), notes()) };
    let operation = stage.engine.begin_connect(begin.clone());
    stage.drive(operation).result.unwrap();
    let operation = stage.engine.begin_connect(begin);
    assert_eq!(stage.drive(operation).result.unwrap_err().slug(), "user.ticket_unknown");
}

// atk:TOK-01
#[test]
fn a_frozen_holder_whose_lease_was_taken_over_does_no_harm() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.rotation = grantway_testing::Rotation::Grace(600_000));
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    let mut frozen = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    assert!(frozen.run_until(&mut stage.world, posts_to("/token")));
    stage.world.advance(300_000);
    assert_eq!(stage.ready(&alice()).generation(), 2);
    frozen.finish(&mut stage.world).result.unwrap();
    let ready = stage.ready(&alice());
    assert!(stage.issuer.live_token(&token(&ready), stage.world.now()).is_some());
    assert_eq!(stage.issuer.families_revoked(), 0);
}

// atk:TOK-01, P17
#[test]
fn an_answer_that_arrives_after_a_takeover_takes_nothings_place() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.rotation = grantway_testing::Rotation::Grace(600_000));
    stage.connect(&alice());
    stage.world.advance(3_600_000);
    let mut frozen = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    assert!(frozen.run_until(&mut stage.world, posts_to("/token")));
    frozen.perform(&mut stage.world);
    stage.world.advance(300_000);
    let taken_over = stage.ready(&alice());
    frozen.deliver(&mut stage.world);
    let Resolution::Ready(late) = frozen.finish(&mut stage.world).result.unwrap() else { panic!() };
    for ready in [&taken_over, &late, &stage.ready(&alice())] {
        assert_eq!((ready.generation(), token(ready)), (2, token(&taken_over)));
    }
}
