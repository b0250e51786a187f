//! Two gateways with a bad network between them, packets late, lost and out of order, move 100 MB each
//! way without a wrong byte.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use support::client::connect;
use support::hello::Hello;
use support::lab::{Gateway, GatewayFile, sni};
use support::link::{Link, Weather};
use support::netns::Namespace;
use support::pattern::{Exchanger, PATIENCE, Pattern, exchange};
use support::process::Launch;

const FLOWS: u64 = 20;
const LENGTH: u64 = 100_000_000 / FLOWS;
const BOUND: Duration = Duration::from_secs(240);

#[test]
fn a_hundred_megabytes_each_way_arrive_whole() {
    let (one, other) = (Namespace::new(), Namespace::new());
    let delay = Duration::from_millis(100);
    let link = Link::join(
        &one,
        &other,
        Weather {
            lost: 2,
            overtake: 25,
            delay,
        },
    );
    for namespace in [&one, &other] {
        // A sender that takes every loss for a full queue would need an hour for this.
        let set = namespace.set("net/ipv4/tcp_congestion_control", "bbr");
        set.expect("a kernel with BBR (CONFIG_TCP_CONG_BBR)");
    }

    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let app = other.run(|| Exchanger::at(address, Pattern(2), Pattern(1), LENGTH));
    let file = GatewayFile::new("dc2").service("api", &[app.address()]);
    let file = file
        .address(&std::net::IpAddr::from(Link::OTHER).to_string())
        .to_string();
    let dc2 = other.run(|| Gateway::start(Launch::new(&file).inside(&other)));
    let file = GatewayFile::new("dc1")
        .datacenter("dc2", &[dc2.address()])
        .to_string();
    let dc1 = one.run(|| Gateway::start(Launch::new(&file).inside(&one)));

    let started = Instant::now();
    let gateway: SocketAddr = dc1.address();
    one.run(|| {
        thread::scope(|scope| {
            for _ in 0..FLOWS {
                scope.spawn(|| {
                    let mut stream = connect(gateway);
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    let hello = Hello::to(sni("api", "dc2")).post_quantum().bytes();
                    std::io::Write::write_all(&mut stream, &hello).unwrap();
                    exchange(&stream, Pattern(1), Pattern(2), LENGTH).unwrap();
                });
            }
        });
    });
    app.wait_for(FLOWS as usize);
    let (lasted, lost) = (started.elapsed(), link.dropped());
    println!(
        "100 MB each way in {lasted:.1?} over {}, {lost} packets lost",
        link.made_by()
    );
    assert!(lasted < BOUND, "100 MB each way took {lasted:?}");
    let stats = one.run(|| dc1.stats());
    assert_eq!(stats.refused_in_all(), 0.0);
}
