//! The host: store, clock and transport, each as trustworthy as the input says.

use std::net::{IpAddr, Ipv4Addr};

use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{
    CommitReply, Effect, HttpReply, HttpRequest, HttpResponse, IdentityReply, NotSent, Peer, ReadReply,
    Reply, ScanReply, Version, Versioned, Whom, Write,
};
use grantway_core::principal::Caller;
use grantway_core::secret::SecretBytes;
use grantway_core::store::Key;
use grantway_core::store::seam::{opened_bytes, seal_bytes};
use grantway_testing::Store;

use super::servers::{self, Answer};
use super::{CANARY, ENGINE, holds, shows_no_secret};
use crate::input::{Choices, text};

/// 2026-01-01T00:00:00Z.
const START: UnixMillis = UnixMillis(1_767_225_600_000);

pub(crate) struct Host {
    pub(crate) store: Store,
    pub(super) now: UnixMillis,
    draws: u64,
    /// Tokens given out so far.
    issued: u32,
}

impl Host {
    pub(crate) fn new(store: Store) -> Self {
        // Draws of a snapshot's operations and of those that go on from it must not meet.
        let draws = store.rows().len() as u64 * 1_000;
        Self { store, now: START.plus(60_000), draws, issued: draws as u32 }
    }

    /// The moment of the next step, for which the clock may jump.
    pub(crate) fn moment(&mut self, choices: &mut Choices<'_>) -> Moment {
        if choices.rarely(32) {
            self.jump(choices);
        }
        self.fresh()
    }

    fn fresh(&mut self) -> Moment {
        self.draws += 1;
        let mut entropy = [0x5a; 32];
        entropy[..8].copy_from_slice(&self.draws.to_be_bytes());
        Moment::new(self.now, entropy)
    }

    pub(crate) fn jump(&mut self, choices: &mut Choices<'_>) {
        const MINUTE: u64 = 60_000;
        self.now = match choices.below(12) {
            0 | 1 => self.now.plus(61 * MINUTE),
            2 => self.now.plus(MINUTE),
            3 => self.now.plus(3 * MINUTE),
            4 => self.now.plus(31 * 24 * 60 * MINUTE),
            5 => self.now.minus(3 * MINUTE),
            6 => self.now.minus(24 * 60 * MINUTE),
            7 => UnixMillis(0),
            8 => UnixMillis(u64::MAX),
            9 => UnixMillis(u64::from(choices.byte())),
            _ => START.plus(MINUTE * u64::from(choices.byte())),
        };
    }

    /// What every effect keeps to.
    pub(crate) fn check(&self, effect: &Effect, tenant: &str) {
        shows_no_secret(effect);
        let mine = |key: &Key| assert_eq!(key.tenant(), Some(tenant.as_bytes()), "another tenant's record");
        match effect {
            Effect::Commit { writes } => {
                Store::check_contract(writes);
                writes.iter().for_each(|write: &Write| mine(&write.key));
            }
            Effect::Read { keys } => {
                assert!(!keys.is_empty());
                keys.iter().for_each(mine);
            }
            Effect::Scan { prefix, limit, .. } => {
                assert!(*limit > 0);
                mine(prefix);
            }
            Effect::Http(request) => check_request(request),
            Effect::Identify { tenant: asked, .. } => assert_eq!(asked.as_str(), tenant),
            Effect::Sleep { for_ms, watch } => {
                assert!(*for_ms <= 10_000);
                watch.iter().for_each(mine);
            }
        }
    }

    pub(crate) fn perform(&mut self, effect: Effect, choices: &mut Choices<'_>) -> Reply {
        let fault = choices.byte();
        let fault = if fault < 0xb0 { 0 } else { fault - 0xaf };
        match effect {
            Effect::Commit { writes } => Reply::Commit(match fault % 5 {
                1 => CommitReply::Conflict,
                2 => CommitReply::Unavailable,
                3 => CommitReply::Unknown,
                4 => {
                    self.store.commit(writes);
                    CommitReply::Unknown
                }
                _ => self.store.commit(writes),
            }),
            Effect::Read { keys } if fault == 1 => {
                drop(keys);
                Reply::Read(ReadReply::Unavailable)
            }
            Effect::Read { keys } => {
                let mut found = self.store.read(&keys);
                let at = usize::from(fault) % keys.len();
                if fault > 40 {
                    found[at] = Some(garbage(choices));
                } else if fault > 30 {
                    found[at] = None;
                }
                Reply::Read(ReadReply::Found(found))
            }
            Effect::Scan { prefix, after, limit } => Reply::Scan(match fault {
                1..=9 => ScanReply::Unavailable,
                10..=29 => strange_page(&prefix, after.as_ref(), limit, choices),
                _ => {
                    let (entries, more) = self.store.scan(&prefix, after.as_ref(), limit);
                    ScanReply::Page { entries, more: more || fault > 40 }
                }
            }),
            Effect::Sleep { for_ms, .. } => {
                let after_ms = match fault {
                    1 => 0,
                    2 => u64::MAX,
                    _ => {
                        self.now = self.now.plus(for_ms);
                        for_ms
                    }
                };
                Reply::Woke { after_ms }
            }
            Effect::Identify { tenant, whom } => Reply::Identity(match (fault, whom) {
                (0, Whom::Principal(principal)) => {
                    let caller = Caller::new(tenant.as_str(), principal).expect("a tenant's id");
                    IdentityReply::Caller(Box::new(caller))
                }
                (1..=20, _) => IdentityReply::Unavailable,
                _ => IdentityReply::Rejected,
            }),
            Effect::Http(request) => Reply::Http(self.exchange(&request, fault, choices)),
        }
    }

    fn exchange(&mut self, request: &HttpRequest, fault: u8, choices: &mut Choices<'_>) -> HttpReply {
        self.issued += 1;
        let mut answer = servers::answer(request, self.issued);
        match fault {
            0 => {}
            1 => return HttpReply::NotSent(NotSent::AddressRefused),
            2 => return HttpReply::NotSent(NotSent::Unreachable),
            3 => return HttpReply::NotSent(NotSent::TooLate),
            4 => return HttpReply::UnknownOutcome,
            5 => answer.peer = Peer::Address(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))),
            6 => answer.peer = Peer::ViaProxy,
            7 => answer.truncated = true,
            8 => self.now = self.now.plus(choices.one_of(&[25_000, 61_000, 3_600_000])),
            9 => answer.headers.push(choices.one_of(&servers::ODD_HEADERS)),
            10..=19 => answer.status = choices.one_of(&servers::STATUSES),
            20..=24 => answer.body = text(choices.bytes(80)).into_bytes(),
            25..=29 => answer.cut(choices.byte()),
            30..=39 => answer.alter(choices.byte(), choices.byte()),
            _ => answer.edit(choices),
        }
        let Answer { status, headers, body, truncated, peer } = answer;
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = SecretBytes::new(body);
        HttpReply::Response(HttpResponse { status, headers, body, truncated, peer })
    }

    /// Somebody with access to the store, or a release with a bug, alters a row.
    pub(crate) fn damage(&mut self, choices: &mut Choices<'_>) {
        let keys: Vec<_> = self.store.rows().iter().filter(|(_, row)| !row.value.is_empty()).collect();
        if keys.is_empty() {
            return;
        }
        let (key, row) = keys[choices.below(keys.len())];
        let (key, mut value) = (key.clone(), row.value.clone());
        match choices.below(4) {
            0 => {
                let at = choices.below(value.len());
                value[at] ^= 1;
                self.store.overwrite(&key, value);
            }
            1 => {
                self.store.remove(&key);
            }
            _ => {
                let Some((version, content)) = opened_bytes(&ENGINE, &key, &value) else { return };
                let content = with_odd_number(&text(&content), choices);
                let value = seal_bytes(&ENGINE, &self.fresh(), &key, version, content.as_bytes());
                self.store.overwrite(&key, value);
            }
        }
    }
}

/// A token leads nowhere but back to who gave it.
fn check_request(request: &HttpRequest) {
    let host = servers::host_of(&request.url);
    let sent = request.headers.iter().map(|header| header.value.expose().as_bytes());
    for part in sent.chain([request.body.expose()]) {
        for other in servers::ISSUERS.into_iter().filter(|other| *other != host) {
            assert!(!holds(part, &format!("{CANARY}{other}-")), "{host} is told a token of {other}");
        }
    }
    assert!(request.headers.iter().all(|header| !header.value.expose().contains(['\r', '\n', '\0'])));
    assert!(request.url.starts_with("https://") && request.max_response_bytes <= 64 * 1024);
}

/// The record's JSON with one number replaced by another.
fn with_odd_number(content: &str, choices: &mut Choices<'_>) -> String {
    const ODD: [&str; 7] =
        ["0", "1", "2", "255", "1767225660000", "18446744073709551614", "18446744073709551615"];
    let starts: Vec<_> = content
        .match_indices(':')
        .filter(|(at, _)| content[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        .map(|(at, _)| at + 1)
        .collect();
    if starts.is_empty() {
        return content.to_owned();
    }
    let start = starts[choices.below(starts.len())];
    let end = content[start..].find(|c: char| !c.is_ascii_digit()).map_or(content.len(), |len| start + len);
    format!("{}{}{}", &content[..start], choices.one_of(&ODD), &content[end..])
}

fn garbage(choices: &mut Choices<'_>) -> Versioned {
    Versioned { value: choices.bytes(40).to_vec(), version: Version(u64::from(choices.byte())) }
}

/// Keys under the prefix that no engine has written.
fn strange_page(prefix: &Key, after: Option<&Key>, limit: u32, choices: &mut Choices<'_>) -> ScanReply {
    let from = after.unwrap_or(prefix).as_bytes();
    let mut tail = choices.bytes(60).to_vec();
    let mut entries = Vec::new();
    for _ in 0..choices.below(4) {
        tail.push(1 + choices.byte() / 2);
        if let Ok(key) = Key::from_bytes([from, &tail].concat()) {
            entries.push((key, garbage(choices)));
        }
    }
    entries.truncate(limit as usize);
    ScanReply::Page { entries, more: choices.rarely(2) }
}
