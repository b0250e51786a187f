//! A build without TLS refuses to run a sidecar and says what to do: it never runs half of the file,
//! and never passes on in the clear what was to be encrypted.

use std::process::{Command, Stdio};

use support::lab::TRUST_DOMAIN;
use support::pki::Mesh;
use support::sidecar::SidecarFile;
use support::temp::TempDir;

/// The release binary that is built with `--no-default-features`.
fn plain(arguments: &[&str]) -> (Option<i32>, String) {
    let binary = std::env::var_os("LICTOR_PLAIN_BIN");
    let binary = binary.expect("LICTOR_PLAIN_BIN names the binary without TLS; see tests/run");
    let mut command = Command::new(binary);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("lictor can be started");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn it_refuses_a_file_with_a_sidecar_and_says_what_to_do() {
    let mesh = Mesh::new(TRUST_DOMAIN);
    let home = TempDir::new();
    let sidecar = SidecarFile::new(&mesh, "api", "dc1", ([127, 0, 0, 1], 9).into());
    let file = home.write("sidecar.hcl", sidecar.to_string());
    let gateway = "service { name = \"mesh-gateway\" kind = \"mesh-gateway\" address = \"127.0.0.1\" port = 0 }";
    let with_gateway = home.write("gateway.hcl", gateway);
    for files in [vec![&file], vec![&file, &with_gateway]] {
        let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
        let (code, said) = plain(&[&["run"], files.as_slice()].concat());
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("the feature sidecar"), "what to do? {said}");
        assert!(!said.contains("listening"), "it ran for a while: {said}");
        // Checked it may be: such a file is good, for a build with TLS.
        let (code, said) = plain(&[&["check"], files.as_slice()].concat());
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("the feature sidecar"), "what to do? {said}");
    }
    let (_, version) = plain(&["--version"]);
    assert!(!version.contains("sidecar"), "it has TLS: {version}");
}
