//! Dynamic registration from the other side (RFC 7591): what a client that registers here sends, and what it is answered.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};

use super::client_auth::AuthMethod;
use super::client_redirect::ClientRedirect;
use super::json::{self, list, optional_text};
use super::scopes::Scopes;
use super::{Invalid, error_body};
use crate::limits::REDIRECT_URIS_MAX;
use crate::secret::Secret;

/// What a client wants to be registered as, as far as anything here acts on it. No URL in it is ever asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRegistration {
    /// The acceptable ones of its redirect URIs, each once, in its order; at least one.
    pub redirect_uris: Vec<ClientRedirect>,
    /// The name it gives itself, without control characters, cut.
    pub name: Option<String>,
    /// How it will authenticate.
    pub method: AuthMethod,
    /// Whether it wants refresh tokens.
    pub refreshes: bool,
    /// The oauth scopes it names; what is no scope was dropped.
    pub scopes: Scopes,
}

/// Why a client is not registered (RFC 7591 §3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistrationRefusal {
    /// `invalid_client_metadata`
    ClientMetadata(&'static str),
    /// `invalid_redirect_uri`
    RedirectUri(&'static str),
    /// `invalid_software_statement`: it is none.
    SoftwareStatement,
    /// `unapproved_software_statement`: nobody who makes such statements is trusted here.
    UnapprovedStatement,
}

impl RegistrationRefusal {
    /// The value of `error`.
    pub const fn error(self) -> &'static str {
        //= spec/rfc7591.md#3-2-2
        //# A registration that is refused MUST be answered with 400 and what is wrong: redirect URIs,
        //# metadata, or the software statement (REG-31, S).
        match self {
            Self::ClientMetadata(_) => "invalid_client_metadata",
            Self::RedirectUri(_) => "invalid_redirect_uri",
            Self::SoftwareStatement => "invalid_software_statement",
            Self::UnapprovedStatement => "unapproved_software_statement",
        }
    }

    /// The value of `error_description`: static text of ours.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ClientMetadata(reason) | Self::RedirectUri(reason) => reason,
            Self::SoftwareStatement => "the software statement is not a signed token",
            Self::UnapprovedStatement => "software statements are not accepted here",
        }
    }
}

impl From<Invalid> for RegistrationRefusal {
    fn from(invalid: Invalid) -> Self {
        Self::ClientMetadata(invalid.0)
    }
}

impl ClientRegistration {
    /// Reads the body of a registration request. Unknown members are ignored; `allowed` is as for [`ClientRedirect::parse`].
    ///
    /// # Errors
    /// What RFC 7591 §3.2.2 has a name for: not a JSON object of the right types, no acceptable redirect URI, an authentication method
    /// or grant types that are not supported, a software statement.
    pub fn parse(body: &[u8], allowed: &[String]) -> Result<Self, RegistrationRefusal> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "list")]
            redirect_uris: Vec<String>,
            #[serde(default, deserialize_with = "optional_text")]
            client_name: Option<String>,
            #[serde(default, deserialize_with = "optional_text")]
            token_endpoint_auth_method: Option<String>,
            grant_types: Option<Vec<String>>,
            response_types: Option<Vec<String>>,
            #[serde(default, deserialize_with = "error_body::text_or_nothing")]
            scope: Option<String>,
            software_statement: Option<Statement>,
        }
        let wire: Wire = json::from_slice(body)?;
        // What it says would count more than what stands beside it (RFC 7591 §3.1.1), so that it is not just ignored.
        match wire.software_statement {
            None => {}
            Some(Statement::Text(text)) if text.split('.').count() == 3 => {
                return Err(RegistrationRefusal::UnapprovedStatement);
            }
            Some(_) => return Err(RegistrationRefusal::SoftwareStatement),
        }
        let method = match wire.token_endpoint_auth_method.as_deref().map(AuthMethod::from_name) {
            // RFC 7591 §2.
            None => AuthMethod::ClientSecretBasic,
            Some(Some(AuthMethod::PrivateKeyJwt) | None) => {
                let reason = "the authentication method is not supported";
                return Err(RegistrationRefusal::ClientMetadata(reason));
            }
            Some(Some(method)) => method,
        };
        let refreshes = check_types(wire.grant_types.as_deref(), wire.response_types.as_deref())?;
        let redirect_uris =
            acceptable(&wire.redirect_uris, allowed).map_err(|it| RegistrationRefusal::RedirectUri(it.0))?;
        let tokens = wire.scope.unwrap_or_default();
        Ok(Self {
            redirect_uris,
            name: wire.client_name.as_deref().and_then(cleaned),
            method,
            refreshes,
            scopes: Scopes::acceptable(tokens.split(' ').map(str::to_owned)),
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statement {
    Text(String),
    Other(#[allow(dead_code)] IgnoredAny),
}

/// The acceptable ones of a client's redirect URIs, each once.
///
/// # Errors
/// There is none, or there are too many.
pub(super) fn acceptable(uris: &[String], allowed: &[String]) -> Result<Vec<ClientRedirect>, Invalid> {
    if uris.len() > REDIRECT_URIS_MAX {
        return Err(Invalid("there are too many redirect URIs"));
    }
    let mut redirects: Vec<ClientRedirect> = Vec::new();
    // COMPAT (T-16): clients that list a scheme without a dot list an `https` one beside it, and give up when both are refused.
    for redirect in uris.iter().filter_map(|uri| ClientRedirect::parse(uri, allowed).ok()) {
        if !redirects.contains(&redirect) {
            redirects.push(redirect);
        }
    }
    if redirects.is_empty() {
        return Err(Invalid(
            "there is no acceptable redirect URI: https, a loopback host, or a reversed domain",
        ));
    }
    Ok(redirects)
}

/// Whether a client that names these types wants refresh tokens. Types that are not supported beside those that are get dropped, as
/// RFC 7591 §2 allows: clients list all that they know.
///
/// # Errors
/// It does not use authorization codes, which is all there is.
pub(super) fn check_types(
    grant_types: Option<&[String]>,
    response_types: Option<&[String]>,
) -> Result<bool, Invalid> {
    let has = |types: &[String], wanted: &str| types.iter().any(|name| name == wanted);
    // What RFC 7591 §2 says where nothing is said: `authorization_code`, `code`.
    if grant_types.is_some_and(|types| !has(types, "authorization_code")) {
        return Err(Invalid("the grant types do not include authorization_code"));
    }
    if response_types.is_some_and(|types| !has(types, "code")) {
        return Err(Invalid("the response types do not include code"));
    }
    Ok(grant_types.is_some_and(|types| has(types, "refresh_token")))
}

/// LIMIT: of a client's name as it is kept; pages show less.
const NAME_MAX_CHARACTERS: usize = 200;

/// A client's name without control characters, cut; `None` if nothing is left.
pub(super) fn cleaned(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARACTERS).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The grant types of a client, as metadata name them.
pub const fn grant_types(refreshes: bool) -> &'static [&'static str] {
    if refreshes { &["authorization_code", "refresh_token"] } else { &["authorization_code"] }
}

/// The answer to a registration: everything that was registered, whatever was asked for (RFC 7591 §3.2.1).
#[derive(Debug, Serialize)]
pub struct RegisteredClient<'a> {
    /// The id.
    pub client_id: &'a str,
    /// When it was given, in seconds since 1970.
    pub client_id_issued_at: u64,
    /// The secret, for a client that has one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub client_secret: Option<&'a Secret>,
    /// 0, beside a secret: it lasts as long as the registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_expires_at: Option<u64>,
    /// The name it gave itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<&'a str>,
    /// The redirect URIs that were accepted.
    pub redirect_uris: &'a [String],
    /// The grant types it may use.
    pub grant_types: &'static [&'static str],
    /// The response types it may use.
    pub response_types: [&'static str; 1],
    /// How it authenticates.
    pub token_endpoint_auth_method: AuthMethod,
    /// The oauth scopes it named that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

fn exposed<S: Serializer>(secret: &Option<&Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.map(Secret::expose).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClientRegistration, RegistrationRefusal> {
        ClientRegistration::parse(text.as_bytes(), &["cursor://x/cb".to_owned()])
    }

    fn error(text: &str) -> &'static str {
        parse(text).expect_err(text).error()
    }

    fn uris(registration: &ClientRegistration) -> Vec<&str> {
        registration.redirect_uris.iter().map(ClientRedirect::as_str).collect()
    }

    #[test]
    fn a_full_request_is_read_and_unknown_members_are_ignored() {
        let read = parse(
            r#"{"redirect_uris":["https://c.good/cb","http://127.0.0.1/cb"],"client_name":" A\u0007 b ",
                "token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code"],"response_types":["code","token"],
                "scope":"b a é","application_type":"native","x":{"y":[1]},"logo_uri":7}"#,
        )
        .unwrap();
        assert_eq!(uris(&read), ["https://c.good/cb", "http://127.0.0.1/cb"]);
        assert_eq!(read.name.as_deref(), Some("A b"));
        assert_eq!((read.method, read.refreshes), (AuthMethod::None, true));
        assert_eq!(read.scopes, Scopes::parse("a b").unwrap());
    }

    #[test]
    fn what_is_not_said_is_what_the_standard_says() {
        let read =
            parse(r#"{"redirect_uris":["http://localhost/cb"],"client_name":null,"scope":null}"#).unwrap();
        assert_eq!((read.method, read.refreshes), (AuthMethod::ClientSecretBasic, false));
        assert_eq!((read.name, read.scopes), (None, Scopes::default()));
        let odd = r#"{"redirect_uris":["http://localhost/cb"],"client_name":" \n","grant_types":null,
            "response_types":null,"token_endpoint_auth_method":"","software_statement":null}"#;
        assert_eq!(parse(odd).unwrap().name, None);
    }

    //= spec/rfc7591.md#3-2-2
    //= type=test
    //# A registration that is refused MUST be answered with 400 and what is wrong: redirect URIs, metadata,
    //# or the software statement (REG-31, S).
    #[test]
    fn each_refusal_has_the_name_that_the_standard_gives_it() {
        let ok = r#""redirect_uris":["https://c.good/cb"]"#;
        for (text, expected) in [
            (String::new(), "invalid_client_metadata"),
            ("[]".to_owned(), "invalid_client_metadata"),
            ("null".to_owned(), "invalid_client_metadata"),
            (format!("{{{ok},{ok}}}"), "invalid_client_metadata"),
            (format!(r#"{{{ok},"client_name":7}}"#), "invalid_client_metadata"),
            (
                format!(r#"{{{ok},"token_endpoint_auth_method":"private_key_jwt"}}"#),
                "invalid_client_metadata",
            ),
            (
                format!(r#"{{{ok},"token_endpoint_auth_method":"tls_client_auth"}}"#),
                "invalid_client_metadata",
            ),
            (format!(r#"{{{ok},"grant_types":["implicit"]}}"#), "invalid_client_metadata"),
            (format!(r#"{{{ok},"grant_types":["refresh_token"]}}"#), "invalid_client_metadata"),
            (format!(r#"{{{ok},"grant_types":[]}}"#), "invalid_client_metadata"),
            (format!(r#"{{{ok},"response_types":["token"]}}"#), "invalid_client_metadata"),
            (r#"{"redirect_uris":"https://c.good/cb"}"#.to_owned(), "invalid_client_metadata"),
            ("{}".to_owned(), "invalid_redirect_uri"),
            (r#"{"redirect_uris":[]}"#.to_owned(), "invalid_redirect_uri"),
            (r#"{"redirect_uris":null}"#.to_owned(), "invalid_redirect_uri"),
            (r#"{"redirect_uris":["http://c.good/cb"]}"#.to_owned(), "invalid_redirect_uri"),
            (
                r#"{"redirect_uris":["javascript:alert(1)","https://c.good/cb#x"]}"#.to_owned(),
                "invalid_redirect_uri",
            ),
            (format!(r#"{{{ok},"software_statement":"a.b.c"}}"#), "unapproved_software_statement"),
            (format!(r#"{{{ok},"software_statement":"a"}}"#), "invalid_software_statement"),
            (format!(r#"{{{ok},"software_statement":{{}}}}"#), "invalid_software_statement"),
        ] {
            assert_eq!(error(&text), expected, "{text}");
            // The characters that a description may have (RFC 6749 §5.2).
            let description = parse(&text).unwrap_err().description();
            assert!(
                description.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\'),
                "{text}"
            );
        }
    }

    // T-16
    //= spec/oauth21.md#8-4-3
    //= type=test
    //# A client's redirect URI MUST be https, loopback http or of a private-use scheme, with a path and
    //# without fragment, and a scheme without a dot SHOULD be refused (REG-32, S).
    #[test]
    fn unacceptable_redirect_uris_are_dropped_if_an_acceptable_one_is_left() {
        let read = parse(
            r#"{"redirect_uris":["vscode://x/cb","https://c.good/cb","https://c.good/cb","http://c.good/cb",
                "cursor://x/cb","https://c.good/cb?code=1","com.example.app:/cb"]}"#,
        )
        .unwrap();
        assert_eq!(uris(&read), ["https://c.good/cb", "cursor://x/cb", "com.example.app:/cb"]);
    }

    #[test]
    fn numbers_and_lengths_are_limited() {
        let many = |count: usize| {
            let uris: Vec<String> = (0..count).map(|at| format!("https://c.good/{at}")).collect();
            serde_json::json!({ "redirect_uris": uris, "client_name": "é".repeat(500) }).to_string()
        };
        let read = parse(&many(REDIRECT_URIS_MAX)).unwrap();
        assert_eq!(read.redirect_uris.len(), REDIRECT_URIS_MAX);
        assert_eq!(read.name.unwrap().chars().count(), NAME_MAX_CHARACTERS);
        assert_eq!(error(&many(REDIRECT_URIS_MAX + 1)), "invalid_redirect_uri");
    }
}
