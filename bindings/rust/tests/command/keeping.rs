//! The home: rights, keys, what happens to files that are damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::stand::Stand;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn nobody_else_can_read_what_is_kept() {
    let stand = Stand::new();
    stand.connect("alice");
    assert_eq!(mode(&stand.home()), 0o700);
    for entry in fs::read_dir(stand.home()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name == "grantway.key" || name.starts_with("grantway.db"), "{name}");
    }
}

// S18
#[test]
fn no_token_stands_readable_in_the_files() {
    let stand = Stand::new();
    stand.connect("alice");
    let mut secrets = stand.issuer.live_refresh_tokens();
    secrets.extend(stand.issuer.live_access_tokens(grantway_testing::serve::now()));
    assert_eq!(secrets.len(), 2);
    for entry in fs::read_dir(stand.home()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

#[test]
fn wider_rights_are_refused_and_what_to_run_is_said() {
    let stand = Stand::new();
    stand.connect("alice");
    for (file, wide, narrow) in
        [("grantway.key", 0o640, 0o600), ("grantway.db", 0o604, 0o600), ("", 0o770, 0o700)]
    {
        let path = stand.home().join(file);
        set_mode(&path, wide);
        let (code, said) = stand.json("alice", &["list"]);
        let error = &said["error"];
        assert_eq!((code, &error["slug"]), (4, &json!("command.rights_too_wide")), "{file}");
        assert!(error["message"].as_str().unwrap().contains(&format!("{wide:o}")), "{error}");
        assert!(error["next"].as_str().unwrap().starts_with("run `chmod "), "{error}");
        set_mode(&path, narrow);
        assert_eq!(stand.json("alice", &["list"]).0, 0);
    }
}

#[test]
fn a_lost_key_is_not_replaced_by_another() {
    let stand = Stand::new();
    stand.connect("alice");
    let key = stand.home().join("grantway.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let (code, said) = stand.json("alice", &["call", "whoami"]);
    assert_eq!((code, &said["error"]["slug"]), (4, &json!("command.key_lost")));
    assert!(!key.exists());
    fs::write(&key, kept).unwrap();
    set_mode(&key, 0o600);
    assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
}

// atk:IMP-12
#[test]
fn with_a_wrong_key_or_damaged_files_nothing_is_done() {
    let stand = Stand::new();
    stand.connect("alice");
    let (key, database) = (stand.home().join("grantway.key"), stand.home().join("grantway.db"));
    let other = Stand::new();
    other.run("alice", &["list"]);
    let (ours, theirs) = (fs::read(&key).unwrap(), fs::read(other.home().join("grantway.key")).unwrap());

    fs::write(&key, theirs).unwrap();
    let (code, said) = stand.json("alice", &["call", "whoami", "--server", "local"]);
    assert_eq!((code, &said["error"]["slug"]), (4, &json!("store.integrity")), "{said}");
    for damaged in [&b""[..], b"short", b"\xff\xfe"] {
        fs::write(&key, damaged).unwrap();
        let (code, said) = stand.json("alice", &["call", "whoami"]);
        assert_eq!(code, 4);
        assert!(
            ["command.key_invalid", "command.home_unusable"]
                .contains(&said["error"]["slug"].as_str().unwrap())
        );
    }
    fs::write(&key, ours).unwrap();
    assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");

    for file in ["grantway.db-wal", "grantway.db-shm"] {
        let _ = fs::remove_file(stand.home().join(file));
    }
    fs::write(&database, b"this is no database, and long enough to be seen as none").unwrap();
    let (code, said) = stand.json("alice", &["call", "whoami"]);
    assert_eq!((code, &said["error"]["slug"]), (4, &json!("command.store_unusable")));
}

#[test]
fn processes_that_begin_at_once_make_one_home() {
    for _ in 0..5 {
        let stand = Stand::new();
        let begun: Vec<_> = (0..8).map(|_| stand.command("alice", &["list"]).spawn().unwrap()).collect();
        for child in begun {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let names = fs::read_dir(stand.home()).unwrap();
        assert!(names.map(|entry| entry.unwrap().file_name()).all(|name| {
            let name = name.to_str().unwrap().to_owned();
            name == "grantway.key" || name.starts_with("grantway.db")
        }));
        stand.connect("alice");
        assert_eq!(stand.run("alice", &["call", "whoami"]).out, "alice\n");
    }
}

#[test]
fn a_home_that_cannot_be_is_said_to_be_the_machines_fault() {
    let stand = Stand::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let nowhere = file.path().join("home");
    let (code, said) = stand.json("alice", &["--home", nowhere.to_str().unwrap(), "list"]);
    assert_eq!((code, &said["error"]["slug"]), (4, &json!("command.home_unusable")));
}
