use super::*;
use crate::limits::REVOCATION_TRIES;
use crate::operation::OperationId;
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::put_index;
use crate::store::records::{Binding, FlowHash, Ticket, TicketReason};
use crate::upstream::testing::{Desk, Fault, NOW, caller, connector_id, grant, place};
use crate::upstream::ticket::ticket_key;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn tenant() -> TenantId {
    caller("alice").tenant
}

fn sweep(desk: &mut Desk) -> Swept {
    desk.run(desk.engine.sweep(Sweep { tenant: tenant(), limit: 50, after: None })).unwrap()
}

fn enter(desk: &mut Desk, at: UnixMillis, target: &Key) -> Key {
    let entry = put_index(Key::expiry(&tenant(), at, target), None).key;
    desk.put_raw(&entry, Vec::new());
    entry
}

fn flow(status: FlowStatus) -> Flow {
    let alice = caller("alice").principal;
    Flow {
        status,
        created_at: NOW,
        expires_at: NOW.plus(10 * MINUTE),
        epoch: 0,
        owner: alice.clone(),
        principal: alice,
        connector: connector_id("files"),
        terms: grant("x").terms,
        iss_promised: true,
        redirect_uri: "https://gateway.example/mcp/callback".to_owned(),
        scopes: Scopes::default(),
        verifier: Secret::new("canary-verifier"),
        binding: Binding::Paste,
        consent: None,
        return_to: None,
        challenge: None,
    }
}

/// A flow with its entry, as `begin_connect` leaves them.
fn put_flow(desk: &mut Desk, seed: u8, status: FlowStatus) -> (Key, Key) {
    let key = Key::flow(&tenant(), &[seed; 32]);
    desk.put(&key, &flow(status));
    let entry = enter(desk, NOW.plus(10 * MINUTE + HOUR), &key);
    (key, entry)
}

fn parked(desk: &mut Desk) -> Connection {
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.park(grant("old").parked());
    let place = place("alice", "files");
    desk.put(&place.key(), &connection);
    let entry = place.sweep_at(NOW).key;
    desk.put_raw(&entry, Vec::new());
    connection
}

fn stored(desk: &Desk) -> Connection {
    desk.get(&place("alice", "files").key()).unwrap()
}

fn entries(desk: &Desk) -> Vec<u64> {
    desk.keys(&Key::all_expiry(&tenant())).iter().map(|key| key.minute().unwrap()).collect()
}

#[test]
fn flows_and_tickets_that_have_ended_are_removed_with_their_entries() {
    let mut desk = Desk::new();
    let statuses = [FlowStatus::Created, FlowStatus::Completed, FlowStatus::Failed, FlowStatus::Expired];
    for (seed, status) in (1..).zip(statuses) {
        put_flow(&mut desk, seed, status);
    }
    let damaged = Key::flow(&tenant(), &[9; 32]);
    desk.put_raw(&damaged, b"damaged".to_vec());
    enter(&mut desk, NOW, &damaged);
    let gone = Key::flow(&tenant(), &[8; 32]);
    enter(&mut desk, NOW, &gone);
    desk.pass(2 * HOUR);
    assert_eq!(sweep(&mut desk), Swept { removed: 5, ..Swept::default() });
    assert!(desk.rows().is_empty());
}

// atk:TOK-13
#[test]
fn nothing_is_removed_before_its_time_nor_by_a_clock_set_back() {
    let mut desk = Desk::new();
    let (key, entry) = put_flow(&mut desk, 1, FlowStatus::Created);
    let end = (NOW.plus(10 * MINUTE + HOUR).minute() + 1) * MINUTE;
    let ripe = UnixMillis(end).plus(desk.engine.limits().clock_skew_ms);
    for now in [NOW, NOW.plus(10 * MINUTE + HOUR), ripe.minus(1), NOW.minus(HOUR), UnixMillis(0)] {
        desk.now = now;
        assert_eq!(sweep(&mut desk), Swept::default());
        assert!(desk.has(&key) && desk.has(&entry));
    }
    desk.now = ripe;
    assert_eq!(sweep(&mut desk).removed, 1);
}

#[test]
fn an_entry_of_an_older_ticket_does_not_remove_the_one_that_has_taken_its_place() {
    let mut desk = Desk::new();
    let alice = caller("alice").principal;
    let twin_key = Key::ticket_of(&tenant(), &alice, &connector_id("files"), "connect");
    let younger = NOW.plus(3 * HOUR);
    let twin = TicketOf { ticket: Secret::new("t"), created_at: NOW.plus(2 * HOUR), expires_at: younger };
    desk.put(&twin_key, &twin);
    enter(&mut desk, NOW.plus(15 * MINUTE), &twin_key);
    enter(&mut desk, younger, &twin_key);
    let old = ticket_key(&tenant(), "old");
    let ticket = Ticket {
        principal: alice.clone(),
        connector: connector_id("files"),
        owner: alice,
        reason: TicketReason::Connect,
        created_at: NOW,
        expires_at: NOW.plus(15 * MINUTE),
        resource_metadata: None,
        scopes: None,
    };
    desk.put(&old, &ticket);
    enter(&mut desk, NOW.plus(15 * MINUTE), &old);
    desk.pass(2 * HOUR);
    assert_eq!(sweep(&mut desk).removed, 1);
    assert!(desk.has(&twin_key) && !desk.has(&old));
    desk.pass(2 * HOUR);
    assert_eq!(sweep(&mut desk).removed, 1);
    assert!(desk.rows().is_empty());
}

/// A claim whose operation never came to its end.
fn claimed(desk: &mut Desk, change: impl FnOnce(&mut Connection)) {
    put_flow(desk, 1, FlowStatus::Claimed(OperationId([2; 16])));
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.redeeming = true;
    connection.newest_flow = Some(FlowHash([1; 32]));
    change(&mut connection);
    desk.put(&place("alice", "files").key(), &connection);
    desk.pass(2 * HOUR);
}

#[test]
fn a_code_that_was_sent_and_never_answered_leaves_a_doubt() {
    let mut desk = Desk::new();
    claimed(&mut desk, |_| {});
    assert_eq!(sweep(&mut desk), Swept { removed: 1, abandoned: 1, ..Swept::default() });
    let connection = stored(&desk);
    assert!(connection.doubt && !connection.redeeming);
    assert_eq!(connection.last_failure.as_deref(), Some("network.outcome_unknown"));
    assert_eq!(desk.news(), [What::FlowFailed { slug: "network.outcome_unknown".to_owned() }]);
    assert_eq!(entries(&desk), Vec::<u64>::new());
}

#[test]
fn an_abandoned_flow_does_not_speak_for_what_came_after_it() {
    type Change = fn(&mut Connection);
    let changes: [(&str, Change); 3] = [
        ("disconnected", |c| c.empty()),
        ("a newer flow is being redeemed", |c| c.newest_flow = Some(FlowHash([5; 32]))),
        ("connected by a newer flow", |c| c.redeeming = false),
    ];
    for (name, change) in changes {
        let mut desk = Desk::new();
        claimed(&mut desk, change);
        let before = stored(&desk);
        assert_eq!(sweep(&mut desk), Swept { removed: 1, ..Swept::default() }, "{name}");
        assert_eq!(stored(&desk), before, "{name}");
        assert!(desk.news().is_empty() && entries(&desk).is_empty());
    }
}

#[test]
fn tokens_that_a_crash_has_left_parked_are_revoked() {
    let mut desk = Desk::new();
    parked(&mut desk);
    desk.pass(10 * MINUTE);
    desk.answers.extend([200, 200]);
    assert_eq!(sweep(&mut desk), Swept { drained: 1, ..Swept::default() });
    assert!(stored(&desk).outbox.is_empty() && entries(&desk).is_empty());
    let body = String::from_utf8(desk.requests[0].body.expose().to_vec()).unwrap();
    assert!(body.contains("canary-refresh-old"), "the refresh token first");
    assert_eq!(desk.news(), [What::Revoked, What::Revoked]);
}

#[test]
fn tokens_that_cannot_be_revoked_come_again_and_are_given_up_in_the_end() {
    let mut desk = Desk::new();
    parked(&mut desk);
    let mut last = Swept::default();
    for round in 0..REVOCATION_TRIES {
        desk.pass(10 * MINUTE);
        desk.answers.extend([503, 503]);
        last = sweep(&mut desk);
        assert_eq!(desk.requests.len(), 2 * usize::from(round + 1));
        assert!(entries(&desk).iter().all(|minute| *minute >= desk.now.minute()));
    }
    assert_eq!(last.drained, 1);
    let connection = stored(&desk);
    assert!(connection.outbox.is_empty() && connection.doubt, "the status says that they may live on");
    assert!(entries(&desk).is_empty());
    assert_eq!(desk.news(), [What::RevocationGivenUp, What::RevocationGivenUp]);
}

// atk:TEN-10
#[test]
fn a_purged_connection_goes_after_its_hour_and_not_before() {
    let mut desk = Desk::new();
    let place = place("alice", "files");
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.epoch = 4;
    connection.purged_until = Some(NOW.plus(HOUR));
    desk.put(&place.key(), &connection);
    // An earlier entry, for tokens that are revoked by now.
    for at in [NOW, NOW.plus(HOUR)] {
        desk.put_raw(&place.sweep_at(at).key, Vec::new());
    }
    desk.pass(30 * MINUTE);
    assert_eq!(sweep(&mut desk), Swept { postponed: 1, ..Swept::default() });
    assert_eq!((stored(&desk).epoch, entries(&desk)), (4, vec![NOW.plus(HOUR).minute()]));
    desk.pass(HOUR);
    assert_eq!(sweep(&mut desk), Swept { removed: 1, ..Swept::default() });
    assert!(desk.rows().is_empty());
}

#[test]
fn a_purged_connection_stays_while_tokens_are_parked_in_it_or_somebody_uses_it_again() {
    type Change = fn(&mut Connection);
    let changes: [Change; 3] = [
        |c| c.park(grant("old").parked()),
        |c| c.grant = Some(Box::new(grant("new"))),
        |c| c.redeeming = true,
    ];
    for change in changes {
        let mut desk = Desk::new();
        let place = place("alice", "files");
        let mut connection = Connection::new(OperationId([7; 16]));
        connection.purged_until = Some(NOW);
        change(&mut connection);
        desk.put(&place.key(), &connection);
        desk.put_raw(&place.sweep_at(NOW).key, Vec::new());
        desk.pass(HOUR);
        desk.answers.extend([503, 503]);
        assert_eq!(sweep(&mut desk).removed, 0);
        assert!(desk.has(&place.key()));
    }
}

#[test]
fn a_connection_that_does_not_open_is_looked_at_again_later() {
    let mut desk = Desk::new();
    let place = place("alice", "files");
    desk.put_raw(&place.key(), b"damaged".to_vec());
    desk.put_raw(&place.sweep_at(NOW).key, Vec::new());
    desk.pass(10 * MINUTE);
    assert_eq!(sweep(&mut desk), Swept { postponed: 1, ..Swept::default() });
    assert_eq!(entries(&desk), [desk.now.plus(HOUR).minute()]);
    assert!(desk.has(&place.key()));
}

#[test]
fn a_call_is_bounded_and_says_whether_more_is_there() {
    let mut desk = Desk::new();
    for seed in 0..120 {
        put_flow(&mut desk, seed, FlowStatus::Expired);
    }
    desk.put_raw(&place("alice", "files").sweep_at(NOW.plus(9 * HOUR)).key, Vec::new());
    desk.pass(2 * HOUR);
    let (mut removed, mut after) = (Vec::new(), None);
    loop {
        let Swept { removed: some, next, .. } =
            desk.run(desk.engine.sweep(Sweep { tenant: tenant(), limit: u32::MAX, after })).unwrap();
        removed.push(some);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((removed.as_slice(), entries(&desk).len()), ([50, 50, 20].as_slice(), 1));
}

#[test]
fn an_entry_that_names_nothing_goes_and_stands_in_nobodys_way() {
    let mut desk = Desk::new();
    desk.put_raw(&Key::all_expiry(&tenant()), Vec::new());
    desk.put_raw(&Key::expiry_at(&tenant(), NOW), Vec::new());
    put_flow(&mut desk, 1, FlowStatus::Expired);
    desk.pass(2 * HOUR);
    assert_eq!(sweep(&mut desk), Swept { removed: 1, ..Swept::default() });
    assert!(desk.rows().is_empty());
}

#[test]
fn an_unknown_commit_or_a_conflict_is_made_good_by_the_next_call() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
        let mut desk = Desk::new();
        put_flow(&mut desk, 1, FlowStatus::Expired);
        desk.pass(2 * HOUR);
        desk.faults.push_back(fault);
        sweep(&mut desk);
        sweep(&mut desk);
        assert!(desk.rows().is_empty(), "{fault:?}");

        claimed(&mut desk, |_| {});
        desk.faults.push_back(fault);
        assert_eq!(sweep(&mut desk).abandoned, 1, "{fault:?}");
        assert!(stored(&desk).doubt && entries(&desk).is_empty());
    }
}

#[test]
fn another_tenant_is_not_touched() {
    let mut desk = Desk::new();
    let other = TenantId::new("other").unwrap();
    let key = Key::flow(&other, &[1; 32]);
    desk.put(&key, &flow(FlowStatus::Expired));
    desk.put_raw(&put_index(Key::expiry(&other, NOW, &key), None).key, Vec::new());
    desk.pass(2 * HOUR);
    let rows = desk.rows().clone();
    assert_eq!(sweep(&mut desk), Swept::default());
    assert_eq!(*desk.rows(), rows);
}
