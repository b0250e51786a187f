//! Every file in `configs/` loads, alone and without a note, and does what its comments say.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io;
use std::path::{Path, PathBuf};

use config::{Disk, Files, Format, GatewayMode, PemFile, Settings, Source, load, parse_with};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

/// Every file below `configs/`, whatever its name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("configs/ is there") {
        let path = entry.expect("a folder can be read").path();
        match path.is_dir() {
            true => found.append(&mut files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// What stands in for the certificates and keys of the examples, which are nobody's.
struct Certificates;

impl Files for Certificates {
    fn read(&self, path: &Path) -> io::Result<PemFile> {
        if path.parent().and_then(Path::file_name) != Some("certs".as_ref()) {
            return Disk.read(path);
        }
        let label = match path.to_string_lossy().ends_with("-key.pem") {
            true => "PRIVATE KEY",
            false => "CERTIFICATE",
        };
        let text = format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
        Ok(PemFile {
            text: plan::Secret::new(text),
            exposed: false,
        })
    }
}

fn read(file: &Path) -> Settings {
    let text = std::fs::read_to_string(file).expect("an example can be read");
    let source = Source {
        name: file.to_str().expect("a path in UTF-8"),
        text: &text,
        format: Format::of(file).unwrap_or_else(|| panic!("{} is no example", file.display())),
    };
    parse_with(&[source], &Certificates).unwrap_or_else(|errors| panic!("{errors}"))
}

fn example(name: &str) -> Settings {
    read(&configs().join(name))
}

/// The names of clusters of an example's one gateway.
fn clusters(settings: &Settings) -> Vec<String> {
    assert_eq!(settings.gateways.len(), 1);
    let plan = plan::gateway::plan(&settings.gateways[0], &settings.mesh);
    plan.clusters
        .into_iter()
        .map(|cluster| cluster.name.clone())
        .collect()
}

#[test]
fn every_example_loads_alone_and_without_a_note() {
    let files = files(&configs());
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let settings = read(&file);
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    }
}

#[test]
fn the_two_gateways_route_to_each_other() {
    let td = "internal.11111111-2222-3333-4444-555555555555.consul";
    let dc1 = clusters(&example("gateway-dc1.hcl"));
    for name in [
        "api.default.dc1",
        "v2.api.default.dc1",
        "db.default.dc1",
        "dc2",
    ] {
        assert!(dc1.contains(&format!("{name}.{td}")), "{name} in {dc1:?}");
    }
    let dc2 = clusters(&example("gateway-dc2.json"));
    for name in ["billing.default.dc2", "logging.default.dc2", "dc1"] {
        assert!(dc2.contains(&format!("{name}.{td}")), "{name} in {dc2:?}");
    }
}

#[test]
fn wan_federation_reaches_the_servers() {
    let clusters = clusters(&example("gateway-wan-federation.hcl"));
    for name in [
        "dc1-srv-1.server.dc1.consul",
        "server.dc2.consul",
        "server.dc3.consul",
    ] {
        assert!(
            clusters.iter().any(|cluster| cluster == name),
            "{name} in {clusters:?}"
        );
    }
}

#[test]
fn peering_exports_imports_and_carries_the_control_plane() {
    let settings = example("gateway-peering.hcl");
    assert_eq!(settings.mesh.services[1].exported_to, ["cluster-01"]);
    let clusters = clusters(&settings);
    for name in [
        "exported~metrics.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul",
        "billing.default.default.cluster-02.external.99999999-8888-7777-6666-555555555555.consul",
        "invoices.finance.default.cluster-02.external.99999999-8888-7777-6666-555555555555.consul",
        "server.dc1.peering.11111111-2222-3333-4444-555555555555.consul",
        "server.dc9.peering.99999999-8888-7777-6666-555555555555.consul",
    ] {
        assert!(
            clusters.iter().any(|cluster| cluster == name),
            "{name} in {clusters:?}"
        );
    }
}

#[test]
fn the_modes_are_those_of_the_comments() {
    let settings = example("mesh-modes.yaml");
    let modes: Vec<GatewayMode> = settings.upstreams().map(|(_, _, mode)| mode.mode).collect();
    use GatewayMode::{Local, None, Remote};
    assert_eq!(modes, [Remote, Local, None, Remote, Local]);
}

#[test]
fn the_sidecars_run_and_reach_each_other_as_their_comments_say() {
    let web = example("sidecar-web.hcl");
    assert!(web.not_run.is_empty(), "{:?}", web.not_run);
    let of_web = plan::sidecar::plan(&web.sidecar_registrations[0], &web.mesh);
    let listeners: Vec<&str> = of_web.listeners.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        listeners,
        [
            "api?dc=dc2:127.0.0.1:9191",
            "db:127.0.0.1:5432",
            "public_listener:10.0.0.21:21000"
        ]
    );
    let dialed = |name: &str| -> Vec<String> {
        let cluster = of_web.clusters.iter().find(|it| it.name.contains(name));
        let endpoints = &cluster.expect("a cluster").endpoints;
        endpoints.iter().map(|it| it.address.to_string()).collect()
    };
    assert_eq!(dialed("local_app"), ["127.0.0.1:8080"]);
    assert_eq!(dialed("~api?dc=dc2~"), ["10.0.0.1:8443"]);
    assert_eq!(dialed("~db~"), ["10.0.0.7:21000", "10.0.0.8:21000"]);

    let api = example("sidecar-api.hcl");
    assert!(api.not_run.is_empty(), "{:?}", api.not_run);
    let certs = configs().join("certs");
    assert_eq!(
        api.files,
        [
            "ca.pem",
            "ca-next.pem",
            "cluster-01.pem",
            "api.pem",
            "api-key.pem"
        ]
        .map(|name| certs.join(name))
    );
    let sidecar = &api.sidecar_registrations[0];
    assert_eq!(
        plan::sidecar::plan(sidecar, &api.mesh).identities[0].name,
        "api"
    );
    let own = "11111111-2222-3333-4444-555555555555";
    let peer = "99999999-8888-7777-6666-555555555555";
    for (domain, name, allowed) in [
        (own, "web", true),
        (own, "billing", false),
        (peer, "billing", true),
        (peer, "web", false),
    ] {
        let uri = format!("spiffe://{domain}.consul/ns/default/dc/dc1/svc/{name}");
        let client = plan::spiffe::SpiffeId::parse(&uri).expect("a SPIFFE ID");
        assert_eq!(sidecar.intentions.decide(&client).allowed, allowed, "{uri}");
    }
}

#[test]
fn a_gateway_and_a_sidecar_share_a_process() {
    let both = example("gateway-and-sidecar.hcl");
    assert_eq!((both.gateways.len(), both.not_run.len()), (1, 0));
    let [sidecar] = both.sidecar_registrations.as_slice() else {
        panic!("one sidecar")
    };
    assert_eq!(sidecar.local_app.to_string(), "/run/meter/app.sock");
    let upstreams = sidecar.upstreams.iter();
    let upstreams: Vec<_> = upstreams
        .map(|it| (it.name.as_str(), it.listen.to_string(), it.socket_mode))
        .collect();
    assert_eq!(
        upstreams,
        [
            (
                "collect?dc=dc1",
                "/run/lictor/collect.sock".to_owned(),
                Some(0o660)
            ),
            ("billing?peer=hq", "127.0.0.1:9192".to_owned(), None),
        ]
    );
    let plan = plan::sidecar::plan(sidecar, &both.mesh);
    let to = |name: &str| {
        let cluster = plan.clusters.iter().find(|it| it.name.contains(name));
        cluster.and_then(|it| it.tls.clone()).expect("TLS")
    };
    let billing = to("~billing?peer=hq~");
    let td = "99999999-8888-7777-6666-555555555555.consul";
    assert_eq!(billing.trust, td);
    assert_eq!(
        billing.server_name,
        format!("billing.default.default.field.external.{td}")
    );
    // The gateway passes on what comes for meter.
    let meter = "meter.default.edge-7.internal.11111111-2222-3333-4444-555555555555.consul";
    assert!(clusters(&both).iter().any(|it| it == meter));
}

#[test]
fn a_directory_is_read_as_one_and_in_order() {
    let folder = std::env::temp_dir().join(format!("lictor-config-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("below")).expect("a folder can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("a file can be written");
    };
    write("b.hcl", "lictor { datacenter = \"dc1\" }");
    write("a.json", "{\"lictor\": {\"trust_domain\": \"a.consul\"}}");
    write(
        "c.yml",
        "service: {name: gw, kind: mesh-gateway, port: 8443}",
    );
    for ignored in ["notes.txt", ".hidden.hcl", "d.hcl~", "below/e.hcl"] {
        write(ignored, "not = [valid");
    }
    let settings = load(std::slice::from_ref(&folder), &Disk);
    write("d.hcl", "lictor { datacenter = \"dc2\" }");
    let twice = load(std::slice::from_ref(&folder), &Disk)
        .expect_err("given twice")
        .to_string();
    write("d.hcl", &" ".repeat(config::MAX_FILE_BYTES + 1));
    let large = load(std::slice::from_ref(&folder), &Disk)
        .expect_err("too large")
        .to_string();
    let none = load(&[folder.join("below/none.hcl")], &Disk)
        .expect_err("not there")
        .to_string();
    let named = load(&[folder.join("notes.txt")], &Disk)
        .expect_err("no HCL")
        .to_string();
    write("d.hcl", "");
    // What is not there for a moment, as a volume that is mounted late, is not a file less.
    std::os::unix::fs::symlink("nowhere", folder.join("e.hcl")).expect("a link can be made");
    let dangling = load(std::slice::from_ref(&folder), &Disk);
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");

    let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        (&*settings.mesh.datacenter, settings.gateways.len()),
        ("dc1", 1)
    );
    let (b, d) = (folder.join("b.hcl"), folder.join("d.hcl"));
    let expected = format!(
        "{}:1:23: lictor.datacenter: given already at {}:1; keep one",
        d.display(),
        b.display()
    );
    assert_eq!(twice, expected);
    assert!(large.contains("larger than 1048576 bytes"), "{large}");
    assert!(none.contains("cannot be read"), "{none}");
    let dangling = dangling.expect_err("leads nowhere").to_string();
    assert!(dangling.contains("e.hcl: cannot be read"), "{dangling}");
    // A file that is named itself is read, as HCL unless its ending says otherwise.
    assert!(
        named.ends_with("notes.txt:1:8: 'valid' stands where a value should be; quote a text"),
        "{named}"
    );
}
