//! Roots, identities and gateways of `lictor { }`: where their files are looked for, what is refused, and that
//! no key is ever shown.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use config::{Disk, Errors, Files, Format, PemFile, Settings, Source, load, parse_with};

/// What no message may hold.
const KEY_BODY: &str = "MC4CAQAwBQYDK2VwBCIEINeverShownNeverShownNeverShown";

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn certificate(body: &str) -> String {
    pem("CERTIFICATE", body)
}

fn key() -> String {
    pem("PRIVATE KEY", KEY_BODY)
}

/// Files in memory: path to text, and whether others can read it.
#[derive(Default)]
struct Memory(BTreeMap<PathBuf, (String, bool)>);

impl Memory {
    fn with(mut self, path: &str, text: String, exposed: bool) -> Self {
        self.0.insert(path.into(), (text, exposed));
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<PemFile> {
        let (text, exposed) = self
            .0
            .get(path)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(PemFile {
            text: plan::Secret::new(text.clone()),
            exposed: *exposed,
        })
    }
}

fn usual() -> Memory {
    Memory::default()
        .with("etc/certs/ca.pem", certificate("b25l"), true)
        .with("etc/certs/old.pem", certificate("dHdv"), true)
        .with("etc/certs/web.pem", certificate("d2Vi"), true)
        .with("etc/certs/web-key.pem", key(), false)
}

fn read(text: &str, files: &Memory) -> Result<Settings, Errors> {
    let source = Source {
        name: "etc/lictor.hcl",
        text,
        format: Format::Hcl,
    };
    parse_with(&[source], files)
}

fn good(text: &str, files: &Memory) -> Settings {
    read(text, files).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The one message, without the file's name.
fn refused(text: &str, files: &Memory) -> String {
    let errors = read(text, files).expect_err(text);
    assert_eq!(errors.list().len(), 1, "{errors}");
    let message = errors.to_string();
    assert!(!message.contains("NeverShown"), "{message}");
    assert!(!format!("{errors:?}").contains("NeverShown"));
    message.replace("etc/lictor.hcl:", "")
}

const DOMAIN: &str = "datacenter = \"dc1\" trust_domain = \"A.consul\"";

#[test]
fn files_are_looked_for_beside_the_configuration_that_names_them() {
    let text = format!(
        "lictor {{ {DOMAIN} roots = [\"certs/ca.pem\", \"certs/old.pem\"]
           identity \"web\" {{ certificate = \"certs/web.pem\" key = \"certs/web-key.pem\" }} }}"
    );
    let settings = good(&text, &usual());
    let [bundle] = settings.mesh.trust.as_slice() else {
        panic!("one bundle")
    };
    assert_eq!(bundle.trust_domain, "a.consul");
    assert_eq!(
        bundle.roots,
        format!("{}{}", certificate("b25l"), certificate("dHdv"))
    );
    let [identity] = settings.mesh.identities.as_slice() else {
        panic!("one identity")
    };
    assert_eq!(
        (identity.name.as_str(), &identity.certificates),
        ("web", &certificate("d2Vi"))
    );
    assert_eq!(identity.key.expose(), key());
    assert_eq!(
        settings.files,
        ["ca.pem", "old.pem", "web.pem", "web-key.pem"]
            .map(|name| Path::new("etc/certs").join(name))
    );
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    assert!(!format!("{settings:?}").contains("NeverShown"));

    // An absolute path stays one.
    let files = Memory::default().with("/pki/ca.pem", certificate("b25l"), true);
    let text = format!("lictor {{ {DOMAIN} roots = \"/pki/ca.pem\" }}");
    assert_eq!(good(&text, &files).files, [Path::new("/pki/ca.pem")]);
}

#[test]
fn text_may_stand_in_the_configuration_itself() {
    let text = format!(
        "lictor {{ {DOMAIN}\nroots = <<EOT\n{}EOT\nidentity \"web\" {{\ncertificate = <<EOT\n{}EOT\nkey = <<EOT\n{}EOT\n}} }}",
        certificate("b25l"),
        certificate("d2Vi"),
        key()
    );
    let settings = good(&text, &Memory::default());
    assert_eq!(settings.mesh.trust[0].roots, certificate("b25l"));
    assert_eq!(settings.mesh.identities[0].key.expose(), key());
    assert!(settings.files.is_empty());
    assert!(!format!("{settings:?}").contains("NeverShown"));
}

#[test]
fn a_key_that_others_can_read_is_noted() {
    let files = usual().with("etc/certs/web-key.pem", key(), true);
    let text = format!(
        "lictor {{ {DOMAIN}\nidentity \"web\" {{ certificate = \"certs/web.pem\"\nkey = \"certs/web-key.pem\" }} }}"
    );
    let notes: Vec<String> = good(&text, &files)
        .notes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        notes,
        [
            "etc/lictor.hcl:3:7: lictor.identity.web.key: the key's group or others can read it; \
             set its mode to 0600"
        ]
    );
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let files = usual().with(
        "etc/both.pem",
        format!("{}{}", certificate("d2Vi"), key()),
        false,
    );
    let identity = |certificate: &str, key: &str| {
        format!(
            "lictor {{ {DOMAIN} identity \"web\" {{\ncertificate = \"{certificate}\"\nkey = \"{key}\" }} }}"
        )
    };
    let cases = [
        (
            format!("lictor {{ {DOMAIN}\nroots = [\"certs/ca.pem\", \"certs/none.pem\"] }}"),
            "2:26: lictor.roots[1]: 'etc/certs/none.pem' cannot be read: entity not found",
        ),
        (
            "lictor { datacenter = \"dc1\"\nroots = \"certs/ca.pem\" }".to_owned(),
            "2:9: lictor.roots: roots of which trust domain? add trust_domain = \"<uuid>.consul\"",
        ),
        (
            format!("lictor {{ {DOMAIN}\nroots = \"\" }}"),
            "2:9: lictor.roots: neither the name of a file nor PEM text that begins with -----BEGIN",
        ),
        (
            identity("certs/web-key.pem", "certs/web-key.pem"),
            "2:15: lictor.identity.web.certificate: there is a private key among these certificates; \
             give it as key, apart",
        ),
        (
            identity("both.pem", "both.pem"),
            "2:15: lictor.identity.web.certificate: there is a private key among these certificates; \
             give it as key, apart",
        ),
        (
            identity("certs/web.pem", "certs/web.pem"),
            "3:7: lictor.identity.web.key: no private key in PEM; it begins with \
             -----BEGIN PRIVATE KEY-----, -----BEGIN EC PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----",
        ),
        // A key without its frame is taken for a name, and still not shown.
        (
            identity("certs/web.pem", KEY_BODY),
            "3:7: lictor.identity.web.key: the file of this name cannot be read: entity not found",
        ),
        (
            identity("certs/web.pem", &format!("x\\n{KEY_BODY}")),
            "3:7: lictor.identity.web.key: neither the name of a file nor PEM text that begins with -----BEGIN",
        ),
        (
            identity("certs/web.pem", "certs/none.pem"),
            "3:7: lictor.identity.web.key: 'etc/certs/none.pem' cannot be read: entity not found",
        ),
        (
            format!(
                "lictor {{ {DOMAIN}\nidentity \"web\" {{ certificate = \"certs/web.pem\" }} }}"
            ),
            "2:10: lictor.identity.web: an identity needs a certificate and its key, as files or PEM text",
        ),
        (
            format!(
                "{}\n{}",
                identity("certs/web.pem", "certs/web-key.pem"),
                "lictor { identity \"Web\" { } }"
            ),
            "4:19: lictor[1].identity.Web: given already at etc/lictor.hcl:1; keep one",
        ),
    ];
    for (text, message) in cases {
        let expected = message.replace("etc/lictor.hcl:", "");
        assert_eq!(refused(&text, &files), expected);
    }
}

#[test]
fn gateways_here_and_services_there_are_taken_over() {
    let text = format!(
        "lictor {{ {DOMAIN} gateways = [\"10.0.0.9:8443\"]
           datacenter \"dc2\" {{
             service \"api\" {{ endpoints = [\"198.51.100.7:21000\"] subset \"v2\" {{ endpoints = [\"198.51.100.8:21000\"] }} }}
           }}
           datacenter \"dc3\" {{ gateways = [\"192.0.2.7:443\"] }} }}"
    );
    let settings = good(&text, &Memory::default());
    let mesh = &settings.mesh;
    assert_eq!(mesh.gateways[0].address.to_string(), "10.0.0.9:8443");
    let api = &mesh.datacenters[0].services[0];
    assert_eq!(api.endpoints[0].address.to_string(), "198.51.100.7:21000");
    assert_eq!(api.subsets[0].name, "v2");
    assert!(mesh.services.is_empty() && mesh.datacenters[1].services.is_empty());
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);

    let wrong = format!("lictor {{ {DOMAIN} partition \"ap2\" {{\nservice \"api\" {{ }} }} }}");
    assert_eq!(
        refused(&wrong, &Memory::default()),
        "2:1: lictor.partition.ap2.service: a partition has no such key"
    );
}

#[test]
fn the_disk_is_read_within_bounds() {
    let folder = std::env::temp_dir().join(format!("lictor-trust-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("certs")).expect("a folder can be made");
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, permissions).expect("a mode can be set");
    };
    let text = format!(
        "lictor {{ {DOMAIN} roots = \"certs/ca.pem\"
           identity \"web\" {{ certificate = \"certs/ca.pem\" key = \"certs/key.pem\" }} }}"
    );
    write("main.hcl", &text, 0o644);
    write("certs/ca.pem", &certificate("b25l"), 0o644);
    let file = [folder.join("main.hcl")];
    let message = || load(&file, &Disk).expect_err("refused").to_string();

    let missing = message();
    write("certs/key.pem", &key(), 0o600);
    let closed = load(&file, &Disk);
    write("certs/key.pem", &key(), 0o640);
    let open = load(&file, &Disk);
    write(
        "certs/ca.pem",
        &" ".repeat(config::MAX_PEM_BYTES + 1),
        0o644,
    );
    let large = message();
    std::fs::remove_file(folder.join("certs/ca.pem")).expect("it can be removed");
    std::fs::create_dir_all(folder.join("certs/ca.pem")).expect("a folder can be made");
    let a_folder = message();
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");

    let key_path = folder.join("certs/key.pem");
    assert!(
        missing.contains(&format!("'{}' cannot be read: ", key_path.display())),
        "{missing}"
    );
    let closed = closed.unwrap_or_else(|errors| panic!("{errors}"));
    assert!(closed.notes.is_empty(), "{:?}", closed.notes);
    assert_eq!(closed.files, [folder.join("certs/ca.pem"), key_path]);
    assert_eq!(
        open.unwrap_or_else(|errors| panic!("{errors}")).notes.len(),
        1
    );
    assert!(large.contains("larger than 65536 bytes"), "{large}");
    assert!(a_folder.contains("not a file"), "{a_folder}");
}
