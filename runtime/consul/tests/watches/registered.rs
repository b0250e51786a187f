//! What is registered stays so, and not beyond the end.

use consul::{
    Error, Fare, Kept, TokenSource,
    registration::{Bind, MeshGateway, Registration},
};

use crate::fake::{until, with};

const REGISTER: &str = "/v1/agent/service/register";

fn gateway() -> Registration {
    let gateway = MeshGateway {
        id: "gw".to_owned(),
        name: "gw".to_owned(),
        lan: ("10.0.0.1".parse().unwrap(), 8443),
        wan: None,
        bind: Bind::Lan,
        exposes_servers: false,
        forget_after: None,
    };
    gateway.registration()
}

#[test]
fn what_could_not_be_registered_is_not_tried_again_after_the_end() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        consul.say(REGISTER, 500, "No cluster leader");
        let kept = Kept::new(Some(gateway()));
        let keep = kept.keep(&watches, None, |fare| {
            assert!(matches!(fare, Fare::Failed(_)), "{fare:?}");
        });
        let end = async {
            until(|| consul.times(REGISTER) == 1).await;
            watches.stop();
            consul.say(REGISTER, 200, "");
            std::future::pending().await
        };
        // It ends with the watches.
        smol::future::or(keep, end).await;
        assert_eq!(consul.times(REGISTER), 1);
    });
}

#[test]
fn a_node_is_taken_only_when_it_is_known_to_be_no_agents() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let checks = "/v1/health/node/edge-7";
        let register = "/v1/catalog/register";
        consul.say(register, 200, "true");
        let make = async || gateway().make(watches.client(), Some("edge-7")).await;
        for unreadable in ["<html>sign in</html>", r#"[{"CheckID":7}]"#, ""] {
            consul.say(checks, 200, unreadable);
            let made = make().await;
            assert!(matches!(made, Err(Error::NotUnderstood(_))), "{made:?}");
        }
        consul.say(checks, 200, r#"[{"CheckID":"serfHealth"}]"#);
        let made = make().await;
        assert!(matches!(made, Err(Error::AgentsNode(_))), "{made:?}");
        assert_eq!(consul.times(register), 0);
        consul.say(checks, 200, "[]");
        make().await.unwrap();
        assert_eq!(consul.times(register), 1);
    });
}
