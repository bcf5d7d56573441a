//! The person's browser, as far as these servers need one: cookies, redirects, and two forms.

use reqwest::redirect::Policy;
use url::Url;

use crate::Result;

pub(crate) struct Browser {
    http: reqwest::Client,
    login: &'static str,
}

/// LIMIT: signing in and approving take seven pages.
const PAGES_MAX: u32 = 12;

impl Browser {
    pub(crate) fn of(login: &'static str) -> Result<Self> {
        let http =
            reqwest::Client::builder().cookie_store(true).redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { http, login })
    }

    /// Signs in and approves whatever is asked. The URL that the issuer sends the browser to in the end.
    pub(crate) async fn approve(&self, authorization_url: &str, redirect_uri: &str) -> Result<String> {
        let mut page = Url::parse(authorization_url)?;
        let mut answer = self.http.get(page.clone()).send().await?;
        for _ in 0..PAGES_MAX {
            if let Some(location) = answer.headers().get("Location") {
                let location = page.join(location.to_str()?)?;
                if location.as_str().starts_with(redirect_uri) {
                    return Ok(location.into());
                }
                page = location;
                answer = self.http.get(page.clone()).send().await?;
                continue;
            }
            let status = answer.status();
            let html = answer.text().await?;
            let form: &[_] = if html.contains(r#"name="prompt" value="login""#) {
                &[("prompt", "login"), ("login", self.login), ("password", "any")]
            } else if html.contains(r#"name="prompt" value="consent""#) {
                &[("prompt", "consent")]
            } else {
                return Err(format!("the issuer shows a page that is no form ({status}): {html}").into());
            };
            answer = self.http.post(page.clone()).form(form).send().await?;
        }
        Err("the issuer never sends the browser back".into())
    }
}
