//! What is registered stays so, and not beyond the end.

use consul::{
    Fare, Kept, TokenSource,
    registration::{Bind, MeshGateway},
};

use crate::fake::{until, with};

const REGISTER: &str = "/v1/agent/service/register";

#[test]
fn what_could_not_be_registered_is_not_tried_again_after_the_end() {
    with(TokenSource::Anonymous, 32, |consul, watches| async move {
        let gateway = MeshGateway {
            id: "gw".to_owned(),
            name: "gw".to_owned(),
            lan: ("10.0.0.1".parse().unwrap(), 8443),
            wan: None,
            bind: Bind::Lan,
            exposes_servers: false,
            forget_after: None,
        };
        consul.say(REGISTER, 500, "No cluster leader");
        let kept = Kept::new(Some(gateway.registration()));
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
