//! A mesh's certificates, made the way Consul's built-in CA makes them, with the real `openssl`.
//!
//! P-256 throughout; the root carries the trust domain as a URI; a leaf carries its SPIFFE ID as its
//! only subject alternative name and may both serve and call. See Consul's documentation on its
//! certificate authority, and the SPIFFE X.509-SVID standard.

use std::path::PathBuf;
use std::process::Command;

use crate::temp::TempDir;

/// The certificate authority of one mesh.
#[derive(Debug)]
pub struct Mesh {
    home: TempDir,
    trust_domain: String,
}

/// A leaf certificate with its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The subject's common name.
    pub name: String,
}

impl Mesh {
    /// Makes a root for a trust domain.
    pub fn new(trust_domain: &str) -> Self {
        let home = TempDir::new();
        let mesh = Self {
            home,
            trust_domain: trust_domain.to_owned(),
        };
        let subject = format!("/CN=pri-1a2b3c4d.consul.ca.{}.consul", mesh.short());
        mesh.new_key("root.key");
        mesh.openssl(&[
            &[
                "req", "-x509", "-new", "-days", "30", "-key", "root.key", "-out", "root.pem",
            ][..],
            &["-subj", &subject],
            &[
                "-addext",
                &format!("subjectAltName=URI:spiffe://{trust_domain}"),
            ],
            &[
                "-addext",
                "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
            ],
        ]);
        mesh
    }

    /// The root, PEM.
    pub fn root(&self) -> PathBuf {
        self.home.file("root.pem")
    }

    /// Makes a leaf for a service in a datacenter.
    pub fn leaf(&self, service: &str, datacenter: &str) -> Leaf {
        let name = format!("{service}.svc.default.{}.consul", self.short());
        let file = |kind: &str| format!("{service}-{datacenter}.{kind}");
        let (key, request, extensions) = (file("key"), file("csr"), file("ext"));
        let id = format!(
            "spiffe://{}/ns/default/dc/{datacenter}/svc/{service}",
            self.trust_domain
        );
        self.home.write(
            &extensions,
            format!("subjectAltName=URI:{id}\n{LEAF_EXTENSIONS}"),
        );
        self.new_key(&key);
        self.openssl(&[&[
            "req",
            "-new",
            "-key",
            &key,
            "-out",
            &request,
            "-subj",
            &format!("/CN={name}"),
        ]]);
        self.openssl(&[
            &[
                "x509",
                "-req",
                "-days",
                "3",
                "-in",
                &request,
                "-out",
                &file("pem"),
            ][..],
            &[
                "-CA",
                "root.pem",
                "-CAkey",
                "root.key",
                "-extfile",
                &extensions,
            ],
        ]);
        Leaf {
            certificate: self.home.file(&file("pem")),
            key: self.home.file(&key),
            name,
        }
    }

    /// The first group of the trust domain's UUID, as Consul puts it in names.
    fn short(&self) -> &str {
        self.trust_domain
            .split(['-', '.'])
            .next()
            .unwrap_or_default()
    }

    fn new_key(&self, file: &str) {
        self.openssl(&[&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            file,
        ]]);
    }

    fn openssl(&self, arguments: &[&[&str]]) {
        let mut command = Command::new("openssl");
        command
            .current_dir(self.home.path())
            .args(arguments.concat());
        let output = command.output();
        let output = output.expect("no `openssl` on this machine: `./tests/run tools` installs it");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

const LEAF_EXTENSIONS: &str = "\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment,dataEncipherment,keyAgreement
extendedKeyUsage=clientAuth,serverAuth
";
