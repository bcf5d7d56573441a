//! One of each page, and of each thing that pages show, always the same: for tests, browsers and people who want to look at them.

use super::{
    AgainPage, ApprovePage, ClientShown, ConnectPage, ConnectionShown, ConnectionsPage, DisplayName,
    FormTarget, Frame, IdentifyPage, IdentityShown, Link, MessagePage, Notice, OwnerShown, Page, Problem,
    ServiceShown, ServiceState, ServicesPage, SignedInClient, UserOffer,
};
use crate::error::Code;

impl Page {
    /// Every kind of page by a name of its own, fit for a file.
    pub fn examples() -> Vec<(&'static str, Self)> {
        Examples { text: &str::to_owned, url: &str::to_owned }.all()
    }

    /// The content security policy that goes with each of them.
    pub fn example_policy() -> String {
        super::policy()
    }
}

/// The examples, with something done to each text and each address that a model can have.
pub(super) struct Examples<'a> {
    pub(super) text: &'a dyn Fn(&str) -> String,
    pub(super) url: &'a dyn Fn(&str) -> String,
}

/// 21 November 2026, 02:35:47 UTC.
const NOW: u64 = 1_795_228_547_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

impl Examples<'_> {
    pub(super) fn all(&self) -> Vec<(&'static str, Page)> {
        let mut pages = vec![("again", self.again())];
        pages.extend(self.identify());
        pages.extend(self.services());
        pages.extend(self.approve());
        pages.extend(self.connect());
        pages.extend(self.connections());
        pages.extend(self.message());
        pages
    }

    fn text(&self, text: &str) -> String {
        (self.text)(text)
    }

    fn texts(&self, texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn url(&self, url: &str) -> String {
        (self.url)(url)
    }

    fn name(&self, name: &str) -> DisplayName {
        DisplayName::new(&self.text(name))
    }

    fn frame(&self) -> Frame {
        Frame { gateway: self.text("Acme Tools") }
    }

    fn form(&self, path: &str) -> FormTarget {
        FormTarget { path: self.url(path), form_token: self.text("5JmT0c9rQ3u2f1Zt6m8YxA") }
    }

    fn consent(&self) -> FormTarget {
        self.form("/consent/3vQm7Yt0s1")
    }

    fn who(&self, kind: &'static str, id: &str) -> IdentityShown {
        IdentityShown { kind, id: self.name(id) }
    }

    fn anna(&self) -> IdentityShown {
        self.who("user", "anna@acme.example")
    }

    fn owner(&self, kind: &'static str, id: &str) -> OwnerShown {
        OwnerShown { shown: self.who(kind, id), id: self.text(id) }
    }

    fn problem(&self, code: Code) -> Problem {
        Problem { slug: code.slug(), message: self.text(code.message()), next: self.text(code.next_step()) }
    }

    /// With a document at a host that the operator vouches for.
    fn known_client(&self) -> ClientShown {
        ClientShown {
            name: self.name("Claude Code"),
            document_host: Some(self.text("claude.ai")),
            redirect_host: self.text("claude.ai"),
            redirect_uri: self.text("https://claude.ai/api/mcp/auth_callback"),
            loopback: false,
            private_scheme: false,
            verified: true,
        }
    }

    /// It registered itself, and its name begins with a Cyrillic letter.
    fn doubtful_client(&self) -> ClientShown {
        ClientShown {
            name: self.name("\u{421}laude Code"),
            document_host: None,
            redirect_host: self.text("127.0.0.1:51703"),
            redirect_uri: self.text("http://127.0.0.1:51703/callback"),
            loopback: true,
            private_scheme: false,
            verified: false,
        }
    }

    fn scheme_client(&self) -> ClientShown {
        ClientShown {
            name: self.name("Cursor"),
            document_host: Some(self.text("cursor.example")),
            redirect_host: self.text("cursor:"),
            redirect_uri: self.text("cursor://anysphere.cursor-mcp/oauth/callback"),
            loopback: false,
            private_scheme: true,
            verified: false,
        }
    }

    fn again(&self) -> Page {
        Page::Again(AgainPage { frame: self.frame(), target: self.url("/authorize?client_id=abc&again=1") })
    }

    fn identify(&self) -> [(&'static str, Page); 3] {
        let all = IdentifyPage {
            frame: self.frame(),
            client: Some(self.known_client()),
            client_host: self.text("claude.ai"),
            form: self.consent(),
            user: Some(UserOffer {
                signed_in_as: Some(self.name("anna@acme.example")),
                sign_in_url: Some(self.url("/login?return_to=%2Fconsent%2F3vQm7Yt0s1")),
            }),
            key: true,
            session: true,
            problem: None,
        };
        let signed_out = IdentifyPage {
            client: None,
            user: Some(UserOffer { signed_in_as: None, sign_in_url: Some(self.url("/login")) }),
            key: false,
            session: false,
            ..all.clone()
        };
        let wrong_key = IdentifyPage {
            client: Some(self.doubtful_client()),
            client_host: self.text("127.0.0.1:51703"),
            user: Some(UserOffer { signed_in_as: None, sign_in_url: None }),
            session: false,
            problem: Some(self.problem(Code::KeyRefused)),
            ..all.clone()
        };
        [("identify", all), ("identify-signed-out", signed_out), ("identify-wrong-key", wrong_key)]
            .map(|(name, page)| (name, Page::Identify(Box::new(page))))
    }

    fn service(&self, id: &str, name: &str, state: ServiceState) -> ServiceShown {
        ServiceShown {
            connector: self.text(id),
            name: self.name(name),
            host: self.text(&format!("mcp.{id}.example")),
            state,
            account: None,
            scopes: Vec::new(),
        }
    }

    fn staged(&self) -> ServiceShown {
        ServiceShown {
            account: Some(self.name("anna-acme")),
            scopes: self.texts(&["repo:read", "issues:write"]),
            ..self.service("github", "GitHub", ServiceState::Staged)
        }
    }

    fn services(&self) -> [(&'static str, Page); 2] {
        let services = vec![
            self.staged(),
            ServiceShown {
                scopes: self.texts(&["calendar.events.readonly", "mail.send"]),
                ..self.service("calendar", "Calendar", ServiceState::Open)
            },
            ServiceShown {
                account: Some(self.name("Acme workspace")),
                scopes: self.texts(&["read"]),
                ..self.service("notes", "Notes", ServiceState::Connected)
            },
            self.service("tickets", "Tickets", ServiceState::Shared),
            self.service("files", "Files", ServiceState::Skipped),
            ServiceShown {
                account: Some(self.name("anna@acme.example")),
                ..self.service("crm", "CRM", ServiceState::Ended)
            },
            self.service("archive", "Archive", ServiceState::Unavailable),
        ];
        let all = ServicesPage {
            frame: self.frame(),
            client: self.known_client(),
            identity: self.anna(),
            form: self.consent(),
            services,
            continue_url: self.url("/consent/3vQm7Yt0s1/approve"),
            problem: None,
        };
        let none = ServicesPage {
            client: self.doubtful_client(),
            identity: self.who("session", "s-81f2a0"),
            services: Vec::new(),
            problem: Some(self.problem(Code::AccessDenied)),
            ..all.clone()
        };
        [("services", all), ("services-none", none)]
            .map(|(name, page)| (name, Page::Services(Box::new(page))))
    }

    fn approve(&self) -> [(&'static str, Page); 4] {
        let known = ApprovePage {
            frame: self.frame(),
            client: self.known_client(),
            identity: self.anna(),
            form: self.consent(),
            shown: self.text("9f31c6"),
            resource: self.text("https://tools.acme.example/mcp"),
            resource_name: Some(self.text("Acme Tools")),
            scopes: self.texts(&["tools:call", "tools:list"]),
            staged: vec![self.staged(), self.service("calendar", "Calendar", ServiceState::Staged)],
            back_url: self.url("/consent/3vQm7Yt0s1"),
            problem: None,
        };
        let doubtful = ApprovePage {
            client: self.doubtful_client(),
            identity: self.who("session", "s-81f2a0"),
            resource_name: None,
            scopes: Vec::new(),
            staged: Vec::new(),
            ..known.clone()
        };
        let changed = ApprovePage {
            client: self.scheme_client(),
            identity: self.who("key", "key-7c1e"),
            problem: Some(self.problem(Code::ConsentStale)),
            ..known.clone()
        };
        let long = ApprovePage {
            client: ClientShown {
                name: self.name(&"Wonderful".repeat(12)),
                document_host: Some(self.text(&"a-very-long-label.".repeat(12))),
                ..self.scheme_client()
            },
            identity: self.who("user", &"0123456789abcdef".repeat(4)),
            resource: self.text(&format!("https://tools.acme.example/{}", "path/".repeat(30))),
            scopes: self.texts(&[
                "https://scopes.acme.example/auth/everything.that.can.be.said.in.one.scope.readonly",
            ]),
            ..known.clone()
        };
        [
            ("approve", known),
            ("approve-doubtful", doubtful),
            ("approve-changed", changed),
            ("approve-long", long),
        ]
        .map(|(name, page)| (name, Page::Approve(Box::new(page))))
    }

    fn connect(&self) -> [(&'static str, Page); 3] {
        let own = ConnectPage {
            frame: self.frame(),
            identity: self.anna(),
            form: self.form("/connect/tk_5b0Qw2"),
            service: ServiceShown {
                scopes: self.texts(&["calendar.events.readonly"]),
                ..self.service("calendar", "Calendar", ServiceState::Open)
            },
            reason: "connect",
            owner: None,
        };
        let again = ConnectPage {
            reason: "reconnect",
            service: ServiceShown {
                account: Some(self.name("anna-acme")),
                ..self.service("github", "GitHub", ServiceState::Ended)
            },
            ..own.clone()
        };
        let team =
            ConnectPage { reason: "step_up", owner: Some(self.owner("team", "support")), ..own.clone() };
        [("connect", own), ("connect-again", again), ("connect-more", team)]
            .map(|(name, page)| (name, Page::Connect(Box::new(page))))
    }

    fn connection(&self, id: &str, name: &str, state: &'static str) -> ConnectionShown {
        ConnectionShown {
            connector: self.text(id),
            name: self.name(name),
            host: self.text(&format!("mcp.{id}.example")),
            owner: None,
            state,
            detail: None,
            account: None,
            held: None,
            scopes: Vec::new(),
            expires_at: None,
            connected: None,
            can_connect: true,
            can_disconnect: false,
            doubt: false,
        }
    }

    /// One that was connected once.
    fn connected(&self, id: &str, name: &str, state: &'static str) -> ConnectionShown {
        ConnectionShown {
            account: Some(self.name("anna-acme")),
            scopes: self.texts(&["repo:read", "issues:write"]),
            expires_at: Some(NOW + HOUR),
            connected: Some((self.anna(), NOW - 40 * DAY)),
            can_disconnect: true,
            ..self.connection(id, name, state)
        }
    }

    fn connections(&self) -> [(&'static str, Page); 2] {
        let connections = vec![
            self.connected("github", "GitHub", "connected"),
            ConnectionShown { can_disconnect: true, ..self.connection("calendar", "Calendar", "connecting") },
            self.connection("notes", "Notes", "disconnected"),
            ConnectionShown {
                held: Some((Some(self.name("anna@home.example")), NOW - DAY)),
                ..self.connected("mail", "Mail", "connected")
            },
            ConnectionShown { held: Some((None, NOW - DAY)), ..self.connected("wiki", "Wiki", "expired") },
            ConnectionShown {
                detail: Some(self.text("grant_ended")),
                doubt: true,
                ..self.connected("crm", "CRM", "needs_reauth")
            },
            ConnectionShown {
                detail: Some(self.text("files.write")),
                ..self.connected("files", "Files", "needs_scope")
            },
            ConnectionShown { can_connect: false, ..self.connected("pay", "Payments", "suspended") },
            ConnectionShown {
                detail: Some(self.text("peer_refused.client")),
                ..self.connected("jobs", "Jobs", "error")
            },
            ConnectionShown {
                owner: Some(self.owner("team", "support")),
                ..self.connected("tickets", "Tickets", "connected")
            },
            ConnectionShown {
                owner: Some(self.owner("org", "acme")),
                can_connect: false,
                ..self.connection("search", "Search", "disconnected")
            },
        ];
        let clients = vec![
            SignedInClient {
                family: self.text("f_71b2c9"),
                name: self.name("Claude Code"),
                document_host: Some(self.text("claude.ai")),
                resource: self.text("https://tools.acme.example/mcp"),
                since: NOW - 3 * DAY,
            },
            SignedInClient {
                family: self.text("f_90ee14"),
                name: self.name("Cur\u{200b}sor"),
                document_host: None,
                resource: self.text("https://tools.acme.example/mcp"),
                since: NOW - HOUR,
            },
        ];
        let all = ConnectionsPage {
            frame: self.frame(),
            identity: self.anna(),
            form: self.form("/connections"),
            connections,
            clients,
            notice: Some(Notice::Connected),
        };
        let none =
            ConnectionsPage { connections: Vec::new(), clients: Vec::new(), notice: None, ..all.clone() };
        [("connections", all), ("connections-none", none)]
            .map(|(name, page)| (name, Page::Connections(Box::new(page))))
    }

    fn message(&self) -> [(&'static str, Page); 2] {
        let done = MessagePage {
            frame: self.frame(),
            title: "Connected",
            message: self.text("Calendar is connected as anna@acme.example"),
            next: Some(self.text("go back to your client, which goes on by itself")),
            slug: None,
            evidence: None,
            link: Some(Link { label: self.text("Your connected accounts"), url: self.url("/connections") }),
        };
        let error = MessagePage {
            title: "This cannot go on",
            message: self.text(Code::BindingMismatch.message()),
            next: Some(self.text(Code::BindingMismatch.next_step())),
            slug: Some(Code::BindingMismatch.slug()),
            evidence: Some(self.text("7f1c0d52a9be4e6fb2d1c0a8e3345f10")),
            link: None,
            ..done.clone()
        };
        [("message", done), ("message-error", error)]
            .map(|(name, page)| (name, Page::Message(Box::new(page))))
    }
}
