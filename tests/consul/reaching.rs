//! Every way to reach a Consul: a unix socket, HTTPS with its own names, the next address when one is gone.

use std::path::PathBuf;
use std::process::Command;

use consul::{Address, Error, Event, Question, Settings as Reach, TlsFiles};
use smol::Timer;
use support::backend::Backend;
use support::consul::{Agent, MASTER, Settings, binary};
use support::process::Launch;
use support::temp::TempDir;

use crate::asking::{instances, run, settings, until};
use crate::ground::register;

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

/// An agent that wants a certificate of whoever asks over HTTPS, and the files of its authority and of a certificate: made by
/// Consul itself.
struct Https {
    agent: Agent,
    ca: PathBuf,
    own: (PathBuf, PathBuf),
    _home: TempDir,
}

impl Https {
    fn start(acl: bool) -> Self {
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
        let own = (
            file("dc1-server-consul-0.pem"),
            file("dc1-server-consul-0-key.pem"),
        );
        let ca = file("consul-agent-ca.pem");
        let more = format!(
            r#"{{"verify_incoming_https":true,"ca_file":"{}","cert_file":"{}","key_file":"{}"}}"#,
            ca.display(),
            own.0.display(),
            own.1.display()
        );
        let agent = Agent::start(Settings {
            acl,
            more: &more,
            ..Settings::default()
        });
        Self {
            agent,
            ca,
            own,
            _home: home,
        }
    }
}

#[test]
fn by_the_words_and_the_environment_of_consuls_own_command() {
    let https = Https::start(true);
    let app = Backend::echo();
    let at = register(&https.agent, "web", app.address(), "");
    let launch = |token: &str| {
        Launch::with(["-sidecar-for=web-1"])
            .env("CONSUL_HTTP_ADDR", https.agent.https().to_string().into())
            .env("CONSUL_HTTP_SSL", "true".into())
            .env("CONSUL_HTTP_TOKEN", token.into())
            .env("CONSUL_CACERT", https.ca.clone())
            .env("CONSUL_CLIENT_CERT", https.own.0.clone())
            .env("CONSUL_CLIENT_KEY", https.own.1.clone())
            .env("CONSUL_TLS_SERVER_NAME", "server.dc1.consul".into())
    };
    let lictor = launch(MASTER).start();
    let listening = lictor.log.wait_for("listening");
    assert_eq!(listening.field("address"), at.to_string());
}

#[test]
fn over_https_by_the_names_that_consul_gives_its_agents() {
    let Https { agent, ca, own, .. } = &Https::start(false);
    let reach = |server_name: Option<&str>, own| Reach {
        addresses: vec![Address::new(&format!("https://{}", agent.https())).unwrap()],
        tls: TlsFiles {
            ca: Some(ca.clone()),
            own,
            server_name: server_name.map(str::to_owned),
        },
        ..Reach::default()
    };
    let own = Some(own.clone());
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
        let _watch = asking
            .watches
            .watch(&std::rc::Rc::new(Question::Roots), move |event| {
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
