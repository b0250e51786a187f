//! Every way to reach a Consul: a unix socket, HTTPS with its own names, the next address when one is gone.

use std::process::Command;

use consul::{Address, Error, Event, Question, Settings as Reach, TlsFiles};
use smol::Timer;
use support::consul::{Agent, Settings, binary};
use support::temp::TempDir;

use crate::asking::{instances, run, settings, until};

#[test]
fn over_a_unix_socket() {
    let agent = Agent::server();
    let mut reach = settings(&agent);
    reach.addresses = vec![Address::new(&format!("unix://{}", agent.socket().display())).unwrap()];
    run(reach, |asking| async move {
        let (_watch, told) = asking.watch(&Question::Roots);
        until("the roots", &told, |told| {
            told.iter().any(|told| told.contains("TrustDomain"))
        })
        .await;
    });
}

#[test]
fn over_https_by_the_names_that_consul_gives_its_agents() {
    let home = TempDir::new();
    for arguments in [
        &["tls", "ca", "create"][..],
        &["tls", "cert", "create", "-server", "-dc", "dc1"],
    ] {
        let done = Command::new(binary())
            .args(arguments)
            .current_dir(home.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let file = |name: &str| home.file(name);
    let (chain, key) = (
        file("dc1-server-consul-0.pem"),
        file("dc1-server-consul-0-key.pem"),
    );
    let ca = file("consul-agent-ca.pem");
    let more = format!(
        r#"{{"verify_incoming_https":true,"ca_file":"{}","cert_file":"{}","key_file":"{}"}}"#,
        ca.display(),
        chain.display(),
        key.display()
    );
    let agent = Agent::start(Settings {
        more: &more,
        ..Settings::default()
    });
    let reach = |server_name: Option<&str>, own| Reach {
        addresses: vec![Address::new(&format!("https://{}", agent.https())).unwrap()],
        tls: TlsFiles {
            ca: Some(ca.clone()),
            own,
            server_name: server_name.map(str::to_owned),
        },
        ..Reach::default()
    };
    let own = Some((chain, key));
    run(
        reach(Some("server.dc1.consul"), own.clone()),
        |asking| async move {
            let (_watch, told) = asking.watch(&Question::Roots);
            until("the roots", &told, |told| {
                told.iter().any(|told| told.contains("TrustDomain"))
            })
            .await;
        },
    );
    for (name, own, why) in [
        // The certificate is for names, and for 127.0.0.1.
        (None, own.clone(), "not valid for name"),
        (Some("server.dc2.consul"), own, "not valid for name"),
        (Some("server.dc1.consul"), None, "failed: "),
    ] {
        run(reach(name, own), |asking| async move {
            let (_watch, told) = asking.watch(&Question::Roots);
            until("the refusal", &told, |told| !told.is_empty()).await;
            assert!(
                told.borrow()[0].starts_with("failed: ") && told.borrow()[0].contains(why),
                "{told:?}"
            );
        });
    }
}

#[test]
fn by_the_next_address_when_one_is_gone() {
    let server = Agent::server();
    let mut first = Agent::start(Settings {
        of: Some(&server),
        ..Settings::default()
    });
    server.register("api", 1111);
    let mut reach = settings(&first);
    reach
        .addresses
        .push(Address::new(&server.http().to_string()).unwrap());
    run(reach, |asking| async move {
        let (_watch, told) = asking.watch(&instances("api"));
        until("the first answer", &told, |told| told.len() == 1).await;
        first.kill();
        server.register("api", 2222);
        until("the change", &told, |told| {
            told.last().is_some_and(|last| last.contains("2222"))
        })
        .await;
    });
}

#[test]
fn nobody_there_is_said_with_the_address() {
    // Reserved for tests, and on no loopback interface that anything listens on.
    let reach = Reach {
        addresses: vec![Address::new("127.255.255.254:9").unwrap()],
        ..Reach::default()
    };
    run(reach, |asking| async move {
        let told = std::rc::Rc::new(std::cell::RefCell::new(String::new()));
        let into = std::rc::Rc::clone(&told);
        let _watch = asking.watches.watch(&Question::Roots, move |event| {
            if let Event::Failed(Error::Unreachable(address, _)) = event {
                into.borrow_mut().clone_from(address);
            }
        });
        while told.borrow().is_empty() {
            Timer::after(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(*told.borrow(), "http://127.255.255.254:9");
    });
}
