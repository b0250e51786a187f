//! How long what runs goes on by itself, and what then: in words for the log, the service manager and the admin endpoint.
//!
//! A gateway passes on what others have sealed, and needs nobody. A sidecar is believed until its certificate ends; what is open
//! then goes on. Which certificates there are is asked of the data plane, so it is the same for those of files, of Consul
//! and of memory. It never decides anything: peers refuse, or do not.

use std::fmt::{self, Write as _};

use proxy::{Clock, Proxy};

use crate::{
    admin::Told,
    learning::Learning,
    log::Rfc3339,
    memory::{Hours, Memory},
};

/// What is to be expected.
pub(crate) struct Outlook {
    /// Whose certificate ends first, and its last second.
    first: Option<(String, u64)>,
    now: u64,
    clock_is_behind: bool,
}

impl Outlook {
    pub(crate) fn of(proxy: &Proxy, clock: &Clock) -> Self {
        Self {
            first: proxy.leaves().into_iter().min_by_key(|(_, end)| *end),
            now: clock.seconds(),
            clock_is_behind: clock.is_behind(),
        }
    }

    /// Whether a certificate has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.first.as_ref().is_some_and(|(_, end)| *end < self.now)
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((service, end)) = &self.first else {
            return f.write_str("goes on for ever: it needs no certificate");
        };
        let until = Rfc3339::of(*end);
        if self.is_over() {
            return write!(
                f,
                "the certificate of {service} ended {until}: peers refuse new connections, open ones go on"
            );
        }
        let hours = (end - self.now) / 3600;
        let about = if self.clock_is_behind {
            " at most, as the clock is behind"
        } else {
            ""
        };
        write!(
            f,
            "goes on for {hours} hours{about}: the certificate of {service} ends {until}, then peers refuse new connections, \
             and open ones go on"
        )
    }
}

/// What is known, and for how long, in the line that a service manager shows.
pub(crate) fn line(proxy: &Proxy, memory: &Memory, learning: &Learning) -> String {
    let mut text = format!("running on {} listener(s)", proxy.listeners().len());
    let (age, lost) = (memory.age(), learning.lost_for());
    // Writing to a String cannot fail.
    if let Some(age) = &age {
        let _ = write!(text, ", from memory, {age}");
    }
    if let Some(lost) = lost {
        let _ = write!(text, ", Consul lost for {}", Hours(lost));
    }
    if age.is_some() || lost.is_some() {
        let _ = write!(text, "; {}", Outlook::of(proxy, memory.clock()));
    }
    text
}

/// The same on a page of the admin endpoint, with what the process has written.
pub(crate) fn page(told: &Told) -> String {
    let Told {
        proxy,
        memory,
        learning,
        ..
    } = told;
    let mut text = String::new();
    let (listeners, connections) = (proxy.listeners().len(), proxy.connections());
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "running     {listeners} listener(s), {connections} connection(s)"
    );
    let _ = match memory.age() {
        Some(age) => writeln!(text, "plan        from memory, {age}"),
        None => writeln!(text, "plan        as its source says"),
    };
    if learning.count() > 0 {
        let _ = match learning.lost_for() {
            Some(lost) => writeln!(text, "consul      lost for {}", Hours(lost)),
            None => writeln!(text, "consul      answers"),
        };
    }
    let _ = writeln!(text, "without it  {}", Outlook::of(proxy, memory.clock()));
    if memory.clock().is_behind() {
        let floor = Rfc3339::of(memory.clock().floor());
        let _ = writeln!(
            text,
            "clock       behind: certificates are held against {floor}"
        );
    }
    let (generation, writes) = (memory.counts.generation.get(), memory.counts.writes.get());
    let bytes = memory.counts.bytes.get();
    let _ = writeln!(
        text,
        "remembered  generation {generation}; {writes} write(s), {bytes} bytes since the start"
    );
    if let Some(lost) = memory.lost() {
        let _ = writeln!(text, "            {lost}");
    }
    text
}
