//! From Consul's intentions to the plan's: who may call the service.
//!
//! What cannot be judged here is a deny, never left out: without it the default might allow.

use plan::intentions::{Action, DefaultAction, Destination, Intention, Intentions, Name, Source};

use crate::answers::intentions as answer;

/// The intentions of a service, and what holds for everyone else.
///
/// Those of a source at a peer are left out: a peer's clients cannot come in, since no peer's roots are trusted.
#[must_use]
pub fn intentions(
    found: &[answer::Intention],
    trust_domain: &str,
    default: DefaultAction,
) -> Intentions {
    let here = found.iter().filter(|one| one.source_peer.is_empty());
    Intentions::new(
        here.map(|one| intention(one, trust_domain)).collect(),
        default,
    )
}

/// Whether one of them holds for every source here, so that there is no default to ask for.
#[must_use]
pub fn cover_everyone(found: &[answer::Intention]) -> bool {
    found.iter().any(|one| {
        let everywhere = matches!(one.source_namespace.as_str(), "*" | "default" | "");
        one.source == "*" && everywhere && one.source_peer.is_empty()
    })
}

fn intention(one: &answer::Intention, trust_domain: &str) -> Intention {
    let action = match one.action.as_str() {
        _ if one.permissions => Action::Permissions,
        "allow" => Action::Allow,
        _ => Action::Deny,
    };
    Intention {
        source: Source {
            trust_domain: trust_domain.to_owned(),
            partition: Name::new(&one.source_partition),
            namespace: Name::new(&one.source_namespace),
            name: Name::new(&one.source),
        },
        destination: Destination {
            namespace: Name::new(&one.destination_namespace),
            name: Name::new(&one.destination),
        },
        action,
    }
}

#[cfg(test)]
mod tests {
    use plan::spiffe::SpiffeId;

    use super::*;

    fn allowed(found: &[answer::Intention], source: &str, default: DefaultAction) -> bool {
        let id = format!("spiffe://td.consul/ns/default/dc/dc7/svc/{source}");
        let id = SpiffeId::parse(&id).expect("an ID");
        intentions(found, "td.consul", default).decide(&id).allowed
    }

    fn intention(source: &str, action: &str) -> answer::Intention {
        answer::Intention {
            source_namespace: "default".to_owned(),
            source: source.to_owned(),
            destination_namespace: "default".to_owned(),
            destination: "db".to_owned(),
            action: action.to_owned(),
            ..answer::Intention::default()
        }
    }

    #[test]
    fn the_most_exact_intention_decides_and_then_the_default() {
        let found = [intention("*", "deny"), intention("web", "allow")];
        assert!(allowed(&found, "web", DefaultAction::Deny));
        assert!(!allowed(&found, "other", DefaultAction::Allow));
        assert!(cover_everyone(&found) && !cover_everyone(&found[1..]));
        assert!(allowed(&[], "web", DefaultAction::Allow));
        assert!(!allowed(&[], "web", DefaultAction::Deny));
    }

    #[test]
    fn what_a_connection_cannot_show_is_denied() {
        let mut requests = intention("web", "");
        requests.permissions = true;
        assert!(!allowed(&[requests], "web", DefaultAction::Allow));
        assert!(!allowed(
            &[intention("web", "tomorrow")],
            "web",
            DefaultAction::Allow
        ));
    }

    #[test]
    fn an_intention_for_a_peers_service_is_not_for_ours_of_that_name() {
        let mut peers = intention("web", "allow");
        peers.source_peer = "alpha".to_owned();
        assert!(!allowed(&[peers], "web", DefaultAction::Deny));
    }
}
