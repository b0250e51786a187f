//! nginx's stream module with `ssl_preread`, one worker.
//!
//! Without a master process: the one process is the worker, and idle memory is not counted twice.
//! <https://nginx.org/en/docs/stream/ngx_stream_ssl_preread_module.html>

use super::{Gateway, Place, first_line};
use crate::client_hello::SNI;
use std::{fs, io, path::Path, process::Command};

pub(super) struct Nginx;

impl Gateway for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn version(&self) -> io::Result<String> {
        let mut command = Command::new("nginx");
        command.arg("-v");
        first_line(command)
    }

    fn commands(&self, place: &Place) -> io::Result<Vec<Command>> {
        let file = place.directory.join("nginx.conf");
        fs::write(&file, configuration(place))?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&place.directory)
            .arg("-e")
            .arg("error.log")
            .arg("-c")
            .arg(file);
        Ok(vec![command])
    }
}

fn configuration(place: &Place) -> String {
    let (listen, backend) = (place.listen, place.backend);
    // Built into nginx by some, a file of its own on Debian.
    let module = if Path::new(STREAM_MODULE).exists() {
        format!("load_module {STREAM_MODULE};")
    } else {
        String::new()
    };
    format!(
        "\
{module}
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log error.log;

events {{
    worker_connections 12000;
}}

stream {{
    map_hash_bucket_size 128;
    map $ssl_preread_server_name $route {{
        {SNI} api;
        default refused;
    }}
    upstream api {{
        server {backend};
    }}
    upstream refused {{
        server 127.0.0.1:1 down;
    }}
    server {{
        listen {listen};
        ssl_preread on;
        proxy_pass $route;
        proxy_timeout 1h;
    }}
}}
"
    )
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
