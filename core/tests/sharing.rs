//! Whose credential a call gets: precedence, sharing, accounts, secrets, and what the outcome says of it.

mod stage;

use grantway_core::challenge::{ChallengeReason, Form};
use grantway_core::connector::{Connector, CredentialScope, Injection, SecretOwner, Source, Target};
use grantway_core::error::Code;
use grantway_core::principal::{Assurance, Caller, ConnectorId, Principal, TeamRole};
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::cache::{CachedResolution, Freshness};
use grantway_core::upstream::connectors::DeleteConnector;
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};
use grantway_core::upstream::ready::Warning;
use grantway_core::upstream::report_rejected::Rejection;
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_core::upstream::secrets::StoreSecret;
use grantway_core::upstream::status::{Status, StatusOf};
use grantway_testing::MetadataPlace;
use stage::{ISSUER, SERVER, Stage, admin, alice, config, notes, token, user};

fn shared(precedence: Vec<CredentialScope>) -> Connector {
    Connector { precedence, sharing: true, ..Connector::server(SERVER) }
}

fn manager() -> Caller {
    user("mona").with_team("red", TeamRole::Manager).unwrap()
}

fn member() -> Caller {
    alice().with_team("red", TeamRole::Member).unwrap()
}

/// The manager connects the team's account.
fn connect_team(stage: &mut Stage) {
    let owner = Some(Principal::team("red").unwrap());
    let begin = BeginConnect { owner, ..BeginConnect::new(manager(), notes()) };
    let operation = stage.engine.begin_connect(begin);
    let redirect = stage.drive(operation).result.unwrap();
    let url = stage.issuer.approve_as("red-team-bot", &redirect.url);
    let arguments = stage.callback(&manager(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
}

fn whose(stage: &mut Stage, caller: &Caller) -> String {
    let ready = stage.ready(caller);
    stage.issuer.live_token(&token(&ready), stage.world.now()).unwrap().user
}

// F58, F59, F68
#[test]
fn a_personal_account_comes_before_the_teams_and_the_outcome_says_which_it_is() {
    let mut stage = Stage::with(config(), shared(vec![CredentialScope::Personal, CredentialScope::Team]));
    connect_team(&mut stage);
    let ready = stage.ready(&member());
    assert_eq!(ready.attribution().scope, "team");
    assert!(ready.attribution().shared);
    assert_eq!(ready.attribution().actor, alice().principal);
    assert_eq!(whose(&mut stage, &member()), "red-team-bot");
    stage.connect(&member());
    assert_eq!(whose(&mut stage, &member()), "alice");
    assert_eq!(stage.ready(&member()).attribution().scope, "personal");
}

// F60, atk:TEN-07
#[test]
fn a_shared_account_serves_nobody_once_sharing_is_off() {
    let mut stage = Stage::with(config(), shared(vec![CredentialScope::Team]));
    connect_team(&mut stage);
    stage.ready(&member());
    // Nor can an operator leave the others on the list by mistake.
    let put = PutConnector {
        caller: admin(),
        id: notes(),
        connector: Connector { sharing: false, ..shared(vec![CredentialScope::Team]) },
        client_secret: None,
        expected_revision: None,
        unverified: false,
    };
    let operation = stage.engine.put_connector(put);
    assert!(matches!(stage.drive(operation).result.unwrap(), ConnectorPut::Refused(_)));
    stage.put(notes(), Connector::server(SERVER));
    assert!(matches!(stage.resolve(&member()), Resolution::Challenge(_)));
}

// atk:TEN-02, atk:TEN-07
#[test]
fn who_is_in_no_team_gets_nothing_of_it() {
    let mut stage = Stage::with(config(), shared(vec![CredentialScope::Team]));
    connect_team(&mut stage);
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!() };
    assert_eq!((challenge.reason, challenge.url), (ChallengeReason::AskManager, None));
}

// F61
#[test]
fn a_broken_personal_account_is_reported_and_not_stepped_over() {
    for falls_back in [false, true] {
        let connector = Connector {
            broken_personal_falls_back: falls_back,
            ..shared(vec![CredentialScope::Personal, CredentialScope::Team])
        };
        let mut stage = Stage::with(config(), connector);
        connect_team(&mut stage);
        stage.connect(&member());
        stage.issuer.end_grants_of("alice");
        stage.world.advance(3_600_000);
        match stage.resolve(&member()) {
            Resolution::Ready(ready) => assert!(falls_back && ready.attribution().scope == "team"),
            Resolution::Challenge(challenge) => {
                assert!(!falls_back);
                assert_eq!(challenge.reason, ChallengeReason::Reconnect("invalid_grant"));
            }
            Resolution::Transient(transient) => panic!("{transient:?}"),
        }
    }
}

// F54
#[test]
fn a_connector_can_demand_a_verified_caller() {
    let connector = Connector { minimum_assurance: Assurance::Verified, ..Connector::server(SERVER) };
    let mut stage = Stage::with(config(), connector);
    let asserted = alice().with_assurance(Assurance::Possession);
    let operation = stage.engine.resolve(Resolve::new(asserted, notes()));
    assert_eq!(stage.drive(operation).result.unwrap_err().code(), Code::AssuranceTooLow);
}

fn header(name: &str, source: Source, prefix: &str) -> Injection {
    Injection { target: Target::Header(name.to_owned()), source, prefix: prefix.to_owned() }
}

fn account() -> ConnectorId {
    ConnectorId::new("account").unwrap()
}

/// A server whose calls carry the token of an account, with this policy, and one more header.
fn drawing_on_an_account(connector: Connector) -> Stage {
    let injections = vec![
        header("Authorization", Source::Account(account()), "Bearer "),
        header("X-Gateway", Source::Static("acme".to_owned()), ""),
    ];
    let stage = Stage::with(config(), Connector { injections, ..connector });
    stage.issuer.behave(|b| b.requires_resource = false);
    stage
}

fn connect_account(stage: &mut Stage, caller: &Caller, owner: Option<Principal>) {
    let operation =
        stage.engine.begin_connect(BeginConnect { owner, ..BeginConnect::new(caller.clone(), account()) });
    let redirect = stage.drive(operation).result.unwrap();
    let url = stage.issuer.approve_as(caller.principal.id(), &redirect.url);
    let arguments = stage.callback(caller, &redirect, &url);
    stage.complete(arguments).result.unwrap();
}

// F71, F131
#[test]
fn an_account_serves_every_connector_that_names_it() {
    let mut stage = drawing_on_an_account(Connector::server(SERVER));
    stage.put(account(), Connector::account(ISSUER));
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!() };
    assert_eq!(challenge.connector, account());
    connect_account(&mut stage, &alice(), None);
    let ready = stage.ready(&alice());
    let attribution = ready.attribution();
    assert_eq!((&attribution.connector, &attribution.account), (&notes(), &Some(account())));
    assert_eq!((attribution.connection.is_some(), attribution.generation), (true, 1));
    let names: Vec<_> = ready.own_headers().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["Authorization", "X-Gateway"]);
    assert_eq!(whose(&mut stage, &alice()), "alice");
}

// USE-04
#[test]
fn a_rejected_token_of_an_account_is_refreshed_and_if_that_does_not_help_the_account_is_connected_anew() {
    let mut stage = drawing_on_an_account(Connector::server(SERVER));
    stage.put(account(), Connector::account(ISSUER));
    connect_account(&mut stage, &alice(), None);
    let first = stage.ready(&alice());
    let Rejection::Retry(second) = stage.rejected(&alice(), first.generation()) else { panic!("no retry") };
    assert_eq!(second.generation(), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
    let Rejection::Challenge(challenge) = stage.rejected(&alice(), 2) else { panic!("no challenge") };
    assert_eq!((challenge.connector, challenge.reason), (account(), ChallengeReason::Reconnect("rejected")));
    // One server that takes no token does not take the account from the others that draw on it.
    assert_eq!(stage.ready(&alice()).generation(), 2);
}

// F60, atk:TEN-07
#[test]
fn an_account_that_is_not_shared_serves_its_owner_alone_whatever_the_list_of_who_draws_on_it_says() {
    let mut stage = drawing_on_an_account(shared(vec![CredentialScope::Personal, CredentialScope::Team]));
    let list = vec![CredentialScope::Personal, CredentialScope::Team];
    stage.put(account(), Connector { sharing: true, precedence: list, ..Connector::account(ISSUER) });
    connect_account(&mut stage, &manager(), Some(Principal::team("red").unwrap()));
    assert_eq!(stage.ready(&member()).attribution().scope, "team");
    stage.put(account(), Connector::account(ISSUER));
    assert!(matches!(stage.resolve(&member()), Resolution::Challenge(_)));
    let operation = stage.engine.status_of(StatusOf { caller: member(), connector: notes() });
    let status = stage.drive(operation).result.unwrap();
    assert_eq!(status.per_user_auth.state, Status::Disconnected);
    assert!(status.accounts.iter().all(|row| row.owner == member().principal));
}

// atk:MIX-05
#[test]
fn a_connector_that_is_deleted_and_put_anew_at_another_issuer_does_not_use_the_old_ones_tokens() {
    let mut stage = drawing_on_an_account(Connector::server(SERVER));
    stage.put(account(), Connector::account(ISSUER));
    connect_account(&mut stage, &alice(), None);
    stage.ready(&alice());
    let delete = DeleteConnector { caller: admin(), id: account(), expected_revision: None };
    let operation = stage.engine.delete_connector(delete);
    assert!(stage.drive(operation).result.unwrap());
    stage.put(account(), Connector::account("https://evil.example"));
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!("the old issuer's token") };
    assert_eq!(challenge.reason, ChallengeReason::Reconnect("issuer_changed"));
}

// F125, F131
#[test]
fn a_stored_secret_is_injected_and_a_missing_one_is_asked_for() {
    let source = Source::Secret { name: "api-key".to_owned(), of: SecretOwner::User };
    let injections = vec![header("X-Api-Key", source, "")];
    let mut stage = Stage::with(config(), Connector { injections, ..Connector::server(SERVER) });
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!() };
    assert_eq!(challenge.reason, ChallengeReason::StoreSecret("api-key".to_owned()));
    assert!(challenge.render(Form::Text).body.contains("api-key"));
    let store =
        StoreSecret { caller: alice(), owner: None, name: "api-key".to_owned(), value: Secret::new("k-123") };
    let operation = stage.engine.store_secret(store);
    stage.drive(operation).result.unwrap();
    let ready = stage.ready(&alice());
    assert_eq!(ready.own_headers().next().unwrap().1.expose(), "k-123");
    assert!(matches!(stage.resolve(&user("bob")), Resolution::Challenge(_)));
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# A server MUST NOT be sent any token but one of its own issuer for its own resource, not even by way of a
//# redirect to another origin (USE-03, U).
// atk:AUD-06, atk:NET-06
#[test]
fn headers_are_given_for_the_connectors_own_url_and_below_and_for_nothing_else() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let ready = stage.ready(&alice());
    let moment = stage.world.moment();
    for url in [SERVER, "https://mcp.good/mcp/", "https://mcp.good/mcp/a/b", "https://mcp.good:443/mcp?x=1"] {
        let headers: Vec<_> = ready.headers(&moment, "POST", url).unwrap().collect();
        assert_eq!(headers.len(), 1, "{url}");
        assert_eq!(headers[0].0, "Authorization");
    }
    for url in [
        "https://evil.example/mcp",
        "https://mcp.good/",
        "https://mcp.good/mcp2",
        "https://mcp.good/mcp/../admin",
        "https://mcp.good/mcp%2f..",
        "https://mcp.good/MCP",
        "https://mcp.good:8443/mcp",
        "http://mcp.good/mcp",
        "https://user@mcp.good/mcp",
        "javascript:alert(1)",
    ] {
        let failure = ready.headers(&moment, "POST", url).err().unwrap();
        assert_eq!(failure.code(), Code::UrlNotCovered, "{url}");
    }
}

// atk:AUD-06, P13
#[test]
fn a_grant_for_the_whole_origin_is_still_used_for_the_connectors_own_url_alone() {
    let mut stage = Stage::new();
    stage.mcp.behave(|b| {
        b.challenged_metadata = None;
        b.metadata_at = vec![MetadataPlace::Root];
        b.metadata_edits.set("resource", "https://mcp.good");
    });
    stage.connect(&alice());
    let ready = stage.ready(&alice());
    assert!(ready.warnings().contains(&Warning::ParentGrant));
    let moment = stage.world.moment();
    assert!(ready.headers(&moment, "POST", SERVER).is_ok());
    for url in ["https://mcp.good/", "https://mcp.good/mcp2", "https://mcp.good/other/mcp"] {
        let failure = ready.headers(&moment, "POST", url).err().unwrap();
        assert_eq!(failure.code(), Code::UrlNotCovered, "{url}");
    }
}

// atk:AUD-06, P13
#[test]
fn a_token_does_not_follow_a_connector_that_moves() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.put(notes(), Connector::server("https://evil.example/mcp"));
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else {
        panic!("a token for another server")
    };
    assert_eq!(challenge.reason, ChallengeReason::Reconnect("resource_changed"));
}

// F91, F147
#[test]
fn pools_are_never_shared_between_owners_or_generations() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.connect(&user("bob"));
    let a = stage.ready(&alice()).pool_key().to_owned();
    let b = stage.ready(&user("bob")).pool_key().to_owned();
    assert_ne!(a, b);
    stage.world.advance(3_600_000);
    assert_ne!(stage.ready(&alice()).pool_key(), a);
}

// F75, F78, F79, F80
#[test]
fn a_challenge_leads_to_our_own_page_and_is_the_same_until_half_its_life() {
    let mut stage = Stage::new();
    let challenge = |stage: &mut Stage, caller: &Caller| match stage.resolve(caller) {
        Resolution::Challenge(challenge) => challenge,
        other => panic!("{other:?}"),
    };
    let first = challenge(&mut stage, &alice());
    let url = first.url.clone().unwrap();
    assert!(url.starts_with("https://gw.good/connect/") && !url.contains('?') && !url.contains("alice"));
    assert!(first.text().contains(&url));
    stage.world.advance(7 * 60_000);
    assert_eq!(challenge(&mut stage, &alice()).url, first.url);
    assert_ne!(challenge(&mut stage, &user("bob")).url, first.url);
    stage.world.advance(60_000);
    assert_ne!(challenge(&mut stage, &alice()).url, first.url);
    let body: serde_json::Value = serde_json::from_str(&first.render(Form::Http409).body).unwrap();
    assert_eq!(body["error"], "authorization_needed");
    assert_eq!(body["connect_url"], url);
}

// F129, P15
#[test]
fn a_kept_resolution_is_used_while_young_and_only_while_its_records_are_unchanged() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let cached = CachedResolution::new(*stage.ready(&alice()));
    let limits = stage.engine.config().limits.clone();
    let now = stage.world.now();
    assert_eq!(cached.freshness(now.plus(4_999), &limits), Freshness::Fresh);
    assert_eq!(cached.freshness(now.plus(5_000), &limits), Freshness::Renewable);
    assert_eq!(cached.freshness(now.minus(1), &limits), Freshness::Stale, "the clock went back");
    assert_eq!(cached.freshness(now.plus(3_600_000), &limits), Freshness::Stale, "a refresh is due");
    let operation = stage.engine.renew(&cached);
    assert!(stage.drive(operation).result.unwrap());
    stage.connect(&user("bob"));
    let operation = stage.engine.renew(&cached);
    assert!(stage.drive(operation).result.unwrap(), "what others do does not matter");
    stage.disconnect(&alice());
    let operation = stage.engine.renew(&cached);
    assert!(!stage.drive(operation).result.unwrap());
}
