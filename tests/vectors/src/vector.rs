//! The file of one vector.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::moment::{Moment, UnixMillis};
use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// One operation, from its request to its outcome.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// Its name, and that of its file.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// The engine's configuration.
    pub engine: Box<RawValue>,
    /// The request.
    pub begin: Box<RawValue>,
    /// The steps, the last with the outcome.
    pub steps: Vec<StepOf>,
}

/// One step: the arguments, and one of the three things it comes to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepOf {
    /// The moment.
    pub moment: MomentOf,
    /// The reply.
    pub reply: Box<RawValue>,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Box<RawValue>>,
    /// The step is refused and changes nothing; why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misuse: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Box<RawValue>>,
}

/// A moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentOf {
    /// UNIX milliseconds.
    pub now: u64,
    /// 32 bytes, base64url.
    pub entropy: String,
}

impl MomentOf {
    /// From a time and its entropy.
    pub fn new(now: UnixMillis, entropy: &[u8; 32]) -> Self {
        Self { now: now.0, entropy: BASE64_URL_SAFE_NO_PAD.encode(entropy) }
    }

    /// For a step.
    ///
    /// # Panics
    /// The entropy is not 32 bytes.
    pub fn moment(&self) -> Moment {
        let entropy = BASE64_URL_SAFE_NO_PAD.decode(&self.entropy).expect("base64url");
        Moment::new(UnixMillis(self.now), entropy.try_into().expect("32 bytes"))
    }
}

impl Serialize for MomentOf {
    /// On one line.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { now, entropy } = self;
        let line = RawValue::from_string(format!(r#"{{"now":{now},"entropy":"{entropy}"}}"#));
        line.map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Vector {
    /// The text of its file: messages on one line each.
    ///
    /// # Panics
    /// Never: it is plain data.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }

    /// From the text of its file.
    ///
    /// # Panics
    /// It is no vector.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The vectors of all files, sorted by name.
///
/// # Panics
/// A file cannot be read, is no vector, or has not its vector's name.
pub fn stored() -> Vec<Vector> {
    let files = fs::read_dir(directory()).expect("a directory");
    let mut vectors: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let vector = Vector::read(&fs::read_to_string(&path).expect("text"));
            assert!(path.ends_with(format!("{}.json", vector.name)), "{}", path.display());
            vector
        })
        .collect();
    vectors.sort_by(|a, b| a.name.cmp(&b.name));
    vectors
}

/// Where the files stand.
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}
