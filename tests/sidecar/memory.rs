//! A sidecar remembers who it is: it starts without its files, and its keys are where nobody else reads them, or nowhere.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use support::backend::Backend;
use support::client::{assert_echo, connect, ending};
use support::lab::{Gateway, TRUST_DOMAIN};
use support::pki::Mesh;
use support::process::{Launch, lictor};
use support::sidecar::{SidecarFile, replace};
use support::temp::TempDir;

/// A caller, web, of a service api, both sidecars; the caller has a state directory.
struct Lab {
    mesh: Mesh,
    _app: Backend,
    _api: Gateway,
    file: SidecarFile,
    home: Arc<TempDir>,
}

impl Lab {
    fn new() -> Self {
        let mesh = Mesh::new(TRUST_DOMAIN);
        let app = Backend::echo();
        let api = SidecarFile::new(&mesh, "api", "dc1", app.address());
        let api = api.allows("web").start();
        let file = SidecarFile::new(&mesh, "web", "dc1", app.address());
        let file = file
            .upstream("api", None)
            .instances("api", &[api.listener("public_listener")]);
        let home = Arc::new(TempDir::new());
        fs::create_dir(home.file("state")).unwrap();
        Self {
            mesh,
            _app: app,
            _api: api,
            file,
            home,
        }
    }

    fn path(&self) -> PathBuf {
        self.home.file("web.hcl")
    }

    fn state(&self, file: &str) -> PathBuf {
        self.home.file("state").join(file)
    }

    fn start(&self) -> Gateway {
        let arguments: [OsString; 3] = [
            "--state-dir".into(),
            self.home.file("state").into(),
            self.path().into(),
        ];
        Gateway::start(Launch::with(arguments).beside(Arc::clone(&self.home)))
    }

    /// Runs it on its files until it has remembered them, and takes its power.
    fn run_once(&self, file: &SidecarFile) {
        fs::write(self.path(), file.to_string()).unwrap();
        let gateway = self.start();
        gateway.lictor.log.wait_for("remembered");
        works(&gateway);
    }

    /// Its file and its certificates are gone.
    fn lose_files(&self) {
        for path in [
            self.path(),
            self.file.file("leaf.key"),
            self.file.file("roots.pem"),
        ] {
            fs::remove_file(path).unwrap();
        }
    }
}

fn works(caller: &Gateway) {
    assert_echo(&mut connect(caller.listener("api")), b"hello");
}

#[test]
fn without_its_files_it_is_still_who_it_was() {
    let lab = Lab::new();
    lab.run_once(&lab.file);
    lab.lose_files();
    let web = lab.start();
    web.lictor.log.wait_for("recalled");
    works(&web);
    assert_eq!(web.stats().value("lictor_plan_stale"), 1.0);
}

#[test]
fn keys_are_their_owners_alone_and_never_shown() {
    let lab = Lab::new();
    lab.run_once(&lab.file);
    let key = fs::read_to_string(lab.file.file("leaf.key")).unwrap();
    // Behind what all keys of the kind begin with. A blob may have any part of it as a reference to the like, but not all.
    let secret = key.lines().nth(2).unwrap();
    let parts: Vec<&str> = (0..4).map(|at| &secret[8 * at..8 * at + 8]).collect();
    let shows = |text: &str| parts.iter().any(|part| text.contains(part));
    let holds = |file: &str| {
        let bytes = fs::read(lab.state(file)).unwrap();
        shows(&String::from_utf8_lossy(&bytes))
    };
    assert!(holds("identities-1.a") && !holds("plan-1.a"));
    let mode = |file: &str| fs::metadata(lab.state(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("identities-1.a"), 0o600);
    for form in [&["inspect"][..], &["inspect", "--json"]] {
        let identities = lab.state("identities-1.a");
        let words = form.iter().map(OsString::from).chain([identities.into()]);
        let output = lictor(&words.collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("(not shown)") && !shows(&said), "{said}");
        assert!(
            said.contains("good until") || said.contains("\"good_until\":{\"web\":\"20"),
            "{said}"
        );
    }
}

#[test]
fn keys_that_shall_not_be_remembered_are_in_no_slot_and_nothing_goes_out_without_them() {
    let lab = Lab::new();
    lab.run_once(&lab.file);
    lab.run_once(&lab.file.clone().stanza("remember_identities = false"));
    for slot in ["identities-1.a", "identities-1.b"] {
        let left = fs::read(lab.state(slot)).unwrap_or_default();
        assert!(left.is_empty(), "{slot}: {} bytes", left.len());
    }
    lab.lose_files();
    let web = lab.start();
    web.lictor.log.wait_for("recalled");
    assert_eq!(ending(&mut connect(web.listener("api"))).1, b"");
    let refused = web.lictor.log.wait_for("refused");
    assert!(
        refused.field("detail").contains("remember_identities"),
        "{refused:?}"
    );
}

#[test]
fn a_certificate_replaced_in_halves_at_the_start_is_passed_over() {
    let lab = Lab::new();
    lab.run_once(&lab.file);
    let other = lab.mesh.leaf("web", "dc1");
    let leaf = fs::read_to_string(&other.certificate).unwrap();
    replace(&lab.file.file("leaf.pem"), &leaf);
    let web = lab.start();
    web.lictor.log.wait_for("recalled");
    works(&web);
    // The other half.
    let mark = web.lictor.log.mark();
    let key = fs::read_to_string(&other.key).unwrap();
    replace(&lab.file.file("leaf.key"), &key);
    web.lictor.reload();
    web.lictor.log.event_after(mark, "reloaded", |_| true);
    works(&web);
    assert_eq!(web.stats().value("lictor_plan_stale"), 0.0);
}

#[test]
fn a_compiled_sidecar_has_its_keys_beside_it_or_is_closed() {
    let lab = Lab::new();
    fs::write(lab.path(), lab.file.to_string()).unwrap();
    let blob = lab.home.file("web.blob");
    let compile = |more: &[&str]| {
        let mut words: Vec<OsString> = vec!["compile".into(), "-o".into(), blob.clone().into()];
        words.extend(more.iter().map(OsString::from));
        words.push(lab.path().into());
        let output = lictor(&words);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    compile(&["--no-identities"]);
    let run = || {
        let arguments: [OsString; 3] =
            ["--state-dir".into(), "/nowhere".into(), blob.clone().into()];
        Gateway::start(Launch::with(arguments).beside(Arc::clone(&lab.home)))
    };
    assert_eq!(ending(&mut connect(run().listener("api"))).1, b"");

    compile(&[]);
    let beside = lab.home.file("web.blob.identities");
    assert_eq!(
        fs::metadata(&beside).unwrap().permissions().mode() & 0o777,
        0o600
    );
    lab.lose_files();
    works(&run());
}
