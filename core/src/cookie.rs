//! The cookies of ours: each one value per browser, for this host alone, and for no script.

use crate::engine::Engine;
use crate::secret::Secret;

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Ties flows to the browser they began in. Set only by the response to the POST that begins one.
    Binding,
    /// Ties pages and their forms to the browser that was shown them. No right is in it.
    Page,
    /// Who a person is whom no login of the host knows.
    Session,
}

impl Cookie {
    /// Under the development opt-in for plain `http` browsers keep neither `Secure` nor `__Host-` cookies, so it has another name
    /// there.
    fn name(self, engine: &Engine) -> &'static str {
        match (self, is_plain(engine)) {
            (Self::Binding, false) => "__Host-grantway",
            (Self::Binding, true) => "grantway-development",
            (Self::Page, false) => "__Host-grantway-page",
            (Self::Page, true) => "grantway-page-development",
            (Self::Session, false) => "__Host-grantway-session",
            (Self::Session, true) => "grantway-session-development",
        }
    }

    /// Every value of the cookie in a raw `Cookie` header (RFC 6265 §4.2).
    pub(crate) fn values<'a>(
        self,
        engine: &Engine,
        cookies: Option<&'a Secret>,
    ) -> impl Iterator<Item = &'a str> {
        let name = self.name(engine);
        cookies
            .map_or("", Secret::expose)
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .filter(move |(have, _)| have.trim() == name)
            .map(|(_, value)| value.trim())
    }

    /// The value that this browser has: one, of the form we give.
    pub(crate) fn value(self, engine: &Engine, cookies: Option<&Secret>) -> Option<Secret> {
        let mut values = self.values(engine, cookies);
        let is_ours = |value: &&str| {
            value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value).filter(is_ours).map(Secret::new),
            _ => None,
        }
    }

    /// The value of a `Set-Cookie` header that takes the cookie away.
    pub(crate) fn forget(self, engine: &Engine) -> Secret {
        let name = self.name(engine);
        let secure = if is_plain(engine) { "" } else { "; Secure" };
        Secret::new(format!("{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax{secure}"))
    }

    /// The value of a `Set-Cookie` header. It lasts until the browser is closed. `Lax`, because callbacks and the requests of clients
    /// are navigations from other sites (atk:CSR-07).
    pub(crate) fn set(self, engine: &Engine, secret: &Secret) -> Secret {
        //= spec/mcp-best-practices.md#consent-cookie-security
        //# Cookies of a consent MUST have a `__Host-` name and be Secure, HttpOnly and SameSite=Lax, stand for a
        //# record of the server's, and be bound to the client (CON-05, B).
        let name = self.name(engine);
        let secure = if is_plain(engine) { "" } else { "; Secure" };
        Secret::new(format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}", secret.expose()))
    }
}

fn is_plain(engine: &Engine) -> bool {
    engine.config().base_url.as_deref().is_some_and(|base| base.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::EngineConfig;
    use crate::store::{Keyring, SealingKey};

    fn engine(base: &str) -> Arc<Engine> {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let config = EngineConfig {
            base_url: Some(base.to_owned()),
            danger_loopback_http: true,
            ..EngineConfig::new("t")
        };
        Engine::new(config, keyring).unwrap()
    }

    // atk:CSR-07
    #[test]
    fn a_browser_keeps_the_one_secret_it_has() {
        let engine = engine("https://gw.example");
        let secret = "A".repeat(43);
        let read = |header: String| {
            Cookie::Binding
                .value(&engine, Some(&Secret::new(header)))
                .map(|secret| secret.expose().to_owned())
        };
        assert_eq!(read(format!("a=b; __Host-grantway={secret}; c=d")), Some(secret.clone()));
        for header in [
            String::new(),
            "__Host-grantway=".to_owned(),
            "__Host-grantway=short".to_owned(),
            format!("__Host-grantway={secret}="),
            format!("grantway={secret}"),
            format!("__host-grantway={secret}"),
            format!("__Host-grantway={secret}; __Host-grantway={secret}"),
        ] {
            assert_eq!(read(header.clone()), None, "{header}");
        }
    }

    //= spec/mcp-best-practices.md#consent-cookie-security
    //= type=test
    //# Cookies of a consent MUST have a `__Host-` name and be Secure, HttpOnly and SameSite=Lax, stand for a
    //# record of the server's, and be bound to the client (CON-05, B).
    // atk:CSR-07
    #[test]
    fn the_cookie_is_for_this_host_alone_and_for_no_script() {
        let cookie = |base: &str| Cookie::Binding.set(&engine(base), &Secret::new("s")).expose().to_owned();
        assert_eq!(cookie("https://gw.example"), "__Host-grantway=s; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(cookie("http://localhost:3000"), "grantway-development=s; Path=/; HttpOnly; SameSite=Lax");
    }
}
