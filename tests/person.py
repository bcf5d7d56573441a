"""A person at a browser without JavaScript: keeps cookies, follows redirects, reads pages, fills in forms and presses buttons.

    python3 tests/person.py USER --jar FILE [--connect NAME]... URL

goes wherever URL leads, as USER: signs in at the host, says who they are, connects what `--connect` names, approves the client, allows
upstreams what they ask. It ends where no page asks for anything any more, such as at an MCP client that listens on loopback.
The jar keeps the cookies, so that USER stays signed in between two runs. The last line printed is the address of the last page.
"""

import argparse
import html.parser
import http.client
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

# More pages than any sign-in has: whoever needs more goes in circles.
PAGES_MOST = 40


class Lost(Exception):
    """The person does not know what to do with a page."""


@dataclass
class Form:
    action: str | None
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


@dataclass
class Page:
    url: str
    status: int
    headers: http.client.HTTPMessage
    body: str
    heading: str = ""
    text: str = ""
    forms: list[Form] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    def form(self, button: str, **having: str) -> Form | None:
        """The form with a button whose text begins so, and with these values."""
        for form in self.forms:
            if any(text.startswith(button) for text in form.buttons) and having.items() <= form.fields.items():
                return form
        return None

    def query(self, name: str) -> str | None:
        return parse_qs(urlsplit(self.url).query).get(name, [None])[0]


class Reader(html.parser.HTMLParser):
    """Finds headings, links, forms and what they hold."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page, self.open, self.silent = page, [], False
        self.feed(page.body)
        page.text = " ".join(page.text.split())

    def handle_starttag(self, tag: str, attributes: list) -> None:
        has = {name: value or "" for name, value in attributes}
        form = self.page.forms[-1] if self.page.forms else None
        if tag == "form":
            self.page.forms.append(Form(has.get("action"), has.get("method", "get").upper()))
        elif tag == "input" and form and has.get("name"):
            form.fields[has["name"]] = has.get("value", "")
        elif tag in ("a", "button", "h1"):
            self.open.append((tag, has, []))
        elif tag in ("style", "script"):
            self.silent = True

    def handle_endtag(self, tag: str) -> None:
        self.silent = self.silent and tag not in ("style", "script")
        if not self.open or self.open[-1][0] != tag:
            return
        _, has, parts = self.open.pop()
        text = " ".join("".join(parts).split())
        if tag == "a" and has.get("href"):
            self.page.links[text] = has["href"]
        elif tag == "button" and self.page.forms:
            self.page.forms[-1].buttons.append(text)
        elif tag == "h1":
            self.page.heading = text

    def handle_data(self, data: str) -> None:
        if self.silent:
            return
        self.page.text += data + " "
        for _, _, parts in self.open:
            parts.append(data)


class Browser:
    """One browser, for loopback. As in every browser, the cookies of a host go to all of its ports."""

    def __init__(self, jar: Path | None = None) -> None:
        self.jar = jar
        self.cookies: dict[str, str] = json.loads(jar.read_text()) if jar and jar.exists() else {}

    def open(self, url: str) -> Page:
        return self.follow(self.send("GET", url))

    def press(self, page: Page, form: Form, **more: str) -> Page:
        url = urljoin(page.url, form.action or page.url)
        here, there = urlsplit(page.url), urlsplit(url)
        site = "same-origin" if here[:2] == there[:2] else "cross-site"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"{here.scheme}://{here.netloc}",
            "Sec-Fetch-Site": site,
        }
        return self.follow(self.send(form.method, url, urlencode(form.fields | more), headers))

    def follow(self, page: Page) -> Page:
        for _ in range(10):
            location = page.headers.get("location")
            if not 300 <= page.status < 400 or not location:
                return page
            page = self.send("GET", urljoin(page.url, location))
        raise Lost(f"redirects without end at {page.url}")

    def send(self, method: str, url: str, body: str | None = None, headers: dict | None = None) -> Page:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
        headers = dict(headers or {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            page = Page(url, answer.status, answer.headers, answer.read().decode(errors="replace"))
        finally:
            connection.close()
        for cookie in answer.headers.get_all("set-cookie") or []:
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
            if not value or "max-age=0" in cookie.lower():
                del self.cookies[name]
        if self.jar:
            self.jar.write_text(json.dumps(self.cookies))
        if "html" in answer.headers.get("content-type", ""):
            Reader(page)
        return page


class Person:
    """Somebody who wants what the client wants, and does on each page what leads there."""

    def __init__(self, user: str, browser: Browser, connect: list[str] | None = None) -> None:
        self.user, self.browser, self.connect = user, browser, connect or []
        self.seen: list[str] = []

    def go(self, url: str, until: str | None = None) -> Page:
        """Opens an address and deals with every page until one that asks for nothing, or whose address begins with `until`."""
        page = self.browser.open(url)
        for _ in range(PAGES_MOST):
            if until and page.url.startswith(until):
                return page
            self.seen.append(page.heading or page.url)
            if page.status >= 400:
                raise Lost(f"{page.status} at {page.url}: {page.text or page.body}")
            following = self.deal(page)
            if following is None:
                return page
            page = following
        raise Lost(f"too many pages: {self.seen}")

    def deal(self, page: Page) -> Page | None:
        browser = self.browser
        if form := page.form("Sign in"):
            return browser.press(page, form, user=self.user)
        if form := page.form("Continue as"):
            if self.user not in page.text:
                raise Lost(f"somebody else is signed in: {page.text}")
            return browser.press(page, form)
        if "Sign in" in page.links:
            return browser.open(urljoin(page.url, page.links["Sign in"]))
        if form := page.form("Allow"):
            return browser.press(page, form)
        if "Continue to approval" in page.links:
            for name in self.connect:
                if form := page.form("Connect", connector=name):
                    self.connect = [other for other in self.connect if other != name]
                    return browser.press(page, form)
            return browser.open(urljoin(page.url, page.links["Continue to approval"]))
        if form := page.form("Approve"):
            return browser.press(page, form)
        if page.heading.startswith("Connect ") and (form := page.form("Continue")):
            return browser.press(page, form)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("user")
    parser.add_argument("--jar", type=Path)
    parser.add_argument("--connect", action="append", default=[])
    parser.add_argument("url")
    arguments = parser.parse_args()
    person = Person(arguments.user, Browser(arguments.jar), arguments.connect)
    try:
        page = person.go(arguments.url)
    except Lost as lost:
        sys.exit(f"{arguments.user} is lost: {lost}")
    print(" > ".join(person.seen), page.url, sep="\n")


if __name__ == "__main__":
    main()
