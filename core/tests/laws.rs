//! Laws of whole operations: whatever a host answers, and whenever, they end; the same arguments lead to the same steps; misuse changes
//! nothing; records round-trip; no secret is shown.

mod stage;

use std::fmt::Debug;

use grantway_core::connector::Connector;
use grantway_core::message;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{
    CommitReply, Effect, HttpReply, HttpResponse, Machine, NotSent, Operation, Outcome, Peer, ReadReply,
    Reply, ScanReply, Step, Versioned,
};
use grantway_core::protocol::www_authenticate;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::seam::{open_record, opened_bytes};
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::disconnect::Disconnect;
use grantway_core::upstream::refresh_due::RefreshDue;
use grantway_core::upstream::report_rejected::ReportRejected;
use grantway_core::upstream::resolve::Resolve;
use grantway_core::upstream::sweep::Sweep;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use stage::{SERVER, Stage, alice, config, notes};

/// An operation on a connection that is there, and whose access token has run out.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Begin,
    Complete,
    Disconnect,
    RefreshDue,
    Reject(u16),
    Resolve,
    Sweep,
}

/// What the host answers to one effect.
#[derive(Clone, Debug)]
enum Answered {
    /// What the world says.
    Rightly,
    /// The store or the network does not.
    Away,
    /// It was done, and the answer is lost.
    Lost,
    /// A peer's answer with this status, these bytes and this header instead; a read finds this value, a commit conflicts.
    Otherwise(u16, Vec<u8>, &'static str, Index),
    /// Rightly, after a jump of the clock.
    Late(i64),
}

fn asked() -> impl Strategy<Value = Asked> {
    select(vec![
        Asked::Begin,
        Asked::Complete,
        Asked::Disconnect,
        Asked::RefreshDue,
        Asked::Reject(401),
        Asked::Reject(403),
        Asked::Resolve,
        Asked::Sweep,
    ])
}

fn answered() -> impl Strategy<Value = Answered> {
    let body = prop_oneof![
        vec(any::<u8>(), 0..40),
        select(vec![
            &br#"{"error":"invalid_grant"}"#[..],
            br#"{"error":"invalid_client"}"#,
            br#"{"access_token":"canary-odd-token","expires_in":-1}"#,
            br#"{"access_token":"canary-odd-token","refresh_token":"canary-odd-token"}"#,
            br#"{"issuer":"https://as.evil","token_endpoint":"https://as.evil/token"}"#,
            br#"{"resource":"https://mcp.good/mcp","authorization_servers":["https://as.evil"]}"#,
            b"[[[[[[[[[[[[[[[[[[[[[[",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let status = select(vec![200u16, 201, 302, 400, 401, 403, 404, 429, 500, 502, 503, 0, u16::MAX]);
    let header = select(vec![
        "Bearer resource_metadata=\"https://as.evil/prm\"",
        "Bearer error=\"insufficient_scope\", scope=\"admin\"",
        "Bearer \"",
    ]);
    prop_oneof![
        6 => Just(Answered::Rightly),
        1 => Just(Answered::Away),
        1 => Just(Answered::Lost),
        2 => (status, body, header, any::<Index>()).prop_map(|(s, b, h, i)| Answered::Otherwise(s, b, h, i)),
        1 => select(vec![-86_400_000, -180_000, 61_000, 3_600_000, i64::MAX, i64::MIN]).prop_map(Answered::Late),
    ]
}

/// The steps of one run: every effect and the outcome, in all forms in which they are shown or sent.
#[derive(Debug, Default, PartialEq)]
struct Steps {
    /// As a host in another language gets them.
    sent: Vec<Vec<u8>>,
    /// As a log shows them.
    shown: Vec<String>,
}

struct Play {
    stage: Stage,
    answers: Vec<Answered>,
    misuse: bool,
    steps: Steps,
}

impl Play {
    /// Alice is connected, and her token has run out.
    fn new(answers: &[Answered], misuse: bool) -> Self {
        let mut stage = Stage::with(config(), Connector::server(SERVER));
        stage.issuer.behave(|b| b.id_tokens = true);
        stage.connect(&alice());
        stage.world.advance(3_600_000);
        Self { stage, answers: answers.to_vec(), misuse, steps: Steps::default() }
    }

    fn of(asked: Asked, answers: &[Answered], misuse: bool) -> Self {
        let mut play = Self::new(answers, misuse);
        let engine = play.stage.engine.clone();
        let (caller, connector) = (alice(), notes());
        match asked {
            Asked::Begin => play.run(engine.begin_connect(BeginConnect::new(caller, connector))),
            Asked::Complete => {
                let redirect = play.stage.begin(&caller);
                let url = play.stage.issuer.approve_as("alice", &redirect.url);
                let arguments = play.stage.callback(&caller, &redirect, &url);
                play.run(engine.complete_connect(arguments));
            }
            Asked::Disconnect => play.run(engine.disconnect(Disconnect { caller, connector, owner: None })),
            Asked::RefreshDue => {
                play.run(engine.refresh_due(RefreshDue { tenant: caller.tenant, limit: 20, after: None }))
            }
            Asked::Reject(status) => {
                let challenge = Secret::new("Bearer error=\"insufficient_scope\", scope=\"more\"");
                play.run(engine.report_rejected(ReportRejected {
                    caller,
                    connector,
                    connection: None,
                    generation: 1,
                    operation: "tools/call".to_owned(),
                    status,
                    headers: vec![("WWW-Authenticate".to_owned(), challenge)],
                    wait_ms: 10_000,
                }));
            }
            Asked::Resolve => play.run(engine.resolve(Resolve::new(caller, connector))),
            Asked::Sweep => play.run(engine.sweep(Sweep { tenant: caller.tenant, limit: 20, after: None })),
        }
        play
    }

    fn run<M: Machine>(&mut self, mut operation: Operation<M>)
    where
        M::Output: Debug,
    {
        let mut reply = Reply::Start;
        let mut answers = std::mem::take(&mut self.answers).into_iter();
        for step in 0..STEPS_MAX {
            let moment = self.stage.world.moment();
            if self.misuse {
                misuse(&mut operation, &moment, &reply, step);
            }
            match operation.step(&moment, reply).expect("a right reply") {
                Step::Perform(effect) => {
                    self.steps.sent.push(message::effect(&effect).expose().to_vec());
                    self.steps.shown.push(format!("{effect:?}"));
                    if let Effect::Http(request) = &effect {
                        self.steps.shown.push(request.url.clone());
                    }
                    reply = self.answer(effect, answers.next().unwrap_or(Answered::Rightly));
                }
                Step::Done(outcome) => return self.ended(&outcome),
            }
        }
        panic!("the operation does not end");
    }

    fn ended<T: Debug>(&mut self, outcome: &Outcome<T>) {
        let events = serde_json::to_string(&outcome.events).unwrap();
        self.steps.shown.extend([format!("{outcome:?}"), events]);
        if let Err(failure) = &outcome.result {
            self.steps.shown.push(failure.to_string());
        }
    }

    fn answer(&mut self, effect: Effect, how: Answered) -> Reply {
        if let Answered::Late(ms) = how {
            let now = self.stage.world.now().0.saturating_add_signed(ms);
            self.stage.world.set_clock(UnixMillis(now));
        }
        let unavailable = matches!(how, Answered::Away);
        match (&effect, how) {
            (Effect::Commit { .. }, Answered::Away) => return Reply::Commit(CommitReply::Unavailable),
            (Effect::Commit { .. }, Answered::Otherwise(..)) => return Reply::Commit(CommitReply::Conflict),
            (Effect::Read { .. }, Answered::Away | Answered::Lost) => {
                return Reply::Read(ReadReply::Unavailable);
            }
            (Effect::Scan { .. }, Answered::Away | Answered::Lost) => {
                return Reply::Scan(ScanReply::Unavailable);
            }
            (Effect::Http(_), Answered::Otherwise(status, body, challenge, _)) => {
                return Reply::Http(HttpReply::Response(HttpResponse {
                    status,
                    headers: vec![("WWW-Authenticate".to_owned(), challenge.to_owned())],
                    body: SecretBytes::new(body),
                    truncated: false,
                    peer: Peer::Address([93, 184, 216, 34].into()),
                }));
            }
            (Effect::Read { keys }, Answered::Otherwise(_, value, _, at)) => {
                let mut found = self.stage.world.store.read(keys);
                let version = found[at.index(keys.len())].as_ref().map(|seen| seen.version);
                found[at.index(keys.len())] = version.map(|version| Versioned { value, version });
                return Reply::Read(ReadReply::Found(found));
            }
            (Effect::Http(_), Answered::Away) => {
                return Reply::Http(HttpReply::NotSent(NotSent::Unreachable));
            }
            (Effect::Commit { .. } | Effect::Http(_), Answered::Lost) => {
                let is_commit = matches!(effect, Effect::Commit { .. });
                self.stage.world.perform(effect, 0).expect("no crash is planned");
                return match is_commit {
                    true => Reply::Commit(CommitReply::Unknown),
                    false => Reply::Http(HttpReply::UnknownOutcome),
                };
            }
            _ => {}
        }
        assert!(!unavailable || matches!(effect, Effect::Sleep { .. }));
        self.stage.world.perform(effect, 0).expect("no crash is planned")
    }

    /// The tokens that are good now, and every code, verifier and refresh token that was ever sent.
    fn secrets(&self) -> Vec<String> {
        let now = self.stage.world.now();
        let (access, refresh) =
            (self.stage.issuer.live_access_tokens(now), self.stage.issuer.live_refresh_tokens());
        let posts = self.stage.world.network.seen("POST", "https://as.good/token");
        let sent = posts.iter().filter_map(|post| {
            let form = post.form().ok()?;
            let named = ["code", "code_verifier", "refresh_token"].into_iter();
            Some(named.filter_map(|name| form.get(name).map(str::to_owned)).collect::<Vec<_>>())
        });
        access
            .into_iter()
            .chain(refresh)
            .chain(sent.flatten())
            .chain(["canary-odd-token".to_owned()])
            .collect()
    }
}

/// LIMIT: waiting ten seconds for a lease takes the most.
const STEPS_MAX: usize = 200;

fn misuse<M: Machine>(operation: &mut Operation<M>, moment: &Moment, right: &Reply, step: usize)
where
    M::Output: Debug,
{
    let zeros = Moment::new(moment.now, [0; 32]);
    assert!(operation.step(&zeros, Reply::Start).is_err());
    let wrong = [
        Reply::Woke { after_ms: 1 },
        Reply::Commit(CommitReply::Committed),
        Reply::Http(HttpReply::UnknownOutcome),
        Reply::Read(ReadReply::Unavailable),
        Reply::Scan(ScanReply::Unavailable),
    ];
    let wrong = wrong.into_iter().nth(step % 5).expect("one of five");
    if std::mem::discriminant(&wrong) != std::mem::discriminant(right) {
        assert!(operation.step(moment, wrong).is_err());
    }
}

/// The challenge fields of a server that writes as it likes.
fn fields() -> impl Strategy<Value = Vec<String>> {
    let piece = select(vec![
        "Bearer",
        "DPoP",
        "Basic",
        " ",
        ", ",
        ",",
        "=",
        "\"",
        "\\",
        "a",
        "scope=\"a b\"",
        "error=x",
        "abc==",
        "\t",
        "é",
    ]);
    vec(vec(piece, 1..8).prop_map(|pieces| pieces.concat()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_answered_an_operation_ends_and_shows_no_secret(asked in asked(), answers in vec(answered(), 0..30)) {
        // atk:IMP-03, atk:IMP-09
        let play = Play::of(asked, &answers, false);
        for secret in play.secrets() {
            prop_assert!(play.steps.shown.iter().all(|shown| !shown.contains(&secret)), "{secret}: {:?}", play.steps.shown);
        }
    }

    #[test]
    fn the_same_arguments_lead_to_the_same_steps_with_misuse_in_between(
        asked in asked(), answers in vec(answered(), 0..20),
    ) {
        // atk:IMP-17
        let (plain, misused) = (Play::of(asked, &answers, false), Play::of(asked, &answers, true));
        prop_assert_eq!(&plain.steps.shown, &misused.steps.shown);
        prop_assert!(plain.steps.sent == misused.steps.sent);
        prop_assert_eq!(plain.stage.world.store.rows(), misused.stage.world.store.rows());
    }

    #[test]
    fn every_record_that_an_operation_wrote_is_read_and_written_the_same(
        asked in asked(), answers in vec(answered(), 0..30),
    ) {
        // atk:IMP-14
        let play = Play::of(asked, &answers, false);
        let (engine, store) = (&play.stage.engine, &play.stage.world.store);
        let moment = Moment::new(UnixMillis(1), [9; 32]);
        let mut records = 0;
        for (key, row) in store.rows().iter().filter(|(_, row)| !row.value.is_empty()) {
            let stored = Versioned { value: row.value.clone(), version: row.version };
            let record = open_record(engine, key, &stored).expect("an operation wrote it");
            let again = record.seal(engine, &moment);
            prop_assert_eq!(opened_bytes(engine, key, &again), opened_bytes(engine, key, &row.value), "{:?}", key);
            records += 1;
        }
        prop_assert!(records > 0);
    }

    #[test]
    fn any_challenges_mean_the_same_in_one_field_and_in_several(fields in fields()) {
        let parse = |fields: &[String]| www_authenticate::parse(fields.iter().map(String::as_str));
        let split = parse(&fields);
        // A field that breaks off takes down what is behind it in the same field, and no other.
        let broken = split.iter().any(|challenge| challenge.is_malformed()) || parse(&fields[..1]).is_empty();
        if !broken {
            prop_assert_eq!(parse(&[fields.join(", ")]), split);
        }
    }
}
