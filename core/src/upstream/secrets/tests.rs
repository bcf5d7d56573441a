use super::*;
use crate::principal::{Role, TeamRole};
use crate::upstream::testing::{Desk, Fault, NOW, caller};

fn store(caller: &Caller, owner: &Principal, name: &str, value: &str) -> StoreSecret {
    StoreSecret {
        caller: caller.clone(),
        owner: Some(owner.clone()),
        name: name.to_owned(),
        value: Secret::new(value),
    }
}

fn delete_of(caller: &Caller, owner: &Principal, name: &str) -> DeleteSecret {
    DeleteSecret { caller: caller.clone(), owner: Some(owner.clone()), name: name.to_owned() }
}

#[test]
fn a_stored_secret_is_replaced_listed_by_name_and_deleted() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let alice = caller("alice");
    let own = &alice.principal;
    for value in ["canary-1", "canary-2"] {
        assert_eq!(
            desk.run(engine.store_secret(store(&alice, own, "github", value))).unwrap(),
            SecretStored::Stored
        );
    }
    let key = Key::secret(&alice.tenant, own, "github");
    assert_eq!(desk.get::<SecretRecord>(&key).unwrap().value, Secret::new("canary-2"));
    let list = ListSecrets { caller: alice.clone(), owner: None, after: None, limit: 10 };
    let page = desk.run(engine.list_secrets(list)).unwrap();
    let listed = ListedSecret { name: "github".to_owned(), stored_at: NOW, stored_by: own.clone() };
    assert_eq!(page, Page { items: vec![listed], next: None });
    // atk:TEN-09
    assert!(!serde_json::to_string(&page).unwrap().contains("canary"));
    assert!(desk.run(engine.delete_secret(delete_of(&alice, own, "github"))).unwrap());
    assert!(!desk.run(engine.delete_secret(delete_of(&alice, own, "github"))).unwrap());
    assert!(!desk.has(&key));
    assert_eq!(
        desk.news(),
        [
            What::SecretStored { name: "github".to_owned() },
            What::SecretStored { name: "github".to_owned() },
            What::SecretDeleted { name: "github".to_owned() },
        ]
    );
}

// atk:TEN-05
#[test]
fn a_stranger_learns_nothing_about_anybodys_secrets() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let (alice, mallory) = (caller("alice"), caller("mallory"));
    desk.run(engine.store_secret(store(&alice, &alice.principal, "github", "v"))).unwrap();
    for owner in [&alice.principal, &Principal::user("nobody").unwrap()] {
        let list =
            ListSecrets { caller: mallory.clone(), owner: Some(owner.clone()), after: None, limit: 10 };
        let failures = [
            desk.run(engine.store_secret(store(&mallory, owner, "github", "v"))).unwrap_err().code(),
            desk.run(engine.delete_secret(delete_of(&mallory, owner, "github"))).unwrap_err().code(),
            desk.run(engine.list_secrets(list)).unwrap_err().code(),
        ];
        assert_eq!(failures, [Code::NotAllowed; 3]);
    }
}

#[test]
fn managers_store_for_their_team_and_administrators_only_take_away() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let lead = caller("lia").with_team("red", TeamRole::Manager).unwrap();
    let team = Principal::team("red").unwrap();
    let admin = caller("root").with_role(Role::Admin);
    desk.run(engine.store_secret(store(&lead, &team, "k", "v"))).unwrap();
    assert_eq!(
        desk.run(engine.store_secret(store(&admin, &team, "k", "w"))).unwrap_err().code(),
        Code::NotAllowed
    );
    assert!(desk.run(engine.delete_secret(delete_of(&admin, &team, "k"))).unwrap());
}

// atk:HDR-01
#[test]
fn a_value_that_could_break_a_header_is_refused_and_not_shown() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let alice = caller("alice");
    let long = "x".repeat(SECRET_MAX_BYTES + 1);
    for value in ["canary\r\nX: y", "canary\n", "canary\0", " canary", "canary ", "canaré", "", &long] {
        let arguments = store(&alice, &alice.principal, "k", value);
        let SecretStored::Refused(error) = desk.run(engine.store_secret(arguments)).unwrap() else {
            panic!("{value:?} was stored")
        };
        assert_eq!(error.field(), "value");
        assert!(!format!("{error} {error:?}").contains("canar"));
    }
    let whole = "x".repeat(SECRET_MAX_BYTES);
    let arguments = store(&alice, &alice.principal, "k", &whole);
    assert_eq!(desk.run(engine.store_secret(arguments)).unwrap(), SecretStored::Stored);
}

#[test]
fn a_name_is_a_short_line() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let alice = caller("alice");
    for name in ["", "a\nb", &"x".repeat(256)] {
        let outcome = desk.run(engine.store_secret(store(&alice, &alice.principal, name, "v"))).unwrap();
        assert!(matches!(outcome, SecretStored::Refused(error) if error.field() == "name"));
    }
}

#[test]
fn an_unknown_commit_ends_in_what_was_asked() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
        let mut desk = Desk::new();
        let engine = Arc::clone(&desk.engine);
        let alice = caller("alice");
        desk.faults.push_back(fault);
        desk.run(engine.store_secret(store(&alice, &alice.principal, "k", "v"))).unwrap();
        desk.faults.push_back(fault);
        assert!(
            desk.run(engine.delete_secret(delete_of(&alice, &alice.principal, "k"))).unwrap(),
            "{fault:?}"
        );
        assert!(desk.rows().is_empty());
        assert_eq!(desk.news().len(), 2);
    }
}

#[test]
fn a_damaged_secret_is_mended_by_storing_it_anew() {
    let mut desk = Desk::new();
    let alice = caller("alice");
    let key = Key::secret(&alice.tenant, &alice.principal, "k");
    desk.put_raw(&key, b"damaged".to_vec());
    desk.run(desk.engine.store_secret(store(&alice, &alice.principal, "k", "v"))).unwrap();
    assert_eq!(desk.get::<SecretRecord>(&key).unwrap().value, Secret::new("v"));
}
