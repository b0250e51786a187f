//! Services that lictor registers with their sidecars, as a file defines them.

use std::net::SocketAddr;

use support::backend::Backend;
use support::consul::{Agent, Settings};
use support::lab::Gateway;
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
