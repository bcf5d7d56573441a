//! A browser without JavaScript, for loopback: it keeps cookies, follows redirects and fills in forms.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use scraper::{Html, Selector};
use serde_json::Value;
use url::Url;

/// A browser of one person. It waits; in a test with a runtime of its own it belongs on a thread of its own.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// By name. As in every browser, those of a host go to all of its ports.
    cookies: BTreeMap<String, String>,
}

/// What a server has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// The headers in order, names as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Browser {
    /// One request, cookies included; a redirect is the answer.
    ///
    /// # Errors
    /// Nobody is there, or what answers speaks no HTTP.
    pub fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let url = Url::parse(url).map_err(io::Error::other)?;
        let host =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if !self.cookies.is_empty() {
            let all: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            text.push_str(&format!("Cookie: {}\r\n", all.join("; ")));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" && method != "HEAD" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut stream = TcpStream::connect(&host)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = Answer::parse(url, &answer).ok_or_else(|| io::Error::other("this is no HTTP answer"))?;
        for cookie in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let (name, value) =
                cookie.1.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
            let is_over = value.is_empty() || cookie.1.to_ascii_lowercase().contains("max-age=0");
            if is_over {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    /// Opens a page and follows redirects to its end, or up to the first address that begins with `until`, which is not opened.
    ///
    /// # Errors
    /// As of [`Browser::send`], or too many redirects.
    pub fn open(&mut self, url: &str, until: &str) -> io::Result<Answer> {
        let answer = self.send("GET", url, &[], "")?;
        self.follow(answer, until)
    }

    /// Presses the button with this text, on the page's form that has it and, among the form's own fields, `with`; and follows
    /// redirects as [`Browser::open`] does.
    ///
    /// # Errors
    /// There is no such form; and as of [`Browser::open`].
    pub fn press(
        &mut self,
        page: &Answer,
        button: &str,
        with: &[(&str, &str)],
        until: &str,
    ) -> io::Result<Answer> {
        let (action, mut fields) = page.form(button, with).ok_or_else(|| {
            io::Error::other(format!("no button `{button}` for {with:?} at {}: {}", page.url, page.text()))
        })?;
        for (name, value) in with {
            fields.retain(|(have, _)| have != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let url = page.url.join(&action).map_err(io::Error::other)?;
        let origin = page.url.origin().ascii_serialization();
        let site = if url.origin() == page.url.origin() { "same-origin" } else { "cross-site" };
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", origin.as_str()),
            ("Sec-Fetch-Site", site),
        ];
        let answer = self.send("POST", url.as_str(), &headers, &body)?;
        self.follow(answer, until)
    }

    fn follow(&mut self, mut answer: Answer, until: &str) -> io::Result<Answer> {
        for _ in 0..10 {
            let Some(location) = answer.header("location").filter(|_| (300..400).contains(&answer.status))
            else {
                return Ok(answer);
            };
            let url = answer.url.join(location).map_err(io::Error::other)?;
            if !until.is_empty() && url.as_str().starts_with(until) {
                return Ok(Answer { url, ..answer });
            }
            answer = self.send("GET", url.as_str(), &[], "")?;
        }
        Err(io::Error::other("too many redirects"))
    }
}

impl Answer {
    fn parse(url: Url, bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Self { url, status, headers: headers.collect(), body: body.to_owned() })
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// What a person reads on the page.
    pub fn text(&self) -> String {
        let page = Html::parse_document(&self.body);
        let main = page.select(&selector("main, body")).next_back();
        let words =
            main.map(|main| main.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" "));
        words.unwrap_or_default()
    }

    /// Where the link with this text leads.
    pub fn link(&self, text: &str) -> Option<Url> {
        let page = Html::parse_document(&self.body);
        let link =
            page.select(&selector("a[href]")).find(|link| words(link) == text)?.attr("href")?.to_owned();
        self.url.join(&link).ok()
    }

    /// A value of the query of the page's address.
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
    }

    /// Action and fields of the form that has this button, and these fields among the hidden ones.
    fn form(&self, button: &str, with: &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> {
        let page = Html::parse_document(&self.body);
        let (inputs, buttons) = (selector("input[name]"), selector("button"));
        page.select(&selector("form")).find_map(|form| {
            let pressed = form.select(&buttons).find(|it| words(it).starts_with(button))?;
            let value = |input: scraper::ElementRef<'_>| {
                Some((input.attr("name")?.to_owned(), input.attr("value").unwrap_or_default().to_owned()))
            };
            let mut fields: Vec<(String, String)> = form.select(&inputs).filter_map(value).collect();
            let is_it = with.iter().all(|(name, wanted)| {
                form.select(&inputs).all(|input| {
                    let is_other = input.attr("name") == Some(name)
                        && input.attr("type") == Some("hidden")
                        && input.attr("value") != Some(wanted);
                    !is_other
                })
            });
            fields.extend(value(pressed));
            let action = form.attr("action").unwrap_or(self.url.as_str());
            is_it.then(|| (action.to_owned(), fields))
        })
    }
}

fn words(element: &scraper::ElementRef<'_>) -> String {
    element.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
