//! The simulated world: it carries out effects, and decides time, chance and what goes wrong.

use std::fmt::Write as _;

use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{
    CommitReply, Effect, HttpReply, IdentityReply, NotSent, ReadReply, Reply, ScanReply, Whom, Write,
};
use grantway_core::principal::{Caller, TenantId};
use grantway_core::secret::Secret;
use grantway_core::store::{Key, Kind};
use sha2::{Digest, Sha256};

use crate::fault::{CommitFault, Crashed, HttpFault, Lands, Plan};
use crate::message::{Request, Response};
use crate::network::{Network, Server};
use crate::store::{Store, kind_of};

/// A clock, a stream of entropy, one store and one network. The seed is printed when a test fails.
#[derive(Debug)]
pub struct World {
    /// The records.
    pub store: Store,
    /// The hosts.
    pub network: Network,
    now: UnixMillis,
    elapsed_ms: u64,
    seed: u64,
    draws: u64,
    effects: u32,
    commit_faults: Plan<CommitFault>,
    read_faults: Plan<()>,
    http_faults: Plan<HttpFault>,
    /// Whom the host knows, and what it says of them.
    identities: Vec<(Whom, IdentityReply)>,
    crash_at: Option<u32>,
    /// Commits whose answer was lost: from which effect on they land.
    late: Vec<(u32, Vec<Write>)>,
    trace: Vec<String>,
}

impl World {
    /// A world seeded by the environment variable `GRANTWAY_SEED`, or by 1.
    ///
    /// # Panics
    /// The variable is no number.
    pub fn new() -> Self {
        let seed = std::env::var("GRANTWAY_SEED");
        Self::seeded(seed.map_or(1, |seed| seed.parse().expect("GRANTWAY_SEED is a number")))
    }

    /// A world with a seed of its own.
    pub fn seeded(seed: u64) -> Self {
        Self {
            store: Store::default(),
            network: Network::default(),
            now: START,
            elapsed_ms: 0,
            seed,
            draws: 0,
            effects: 0,
            commit_faults: Plan::new(),
            read_faults: Plan::new(),
            http_faults: Plan::new(),
            identities: Vec::new(),
            crash_at: None,
            late: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// The wall clock.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// The monotonic clock: milliseconds since the world began, jumps of the wall clock left out.
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.elapsed_ms = self.elapsed_ms.saturating_add(ms);
    }

    /// Makes the wall clock jump; no time passes.
    pub fn set_clock(&mut self, now: UnixMillis) {
        self.now = now;
    }

    /// The moment of one step: the time, and entropy that no other step gets.
    pub fn moment(&mut self) -> Moment {
        self.moment_at(self.now)
    }

    /// As [`World::moment`], for a host whose clock differs.
    pub fn moment_at(&mut self, now: UnixMillis) -> Moment {
        Moment::new(now, self.draw())
    }

    /// A number below `bound`, from the seed.
    ///
    /// # Panics
    /// The bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bytes = self.draw();
        usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) % bound
    }

    /// Puts a server at an origin, see [`Network::host`].
    pub fn host(&mut self, origin: &str, server: impl Server + 'static) {
        self.network.host(origin, server);
    }

    /// Sends a request that is none of the engine's, such as the host's own call of a tool. No fault meets it.
    pub fn send(&mut self, request: Request) -> Response {
        let response = self.network.send(request, self.now);
        self.advance(response.delay_ms);
        response
    }

    /// The `nth` commit from now on (from 1) goes wrong.
    pub fn on_commit(&mut self, nth: u32, fault: CommitFault) {
        self.commit_faults.add("", nth, fault);
    }

    /// The `nth` read or scan from now on (from 1) finds the store unavailable.
    pub fn on_read(&mut self, nth: u32) {
        self.read_faults.add("", nth, ());
    }

    /// The `nth` exchange from now on (from 1) with a URL that contains `url_part` goes wrong.
    pub fn on_http(&mut self, url_part: &str, nth: u32, fault: HttpFault) {
        self.http_faults.add(url_part, nth, fault);
    }

    /// From now on the host knows this caller by its principal, as it stands here.
    pub fn know(&mut self, caller: Caller) {
        let whom = Whom::Principal(caller.principal.clone());
        self.identify_as(whom, IdentityReply::Caller(Box::new(caller)));
    }

    /// From now on the host knows this caller by an API key.
    pub fn know_key(&mut self, key: &str, caller: Caller) {
        self.identify_as(Whom::Key(Secret::new(key)), IdentityReply::Caller(Box::new(caller)));
    }

    /// What the host says from now on when it is asked about somebody. Of whom nothing was said, it says `rejected`.
    pub fn identify_as(&mut self, whom: Whom, reply: IdentityReply) {
        self.identities.retain(|(known, _)| *known != whom);
        self.identities.push((whom, reply));
    }

    /// The process dies after the `nth` effect from now on (from 1) is carried out; its reply is lost with the operation.
    pub fn crash_after(&mut self, nth: u32) {
        assert!(nth > 0, "effects are counted from 1");
        self.crash_at = Some(self.effects + nth);
    }

    /// What was asked for and answered, a line for each effect, without secrets.
    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// Carries out an effect that the host has held for so long (that is what `start_within_ms` is about).
    ///
    /// # Errors
    /// The process dies here.
    ///
    /// # Panics
    /// The effect breaks its contract.
    pub fn perform(&mut self, effect: Effect, held_ms: u64) -> Result<Reply, Crashed> {
        self.effects += 1;
        self.land_late_commits();
        let mut line = format!("{} +{}ms ", self.effects, self.elapsed_ms);
        describe(&effect, &mut line);
        let reply = match effect {
            Effect::Commit { writes } => Reply::Commit(self.commit(writes)),
            Effect::Http(request) if held_ms > request.start_within_ms => {
                Reply::Http(HttpReply::NotSent(NotSent::TooLate))
            }
            Effect::Http(request) => {
                let fault = self.http_faults.next(&request.url);
                let (reply, took) = self.network.exchange(&request, self.now, fault);
                self.advance(took);
                Reply::Http(reply)
            }
            Effect::Identify { tenant, whom } => Reply::Identity(self.identity(&tenant, &whom)),
            Effect::Read { keys } => Reply::Read(match self.read_faults.next("") {
                Some(()) => ReadReply::Unavailable,
                None => ReadReply::Found(self.store.read(&keys)),
            }),
            Effect::Scan { prefix, after, limit } => Reply::Scan(match self.read_faults.next("") {
                Some(()) => ScanReply::Unavailable,
                None => {
                    let (entries, more) = self.store.scan(&prefix, after.as_ref(), limit);
                    ScanReply::Page { entries, more }
                }
            }),
            Effect::Sleep { for_ms, .. } => {
                self.advance(for_ms.saturating_sub(held_ms));
                Reply::Woke { after_ms: for_ms }
            }
        };
        answer(&reply, &mut line);
        self.trace.push(line);
        if self.crash_at == Some(self.effects) { Err(Crashed) } else { Ok(reply) }
    }

    fn identity(&self, tenant: &TenantId, whom: &Whom) -> IdentityReply {
        let said = self.identities.iter().find(|(known, _)| known == whom).map(|(_, reply)| reply);
        match said {
            Some(IdentityReply::Caller(caller)) if caller.tenant != *tenant => IdentityReply::Rejected,
            Some(reply) => reply.clone(),
            None => IdentityReply::Rejected,
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> CommitReply {
        Store::check_contract(&writes);
        match self.commit_faults.next("") {
            None => self.store.commit(writes),
            Some(CommitFault::Conflict) => CommitReply::Conflict,
            Some(CommitFault::Slow(ms)) => {
                self.advance(ms);
                self.store.commit(writes)
            }
            Some(CommitFault::Unavailable) => CommitReply::Unavailable,
            Some(CommitFault::Unknown(lands)) => {
                match lands {
                    Lands::After(effects) => self.late.push((self.effects + effects, writes)),
                    Lands::Never => {}
                    Lands::Now => {
                        self.store.commit(writes);
                    }
                }
                CommitReply::Unknown
            }
        }
    }

    /// A late commit meets its preconditions like any other; if they do not hold, nobody hears of it.
    fn land_late_commits(&mut self) {
        let effects = self.effects;
        for (_, writes) in self.late.extract_if(.., |(due, _)| *due < effects) {
            self.store.commit(writes);
        }
    }

    fn draw(&mut self) -> [u8; 32] {
        self.draws += 1;
        Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.draws.to_be_bytes())
            .finalize()
            .into()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("world: GRANTWAY_SEED={}, {} effects:", self.seed, self.effects);
            self.trace.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// 2026-01-01T00:00:00Z.
const START: UnixMillis = UnixMillis(1_767_225_600_000);

fn describe(effect: &Effect, line: &mut String) {
    let kinds = |keys: &mut dyn Iterator<Item = &Key>| keys.map(kind_name).collect::<Vec<_>>().join(", ");
    let _ = match effect {
        Effect::Commit { writes } => {
            write!(line, "commit [{}]", kinds(&mut writes.iter().map(|write| &write.key)))
        }
        Effect::Http(request) => {
            // A query may hold secrets.
            let url = request.url.split('?').next().unwrap_or_default();
            write!(line, "{} {url}", request.method.as_str())
        }
        Effect::Identify { whom: Whom::Key(_), .. } => write!(line, "identify a key"),
        Effect::Identify { whom: Whom::Principal(principal), .. } => {
            write!(line, "identify {} {}", principal.kind().as_str(), principal.id())
        }
        Effect::Read { keys } => write!(line, "read [{}]", kinds(&mut keys.iter())),
        Effect::Scan { prefix, .. } => write!(line, "scan {}", kind_name(prefix)),
        Effect::Sleep { for_ms, .. } => write!(line, "sleep {for_ms}ms"),
    };
}

fn answer(reply: &Reply, line: &mut String) {
    let _ = match reply {
        Reply::Commit(reply) => write!(line, " -> {reply:?}"),
        Reply::Http(HttpReply::Response(response)) => write!(line, " -> {}", response.status),
        Reply::Identity(IdentityReply::Caller(_)) => write!(line, " -> a caller"),
        Reply::Identity(other) => write!(line, " -> {other:?}"),
        Reply::Http(other) => write!(line, " -> {other:?}"),
        Reply::Read(ReadReply::Found(records)) => {
            let versions =
                records.iter().map(|r| r.as_ref().map_or("-".into(), |r| format!("v{}", r.version.0)));
            write!(line, " -> [{}]", versions.collect::<Vec<_>>().join(", "))
        }
        Reply::Read(ReadReply::Unavailable) | Reply::Scan(ScanReply::Unavailable) => {
            write!(line, " -> Unavailable")
        }
        Reply::Scan(ScanReply::Page { entries, more }) => {
            write!(line, " -> {} entries{}", entries.len(), if *more { " and more" } else { "" })
        }
        Reply::Start | Reply::Woke { .. } => Ok(()),
    };
}

fn kind_name(key: &Key) -> String {
    const KINDS: [Kind; 23] = [
        Kind::Connector,
        Kind::Connection,
        Kind::Secret,
        Kind::Flow,
        Kind::Registration,
        Kind::Metadata,
        Kind::Ticket,
        Kind::TicketOf,
        Kind::Throttle,
        Kind::Consent,
        Kind::Staged,
        Kind::Approval,
        Kind::Session,
        Kind::Client,
        Kind::Code,
        Kind::Family,
        Kind::Slot,
        Kind::Attempts,
        Kind::Due,
        Kind::ByConnector,
        Kind::Expiry,
        Kind::ByClient,
        Kind::ByPrincipal,
    ];
    let Some(number) = kind_of(key) else { return format!("{key:?}") };
    KINDS.iter().find(|kind| **kind as u8 == number).map_or_else(|| number.to_string(), |k| format!("{k:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use grantway_core::operation::{Action, Precondition};

    fn key() -> Key {
        Key::from_bytes([1, b't', Kind::Connection as u8, 1]).unwrap()
    }

    fn put(precondition: Precondition) -> Effect {
        let action = Action::Put { value: vec![1], expires_at: None };
        Effect::Commit { writes: vec![Write { key: key(), precondition, action }] }
    }

    fn read() -> Effect {
        Effect::Read { keys: vec![key()] }
    }

    fn committed(world: &mut World, precondition: Precondition) -> CommitReply {
        match world.perform(put(precondition), 0) {
            Ok(Reply::Commit(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_seeds_give_equal_streams_and_no_value_twice() {
        let stream = |seed| {
            let mut world = World::seeded(seed);
            [world.draw(), world.draw()]
        };
        assert_eq!(stream(7), stream(7));
        assert_ne!(stream(7), stream(8));
        assert_ne!(stream(7)[0], stream(7)[1]);
    }

    #[test]
    fn a_lost_commit_lands_now_later_or_never() {
        for (lands, at_once, in_the_end) in
            [(Lands::Now, true, true), (Lands::After(1), false, true), (Lands::Never, false, false)]
        {
            let mut world = World::new();
            world.on_commit(1, CommitFault::Unknown(lands));
            assert_eq!(committed(&mut world, Precondition::Absent), CommitReply::Unknown);
            world.perform(read(), 0).unwrap();
            assert_eq!(world.store.rows().contains_key(&key()), at_once, "{lands:?}");
            world.perform(read(), 0).unwrap();
            assert_eq!(world.store.rows().contains_key(&key()), in_the_end, "{lands:?}");
        }
    }

    #[test]
    fn a_late_commit_that_is_overtaken_changes_nothing() {
        let mut world = World::new();
        world.on_commit(1, CommitFault::Unknown(Lands::After(1)));
        committed(&mut world, Precondition::Absent);
        assert_eq!(committed(&mut world, Precondition::Absent), CommitReply::Committed);
        let before = world.store.rows().clone();
        world.perform(read(), 0).unwrap();
        assert_eq!(*world.store.rows(), before);
    }

    #[test]
    fn faults_come_when_planned_and_only_then() {
        let mut world = World::new();
        world.on_commit(2, CommitFault::Conflict);
        world.on_commit(3, CommitFault::Unavailable);
        world.on_commit(4, CommitFault::Slow(70));
        let replies: Vec<_> = (0..5).map(|_| committed(&mut world, Precondition::Any)).collect();
        use CommitReply::{Committed, Conflict, Unavailable};
        assert_eq!(replies, [Committed, Conflict, Unavailable, Committed, Committed]);
        assert_eq!(world.now(), START.plus(70));
        world.on_read(1);
        assert!(matches!(world.perform(read(), 0), Ok(Reply::Read(ReadReply::Unavailable))));
        assert!(matches!(world.perform(read(), 0), Ok(Reply::Read(ReadReply::Found(_)))));
    }

    #[test]
    fn a_crash_comes_after_its_effect() {
        let mut world = World::new();
        world.crash_after(2);
        world.perform(read(), 0).unwrap();
        assert_eq!(world.perform(put(Precondition::Absent), 0).unwrap_err(), Crashed);
        assert_eq!(world.store.rows().len(), 1);
        world.perform(read(), 0).unwrap();
    }

    #[test]
    fn sleeping_takes_what_is_left_of_the_time() {
        let mut world = World::new();
        world.advance(30);
        world.perform(Effect::Sleep { for_ms: 100, watch: None }, 30).unwrap();
        assert_eq!(world.elapsed_ms(), 100);
        world.set_clock(UnixMillis(5));
        assert_eq!((world.now().0, world.elapsed_ms()), (5, 100));
    }
}
