//! What ties a flow to where it begins: made here, compared at the callback.

use super::{BeginConnect, FlowBinding};
use crate::engine::Engine;
use crate::operation::Context;
use crate::secret::Secret;
use crate::store::records::{Binding, FlowHash};
use crate::upstream::binding::{cookie_name, cookie_values};

/// A binding, and what must be handed out for it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) binding: Binding,
    /// The value of a `Set-Cookie` header.
    pub(super) cookie: Option<Secret>,
    pub(super) process_secret: Option<Secret>,
}

impl Bound {
    /// CSR-02, F30: fixed here for good.
    pub(super) fn new(cx: &Context<'_>, arguments: &BeginConnect, flow: FlowHash) -> Self {
        match &arguments.binding {
            FlowBinding::Browser => {
                let known = browser_secret(cx.engine, arguments.cookies.as_ref());
                // atk:CSR-07: one cookie for all flows of a browser, and no other while it has that.
                let fresh = known.is_none().then(|| cx.moment.entropy.token("begin_connect/browser"));
                let cookie = fresh.as_ref().map(|secret| set_cookie(cx.engine, secret));
                let secret = known.or(fresh).unwrap_or_else(|| Secret::new(""));
                Self { binding: Binding::browser(&secret, flow), cookie, process_secret: None }
            }
            FlowBinding::Paste { .. } => Self { binding: Binding::Paste, cookie: None, process_secret: None },
            FlowBinding::Process { .. } => {
                let secret = cx.moment.entropy.token("begin_connect/process");
                let binding = Binding::process(&secret, flow);
                Self { binding, cookie: None, process_secret: Some(secret) }
            }
        }
    }
}

/// The secret that this browser already has: one value, of the form we give.
fn browser_secret(engine: &Engine, cookies: Option<&Secret>) -> Option<Secret> {
    let mut values = cookie_values(cookies, cookie_name(engine));
    let is_ours = |value: &&str| {
        value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value).filter(is_ours).map(Secret::new),
        _ => None,
    }
}

/// Until the browser is closed. `Lax`, because the callback is a navigation from another site (CSR-07).
fn set_cookie(engine: &Engine, secret: &Secret) -> Secret {
    let name = cookie_name(engine);
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    Secret::new(format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}", secret.expose()))
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
            browser_secret(&engine, Some(&Secret::new(header))).map(|secret| secret.expose().to_owned())
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

    // atk:CSR-07
    #[test]
    fn the_cookie_is_for_this_host_alone_and_for_no_script() {
        let cookie = |base: &str| set_cookie(&engine(base), &Secret::new("s")).expose().to_owned();
        assert_eq!(cookie("https://gw.example"), "__Host-grantway=s; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(cookie("http://localhost:3000"), "grantway-development=s; Path=/; HttpOnly; SameSite=Lax");
    }
}
