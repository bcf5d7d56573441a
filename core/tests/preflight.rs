//! Before a run begins: all that is missing for its calls, at once.

mod stage;

use grantway_core::challenge::{Challenge, ChallengeReason};
use grantway_core::connector::{Connector, CredentialScope, Injection, SecretOwner, Source, Target};
use grantway_core::error::Code;
use grantway_core::event::What;
use grantway_core::operation::NotSent;
use grantway_core::principal::{Assurance, Caller, ConnectorId, Principal, TeamRole};
use grantway_core::secret::Secret;
use grantway_core::store::Kind;
use grantway_core::upstream::preflight::{Preflight, Preflighted};
use grantway_core::upstream::resolve::Resolution;
use grantway_core::upstream::secrets::StoreSecret;
use grantway_testing::HttpFault;
use stage::{ISSUER, SERVER, Stage, alice, notes};

const HOUR: u64 = 3_600_000;

fn id(name: &str) -> ConnectorId {
    ConnectorId::new(name).unwrap()
}

fn injecting(sources: Vec<Source>) -> Connector {
    let injection =
        |source| Injection { target: Target::Env("TOKEN".to_owned()), source, prefix: String::new() };
    Connector { injections: sources.into_iter().map(injection).collect(), ..Connector::server(SERVER) }
}

fn preflight(stage: &mut Stage, caller: &Caller, connectors: &[&str]) -> Preflighted {
    let connectors = connectors.iter().map(|name| id(name)).collect();
    let operation = stage.engine.preflight(Preflight::new(caller.clone(), connectors));
    let outcome = stage.drive(operation);
    let used = outcome.events.iter().any(|event| matches!(event.what, What::CredentialUsed { .. }));
    assert!(!used, "a preflight hands no credential out");
    outcome.result.unwrap()
}

fn said(missing: &[Challenge]) -> Vec<(String, ChallengeReason)> {
    missing.iter().map(|one| (one.connector.to_string(), one.reason.clone())).collect()
}

// F82, F84
#[test]
fn everything_that_is_missing_is_said_at_once() {
    let mut stage = Stage::new();
    let account = Source::Account(id("google"));
    let key = |name: &str, of| Source::Secret { name: name.to_owned(), of };
    stage.put(id("google"), Connector::account(ISSUER));
    stage.put(id("mail"), injecting(vec![Source::Connection, account.clone(), key("k1", SecretOwner::User)]));
    stage.put(
        id("drive"),
        injecting(vec![account, key("k2", SecretOwner::Team), key("k3", SecretOwner::Org)]),
    );
    let asked = ["notes", "mail", "drive", "nowhere", "notes"];
    let found = preflight(&mut stage, &alice(), &asked);
    assert_eq!(
        said(&found.missing),
        [
            ("notes".to_owned(), ChallengeReason::Connect),
            ("mail".to_owned(), ChallengeReason::Connect),
            ("google".to_owned(), ChallengeReason::Connect),
            ("mail".to_owned(), ChallengeReason::StoreSecret("k1".to_owned())),
            ("drive".to_owned(), ChallengeReason::StoreSecret("k2".to_owned())),
            ("drive".to_owned(), ChallengeReason::StoreSecret("k3".to_owned())),
        ]
    );
    assert!(found.missing.iter().take(3).all(|one| one.url.is_some() && one.ticket.is_some()));
    let failed: Vec<_> = found.failed.iter().map(|(which, why)| (which.as_str(), why.code())).collect();
    assert_eq!(failed, [("nowhere", Code::ConnectorUnknown)]);
    assert!(found.transient.is_empty() && !found.is_ready());
}

#[test]
fn its_links_are_those_that_resolve_gives() {
    let mut stage = Stage::new();
    let found = preflight(&mut stage, &alice(), &["notes"]);
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!("not a challenge") };
    assert_eq!(found.missing, [*challenge]);
}

#[test]
fn nothing_is_missing_once_all_is_there_and_what_is_due_is_refreshed() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert!(preflight(&mut stage, &alice(), &["notes"]).is_ready());
    stage.world.advance(HOUR);
    assert!(preflight(&mut stage, &alice(), &["notes"]).is_ready());
    assert_eq!(stage.ready(&alice()).generation(), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

#[test]
fn an_issuer_that_cannot_answer_now_needs_nobody() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(HOUR);
    stage.world.on_http("/token", 1, HttpFault::NotSent(NotSent::Unreachable));
    let found = preflight(&mut stage, &alice(), &["notes"]);
    assert_eq!(found.transient.len(), 1);
    assert!(found.missing.is_empty() && found.failed.is_empty());
}

#[test]
fn a_stored_secret_is_not_missing_wherever_in_the_teams_it_stands() {
    let mut stage = Stage::new();
    let lead =
        alice().with_team("red", TeamRole::Manager).unwrap().with_team("blue", TeamRole::Manager).unwrap();
    let key = |name: &str| Source::Secret { name: name.to_owned(), of: SecretOwner::Team };
    let mut connector = injecting(vec![key("first"), key("second"), key("third")]);
    connector.sharing = true;
    connector.precedence = vec![CredentialScope::Team];
    stage.put(id("mail"), connector);
    for (name, team) in [("first", "red"), ("second", "blue")] {
        let secret = StoreSecret {
            caller: lead.clone(),
            owner: Some(Principal::team(team).unwrap()),
            name: name.to_owned(),
            value: Secret::new("v"),
        };
        let operation = stage.engine.store_secret(secret);
        stage.drive(operation).result.unwrap();
    }
    let found = preflight(&mut stage, &lead, &["mail"]);
    assert_eq!(said(&found.missing), [("mail".to_owned(), ChallengeReason::StoreSecret("third".to_owned()))]);
}

#[test]
fn an_account_that_no_connector_configures_is_a_fault_of_the_one_that_draws_on_it() {
    let mut stage = Stage::new();
    stage.put(id("mail"), injecting(vec![Source::Account(id("gone"))]));
    let found = preflight(&mut stage, &alice(), &["mail"]);
    let failed: Vec<_> = found.failed.iter().map(|(which, why)| (which.as_str(), why.code())).collect();
    assert_eq!(failed, [("mail", Code::SourceMissing)]);
}

// F55
#[test]
fn a_self_declared_id_reaches_no_secret_of_the_one_it_names() {
    let mut stage = Stage::new();
    let key = Source::Secret { name: "k".to_owned(), of: SecretOwner::User };
    stage.put(notes(), injecting(vec![key]));
    let secret =
        StoreSecret { caller: alice(), owner: None, name: "k".to_owned(), value: Secret::new("canary") };
    let operation = stage.engine.store_secret(secret);
    stage.drive(operation).result.unwrap();
    assert!(preflight(&mut stage, &alice(), &["notes"]).is_ready());
    for assurance in [Assurance::Asserted, Assurance::Ephemeral] {
        let ghost = alice().with_assurance(assurance);
        assert!(!preflight(&mut stage, &ghost, &["notes"]).is_ready());
        assert!(matches!(stage.resolve(&ghost), Resolution::Challenge(_)));
    }
}

// atk:IMP-12
#[test]
fn a_damaged_row_is_said_and_hides_nothing_else_that_is_missing() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.put(id("other"), Connector::server(SERVER));
    let key = stage.world.store.rows_of(Kind::Connection)[0].0.clone();
    stage.world.store.flip_bit(&key, 300);
    let found = preflight(&mut stage, &alice(), &["notes", "other"]);
    let failed: Vec<_> =
        found.failed.iter().map(|(connector, why)| (connector.clone(), why.code())).collect();
    assert_eq!(failed, [(notes(), Code::StoreIntegrity)]);
    assert_eq!(said(&found.missing), [("other".to_owned(), ChallengeReason::Connect)]);
}
