//! The resolver against a nameserver of the test's own, over real sockets on the loopback
//! interface.

mod server;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::LocalExecutor;
use wire::dns::{self, HostName};

use crate::{Config, Error, Failure, Pace, Resolver};
use server::{Over, Question, Reply, Server, alias, record};

const NAME: &str = "gw.dc2.example";

/// Long enough that no test meets it by accident.
const PATIENT: Duration = Duration::from_secs(30);

/// Short enough to wait for on purpose.
const HASTY: Duration = Duration::from_millis(100);

fn run<T>(test: impl AsyncFnOnce(&LocalExecutor<'static>) -> T) -> T {
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(test(&executor)))
}

fn resolver(nameservers: &[SocketAddr], timeout: Duration) -> Resolver {
    let config = Config {
        nameservers: nameservers.to_vec(),
        timeout,
        attempts: 2,
        hosts: String::from("192.0.2.9 local.example\n2001:db8::9 local.example\n"),
    };
    let millis = Duration::from_millis;
    let pace = Pace {
        ttl: (millis(20), Duration::from_secs(600)),
        retry: (millis(10), millis(40)),
    };
    Resolver::new(config, pace)
}

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

async fn resolved(resolver: &Resolver, host: &str) -> Result<Vec<String>, Error> {
    let answer = resolver.resolve(&name(host)).await?;
    Ok(answer.addresses.iter().map(ToString::to_string).collect())
}

/// The answer that most tests look for.
fn good(question: &Question) -> Reply {
    vec![question.addresses(60, &["192.0.2.1", "192.0.2.2", "2001:db8::1"])]
}

const GOOD: [&str; 3] = ["2001:db8::1", "192.0.2.1", "192.0.2.2"];

/// A socket that takes queries and says nothing.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn both_families_are_asked_and_interleaved() {
    run(async |executor| {
        let server = Server::start(executor, good);
        let resolver = resolver(&[server.address], PATIENT);
        let answer = resolver.resolve(&name(NAME)).await.unwrap();
        let addresses: Vec<_> = answer.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, GOOD);
        assert_eq!(answer.ttl, Duration::from_secs(60));
        let asked = server.asked.borrow();
        assert_eq!((server.count(1), server.count(28)), (1, 1));
        assert!(asked.iter().all(|asked| asked.name == NAME && asked.edns));
        assert_ne!(asked[0].port, asked[1].port, "each query has its own port");
    });
}

#[test]
fn the_ttl_is_the_least_and_is_kept_within_bounds() {
    run(async |executor| {
        for (v4, v6, expected) in [
            (60, 30, Duration::from_secs(30)),
            (0, 30, Duration::from_millis(20)),
            (4000, 4001, Duration::from_secs(600)),
        ] {
            let server = Server::start(executor, move |question| {
                let ttl = if question.kind == 1 { v4 } else { v6 };
                vec![question.addresses(ttl, &["192.0.2.1", "2001:db8::1"])]
            });
            let resolver = resolver(&[server.address], PATIENT);
            assert_eq!(resolver.resolve(&name(NAME)).await.unwrap().ttl, expected);
        }
    });
}

#[test]
fn aliases_are_followed() {
    run(async |executor| {
        let server = Server::start(executor, |question| {
            let records = [
                alias(NAME, 60, "a.example"),
                alias("a.example", 60, "b.example"),
                record("b.example", 60, "192.0.2.7").1,
                record("other.example", 60, "192.0.2.66").1,
            ];
            let shown = if question.kind == 1 { 4 } else { 2 };
            vec![question.response(0, &records[..shown])]
        });
        let resolver = resolver(&[server.address], PATIENT);
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), ["192.0.2.7"]);
    });
}

#[test]
fn a_name_that_does_not_exist_is_final_and_the_next_server_is_not_asked() {
    run(async |executor| {
        let first = Server::start(executor, |question| vec![question.response(3, &[])]);
        let second = Server::start(executor, good);
        let resolver = resolver(&[first.address, second.address], PATIENT);
        let refused = resolved(&resolver, NAME).await.unwrap_err();
        assert!(matches!(refused, Error::NoSuchName), "{refused}");
        assert_eq!(second.asked.borrow().len(), 0);
    });
}

#[test]
fn a_name_without_addresses_is_told_apart() {
    run(async |executor| {
        let server = Server::start(executor, |question| vec![question.response(0, &[])]);
        let resolver = resolver(&[server.address], PATIENT);
        let refused = resolved(&resolver, NAME).await.unwrap_err();
        assert!(matches!(refused, Error::NoAddress), "{refused}");
    });
}

#[test]
fn after_a_failure_the_next_server_is_asked() {
    run(async |executor| {
        let first = Server::start(executor, |question| vec![question.response(2, &[])]);
        let second = Server::start(executor, good);
        let resolver = resolver(&[first.address, second.address], PATIENT);
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
        assert_eq!((first.count(1), second.count(1)), (1, 1));
    });
}

#[test]
fn after_silence_the_next_server_is_asked() {
    run(async |executor| {
        let (_socket, address) = silent();
        let second = Server::start(executor, good);
        let resolver = resolver(&[address, second.address], HASTY);
        let start = Instant::now();
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
        assert!(start.elapsed() >= HASTY);
    });
}

#[test]
fn a_server_that_is_not_there_costs_no_time() {
    run(async |executor| {
        let (socket, address) = silent();
        drop(socket);
        let second = Server::start(executor, good);
        let resolver = resolver(&[address, second.address], PATIENT);
        let start = Instant::now();
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
        assert!(start.elapsed() < PATIENT);
    });
}

#[test]
fn silence_of_all_is_told_after_every_attempt() {
    run(async |_| {
        let (socket, address) = silent();
        let resolver = resolver(&[address], HASTY);
        let refused = resolved(&resolver, NAME).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(
            matches!(refused, Error::NoAnswer { nameserver, reason: Failure::Silent } if nameserver == address)
        );
        // Two families, two attempts.
        socket.set_nonblocking(true).unwrap();
        let asked = std::iter::from_fn(|| socket.recv(&mut [0; 512]).ok()).count();
        assert_eq!(asked, 4);
    });
}

#[test]
fn an_answer_that_does_not_fit_is_fetched_over_tcp() {
    run(async |executor| {
        let server = Server::start(executor, |question| match question.over {
            Over::Udp => vec![question.truncated()],
            Over::Tcp => good(question),
        });
        let resolver = resolver(&[server.address], PATIENT);
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
    });
}

#[test]
fn forged_and_senseless_responses_are_passed_over_while_waiting() {
    run(async |executor| {
        let server = Server::start(executor, |question| {
            let mut replies = vec![
                question.with_another_id(60, "192.0.2.66"),
                question.with_another_name(60, "192.0.2.66"),
                b"?".to_vec(),
                question.response(0, &[b"\0".to_vec()]),
            ];
            replies.extend(good(question));
            replies
        });
        let resolver = resolver(&[server.address], PATIENT);
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
        assert_eq!(server.count(1), 1);
    });
}

#[test]
fn nonsense_alone_is_told_as_such() {
    run(async |executor| {
        let server = Server::start(executor, |_| vec![b"?".to_vec()]);
        let resolver = resolver(&[server.address], HASTY);
        let refused = resolved(&resolver, NAME).await.unwrap_err();
        assert!(
            matches!(
                refused,
                Error::NoAnswer {
                    reason: Failure::Response(dns::Error::Malformed(_)),
                    ..
                }
            ),
            "{refused}"
        );
    });
}

#[test]
fn a_server_that_knows_no_edns_is_asked_without() {
    for code in [1, 4] {
        run(async move |executor| {
            let server = Server::start(executor, move |question| match question.edns {
                true => vec![question.response(code, &[])],
                false => good(question),
            });
            let resolver = resolver(&[server.address], PATIENT);
            assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD);
        });
    }
}

#[test]
fn a_family_without_an_answer_does_not_hold_up_the_other() {
    run(async |executor| {
        let server = Server::start(executor, |question| match question.kind {
            1 => good(question),
            _ => Vec::new(),
        });
        let resolver = resolver(&[server.address], PATIENT);
        let start = Instant::now();
        assert_eq!(resolved(&resolver, NAME).await.unwrap(), GOOD[1..]);
        assert!(start.elapsed() < PATIENT);
    });
}

#[test]
fn the_hosts_file_and_localhost_need_no_nameserver() {
    run(async |_| {
        let resolver = resolver(&[], PATIENT);
        let known = ["2001:db8::9", "192.0.2.9"];
        assert_eq!(resolved(&resolver, "Local.example").await.unwrap(), known);
        for host in ["localhost", "a.localhost"] {
            let here = ["::1", "127.0.0.1"];
            assert_eq!(resolved(&resolver, host).await.unwrap(), here);
        }
        let refused = resolved(&resolver, "notlocalhost").await.unwrap_err();
        assert!(matches!(refused, Error::NoSuchName), "{refused}");
    });
}

/// What a watcher was told: addresses, and whether asking fails.
type Told = Rc<RefCell<Vec<(Vec<String>, bool)>>>;

/// Watches until `enough` says so.
async fn watched(resolver: &Resolver, enough: impl Fn(&Told) -> bool) -> Told {
    let told = Told::default();
    let host = name(NAME);
    let watch = async {
        resolver
            .watch(&host, |update| {
                let addresses = update.addresses.iter().map(ToString::to_string);
                told.borrow_mut()
                    .push((addresses.collect(), update.failure.is_some()));
            })
            .await;
    };
    smol::future::or(watch, until(|| enough(&told))).await;
    told
}

/// Waits for something to become true in another task.
fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    smol::future::poll_fn(move |context| {
        if condition() {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
}

/// A server that answers each round by its number, counted by the A queries.
fn in_rounds(
    executor: &LocalExecutor<'static>,
    answer: impl Fn(usize, &Question) -> Vec<u8> + 'static,
) -> Server {
    let round = Cell::new(0);
    Server::start(executor, move |question| {
        if question.kind != 1 {
            return vec![question.response(0, &[])];
        }
        round.set(round.get() + 1);
        vec![answer(round.get(), question)]
    })
}

fn told(addresses: &[&str], failing: bool) -> (Vec<String>, bool) {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    (addresses, failing)
}

#[test]
fn a_watched_name_is_asked_for_again_and_only_changes_are_told() {
    run(async |executor| {
        let server = in_rounds(executor, |round, question| match round {
            // The order alone is no change.
            1 => question.addresses(0, &["192.0.2.1", "192.0.2.2"]),
            2 | 3 => question.addresses(0, &["192.0.2.2", "192.0.2.1"]),
            _ => question.addresses(0, &["192.0.2.3"]),
        });
        let resolver = resolver(&[server.address], PATIENT);
        let heard = watched(&resolver, |_| server.count(1) >= 6).await;
        let expected = [
            told(&["192.0.2.1", "192.0.2.2"], false),
            told(&["192.0.2.3"], false),
        ];
        assert_eq!(*heard.borrow(), expected);
    });
}

#[test]
fn the_last_good_answer_is_kept_through_failures() {
    run(async |executor| {
        let server = in_rounds(executor, |round, question| match round {
            1 | 6.. => question.addresses(0, &["192.0.2.1"]),
            2 => question.response(3, &[]),
            // Each attempt counts as a round.
            _ => question.response(2, &[]),
        });
        let resolver = resolver(&[server.address], PATIENT);
        let heard = watched(&resolver, |_| server.count(1) >= 8).await;
        let expected = [
            told(&["192.0.2.1"], false),
            told(&["192.0.2.1"], true),
            told(&["192.0.2.1"], false),
        ];
        assert_eq!(*heard.borrow(), expected);
    });
}

#[test]
fn a_name_that_never_resolved_is_told_once_without_addresses() {
    run(async |executor| {
        let server = in_rounds(executor, |_, question| question.response(3, &[]));
        let resolver = resolver(&[server.address], PATIENT);
        let heard = watched(&resolver, |_| server.count(1) >= 4).await;
        assert_eq!(*heard.borrow(), [told(&[], true)]);
    });
}
