//! The issuer as an automaton: real forms in, real JSON out; tokens are small numbers as text (`c1`, `a2`, `r2`), so that
//! equal states meet.

use std::net::{IpAddr, Ipv4Addr};

use grantway_core::operation::{HttpRequest, HttpResponse, Method, Peer};
use grantway_core::secret::SecretBytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) const ISSUER: &str = "https://as.example";

/// What an issuer does with a refresh token that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Rotates; within [`GRACE_MS`] a spent one gives one more pair, afterwards it ends the family.
    Grace,
    /// The refresh token stays the same.
    NoRotation,
    /// Rotates; a spent one ends the family, and so does the revocation of any of its tokens.
    RevokesOnReuse,
    /// Rotates; a spent one is refused, nothing else.
    RotatesOnly,
}

impl Kind {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Grace => "grace",
            Self::NoRotation => "no rotation",
            Self::RevokesOnReuse => "revokes on reuse",
            Self::RotatesOnly => "rotates only",
        }
    }
}

/// Shorter than a coarse tick, longer than a fine one.
const GRACE_MS: u64 = 5_000;

/// Long enough that no token of an exploration ends in it.
pub(crate) const LIFETIME_S: u64 = 3_600;

/// A token of the issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Access(u8),
    Refresh(u8),
}

/// What is asked of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Post {
    Code(u8),
    Refresh(u8),
    Revoke(Token),
}

/// All that the issuer knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Issuer {
    pub(crate) kind: Kind,
    /// Seconds a new access token lives.
    pub(crate) lifetime_s: u64,
    codes: Vec<Code>,
    pairs: Vec<Pair>,
    /// For each family whether it was ended.
    ended: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Code {
    family: Option<u8>,
    /// POSTs of it that were begun.
    posts: u8,
}

/// What one answer held: an access token, and the refresh token with the same number if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    family: u8,
    refresh: Refresh,
    /// POSTs of the refresh token that were begun since its last definite answer.
    posts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Refresh {
    None,
    Live,
    Spent { at: u64 },
}

impl Issuer {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, lifetime_s: LIFETIME_S, codes: Vec::new(), pairs: Vec::new(), ended: Vec::new() }
    }

    /// The person agrees: a code.
    pub(crate) fn authorize(&mut self) -> u8 {
        self.codes.push(Code { family: None, posts: 0 });
        number(self.codes.len())
    }

    /// A POST is on its way and may be processed.
    pub(crate) fn begin_post(&mut self, post: Post) {
        match post {
            Post::Code(code) => {
                if let Some(code) = self.code(code) {
                    code.posts = code.posts.saturating_add(1);
                }
            }
            Post::Refresh(token) => {
                if let Some(pair) = self.pair(token) {
                    pair.posts = pair.posts.saturating_add(1);
                }
            }
            Post::Revoke(_) => {}
        }
    }

    /// The record says that this refresh token has a definite answer: with an issuer that does not rotate it is sent again.
    pub(crate) fn settle(&mut self, token: u8) {
        if let Some(pair) = self.pair(token) {
            pair.posts = 0;
        }
    }

    /// A POST arrives.
    pub(crate) fn answer(&mut self, post: Post, now: u64) -> HttpResponse {
        match post {
            Post::Code(code) => self.redeem(code),
            Post::Refresh(token) => self.refresh(token, now),
            Post::Revoke(token) => {
                self.revoke(token);
                response(200, String::new())
            }
        }
    }

    fn redeem(&mut self, number_of_code: u8) -> HttpResponse {
        let family = number(self.ended.len());
        match self.code(number_of_code) {
            Some(code) if code.family.is_none() => code.family = Some(family),
            Some(Code { family: Some(family), .. }) => {
                let family = *family;
                self.end(family);
                return refusal();
            }
            _ => return refusal(),
        }
        self.ended.push(false);
        self.issue(family, true)
    }

    fn refresh(&mut self, token: u8, now: u64) -> HttpResponse {
        let kind = self.kind;
        let Some(pair) = self.pair(token) else { return refusal() };
        let family = pair.family;
        match (kind, pair.refresh) {
            (_, Refresh::None) => refusal(),
            _ if self.has_ended(family) => refusal(),
            (Kind::NoRotation, _) => self.issue(family, false),
            (_, Refresh::Live) => {
                if let Some(pair) = self.pair(token) {
                    pair.refresh = Refresh::Spent { at: now };
                }
                self.issue(family, true)
            }
            (Kind::RotatesOnly, Refresh::Spent { .. }) => refusal(),
            (Kind::Grace, Refresh::Spent { at }) if now.saturating_sub(at) < GRACE_MS => {
                self.issue(family, true)
            }
            (Kind::Grace | Kind::RevokesOnReuse, Refresh::Spent { .. }) => {
                self.end(family);
                refusal()
            }
        }
    }

    fn issue(&mut self, family: u8, rotates: bool) -> HttpResponse {
        let refresh = if rotates { Refresh::Live } else { Refresh::None };
        self.pairs.push(Pair { family, refresh, posts: 0 });
        let n = self.pairs.len();
        let mut body = json!({
            "access_token": format!("a{n}"), "token_type": "Bearer", "expires_in": self.lifetime_s,
        });
        if rotates {
            body["refresh_token"] = json!(format!("r{n}"));
        }
        response(200, body.to_string())
    }

    /// RFC 7009 §2.2: what is not a live token is answered like one that was revoked.
    fn revoke(&mut self, token: Token) {
        if let Some(family) = self.ended_by_revoking(token) {
            self.end(family);
        }
    }

    /// The family that ends if this token is revoked.
    pub(crate) fn ended_by_revoking(&self, token: Token) -> Option<u8> {
        let (Token::Access(n) | Token::Refresh(n)) = token;
        let pair = self.pairs.get(usize::from(n).checked_sub(1)?)?;
        let live = matches!(token, Token::Refresh(_)) && pair.refresh == Refresh::Live;
        (live || self.kind == Kind::RevokesOnReuse).then_some(pair.family)
    }

    /// The code that brought a token, from 0.
    pub(crate) fn code_of(&self, token: Token) -> Option<usize> {
        let (Token::Access(n) | Token::Refresh(n)) = token;
        let family = self.pairs.get(usize::from(n).checked_sub(1)?)?.family;
        self.codes.iter().position(|code| code.family == Some(family))
    }

    /// The family of a refresh token, unless it has ended.
    pub(crate) fn family(&self, token: u8) -> Option<u8> {
        let family = self.pairs.get(usize::from(token).checked_sub(1)?)?.family;
        (!self.has_ended(family)).then_some(family)
    }

    fn end(&mut self, family: u8) {
        if let Some(ended) = self.ended.get_mut(usize::from(family)) {
            *ended = true;
        }
    }

    fn has_ended(&self, family: u8) -> bool {
        self.ended.get(usize::from(family)).copied().unwrap_or(true)
    }

    /// The families that have not ended and have a refresh token that was not spent.
    pub(crate) fn live_families(&self) -> impl Iterator<Item = u8> {
        let live = |family: u8| {
            let alive = |pair: &Pair| pair.family == family && pair.refresh == Refresh::Live;
            !self.has_ended(family) && self.pairs.iter().any(alive)
        };
        (0..number(self.ended.len())).filter(move |family| live(*family))
    }

    /// Whether a refresh token can still be used.
    pub(crate) fn is_live(&self, token: u8) -> bool {
        self.pairs
            .get(usize::from(token).wrapping_sub(1))
            .is_some_and(|pair| pair.refresh == Refresh::Live && !self.has_ended(pair.family))
    }

    /// Whether a refresh token was used, its family being alive.
    pub(crate) fn is_spent(&self, token: u8) -> bool {
        self.pairs
            .get(usize::from(token).wrapping_sub(1))
            .is_some_and(|pair| matches!(pair.refresh, Refresh::Spent { .. }) && !self.has_ended(pair.family))
    }

    /// The most POSTs that were begun of one code.
    pub(crate) fn most_posts_of_a_code(&self) -> u8 {
        self.codes.iter().map(|code| code.posts).max().unwrap_or(0)
    }

    /// The codes that were POSTed, a bit for each.
    pub(crate) fn posted_codes(&self) -> u8 {
        (0..self.codes.len()).filter(|at| self.codes[*at].posts > 0).fold(0, |bits, at| bits | 1 << at)
    }

    /// The most POSTs of one refresh token that were begun without a definite answer to the one before.
    pub(crate) fn most_posts_of_a_refresh_token(&self) -> u8 {
        self.pairs.iter().map(|pair| pair.posts).max().unwrap_or(0)
    }

    fn code(&mut self, number: u8) -> Option<&mut Code> {
        self.codes.get_mut(usize::from(number).checked_sub(1)?)
    }

    fn pair(&mut self, number: u8) -> Option<&mut Pair> {
        self.pairs.get_mut(usize::from(number).checked_sub(1)?)
    }
}

impl Token {
    /// From its text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = || text.get(1..)?.parse().ok();
        match text.as_bytes().first()? {
            b'a' => number().map(Self::Access),
            b'r' => number().map(Self::Refresh),
            _ => None,
        }
    }
}

impl Post {
    /// From the form of a request to the token or revocation endpoint.
    pub(crate) fn parse(request: &HttpRequest) -> Option<Self> {
        if request.method != Method::Post {
            return None;
        }
        let field = |name: &str| {
            form_urlencoded::parse(request.body.expose())
                .find(|(have, _)| have == name)
                .map(|(_, value)| value.into_owned())
        };
        match request.url.strip_prefix(ISSUER)? {
            "/token" => match field("grant_type")?.as_str() {
                "authorization_code" => field("code")?.strip_prefix('c')?.parse().ok().map(Self::Code),
                "refresh_token" => match Token::parse(&field("refresh_token")?)? {
                    Token::Refresh(number) => Some(Self::Refresh(number)),
                    Token::Access(_) => None,
                },
                _ => None,
            },
            "/revoke" => Token::parse(&field("token")?).map(Self::Revoke),
            _ => None,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Code(code) => format!("POST code c{code}"),
            Self::Refresh(token) => format!("POST refresh token r{token}"),
            Self::Revoke(Token::Access(token)) => format!("revoke a{token}"),
            Self::Revoke(Token::Refresh(token)) => format!("revoke r{token}"),
        }
    }
}

/// What the issuer publishes about itself.
pub(crate) fn metadata() -> HttpResponse {
    let endpoint = |path: &str| format!("{ISSUER}{path}");
    let document = json!({
        "issuer": ISSUER,
        "authorization_endpoint": endpoint("/authorize"),
        "token_endpoint": endpoint("/token"),
        "revocation_endpoint": endpoint("/revoke"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
    });
    response(200, document.to_string())
}

/// A response of the issuer's.
pub(crate) fn response(status: u16, body: String) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: SecretBytes::new(body.into_bytes()),
        truncated: false,
        // Any public address.
        peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14))),
    }
}

fn refusal() -> HttpResponse {
    response(400, json!({ "error": "invalid_grant" }).to_string())
}

fn number(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}
