use std::path::Path;

use grantway_core::engine::Engine;

use super::reference::Surroundings;
use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const OTHER: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA";

const HEAD: &str = "client_name = \"Test\"\n[keys]\nrouting = \"env:ROUTING\"\nsealing = [{ id = 1, key = \"env:SEALING\" }]\n";

fn variable(name: &str) -> Option<String> {
    match name {
        "ROUTING" => Some(KEY.to_owned()),
        "SEALING" => Some(format!("{OTHER}\n")),
        "CLIENT" => Some("hunter2".to_owned()),
        "SHORT" => Some("AAAA".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse_in(directory: &Path, text: &str) -> Result<Configuration, ConfigFileError> {
    file::parse(text, &Surroundings { directory, variable: &variable })
}

fn parse(text: &str) -> Result<Configuration, ConfigFileError> {
    parse_in(Path::new("."), text)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_gateway_has_the_members_of_its_configuration() {
    let gateway = |members: &str| {
        let file = format!("base_url = \"https://gw.example\"\n{HEAD}\n[gateway]\n{members}");
        parse(&file).map(|configuration| configuration.engine.gateway.expect("a gateway"))
    };
    let given = gateway(
        "resources = [{ path = \"/mcp\", scopes = [\"tools\"] }]\nidentity = [\"user\", \"key\"]
        sign_in_path = \"/login\"\nregistration = false",
    )
    .unwrap();
    assert_eq!((given.resources[0].path.as_str(), given.resources[0].scopes.iter().count()), ("/mcp", 1));
    assert_eq!((given.identity.len(), given.sign_in_path.as_deref()), (2, Some("/login")));
    assert!(!given.registration && given.client_documents && given.public_clients);
    assert!(parse(HEAD).unwrap().engine.gateway.is_none());
    for (members, field) in [
        ("", "`gateway`: missing field `resources`"),
        ("resources = []\nlogin = 1", "`gateway.login`: unknown field"),
        ("resources = [{ path = 1 }]", "`gateway.resources[0].path`: invalid type"),
    ] {
        let said = gateway(members).unwrap_err().to_string();
        assert!(said.starts_with(field), "{said}");
    }
}

#[test]
fn a_file_says_what_the_engine_is_made_from() {
    let file = format!(
        "base_url = \"https://gw.example\"\nprofile = \"strict\"\n{HEAD}
        [limits]
        cache_max_age_ms = 7
        step_ups = 1
        [tenants.acme.connectors.notion]
        upstream.server.url = \"https://mcp.example/mcp\"
        registration.client_id = \"me\"
        client_secret = \"env:CLIENT\"
        address_policy.allow = [\"10.0.0.0/8\"]"
    );
    let configuration = parse(&file).unwrap();
    assert_eq!(configuration.engine.base_url.as_deref(), Some("https://gw.example"));
    assert_eq!(configuration.engine.profile, grantway_core::engine::Profile::Strict);
    assert_eq!((configuration.engine.limits.cache_max_age_ms, configuration.engine.limits.step_ups), (7, 1));
    assert_eq!(configuration.engine.limits.lease_ms, 60_000);
    let [seed] = configuration.seeds.as_slice() else { panic!("{:?}", configuration.seeds) };
    assert_eq!((seed.tenant.as_str(), seed.id.as_str()), ("acme", "notion"));
    assert_eq!(seed.connector.server_url(), Some("https://mcp.example/mcp"));
    assert_eq!(seed.client_secret, Some(Secret::new("hunter2")));
}

#[test]
fn the_example_in_the_documentation_is_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let third = KEY.replace("AAEC", "CCCC");
    for (name, key) in [("sealing-2.key", OTHER), ("sealing-1.key", third.as_str())] {
        fs::write(directory.path().join(name), key).unwrap();
    }
    let variable = |name: &str| Some(if name.ends_with("_KEY") { KEY } else { "hunter2" }.to_owned());
    let surroundings = Surroundings { directory: directory.path(), variable: &variable };
    let configuration = file::parse(include_str!("../../grantway.example.toml"), &surroundings).unwrap();
    assert_eq!(configuration.seeds.len(), 2);
    let engine = Engine::new(configuration.engine, configuration.keyring).unwrap();
    crate::grantway::check_seeds(&engine, &configuration.seeds).unwrap();
}

#[test]
fn keys_come_from_files_beside_the_configuration_too() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("new.key"), format!("{OTHER}\n")).unwrap();
    let text = "client_name = \"Test\"\n[keys]\nrouting = \"env:ROUTING\"\nsealing = [{ id = 1, key = \"file:new.key\" }]";
    assert!(parse_in(directory.path(), text).is_ok());
    assert!(matches!(parse(text), Err(ConfigFileError::Unreadable { .. })));
}

#[test]
fn an_error_names_the_field() {
    for (text, said) in [
        (format!("base_uri = \"x\"\n{HEAD}"), "`base_uri`: unknown field `base_uri`"),
        (format!("profile = \"lax\"\n{HEAD}"), "`profile`: unknown variant `lax`"),
        (format!("{HEAD}[limits]\nlease = 5"), "`limits.lease`: unknown field `lease`"),
        (format!("{HEAD}[limits]\nlease_ms = \"1 h\""), "`limits.lease_ms`: invalid type: string \"1 h\""),
        (
            format!("{HEAD}[tenants.a.connectors.b]\nupstream.sever.url = \"x\""),
            "`tenants.a.connectors.b.upstream",
        ),
        (
            format!("{HEAD}[tenants.a.connectors.b]\nupstream.server.url = \"x\"\nshare = true"),
            "`tenants.a.connectors.b.share`",
        ),
        ("client_name = \"x\"".to_owned(), "missing field `keys`"),
        (HEAD.replace("id = 1", "id = -1"), "`keys.sealing[0].id`"),
        (
            HEAD.replace("env:ROUTING", "env:NOWHERE"),
            "`keys.routing`: the environment variable `NOWHERE` is not set",
        ),
        (
            HEAD.replace("env:ROUTING", "env:SHORT"),
            "`keys.routing`: `env:SHORT` does not hold 32 bytes in base64url",
        ),
        (HEAD.replace("env:SEALING", "env:EMPTY"), "`keys.sealing[0].key`: `env:EMPTY` is empty"),
        (HEAD.replace("env:SEALING", "env:ROUTING"), "`keys`: the bytes of sealing key"),
        (format!("{HEAD}x ="), "line 5: "),
    ] {
        let error = error(&text);
        assert!(error.contains(said), "`{error}` does not say `{said}`");
    }
}

// atk:IMP-02
#[test]
fn a_secret_written_into_the_file_is_refused_and_not_quoted() {
    let server = "upstream.server.url = \"https://mcp.example/mcp\"\nregistration.client_id = \"me\"";
    for text in [
        HEAD.replace("env:ROUTING", KEY),
        HEAD.replace("env:SEALING", KEY),
        format!("{HEAD}[tenants.a.connectors.b]\n{server}\nclient_secret = \"{KEY}\""),
        format!("{HEAD}[tenants.a.connectors.b]\n{server}\nclient_secret = [\"{KEY}\"]"),
        format!("{HEAD}[tenants.a.connectors.b]\n{server}\nclient_secret = \"{KEY}"),
    ] {
        let refused = parse(&text).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains(KEY), "{refused}");
    }
    let debug = format!(
        "{:?}",
        parse(&format!("{HEAD}[tenants.a.connectors.b]\n{server}\nclient_secret = \"env:CLIENT\"")).unwrap()
    );
    assert!(!debug.contains("hunter2"));
}
