//! Instances come and go all the time, and no connection fails: behind a sidecar that dials them, and behind a gateway that
//! leads another datacenter to them.
//!
//! Each instance that comes has an address of its own, and is what a well-behaved operator makes of it: it listens before it is
//! registered, and goes on serving for [`GRACE`] after it was deregistered; then nothing listens there any more.
//! Fifteen seconds long; `LICTOR_CHURN_SECONDS` says another time, such as 600.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::consul::Agent;
use support::instances::Door;
use support::lab::Gateway;

use crate::ground::{
    flow, free, register, register_gateway, sidecar, start, try_flow, two_datacenters, upstream,
};

/// From when an instance is deregistered until it listens no more. Much longer than what is tested takes, much shorter than what
/// a rolling update allows.
const GRACE: Duration = Duration::from_secs(3);

/// Between one instance that comes and the next.
const PACE: Duration = Duration::from_millis(150);

/// Instances of a service that are registered at a time.
const AT_A_TIME: usize = 3;

/// Threads with one connection after the other, for each service.
const CALLERS: usize = 2;

/// Between the end of a connection and the next.
const PAUSE: Duration = Duration::from_millis(10);

/// The instances of a service, which come and go: each another address that leads to the one sidecar.
struct Instances<'a> {
    agent: &'a Agent,
    service: &'static str,
    sidecar: SocketAddr,
    count: usize,
    registered: VecDeque<(String, Door)>,
    leaving: VecDeque<(Instant, Door)>,
    /// How many there were that never had a connection.
    unused: usize,
}

impl<'a> Instances<'a> {
    /// The sidecar itself is not to be dialed: whoever comes must come by one of the instances.
    fn of(agent: &'a Agent, service: &'static str, sidecar: SocketAddr) -> Self {
        let mut instances = Self {
            agent,
            service,
            sidecar,
            count: 0,
            registered: VecDeque::new(),
            leaving: VecDeque::new(),
            unused: 0,
        };
        for _ in 0..AT_A_TIME {
            instances.come();
        }
        let own = format!("/v1/agent/service/maintenance/{service}-1-sidecar-proxy?enable=true");
        agent.put(&own, "");
        instances
    }

    fn come(&mut self) {
        let IpAddr::V4(own) = self.agent.http().ip() else {
            unreachable!("agents have such addresses")
        };
        let door = Door::open(own, self.sidecar);
        self.count += 1;
        let (service, id) = (self.service, format!("{}-{}", self.service, self.count + 1));
        let address = door.address();
        self.agent.put(
            "/v1/agent/service/register",
            &format!(
                r#"{{"Kind":"connect-proxy","Name":"{service}-sidecar-proxy","ID":"{id}","Address":"{}","Port":{},
                "Proxy":{{"DestinationServiceName":"{service}"}}}}"#,
                address.ip(),
                address.port()
            ),
        );
        self.registered.push_back((id, door));
    }

    fn go(&mut self) {
        if let Some((id, door)) = self.registered.pop_front() {
            let path = format!("/v1/agent/service/deregister/{id}");
            self.agent.put(&path, "");
            self.leaving.push_back((Instant::now() + GRACE, door));
        }
        while let Some((until, _)) = self.leaving.front()
            && *until < Instant::now()
        {
            let gone = self.leaving.pop_front();
            self.unused += usize::from(gone.is_some_and(|(_, door)| door.passed() == 0));
        }
    }
}

/// What became of the connections to one service.
#[derive(Default)]
struct Calls {
    made: usize,
    failed: usize,
    slowest: Duration,
}

fn call(listen: SocketAddr, ended: &AtomicBool, calls: &Mutex<Calls>) {
    while !ended.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let worked = try_flow(listen).is_some();
        let mut calls = calls.lock().expect("no caller panics");
        calls.made += 1;
        calls.failed += usize::from(!worked);
        calls.slowest = calls.slowest.max(begun.elapsed());
        drop(calls);
        thread::sleep(PAUSE);
    }
}

/// A service with one sidecar and no instance yet; gives where that listens.
fn serve(agent: &Agent, service: &'static str, app: &Backend) -> (Gateway, SocketAddr) {
    let at = register(agent, service, app.address(), "");
    (sidecar(agent, service), at)
}

#[test]
fn no_connection_fails_while_instances_come_and_go() {
    let length = std::env::var("LICTOR_CHURN_SECONDS").map(|text| text.parse());
    let length = Duration::from_secs(length.map_or(15, |text| text.expect("a number of seconds")));
    let (dc1, dc2) = two_datacenters();
    let app = Backend::echo();
    register_gateway(&dc1);
    register_gateway(&dc2);
    let (_near, near_at) = serve(&dc1, "near", &app);
    let (_far, far_at) = serve(&dc2, "far", &app);
    let mut churning = [
        Instances::of(&dc1, "near", near_at),
        Instances::of(&dc2, "far", far_at),
    ];
    let [near, far] = [(); 2].map(|()| free(&dc1));
    let local = r#","Datacenter":"dc2","MeshGateway":{"Mode":"local"}"#;
    let upstreams = format!(
        r#","Upstreams":[{},{}]"#,
        upstream("near", near, ""),
        upstream("far", far, local)
    );
    register(&dc1, "web", free(&dc1), &upstreams);
    let web = sidecar(&dc1, "web");
    let gateways = [
        start(&dc1, &["--gateway", "mesh"]),
        start(&dc2, &["--gateway", "mesh"]),
    ];
    // All ways are known before the first connection counts.
    drop((flow(near), flow(far)));

    let memory = |proxy: &Gateway| proxy.lictor.proc().rss_anon();
    let before = [&web, &gateways[0], &gateways[1]].map(memory);
    let refused = || [&web, &gateways[0], &gateways[1]].map(|it| it.stats().refused_in_all());
    // Until a gateway knew of the other datacenter, it refused.
    let refused_before = refused();
    let ended = AtomicBool::new(false);
    let calls: [Mutex<Calls>; 2] = Default::default();
    thread::scope(|scope| {
        for (listen, calls) in [near, far].into_iter().zip(&calls) {
            for _ in 0..CALLERS {
                let ended = &ended;
                scope.spawn(move || call(listen, ended, calls));
            }
        }
        let end = Instant::now() + length;
        while Instant::now() < end {
            thread::sleep(PACE);
            for instances in &mut churning {
                instances.come();
                instances.go();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    for (instances, calls) in churning.iter().zip(calls) {
        let calls = calls.into_inner().expect("no caller panicked");
        println!(
            "{}: {} connections, {} failed, the slowest {:?}; {} instances came, {} without a connection",
            instances.service,
            calls.made,
            calls.failed,
            calls.slowest,
            instances.count,
            instances.unused
        );
        assert_eq!(calls.failed, 0);
        // They were in use, and what was done was learned: most had a connection.
        assert!(calls.made > instances.count && instances.unused * 2 < instances.count);
    }
    let after = [&web, &gateways[0], &gateways[1]].map(memory);
    println!("anonymous memory before and after, of web and both gateways: {before:?} {after:?}");
    assert_eq!(refused(), refused_before);
}
