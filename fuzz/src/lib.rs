//! What has to hold for whatever bytes come: one function for each parser, for records and messages, and for whole sequences of steps.
//!
//! A check takes any bytes and panics if a law is broken. It is used twice: a fuzz target looks for such bytes
//! (`tools/fuzz.py`), and a test runs all checks over the committed corpora, so that what was found once stays found.
//!
//! ```text
//! cargo fuzz run challenge                    # RUSTC_BOOTSTRAP=1 on stable
//! cargo run -p grantway-fuzz --bin challenge -- FILE …      # the check alone, over these inputs
//! ```
#![forbid(unsafe_code)]

mod addresses;
mod challenges;
mod clients;
mod documents;
mod flows;
mod gateway;
mod input;
mod messages;
mod records;
mod steps;
mod tokens;
mod urls;

use std::path::Path;

pub use addresses::address;
pub use challenges::{challenge, retry_after, scopes};
pub use clients::{client_auth, client_metadata, registration};
pub use documents::{issuer_metadata, json, resource_metadata};
pub use flows::{authorization_request, callback};
pub use gateway::{
    authorize, bearer, client_document, client_redirect, client_registration, gateway, token_request,
};
pub use messages::{message_begin, message_engine, message_headers, message_reply};
pub use records::{key, record, sealed};
pub use steps::steps;
pub use tokens::{form, id_token, revocation, token};
pub use urls::{redirect_uri, resource, url};

/// A check: it panics if the bytes break a law.
pub type Check = fn(&[u8]);

macro_rules! targets {
    ($($name:ident,)+) => {
        /// Every check by the name of its target and corpus, sorted.
        pub const TARGETS: &[(&str, Check)] = &[$((stringify!($name), $name),)+];
    };
}

targets! {
    address,
    authorization_request,
    authorize,
    bearer,
    callback,
    challenge,
    client_auth,
    client_document,
    client_metadata,
    client_redirect,
    client_registration,
    form,
    gateway,
    id_token,
    issuer_metadata,
    json,
    key,
    message_begin,
    message_engine,
    message_headers,
    message_reply,
    record,
    redirect_uri,
    registration,
    resource,
    resource_metadata,
    retry_after,
    revocation,
    scopes,
    sealed,
    steps,
    token,
    token_request,
    url,
}

/// The program of one target: a fuzz target under cargo-fuzz, else one that runs the check over files.
#[macro_export]
macro_rules! fuzz_target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::io::Result<()> {
            ::std::env::args_os().skip(1).try_for_each(|file| $crate::replay($crate::$name, file.as_ref()))
        }
    };
}

/// Runs a check over one file, or over all of a directory.
///
/// # Errors
/// The file cannot be read.
///
/// # Panics
/// The check does.
pub fn replay(check: Check, path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return std::fs::read_dir(path)?.try_for_each(|entry| replay(check, &entry?.path()));
    }
    eprintln!("{}", path.display());
    check(&std::fs::read(path)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &str) -> Vec<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_check_has_a_target_and_a_corpus() {
        let checks: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(checks.is_sorted());
        assert_eq!(names("corpus"), checks);
        let files: Vec<_> = checks.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(names("fuzz_targets"), files);
        for name in checks {
            assert!(names(&format!("corpus/{name}")).len() >= 3, "{name}: too few seeds");
        }
    }

    // atk:IMP-09, atk:IMP-14
    #[test]
    fn every_law_holds_for_everything_that_was_ever_found() {
        for (name, check) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            replay(*check, &corpus).unwrap();
        }
    }

    // atk:IMP-15
    #[test]
    fn long_and_deep_input_takes_little_stack_and_time() {
        const PIECES: [&str; 16] = [
            "[",
            "{\"a\":",
            "\"",
            "\\",
            "(",
            ",",
            " ",
            "%25",
            "&a=",
            "/..",
            "a.",
            "Bearer a=\"b\",",
            "[]:",
            "\n",
            "{\"a\":1,\"a\":1,",
            "\u{e9}",
        ];
        for (name, check) in TARGETS {
            for piece in PIECES {
                // The first bytes of some inputs choose what the rest is.
                let input = ["\0\u{1}", &piece.repeat(LONG / piece.len())].concat();
                for begin in [0, 2] {
                    let (check, input) = (*check, input.as_bytes()[begin..].to_vec());
                    let began = std::time::Instant::now();
                    let run = std::thread::Builder::new().stack_size(STACK).spawn(move || check(&input));
                    run.unwrap().join().unwrap_or_else(|_| panic!("{name}: {piece:?}"));
                    assert!(began.elapsed().as_secs() < 5, "{name}: {piece:?} took {:?}", began.elapsed());
                }
            }
        }
    }

    /// The longest body that is read.
    const LONG: usize = 64 * 1024;
    /// A quarter of what a thread has by default; unoptimized code needs some.
    const STACK: usize = 512 * 1024;
}
