//! The commands by which an operator asks without running anything, and the exit codes that scripts
//! and service managers go by.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use support::lab::{GatewayFile, sni};
use support::process::{Launch, binary, lictor};
use support::temp::TempDir;

const USAGE: Option<i32> = Some(64);
const SYSTEM: Option<i32> = Some(70);
const CONFIGURATION: Option<i32> = Some(78);

fn gateway_file() -> String {
    let file = GatewayFile::new("dc1").service("web", &["10.0.0.1:20000", "10.0.0.2:20000"]);
    file.datacenter("dc2", &["198.51.100.7:8443"]).to_string()
}

/// Runs a command on a file with this content; gives its output and the file's path.
fn on_file(command: &[&str], content: &str) -> (Output, String) {
    let home = TempDir::new();
    let path = home
        .write("gateway.hcl", content)
        .to_string_lossy()
        .into_owned();
    let arguments: Vec<&str> = command.iter().copied().chain([path.as_str()]).collect();
    (lictor(&arguments), path)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_says_what_would_run() {
    let (output, _) = on_file(&["check"], &gateway_file());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in [
        "web",
        "10.0.0.1:20000",
        "dc2",
        "198.51.100.7:8443",
        "default",
    ] {
        assert!(said.contains(part), "nothing of {part} in:\n{said}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let home = TempDir::new();
    let file = home.write("gateway.hcl", gateway_file());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(binary());
    command.arg("check").arg(file).stdout(writer);
    let output = command.output().unwrap();
    // SIGPIPE, as of any program before `head` (signal(7)).
    assert_eq!(output.status.signal(), Some(13), "{output:?}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn check_takes_a_directory_of_files() {
    let home = TempDir::new();
    home.write("gateway.hcl", gateway_file());
    home.write(
        "more.json",
        r#"{"lictor": {"service": {"api": {"endpoints": ["10.0.0.3:1"]}}}}"#,
    );
    home.write("README.txt", "not for lictor");
    let output = lictor(&["check", &home.path().to_string_lossy()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("10.0.0.3:1"), "{output:?}");
}

#[test]
fn check_refuses_with_file_line_and_key() {
    let good = gateway_file();
    let line_of = |text: &str, part: &str| {
        1 + text
            .lines()
            .position(|line| line.contains(part))
            .expect("the part is there")
    };
    let bad = [
        (
            good.replace("trust_domain", "trust_domian"),
            "trust_domian",
            "trust_domain",
        ),
        (
            good.replace("198.51.100.7:8443", "198.51.100.7"),
            "198.51.100.7",
            "port",
        ),
        (
            good.replace("lictor {", "lictor {\n limits { connections = \"many\" }"),
            "many",
            "connections",
        ),
    ];
    for (content, part, says) in bad {
        let (output, path) = on_file(&["check"], &content);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), CONFIGURATION, "{said}");
        let place = format!("{path}:{}:", line_of(&content, part));
        assert!(said.contains(&place), "no {place} in: {said}");
        assert!(said.contains(says), "no {says} in: {said}");
    }
}

#[test]
fn run_refuses_a_bad_file_as_check_does() {
    let content = gateway_file().replace("trust_domain", "trust_domian");
    let (status, said) = Launch::new(&content).run_to_end();
    assert_eq!(status.code(), CONFIGURATION, "{said}");
    assert!(
        said.contains("gateway.hcl:") && said.contains("trust_domian"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_not_there_is_a_configuration_error_that_names_it() {
    for command in ["check", "run"] {
        let output = lictor(&[command, "/nowhere/gateway.hcl"]);
        assert_eq!(output.status.code(), CONFIGURATION, "{output:?}");
        assert!(
            text(&output.stderr).contains("/nowhere/gateway.hcl"),
            "{output:?}"
        );
    }
}

#[test]
fn a_taken_address_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let file = GatewayFile::new("dc1").port(address.port());
    let (status, said) = Launch::new(&file.to_string()).run_to_end();
    assert_eq!(status.code(), SYSTEM, "{said}");
    assert!(
        said.contains(&address.to_string()),
        "no {address} in: {said}"
    );
    assert!(said.to_lowercase().contains("in use"), "{said}");
}

#[test]
fn explain_says_where_a_server_name_goes_and_why() {
    let (output, _) = on_file(&["explain", "--sni", &sni("web", "dc1")], &gateway_file());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.contains("10.0.0.1:20000") && said.contains("10.0.0.2:20000"),
        "{said}"
    );

    let (output, _) = on_file(&["explain", "--sni", &sni("any", "dc2")], &gateway_file());
    let said = text(&output.stdout);
    assert!(
        said.contains("198.51.100.7:8443") && said.contains("*.dc2.internal."),
        "{said}"
    );

    let (output, _) = on_file(&["explain", "--sni", &sni("other", "dc1")], &gateway_file());
    let said = text(&output.stdout);
    assert!(
        said.contains("closed") && !said.contains("10.0.0.1"),
        "{said}"
    );
}

#[test]
fn explain_says_which_level_decides_the_mode_of_an_upstream() {
    let service = "service {\n name = \"web\"\n port = 80\n connect { sidecar_service { proxy {\n \
        upstreams = [{ destination_name = \"api\"\n datacenter = \"dc2\"\n local_bind_port = 1\n \
        mesh_gateway { mode = \"local\" } }] } } }\n}\n";
    let defaults =
        "kind = \"proxy-defaults\"\nname = \"global\"\nmesh_gateway { mode = \"remote\" }\n";
    let home = TempDir::new();
    home.write("gateway.hcl", gateway_file());
    home.write("web.hcl", service);
    home.write("defaults.hcl", defaults);
    let output = lictor(&[
        "explain",
        "--upstream",
        "api",
        &home.path().to_string_lossy(),
    ]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.contains("local") && said.contains("upstream"),
        "{said}"
    );
}

#[test]
fn version_names_the_target() {
    let output = lictor(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(
        said.starts_with("lictor ") && said.contains("linux"),
        "{said}"
    );
    // Which of the two is the machine's business; targets/test-kernel-tls has both.
    assert!(said.contains("kernel TLS: "), "{said}");
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    let none: [&str; 0] = [];
    for arguments in [
        &none[..],
        &["walk"],
        &["check"],
        &["run"],
        &["explain", "--sni"],
        &["--no"],
    ] {
        let output = lictor(arguments);
        assert_eq!(output.status.code(), USAGE, "{arguments:?}: {output:?}");
        assert!(
            !output.stderr.is_empty(),
            "{arguments:?} is refused without a word"
        );
    }
    let help = lictor(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["run", "check", "explain"] {
        assert!(text(&help.stdout).contains(command), "{help:?}");
    }
}
