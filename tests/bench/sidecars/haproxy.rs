//! HAProxy in TCP mode, TLS on the bind line of the one and on the server line of the other.
//!
//! <https://docs.haproxy.org/2.6/configuration.html#5.1>, section 5.2 for servers.

use super::{IDLE_UPSTREAMS, Identities, with_key};
use crate::gateways::{Gateway, Place, first_line};
use std::{fs, io, process::Command, rc::Rc};

pub(super) struct HaProxy {
    pub(super) identities: Rc<Identities>,
}

impl Gateway for HaProxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn version(&self) -> io::Result<String> {
        let mut command = Command::new("haproxy");
        command.arg("-v");
        first_line(command)
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let leaf = |name: &str, leaf| {
            let file = place.directory.join(name);
            fs::write(&file, with_key(leaf)?)?;
            Ok::<_, io::Error>(file.display().to_string())
        };
        let run = |name: &str, text: String| -> io::Result<Command> {
            let file = place.directory.join(name);
            fs::write(&file, text)?;
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            Ok(command)
        };
        let (web, api) = (
            leaf("web.pem", &self.identities.web)?,
            leaf("api.pem", &self.identities.api)?,
        );
        Ok(vec![
            run("api.cfg", self.called(place, &api))?,
            run("web.cfg", self.calling(place, &web))?,
        ])
    }
}

impl HaProxy {
    fn called(&self, place: &Place, leaf: &str) -> String {
        let (between, backend) = (place.between, place.backend);
        let tls = self.tls(leaf);
        let tickets = if place.resumes { "" } else { "no-tls-tickets" };
        format!(
            "{COMMON}
frontend public
    bind {between} {tls} curves X25519 {tickets}
    default_backend app

backend app
    server one {backend}
"
        )
    }

    fn calling(&self, place: &Place, leaf: &str) -> String {
        let (listen, between) = (place.listen, place.between);
        let tls = self.tls(leaf);
        let reuse = if place.resumes { "" } else { "no-ssl-reuse" };
        let upstream = |number: usize, bind: String| {
            format!(
                "
frontend upstream-{number}
    bind {bind}
    default_backend service-{number}

backend service-{number}
    server one {between} {tls} {reuse}
"
            )
        };
        let mut text = COMMON.to_owned() + &upstream(0, listen.to_string());
        for number in 1..=IDLE_UPSTREAMS {
            let socket = place.directory.join(format!("{number}.sock"));
            text += &upstream(number, format!("unix@{}", socket.display()));
        }
        text
    }

    fn tls(&self, leaf: &str) -> String {
        let roots = self.identities.mesh.root();
        let roots = roots.display();
        format!(
            "ssl crt {leaf} ca-file {roots} verify required ssl-min-ver TLSv1.3 \
             ciphersuites TLS_AES_128_GCM_SHA256"
        )
    }
}

const COMMON: &str = "\
global
    nbthread 1
    maxconn 6000
    ssl-server-verify required

defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
";
