//! lictor as the sidecars of two services, configured by local files.

use super::{IDLE_UPSTREAMS, Identities, TRUST_DOMAIN};
use crate::gateways::{Gateway, Place, first_line};
use std::{fs, io, path::PathBuf, process::Command, rc::Rc};
use support::pki::Leaf;

pub(super) struct Lictor {
    pub(super) binary: PathBuf,
    pub(super) identities: Rc<Identities>,
}

impl Gateway for Lictor {
    fn name(&self) -> &'static str {
        "lictor"
    }

    fn version(&self) -> io::Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("--version");
        first_line(command)
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let run = |name: &str, text: String| -> io::Result<Command> {
            let file = place.directory.join(name);
            fs::write(&file, text)?;
            let mut command = Command::new(&self.binary);
            command.arg("run").arg(file);
            Ok(command)
        };
        Ok(vec![
            run("api.hcl", self.called(place))?,
            run("web.hcl", self.calling(place))?,
        ])
    }
}

impl Lictor {
    fn called(&self, place: &Place) -> String {
        let (ip, port) = (place.between.ip(), place.between.port());
        let (app, app_port) = (place.backend.ip(), place.backend.port());
        let common = self.common("api", &self.identities.api, place);
        format!(
            r#"service {{
  name = "api"
  port = {app_port}
  connect {{
    sidecar_service {{
      address = "{ip}"
      port    = {port}
      proxy {{
        local_service_address = "{app}"
      }}
    }}
  }}
}}

lictor {{
{common}
}}

config_entries {{
  bootstrap = [{{
    kind    = "service-intentions"
    name    = "api"
    sources = [{{ name = "web" action = "allow" }}]
  }}]
}}
"#
        )
    }

    fn calling(&self, place: &Place) -> String {
        let (ip, port) = (place.listen.ip(), place.listen.port());
        let between = place.between;
        let common = self.common("web", &self.identities.web, place);
        let mut upstreams = format!(
            r#"{{ destination_name = "api" local_bind_address = "{ip}" local_bind_port = {port} }},"#
        );
        let mut services = format!("  service \"api\" {{ endpoints = [\"{between}\"] }}\n");
        for number in 0..IDLE_UPSTREAMS {
            upstreams += &format!(
                "\n          {{ destination_name = \"other-{number}\" local_bind_port = 0 }},"
            );
            services +=
                &format!("  service \"other-{number}\" {{ endpoints = [\"{between}\"] }}\n");
        }
        format!(
            r#"service {{
  name = "web"
  port = 9
  connect {{
    sidecar_service {{
      address = "{ip}"
      port    = 0
      proxy {{
        upstreams = [
          {upstreams}
        ]
      }}
    }}
  }}
}}

lictor {{
{common}
{services}
}}
"#
        )
    }

    fn common(&self, name: &str, leaf: &Leaf, place: &Place) -> String {
        let roots = self.identities.mesh.root();
        let sessions = if place.resumes {
            ""
        } else {
            "tls_sessions = 0"
        };
        format!(
            r#"  datacenter   = "dc1"
  trust_domain = "{TRUST_DOMAIN}"
  roots        = ["{}"]

  identity "{name}" {{
    certificate = "{}"
    key         = "{}"
  }}

  limits {{
    connections = 6000
    {sessions}
  }}
"#,
            roots.display(),
            leaf.certificate.display(),
            leaf.key.display()
        )
    }
}
