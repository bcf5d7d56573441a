//! A request to the gateway once it is read: where it goes, what it brings, who is signed in.

use super::parameters::Parameters;
use super::request::{Request, SignedIn};
use super::site::Site;
use crate::error::{Code, Failure};
use crate::limits::REQUEST_MAX_BYTES;
use crate::operation::Context;
use crate::principal::TenantId;
use crate::protocol::form;
use crate::secret::Secret;

/// A request that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Visit {
    pub(crate) site: Site,
    pub(crate) method: Method,
    pub(crate) request: Request,
    /// Whom the host has signed in.
    pub(crate) signed_in: Option<SignedIn>,
}

/// The methods that anything here answers to. HEAD is GET; the host leaves the body out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Get,
    Options,
    Post,
}

impl Visit {
    /// # Errors
    /// Another method, a body that is too long, a caller of another tenant.
    pub(crate) fn new(
        cx: &Context<'_>,
        tenant: &TenantId,
        request: Request,
        signed_in: Option<SignedIn>,
    ) -> Result<Self, Failure> {
        let site = Site::of(cx.engine, tenant)?;
        let method = match request.method.as_str() {
            "GET" | "HEAD" => Method::Get,
            "OPTIONS" => Method::Options,
            "POST" => Method::Post,
            _ => return Err(Code::MethodRefused.into()),
        };
        if request.body.expose().len() > REQUEST_MAX_BYTES {
            return Err(Failure::new(Code::RequestMalformed).because("the body is too long"));
        }
        // Each tenant has an issuer of its own, and nobody of another one is anybody here.
        if signed_in.as_ref().is_some_and(|who| who.caller.tenant != *tenant) {
            return Err(Failure::new(Code::SignInNeeded).because("the caller belongs to another tenant"));
        }
        Ok(Self { site, method, request, signed_in })
    }

    /// The parameters of the query.
    ///
    /// # Errors
    /// One is given twice, or not UTF-8.
    pub(crate) fn query(&self) -> Result<Parameters, Failure> {
        let (_, query) = self.request.path_and_query();
        Parameters::read(query.unwrap_or_default())
            .map_err(|invalid| Failure::new(Code::RequestMalformed).because(invalid.0))
    }

    /// The parameters of a form body.
    ///
    /// # Errors
    /// It is no form, or one is given twice.
    pub(crate) fn form(&self) -> Result<Parameters, Failure> {
        // atk:HDR-07
        let is_form = self.request.header("content-type").is_some_and(|value| {
            let media_type = value.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case(form::CONTENT_TYPE)
        });
        if !is_form {
            return Err(Failure::new(Code::RequestMalformed).because("the body is not a form"));
        }
        let body = str::from_utf8(self.request.body.expose())
            .map_err(|_| Failure::new(Code::RequestMalformed).because("the body is not UTF-8"))?;
        Parameters::read(body).map_err(|invalid| Failure::new(Code::RequestMalformed).because(invalid.0))
    }

    /// All cookies, raw.
    pub(crate) fn cookies(&self) -> Option<Secret> {
        self.request.cookies()
    }
}
