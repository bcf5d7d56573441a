//! S18 and S20: what a store looks like from outside.

use std::fmt::Debug;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use grantway_core::operation::Precondition;

use super::super::Store;
use super::{commit, key, put, value};

/// S18: which of the secrets can be read in a dump of a store, or in its logs: as they are, in hexadecimal, or in base64.
///
/// The dump is every byte that the store left behind: file, log and shared memory of a database, the answer of a dump tool, or
/// the keys and values of a keyspace. The secrets are what a whole flow handled: tokens, verifiers, client secrets.
pub fn find_readable<'a>(dump: &[u8], secrets: &[&'a str]) -> Vec<&'a str> {
    let is_readable = |secret: &&'a str| forms(secret.as_bytes()).iter().any(|form| contains(dump, form));
    secrets.iter().copied().filter(is_readable).collect()
}

/// S20: `open` opens one and the same data each time: at first there is none, then what was made, then what `make_newer` has
/// marked as written by a newer release.
pub async fn a_schema_is_created_used_and_refused<S: Store, E: Debug>(
    open: impl AsyncFn() -> Result<S, E>,
    make_newer: impl AsyncFnOnce(),
) {
    let created = open().await.expect("where there is nothing, a schema is created");
    commit(&created, vec![put(&key("a"), Precondition::Absent, "kept")]).await;
    drop(created);
    let used = open().await.expect("a current schema is used");
    assert_eq!(value(&used, &key("a")).await.as_deref(), Some(b"kept".as_slice()));
    drop(used);
    make_newer().await;
    assert!(open().await.is_err(), "a newer schema is refused");
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = |digits: [u8; 16]| -> Vec<u8> {
        secret
            .iter()
            .flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]])
            .collect()
    };
    let mut forms = vec![secret.to_vec(), hex(*b"0123456789abcdef"), hex(*b"0123456789ABCDEF")];
    // Where the secret stands within a longer text decides how its bits fall, and what follows it changes the last group.
    for skipped in 0..3 {
        let rest = secret.get(skipped..).unwrap_or_default();
        let groups = &rest[..rest.len() / 3 * 3];
        forms.extend([STANDARD.encode(groups).into_bytes(), URL_SAFE.encode(groups).into_bytes()]);
    }
    forms
}

fn contains(dump: &[u8], form: &[u8]) -> bool {
    !form.is_empty() && dump.windows(form.len()).any(|window| window == form)
}

#[cfg(test)]
mod tests {
    use super::find_readable;

    const SECRET: &str = "refresh-token-1>?~";

    #[test]
    fn a_secret_is_found_in_every_form() {
        let dumps: [&[u8]; 8] = [
            b"..refresh-token-1>?~..",
            b"726566726573682d746f6b656e2d313e3f7e",
            b"726566726573682D746F6B656E2D313E3F7E",
            b"cmVmcmVzaC10b2tlbi0xPj9+",
            b"cmVmcmVzaC10b2tlbi0xPj9-",
            // The same after one byte more, and after two.
            b"LnJlZnJlc2gtdG9rZW4tMT4/fg==",
            b"Li5yZWZyZXNoLXRva2VuLTE-P34=",
            b"{\"token\":\"cmVmcmVzaC10b2tlbi0xPj9+\"}",
        ];
        for dump in dumps {
            assert_eq!(find_readable(dump, &["another", SECRET]), [SECRET], "{}", dump.escape_ascii());
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert!(find_readable(b"refresh-token-2", &[SECRET]).is_empty());
        assert!(find_readable(b"", &[SECRET]).is_empty());
    }
}
