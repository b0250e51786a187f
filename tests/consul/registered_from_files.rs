//! Services that lictor registers with their sidecars, as a file defines them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use support::backend::Backend;
use support::consul::{Agent, Settings};
use support::lab::Gateway;
use support::process::Launch;
use support::temp::TempDir;
use support::wait;

use crate::ground::{assert_not_run, flow, free, start};

/// The file of a service that listens there, with an upstream or without.
fn file(name: &str, app: SocketAddr, sidecar: SocketAddr, upstream: &str) -> String {
    format!(
        r#"
service {{
  name = "{name}"
  id = "{name}-1"
  address = "{}"
  port = {}
  meta {{ made_by = "a file" }}
  check {{ id = "{name}-alive" tcp = "{app}" interval = "1s" }}
  connect {{
    sidecar_service {{
      address = "{}"
      port = {}
      checks = [{{ name = "its service" alias_service = "{name}-1" }}]
      proxy {{ {upstream} }}
    }}
  }}
}}
"#,
        app.ip(),
        app.port(),
        sidecar.ip(),
        sidecar.port()
    )
}

#[test]
fn stay_registered_and_go_only_when_told_to() {
    let server = Agent::server();
    let mut agent = Agent::start(Settings {
        of: Some(&server),
        ..Settings::default()
    });
    let (app, home, listen) = (Backend::echo(), TempDir::new(), free(&agent));
    let upstream = format!(
        r#"upstreams {{ destination_name = "api" local_bind_address = "{}" local_bind_port = {} }}"#,
        listen.ip(),
        listen.port()
    );
    let api = home.write("api.hcl", file("api", app.address(), free(&agent), ""));
    let web = home.write(
        "web.hcl",
        file("web", app.address(), free(&agent), &upstream),
    );
    let run = |agent: &Agent, id: &str, file: &std::path::Path, more: &[&str]| -> Gateway {
        let file = file.display().to_string();
        start(
            agent,
            &[&["--sidecar-for", id, "--register", &file], more].concat(),
        )
    };
    let mut api = run(&agent, "api-1", &api, &[]);
    let mut web = run(&agent, "web-1", &web, &["--deregister"]);

    drop(flow(listen));
    let known = agent.get("/v1/agent/service/web-1");
    assert_eq!(known["Meta"]["made_by"], "a file");
    let sidecar = agent.get("/v1/agent/service/web-1-sidecar-proxy");
    assert_eq!(sidecar["Proxy"]["Upstreams"][0]["DestinationName"], "api");
    wait::until_true("the checks of both", || {
        let checks = agent.get("/v1/agent/checks");
        let passes = |id: &str| checks[id]["Status"] == "passing";
        passes("web-alive") && passes("api-alive")
    });

    // An agent that lost its data is told again, and so is one from which somebody took the sidecar.
    agent.kill();
    agent.forget();
    agent.run();
    let is_there = |agent: &Agent, id: &str| {
        let answer = agent.ask("GET", &format!("/v1/agent/service/{id}"), "");
        answer.is_some_and(|(status, _)| status == 200)
    };
    let all = [
        "web-1",
        "web-1-sidecar-proxy",
        "api-1",
        "api-1-sidecar-proxy",
    ];
    wait::until_true("both to be registered again", || {
        all.iter().all(|id| is_there(&agent, id))
    });
    agent.put("/v1/agent/service/deregister/api-1-sidecar-proxy", "");
    wait::until_true("the sidecar again", || {
        is_there(&agent, "api-1-sidecar-proxy")
    });
    drop(flow(listen));

    for proxy in [&mut web, &mut api] {
        proxy.lictor.terminate();
        proxy.lictor.wait_for_end();
    }
    let left = all.map(|id| is_there(&agent, id));
    assert_eq!(left, [false, false, true, true]);
}

#[test]
fn are_registered_again_when_the_file_says_something_else() {
    let agent = Agent::server();
    let (app, home, listen) = (Backend::echo(), TempDir::new(), free(&agent));
    let (one, other) = (free(&agent), free(&agent));
    let upstream = |listen: SocketAddr| {
        format!(
            r#"upstreams {{ destination_name = "web" local_bind_address = "{}" local_bind_port = {} }}"#,
            listen.ip(),
            listen.port()
        )
    };
    let path = home.write("web.hcl", file("web", app.address(), one, ""));
    let words = path.display().to_string();
    let web = start(&agent, &["--sidecar-for", "web-1", "--register", &words]);
    let log = &web.lictor.log;
    log.wait_for("registered");
    let port = || agent.get("/v1/agent/service/web-1-sidecar-proxy")["Port"].clone();
    assert_eq!(port(), one.port());
    let checks = || agent.get("/v1/agent/checks");
    assert!(checks()["web-alive"].is_object());

    // A file that cannot be used changes nothing there either, and neither does one that says the same.
    for useless in ["service {", &file("db", app.address(), other, "")] {
        let mark = log.mark();
        home.write("web.hcl", useless);
        log.event_after(mark, "reload_refused", |_| true);
    }
    let mark = log.mark();
    home.write("web.hcl", file("web", app.address(), one, "") + "\n\n");
    log.event_after(mark, "reloaded", |_| true);

    let changed = file("web", app.address(), other, &upstream(listen));
    let changed = changed
        .replace("web-alive", "web-answers")
        .replace("a file", "another");
    home.write("web.hcl", &changed);
    log.event_after(mark, "registered", |_| true);
    assert_eq!(log.events("registered").len(), 2);
    assert_eq!(port(), other.port());
    let known = agent.get("/v1/agent/service/web-1");
    assert_eq!(known["Meta"]["made_by"], "another");
    let checks = checks();
    assert!(checks["web-answers"].is_object() && checks["web-alive"].is_null());
    // It runs by that, as by any other change in Consul: itself is what it calls.
    drop(flow(listen));
}

#[test]
fn are_registered_once_their_file_is_back_when_memory_stands_in_for_it() {
    let agent = Agent::server();
    let (app, home) = (Backend::echo(), Arc::new(TempDir::new()));
    let whole = file("web", app.address(), free(&agent), "");
    let web = home.write("web.hcl", &whole);
    std::fs::create_dir(home.file("state")).expect("a directory can be made");
    let state = home.file("state").display().to_string();
    let own = home.write("own.hcl", r#"lictor { admin = "127.0.0.1:0" }"#);
    let http = agent.http().to_string();
    let start = || {
        let words = ["--sidecar-for", "web-1", "--register", "--http-addr", &http];
        let words = words.into_iter().chain(["--state-dir", &state]);
        let files = [&web, &own].map(|path| path.clone().into_os_string());
        let launch = Launch::with(words.map(OsString::from).chain(files));
        Gateway::start(launch.beside(Arc::clone(&home)))
    };
    let first = start();
    first.lictor.log.wait_for("remembered");
    drop(first);
    agent.put("/v1/agent/service/deregister/web-1", "");

    home.write("web.hcl", "service {");
    let second = start();
    let log = &second.lictor.log;
    log.wait_for("recalled");
    assert_eq!(log.events("registered").len(), 0);
    home.write("web.hcl", &whole);
    log.wait_for("registered");
    assert_eq!(agent.get("/v1/agent/service/web-1")["Service"], "web");
}

#[test]
fn need_a_definition_and_an_agent() {
    let home = TempDir::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 1));
    let web = home
        .write("web.hcl", file("web", any, any, ""))
        .display()
        .to_string();
    for (arguments, why) in [
        (
            &["--sidecar-for", "db", "--register"][..],
            "no file defines a service db with connect { sidecar_service { } }",
        ),
        (
            &["--sidecar-for", "web-1", "--register", "--agentless", &web],
            "registered at a local agent",
        ),
        (
            &["--sidecar-for", "web-1", "--deregister", &web],
            "--deregister goes with --register",
        ),
        (
            &["--register", "--proxy-id", "web-1"],
            "--register goes with --gateway mesh, or with --sidecar-for",
        ),
    ] {
        assert_not_run(arguments, why);
    }
}
