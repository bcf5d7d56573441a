//! Who may do what: pure functions over the caller, which the host has verified, and the connector's policy.

use crate::connector::{Connector, CredentialScope, SecretOwner};
use crate::error::{Code, Failure};
use crate::principal::{Assurance, Caller, Principal, PrincipalKind, Role, Team, TeamRole};

/// Whose connections a call may use, in the order of the connector's precedence list, each with its class as this caller sees it.
///
/// Nobody is guessed: an owner that the list does not name, or that the caller has no part in, is not here; without
/// `sharing` only the caller's own principal is, whatever the list says. An owner that two entries name stands at the first.
pub(crate) fn owners(caller: &Caller, connector: &Connector) -> Vec<(CredentialScope, Principal)> {
    let mut owners: Vec<(CredentialScope, Principal)> = Vec::new();
    for scope in &connector.precedence {
        // atk:TEN-07
        if *scope != CredentialScope::Personal && !connector.sharing {
            continue;
        }
        for owner in owners_of(scope, caller) {
            if owners.iter().all(|(_, earlier)| *earlier != owner) {
                owners.push((scope.clone(), owner));
            }
        }
    }
    owners
}

/// As [`owners`], for a connector's calls with the tokens of an account that has a policy of its own: an account that is not shared
/// serves its owner alone, whatever the list of who draws on it says.
pub(crate) fn owners_of_account(
    caller: &Caller,
    connector: &Connector,
    account: &Connector,
) -> Vec<(CredentialScope, Principal)> {
    let mut owners = owners(caller, connector);
    // atk:TEN-07
    owners.retain(|(scope, _)| *scope == CredentialScope::Personal || account.sharing);
    owners
}

fn owners_of(scope: &CredentialScope, caller: &Caller) -> Vec<Principal> {
    match scope {
        CredentialScope::Agent(id) => vec![Principal::of(PrincipalKind::Agent, id.clone())],
        CredentialScope::Org => vec![Principal::org(&caller.tenant)],
        CredentialScope::Personal if owns(caller) => vec![caller.principal.clone()],
        CredentialScope::Personal => Vec::new(),
        CredentialScope::Team => {
            teams(caller).iter().map(|team| Principal::of(PrincipalKind::Team, team.id.clone())).collect()
        }
    }
}

/// Owners whose connection to this upstream the caller manages: itself, its teams, the tenant, and the agents in the precedence list.
pub(crate) fn managed(caller: &Caller, connector: &Connector) -> Vec<Principal> {
    let everyone = [CredentialScope::Personal, CredentialScope::Team, CredentialScope::Org];
    let agents = connector.precedence.iter().filter(|scope| matches!(scope, CredentialScope::Agent(_)));
    let mut managed = Vec::new();
    for owner in everyone.iter().chain(agents).flat_map(|scope| owners_of(scope, caller)) {
        if may_manage(caller, &owner) && !managed.contains(&owner) {
            managed.push(owner);
        }
    }
    managed
}

/// Whose stored secrets an injection may use for this caller, the first that has one winning.
pub(crate) fn secret_owners(caller: &Caller, of: SecretOwner) -> Vec<Principal> {
    match of {
        SecretOwner::Org => owners_of(&CredentialScope::Org, caller),
        SecretOwner::Team => owners_of(&CredentialScope::Team, caller),
        SecretOwner::User => owners_of(&CredentialScope::Personal, caller),
    }
}

/// Whether the caller may connect, disconnect and store for this owner: everybody for themselves, whatever their role; team
/// managers for the team; tenant managers for the tenant and its agents.
pub(crate) fn may_manage(caller: &Caller, owner: &Principal) -> bool {
    if *owner == caller.principal {
        return owns(caller);
    }
    match owner.kind() {
        PrincipalKind::Agent => has_role(caller, Role::Manager),
        PrincipalKind::Org => has_role(caller, Role::Manager) && *owner == Principal::org(&caller.tenant),
        PrincipalKind::Team => {
            teams(caller).iter().any(|team| team.id.as_str() == owner.id() && team.role == TeamRole::Manager)
        }
        PrincipalKind::Key | PrincipalKind::Session | PrincipalKind::User => false,
    }
}

/// Whether the caller may take a connection of this owner away, or see where it stands: who manages it, and administrators.
/// Never enough to complete a flow.
pub(crate) fn may_withdraw(caller: &Caller, owner: &Principal) -> bool {
    may_manage(caller, owner) || has_role(caller, Role::Admin)
}

/// Whether the caller has at least this role in the tenant.
pub(crate) fn has_role(caller: &Caller, role: Role) -> bool {
    caller.role >= role && is_identified(caller)
}

/// Checks that the caller is known as well as the connector demands.
///
/// # Errors
/// `config.assurance_too_low`.
pub(crate) fn check_assurance(caller: &Caller, connector: &Connector) -> Result<(), Failure> {
    if caller.assurance < connector.minimum_assurance {
        return Err(Code::AssuranceTooLow.into());
    }
    Ok(())
}

/// Whether the caller's own principal may own anything.
///
/// A self-declared id owns nothing (F55): below `possession` only the session that the engine itself has minted does.
fn owns(caller: &Caller) -> bool {
    is_identified(caller)
        || (caller.assurance == Assurance::Ephemeral && caller.principal.kind() == PrincipalKind::Session)
}

/// Whether somebody answers for who the caller is. If not, its teams and role are as little worth as its name.
fn is_identified(caller: &Caller) -> bool {
    match caller.assurance {
        Assurance::Asserted | Assurance::Ephemeral => false,
        Assurance::Possession | Assurance::Verified => true,
    }
}

fn teams(caller: &Caller) -> &[Team] {
    if is_identified(caller) { &caller.teams } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::PrincipalId;

    fn alice() -> Caller {
        Caller::new("acme", Principal::user("alice").unwrap()).unwrap()
    }

    fn shared(precedence: Vec<CredentialScope>) -> Connector {
        Connector { precedence, sharing: true, ..Connector::server("https://mcp.example/") }
    }

    fn names(owners: &[(CredentialScope, Principal)]) -> Vec<(&'static str, &str)> {
        owners.iter().map(|(scope, owner)| (scope.as_str(), owner.id())).collect()
    }

    #[test]
    fn owners_come_in_the_order_of_the_precedence_list() {
        let caller =
            alice().with_team("red", TeamRole::Member).unwrap().with_team("blue", TeamRole::Manager).unwrap();
        let bot = CredentialScope::Agent(PrincipalId::new("bot").unwrap());
        let connector =
            shared(vec![CredentialScope::Team, bot, CredentialScope::Personal, CredentialScope::Org]);
        assert_eq!(
            names(&owners(&caller, &connector)),
            [("team", "red"), ("team", "blue"), ("agent", "bot"), ("personal", "alice"), ("org", "acme")]
        );
    }

    // atk:TEN-07
    #[test]
    fn only_the_caller_is_an_owner_while_sharing_is_off() {
        let caller = alice().with_team("red", TeamRole::Manager).unwrap().with_role(Role::Admin);
        let mut connector =
            shared(vec![CredentialScope::Personal, CredentialScope::Team, CredentialScope::Org]);
        connector.sharing = false;
        assert_eq!(names(&owners(&caller, &connector)), [("personal", "alice")]);
    }

    // atk:TEN-07
    #[test]
    fn an_administrator_gets_no_owner_that_the_list_does_not_name() {
        let caller = alice().with_role(Role::Admin).with_team("red", TeamRole::Manager).unwrap();
        assert_eq!(
            names(&owners(&caller, &shared(vec![CredentialScope::Personal]))),
            [("personal", "alice")]
        );
        assert!(owners(&alice(), &shared(vec![CredentialScope::Team])).is_empty());
    }

    #[test]
    fn an_owner_named_twice_stands_at_the_first_place() {
        let agent = Caller::new("acme", Principal::agent("bot").unwrap()).unwrap();
        let bot = CredentialScope::Agent(PrincipalId::new("bot").unwrap());
        let connector = shared(vec![CredentialScope::Personal, bot]);
        assert_eq!(names(&owners(&agent, &connector)), [("personal", "bot")]);
    }

    #[test]
    fn a_self_declared_id_owns_nothing_and_is_in_no_team() {
        let connector = shared(vec![CredentialScope::Personal, CredentialScope::Team]);
        for assurance in [Assurance::Asserted, Assurance::Ephemeral] {
            let caller = alice()
                .with_team("red", TeamRole::Manager)
                .unwrap()
                .with_role(Role::Admin)
                .with_assurance(assurance);
            assert!(owners(&caller, &connector).is_empty());
            assert!(secret_owners(&caller, SecretOwner::User).is_empty());
            assert!(secret_owners(&caller, SecretOwner::Team).is_empty());
            for owner in [caller.principal.clone(), Principal::team("red").unwrap()] {
                assert!(!may_manage(&caller, &owner) && !may_withdraw(&caller, &owner));
            }
            assert!(!has_role(&caller, Role::Manager));
        }
    }

    #[test]
    fn keys_and_minted_sessions_own_their_connections() {
        for (kind, assurance) in
            [(PrincipalKind::Key, Assurance::Possession), (PrincipalKind::Session, Assurance::Ephemeral)]
        {
            let principal = Principal::new(kind, "7").unwrap();
            let caller = Caller::new("acme", principal.clone()).unwrap().with_assurance(assurance);
            assert!(may_manage(&caller, &principal));
            assert_eq!(
                names(&owners(&caller, &shared(vec![CredentialScope::Personal]))),
                [("personal", "7")]
            );
        }
    }

    #[test]
    fn each_standing_manages_what_it_is_for() {
        let org = Principal::org(&alice().tenant);
        let other_org = Principal::new(PrincipalKind::Org, "other").unwrap();
        let red = Principal::team("red").unwrap();
        let bot = Principal::agent("bot").unwrap();
        let bob = Principal::user("bob").unwrap();
        let can = |caller: &Caller| {
            [&caller.principal, &red, &org, &bot, &bob, &other_org].map(|owner| may_manage(caller, owner))
        };
        assert_eq!(can(&alice()), [true, false, false, false, false, false]);
        assert_eq!(
            can(&alice().with_team("red", TeamRole::Member).unwrap()),
            [true, false, false, false, false, false]
        );
        assert_eq!(
            can(&alice().with_team("red", TeamRole::Manager).unwrap()),
            [true, true, false, false, false, false]
        );
        for role in [Role::Manager, Role::Admin] {
            assert_eq!(can(&alice().with_role(role)), [true, false, true, true, false, false]);
        }
    }

    #[test]
    fn a_caller_manages_owners_that_the_list_does_not_give_it() {
        let bot = CredentialScope::Agent(PrincipalId::new("bot").unwrap());
        let mut connector = shared(vec![CredentialScope::Personal, bot]);
        connector.sharing = false;
        let lead =
            alice().with_team("red", TeamRole::Manager).unwrap().with_team("blue", TeamRole::Member).unwrap();
        let ids = |caller: &Caller| {
            managed(caller, &connector).iter().map(|owner| owner.id().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&lead), ["alice", "red"]);
        assert_eq!(ids(&alice().with_role(Role::Manager)), ["alice", "acme", "bot"]);
        assert!(ids(&lead.with_assurance(Assurance::Asserted)).is_empty());
    }

    #[test]
    fn an_administrator_takes_away_what_he_cannot_connect() {
        let bob = Principal::user("bob").unwrap();
        let admin = alice().with_role(Role::Admin);
        assert!(may_withdraw(&admin, &bob) && !may_manage(&admin, &bob));
        assert!(!may_withdraw(&alice().with_role(Role::Manager), &bob));
    }

    #[test]
    fn a_caller_below_the_demanded_assurance_is_refused() {
        let mut connector = Connector::server("https://mcp.example/");
        connector.minimum_assurance = Assurance::Verified;
        let key = alice().with_assurance(Assurance::Possession);
        assert_eq!(check_assurance(&key, &connector).unwrap_err().code(), Code::AssuranceTooLow);
        assert!(check_assurance(&alice(), &connector).is_ok());
    }
}
