//! The properties of consent and downstream tokens.

macro_rules! properties {
    ($($property:ident $name:literal $of:literal $about:literal,)+) => {
        /// What must hold in every state. A broken one stays broken: it is a mark in the state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Property {
            $($property,)+
        }

        impl Property {
            pub(crate) const ALL: &[Self] = &[$(Self::$property,)+];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$property => $name,)+
                }
            }

            /// The property of `attacks.md` §5 it is, or is part of.
            pub(crate) const fn of(self) -> &'static str {
                match self {
                    $(Self::$property => $of,)+
                }
            }

            /// In words.
            pub(crate) const fn about(self) -> &'static str {
                match self {
                    $(Self::$property => $about,)+
                }
            }
        }

        /// Hands each property to a macro, by its name in the code.
        macro_rules! each_property {
            ($then:ident) => {
                $then! { $($property),+ }
            };
        }
        pub(super) use each_property;
    };
}

properties! {
    ApprovedAsShown "approved_as_shown" "P11"
        "a code is minted for the client, redirect URI, endpoint and staged grants of the page that was approved",
    ApprovedInPerson "approved_in_person" "P6"
        "a code is minted by a form of the session's own browser, for the person who is in it and in the session",
    CodeBuysOneFamily "code_buys_one_family" "P9" "at most one family of tokens is ever stored for a code",
    CodeGoesWhereShown "code_goes_where_shown" "P11"
        "a code leaves to the redirect URI that the client has registered and the page has shown, in the browser that approved",
    CodeIsItsClients "code_is_its_clients" "P9"
        "tokens are given to the client that the code is for, with the right verifier, for the code's person and endpoint",
    DisconnectBeatsApproval "disconnect_beats_approval" "P19"
        "what was agreed to upstream before a disconnect is never made the person's after it",
    GraceKeepsTheSignIn "grace_keeps_the_sign_in" "P18"
        "a client that refreshes again within the grace is not signed out",
    GrantsAndCodeAreOne "grants_and_code_are_one" "P24"
        "a commit that mints a code makes all staged grants the person's, and no other commit makes one",
    NoAnswerBeforeItIsDurable "no_answer_before_it_is_durable" "P24"
        "codes and tokens that are handed out are in the store",
    NoGrantBecomesAnothers "no_grant_becomes_anothers" "P6"
        "a connection holds what its owner has agreed to upstream, and what is staged is for the session's person",
    NoUpstreamTokenIsForgotten "no_upstream_token_is_forgotten" "P19"
        "every family alive upstream is connected, staged, in an outbox, or covered by doubt or redeeming",
    OneChainOfRefreshTokens "one_chain_of_refresh_tokens" "P18"
        "a refresh token has one successor, and the new one follows on the one stored before",
    OneEndOfASession "one_end_of_a_session" "P11" "a consent session ends once, with one code or with none",
    OnlyItsClientEndsASignIn "only_its_client_ends_a_sign_in" "P18"
        "a request of another client, or without the verifier, ends no family",
    ReplayEndsTheSignIn "replay_ends_the_sign_in" "P9, P18"
        "when a replayed code or refresh token, or one given back, is answered, its family is dead",
    StagedResolvesToNothing "staged_resolves_to_nothing" "P6"
        "`resolve` hands out nothing that no approval has made the person's",
    TokenLivesWithItsFamily "token_lives_with_its_family" "P13"
        "an access token is accepted while its family lives, at its endpoint, for its person and client",
}

/// A set of properties that were broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Broken(u32);

impl Broken {
    pub(crate) const fn has(self, property: Property) -> bool {
        self.0 & (1 << property as u32) != 0
    }

    pub(crate) const fn add(&mut self, property: Property) {
        self.0 |= 1 << property as u32;
    }
}
