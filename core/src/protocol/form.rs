//! `application/x-www-form-urlencoded`: the writer of our request bodies, the strict reader of everybody else's.

use std::borrow::Cow;
use std::fmt;

use form_urlencoded::byte_serialize;
use percent_encoding::percent_decode;

use super::Invalid;
use crate::secret::{Secret, SecretBytes};

/// The media type of such a body.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// A request body in the making: pairs in the order given, each name once.
///
/// It borrows what it is given and is encoded once, into a buffer of the exact size, so that no half-grown copy of a
/// secret is left behind in freed memory.
#[derive(Default)]
pub struct Form<'a> {
    pairs: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Form<'a> {
    /// A form without pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair. Refused if the form has that name already (RFC 6749 §3.2).
    pub fn text(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Result<(), Invalid> {
        //= spec/oauth21.md#3-1
        //# A parameter MUST NOT be sent or accepted twice, `resource` excepted, and an empty value counts as
        //# absent (NET-11, U/S).
        if self.has(name) {
            return Err(Invalid("the form has a parameter of that name already"));
        }
        self.pairs.push((name, value.into()));
        Ok(())
    }

    /// Adds a pair whose value is secret. An empty one is refused: a server that takes it for absent would see
    /// another request than the one meant.
    pub fn secret(&mut self, name: &'a str, value: &'a Secret) -> Result<(), Invalid> {
        if value.is_empty() {
            return Err(Invalid("a secret parameter is empty"));
        }
        self.text(name, value.expose())
    }

    /// Whether there is a pair of that name.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(given, _)| *given == name)
    }

    /// The encoded body.
    pub fn into_body(self) -> SecretBytes {
        let pieces = || {
            self.pairs.iter().enumerate().flat_map(|(at, (name, value))| {
                (at > 0)
                    .then_some("&")
                    .into_iter()
                    .chain(byte_serialize(name.as_bytes()))
                    .chain(["="])
                    .chain(byte_serialize(value.as_bytes()))
            })
        };
        let mut body = Vec::with_capacity(pieces().map(str::len).sum());
        pieces().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
        SecretBytes::new(body)
    }
}

impl fmt::Debug for Form<'_> {
    /// Names only: any value may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

/// The pairs of a body or query of a peer, each part decoded once: `+` is a blank, `%XX` a byte, the bytes UTF-8.
///
/// Empty pieces (`a=1&&b=2`) give nothing; a piece without `=` is a name with an empty value. A part that is not UTF-8
/// is an error. A percent sign without two hexadecimal digits stands for itself, as in the WHATWG URL standard.
/// Nothing is said about duplicates: whoever gives the names a meaning refuses them.
pub fn pairs(text: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Invalid>> {
    text.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        Ok((decoded(name)?, decoded(value)?))
    })
}

pub(super) fn decoded(part: &str) -> Result<Cow<'_, str>, Invalid> {
    const NOT_UTF8: Invalid = Invalid("a parameter is not UTF-8");
    if part.contains('+') {
        let blanked = part.replace('+', " ");
        let text = percent_decode(blanked.as_bytes()).decode_utf8().map_err(|_| NOT_UTF8)?;
        return Ok(Cow::Owned(text.into_owned()));
    }
    percent_decode(part.as_bytes()).decode_utf8().map_err(|_| NOT_UTF8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, Invalid> {
        pairs(text).map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned()))).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_body_is_written_in_order_and_encoded() {
        let token = Secret::new("r+/=&é");
        let mut form = Form::new();
        form.text("grant_type", "refresh_token").unwrap();
        form.secret("refresh_token", &token).unwrap();
        form.text("scope", "a b").unwrap();
        let body = form.into_body();
        assert_eq!(
            str::from_utf8(body.expose()).unwrap(),
            "grant_type=refresh_token&refresh_token=r%2B%2F%3D%26%C3%A9&scope=a+b"
        );
    }

    //= spec/oauth21.md#3-1
    //= type=test
    //# A parameter MUST NOT be sent or accepted twice, `resource` excepted, and an empty value counts as
    //# absent (NET-11, U/S).
    #[test]
    fn a_name_is_written_once() {
        let mut form = Form::new();
        form.text("code", "1").unwrap();
        assert!(form.text("code", "2").is_err());
        assert_eq!(form.into_body().expose(), b"code=1");
    }

    #[test]
    fn an_empty_secret_is_never_written() {
        let empty = Secret::new("");
        let mut form = Form::new();
        assert!(form.secret("client_secret", &empty).is_err());
        assert!(form.into_body().expose().is_empty());
    }

    #[test]
    fn debug_shows_the_names_and_no_value() {
        let secret = Secret::new("hunter2");
        let mut form = Form::new();
        form.secret("code", &secret).unwrap();
        assert_eq!(format!("{form:?}"), r#"["code"]"#);
    }

    #[test]
    fn parts_are_decoded_exactly_once() {
        assert_eq!(
            read("a=%2541&b+c=1+2%2B3&%C3%A9=%26").unwrap(),
            owned(&[("a", "%41"), ("b c", "1 2+3"), ("é", "&")])
        );
    }

    #[test]
    fn odd_pieces_have_one_meaning() {
        assert_eq!(
            read("&&flag&=x&a=b=c&d=%zz&e=100%").unwrap(),
            owned(&[("flag", ""), ("", "x"), ("a", "b=c"), ("d", "%zz"), ("e", "100%")])
        );
        assert_eq!(read("").unwrap(), owned(&[]));
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert!(read("a=%ff").is_err());
        assert!(read("%c3=1").is_err());
        assert!(read("a=%c0%80+").is_err());
        assert!(read("a=%ed%a0%80").is_err());
    }
}
