//! What a process writes to standard error, line by line, for a test to wait for and read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use crate::wait::{DEADLINE, until_true};

/// All lines that a process has written so far. Clones look at the same lines.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Collects the lines of a pipe on a thread of its own, until the pipe ends.
    pub fn follow(pipe: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let (writer, mut reader) = (log.clone(), BufReader::new(pipe));
        thread::spawn(move || {
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                writer.change(|lines| lines.lines.push(text));
                line.clear();
            }
            writer.change(|lines| lines.ended = true);
        });
        log
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// The lines so far as one text, for the message of a test that fails.
    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// All lines, once the process has ended and so can write no more.
    ///
    /// # Panics
    /// When it still could after the deadline.
    pub fn to_end(&self) -> String {
        until_true("the end of the log", || self.lock().ended);
        self.text()
    }

    /// How many lines there are; what comes later is found by [`Log::wait_after`].
    pub fn mark(&self) -> usize {
        self.lock().lines.len()
    }

    /// The first line that `wanted` accepts, now or within the deadline.
    ///
    /// # Panics
    /// When there is none in time, or when the process ends without it.
    pub fn wait_for_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_after(0, what, wanted)
    }

    /// The same, but only among the lines after the first `mark`.
    pub fn wait_after(&self, mark: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.lines.iter().skip(mark).find(|line| wanted(line)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                let all = lines.lines.join("\n");
                drop(lines);
                panic!("no line in the log with {what}; the log:\n{all}");
            }
            lines = self
                .0
                .1
                .wait_timeout(lines, left)
                .expect("no holder panicked")
                .0;
        }
    }

    /// The first event of this name, now or within the deadline.
    pub fn wait_for(&self, name: &str) -> Event {
        self.wait_for_event(name, |_| true)
    }

    /// The first event of this name that `wanted` accepts, now or within the deadline.
    pub fn wait_for_event(&self, name: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        self.event_after(0, name, wanted)
    }

    /// The same, but only among the lines after the first `mark`.
    pub fn event_after(&self, mark: usize, name: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let fits = |line: &str| Event::parse(line).is_some_and(|e| e.name == name && wanted(&e));
        let line = self.wait_after(mark, &format!("the event {name}"), fits);
        Event::parse(&line).expect("the line was found by parsing it")
    }

    /// All events of this name so far.
    pub fn events(&self, name: &str) -> Vec<Event> {
        let lines = self.lock();
        let events = lines.lines.iter().filter_map(|line| Event::parse(line));
        events.filter(|event| event.name == name).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().expect("no holder panicked")
    }
}

/// One line of lictor's log in its text form: `time level event key=value key="quoted value"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What happened.
    pub name: String,
    /// The details, by key.
    pub fields: BTreeMap<String, String>,
}

impl Event {
    /// Reads a line; none when it is not of this form.
    pub fn parse(line: &str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        if !(time.ends_with('Z') && time.contains('T')) {
            return None;
        }
        let (level, rest) = rest.split_once(' ')?;
        let (name, rest) = rest
            .trim_start()
            .split_once(' ')
            .unwrap_or((rest.trim_start(), ""));
        let (level, name) = (level.to_owned(), name.to_owned());
        let fields = fields(rest)?;
        Some(Self {
            level,
            name,
            fields,
        })
    }

    /// A detail, empty when the event does not have it.
    pub fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }
}

fn fields(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    while !text.is_empty() {
        let (key, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(rest) => quoted(rest)?,
            None => match rest.split_once(' ') {
                Some((value, rest)) => (value.to_owned(), rest),
                None => (rest.to_owned(), ""),
            },
        };
        fields.insert(key.to_owned(), value);
        text = rest.trim_start();
    }
    Some(fields)
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, text.get(at + 1..)?)),
            (_, '\\') => value.push(chars.next()?.1),
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_quoted_values_is_read() {
        let line =
            r#"2026-01-02T03:04:05.678Z warn  refused cause=not_tls detail="a \"b\" c=d" x=1"#;
        let event = Event::parse(line).unwrap();
        assert_eq!(
            (event.level.as_str(), event.name.as_str()),
            ("warn", "refused")
        );
        assert_eq!(event.field("cause"), "not_tls");
        assert_eq!(event.field("detail"), r#"a "b" c=d"#);
        assert_eq!(event.field("x"), "1");
        assert_eq!(event.field("y"), "");
    }

    #[test]
    fn other_lines_are_no_events() {
        assert_eq!(Event::parse("lictor: something else"), None);
        assert_eq!(
            Event::parse("2026-01-02T03:04:05Z info listening name=\"open"),
            None
        );
    }

    #[test]
    fn lines_come_in_order_and_the_end_ends_the_wait() {
        let log = Log::follow(&b"one\ntwo\n"[..]);
        assert_eq!(log.wait_for_line("two", |line| line == "two"), "two");
        assert_eq!(log.lines(), ["one", "two"]);
        let waits = log.clone();
        let missing = thread::spawn(move || waits.wait_for_line("three", |line| line == "three"));
        assert!(missing.join().is_err());
    }
}
