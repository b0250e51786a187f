//! The settings of a process, to and from the words of a blob. Every field is named, so that a new one cannot be forgotten.

use std::path::PathBuf;

use config::{Limits, LogFormat, LogLevel, LogSettings, RuntimeSettings, TcpSettings, Timeouts};
use store::{LogForm, Process, Tcp};

/// In the words of a blob.
pub(crate) fn recorded(settings: &RuntimeSettings) -> Process {
    let RuntimeSettings {
        admin,
        state_dir,
        remember_identities,
        log: LogSettings {
            level,
            format,
            access,
        },
        limits:
            Limits {
                connections,
                handshakes_per_source,
                tls_sessions,
            },
        timeouts:
            Timeouts {
                client_hello,
                connect,
                drain,
                idle,
            },
        tcp:
            TcpSettings {
                keepalive,
                user_timeout,
                // Not remembered: TLS of our own always works, and a memory may come up under another kernel.
                kernel_tls: _,
            },
    } = settings;
    Process {
        admin: admin.clone(),
        state_dir: state_dir.display().to_string(),
        remember_identities: *remember_identities,
        log: LogForm {
            level: *level as u8,
            json: *format == LogFormat::Json,
            access: *access,
        },
        connections: *connections,
        handshakes_per_source: *handshakes_per_source,
        tls_sessions: *tls_sessions,
        client_hello: *client_hello,
        connect: *connect,
        drain: *drain,
        idle: *idle,
        tcp: Tcp {
            keepalive: *keepalive,
            user_timeout: *user_timeout,
        },
    }
}

/// In the words of the local file.
pub(crate) fn settings(process: Process) -> RuntimeSettings {
    let Process {
        admin,
        state_dir,
        remember_identities,
        log,
        connections,
        handshakes_per_source,
        tls_sessions,
        client_hello,
        connect,
        drain,
        idle,
        tcp,
    } = process;
    RuntimeSettings {
        admin,
        state_dir: PathBuf::from(state_dir),
        remember_identities,
        log: LogSettings {
            level: match log.level {
                0 => LogLevel::Error,
                1 => LogLevel::Warn,
                2 => LogLevel::Info,
                _ => LogLevel::Debug,
            },
            format: if log.json {
                LogFormat::Json
            } else {
                LogFormat::Text
            },
            access: log.access,
        },
        limits: Limits {
            connections,
            handshakes_per_source,
            tls_sessions,
        },
        timeouts: Timeouts {
            client_hello,
            connect,
            drain,
            idle,
        },
        tcp: TcpSettings {
            keepalive: tcp.keepalive,
            user_timeout: tcp.user_timeout,
            kernel_tls: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were() {
        let text = "lictor { admin = \"127.0.0.1:1\" state_dir = \"/state\" remember_identities = false \
            log { level = \"debug\" format = \"json\" access = true } \
            limits { connections = 5 handshakes_per_source = 6 tls_sessions = 4 } \
            timeouts { client_hello = \"7s\" connect = \"8s\" drain = \"9s\" idle = \"10s\" } \
            tcp { keepalive_time = \"11s\" user_timeout = \"12s\" } }";
        let socket = text.replace("127.0.0.1:1", "unix:///run/admin.sock");
        for text in [text, &socket, ""] {
            let source = config::Source {
                name: "test",
                text,
                format: config::Format::Hcl,
            };
            let before = config::parse(&[source]).unwrap().runtime;
            assert_eq!(settings(recorded(&before)), before);
        }
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info] {
            let mut before = config::parse(&[]).unwrap().runtime;
            before.log.level = level;
            assert_eq!(settings(recorded(&before)), before);
        }
    }
}
