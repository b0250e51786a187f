//! lictor as the mesh gateway of dc1, configured by a local file.

use super::{Gateway, Place, first_line};
use std::{fs, io, path::PathBuf, process::Command};

pub(super) struct Lictor {
    pub(super) binary: PathBuf,
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
        let file = place.directory.join("gateway.hcl");
        fs::write(&file, configuration(place))?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg(file);
        Ok(vec![command])
    }
}

fn configuration(place: &Place) -> String {
    let (ip, port, backend) = (place.listen.ip(), place.listen.port(), place.backend);
    format!(
        r#"service {{
  name    = "mesh-gateway"
  kind    = "mesh-gateway"
  address = "{ip}"
  port    = {port}
}}

lictor {{
  datacenter   = "dc1"
  trust_domain = "11111111-2222-3333-4444-555555555555.consul"

  service "api" {{
    endpoints = ["{backend}"]
  }}

  limits {{
    connections = 6000
  }}
}}
"#
    )
}
