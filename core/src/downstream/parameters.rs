//! The parameters of a query or a form body: each once, an empty one as good as none.

use std::fmt;

use crate::protocol::Invalid;
use crate::protocol::form::pairs;
use crate::secret::Secret;

/// Parameters as they were sent, decoded once. Values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Parameters(Vec<(String, Secret)>);

/// LIMIT: of one request; whatever a client invents besides is ignored, and not without end.
const MAX: usize = 64;

impl Parameters {
    /// # Errors
    /// A name given twice, something that is not UTF-8, or too many.
    pub(crate) fn read(text: &str) -> Result<Self, Invalid> {
        let mut parameters: Vec<(String, Secret)> = Vec::new();
        for pair in pairs(text) {
            let (name, value) = pair?;
            //= spec/oauth21.md#3-1
            //# A parameter MUST NOT be sent or accepted twice, `resource` excepted, and an empty value counts as
            //# absent (NET-11, U/S).
            // atk:COD-12
            if parameters.iter().any(|(have, _)| *have == name) {
                return Err(Invalid("a parameter is given twice"));
            }
            if parameters.len() >= MAX {
                return Err(Invalid("there are too many parameters"));
            }
            parameters.push((name.into_owned(), Secret::new(value.into_owned())));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; an empty one is as good as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.secret(name).map(Secret::expose)
    }

    /// As [`Parameters::get`], still wrapped.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Parameters {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/oauth21.md#3-1
    //= type=test
    //# A parameter MUST NOT be sent or accepted twice, `resource` excepted, and an empty value counts as
    //# absent (NET-11, U/S).
    // atk:COD-12
    #[test]
    fn a_parameter_given_twice_is_refused_however_it_is_written() {
        for text in ["a=1&a=2", "a=1&%61=2", "client_id=a&%63lient_id=b", "a=&a=1"] {
            assert!(Parameters::read(text).is_err(), "{text}");
        }
        let read = Parameters::read("a=1&b=&c=x+y%21").unwrap();
        assert_eq!((read.get("a"), read.get("b"), read.get("c")), (Some("1"), None, Some("x y!")));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let many: String = (0..=MAX).map(|at| format!("p{at}=1&")).collect();
        assert!(Parameters::read(&many).is_err());
    }
}
