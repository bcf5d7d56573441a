//! `WWW-Authenticate`: the grammar of RFC 9110 §11, and what OAuth reads from it (RFC 6750 §3, RFC 9728 §5.1).
//!
//! Reading never fails. From the first byte that the grammar does not allow, the rest of that field is dropped and
//! the challenge it belongs to is marked; guessing further would turn a server's prose into parameters.

use std::fmt;

use super::Invalid;
use super::scopes::Scopes;
use crate::error::PeerText;

/// LIMIT: bytes of all fields together; a field that goes beyond is dropped whole. Clients in the field take 64 KiB
/// of headers in all.
pub const CHALLENGE_MAX_BYTES: usize = 64 * 1024;

/// LIMIT: challenges in all fields together. Servers in the field send up to four.
pub const CHALLENGES_MAX: usize = 32;

/// LIMIT: parameters of one challenge. The standards know about a dozen.
pub const CHALLENGE_PARAMETERS_MAX: usize = 32;

/// One challenge. Displays in the form it is sent in, every value quoted.
///
/// INVARIANT: made by [`parse`] only, so scheme and names are tokens and values hold no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge {
    scheme: String,
    token68: Option<String>,
    parameters: Vec<(String, String)>,
    malformed: bool,
}

/// Reads all `WWW-Authenticate` fields of a response, in their order. Several fields mean the same as one in which
/// they are joined by commas (RFC 9110 §5.3). Takes time linear in the input.
pub fn parse<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    //= spec/rfc9110.md#11-6-1
    //# The challenge parser MUST take the whole grammar: several fields, several challenges in a field,
    //# token68, tokens and quoted strings with escapes, commas in quotes, blanks round `=`, names in any case
    //# (CH-02, U).
    // T-04, atk:HDR-02
    let mut challenges = Challenges { list: Vec::new(), open: false };
    let mut left = CHALLENGE_MAX_BYTES;
    for field in fields {
        let read = match left.checked_sub(field.len()) {
            Some(rest) => {
                left = rest;
                challenges.read(field)
            }
            None => Err(Invalid("the challenges are too long")),
        };
        if read.is_err() {
            challenges.mark_malformed();
        }
    }
    challenges.list
}

impl Challenge {
    /// The scheme as received; its case means nothing.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The one value without a name, with which some schemes come instead of parameters.
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }

    /// The parameters in their order, repeated ones too; names in lower case.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether something after it could not be read and was dropped.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// The value of a parameter that stands there exactly once and is not empty.
    fn single(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters().filter(|(other, _)| *other == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        if let Some(token68) = &self.token68 {
            write!(f, " {token68}")?;
        }
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}=\"", if index == 0 { " " } else { ", " })?;
            for c in value.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        Ok(())
    }
}

/// A scheme under which an OAuth access token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenScheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

/// What a challenge says to an OAuth client. A parameter that stands twice, or is empty, counts as absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BearerChallenge {
    /// The scheme asked for.
    pub scheme: TokenScheme,
    /// Where the resource metadata is, as received (RFC 9728 §5.1); whether it may be fetched is decided elsewhere.
    pub resource_metadata: Option<String>,
    /// `resource_metadata` stood there more than once, so none of its values was taken.
    pub repeated_resource_metadata: bool,
    /// The oauth scopes needed; absent also if the value is not a list of scopes.
    pub scope: Option<Scopes>,
    /// The error code, of the characters that RFC 6750 §3 allows; to compare, not to show.
    pub error: Option<String>,
    /// What the server says to developers: untrusted text.
    pub error_description: Option<PeerText>,
}

impl BearerChallenge {
    /// Chooses one challenge of a scheme we speak: one that names resource metadata before one that does not, then one
    /// that says why or for what before one that does not, the first of equals. Nothing is taken from any other.
    pub fn select(challenges: &[Challenge]) -> Option<Self> {
        //= spec/rfc9110.md#11-6-1
        //# The engine MUST answer a challenge of a scheme it supports and never mix the parameters of
        //# different challenges (CH-03, U).
        // T-35
        challenges.iter().filter_map(Self::read).min_by_key(|challenge| {
            let says_why = challenge.error.is_some() || challenge.scope.is_some();
            (challenge.resource_metadata.is_none(), !says_why)
        })
    }

    fn read(challenge: &Challenge) -> Option<Self> {
        let scheme = match challenge.scheme() {
            name if name.eq_ignore_ascii_case("Bearer") => TokenScheme::Bearer,
            name if name.eq_ignore_ascii_case("DPoP") => TokenScheme::Dpop,
            _ => return None,
        };
        let is_code =
            |code: &&str| code.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        Some(Self {
            scheme,
            resource_metadata: challenge.single("resource_metadata").map(str::to_owned),
            // T-04, atk:HDR-02
            repeated_resource_metadata: challenge
                .parameters()
                .filter(|(name, _)| *name == "resource_metadata")
                .nth(1)
                .is_some(),
            scope: challenge.single("scope").and_then(|text| Scopes::parse(text).ok()),
            error: challenge.single("error").filter(is_code).map(str::to_owned),
            //= spec/oauth21.md#5-3-1
            //# `error_description` and `scope` of a challenge SHOULD be handled as untrusted text that speaks
            //# to software and developers (CH-08, U).
            error_description: challenge.single("error_description").map(PeerText::sanitize),
        })
    }
}

struct Challenges {
    list: Vec<Challenge>,
    /// Whether the last of the list may still get parameters.
    open: bool,
}

impl Challenges {
    /// Reads the elements of one field. An element is a parameter of the challenge before it, or begins a challenge.
    fn read(&mut self, field: &str) -> Result<(), Invalid> {
        let mut reader = Reader(field);
        loop {
            reader.take(|c| is_blank(c) || c == ',');
            if reader.0.is_empty() {
                return Ok(());
            }
            let name = reader.token()?;
            let blanks = reader.take(is_blank);
            if reader.skip('=') {
                let value = reader.value()?;
                self.add_parameter(name, value)?;
            } else if reader.ends_element() {
                self.begin(name)?;
            } else if !blanks.is_empty() {
                self.begin(name)?;
                self.read_first(&mut reader)?;
            } else {
                return Err(Invalid("a scheme ends in another character than a blank"));
            }
        }
    }

    /// Reads what follows a scheme: a token68 if one fills the element, else the first parameter.
    fn read_first(&mut self, reader: &mut Reader<'_>) -> Result<(), Invalid> {
        let whole = reader.0;
        let letters = reader.take(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        let padding = reader.take(|c| c == '=');
        reader.take(is_blank);
        if !letters.is_empty() && reader.ends_element() {
            self.open = false;
            if let Some(challenge) = self.list.last_mut() {
                challenge.token68 = Some(format!("{letters}{padding}"));
            }
            return Ok(());
        }
        reader.0 = whole;
        let name = reader.token()?;
        reader.take(is_blank);
        if !reader.skip('=') {
            return Err(Invalid("a parameter has no value"));
        }
        let value = reader.value()?;
        self.add_parameter(name, value)
    }

    fn begin(&mut self, scheme: &str) -> Result<(), Invalid> {
        if self.list.len() >= CHALLENGES_MAX {
            return Err(Invalid("there are too many challenges"));
        }
        self.list.push(Challenge {
            scheme: scheme.to_owned(),
            token68: None,
            parameters: Vec::new(),
            malformed: false,
        });
        self.open = true;
        Ok(())
    }

    fn add_parameter(&mut self, name: &str, value: String) -> Result<(), Invalid> {
        match self.list.last_mut() {
            Some(last) if self.open && last.parameters.len() < CHALLENGE_PARAMETERS_MAX => {
                last.parameters.push((name.to_ascii_lowercase(), value));
                Ok(())
            }
            _ => Err(Invalid("a parameter belongs to no challenge, or is one too many")),
        }
    }

    fn mark_malformed(&mut self) {
        self.open = false;
        if let Some(last) = self.list.last_mut() {
            last.malformed = true;
        }
    }
}

/// What is left of a field.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    fn skip(&mut self, c: char) -> bool {
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    fn ends_element(&self) -> bool {
        self.0.is_empty() || self.0.starts_with(',')
    }

    fn token(&mut self) -> Result<&'a str, Invalid> {
        match self.take(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
            "" => Err(Invalid("a token is missing")),
            token => Ok(token),
        }
    }

    fn value(&mut self) -> Result<String, Invalid> {
        self.take(is_blank);
        let value = if self.skip('"') { self.quoted_rest() } else { self.token().map(str::to_owned) };
        self.take(is_blank);
        // Half of an unquoted URL is not a value.
        if self.ends_element() { value } else { Err(Invalid("a parameter goes on after its value")) }
    }

    fn quoted_rest(&mut self) -> Result<String, Invalid> {
        let mut value = String::new();
        let mut chars = self.0.chars();
        while let Some(c) = chars.next() {
            let c = match c {
                '"' => {
                    self.0 = chars.as_str();
                    return Ok(value);
                }
                '\\' => chars.next().ok_or(Invalid("a quoted text has no end"))?,
                c => c,
            };
            if c.is_control() && c != '\t' {
                return Err(Invalid("a quoted text holds a control character"));
            }
            value.push(c);
        }
        Err(Invalid("a quoted text has no end"))
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scheme, token68 and parameters of each challenge, in a form that reads well; `!` marks a malformed one.
    fn read(fields: &[&str]) -> Vec<String> {
        let shown = |challenge: &Challenge| {
            let parameters: Vec<_> =
                challenge.parameters().map(|(name, value)| format!("{name}={value}")).collect();
            let mark = if challenge.is_malformed() { "!" } else { "" };
            format!(
                "{mark}{}<{}>{}",
                challenge.scheme(),
                challenge.token68().unwrap_or(""),
                parameters.join("|")
            )
        };
        parse(fields.iter().copied()).iter().map(shown).collect()
    }

    fn select(fields: &[&str]) -> BearerChallenge {
        BearerChallenge::select(&parse(fields.iter().copied())).unwrap()
    }

    //= spec/rfc9110.md#11-6-1
    //= type=test
    //# The challenge parser MUST take the whole grammar: several fields, several challenges in a field,
    //# token68, tokens and quoted strings with escapes, commas in quotes, blanks round `=`, names in any case
    //# (CH-02, U).
    #[test]
    fn every_form_of_the_grammar_is_read() {
        for (fields, expected) in [
            (&["Bearer"][..], &["Bearer<>"][..]),
            (&[""], &[]),
            (&[" , ,"], &[]),
            (&["Negotiate, NTLM"], &["Negotiate<>", "NTLM<>"]),
            (&["Negotiate YIIB==, Basic realm=\"x\""], &["Negotiate<YIIB==>", "Basic<>realm=x"]),
            (&["NTLM a-._~+/9="], &["NTLM<a-._~+/9=>"]),
            (&["Bearer realm=a"], &["Bearer<>realm=a"]),
            (&["BEARER  Realm = \"a\" ,\tSCOPE\t=\tb"], &["BEARER<>realm=a|scope=b"]),
            (&["Bearer realm=\"a, b=\\\"c\\\\\", x=\"\""], &["Bearer<>realm=a, b=\"c\\|x="]),
            (&["Bearer realm=\"é\tx\""], &["Bearer<>realm=é\tx"]),
            (&["Bearer , realm=a, , x=b,"], &["Bearer<>realm=a|x=b"]),
            (&["Bearer a=1", "b=2", "Basic"], &["Bearer<>a=1|b=2", "Basic<>"]),
            (&["A, B x=1, C abc, D y=2"], &["A<>", "B<>x=1", "C<abc>", "D<>y=2"]),
            (&["Bearer a=1, a=2"], &["Bearer<>a=1|a=2"]),
        ] {
            assert_eq!(read(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn the_rest_of_a_field_is_dropped_where_the_grammar_ends() {
        // atk:HDR-02
        for (fields, expected) in [
            (&["Bearer a=1, b=\"open, c=3"][..], &["!Bearer<>a=1"][..]),
            (&["Bearer a=1, b=\"open\\"], &["!Bearer<>a=1"]),
            (&["Bearer a=1, resource_metadata=https://h/x, c=3"], &["!Bearer<>a=1"]),
            (&["Bearer a=1 b=2"], &["!Bearer<>"]),
            (&["Bearer@, Basic"], &[]),
            (&["Basic, Bearer/1.0 scope=a"], &["!Basic<>"]),
            (&["Bearer a=\"1\"b, c=3"], &["!Bearer<>"]),
            (&["Bearer a="], &["Bearer<a=>"]),
            (&["Bearer a=1, b="], &["!Bearer<>a=1"]),
            (&["Bearer a b"], &["!Bearer<>"]),
            (&["Bearer é=1"], &["!Bearer<>"]),
            (&["Bearer a=é"], &["!Bearer<>"]),
            (&["Bearer a=\"x\r\ny: z\""], &["!Bearer<>"]),
            (&["Bearer a=\"x\\\u{0}\""], &["!Bearer<>"]),
            (&["Negotiate abc, a=1"], &["!Negotiate<abc>"]),
            (&["a=1, Bearer b=2"], &[]),
            (&["=, Bearer"], &[]),
            (&["Bearer a=1, @", "b=2", "Basic c=3"], &["!Bearer<>a=1", "Basic<>c=3"]),
        ] {
            assert_eq!(read(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn bytes_challenges_and_parameters_are_limited() {
        // atk:HDR-02
        let parameters = |count: usize| format!("Bearer {}", vec!["a=1"; count].join(","));
        assert_eq!(parse([parameters(CHALLENGE_PARAMETERS_MAX).as_str()])[0].parameters.len(), 32);
        let cut = parse([parameters(10_000).as_str()]);
        assert_eq!(
            (cut.len(), cut[0].parameters.len(), cut[0].malformed),
            (1, CHALLENGE_PARAMETERS_MAX, true)
        );
        let schemes = parse([vec!["a"; 10_000].join(",").as_str()]);
        assert_eq!((schemes.len(), schemes[CHALLENGES_MAX - 1].malformed), (CHALLENGES_MAX, true));
        let long = format!("Basic realm=\"{}\"", "x".repeat(CHALLENGE_MAX_BYTES - 14));
        assert_eq!(parse([long.as_str()]).len(), 1);
        assert!(parse([format!("{long} ").as_str()]).is_empty());
        assert_eq!(read(&["Bearer a=1", &long, "b=2"]), ["!Bearer<>a=1"]);
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let fields =
            ["Negotiate abc==, DPoP algs=\"ES256\", Bearer realm=\"\", x=\"a \\\"b\\\\, é\", X=y, Basic"];
        let challenges = parse(fields);
        let printed: Vec<_> = challenges.iter().map(Challenge::to_string).collect();
        assert_eq!(parse(printed.iter().map(String::as_str)), challenges);
        assert_eq!(parse([printed.join(", ").as_str()]), challenges);
    }

    //= spec/rfc9110.md#11-6-1
    //= type=test
    //# The challenge parser MUST take the whole grammar: several fields, several challenges in a field,
    //# token68, tokens and quoted strings with escapes, commas in quotes, blanks round `=`, names in any case
    //# (CH-02, U).
    #[test]
    fn the_challenge_of_a_mixed_response_is_found() {
        let chosen = select(&[
            "Negotiate YIIB, NTLM abc==, DPoP algs=\"ES256\", Bearer realm=\"\",",
            "scope=\"a b\", resource_metadata = \"https://h/x\"",
        ]);
        assert_eq!(chosen.scheme, TokenScheme::Bearer);
        assert_eq!(chosen.resource_metadata.as_deref(), Some("https://h/x"));
        assert_eq!(chosen.scope, Some(Scopes::parse("a b").unwrap()));
    }

    #[test]
    fn a_challenge_for_dpop_alone_is_understood() {
        // T-35
        let chosen = select(&["dpop algs=\"ES256\", resource_metadata=\"https://h/x\""]);
        assert_eq!(
            (chosen.scheme, chosen.resource_metadata.as_deref()),
            (TokenScheme::Dpop, Some("https://h/x"))
        );
    }

    //= spec/rfc9110.md#11-6-1
    //= type=test
    //# The engine MUST answer a challenge of a scheme it supports and never mix the parameters of different
    //# challenges (CH-03, U).
    #[test]
    fn nothing_is_taken_from_another_challenge() {
        let chosen =
            select(&["Basic scope=a, resource_metadata=\"https://basic/\", Bearer error=invalid_token"]);
        assert_eq!((chosen.resource_metadata, chosen.scope), (None, None));
        assert_eq!(chosen.error.as_deref(), Some("invalid_token"));
        let chosen = select(&["Bearer error=\"x\", scope=\"a\", DPoP resource_metadata=\"https://h/\""]);
        assert_eq!((chosen.scheme, chosen.error, chosen.scope), (TokenScheme::Dpop, None, None));
        let chosen = select(&["DPoP algs=x, Bearer scope=a, Bearer scope=b"]);
        assert_eq!((chosen.scheme, chosen.scope.unwrap().to_string()), (TokenScheme::Bearer, "a".to_owned()));
        assert_eq!(BearerChallenge::select(&parse(["Basic realm=x, BearerX scope=a"])), None);
    }

    #[test]
    fn a_repeated_resource_metadata_is_ignored_and_noted() {
        // T-04, atk:HDR-02
        let chosen =
            select(&["Bearer realm=\"OAuth\", resource_metadata=\"https://h/1\", error=\"invalid_token\", \
             Resource_Metadata=\"https://h/2\""]);
        assert_eq!((chosen.resource_metadata, chosen.repeated_resource_metadata), (None, true));
        assert_eq!(chosen.error.as_deref(), Some("invalid_token"));
        let once = select(&["Bearer realm=x, error=y, resource_metadata=\"https://h/1\""]);
        assert!(!once.repeated_resource_metadata);
    }

    //= spec/oauth21.md#5-3-1
    //= type=test
    //# `error_description` and `scope` of a challenge SHOULD be handled as untrusted text that speaks to
    //# software and developers (CH-08, U).
    #[test]
    fn other_parameters_count_only_once_and_if_they_are_well_formed() {
        let chosen = select(&["Bearer scope=a, scope=b, error=\"\", x_error=y"]);
        assert_eq!((chosen.scope, chosen.error), (None, None));
        let chosen = select(&["Bearer scope=\"a\\\"b\", error=\"é\", error_description=\"`a`é\""]);
        assert_eq!((chosen.scope, chosen.error), (None, None));
        assert_eq!(chosen.error_description.unwrap().as_str(), "'a'?");
    }

    #[test]
    fn parameters_named_in_prose_are_prose() {
        // atk:HDR-02
        let chosen = select(&[
            "Bearer error_description=\"need scope=admin, resource_metadata=https://evil/\", x_scope=z",
        ]);
        assert_eq!((chosen.resource_metadata, chosen.scope), (None, None));
        assert_eq!(select(&["Bearer abc=="]).resource_metadata, None);
    }
}
