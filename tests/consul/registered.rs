//! A gateway that registers itself, and stays registered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use consul::registration::{Fare, MeshGateway};
use smol::{Timer, future};
use support::consul::Agent;

use crate::asking::{meanwhile, run, settings};

const SERVICE: &str = "/v1/agent/service/gw-1";

#[test]
fn until_it_is_told_otherwise() {
    let mut agent = Agent::server();
    run(settings(&agent), |asking| async move {
        let gateway = MeshGateway {
            id: "gw-1".to_owned(),
            name: "mesh-gateway".to_owned(),
            lan: (agent.http().ip(), 8443),
            wan: Some(("192.0.2.1".to_owned(), 443)),
            exposes_servers: true,
            forget_after: Some(Duration::from_secs(3600)),
        };
        let registration = gateway.registration();
        let made = Rc::new(RefCell::new(0));
        let count = Rc::clone(&made);
        let keeping = registration.keep(&asking.watches, move |fare| match fare {
            Fare::Made => *count.borrow_mut() += 1,
            Fare::Failed(error) => println!("{error}"),
        });
        let times = |least: i32| {
            let made = Rc::clone(&made);
            async move {
                while *made.borrow() < least {
                    Timer::after(Duration::from_millis(5)).await;
                }
            }
        };
        let told = async {
            times(1).await;
            let known = agent.get(SERVICE);
            assert_eq!(known["Kind"], "mesh-gateway");
            assert_eq!(known["TaggedAddresses"]["wan"]["Address"], "192.0.2.1");
            assert_eq!(known["Meta"]["consul-wan-federation"], "1");

            // It stays over a restart, without being made again.
            agent.kill();
            agent = meanwhile(move || {
                agent.run();
                agent
            })
            .await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            // It is made again when somebody removed it, and when the agent lost its data.
            agent.put("/v1/agent/service/deregister/gw-1", "");
            times(2).await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            agent.kill();
            agent.forget();
            agent = meanwhile(move || {
                agent.run();
                agent
            })
            .await;
            times(3).await;
            assert_eq!(agent.get(SERVICE)["Port"], 8443);
            assert_eq!(*made.borrow(), 3);
            agent
        };
        let kept = async {
            keeping.await;
            panic!("nobody stopped it");
        };
        let agent = future::or(kept, told).await;
        registration.end(asking.watches.client()).await.unwrap();
        assert_eq!(agent.ask("GET", SERVICE, "").unwrap().0, 404);
        // What is not there need not be removed.
        registration.end(asking.watches.client()).await.unwrap();
    });
}
