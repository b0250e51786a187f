//! A sidecar on a board whose clock is wrong: it joins the mesh all the same, and believes nothing that has expired.

use std::net::TcpStream;

use support::backend::Backend;
use support::client::{assert_echo, connect, ending};
use support::clock::WrongClock;
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pki::Mesh;
use support::sidecar::SidecarFile;

const DAY: i64 = 24 * 3600;

/// A caller, web, whose clock is wrong, of a service api whose clock is right. Their leaves were issued now, for three days.
struct Lab {
    mesh: Mesh,
    file: SidecarFile,
    api: Gateway,
    web: Gateway,
    _app: Backend,
}

fn lab(clock: &WrongClock) -> Lab {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let app = Backend::echo();
    let file = SidecarFile::new(&mesh, "api", "dc1", app.address()).allows("web");
    let api = file.start();
    let web = SidecarFile::new(&mesh, "web", "dc1", app.address())
        .upstream("api", None)
        .instances("api", &[api.listener("public_listener")]);
    let web = Gateway::start(clock.worn_by(web.launch()));
    Lab {
        mesh,
        file,
        api,
        web,
        _app: app,
    }
}

impl Lab {
    fn call(&self) -> TcpStream {
        let mut stream = connect(self.web.listener("api"));
        assert_echo(&mut stream, b"hello");
        stream
    }

    fn assert_refused(&self, why: &str) {
        let mark = self.web.lictor.log.mark();
        assert_eq!(ending(&mut connect(self.web.listener("api"))).1, b"");
        let event = self.web.lictor.log.event_after(mark, "refused", |_| true);
        assert!(event.field("detail").contains(why), "{event:?}");
    }
}

#[test]
fn in_1970_it_joins_the_mesh() {
    let clock = WrongClock::in_1970();
    let lab = lab(&clock);
    let log = &lab.web.lictor.log;
    let line = log.wait_for_line("the clock", |line| line.contains("clock_behind"));
    assert!(line.starts_with("1970-01-01T00:0"), "{line}");
    assert_eq!(lab.web.stats().value("lictor_clock_behind"), 1.0);
    lab.call();
    // The peer's certificate is renewed: it is later than anything this board has seen.
    lab.file.identify(&lab.mesh.leaf("api", "dc1"));
    lab.api.lictor.reload();
    lab.api.lictor.log.wait_for("reloaded");
    lab.call();
}

#[test]
fn a_day_behind_it_goes_by_when_its_own_certificate_was_issued() {
    let lab = lab(&WrongClock::by(-DAY));
    lab.web.lictor.log.wait_for("ready");
    lab.call();
}

#[test]
fn ahead_it_refuses_new_calls_and_back_again_takes_them() {
    let clock = WrongClock::by(0);
    let lab = lab(&clock);
    let mut live = lab.call();
    for ahead in [4 * DAY, 365 * DAY] {
        clock.set(ahead);
        lab.assert_refused("expired");
        assert_echo(&mut live, b"lives on");
        clock.set(0);
        lab.call();
    }
    clock.set(-400 * DAY);
    lab.call();
    assert_eq!(lab.web.stats().value("lictor_clock_behind"), 1.0);
    clock.set(0);
    assert_eq!(lab.web.stats().value("lictor_clock_behind"), 0.0);
    assert_echo(&mut live, b"lives on");
}
