//! Opening from `grantway.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use grantway::store::Sqlite;
use grantway::{Connector, Grantway};
use grantway_core::error::Failure;

use crate::simulated::{admin, alice};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA";

fn write(directory: &Path, connectors: &str) -> PathBuf {
    fs::write(directory.join("routing.key"), KEY).unwrap();
    fs::write(directory.join("sealing.key"), OTHER).unwrap();
    let path = directory.join("grantway.toml");
    let head = "base_url = \"https://gw.example\"\nclient_name = \"Test\"\n[keys]\nrouting = \"file:routing.key\"\n\
        sealing = [{ id = 1, key = \"file:sealing.key\" }]\n";
    fs::write(&path, format!("{head}{connectors}")).unwrap();
    path
}

fn open(directory: &Path, connectors: &str) -> Grantway {
    let store = Sqlite::open(directory.join("grantway.db")).unwrap();
    Grantway::open(write(directory, connectors), store).unwrap()
}

async fn url(gw: &Grantway, id: &str) -> Result<Option<(String, bool)>, Failure> {
    let page = gw.list_connectors(&admin(), None).await?;
    let found = page.items.into_iter().find(|listed| listed.id.as_str() == id);
    Ok(found.map(|listed| (listed.connector.server_url().unwrap().to_owned(), listed.unverified)))
}

#[tokio::test]
async fn the_connectors_of_the_file_are_there_at_the_first_operation() {
    let directory = tempfile::tempdir().unwrap();
    let gw = open(
        directory.path(),
        "[tenants.acme.connectors.a]\nupstream.server.url = \"https://a.example/mcp\"\n\
         [tenants.acme.connectors.b]\nupstream.server.url = \"https://b.example/mcp\"\n",
    );
    assert_eq!(gw.status(&alice(), "b").await.unwrap().connector.as_str(), "b");
    assert_eq!(url(&gw, "a").await.unwrap(), Some(("https://a.example/mcp".into(), true)));
}

#[tokio::test]
async fn a_changed_file_changes_what_nobody_has_looked_at_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file =
        |host: &str| format!("[tenants.acme.connectors.a]\nupstream.server.url = \"https://{host}/mcp\"\n");
    let gw = open(directory.path(), &file("one.example"));
    assert_eq!(url(&gw, "a").await.unwrap(), Some(("https://one.example/mcp".into(), true)));
    let gw = open(directory.path(), &file("two.example"));
    assert_eq!(url(&gw, "a").await.unwrap(), Some(("https://two.example/mcp".into(), true)));
    gw.put_connector(&admin(), "a", Connector::server("https://three.example/mcp"), None).await.unwrap();
    let gw = open(directory.path(), &file("four.example"));
    assert_eq!(url(&gw, "a").await.unwrap(), Some(("https://three.example/mcp".into(), false)));
}

#[tokio::test]
async fn what_the_engine_refuses_is_said_by_its_field_when_the_file_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = |connectors: &str| write(directory.path(), connectors);
    let refused = |connectors: &str| {
        let store = Sqlite::open(directory.path().join("grantway.db")).unwrap();
        Grantway::open(path(connectors), store).unwrap_err().to_string()
    };
    let plain = "[tenants.acme.connectors.a]\nupstream.server.url = \"http://a.example/mcp\"\n";
    assert!(refused(plain).starts_with("`url` is `http://a.example/mcp`: "), "{}", refused(plain));
    let short = "[limits]\nlease_ms = 1000\n";
    assert!(refused(short).starts_with("`lease_ms` is `1000`: "), "{}", refused(short));
}
