//! A mesh's certificates, made the way Consul's built-in CA makes them, with the real `openssl`.
//!
//! P-256 throughout; the root carries the trust domain as a URI; a leaf carries its SPIFFE ID as its
//! only subject alternative name and may both serve and call. See Consul's documentation on its
//! certificate authority, and the SPIFFE X.509-SVID standard.

use std::path::PathBuf;
use std::process::Command;

use rcgen::KeyPair;

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
        let subject = format!("/CN={}", mesh.root_name());
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
        let name = self.common_name(service);
        let file = |kind: &str| format!("{service}-{datacenter}.{kind}");
        let (key, request, extensions) = (file("key"), file("csr"), file("ext"));
        let id = self.spiffe_id(service, datacenter);
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

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The SPIFFE ID of a service in a datacenter.
    pub fn spiffe_id(&self, service: &str, datacenter: &str) -> String {
        let trust_domain = &self.trust_domain;
        format!("spiffe://{trust_domain}/ns/default/dc/{datacenter}/svc/{service}")
    }

    pub(crate) fn common_name(&self, service: &str) -> String {
        format!("{service}.svc.default.{}.consul", self.short())
    }

    pub(crate) fn root_name(&self) -> String {
        format!("pri-1a2b3c4d.consul.ca.{}.consul", self.short())
    }

    /// The root's key, PEM.
    pub fn root_key(&self) -> PathBuf {
        self.home.file("root.key")
    }

    /// Keeps a leaf that was made elsewhere.
    pub(crate) fn keep(&self, stem: &str, service: &str, certificate: &str, key: &KeyPair) -> Leaf {
        Leaf {
            certificate: self.home.write(&format!("{stem}.pem"), certificate),
            key: self.home.write(&format!("{stem}.key"), key.serialize_pem()),
            name: self.common_name(service),
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
