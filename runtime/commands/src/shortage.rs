//! What the machine lacks of what the settings ask for: worth a line at the start, and no reason not to run.

use config::{LogLevel, RuntimeSettings};

use crate::log::{Field, Log};

/// TLS in the kernel that is asked for and cannot be had is worth a line at the start: then it is done here.
pub(crate) fn kernel_tls(runtime: &RuntimeSettings, log: &Log) {
    let detail = match (runtime.tcp.kernel_tls, cfg!(feature = "ktls")) {
        (false, _) => return,
        (true, false) => "this build of lictor cannot ask for it; build it with --features ktls",
        (true, true) if sys::ktls::works() => return,
        (true, true) => "the kernel lacks the module tls or its ciphers; try: modprobe tls",
    };
    log.line(LogLevel::Warn, "no_kernel_tls", &[("detail", &detail)]);
}

/// A connection costs two descriptors. Fewer than the limit on connections needs is worth a line at the start.
pub(crate) fn descriptors(runtime: &RuntimeSettings, log: &Log) {
    let needed = 2 * u64::from(runtime.limits.connections) + OTHER_DESCRIPTORS;
    let detail = "raise LimitNOFILE= or ulimit -n, or lower limits.connections";
    match sys::limits::raise_open_files() {
        Ok(files) => {
            if let Some(now) = files.now.filter(|now| *now < needed) {
                let fields: [Field<'_>; 3] = [
                    ("open_files", &now),
                    ("needed", &needed),
                    ("detail", &detail),
                ];
                log.line(LogLevel::Warn, "few_descriptors", &fields);
            }
        }
        Err(error) => {
            let fields: [Field<'_>; 2] = [("error", &error), ("detail", &detail)];
            log.line(LogLevel::Warn, "few_descriptors", &fields);
        }
    }
}

/// Descriptors beside those of connections: listeners, pipes, files, the reactor's own.
const OTHER_DESCRIPTORS: u64 = 128;
