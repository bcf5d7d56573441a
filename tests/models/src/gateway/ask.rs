//! What clients, people and hosts ask of the gateway.

/// A person, with an account of their own at the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Person {
    Alice,
    Mallory,
}

impl Person {
    pub(crate) const ALL: [Self; 2] = [Self::Alice, Self::Mallory];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Mallory => "mallory",
        }
    }
}

/// A browser with its cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Browser {
    A,
    B,
}

/// A browser, and whom the host's login knows in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    pub(crate) browser: Browser,
    pub(crate) person: Person,
}

/// Alice in her own browser.
pub(crate) const ALICE: Seat = Seat { browser: Browser::A, person: Person::Alice };
/// Mallory in her own browser.
pub(crate) const MALLORY: Seat = Seat { browser: Browser::B, person: Person::Mallory };
/// Mallory, logged in in Alice's browser.
pub(crate) const INTRUDER: Seat = Seat { browser: Browser::A, person: Person::Mallory };

impl Seat {
    fn words(self) -> String {
        match (self.browser, self.person) {
            (Browser::A, Person::Alice) | (Browser::B, Person::Mallory) => self.person.name().to_owned(),
            (Browser::A, Person::Mallory) => "mallory in alice's browser".to_owned(),
            (Browser::B, Person::Alice) => "alice in mallory's browser".to_owned(),
        }
    }
}

/// An MCP client, registered with one redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Honest,
    Hostile,
}

impl Client {
    pub(crate) const ALL: [Self; 2] = [Self::Honest, Self::Hostile];

    pub(crate) const fn redirect_uri(self) -> &'static str {
        match self {
            Self::Honest => "https://honest.example/cb",
            Self::Hostile => "https://evil.example/cb",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Honest => "the client",
            Self::Hostile => "the hostile client",
        }
    }
}

/// The MCP endpoints of the host.
pub(crate) const ENDPOINTS: [&str; 2] = ["/mcp", "/other"];

/// One request. Numbers name what earlier ones have brought: consent sessions, pages, upstream flows, tokens; a code has the number of
/// its consent session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// Presses Approve on a page that was shown.
    Approve { seat: Seat, page: usize },
    /// Follows a client's link; `to` is whose redirect URI the link names.
    Authorize { seat: Seat, client: Client, to: Client, consent: usize },
    /// An MCP request with an access token, at an endpoint.
    Call { tokens: usize, endpoint: usize },
    /// The upstream's issuer sends a browser back.
    Callback { seat: Seat, flow: usize },
    /// Wants to be somebody else.
    Change { seat: Seat, consent: usize },
    /// Connects the upstream; at its issuer `agrees` agrees.
    Connect { seat: Seat, consent: usize, flow: usize, agrees: Person },
    /// Declines.
    Deny { seat: Seat, consent: usize },
    /// Another site's page posts an approval in this browser: it knows what was shown, and not the form's token.
    Forge { seat: Seat, page: usize },
    /// The person disconnects the upstream, somewhere else.
    Disconnect { person: Person },
    /// Goes on as whom the host's login knows.
    Identify { seat: Seat, consent: usize },
    /// Redeems a code, with the right verifier or a wrong one.
    Redeem { client: Client, code: usize, proof: bool, tokens: usize },
    /// Refreshes: the tokens' refresh token for new tokens.
    Refresh { client: Client, tokens: usize, into: usize },
    /// The host asks for a person's upstream credential.
    Resolve { person: Person },
    /// Gives tokens back.
    Revoke { client: Client, tokens: usize },
    /// Opens the page that asks for the approval; once the session has ended that is where the redirect comes again.
    Show { seat: Seat, consent: usize, page: usize },
}

impl Ask {
    pub(crate) const NAMES: [&str; 15] = [
        "approve",
        "authorize",
        "authenticate",
        "callback",
        "change",
        "connect",
        "deny",
        "forged approve",
        "identify",
        "redeem",
        "refresh",
        "resolve",
        "revoke",
        "show",
        "disconnect",
    ];

    pub(crate) const fn kind(self) -> usize {
        match self {
            Self::Approve { .. } => 0,
            Self::Authorize { .. } => 1,
            Self::Call { .. } => 2,
            Self::Callback { .. } => 3,
            Self::Change { .. } => 4,
            Self::Connect { .. } => 5,
            Self::Deny { .. } => 6,
            Self::Forge { .. } => 7,
            Self::Identify { .. } => 8,
            Self::Redeem { .. } => 9,
            Self::Refresh { .. } => 10,
            Self::Resolve { .. } => 11,
            Self::Revoke { .. } => 12,
            Self::Show { .. } => 13,
            Self::Disconnect { .. } => 14,
        }
    }

    /// Where it is asked, if in a browser.
    pub(crate) const fn seat(self) -> Option<Seat> {
        match self {
            Self::Approve { seat, .. }
            | Self::Authorize { seat, .. }
            | Self::Callback { seat, .. }
            | Self::Change { seat, .. }
            | Self::Connect { seat, .. }
            | Self::Deny { seat, .. }
            | Self::Forge { seat, .. }
            | Self::Identify { seat, .. }
            | Self::Show { seat, .. } => Some(seat),
            Self::Call { .. }
            | Self::Disconnect { .. }
            | Self::Redeem { .. }
            | Self::Refresh { .. }
            | Self::Resolve { .. }
            | Self::Revoke { .. } => None,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Approve { seat, page } => format!("{} approves page {page}", seat.words()),
            Self::Authorize { seat, client, to, consent } => {
                let where_to = if client == to { "" } else { ", to another's redirect URI" };
                format!("{} opens session {consent} for {}{where_to}", seat.words(), client.name())
            }
            Self::Call { tokens, endpoint } => {
                format!("a call at {} with tokens {tokens}", ENDPOINTS[endpoint])
            }
            Self::Callback { seat, flow } => format!("callback {flow} with {}", seat.words()),
            Self::Change { seat, consent } => {
                format!("{} is somebody else in session {consent}", seat.words())
            }
            Self::Connect { seat, consent, flow, agrees } => {
                let by =
                    if agrees == seat.person { String::new() } else { format!(", {} agrees", agrees.name()) };
                format!("{} connects in session {consent}: flow {flow}{by}", seat.words())
            }
            Self::Deny { seat, consent } => format!("{} declines session {consent}", seat.words()),
            Self::Forge { seat, page } => format!("a forged approval of page {page} with {}", seat.words()),
            Self::Identify { seat, consent } => format!("{} identifies in session {consent}", seat.words()),
            Self::Redeem { client, code, proof, tokens } => {
                let wrongly = if proof { "" } else { " with a wrong verifier" };
                format!("{} redeems code {code}{wrongly}: tokens {tokens}", client.name())
            }
            Self::Refresh { client, tokens, into } => {
                format!("{} refreshes tokens {tokens}: tokens {into}", client.name())
            }
            Self::Disconnect { person } => format!("{} disconnects", person.name()),
            Self::Resolve { person } => format!("{}'s credential is asked for", person.name()),
            Self::Revoke { client, tokens } => format!("{} gives tokens {tokens} back", client.name()),
            Self::Show { seat, consent, page } => {
                format!("{} opens page {page} of session {consent}", seat.words())
            }
        }
    }
}
