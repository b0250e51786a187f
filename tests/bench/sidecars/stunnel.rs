//! stunnel as a TLS server and as a client: a thread for each connection, as it is made.
//!
//! <https://www.stunnel.org/static/stunnel.html>

use super::{IDLE_UPSTREAMS, Identities};
use crate::gateways::{Gateway, Place};
use std::{fs, io, process::Command, rc::Rc};
use support::pki::Leaf;

pub(super) struct Stunnel {
    pub(super) identities: Rc<Identities>,
}

impl Gateway for Stunnel {
    fn name(&self) -> &'static str {
        "stunnel"
    }

    fn version(&self) -> io::Result<String> {
        let mut command = Command::new("stunnel4");
        command.arg("-version");
        // Said on its second line, after that there is no configuration.
        let text = command.output()?.stderr;
        let text = String::from_utf8_lossy(&text);
        let version = text.lines().find(|line| line.starts_with("stunnel "));
        Ok(version.unwrap_or("unknown").to_owned())
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let run = |name: &str, text: String| -> io::Result<Command> {
            let file = place.directory.join(name);
            fs::write(&file, text)?;
            let mut command = Command::new("stunnel4");
            command.arg(file);
            Ok(command)
        };
        let (between, backend) = (place.between, place.backend);
        let called = self.common(&self.identities.api, place)
            + &format!("\n[public]\naccept = {between}\nconnect = {backend}\n");
        let mut calling = self.common(&self.identities.web, place) + "client = yes\n";
        calling += &format!(
            "\n[upstream]\naccept = {}\nconnect = {between}\n",
            place.listen
        );
        for number in 0..IDLE_UPSTREAMS {
            let socket = place.directory.join(format!("{number}.sock"));
            // One that an earlier stunnel has left would stop this one.
            match fs::remove_file(&socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = socket.display();
            calling += &format!("\n[other-{number}]\naccept = {socket}\nconnect = {between}\n");
        }
        Ok(vec![run("api.conf", called)?, run("web.conf", calling)?])
    }
}

impl Stunnel {
    fn common(&self, leaf: &Leaf, place: &Place) -> String {
        let resumption = if place.resumes {
            ""
        } else {
            "sessionResume = no\noptions = NO_TICKET\n"
        };
        format!(
            "\
foreground = yes
pid =
debug = err
cert = {}
key = {}
CAfile = {}
verifyChain = yes
sslVersionMin = TLSv1.3
ciphersuites = TLS_AES_128_GCM_SHA256
curves = X25519
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
{resumption}",
            leaf.certificate.display(),
            leaf.key.display(),
            self.identities.mesh.root().display()
        )
    }
}
