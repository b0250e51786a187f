//! The log: one line an event, as text or JSON, on standard error.
//!
//! Lines of one cause are limited: the first few of a period are shown, the rest are counted, and the count is shown when
//! the period is over. So a flood of refusals cannot fill a flash card, and cannot hide the first of another cause.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write as _},
    future::poll_fn,
    task::{Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use config::{LogFormat, LogLevel, LogSettings};
use plan::quote::quote;
use proxy::{Cause, Event, Observer};

use crate::stderr::Lines;

/// For how long lines of one cause are counted together.
pub(crate) const PERIOD: Duration = Duration::from_secs(10);

/// How many lines of one cause are shown in a period.
const SHOWN: u32 = 5;

/// What is limited beside causes: events that a failing endpoint can make many of.
const BESIDE: [&str; 3] = ["endpoint_ejected", "endpoint_returned", "failed_over"];
const EJECTED: usize = Cause::ALL.len();
const RETURNED: usize = EJECTED + 1;
const FAILED_OVER: usize = EJECTED + 2;

/// The log.
pub(crate) struct Log {
    settings: Cell<LogSettings>,
    lines: Lines,
    /// Lines of each cause in this period, and then of each of [`BESIDE`].
    counts: RefCell<[u32; Cause::ALL.len() + BESIDE.len()]>,
    /// Woken when a cause has lines in this period, so that the period has an end.
    begun: RefCell<Option<Waker>>,
}

/// What stands in a line.
pub(crate) type Field<'a> = (&'a str, &'a dyn fmt::Display);

impl Log {
    pub(crate) fn new(settings: LogSettings) -> Self {
        Self {
            settings: Cell::new(settings),
            lines: Lines::default(),
            counts: RefCell::default(),
            begun: RefCell::default(),
        }
    }

    pub(crate) fn set(&self, settings: LogSettings) {
        self.settings.set(settings);
    }

    /// Writes a line, if its level is wanted.
    pub(crate) fn line(&self, level: LogLevel, event: &str, fields: &[Field<'_>]) {
        // Declared from the gravest down.
        if level as u8 > self.settings.get().level as u8 {
            return;
        }
        let lost = self.lines.take_lost();
        if lost > 0 {
            let fields: [Field<'_>; 2] = [
                ("lines", &lost),
                ("detail", &"whoever reads standard error was behind"),
            ];
            self.write(LogLevel::Warn, "log_lost", &fields);
        }
        self.write(level, event, fields);
    }

    pub(crate) fn info(&self, event: &str, fields: &[Field<'_>]) {
        self.line(LogLevel::Info, event, fields);
    }

    fn write(&self, level: LogLevel, event: &str, fields: &[Field<'_>]) {
        let mut line = String::with_capacity(256);
        let time = Rfc3339(SystemTime::now());
        // Writing to a String cannot fail.
        let _ = match self.settings.get().format {
            LogFormat::Text => text(&mut line, &time, level, event, fields),
            LogFormat::Json => json(&mut line, &time, level, event, fields),
        };
        line.push('\n');
        self.lines.write(&line);
    }

    /// Waits for the first line of a limited cause in a period.
    pub(crate) async fn period_begun(&self) {
        poll_fn(|context| {
            if self.counts.borrow().iter().any(|count| *count > 0) {
                return Poll::Ready(());
            }
            *self.begun.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends a period: tells what was not shown.
    pub(crate) fn end_period(&self) {
        let counts = self.counts.take();
        let causes = Cause::ALL
            .iter()
            .map(|cause| ("refused", "cause", cause.name()));
        let beside = BESIDE.iter().map(|event| (*event, "what", "the same"));
        for ((event, key, what), count) in causes.chain(beside).zip(counts) {
            if count > SHOWN {
                let suppressed = count - SHOWN;
                let fields: [Field<'_>; 3] = [
                    (key, &what),
                    ("suppressed", &suppressed),
                    ("seconds", &PERIOD.as_secs()),
                ];
                self.line(LogLevel::Warn, event, &fields);
            }
        }
    }

    /// Whether another line of this kind, a cause or one of [`BESIDE`], may be shown.
    fn admits(&self, kind: usize) -> bool {
        let mut counts = self.counts.borrow_mut();
        let Some(count) = counts.get_mut(kind) else {
            return true;
        };
        *count = count.saturating_add(1);
        if *count == 1
            && let Some(waker) = self.begun.take()
        {
            waker.wake();
        }
        *count <= SHOWN
    }
}

impl Observer for Log {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Refused { cause, .. } if !self.admits(cause as usize) => {}
            Event::Refused {
                cause,
                client,
                listener,
                server_name,
                detail,
            } => {
                let name = server_name.filter(|name| !name.is_empty()).unwrap_or("-");
                let fields: [Field<'_>; 5] = [
                    ("cause", &cause.name()),
                    ("client", &client),
                    ("listener", &listener),
                    ("sni", &name),
                    ("detail", &detail),
                ];
                self.line(LogLevel::Warn, "refused", &fields);
            }
            Event::Opened {
                client,
                identity,
                server_name,
                cluster,
                upstream,
            } => {
                let name = if server_name.is_empty() {
                    "-"
                } else {
                    server_name
                };
                let mut fields: Vec<Field<'_>> = vec![
                    ("client", &client),
                    ("sni", &name),
                    ("cluster", &cluster),
                    ("upstream", &upstream),
                ];
                if let Some(identity) = &identity {
                    fields.push(("identity", identity));
                }
                self.info("opened", &fields);
            }
            Event::Closed {
                client,
                server_name,
                cluster,
                upstream,
                sent,
                received,
                lasted,
                end,
            } => {
                if let proxy::End::Cut(cause) = end
                    && !self.admits(cause as usize)
                {
                    return;
                }
                let name = server_name.filter(|name| !name.is_empty()).unwrap_or("-");
                let seconds = Seconds(lasted);
                let fields: [Field<'_>; 8] = [
                    ("client", &client),
                    ("sni", &name),
                    ("cluster", &cluster),
                    ("upstream", &upstream),
                    ("sent", &sent),
                    ("received", &received),
                    ("seconds", &seconds),
                    ("how", &end.name()),
                ];
                self.info("closed", &fields);
            }
            Event::AcceptPaused { error } => {
                let detail =
                    "raise the limit on open files (LimitNOFILE=), or lower limits.connections";
                self.line(
                    LogLevel::Error,
                    "accept_paused",
                    &[("error", error), ("detail", &detail)],
                );
            }
            Event::AcceptResumed => self.info("accept_resumed", &[]),
            Event::FailedOver { cluster, to, back } if self.admits(FAILED_OVER) => {
                let event = if back { "failed_back" } else { "failed_over" };
                let fields: [Field<'_>; 2] = [("cluster", &cluster), ("to", &to)];
                self.line(LogLevel::Warn, event, &fields);
            }
            Event::EndpointEjected {
                cluster,
                endpoint,
                lasting,
            } if self.admits(EJECTED) => {
                let fields: [Field<'_>; 3] = [
                    ("cluster", &cluster),
                    ("endpoint", &endpoint),
                    ("seconds", &Seconds(lasting)),
                ];
                self.line(LogLevel::Warn, "endpoint_ejected", &fields);
            }
            Event::EndpointReturned { cluster, endpoint } if self.admits(RETURNED) => {
                let fields: [Field<'_>; 2] = [("cluster", &cluster), ("endpoint", &endpoint)];
                self.info("endpoint_returned", &fields);
            }
            Event::NameResolved { name, addresses } => {
                self.info(
                    "name_resolved",
                    &[("name", &name), ("addresses", &addresses)],
                );
            }
            Event::NameFailed { name, error } => {
                self.line(
                    LogLevel::Warn,
                    "name_failed",
                    &[("name", &name), ("error", &error)],
                );
            }
            _ => {}
        }
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

fn text(
    line: &mut String,
    time: &Rfc3339,
    level: LogLevel,
    event: &str,
    fields: &[Field<'_>],
) -> fmt::Result {
    write!(line, "{time} {:5} {event}", word(level))?;
    for (key, value) in fields {
        let start = line.len();
        write!(line, " {key}={value}")?;
        let value_start = start + key.len() + 2;
        let value = line.get(value_start..).unwrap_or_default();
        if value.is_empty()
            || value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
        {
            let value = value.to_owned();
            line.truncate(value_start);
            quote(line, &value);
        }
    }
    Ok(())
}

fn json(
    line: &mut String,
    time: &Rfc3339,
    level: LogLevel,
    event: &str,
    fields: &[Field<'_>],
) -> fmt::Result {
    write!(
        line,
        "{{\"time\":\"{time}\",\"level\":\"{}\",\"event\":\"{event}\"",
        word(level)
    )?;
    for (key, value) in fields {
        write!(line, ",\"{key}\":")?;
        let value = value.to_string();
        // Counts are numbers; everything else, addresses too, is text, as 007 is (RFC 8259 section 6).
        let is_count = (value == "0" || !value.starts_with('0'))
            && (1..16).contains(&value.len())
            && value.bytes().all(|byte| byte.is_ascii_digit());
        if is_count {
            line.push_str(&value);
        } else {
            quote(line, &value);
        }
    }
    line.push('}');
    Ok(())
}

/// A duration in seconds, to the millisecond. Written without floats, whose formatting code is large.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// A time in UTC, to the millisecond.
pub(crate) struct Rfc3339(SystemTime);

impl Rfc3339 {
    /// A time in seconds since 1970.
    pub(crate) fn of(seconds: u64) -> Self {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        Self(time.unwrap_or(UNIX_EPOCH))
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Days to a civil date: years of 365.2425 days that start in March (Hinnant, "chrono-compatible low-level date
        // algorithms").
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let milliseconds = since.subsec_millis();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> String {
        Rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_763_942_399), "2025-11-23T23:59:59.000Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.000Z");
    }

    fn write(
        form: fn(&mut String, &Rfc3339, LogLevel, &str, &[Field<'_>]) -> fmt::Result,
    ) -> String {
        let mut line = String::new();
        let fields: [Field<'_>; 4] = [
            ("client", &"127.0.0.1:5"),
            ("detail", &"a \"b\"\n"),
            ("count", &7),
            ("sni", &""),
        ];
        form(
            &mut line,
            &Rfc3339(UNIX_EPOCH),
            LogLevel::Warn,
            "refused",
            &fields,
        )
        .unwrap();
        line
    }

    #[test]
    fn text_quotes_what_needs_it() {
        let expected = "1970-01-01T00:00:00.000Z warn  refused client=127.0.0.1:5 detail=\"a \\\"b\\\"\\n\" count=7 sni=\"\"";
        assert_eq!(write(text), expected);
    }

    #[test]
    fn only_what_json_takes_for_a_number_is_one() {
        for (value, shown) in [
            ("0", "0"),
            ("10", "10"),
            ("007", "\"007\""),
            ("00", "\"00\""),
        ] {
            let mut line = String::new();
            let time = Rfc3339(UNIX_EPOCH);
            json(&mut line, &time, LogLevel::Info, "x", &[("sni", &value)]).unwrap();
            assert!(line.ends_with(&format!(",\"sni\":{shown}}}")), "{line}");
        }
    }

    #[test]
    fn json_is_json() {
        let expected = r#"{"time":"1970-01-01T00:00:00.000Z","level":"warn","event":"refused","client":"127.0.0.1:5","detail":"a \"b\"\n","count":7,"sni":""}"#;
        assert_eq!(write(json), expected);
    }
}
