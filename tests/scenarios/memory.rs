//! A gateway remembers what it ran: without its files it starts all the same, says so, and goes back to them.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use support::backend::Backend;
use support::client::{assert_echo, assert_refused, echoing, greet};
use support::lab::{Gateway, GatewayFile, sni};
use support::process::Launch;
use support::temp::TempDir;
use support::wait;

use crate::resealed::resealed;

const CONFIGURATION: Option<i32> = Some(78);

/// A directory with a gateway's file and, beside it, its state.
struct Node {
    home: Arc<TempDir>,
}

impl Node {
    fn new(file: &GatewayFile) -> Self {
        let home = Arc::new(TempDir::new());
        fs::create_dir(home.file("state")).unwrap();
        let node = Self { home };
        node.rewrite(file);
        node
    }

    fn file(&self) -> PathBuf {
        self.home.file("gateway.hcl")
    }

    fn slots(&self) -> Vec<PathBuf> {
        ["plan-1.a", "plan-1.b"]
            .map(|slot| self.home.file("state").join(slot))
            .into()
    }

    /// As a careful editor does.
    fn rewrite(&self, file: &GatewayFile) {
        let aside = self.home.write("new", file.to_string());
        fs::rename(aside, self.file()).unwrap();
    }

    fn launch(&self) -> Launch {
        let arguments: [OsString; 3] = [
            "--state-dir".into(),
            self.home.file("state").into(),
            self.file().into(),
        ];
        Launch::with(arguments).beside(Arc::clone(&self.home))
    }

    fn start(&self) -> Gateway {
        Gateway::start(self.launch())
    }

    /// Runs it until it has remembered what it runs, and takes its power.
    fn run_once(&self) {
        self.start().lictor.log.wait_for("remembered");
    }
}

fn stat(gateway: &Gateway, name: &str) -> f64 {
    gateway.stats().value(name)
}

#[test]
fn without_its_files_it_runs_what_it_remembers_and_goes_back_to_them() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let node = Node::new(&file);
    node.run_once();

    fs::remove_file(node.file()).unwrap();
    let gateway = node.start();
    let event = gateway.lictor.log.wait_for("recalled");
    assert_eq!(event.field("generation"), "1");
    assert_eq!(event.field("age"), "0h0m old");
    assert!(event.field("error").contains("gateway.hcl"), "{event:?}");
    assert_eq!(stat(&gateway, "lictor_plan_stale"), 1.0);
    assert!(stat(&gateway, "lictor_plan_age_seconds") < 60.0);
    let address = gateway.address();
    let mut flow = echoing(address, &sni("web", "dc1"));

    // The file is there again, and says more.
    node.rewrite(&file.service("api", &[api.address()]));
    gateway.lictor.log.wait_for("reloaded");
    echoing(gateway.address(), &sni("api", "dc1"));
    assert_echo(&mut flow, b"lives on");
    assert_eq!(stat(&gateway, "lictor_plan_stale"), 0.0);
}

#[test]
fn a_broken_file_at_the_start_is_passed_over_and_named() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let node = Node::new(&file);
    node.run_once();
    node.rewrite(&file.limit("connections = \"many\""));
    let gateway = node.start();
    let event = gateway.lictor.log.wait_for("recalled");
    assert!(event.field("error").contains("connections"), "{event:?}");
    echoing(gateway.address(), &sni("web", "dc1"));
}

#[test]
fn what_other_files_said_is_not_run() {
    let node = Node::new(&GatewayFile::new("dc1"));
    node.run_once();
    let elsewhere = node.home.file("elsewhere.hcl");
    let arguments: [OsString; 3] = [
        "--state-dir".into(),
        node.home.file("state").into(),
        elsewhere.into(),
    ];
    let (status, said) = Launch::with(arguments).run_to_end();
    assert_eq!(status.code(), CONFIGURATION, "{said}");
    assert!(
        said.contains("not_recalled") && said.contains("gateway.hcl"),
        "{said}"
    );
    assert!(said.contains("elsewhere.hcl"), "{said}");
}

#[test]
fn nothing_remembered_is_nothing_to_run() {
    let node = Node::new(&GatewayFile::new("dc1"));
    fs::remove_file(node.file()).unwrap();
    let (status, said) = node.launch().run_to_end();
    assert_eq!(status.code(), CONFIGURATION, "{said}");
    assert!(!said.contains("recalled"), "{said}");
}

#[test]
fn a_damaged_slot_leaves_the_other_one() {
    let (old, new) = (Backend::echo(), Backend::echo());
    let file = |web: &Backend| GatewayFile::new("dc1").service("web", &[web.address()]);
    let node = Node::new(&file(&old));
    node.run_once();
    node.rewrite(&file(&new));
    node.run_once();
    fs::remove_file(node.file()).unwrap();
    let [_, newer] = node.slots().try_into().unwrap();
    let whole = fs::read(&newer).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"", &[0xff; 5000][..]] {
        fs::write(&newer, damaged).unwrap();
        let gateway = node.start();
        let event = gateway.lictor.log.wait_for("slot_unusable");
        assert!(event.field("detail").contains("plan-1.b"), "{event:?}");
        let before = old.accepted();
        echoing(gateway.address(), &sni("web", "dc1"));
        assert_eq!(old.accepted(), before + 1);
    }
    fs::write(&newer, whole).unwrap();
    let gateway = node.start();
    echoing(gateway.address(), &sni("web", "dc1"));
    assert_eq!(new.accepted(), 1);
}

#[test]
fn only_changes_are_written_and_not_one_after_another() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let node = Node::new(&file);
    node.run_once();
    let slots = || -> Vec<_> {
        node.slots()
            .iter()
            .map(|slot| fs::read(slot).ok())
            .collect()
    };
    let before = slots();

    let gateway = node.start();
    let reload = |count: u32, file: &GatewayFile| {
        let mark = gateway.lictor.log.mark();
        node.rewrite(file);
        gateway.lictor.log.event_after(mark, "reloaded", |_| true);
        let ok = "lictor_reloads_total{result=\"ok\"}";
        wait::until_true("the reload to be counted", || {
            stat(&gateway, ok) >= f64::from(count)
        });
    };
    reload(1, &file);
    let written = "lictor_state_writes_total{result=\"ok\"}";
    wait::until_true("the same again to be let go", || {
        stat(&gateway, "lictor_state_pending") == 0.0
    });
    assert_eq!((stat(&gateway, written), slots()), (0.0, before));

    for (count, name) in ["a", "b", "c"].into_iter().enumerate() {
        let more = file.clone().service(name, &[web.address()]);
        reload(u32::try_from(count).unwrap() + 2, &more);
        if count == 0 {
            gateway.lictor.log.wait_for("remembered");
        }
    }
    // One is written at once; the others wait for a minute to pass, and the last of them will be written.
    assert_eq!(stat(&gateway, written), 1.0);
    assert_eq!(stat(&gateway, "lictor_state_pending"), 1.0);
    assert_eq!(stat(&gateway, "lictor_plan_generation"), 2.0);
}

#[test]
fn a_directory_that_is_of_no_use_is_said_and_stops_nothing() {
    let web = Backend::echo();
    let file = GatewayFile::new("dc1").service("web", &[web.address()]);
    let with_state = |state: &str| file.clone().stanza(&format!("state_dir = \"{state}\""));
    let gateway = with_state("/nowhere/lictor").start();
    let event = gateway.lictor.log.wait_for("not_remembering");
    assert_eq!(event.field("directory"), "/nowhere/lictor");
    echoing(gateway.address(), &sni("web", "dc1"));

    // Memory is better than nothing: it survives a restart of the process.
    let memory = format!("/dev/shm/{}", support::temp::unique("lictor-state"));
    fs::create_dir(&memory).unwrap();
    let gateway = with_state(&memory).start();
    let event = gateway.lictor.log.wait_for("not_remembering");
    assert!(
        event.field("detail").contains("machine restarts"),
        "{event:?}"
    );
    gateway.lictor.log.wait_for("remembered");

    // It has one owner at a time.
    let second = with_state(&memory).start();
    let event = second.lictor.log.wait_for("not_remembering");
    assert!(
        event.field("detail").contains("another process"),
        "{event:?}"
    );
    echoing(second.address(), &sni("web", "dc1"));
    assert_refused(&mut greet(second.address(), &sni("api", "dc1")));
    drop((gateway, second));
    fs::remove_dir_all(memory).unwrap();
}

#[test]
fn on_a_read_only_root_it_writes_its_state_directory_and_nothing_else() {
    let web = Backend::echo();
    let node = Node::new(&GatewayFile::new("dc1").service("web", &[web.address()]));
    let state = node.home.file("state");
    for recalled in [false, true] {
        let gateway = Gateway::start(node.launch().writing_only(&state));
        if recalled {
            gateway.lictor.log.wait_for("recalled");
        } else {
            gateway.lictor.log.wait_for("remembered");
        }
        echoing(gateway.address(), &sni("web", "dc1"));
        assert!(gateway.lictor.log.events("not_remembering").is_empty());
        drop(gateway);
        if !recalled {
            fs::remove_file(node.file()).unwrap();
        }
    }
}

#[test]
fn what_a_newer_lictor_left_is_kept_aside_and_named_or_not_touched() {
    let web = Backend::echo();
    let node = Node::new(&GatewayFile::new("dc1").service("web", &[web.address()]));
    node.run_once();
    // In a slot of ours, which a newer one should not use, and in one of its own.
    let [slot, _] = node.slots().try_into().unwrap();
    let newer = newer(&fs::read(&slot).unwrap());
    fs::write(&slot, &newer).unwrap();
    let own = node.home.file("state").join("plan-2.a");
    fs::write(&own, &newer).unwrap();
    let gateway = node.start();
    let aside = gateway.lictor.log.wait_for("kept_aside");
    assert_eq!(aside.field("file"), "plan-1.a.version-9");
    let aside = node.home.file("state").join(aside.field("file"));
    assert_eq!(fs::read(aside).unwrap(), newer);
    assert_eq!(fs::read(own).unwrap(), newer);
    echoing(gateway.address(), &sni("web", "dc1"));
}

/// The same blob, whole, of version 9.
fn newer(blob: &[u8]) -> Vec<u8> {
    let mut newer = blob.to_vec();
    newer[10] = 9;
    resealed(&newer)
}
