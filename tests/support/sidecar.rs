//! A sidecar under test: its file, written from a few calls. It runs as a [`Gateway`] does, whose
//! listener `public_listener` is where the mesh comes in, and `<upstream>` where the app goes out.
//!
//! Certificates lie in files of the sidecar's own, so that a test can replace them.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::lab::Gateway;
use crate::pki::{Leaf, Mesh};
use crate::process::Launch;
use crate::temp::TempDir;

/// A sidecar's local file.
#[derive(Clone, Debug)]
pub struct SidecarFile {
    service: String,
    datacenter: String,
    trust_domain: String,
    app: SocketAddr,
    app_socket: Option<PathBuf>,
    certificates: Arc<TempDir>,
    upstreams: Vec<String>,
    config: Vec<String>,
    stanza: Vec<String>,
    entries: Vec<String>,
}

impl SidecarFile {
    /// Of the sidecar of a service whose app listens at `app`, with an identity of this mesh.
    pub fn new(mesh: &Mesh, service: &str, datacenter: &str, app: SocketAddr) -> Self {
        let file = Self {
            service: service.to_owned(),
            datacenter: datacenter.to_owned(),
            trust_domain: mesh.trust_domain().to_owned(),
            app,
            app_socket: None,
            certificates: Arc::new(TempDir::new()),
            upstreams: Vec::new(),
            config: Vec::new(),
            stanza: Vec::new(),
            entries: Vec::new(),
        };
        file.trust(&[mesh]);
        file.identify(&mesh.leaf(service, datacenter));
        file
    }

    /// Whose app listens on a unix socket instead.
    pub fn app_socket(mut self, path: &Path) -> Self {
        self.app_socket = Some(path.to_owned());
        self
    }

    /// Calls a service of this datacenter through a unix socket; `more` are further keys.
    pub fn upstream_socket(mut self, name: &str, path: &Path, more: &str) -> Self {
        let path = path.display();
        self.upstreams.push(format!(
            "{{ destination_name = \"{name}\" local_bind_socket_path = \"{path}\" {more} }},"
        ));
        self
    }

    /// Calls a service, in this datacenter or in another one by a gateway mode.
    pub fn upstream(mut self, name: &str, elsewhere: Option<(&str, &str)>) -> Self {
        let elsewhere = elsewhere.map_or_else(String::new, |(datacenter, mode)| {
            format!(" datacenter = \"{datacenter}\" mesh_gateway {{ mode = \"{mode}\" }}")
        });
        self.upstreams.push(format!(
            "{{ destination_name = \"{name}\" local_bind_port = 0{elsewhere} }},"
        ));
        self
    }

    /// Calls a service that a peered cluster exports, by a gateway mode.
    pub fn upstream_of_peer(mut self, name: &str, peer: &str, mode: &str) -> Self {
        self.upstreams.push(format!(
            "{{ destination_name = \"{name}\" destination_peer = \"{peer}\" local_bind_port = 0 \
             mesh_gateway {{ mode = \"{mode}\" }} }},"
        ));
        self
    }

    /// With instances of a service in this datacenter, `address:port` each.
    pub fn instances<A: ToString>(self, name: &str, endpoints: &[A]) -> Self {
        let quoted: Vec<String> = endpoints
            .iter()
            .map(|address| format!("\"{}\"", address.to_string()))
            .collect();
        self.stanza(&format!(
            "service \"{name}\" {{ endpoints = [{}] }}",
            quoted.join(", ")
        ))
    }

    /// With a setting of the proxy's `config`.
    pub fn config(mut self, setting: &str) -> Self {
        self.config.push(setting.to_owned());
        self
    }

    /// With lines of the stanza `lictor`.
    pub fn stanza(mut self, lines: &str) -> Self {
        self.stanza.push(lines.to_owned());
        self
    }

    /// With intentions for a destination: sources as Consul writes them.
    pub fn intentions(mut self, destination: &str, sources: &[&str]) -> Self {
        let sources = sources.join(", ");
        self.entries.push(format!(
            "{{ kind = \"service-intentions\" name = \"{destination}\" sources = [{sources}] }},"
        ));
        self
    }

    /// With an intention that allows `source` to call this service.
    pub fn allows(self, source: &str) -> Self {
        let service = self.service.clone();
        let source = format!("{{ name = \"{source}\" action = \"allow\" }}");
        self.intentions(&service, &[&source])
    }

    /// With another config entry.
    pub fn entry(mut self, entry: &str) -> Self {
        self.entries.push(format!("{entry},"));
        self
    }

    /// Puts these roots, and no others, into the file of the roots.
    pub fn trust(&self, meshes: &[&Mesh]) {
        let roots: String = meshes.iter().map(|mesh| read(&mesh.root())).collect();
        replace(&self.file("roots.pem"), &roots);
    }

    /// Puts this leaf and its key into the files of the identity: the key last.
    pub fn identify(&self, leaf: &Leaf) {
        replace(&self.file("leaf.pem"), &read(&leaf.certificate));
        replace(&self.file("leaf.key"), &read(&leaf.key));
    }

    /// The path of one of its certificate files: `roots.pem`, `leaf.pem` or `leaf.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.certificates.file(name)
    }

    /// Starts a sidecar on it.
    pub fn start(&self) -> Gateway {
        Gateway::start(self.launch())
    }

    /// How to start a sidecar on it.
    pub fn launch(&self) -> Launch {
        Launch::new(&self.to_string()).beside(Arc::clone(&self.certificates))
    }
}

impl fmt::Display for SidecarFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            datacenter,
            trust_domain,
            app,
            ..
        } = self;
        writeln!(
            f,
            "service {{\n  name = \"{service}\"\n  port = {}",
            app.port()
        )?;
        writeln!(f, "  connect {{\n    sidecar_service {{")?;
        writeln!(
            f,
            "      address = \"127.0.0.1\"\n      port = 0\n      proxy {{"
        )?;
        match &self.app_socket {
            Some(path) => {
                let path = path.display();
                writeln!(f, "        local_service_socket_path = \"{path}\"")?;
            }
            None => writeln!(f, "        local_service_address = \"{}\"", app.ip())?,
        }
        writeln!(
            f,
            "        config {{\n{}\n        }}",
            self.config.join("\n")
        )?;
        writeln!(
            f,
            "        upstreams = [\n{}\n        ]",
            self.upstreams.join("\n")
        )?;
        writeln!(f, "      }}\n    }}\n  }}\n}}\nlictor {{")?;
        writeln!(f, "  datacenter = \"{datacenter}\"")?;
        writeln!(
            f,
            "  trust_domain = \"{trust_domain}\"\n  admin = \"127.0.0.1:0\""
        )?;
        writeln!(f, "  log {{ access = true }}")?;
        writeln!(f, "  roots = [\"{}\"]", self.file("roots.pem").display())?;
        writeln!(
            f,
            "  identity \"{service}\" {{\n    certificate = \"{}\"\n    key = \"{}\"\n  }}",
            self.file("leaf.pem").display(),
            self.file("leaf.key").display()
        )?;
        // Every scenario can be run with TLS in the kernel: targets/test-kernel-tls does so.
        if std::env::var_os("LICTOR_KERNEL_TLS").is_some() {
            writeln!(f, "  tcp {{ kernel_tls = true }}")?;
        }
        for lines in &self.stanza {
            writeln!(f, "  {lines}")?;
        }
        writeln!(f, "}}")?;
        writeln!(
            f,
            "config_entries {{\n  bootstrap = [\n{}\n  ]\n}}",
            self.entries.join("\n")
        )
    }
}

/// Replaces a file whole, as whoever renews certificates should: written aside, then moved over it.
pub fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).expect("a file can be written in its own directory");
    fs::rename(aside, path).expect("a file can be moved in its own directory");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file of the mesh can be read")
}
