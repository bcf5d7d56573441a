//! How pages say things: the words for what the models hold, and which of their addresses may become links.

use super::{
    ClientShown, ConnectionShown, ConnectionsPage, FormTarget, IdentityShown, MessagePage, Notice,
    ServiceState, UserOffer,
};
use crate::protocol::url::{HttpUrl, PlainHttp, is_own_path};

/// A path of our own site, or nothing.
pub(super) fn own_path(text: &str) -> Option<&str> {
    is_own_path(text).then_some(text)
}

/// What a link may lead to: a path of our own site, or an `https` URL. Anything else is shown as no link at all.
pub(super) fn address(text: &str) -> Option<&str> {
    let https = || HttpUrl::parse(text, PlainHttp::Never).is_ok();
    (is_own_path(text) || https()).then_some(text)
}

/// A message of ours, which begins with a small letter and has no full stop, as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let mut sentence: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    sentence.push_str(chars.as_str());
    if !text.is_empty() && !text.ends_with(['.', '!', '?', ':']) {
        sentence.push('.');
    }
    sentence
}

/// The letter on the sign of a gateway.
pub(super) fn initial(name: &str) -> String {
    let letter = name.chars().find(|letter| letter.is_alphanumeric()).unwrap_or('G');
    letter.to_uppercase().collect()
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A time as people read it: `21 November 2026, 02:35 UTC`. We know of no zone of theirs.
pub(super) fn time(unix_millis: &u64) -> String {
    let at = Utc::of(*unix_millis);
    let month = usize::try_from(at.month.saturating_sub(1)).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"");
    format!("{} {month} {}, {:02}:{:02} UTC", at.day, at.year, at.hour, at.minute)
}

/// The same for programs: `2026-11-21T02:35:47Z`.
pub(super) fn machine_time(unix_millis: &u64) -> String {
    let at = Utc::of(*unix_millis);
    let Utc { year, month, day, hour, minute, second } = at;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// LIMIT: the last moment with a year of four digits, which is all that HTML can say.
const LAST_MILLIS: u64 = 253_402_300_799_999;

impl Utc {
    /// The proleptic Gregorian date, by counting days in years that begin in March, so that the leap day is the last.
    fn of(unix_millis: u64) -> Self {
        // INVARIANT: no sum or product comes near the end of a u64, as the year is at most 9999; the saturation never happens.
        let seconds = unix_millis.min(LAST_MILLIS) / 1000;
        let (days, in_day) = (seconds / 86_400, seconds % 86_400);
        // Days since 1 March of the year 0.
        let days = days.saturating_add(719_468);
        let (era, in_era) = (days / 146_097, days % 146_097);
        let leaps = (in_era / 1_460).saturating_add(in_era / 146_096);
        let year_of_era = in_era.saturating_sub(leaps).saturating_add(in_era / 36_524) / 365;
        let before =
            year_of_era.saturating_mul(365).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
        let in_year = in_era.saturating_sub(before);
        let from_march = in_year.saturating_mul(5).saturating_add(2) / 153;
        let day =
            in_year.saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
        let month = if from_march < 10 { from_march.saturating_add(3) } else { from_march.saturating_sub(9) };
        let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(u64::from(month <= 2));
        Self { year, month, day, hour: in_day / 3600, minute: in_day / 60 % 60, second: in_day % 60 }
    }
}

impl FormTarget {
    /// Where the form of an action goes. A path that is not ours becomes the page itself, which takes no such form.
    pub(super) fn to(&self, action: &str) -> String {
        own_path(&self.path).map(|path| format!("{path}{action}")).unwrap_or_default()
    }
}

impl ClientShown {
    /// Whether there is something to be wary of.
    pub(super) fn warns(&self) -> bool {
        !self.verified || self.loopback || self.private_scheme || self.name.is_suspicious()
    }
}

impl IdentityShown {
    /// What the id is of, where it does not speak for itself.
    pub(super) fn kind_words(&self) -> Option<&'static str> {
        match self.kind {
            "user" => None,
            "team" => Some("team"),
            "org" => Some("organization"),
            "agent" => Some("agent"),
            "key" => Some("API key"),
            "session" => Some("browser session"),
            other => Some(other),
        }
    }

    /// Who may use what it owns.
    pub(super) fn audience_words(&self) -> &'static str {
        match self.kind {
            "team" | "org" => "Everybody in",
            _ => "Only",
        }
    }
}

impl UserOffer {
    /// Where to sign in, if there is a link for it.
    pub(super) fn sign_in(&self) -> Option<&str> {
        self.sign_in_url.as_deref().and_then(address)
    }
}

impl MessagePage {
    /// Label and address of the way on.
    pub(super) fn link(&self) -> Option<(&str, &str)> {
        let link = self.link.as_ref()?;
        Some((&link.label, address(&link.url)?))
    }
}

impl Notice {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Connected => "The account is connected.",
            Self::Disconnected => "The account is disconnected.",
            Self::SignedOut => "The client is signed out.",
        }
    }
}

impl ServiceState {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::Staged => "Connected, yours once you approve",
            Self::Shared => "Connected, shared with you",
            Self::Open => "Not connected",
            Self::Skipped => "Skipped",
            Self::Ended => "To be connected again",
            Self::Unavailable => "Not available",
        }
    }

    /// A class of the style. It only repeats what the words say.
    pub(super) const fn tone(self) -> &'static str {
        match self {
            Self::Connected | Self::Staged | Self::Shared => "good",
            Self::Open | Self::Skipped => "idle",
            Self::Ended => "warn",
            Self::Unavailable => "bad",
        }
    }

    pub(super) const fn is_granted(self) -> bool {
        matches!(self, Self::Connected | Self::Staged | Self::Shared)
    }

    /// What the button says, where connecting is offered.
    pub(super) const fn connect_words(self) -> Option<&'static str> {
        match self {
            Self::Open | Self::Skipped => Some("Connect"),
            Self::Ended => Some("Reconnect"),
            Self::Connected | Self::Staged | Self::Shared | Self::Unavailable => None,
        }
    }

    pub(super) const fn can_skip(self) -> bool {
        matches!(self, Self::Open | Self::Ended)
    }
}

impl ConnectionShown {
    pub(super) fn state_words(&self) -> &'static str {
        match self.state {
            "connected" => "Connected",
            "connecting" => "Being connected",
            "disconnected" => "Not connected",
            "expired" => "Expired",
            "needs_reauth" => "To be connected again",
            "needs_scope" => "Needs more scopes",
            "suspended" => "Suspended by an administrator",
            "error" => "Not working",
            other => other,
        }
    }

    /// A class of the style. It only repeats what the words say.
    pub(super) fn tone(&self) -> &'static str {
        match self.state {
            "connected" => "good",
            "expired" | "needs_reauth" | "needs_scope" => "warn",
            "error" | "suspended" => "bad",
            _ => "idle",
        }
    }

    /// Nothing is there yet that connecting would take the place of.
    fn is_new(&self) -> bool {
        matches!(self.state, "disconnected" | "connecting")
    }

    /// Whether there is more to say than where it stands.
    pub(super) fn has_details(&self) -> bool {
        let Self { owner, account, detail, scopes, expires_at, connected, .. } = self;
        let some = owner.is_some() || account.is_some() || detail.is_some();
        some || !scopes.is_empty() || expires_at.is_some() || connected.is_some()
    }

    pub(super) fn connect_words(&self) -> &'static str {
        if self.is_new() { "Connect" } else { "Reconnect" }
    }

    /// What works needs no invitation to be done again.
    pub(super) fn connect_style(&self) -> &'static str {
        if self.state == "connected" { "quiet" } else { "soft" }
    }
}

/// Connections under one heading.
pub(super) struct Group<'a> {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) connections: Vec<&'a ConnectionShown>,
}

impl ConnectionsPage {
    /// The person's own, and then those of others, if there are any.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let (own, shared): (Vec<_>, Vec<_>) =
            self.connections.iter().partition(|connection| connection.owner.is_none());
        let mut groups = vec![Group { id: "own", title: "Your accounts", connections: own }];
        if !shared.is_empty() {
            groups.push(Group { id: "shared", title: "Shared accounts", connections: shared });
        }
        groups
    }
}
