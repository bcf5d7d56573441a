//! The servers that are known, and the names they go by.

use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::principal::Role;
use grantway::grantway_core::upstream::connectors::{ConnectorPut, ListedConnector};
use grantway::{Caller, Connector, Failure, Grantway, Principal, Secret};
use url::{Host, Url};

use crate::args::Common;
use crate::home::Home;
use crate::report::Problem;

/// All that commands need: who acts, the home, and the servers in it.
pub(crate) struct Desk {
    pub(crate) caller: Caller,
    pub(crate) home: Home,
    pub(crate) servers: Vec<Server>,
}

/// A known server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) connector: Connector,
}

impl Desk {
    pub(crate) async fn open(common: &Common) -> Result<Self, Problem> {
        let user = common.user.clone().or_else(system_user).unwrap_or_else(|| "me".to_owned());
        let caller = Caller::new("local", Principal::user(user)?)?;
        let home = Home::open(common.directory())?;
        let servers = list(&home.grantway(false)?, &caller).await?;
        Ok(Self { caller, home, servers })
    }

    /// The name of the person who acts.
    pub(crate) fn user(&self) -> &str {
        self.caller.principal.id()
    }

    /// As the one who configures servers: whose home it is.
    pub(crate) fn admin(&self) -> Caller {
        self.caller.clone().with_role(Role::Admin)
    }

    /// Grantway as this server needs it.
    pub(crate) fn grantway_for(&self, server: &Server) -> Result<Grantway, Problem> {
        self.home.grantway(server.is_loopback())
    }

    /// The server of this name or URL.
    pub(crate) fn find(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name || server.url == name)
    }

    /// The server meant: named, or the only one.
    pub(crate) fn choose(&self, name: Option<&str>) -> Result<&Server, Problem> {
        match (name, self.servers.as_slice()) {
            (Some(name), _) => self.find(name).ok_or_else(|| self.unknown(name)),
            (None, [only]) => Ok(only),
            (None, []) => Err(Problem::usage("no server is known yet", "run `grantway connect URL`")),
            (None, _) => Err(Problem::usage("several servers are known", self.known("name one of"))),
        }
    }

    pub(crate) fn unknown(&self, name: &str) -> Problem {
        let next = if self.servers.is_empty() {
            "run `grantway connect URL`".to_owned()
        } else {
            format!("{}, or run `grantway connect URL`", self.known("name one of"))
        };
        Problem::usage(format!("no server is called `{name}`"), next)
    }

    fn known(&self, how: &str) -> String {
        let names: Vec<_> = self.servers.iter().map(|server| server.name.as_str()).collect();
        format!("{how}: {}", names.join(", "))
    }

    /// A name that is free, made from the URL: its host without what says nothing.
    pub(crate) fn name_for(&self, url: &Url) -> String {
        let base = match url.host() {
            Some(Host::Domain(domain)) => {
                let mut labels: Vec<_> = domain.split('.').collect();
                while labels.len() > 2 && ["api", "mcp", "www"].contains(&labels[0]) {
                    labels.remove(0);
                }
                labels[0].to_owned()
            }
            Some(Host::Ipv4(address)) if address.is_loopback() => "local".to_owned(),
            Some(Host::Ipv6(address)) if address.is_loopback() => "local".to_owned(),
            Some(host) => host.to_string().trim_matches(['[', ']']).replace([':', '.'], "-"),
            None => "server".to_owned(),
        };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut names = std::iter::once(base.clone()).chain(numbered);
        names.find(|name| self.find(name).is_none()).unwrap_or(base)
    }
}

impl Server {
    /// Whether it is a development server on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.connector.address_policy == AddressPolicy::Loopback
    }

    /// Writes its configuration down.
    pub(crate) async fn put(
        &self,
        gw: &Grantway,
        admin: &Caller,
        client_secret: Option<Secret>,
    ) -> Result<(), Problem> {
        match gw.put_connector(admin, &self.name, self.connector.clone(), client_secret).await? {
            ConnectorPut::Refused(error) => Err(error.into()),
            ConnectorPut::Kept { .. } | ConnectorPut::Stored { .. } | ConnectorPut::Unchanged { .. } => {
                Ok(())
            }
        }
    }
}

async fn list(gw: &Grantway, caller: &Caller) -> Result<Vec<Server>, Failure> {
    let (admin, mut servers, mut after) = (caller.clone().with_role(Role::Admin), Vec::new(), None);
    loop {
        let page = gw.list_connectors(&admin, after).await?;
        servers.extend(page.items.into_iter().filter_map(server));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(servers),
        }
    }
}

fn server(listed: ListedConnector) -> Option<Server> {
    let url = listed.connector.server_url()?.to_owned();
    Some(Server { name: listed.id.as_str().to_owned(), url, connector: listed.connector })
}

/// The name this machine's user goes by. It tells people apart who share a home; it protects nothing, for who can read the
/// home can act as any of them.
fn system_user() -> Option<String> {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}
