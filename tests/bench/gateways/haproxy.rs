//! HAProxy in TCP mode with `option splice-auto`, routing by `req.ssl_sni`.
//!
//! <https://docs.haproxy.org/2.6/configuration.html#7.3.5-req.ssl_sni>

use super::{Gateway, Place, first_line};
use crate::client_hello::SNI;
use std::{fs, io, process::Command};

pub(super) struct HaProxy;

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
        let file = place.directory.join("haproxy.cfg");
        fs::write(&file, configuration(place))?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        Ok(vec![command])
    }
}

fn configuration(place: &Place) -> String {
    let (listen, backend) = (place.listen, place.backend);
    format!(
        "\
global
    nbthread 1
    maxconn 6000

defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 1h
    timeout server 1h

frontend gateway
    bind {listen}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend api if {{ req.ssl_sni -i {SNI} }}

backend api
    server one {backend}
"
    )
}
