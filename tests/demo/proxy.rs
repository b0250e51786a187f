//! A proxy: the real binary, run on a copy of a file of `configs/demo/`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Failure, while_doing};
use crate::stage::{Event, Node, Record};

/// A running proxy. Ends with this value.
pub(crate) struct Proxy {
    node: Node,
    child: Child,
}

impl Proxy {
    /// The file that a proxy runs on, in the demo's own directory.
    pub(crate) fn file(node: Node, scratch: &Path) -> PathBuf {
        scratch.join(format!("{}.hcl", node.stem()))
    }

    /// Starts `lictor`; the events say when it is ready, what it logs, and when it has ended.
    ///
    /// Its file and its notify socket lie in `scratch`, beside the certificates.
    pub(crate) fn start(
        node: Node,
        lictor: &Path,
        scratch: &Path,
        events: &Sender<Event>,
    ) -> Result<Self, Failure> {
        let file = Self::file(node, scratch);
        let original = crate::binary::repository().join(node.original());
        fs::copy(&original, &file)
            .map_err(while_doing(format!("copying {}", original.display())))?;
        let path = scratch.join(format!("notify-{}", node.stem()));
        let notify = UnixDatagram::bind(&path)
            .map_err(while_doing(format!("making the socket {}", path.display())))?;
        let mut child = Command::new(lictor)
            .arg("run")
            .arg(&file)
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for the demo, which then ends the proxies in order.
            .process_group(0)
            .spawn()
            .map_err(while_doing(format!("starting {}", lictor.display())))?;
        let log = child.stderr.take();
        let proxy = Self { node, child };

        let sender = events.clone();
        thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok(length) = notify.recv(&mut message) {
                let message = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                if message.lines().any(|line| line == "READY=1")
                    && sender.send(Event::Ready(node)).is_err()
                {
                    return;
                }
            }
        });
        let sender = events.clone();
        thread::spawn(move || {
            let mut said = String::new();
            for line in log.into_iter().flat_map(|log| BufReader::new(log).lines()) {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(record) => {
                        if sender.send(Event::Logged(node, Record(record))).is_err() {
                            return;
                        }
                    }
                    Err(_) => said = format!("{said}{line}\n"),
                }
            }
            // Nobody listens any more when the demo itself is ending.
            let _ = sender.send(Event::Gone(node, said));
        });
        Ok(proxy)
    }

    /// Asks it to finish what it carries and to end; [`Event::Gone`] says when it has.
    pub(crate) fn drain(&self) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(while_doing(format!("stopping {}", self.node)))
    }

    /// The exit status of one that has ended.
    pub(crate) fn ended(mut self) -> Result<ExitStatus, Failure> {
        let what = format!("waiting for {}", self.node);
        self.child.wait().map_err(while_doing(what))
    }

    pub(crate) fn node(&self) -> Node {
        self.node
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Does nothing to one that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
