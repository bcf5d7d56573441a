//! The properties.

/// What must hold in every state. A broken one stays broken: it is a mark in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    CodeRedeemedAtMostOnce,
    DisconnectWins,
    EffectsAreBounded,
    ExpiredStaysExpired,
    GenerationStrictlyRises,
    NobodyIsLoggedOutWithoutFaults,
    NoSilentLoss,
    NoStoredTokenIsRevoked,
    NoTokenBeforeItIsDurable,
    NoTokenIsForgotten,
    RefreshTokenSentAtMostTwice,
    RefreshTokenSentOnceWithoutFaults,
}

/// LIMIT: effects of one operation (L3), somewhat more than the longest that was seen, which revoked four tokens among two others.
pub(crate) const EFFECTS_MAX: u32 = 48;

impl Property {
    pub(crate) const ALL: [Self; 12] = [
        Self::CodeRedeemedAtMostOnce,
        Self::DisconnectWins,
        Self::EffectsAreBounded,
        Self::ExpiredStaysExpired,
        Self::GenerationStrictlyRises,
        Self::NobodyIsLoggedOutWithoutFaults,
        Self::NoSilentLoss,
        Self::NoStoredTokenIsRevoked,
        Self::NoTokenBeforeItIsDurable,
        Self::NoTokenIsForgotten,
        Self::RefreshTokenSentAtMostTwice,
        Self::RefreshTokenSentOnceWithoutFaults,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CodeRedeemedAtMostOnce => "code_redeemed_at_most_once",
            Self::DisconnectWins => "disconnect_wins",
            Self::EffectsAreBounded => "effects_are_bounded",
            Self::ExpiredStaysExpired => "expired_stays_expired",
            Self::GenerationStrictlyRises => "generation_strictly_rises",
            Self::NobodyIsLoggedOutWithoutFaults => "nobody_is_logged_out_without_faults",
            Self::NoSilentLoss => "no_silent_loss",
            Self::NoStoredTokenIsRevoked => "no_stored_token_is_revoked",
            Self::NoTokenBeforeItIsDurable => "no_token_before_it_is_durable",
            Self::NoTokenIsForgotten => "no_token_is_forgotten",
            Self::RefreshTokenSentAtMostTwice => "refresh_token_sent_at_most_twice",
            Self::RefreshTokenSentOnceWithoutFaults => "refresh_token_sent_once_without_faults",
        }
    }

    /// The property of `attacks.md` §5 it is, or is part of.
    pub(crate) const fn of(self) -> &'static str {
        match self {
            Self::CodeRedeemedAtMostOnce => "P7",
            Self::DisconnectWins | Self::NoTokenIsForgotten => "P19",
            Self::EffectsAreBounded => "L3",
            Self::ExpiredStaysExpired => "P26",
            Self::GenerationStrictlyRises
            | Self::RefreshTokenSentAtMostTwice
            | Self::RefreshTokenSentOnceWithoutFaults => "P17",
            Self::NobodyIsLoggedOutWithoutFaults
            | Self::NoSilentLoss
            | Self::NoStoredTokenIsRevoked
            | Self::NoTokenBeforeItIsDurable => "P24",
        }
    }

    /// In words.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::CodeRedeemedAtMostOnce => "at most one POST of a code is begun",
            Self::DisconnectWins => "once a disconnect has ended, no grant comes back",
            Self::EffectsAreBounded => "no operation asks for more than a fixed number of effects",
            Self::ExpiredStaysExpired => {
                "a flow refused as expired is never redeemed, wherever the clock goes"
            }
            Self::GenerationStrictlyRises => {
                "it rises with every token write, and no older answer replaces a newer one"
            }
            Self::NobodyIsLoggedOutWithoutFaults => {
                "a live grant is condemned only after a crash, a standstill or a lost answer"
            }
            Self::NoSilentLoss => {
                "a stored refresh token that the issuer has seen shows it: sends > 0, or condemned"
            }
            Self::NoStoredTokenIsRevoked => {
                "nothing is revoked that would end the family of the stored grant"
            }
            Self::NoTokenBeforeItIsDurable => "a token handed out is the one stored at that moment",
            Self::NoTokenIsForgotten => {
                "every family alive upstream is stored, in the outbox, or covered by doubt, redeeming or sends > 0"
            }
            Self::RefreshTokenSentAtMostTwice => "no third POST of a refresh token is begun",
            Self::RefreshTokenSentOnceWithoutFaults => {
                "no second one unless an answer was lost; none at all under `in_doubt = never`"
            }
        }
    }
}

/// A set of properties that were broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken(u16);

impl Broken {
    pub(crate) const fn has(self, property: Property) -> bool {
        self.0 & (1 << property as u16) != 0
    }

    pub(crate) const fn add(&mut self, property: Property) {
        self.0 |= 1 << property as u16;
    }
}
