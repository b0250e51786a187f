//! `lictor explain --upstream` says all that decides where an app's connections go: the mode and who
//! decided it, the chain, whom it accepts by which name, who is dialed and how one is chosen.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::process::{Launch, lictor};
use support::sidecar::SidecarFile;
use support::temp::TempDir;

#[test]
fn everything_that_decides_about_an_upstream_is_told() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let file = SidecarFile::new(&mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    let file = file
        .upstream("api", Some(("dc2", "local")))
        .entry(
            "{ kind = \"service-splitter\" name = \"api\" splits = [{ weight = 90 }, { weight = 10 service_subset = \"v2\" }] }",
        )
        .entry(
            "{ kind = \"service-resolver\" name = \"api\" subsets { v2 { } } load_balancer { policy = \"maglev\" }
               failover = { \"*\" = { datacenters = [\"dc1\"] } } }",
        )
        .entry(
            "{ kind = \"service-defaults\" name = \"web\" upstream_config { defaults { connect_timeout_ms = 1500
               limits { max_connections = 7 } passive_health_check { max_failures = 3 } } } }",
        )
        .stanza("gateways = [{ address = \"10.0.0.9:8443\" weight = 2 }]")
        .stanza("datacenter \"dc2\" { gateways = [\"192.0.2.7:443\"] }")
        .stanza("service \"api\" { endpoints = [{ address = \"10.0.0.7:1\" health = \"critical\" }] subset \"v2\" { } }");
    let home = TempDir::new();
    let written = home.write("web.hcl", file.to_string());
    let arguments = ["explain".into(), "--upstream".into(), "api".into(), written];
    let output = lictor(&arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    // A process that runs says the same, and what becomes of a server name.
    let running = file.start();
    let admin = running.admin().0.to_string();
    let output = lictor(&["explain", "--upstream", "api", "--admin", &admin]);
    let by_process = String::from_utf8_lossy(&output.stdout);
    assert!(
        by_process.starts_with("without it   goes on for "),
        "{by_process}"
    );
    // Beside how long it goes on, and in which file it stands.
    let without_places = |text: &str| {
        let own = |line: &str| line.starts_with("mode ") || line.starts_with("without it ");
        let lines = text.lines().filter(|line| !own(line));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        without_places(&by_process),
        without_places(&said),
        "{output:?}"
    );
    let output = lictor(&["explain", "--sni", "example.com", "--admin", &admin]);
    let name = String::from_utf8_lossy(&output.stdout);
    assert!(name.contains("server name  example.com\n"), "{output:?}");
    let output = lictor(&["explain", "--upstream", "none", "--admin", &admin]);
    let none = String::from_utf8_lossy(&output.stdout);
    assert!(
        none.ends_with("no upstream has the destination none\n"),
        "{none}"
    );
    drop(running);
    let output = lictor(&["explain", "--upstream", "api", "--admin", &admin]);
    let nobody = String::from_utf8_lossy(&output.stderr);
    assert!(
        nobody.contains("does a lictor run with that admin address"),
        "{output:?}"
    );
    for part in [
        "mode         local by upstream definition",
        "chain        api in dc2, through the gateways here",
        "             else api in dc1, directly",
        "chain        subset v2 of api in dc2, through the gateways here",
        "share        90.00 % of the connections",
        "share        10.00 %",
        &format!("server name  v2.api.default.dc2.internal.{TRUST_DOMAIN}"),
        &format!("accepts      {}", mesh.spiffe_id("api", "dc2")),
        &format!("accepts      {}", mesh.spiffe_id("api", "dc1")),
        "failover 1   while none of the above can be used",
        "endpoint     10.0.0.9:8443  weight 2  healthy",
        "endpoint     10.0.0.7:1  weight 1  unhealthy",
        "policy       maglev by the client's address",
        "timeout      1.5s to connect",
        "limit        7 connections",
        "ejection     after 3 failures in a row for 30s",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_process_is_asked_by_a_unix_socket_that_only_its_group_may_use() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let home = TempDir::new();
    let socket = home.file("admin.sock");
    let address = format!("unix://{}", socket.display());
    let file = SidecarFile::new(&mesh, "web", "dc1", ([127, 0, 0, 1], 9).into());
    let file = file.upstream("api", None);
    let text = file.to_string().replace("127.0.0.1:0", &address);
    let mut running = Launch::new(&text).start();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let ask = || lictor(&["explain", "--upstream", "api", "--admin", &address]);
    let output = ask();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("upstream     api of web"), "{output:?}");
    running.terminate();
    assert!(running.wait_for_end().success());
    assert!(!socket.exists());
    let output = ask();
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
}
