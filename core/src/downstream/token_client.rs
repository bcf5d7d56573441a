//! The client of a token or revocation request: whether it is known, and whether it is the one it says it is.

use super::config::GatewayConfig;
use super::credential::same;
use super::handle::{self, ProtocolError};
use super::parameters::Parameters;
use super::response::Response;
use super::route::Surface;
use super::site;
use super::visit::Visit;
use crate::error::{Code, Failure};
use crate::operation::{Context, Versioned};
use crate::principal::TenantId;
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::token_request::{Credentials, Refusal, TokenError, check_query};
use crate::store::records::{ClientRecord, ClientSource, Digest};
use crate::store::{Key, lookup_hash};

/// A client that is the one it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authenticated {
    /// Whether it has asked for refresh tokens.
    pub(crate) refreshes: bool,
}

/// Checks a client against what is known of it.
///
/// # Errors
/// `invalid_client`.
pub(crate) fn authenticate(
    config: &GatewayConfig,
    credentials: &Credentials,
    known: Option<&ClientRecord>,
) -> Result<Authenticated, Refusal> {
    const UNKNOWN: Refusal =
        Refusal::new(TokenError::InvalidClient, "the client is not registered here, or not any more");
    const REFUSED: Refusal =
        Refusal::new(TokenError::InvalidClient, "the client has not proved that it is the one it says it is");
    let known = known.filter(|known| known.refused.is_none() && known.client_id == credentials.client_id);
    if is_document(&credentials.client_id) {
        // A document cannot hold a secret. It is not asked for again here: what it said stands in the code and the family.
        if !config.client_documents || !config.public_clients {
            return Err(UNKNOWN);
        }
        //= spec/oauth21.md#2-4
        //# A confidential client MUST be authenticated, and so is any client that presents credentials, by
        //# one method in a request, a secret in the body or in the header; brute force is resisted
        //# (TOK-17, S).
        if credentials.secret.is_some() {
            return Err(REFUSED);
        }
        return Ok(Authenticated { refreshes: known.is_none_or(|known| known.refreshes) });
    }
    let known = known.filter(|known| known.source == ClientSource::Dynamic).ok_or(UNKNOWN)?;
    //= spec/oauth21.md#2-4
    //# A confidential client MUST be authenticated, and so is any client that presents credentials, by one
    //# method in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
    // Our secrets have 256 random bits, which nobody guesses, however often they try.
    match (known.method, &known.secret, &credentials.secret) {
        //= spec/mcp-2026-07-28.md#idx-overview
        //# The authorization server MUST follow OAuth 2.1 for confidential and for public clients, at https
        //# endpoints (AS-01, S).
        (AuthMethod::None, _, None) if config.public_clients => {}
        // COMPAT: a secret may come by either way, whichever was registered: libraries choose by our metadata.
        (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost, Some(hash), Some(secret))
            if same(hash, &Digest(lookup_hash("client_secret", secret.expose()))) => {}
        _ => return Err(REFUSED),
    }
    Ok(Authenticated { refreshes: known.refreshes })
}

/// Whether a client's id is the URL of its metadata document.
pub(crate) fn is_document(client_id: &str) -> bool {
    client_id.starts_with("https://")
}

/// Who sent a token or revocation request.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Sender {
    pub(crate) tenant: TenantId,
    pub(crate) credentials: Credentials,
    /// Whether it came with an `Authorization` header.
    pub(crate) tried_header: bool,
}

impl Sender {
    /// Reads who sent a request, and its body.
    ///
    /// # Errors
    /// The response that refuses it.
    pub(crate) fn of(cx: &Context<'_>, visit: &Visit) -> Result<(Self, Parameters), Box<Response>> {
        let tried_header = visit.request.all("authorization").next().is_some();
        let refuse = |refusal| Box::new(refused(cx, tried_header, refusal));
        let unreadable = |failure| Box::new(handle::refuse(cx, Surface::Protocol, failure));
        let query = visit.query().map_err(unreadable)?;
        check_query(&query).map_err(refuse)?;
        // atk:HDR-07
        let body = visit.form().map_err(unreadable)?;
        let credentials = Credentials::read(visit.request.all("authorization"), &body).map_err(refuse)?;
        Ok((Self { tenant: visit.site.tenant.clone(), credentials, tried_header }, body))
    }

    /// Where what is known of the client stands.
    pub(crate) fn key(&self) -> Key {
        Key::client(&self.tenant, &self.credentials.client_id)
    }

    /// Checks it against what was found there.
    ///
    /// # Errors
    /// `store.integrity`.
    pub(crate) fn authenticate(
        &self,
        cx: &Context<'_>,
        found: Option<&Versioned>,
    ) -> Result<Result<Authenticated, Refusal>, Failure> {
        let known = cx.open::<ClientRecord>(&self.key(), found)?.map(|stored| stored.record);
        Ok(authenticate(site::config(cx.engine)?, &self.credentials, known.as_ref()))
    }

    /// What a refusal is answered with.
    pub(crate) fn refused(&self, cx: &Context<'_>, refusal: Refusal) -> Response {
        refused(cx, self.tried_header, refusal)
    }
}

/// What a refusal is answered with.
pub(crate) fn refused(cx: &Context<'_>, tried_header: bool, refusal: Refusal) -> Response {
    //= spec/oauth21.md#3-2-4
    //# An error of the token endpoint MUST be one of the registered codes as 400 and JSON, or 401 with
    //# `WWW-Authenticate: Basic` where a client that tried the header is not authenticated (TOK-21, S).
    let is_client = refusal.error == TokenError::InvalidClient;
    let status = if is_client && tried_header { 401 } else { 400 };
    let body = ProtocolError { error: refusal.error.as_str(), error_description: refusal.description };
    let mut response = Response::json(status, &body).never_stored().for_any_origin();
    if status == 401 {
        response = response.with("WWW-Authenticate", "Basic realm=\"token endpoint\"");
    }
    let code = if is_client { Code::ClientUnknown } else { Code::ClientRequestInvalid };
    let failure = Failure::new(code).because(refusal.description);
    response.failure = Some(failure.with_evidence(cx.operation.to_string()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::UnixMillis;
    use crate::secret::Secret;

    fn client(method: AuthMethod, secret: Option<&str>) -> ClientRecord {
        ClientRecord {
            client_id: "c".to_owned(),
            source: ClientSource::Dynamic,
            name: None,
            redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
            method,
            secret: secret.map(|secret| Digest(lookup_hash("client_secret", secret))),
            refreshes: true,
            version: Digest([0; 32]),
            created_at: UnixMillis(1),
            fresh_until: UnixMillis(2),
            used: true,
            refused: None,
        }
    }

    fn asks(id: &str, secret: Option<&str>) -> Credentials {
        Credentials { client_id: id.to_owned(), secret: secret.map(Secret::new) }
    }

    fn config() -> GatewayConfig {
        GatewayConfig::new("/mcp")
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# A confidential client MUST be authenticated, and so is any client that presents credentials, by one
    //# method in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
    #[test]
    fn a_confidential_client_needs_its_secret_and_a_public_one_may_not_bring_any() {
        for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost] {
            let known = client(method, Some("s3cret"));
            for (brought, is_good) in
                [(Some("s3cret"), true), (Some("S3cret"), false), (Some(""), false), (None, false)]
            {
                let result = authenticate(&config(), &asks("c", brought), Some(&known));
                assert_eq!(result.is_ok(), is_good, "{method:?} {brought:?}");
            }
        }
        let public = client(AuthMethod::None, None);
        assert!(authenticate(&config(), &asks("c", None), Some(&public)).is_ok());
        assert!(authenticate(&config(), &asks("c", Some("s")), Some(&public)).is_err());
        // A record without the hash is no public client.
        let broken = client(AuthMethod::ClientSecretPost, None);
        assert!(authenticate(&config(), &asks("c", None), Some(&broken)).is_err());
        assert!(authenticate(&config(), &asks("c", Some("")), Some(&broken)).is_err());
    }

    #[test]
    fn who_is_not_registered_is_nobody() {
        let known = client(AuthMethod::None, None);
        assert!(authenticate(&config(), &asks("c", None), None).is_err());
        assert!(authenticate(&config(), &asks("other", None), Some(&known)).is_err());
        let refused = ClientRecord { refused: Some("no".to_owned()), ..known.clone() };
        assert!(authenticate(&config(), &asks("c", None), Some(&refused)).is_err());
        let document = ClientRecord { source: ClientSource::Document, ..known };
        assert!(authenticate(&config(), &asks("c", None), Some(&document)).is_err());
    }

    #[test]
    fn a_client_with_a_document_needs_no_record_and_has_no_secret() {
        const ID: &str = "https://client.example/metadata.json";
        assert!(authenticate(&config(), &asks(ID, None), None).unwrap().refreshes);
        assert!(authenticate(&config(), &asks(ID, Some("s")), None).is_err());
        let silent = ClientRecord {
            client_id: ID.to_owned(),
            source: ClientSource::Document,
            refreshes: false,
            ..client(AuthMethod::None, None)
        };
        assert!(!authenticate(&config(), &asks(ID, None), Some(&silent)).unwrap().refreshes);
    }

    #[test]
    fn what_the_operator_has_switched_off_is_not_served() {
        const ID: &str = "https://client.example/metadata.json";
        let no_documents = GatewayConfig { client_documents: false, ..config() };
        assert!(authenticate(&no_documents, &asks(ID, None), None).is_err());
        let no_public = GatewayConfig { public_clients: false, client_documents: false, ..config() };
        let public = client(AuthMethod::None, None);
        assert!(authenticate(&no_public, &asks("c", None), Some(&public)).is_err());
        let confidential = client(AuthMethod::ClientSecretPost, Some("s"));
        assert!(authenticate(&no_public, &asks("c", Some("s")), Some(&confidential)).is_ok());
    }
}
