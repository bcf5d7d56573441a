//! HTTP messages as servers see them.

use std::collections::BTreeMap;

use grantway_core::operation::HttpRequest;
use serde_json::Value;
use url::Url;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`, as sent.
    pub method: String,
    /// The absolute URL, as sent.
    pub url: String,
    /// All headers, as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET without headers.
    pub fn get(url: &str) -> Self {
        Self { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of a form.
    pub fn post_form(url: &str, form: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Self { method: "POST".into(), body: body.into_bytes(), ..Self::get(url) }
            .header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// A POST of JSON.
    pub fn post_json(url: &str, body: &Value) -> Self {
        Self { method: "POST".into(), body: body.to_string().into_bytes(), ..Self::get(url) }
            .header("Content-Type", "application/json")
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The only value of a header; `None` also if it is repeated.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The path of the URL.
    pub fn path(&self) -> String {
        self.parsed().path().to_owned()
    }

    /// Scheme, host and port of the URL.
    pub fn origin(&self) -> String {
        self.parsed().origin().ascii_serialization()
    }

    /// The parameters of the query.
    ///
    /// # Errors
    /// The name of a parameter that occurs twice (RFC 6749 §3.1).
    pub fn query(&self) -> Result<Parameters, String> {
        Parameters::parse(self.parsed().query().unwrap_or_default().as_bytes())
    }

    /// The parameters of a form body.
    ///
    /// # Errors
    /// The body is no form, or a parameter occurs twice (RFC 6749 §3.2).
    pub fn form(&self) -> Result<Parameters, String> {
        match self.one("content-type") {
            Some("application/x-www-form-urlencoded") => Parameters::parse(&self.body),
            other => Err(format!("the content type is {other:?}")),
        }
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everything that went over the wire, for searches.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {}\n", self.method, self.url).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn parsed(&self) -> Url {
        Url::parse(&self.url).unwrap_or_else(|error| panic!("`{}` is no URL: {error}", self.url))
    }
}

impl From<&HttpRequest> for Request {
    fn from(request: &HttpRequest) -> Self {
        Self {
            method: request.method.as_str().to_owned(),
            url: request.url.clone(),
            headers: request.headers.iter().map(|h| (h.name.clone(), h.value.expose().to_owned())).collect(),
            body: request.body.expose().to_vec(),
        }
    }
}

/// Form or query parameters, each at most once.
#[derive(Clone, Debug, Default)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads `a=b&c=d`.
    ///
    /// # Errors
    /// The name of a parameter that occurs twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(format!("parameter `{name}` occurs twice"));
            }
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// It is absent or empty.
    pub fn need(&self, name: &str) -> Result<&str, String> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("no `{name}`"))
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// It comes so long after the request, in milliseconds.
    pub delay_ms: u64,
}

impl Response {
    /// A status without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), delay_ms: 0 }
    }

    /// JSON that must not be cached.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status)
            .header("Content-Type", "application/json")
            .header("Cache-Control", "no-store")
            .body(body.to_string())
    }

    /// The members of a flat JSON object as a form.
    pub fn form(status: u16, members: &Value) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = members.as_object().into_iter().flatten().map(|(name, value)| (name, text(value)));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Self::new(status).header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// A page.
    pub fn html(status: u16, page: impl Into<String>) -> Self {
        Self::new(status).header("Content-Type", "text/html; charset=utf-8").body(page)
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("Location", location)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into().into_bytes();
        self
    }

    /// The same, later.
    #[must_use]
    pub fn delayed(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }

    /// The first value of a header.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` if it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
