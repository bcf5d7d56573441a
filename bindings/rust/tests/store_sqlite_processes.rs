//! Several processes on one SQLite file, killed ones and starved ones among them. Unix only.
//!
//! A test that needs another process runs itself again in it, with the file's path in the environment.
#![cfg(unix)]

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use grantway::store::{Sqlite, Store};
use grantway_core::operation::{Action, CommitReply, Precondition, ReadReply, Versioned, Write};
use grantway_core::store::Key;
use tokio::task::JoinSet;

// S13
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_counter_raised_by_four_processes_loses_no_update() {
    if let Some(path) = path_of_parent() {
        return raise_counter(Sqlite::open(path).unwrap()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grantway.db");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.commit(vec![put("counter", Precondition::Any, "0")]).await, CommitReply::Committed);
    let test = "a_counter_raised_by_four_processes_loses_no_update";
    let children: Vec<Child> =
        (0..4).map(|_| again(Command::new(env::current_exe().unwrap()), test, &path)).collect();
    let committed: u64 = children.into_iter().map(|child| reports(child).len() as u64).sum();
    assert!(committed > 0);
    assert_eq!(numbers(&store, &["counter"]).await, [Some(committed)]);
}

async fn raise_counter(store: Sqlite) {
    let store = Arc::new(store);
    let mut raisers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        raisers.spawn(async move {
            for _ in 0..40 {
                let seen = read(&store, &["counter"]).await.remove(0).unwrap();
                let next = (number(&seen) + 1).to_string();
                let raise = put("counter", Precondition::Version(seen.version), &next);
                match store.commit(vec![raise]).await {
                    CommitReply::Committed => report(&next),
                    CommitReply::Conflict => {}
                    reply => panic!("{reply:?} without a fault"),
                }
            }
        });
    }
    raisers.join_all().await;
}

// S15, atk:TOK-04
#[tokio::test]
async fn a_process_killed_while_it_commits_leaves_all_or_nothing() {
    if let Some(path) = path_of_parent() {
        return commit_for_ever(Sqlite::open(path).unwrap()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grantway.db");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.commit(writes(0)).await, CommitReply::Committed);
    drop(store);
    for round in 0..200 {
        let test = "a_process_killed_while_it_commits_leaves_all_or_nothing";
        let mut child = again(Command::new(env::current_exe().unwrap()), test, &path);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut acknowledged = next_report(&mut lines).expect("the child commits");
        thread::sleep(moment(round));
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(later) = next_report(&mut lines) {
            acknowledged = later;
        }
        let acknowledged: u64 = acknowledged.parse().unwrap();
        let found = whole(&Sqlite::open(&path).unwrap()).await;
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "round {round}: `{acknowledged}` was acknowledged, `{found}` is there"
        );
    }
}

async fn commit_for_ever(store: Sqlite) {
    let mut n = whole(&store).await;
    loop {
        n += 1;
        assert_eq!(store.commit(writes(n)).await, CommitReply::Committed);
        report(&n.to_string());
    }
}

/// A moment within the first commits of a child, which take some hundred microseconds each.
fn moment(round: u64) -> Duration {
    // The rounds spread evenly over the first four milliseconds, and fall where the scheduler lets them.
    Duration::from_micros(round * 2_654_435_761 % 4_000)
}

// S16
#[tokio::test]
async fn a_file_that_may_not_grow_ends_in_unavailable_or_unknown() {
    if let Some(path) = path_of_parent() {
        return commit_until_refused(Sqlite::open(path).unwrap()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grantway.db");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.commit(writes(0)).await, CommitReply::Committed);
    drop(store);
    // A process over its limit has failing writes where it ignores the signal that says so, as on a full disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$@\"", "sh"]).arg(env::current_exe().unwrap());
    let test = "a_file_that_may_not_grow_ends_in_unavailable_or_unknown";
    let replies = reports(again(shell, test, &path));

    let committed = replies.iter().take_while(|reply| *reply == "Committed").count() as u64;
    let refused = &replies[usize::try_from(committed).unwrap()..];
    assert!(committed > 0 && !refused.is_empty());
    assert!(refused.iter().all(|reply| reply == "Unavailable" || reply == "Unknown"), "{refused:?}");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(whole(&store).await, committed);
    assert_eq!(store.commit(writes(committed + 1)).await, CommitReply::Committed);
    assert_eq!(whole(&store).await, committed + 1);
}

async fn commit_until_refused(store: Sqlite) {
    let mut n = 0;
    for _ in 0..100 {
        let reply = store.commit(writes(n + 1)).await;
        report(&format!("{reply:?}"));
        n += u64::from(reply == CommitReply::Committed);
        assert_eq!(whole(&store).await, n);
    }
}

/// A commit of many pages: twenty records that say `n`, and one that is there for odd numbers only.
fn writes(n: u64) -> Vec<Write> {
    let text = format!("{n:04000}");
    let mut writes: Vec<Write> =
        (0..20).map(|part| put(&format!("part {part}"), Precondition::Any, &text)).collect();
    let mut odd = put("odd", Precondition::Any, &text);
    if n.is_multiple_of(2) {
        odd.action = Action::Delete;
    }
    writes.push(odd);
    writes
}

/// The number that all records of the last commit agree on.
async fn whole(store: &Sqlite) -> u64 {
    let parts: Vec<String> = (0..20).map(|part| format!("part {part}")).collect();
    let mut keys: Vec<&str> = parts.iter().map(String::as_str).collect();
    keys.push("odd");
    let mut found = numbers(store, &keys).await;
    let odd = found.pop().unwrap();
    let n = found[0].unwrap();
    assert!(found.iter().all(|other| *other == Some(n)), "half a commit: {found:?}");
    assert_eq!(odd, (!n.is_multiple_of(2)).then_some(n));
    n
}

const PATH: &str = "GRANTWAY_TEST_PATH";
const REPORT: &str = "report:";

fn path_of_parent() -> Option<PathBuf> {
    env::var_os(PATH).map(PathBuf::from)
}

/// Starts one test of this binary again, as a child.
fn again(mut command: Command, test: &str, path: &Path) -> Child {
    let arguments = ["--exact", test, "--nocapture"].map(OsStr::new);
    command.args(arguments).env(PATH, path).stdout(Stdio::piped()).spawn().unwrap()
}

/// Tells the parent.
fn report(what: &str) {
    println!("\n{REPORT}{what}");
}

fn next_report(lines: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        // What is not a whole line was cut off by the end of the child.
        let line = line.strip_suffix('\n')?;
        if let Some(what) = line.strip_prefix(REPORT) {
            return Some(what.to_owned());
        }
    }
}

/// All that a child says until it ends, which it must do well.
fn reports(mut child: Child) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let reports = std::iter::from_fn(|| next_report(&mut lines)).collect();
    assert!(child.wait().unwrap().success());
    reports
}

fn key(tail: &str) -> Key {
    Key::from_bytes([b"\x01t", tail.as_bytes()].concat()).unwrap()
}

fn put(tail: &str, precondition: Precondition, value: &str) -> Write {
    let action = Action::Put { value: value.as_bytes().to_vec(), expires_at: None };
    Write { key: key(tail), precondition, action }
}

async fn read(store: &Sqlite, tails: &[&str]) -> Vec<Option<Versioned>> {
    let keys: Vec<Key> = tails.iter().map(|tail| key(tail)).collect();
    match store.read(&keys).await {
        ReadReply::Found(records) => records,
        ReadReply::Unavailable => panic!("the store is unavailable"),
    }
}

async fn numbers(store: &Sqlite, tails: &[&str]) -> Vec<Option<u64>> {
    read(store, tails).await.iter().map(|record| record.as_ref().map(number)).collect()
}

fn number(record: &Versioned) -> u64 {
    std::str::from_utf8(&record.value).unwrap().parse().unwrap()
}
