//! What can be changed about an issuer.

use crate::edits::Edits;

/// How an issuer behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Where it serves its metadata. Default: RFC 8414 alone.
    pub metadata_at: Vec<WellKnown>,
    /// Changes to its metadata.
    pub metadata_edits: Edits,
    /// `scopes_supported`; `None`: not said.
    pub scopes_supported: Option<Vec<String>>,
    /// Whether it registers clients (RFC 7591). Default: yes.
    pub dynamic_registration: bool,
    /// Whether it takes client id metadata documents. Default: no.
    pub client_id_documents: bool,
    /// The authentication methods it offers; a client that asks for none of them is given the first.
    pub auth_methods: Vec<AuthMethod>,
    /// Whether it gives a client secret also to clients without authentication.
    pub secret_for_public_clients: bool,
    /// Changes to its registration responses.
    pub registration_edits: Edits,
    /// Whether its metadata promise `iss` in callbacks (RFC 9207). Default: yes.
    pub advertises_iss: bool,
    /// The `iss` in its callbacks.
    pub callback_iss: CallbackIss,
    /// Whether it refuses requests without `resource` (RFC 8707). Default: yes.
    pub requires_resource: bool,
    /// Whether it gives refresh tokens. Default: yes.
    pub refresh_tokens: bool,
    /// What becomes of refresh tokens.
    pub rotation: Rotation,
    /// How long access tokens live, in milliseconds; `expires_in` is in whole seconds, rounded down. Default: 1 h.
    pub access_token_ms: u64,
    /// The scopes it grants at most; `None`: whatever is asked for.
    pub grantable_scopes: Option<Vec<String>>,
    /// Changes to its token responses, errors not included.
    pub token_edits: Edits,
    /// The form of its token responses.
    pub token_body: BodyForm,
    /// How long the token endpoint takes, in milliseconds.
    pub token_delay_ms: u64,
    /// Whether token responses carry an `id_token`.
    pub id_tokens: bool,
    /// Changes to the claims of the `id_token`. By default `sub` is `sub-of-` and the user.
    pub id_token_edits: Edits,
    /// Whether it revokes tokens (RFC 7009). Default: yes.
    pub revocation: bool,
    /// What its page calls it. Default: `Demo`.
    pub name: String,
    /// Over HTTP: who approves every authorization request at once; `None`: a page asks.
    pub signed_in: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            metadata_at: vec![WellKnown::OAuth],
            metadata_edits: Edits::default(),
            scopes_supported: None,
            dynamic_registration: true,
            client_id_documents: false,
            auth_methods: vec![AuthMethod::None, AuthMethod::Basic, AuthMethod::Post],
            secret_for_public_clients: false,
            registration_edits: Edits::default(),
            advertises_iss: true,
            callback_iss: CallbackIss::Own,
            requires_resource: true,
            refresh_tokens: true,
            rotation: Rotation::RevokeOnReuse,
            access_token_ms: 3_600_000,
            grantable_scopes: None,
            token_edits: Edits::default(),
            token_body: BodyForm::Json,
            token_delay_ms: 0,
            id_tokens: false,
            id_token_edits: Edits::default(),
            revocation: true,
            name: "Demo".to_owned(),
            signed_in: None,
        }
    }
}

/// How a client authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `none`
    None,
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
}

impl AuthMethod {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }
}

/// How a token response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// As a form, errors included and with status 200, as some old servers do.
    Form,
    /// As JSON, as RFC 6749 §5.1 wants.
    Json,
    /// As JSON, errors with status 200.
    JsonErrorsIn200,
}

/// The `iss` of a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackIss {
    /// None.
    Absent,
    /// This text instead.
    Other(String),
    /// The issuer string.
    Own,
}

/// Where scripted answers apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/authorize`; the browser's business, and scripted only over HTTP.
    Authorize,
    /// All well-known forms.
    Metadata,
    /// `/register`
    Register,
    /// `/revoke`
    Revoke,
    /// `/token`
    Token,
}

/// What becomes of a refresh token that was redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It may be redeemed again for so many milliseconds; later that revokes the family.
    Grace(u64),
    /// It stays good, and no other is given.
    Never,
    /// Redeeming it again revokes the family.
    RevokeOnReuse,
    /// Redeeming it again fails and changes nothing.
    WithoutRevocation,
}

/// Where metadata are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellKnown {
    /// RFC 8414: `/.well-known/oauth-authorization-server` before the issuer's path.
    OAuth,
    /// OpenID Connect Discovery: `/.well-known/openid-configuration` after the issuer's path.
    OpenIdAppended,
    /// RFC 8414 §5: `/.well-known/openid-configuration` before the issuer's path.
    OpenIdInserted,
}
