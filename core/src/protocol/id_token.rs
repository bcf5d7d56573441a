//! The account label of an id_token (OpenID Connect Core §2), read without a signature check.
//!
//! The token came from the issuer's own token endpoint over TLS, where Core §3.1.3.7 does without the check. Nothing
//! is decided by it but the label of a connection, and whether a reconnect arrived as another account.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::Invalid;
use super::error_body::text_or_nothing;
use super::json;
use super::token::TOKEN_MAX_BYTES;
use crate::secret::Secret;

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The `sub` claim: the account within its issuer, byte for byte.
    pub subject: String,
    /// What people call it: the e-mail address, the user name or the name; at most 200 characters, without control
    /// and direction characters. Untrusted, for people only.
    pub label: Option<String>,
}

/// Reads the account, if the token names this issuer and this client.
///
/// Errors: not a signed token of at most 16 KiB with a JSON payload, another `iss`, an `aud` without `client_id`, no
/// `sub` or one of more than 255 bytes.
pub fn read(id_token: &Secret, issuer: &str, client_id: &str) -> Result<Account, Invalid> {
    let token = id_token.expose();
    if token.len() > TOKEN_MAX_BYTES {
        return Err(Invalid("the id_token is longer than 16 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Invalid("the id_token is not a signed token of three parts"));
    };
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(payload)
        .map(Zeroizing::new)
        .map_err(|_| Invalid("the id_token's payload is not base64url"))?;
    let claims: Claims = json::from_slice(&payload)?;

    if claims.iss != issuer {
        return Err(Invalid("the id_token is of another issuer"));
    }
    if !claims.aud.0.iter().any(|audience| audience == client_id) {
        return Err(Invalid("the id_token is for another client"));
    }
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_MAX_BYTES {
        return Err(Invalid("the id_token's subject is empty or longer than 255 bytes"));
    }
    let label = claims.email.or(claims.preferred_username).or(claims.name);
    Ok(Account {
        subject: claims.sub,
        label: label.map(|label| fit_to_show(&label)).filter(|label| !label.is_empty()),
    })
}

/// LIMIT: OpenID Connect Core §2.
const SUBJECT_MAX_BYTES: usize = 255;

/// LIMIT: a label stands in one line of a page.
const LABEL_MAX_CHARS: usize = 200;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default, deserialize_with = "text_or_nothing")]
    email: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    preferred_username: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    name: Option<String>,
}

/// `aud`: one text, or a list.
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrList;

        impl<'de> Visitor<'de> for TextOrList {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an audience")
            }

            fn visit_str<E>(self, text: &str) -> Result<Audience, E> {
                Ok(Audience(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audience, A::Error> {
                let mut audiences = Vec::new();
                while let Some(audience) = list.next_element()? {
                    audiences.push(audience);
                }
                Ok(Audience(audiences))
            }
        }

        deserializer.deserialize_any(TextOrList)
    }
}

/// Leaves out what could move, hide or reorder the text around it.
fn fit_to_show(text: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().filter(|c| !is_invisible(*c)).take(LABEL_MAX_CHARS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> Secret {
        Secret::new(format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(payload)))
    }

    fn read_payload(payload: &str) -> Result<Account, Invalid> {
        read(&token(payload), "https://as.good", "c1")
    }

    fn label(members: &str) -> Option<String> {
        read_payload(&format!(r#"{{"iss":"https://as.good","sub":"7","aud":"c1"{members}}}"#)).unwrap().label
    }

    #[test]
    fn the_account_is_read_from_its_issuer_for_its_client() {
        for aud in [r#""c1""#, r#"["c1"]"#, r#"["other","c1"]"#] {
            let payload = format!(r#"{{"iss":"https://as.good","sub":"7","aud":{aud},"email":"a@b"}}"#);
            assert_eq!(
                read_payload(&payload),
                Ok(Account { subject: "7".to_owned(), label: Some("a@b".to_owned()) })
            );
        }
    }

    #[test]
    fn another_issuer_audience_or_shape_is_refused() {
        let long_subject = format!(r#"{{"iss":"https://as.good","sub":"{}","aud":"c1"}}"#, "s".repeat(256));
        for payload in [
            r#"{"iss":"https://as.good/","sub":"7","aud":"c1"}"#,
            r#"{"iss":"https://as.good","sub":"7","aud":"c2"}"#,
            r#"{"iss":"https://as.good","sub":"7","aud":[]}"#,
            r#"{"iss":"https://as.good","sub":"7","aud":{"a":"c1"}}"#,
            r#"{"iss":"https://as.good","sub":"7"}"#,
            r#"{"iss":"https://as.good","sub":"","aud":"c1"}"#,
            r#"{"iss":"https://as.good","sub":7,"aud":"c1"}"#,
            r#"{"iss":"https://as.good","iss":"https://evil","sub":"7","aud":"c1"}"#,
            "[]",
            "",
            long_subject.as_str(),
        ] {
            assert!(read_payload(payload).is_err(), "{payload}");
        }
        for text in ["", ".", "a.b", "a.e30=.c", "a.e30.b.c", "a.{}.c", "a.b.c.d.e"] {
            assert!(read(&Secret::new(text), "https://as.good", "c1").is_err(), "{text}");
        }
        let padding = "x".repeat(TOKEN_MAX_BYTES);
        assert_eq!(
            read(&token(&padding), "https://as.good", "c1"),
            Err(Invalid("the id_token is longer than 16 KiB"))
        );
    }

    #[test]
    fn the_label_is_the_first_name_there_is() {
        assert_eq!(label(r#","name":"N","preferred_username":"u","email":"e@x""#).as_deref(), Some("e@x"));
        assert_eq!(label(r#","name":"N","preferred_username":"u","email":"""#).as_deref(), Some("u"));
        assert_eq!(label(r#","name":"N","preferred_username":7,"email":null"#).as_deref(), Some("N"));
        assert_eq!(label(""), None);
        assert_eq!(label(r#","name":" \u200b ""#), None);
    }

    #[test]
    fn the_label_keeps_letters_of_any_script_and_drops_what_deceives() {
        assert_eq!(label(r#","name":"Jürgen \u202eevil\n\u0000Ж\ufeff""#).as_deref(), Some("Jürgen evilЖ"));
        let long = format!(r#","name":"{}""#, "é".repeat(500));
        assert_eq!(label(&long).unwrap().chars().count(), LABEL_MAX_CHARS);
    }
}
