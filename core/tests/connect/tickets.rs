//! Connect links: what they show, whom they serve, and that they are good once.

use grantway_core::connector::CredentialScope;
use grantway_core::principal::{Caller, ConnectorId, Principal, PrincipalId, Team, TeamRole};
use grantway_core::secret::Secret;
use grantway_core::store::Kind;
use grantway_core::upstream::open_ticket::{OpenTicket, OpenedTicket, TicketReason};
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected};
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_testing::{CommitFault, Lands, Request, Schedule, Worker, interleave, rpc};
use serde_json::json;

use crate::setting::{SERVER, Setting, caller, name, parameters};

impl Setting {
    /// The link that Alice gets when she wants to call a tool.
    fn ticket(&mut self) -> String {
        let operation = self.engine.resolve(Resolve::new(self.alice.clone(), name("mcp")));
        match self.run(operation).unwrap() {
            Resolution::Challenge(challenge) => challenge.ticket.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, ticket: &str) -> Result<OpenedTicket, &'static str> {
        let ticket = OpenTicket { caller: self.alice.clone(), ticket: ticket.to_owned() };
        let operation = self.engine.open_ticket(ticket);
        self.run(operation).map_err(|failure| failure.slug())
    }

    /// The slug that beginning with a ticket ends in.
    fn begin_because(&mut self, ticket: &str) -> Result<String, &'static str> {
        self.begin_with(|asked| asked.because = Some(ticket.to_owned()))
            .map(|redirect| redirect.url)
            .map_err(|failure| failure.slug())
    }
}

const UNKNOWN: &str = "user.ticket_unknown";

// atk:CSR-04
#[test]
fn opening_a_link_shows_what_it_is_for_and_changes_nothing() {
    let mut setting = Setting::new();
    let ticket = setting.ticket();
    let rows = setting.world.store.rows().clone();
    setting.asked_urls();
    for _ in 0..3 {
        let opened = setting.open(&ticket).unwrap();
        assert_eq!((opened.connector.as_str(), opened.reason), ("mcp", TicketReason::Connect));
        assert_eq!(opened.owner, setting.alice.principal);
        assert_eq!(opened.expires_at, setting.world.now().plus(15 * 60_000));
    }
    assert_eq!(setting.world.store.rows(), &rows);
    assert_eq!(setting.asked_urls(), Vec::<String>::new());
    setting.begin_because(&ticket).unwrap();
}

// atk:CSR-04, atk:TEN-05
#[test]
fn a_link_is_nothing_in_other_hands() {
    let mut setting = Setting::new();
    let ticket = setting.ticket();
    let alice = setting.alice.clone();
    for other in [
        caller("mallory"),
        Caller::new("globex", alice.principal.clone()).unwrap(),
        Caller::new("acme", Principal::team("alice").unwrap()).unwrap(),
    ] {
        setting.alice = other;
        assert_eq!(setting.open(&ticket), Err(UNKNOWN));
        assert!(matches!(setting.begin_because(&ticket), Err(UNKNOWN | "config.connector_unknown")));
    }
    setting.alice = alice;
    let other_end = if ticket.ends_with('A') { 'B' } else { 'A' };
    let bent = format!("{}{other_end}", &ticket[..ticket.len() - 1]);
    for text in ["", "x", bent.as_str(), &ticket[..ticket.len() - 1]] {
        assert_eq!(setting.open(text), Err(UNKNOWN));
        assert_eq!(setting.begin_because(text), Err(UNKNOWN));
    }
    setting.put("other", SERVER, |_| {});
    let elsewhere = setting.begin_with(|asked| {
        asked.connector = name("other");
        asked.because = Some(ticket.clone());
    });
    assert_eq!(elsewhere.unwrap_err().slug(), UNKNOWN);
    setting.begin_because(&ticket).unwrap();
}

#[test]
fn a_link_begins_one_flow() {
    let mut setting = Setting::new();
    let ticket = setting.ticket();
    setting.begin_because(&ticket).unwrap();
    assert_eq!(setting.open(&ticket), Err(UNKNOWN));
    assert_eq!(setting.begin_because(&ticket), Err(UNKNOWN));
    assert_eq!(setting.world.store.rows_of(Kind::Ticket).len(), 0);
    assert_eq!(setting.world.store.rows_of(Kind::TicketOf).len(), 0);
    // The next challenge has another link.
    assert_ne!(setting.ticket(), ticket);
}

#[test]
fn two_who_use_one_link_at_once_begin_one_flow() {
    for seed in 0..40 {
        let mut setting = Setting::new();
        let ticket = setting.ticket();
        let begin = || {
            let mut asked = setting.asked();
            asked.because = Some(ticket.clone());
            Worker::new(setting.engine.begin_connect(asked))
        };
        let (mut a, mut b) = (begin(), begin());
        let order: Vec<usize> = (0..60).map(|n| (seed >> (n % 6)) & 1).collect();
        let order = order.into_iter().scan([0usize; 2], |taken, worker| {
            taken[worker] += 1;
            Some((taken[worker] <= 6).then_some(worker))
        });
        let order: Vec<usize> = order.flatten().collect();
        interleave(&mut setting.world, &mut [&mut a, &mut b], Schedule::Listed(&order));
        let results = [a, b].map(|mut worker| worker.outcome().unwrap().result.map_err(|f| f.slug()).err());
        let won = results.iter().filter(|result| result.is_none()).count();
        assert_eq!((won, setting.world.store.rows_of(Kind::Flow).len()), (1, 1), "{results:?} seed {seed}");
        assert!(results.contains(&Some(UNKNOWN)));
    }
}

#[test]
fn a_link_that_has_ended_is_gone_before_that_is_said() {
    for with_begin in [false, true] {
        let mut setting = Setting::new();
        let ticket = setting.ticket();
        let start = setting.world.now();
        setting.world.advance(15 * 60_000);
        let end = |setting: &mut Setting| {
            if with_begin {
                setting.begin_because(&ticket).unwrap_err()
            } else {
                setting.open(&ticket).unwrap_err()
            }
        };
        // Nothing is said while it is not known to be gone.
        setting.world.on_commit(1, CommitFault::Unavailable);
        assert_eq!(end(&mut setting), "store.unavailable");
        setting.world.on_commit(1, CommitFault::Unknown(Lands::Never));
        assert_eq!(end(&mut setting), UNKNOWN);
        // A clock set back does not bring it back.
        setting.world.set_clock(start);
        assert_eq!(end(&mut setting), UNKNOWN);
        assert_eq!(setting.world.store.rows_of(Kind::Ticket).len(), 0);
        assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), 0);
    }
}

#[test]
fn a_link_from_the_future_is_not_good() {
    let mut setting = Setting::new();
    let start = setting.world.now();
    setting.world.set_clock(start.plus(3_600_000));
    let ticket = setting.ticket();
    setting.world.set_clock(start);
    assert_eq!(setting.open(&ticket), Err(UNKNOWN));
}

#[test]
fn the_link_says_whose_connection_it_is_for() {
    let mut setting = Setting::new();
    setting.put("mcp", SERVER, |mcp| {
        mcp.sharing = true;
        mcp.precedence = vec![CredentialScope::Team];
    });
    setting.alice.teams = vec![Team { id: PrincipalId::new("blue").unwrap(), role: TeamRole::Manager }];
    let ticket = setting.ticket();
    let blue = Principal::team("blue").unwrap();
    assert_eq!(setting.open(&ticket).unwrap().owner, blue);
    let for_herself = setting.begin_with(|asked| {
        asked.because = Some(ticket.clone());
        asked.owner = Some(asked.caller.principal.clone());
    });
    assert_eq!(for_herself.unwrap_err().slug(), UNKNOWN);
    let redirect = setting.begin_with(|asked| asked.because = Some(ticket.clone())).unwrap();
    let callback = setting.issuer.approve(&redirect.url);
    assert_eq!(setting.complete(&redirect, &callback).unwrap().owner, blue);
}

/// Reports that a call with Alice's credential was refused with this response.
fn report(setting: &mut Setting, operation: &str, scope: &str) -> String {
    let resolve = setting.engine.resolve(Resolve::new(setting.alice.clone(), name("mcp")));
    let Resolution::Ready(ready) = setting.run(resolve).unwrap() else { panic!("not connected") };
    let named = "https://mcp.good/.well-known/oauth-protected-resource/mcp";
    let header =
        format!(r#"Bearer error="insufficient_scope", scope="{scope}", resource_metadata="{named}""#);
    let report = ReportRejected {
        caller: setting.alice.clone(),
        connector: ConnectorId::new("mcp").unwrap(),
        connection: ready.attribution().connection,
        generation: ready.generation(),
        operation: operation.to_owned(),
        status: 403,
        headers: vec![("WWW-Authenticate".to_owned(), Secret::new(header))],
        wait_ms: 0,
    };
    let operation = setting.engine.report_rejected(report);
    match setting.run(operation).unwrap() {
        Rejection::Challenge(challenge) => challenge.ticket.clone().unwrap(),
        other => panic!("{other:?}"),
    }
}

//= spec/derived.md#step-05
//= type=test
//# What was requested before MUST come from our own record, never from `scopes_supported`, as a
//# case-sensitive set without order or hierarchy (STEP-05, U, derived).
// conformance 9
#[test]
fn a_step_up_asks_for_what_was_asked_before_and_what_is_wanted_now() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| {
        mcp.challenged_scope = Some("mcp:basic".into());
        mcp.scopes_supported = Some(vec!["mcp:profile".into()]);
    });
    setting.connect();
    let ticket = report(&mut setting, "tools/call test", "mcp:write");
    assert_eq!(setting.open(&ticket).unwrap().reason, TicketReason::StepUp);
    setting.asked_urls();
    let url = setting.begin_because(&ticket).unwrap();
    assert_eq!(parameters(&url).get("scope"), Some("mcp:basic mcp:write"));
    // The challenge at hand says where to look; the server is not asked for another.
    assert_eq!(setting.asked_urls(), ["https://mcp.good/.well-known/oauth-protected-resource/mcp"]);
}

//= spec/derived.md#step-05
//= type=test
//# What was requested before MUST come from our own record, never from `scopes_supported`, as a
//# case-sensitive set without order or hierarchy (STEP-05, U, derived).
// A link knows what had been requested when it was made; our own record knows what was requested since.
#[test]
fn a_step_up_keeps_what_another_one_has_reached_meanwhile() {
    let mut setting = Setting::new();
    setting.connect();
    let (read, write) = (report(&mut setting, "read", "read"), report(&mut setting, "write", "write"));
    let redirect = setting.begin_with(|asked| asked.because = Some(read)).unwrap();
    let callback = setting.issuer.approve(&redirect.url);
    setting.complete(&redirect, &callback).unwrap();
    let url = setting.begin_because(&write).unwrap();
    assert_eq!(parameters(&url).get("scope"), Some("read write"));
}

//= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
//= type=test
//# The `scope` of a challenge MUST be taken as what the current operation needs, and the engine MUST NOT
//# expect of it any relation to `scopes_supported` (CH-06, U).
#[test]
fn without_a_named_url_the_server_is_asked_but_the_scopes_at_hand_count() {
    let mut setting = Setting::new();
    setting.connect();
    setting.mcp.behave(|mcp| mcp.challenged_scope = Some("other".into()));
    let ticket = report(&mut setting, "x", "wanted");
    setting.world.network.clear_log();
    let url = setting.begin_because(&ticket).unwrap();
    assert_eq!(parameters(&url).get("scope"), Some("wanted"));
}

#[test]
fn a_host_that_calls_without_a_token_gets_the_same_challenge() {
    let mut setting = Setting::new();
    let response = setting.world.send(Request::post_json(SERVER, &rpc("tools/list", json!({}))));
    assert_eq!(response.status, 401);
    let headers =
        vec![("WWW-Authenticate".to_owned(), Secret::new(response.one("www-authenticate").unwrap()))];
    let operation = setting.engine.report_rejected(ReportRejected {
        caller: setting.alice.clone(),
        connector: name("mcp"),
        connection: None,
        generation: 0,
        operation: "tools/list".to_owned(),
        status: 401,
        headers,
        wait_ms: 0,
    });
    let Rejection::Challenge(challenge) = setting.run(operation).unwrap() else { panic!("no challenge") };
    let ticket = challenge.ticket.clone().unwrap();
    setting.asked_urls();
    setting.begin_because(&ticket).unwrap();
    assert!(!setting.asked_urls().contains(&SERVER.to_owned()));
}

// R34: what was requested in the past is not what the server wants now.
#[test]
fn a_reconnect_asks_for_what_is_wanted_now() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["old".into()]));
    setting.issuer.behave(|issuer| issuer.refresh_tokens = false);
    setting.connect();
    setting.world.advance(2 * 3_600_000);
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["new".into()]));
    let ticket = setting.ticket();
    assert_eq!(setting.open(&ticket).unwrap().reason, TicketReason::Reconnect);
    let url = setting.begin_because(&ticket).unwrap();
    assert_eq!(parameters(&url).get("scope"), Some("new"));
}
