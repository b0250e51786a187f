//! Tables of who may call whom, and a comparison with the filter that Consul makes of intentions for Envoy.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;

const OWN: &str = "11111111-2222-3333-4444-555555555555.consul";
const PEER: &str = "1c053652-8512-4373-90cf-5a7f6263a994.consul";

/// `source => destination action`, each side as `[[ap/]ns/]name`.
fn intention(trust_domain: &str, source: &str, destination: &str, action: Action) -> Intention {
    let parts = |text: &str| {
        let mut parts: Vec<Name> = text.split('/').map(Name::new).collect();
        while parts.len() < 3 {
            parts.insert(0, Name::Exact(String::new()));
        }
        parts
    };
    let (source, destination) = (parts(source), parts(destination));
    Intention {
        source: Source {
            trust_domain: trust_domain.to_owned(),
            partition: source[0].clone(),
            namespace: source[1].clone(),
            name: source[2].clone(),
        },
        destination: Destination {
            namespace: destination[1].clone(),
            name: destination[2].clone(),
        },
        action,
    }
}

fn own(source: &str, action: Action) -> Intention {
    intention(OWN, source, "db", action)
}

fn allowed(intentions: &Intentions, trust_domain: &str, path: &str) -> bool {
    let id = SpiffeId::parse(&format!("spiffe://{trust_domain}{path}")).expect(path);
    intentions.decide(&id).allowed
}

#[test]
fn precedence_is_consuls() {
    for (source, destination, precedence) in [
        ("web", "db", 9),
        ("*", "db", 8),
        ("*/*", "db", 7),
        ("web", "*", 6),
        ("*", "*", 5),
        ("*/*", "*", 4),
        ("web", "*/*", 3),
        ("*", "*/*", 2),
        ("*/*", "*/*", 1),
    ] {
        let rule = intention(OWN, source, destination, Action::Allow);
        assert_eq!(rule.precedence(), precedence, "{rule}");
    }
}

#[test]
fn the_most_exact_intention_decides_whatever_the_order() {
    let web = "/ns/default/dc/dc1/svc/web";
    let api = "/ns/default/dc/dc1/svc/api";
    let mut rules = vec![
        intention(OWN, "*", "*", Action::Deny),
        intention(OWN, "api", "*", Action::Allow),
        own("*", Action::Deny),
        own("web", Action::Allow),
    ];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let intentions = Intentions::new(rules.clone(), DefaultAction::Allow);
        assert!(allowed(&intentions, OWN, web));
        // 8, from any to db, goes before 6, from api to any.
        assert!(!allowed(&intentions, OWN, api));
    }
}

#[test]
fn partitions_are_told_apart_without_regard_to_case() {
    // An identity's partition is read in lower case, however the certificate has it.
    let rules = vec![own("Legacy/default/web", Action::Deny)];
    let intentions = Intentions::new(rules, DefaultAction::Allow);
    assert!(!allowed(
        &intentions,
        OWN,
        "/ap/Legacy/ns/default/dc/dc1/svc/web"
    ));
    assert!(!allowed(
        &intentions,
        OWN,
        "/ap/legacy/ns/default/dc/dc1/svc/web"
    ));
    assert!(allowed(
        &intentions,
        OWN,
        "/ap/other/ns/default/dc/dc1/svc/web"
    ));
}

#[test]
fn defaults_wildcards_and_exceptions() {
    use Action::{Allow, Deny, Permissions};
    use DefaultAction as Default;
    let cases: [(&str, Default, &[Intention], bool, bool); 10] = [
        // What is tried, the default, the intentions, may web, may api.
        ("nothing, allow", Default::Allow, &[], true, true),
        ("nothing, deny", Default::Deny, &[], false, false),
        (
            "one allowed",
            Default::Deny,
            &[own("web", Allow)],
            true,
            false,
        ),
        (
            "one denied",
            Default::Allow,
            &[own("web", Deny)],
            false,
            true,
        ),
        ("all allowed", Default::Deny, &[own("*", Allow)], true, true),
        (
            "all but one",
            Default::Deny,
            &[own("*", Allow), own("web", Deny)],
            false,
            true,
        ),
        (
            "none but one",
            Default::Allow,
            &[own("*", Deny), own("web", Allow)],
            true,
            false,
        ),
        (
            "permissions are a deny",
            Default::Allow,
            &[own("web", Permissions)],
            false,
            true,
        ),
        (
            "permissions hide a wider allow",
            Default::Deny,
            &[own("*", Allow), own("web", Permissions)],
            false,
            true,
        ),
        (
            "permissions for all, allow for one",
            Default::Allow,
            &[own("*", Permissions), own("web", Allow)],
            true,
            false,
        ),
    ];
    for (name, default, rules, web, api) in cases {
        let intentions = Intentions::new(rules.to_vec(), default);
        for datacenter in ["dc1", "anywhere"] {
            let path = |service| format!("/ns/default/dc/{datacenter}/svc/{service}");
            assert_eq!(allowed(&intentions, OWN, &path("web")), web, "{name}: web");
            assert_eq!(allowed(&intentions, OWN, &path("api")), api, "{name}: api");
        }
    }
}

#[test]
fn trust_domain_partition_and_namespace_must_match() {
    let intentions = Intentions::new(
        vec![
            own("web", Action::Allow),
            own("part1/ns1/web", Action::Allow),
            intention(PEER, "part2/default/web", "db", Action::Allow),
        ],
        DefaultAction::Deny,
    );
    for (trust_domain, path, expected) in [
        (OWN, "/ns/default/dc/dc1/svc/web", true),
        (OWN, "/ap/default/ns/default/dc/dc1/svc/web", true),
        (OWN, "/ns/default/dc/dc1/svc/web2", false),
        (OWN, "/ns/default/dc/dc1/svc/xweb", false),
        (OWN, "/ns/default/dc/dc1/svc/WEB", false),
        (OWN, "/ns/ns1/dc/dc1/svc/web", false),
        (OWN, "/ap/part1/ns/ns1/dc/dc1/svc/web", true),
        (OWN, "/ap/part1/ns/default/dc/dc1/svc/web", false),
        (OWN, "/ap/part2/ns/default/dc/dc1/svc/web", false),
        (PEER, "/ns/default/dc/dc1/svc/web", false),
        (PEER, "/ap/part2/ns/default/dc/dc9/svc/web", true),
        (PEER, "/ap/part1/ns/ns1/dc/dc1/svc/web", false),
        ("other.consul", "/ns/default/dc/dc1/svc/web", false),
    ] {
        assert_eq!(
            allowed(&intentions, trust_domain, path),
            expected,
            "{trust_domain}{path}"
        );
    }
}

#[test]
fn only_services_are_ever_allowed() {
    let open = Intentions::new(
        vec![intention(OWN, "*/*/*", "*/*", Action::Allow)],
        DefaultAction::Allow,
    );
    assert!(allowed(&open, OWN, "/ns/default/dc/dc1/svc/web"));
    for path in [
        "/gateway/mesh/dc/dc1",
        "/agent/client/dc/dc1/id/web",
        "/agent/server/dc/dc1",
        "",
    ] {
        assert!(!allowed(&open, OWN, path), "{path}");
    }
}

#[test]
fn a_decision_says_what_decided() {
    let rules = vec![
        own("web", Action::Allow),
        own("part1/ns1/*", Action::Permissions),
    ];
    let intentions = Intentions::new(rules, DefaultAction::Deny);
    let text = |path: &str| {
        let id = SpiffeId::parse(&format!("spiffe://{OWN}{path}")).expect(path);
        intentions.decide(&id).to_string()
    };
    assert_eq!(
        text("/ns/default/dc/dc1/svc/web"),
        "allowed by the intention web => db"
    );
    assert_eq!(
        text("/ap/part1/ns/ns1/dc/dc1/svc/x"),
        "denied by the intention part1/ns1/* => db, whose permissions are for requests and count as a deny for tcp"
    );
    assert_eq!(
        text("/ns/default/dc/dc1/svc/x"),
        "denied by default: no intention matches"
    );
    assert_eq!(
        text("/gateway/mesh/dc/dc1"),
        "denied: its identity is not that of a service"
    );
}

/// Consul's way, kept apart from ours: a list of principals for Envoy, each "this one and none of those that are more
/// exact", of the intentions whose action is not the default; a source that one of them matches gets that action.
fn as_a_filter(rules: &[Intention], default: DefaultAction, id: &SpiffeId) -> bool {
    let listed = |rule: &Intention| match default {
        DefaultAction::Deny => rule.action == Action::Allow,
        DefaultAction::Allow => rule.action != Action::Allow,
    };
    let matched = rules.iter().enumerate().any(|(at, rule)| {
        let hidden = rules.iter().enumerate().any(|(other_at, other)| {
            let more_exact = other.precedence() > rule.precedence()
                || (other.precedence() == rule.precedence() && other_at < at);
            more_exact && other.source.matches(id)
        });
        listed(rule) && rule.source.matches(id) && !hidden
    });
    matched == (default == DefaultAction::Deny)
}

fn any_name() -> impl Strategy<Value = Name> {
    prop_oneof![
        Just(Name::Any),
        Just(Name::Exact(String::new())),
        Just(Name::Exact("a".to_owned())),
        Just(Name::Exact("b".to_owned())),
    ]
}

fn any_intention() -> impl Strategy<Value = Intention> {
    let action = prop_oneof![
        Just(Action::Allow),
        Just(Action::Deny),
        Just(Action::Permissions)
    ];
    let names = [any_name(), any_name(), any_name(), any_name(), any_name()];
    (prop::bool::ANY, names, action).prop_map(|(own, names, action)| {
        let [partition, namespace, name, to_namespace, to_name] = names;
        Intention {
            source: Source {
                trust_domain: if own { OWN } else { PEER }.to_owned(),
                partition,
                namespace,
                name,
            },
            destination: Destination {
                namespace: to_namespace,
                name: to_name,
            },
            action,
        }
    })
}

proptest! {
    #[test]
    fn decisions_are_those_of_consuls_filter(
        rules in prop::collection::vec(any_intention(), 0..8),
        allow in prop::bool::ANY,
        own in prop::bool::ANY,
        partition in "default|a|b",
        namespace in "default|a|b",
        service in "a|b|c",
    ) {
        let default = if allow { DefaultAction::Allow } else { DefaultAction::Deny };
        let id = SpiffeId {
            trust_domain: if own { OWN } else { PEER }.to_owned(),
            subject: Subject::Service { partition, namespace, datacenter: "dc1".to_owned(), service },
        };
        let intentions = Intentions::new(rules.clone(), default);
        prop_assert_eq!(intentions.decide(&id).allowed, as_a_filter(&rules, default, &id));
    }
}
