//! Ends what the benchmark started, however the benchmark itself ends.
//!
//! A second process of this binary, in a process group of its own, reads the ids of started
//! processes from a pipe. The pipe closes when the benchmark is done, is interrupted, panics or is
//! killed; then the reaper ends by id what is still there and removes the scratch directory. No
//! signal handler could promise as much, and none is needed.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashSet,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// The benchmark's end of the pipe.
pub(crate) struct Reaper {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts the second process, which will also remove `directory`.
    pub(crate) fn start(directory: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--reap")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut pipe = child.stdin.take();
        if let Some(pipe) = &mut pipe {
            writeln!(pipe, "{}", directory.display())?;
        }
        Ok(Self { child, pipe })
    }

    /// From now on the process of this id is to be ended.
    pub(crate) fn started(&mut self, id: u32) -> io::Result<()> {
        self.pipe
            .as_mut()
            .map_or(Ok(()), |pipe| writeln!(pipe, "+{id}"))
    }

    /// The process of this id is gone, and its id may be someone else's soon.
    pub(crate) fn ended(&mut self, id: u32) -> io::Result<()> {
        self.pipe
            .as_mut()
            .map_or(Ok(()), |pipe| writeln!(pipe, "-{id}"))
    }

    /// Closes the pipe and waits until everything is cleared away.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.pipe = None;
        self.child.wait().map(drop)
    }
}

/// The second process: reads ids until the pipe closes, then ends what is left.
pub(crate) fn reap_for_parent() -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let directory = lines.next().transpose()?.unwrap_or_default();
    let mut alive = HashSet::new();
    // A broken pipe is an end like any other: what was started is ended all the same.
    for line in lines.map_while(Result::ok) {
        let id = line
            .get(1..)
            .and_then(|id| id.parse::<i32>().ok())
            .and_then(Pid::from_raw);
        let Some(id) = id else { continue };
        if line.starts_with('+') {
            alive.insert(id);
        } else {
            alive.remove(&id);
        }
    }
    for id in alive {
        // It may have ended by itself; then there is nothing left to do.
        let _ = kill_process(id, Signal::KILL);
    }
    // Only ever the directory that the benchmark made for itself.
    if Path::new(&directory).join(MARK).is_file() {
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// A file that marks a scratch directory as ours to remove.
pub(crate) const MARK: &str = "made-by-lictor-bench";
