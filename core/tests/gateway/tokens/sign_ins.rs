//! What owners and administrators see of sign-ins, and how they end them.

use grantway_core::downstream::sign_ins::{
    ListSignIns, RevokeSignIn, Revoked, SignIn, SignInId, SignInRevoked, SignInsOf,
};
use grantway_core::error::Code;
use grantway_core::event::What;
use grantway_core::principal::{Assurance, Caller, Principal, Role};
use grantway_core::upstream::page::Page;
use grantway_testing::{CommitFault, Lands, drive};

use super::setting::*;

fn admin() -> Caller {
    Caller::new("acme", Principal::user("root").unwrap()).unwrap().with_role(Role::Admin)
}

fn mallory() -> Caller {
    Caller::new("acme", Principal::user("mallory").unwrap()).unwrap()
}

fn list(gateway: &mut Gateway, caller: Caller, of: Option<SignInsOf>) -> Result<Page<SignIn>, Code> {
    let operation = gateway.engine.list_sign_ins(ListSignIns { caller, of, after: None, limit: 50 });
    drive(&mut gateway.world, operation).result.map_err(|failure| failure.code())
}

fn revoke(gateway: &mut Gateway, caller: Caller, id: SignInId) -> SignInRevoked {
    let operation = gateway.engine.revoke_sign_in(RevokeSignIn { caller, id });
    gateway.run(operation)
}

#[test]
fn a_person_sees_the_clients_that_are_signed_in_for_them_and_an_administrator_those_of_anybody() {
    let mut gateway = Gateway::new();
    let start = gateway.world.now();
    gateway.sign_in(EDITOR);
    let refresh = gateway.sign_in(PUBLIC).refresh.unwrap();
    gateway.world.advance(HOUR);
    gateway.refresh(PUBLIC, &refresh);
    let owner = SignInsOf::Owner(alice().principal);
    let mine = list(&mut gateway, alice(), None).unwrap().items;
    assert_eq!(mine, list(&mut gateway, admin(), Some(owner)).unwrap().items);
    let mut clients: Vec<_> = mine.iter().map(|one| one.client_id.as_str()).collect();
    clients.sort_unstable();
    assert_eq!(clients, [EDITOR, PUBLIC]);
    let public = mine.iter().find(|one| one.client_id == PUBLIC).unwrap();
    assert_eq!((&public.owner, public.resource.as_str()), (&alice().principal, MCP));
    assert_eq!((public.created_at, public.refreshed_at), (start, start.plus(HOUR)));
    assert_eq!(public.expires_at, start.plus(HOUR + 30 * DAY));
    let of_client = list(&mut gateway, admin(), Some(SignInsOf::Client(PUBLIC.to_owned()))).unwrap();
    assert_eq!(of_client.items, std::slice::from_ref(public));
    assert!(list(&mut gateway, mallory(), None).unwrap().items.is_empty());
}

#[test]
fn a_long_list_comes_page_by_page() {
    let mut gateway = Gateway::new();
    (0..5).for_each(|_| drop(gateway.sign_in(EDITOR)));
    let (mut after, mut seen) = (None, 0);
    loop {
        let operation =
            gateway.engine.list_sign_ins(ListSignIns { caller: alice(), of: None, after, limit: 2 });
        let page = gateway.run(operation);
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 5);
}

// atk:TEN-09, atk:TEN-05
#[test]
fn nobody_else_sees_or_ends_anything_not_even_whether_it_is_there() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    let id = gateway.authenticate(&token, MCP, "").unwrap().sign_in;
    let unknown: SignInId = serde_json::from_str("\"00000000000000000000000000000000\"").unwrap();
    let self_declared = alice().with_assurance(Assurance::Asserted);
    let manager = mallory().with_role(Role::Manager);
    let other_tenant = Caller::new("other", alice().principal).unwrap().with_role(Role::Admin);
    for caller in [mallory(), manager.clone(), self_declared.clone(), other_tenant] {
        assert_eq!(revoke(&mut gateway, caller.clone(), id), SignInRevoked::Unknown);
        assert_eq!(revoke(&mut gateway, caller, unknown), SignInRevoked::Unknown);
    }
    for caller in [mallory(), manager, self_declared] {
        let owner = SignInsOf::Owner(alice().principal);
        assert_eq!(list(&mut gateway, caller.clone(), Some(owner)).unwrap_err(), Code::NotAllowed);
        let client = SignInsOf::Client(EDITOR.to_owned());
        assert_eq!(list(&mut gateway, caller, Some(client)).unwrap_err(), Code::NotAllowed);
    }
    assert!(gateway.opens(&token));
}

#[test]
fn an_owner_or_an_administrator_ends_a_sign_in_and_its_tokens_are_dead_at_once() {
    for by in [alice(), admin()] {
        let mut gateway = Gateway::new();
        let tokens = gateway.sign_in(EDITOR);
        let other = gateway.sign_in(EDITOR);
        let id = gateway.authenticate(&tokens.access, MCP, "").unwrap().sign_in;
        gateway.news();
        assert_eq!(revoke(&mut gateway, by.clone(), id), SignInRevoked::Revoked);
        let event = gateway.events.remove(0);
        assert_eq!((event.actor, event.owner), (Some(by.principal.clone()), Some(alice().principal)));
        let reason = Revoked::ByOwner;
        assert_eq!(event.what, What::SignedOut { client: EDITOR.to_owned(), reason });
        assert!(!gateway.opens(&tokens.access) && gateway.opens(&other.access));
        assert_eq!(refusal(&gateway.refresh(EDITOR, &tokens.refresh.unwrap())), is(400, "invalid_grant"));
        assert_eq!(revoke(&mut gateway, by, id), SignInRevoked::Unknown);
        assert_eq!(list(&mut gateway, alice(), None).unwrap().items.len(), 1);
    }
}

#[test]
fn a_sign_in_that_has_ended_by_itself_is_not_listed() {
    let mut gateway = Gateway::new();
    gateway.sign_in(BRIEF);
    gateway.world.advance(HOUR - 1);
    assert_eq!(list(&mut gateway, alice(), None).unwrap().items.len(), 1);
    gateway.world.advance(1);
    assert!(list(&mut gateway, alice(), None).unwrap().items.is_empty());
}

#[test]
fn an_unknown_commit_ends_a_sign_in_once() {
    for lands in [Lands::Now, Lands::Never, Lands::After(1)] {
        let mut gateway = Gateway::new();
        let token = gateway.sign_in(EDITOR).access;
        let id = gateway.authenticate(&token, MCP, "").unwrap().sign_in;
        gateway.news();
        gateway.world.on_commit(1, CommitFault::Unknown(lands));
        assert_eq!(revoke(&mut gateway, alice(), id), SignInRevoked::Revoked);
        assert_eq!(gateway.news().len(), 1);
    }
}
