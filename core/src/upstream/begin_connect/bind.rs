//! What ties a flow to where it begins: made here, compared at the callback.

use super::{BeginConnect, FlowBinding};
use crate::cookie::Cookie;
use crate::operation::Context;
use crate::secret::Secret;
use crate::store::records::{Binding, FlowHash};

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
                let known = Cookie::Binding.value(cx.engine, arguments.cookies.as_ref());
                // atk:CSR-07: one cookie for all flows of a browser, and no other while it has that.
                let fresh = known.is_none().then(|| cx.moment.entropy.token("begin_connect/browser"));
                let cookie = fresh.as_ref().map(|secret| Cookie::Binding.set(cx.engine, secret));
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
