//! What a server says when it refuses: challenges, scopes, and when to come again.

use std::collections::BTreeSet;

use grantway_core::moment::UnixMillis;
use grantway_core::protocol::retry_after;
use grantway_core::protocol::scopes::{SCOPE_MAX_BYTES, SCOPES_MAX, Scopes};
use grantway_core::protocol::www_authenticate::{
    self, BearerChallenge, CHALLENGE_PARAMETERS_MAX, CHALLENGES_MAX, Challenge,
};

use crate::input::{lines, text};

/// `WWW-Authenticate` fields, a line each.
///
/// # Panics
/// A law is broken.
pub fn challenge(data: &[u8]) {
    let fields = lines(data);
    let read = |fields: &[String]| www_authenticate::parse(fields.iter().map(String::as_str));
    let challenges = read(&fields);
    assert!(challenges.len() <= CHALLENGES_MAX);
    for challenge in &challenges {
        assert!(challenge.parameters().count() <= CHALLENGE_PARAMETERS_MAX);
        let printed = challenge.to_string();
        assert!(!printed.chars().any(|c| c.is_control() && c != '\t'), "{printed:?}");
        let again = read(&[printed]);
        assert!(again.len() == 1 && !again[0].is_malformed() && same_content(&again[0], challenge));
    }
    if let Some(chosen) = BearerChallenge::select(&challenges) {
        is_one_of(&chosen, &challenges);
    }
    // Several fields mean the same as one in which they are joined, as long as none breaks off.
    let first = fields.iter().find(|field| !field.trim_matches([' ', '\t', ',']).is_empty());
    let begins_well = first.is_none_or(|field| !read(std::slice::from_ref(field)).is_empty());
    if begins_well && !challenges.iter().any(Challenge::is_malformed) {
        assert_eq!(read(&[fields.join(", ")]), challenges);
    }
}

fn same_content(a: &Challenge, b: &Challenge) -> bool {
    a.scheme() == b.scheme() && a.token68() == b.token68() && a.parameters().eq(b.parameters())
}

/// Nothing is put together from different challenges.
fn is_one_of(chosen: &BearerChallenge, challenges: &[Challenge]) {
    let has = |challenge: &Challenge, name: &str, value: Option<&str>| {
        value.is_none_or(|value| challenge.parameters().filter(|pair| *pair == (name, value)).count() == 1)
    };
    let scope = |challenge: &Challenge| {
        chosen.scope.as_ref().is_none_or(|scope| {
            let mut values = challenge.parameters().filter(|(name, _)| *name == "scope");
            values.next().is_some_and(|(_, value)| Scopes::parse(value).as_ref() == Ok(scope))
                && values.next().is_none()
        })
    };
    assert!(challenges.iter().any(|challenge| {
        ["bearer", "dpop"].contains(&challenge.scheme().to_ascii_lowercase().as_str())
            && has(challenge, "resource_metadata", chosen.resource_metadata.as_deref())
            && has(challenge, "error", chosen.error.as_deref())
            && scope(challenge)
    }));
    let said = chosen.error_description.as_ref().map_or("", |text| text.as_str());
    assert!(said.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`'));
}

/// `Retry-After`: eight bytes of the present, then the value.
///
/// # Panics
/// A law is broken.
pub fn retry_after(data: &[u8]) {
    let Some((now, value)) = data.split_first_chunk() else { return };
    let now = UnixMillis(u64::from_be_bytes(*now));
    let value = text(value);
    let Some(at) = retry_after::read(&value, now) else { return };
    assert!(at >= now && at <= now.plus(86_400_000));
    assert_eq!(retry_after::read(&format!(" {value}\t"), now), Some(at));
    // A point in time does not depend on when it is read, nor does a span.
    let later = now.plus(1_000);
    let again = retry_after::read(&value, later).expect("the form of a value does not depend on the time");
    assert!(again == at || again == at.plus(1_000) || again == later || at == now.plus(86_400_000));
}

/// Two scope lists, a line each.
///
/// # Panics
/// A law is broken.
pub fn scopes(data: &[u8]) {
    let read: Vec<_> = lines(data).iter().filter_map(|line| Scopes::parse(line).ok()).collect();
    for scopes in &read {
        assert!(scopes.iter().count() <= SCOPES_MAX);
        assert!(scopes.iter().all(|token| (1..=SCOPE_MAX_BYTES).contains(&token.len())));
        assert_eq!(Scopes::parse(&scopes.to_string()).as_ref(), Ok(scopes));
        let stored = serde_json::to_string(scopes).expect("scopes are a list");
        assert_eq!(&serde_json::from_str::<Scopes>(&stored).expect("it is what was written"), scopes);
    }
    if let [a, b, ..] = read.as_slice() {
        let both: BTreeSet<_> = a.iter().chain(b.iter()).collect();
        match a.union(b) {
            Ok(union) => assert!(union.iter().eq(both) && union.contains_all(a) && union.contains_all(b)),
            Err(_) => assert!(both.len() > SCOPES_MAX),
        }
        assert!(a.missing_from(b).iter().all(|token| a.contains(token) && !b.contains(token)));
    }
    // A list that only advertises is never refused, and what is taken from it could be requested.
    let advertised = Scopes::acceptable(text(data).split(' ').map(str::to_owned));
    assert_eq!(Scopes::parse(&advertised.to_string()), Ok(advertised));
}
