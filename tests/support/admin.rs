//! The admin endpoint, asked as a monitoring system does: plain HTTP/1.1, one request a connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::DEADLINE;

/// A lictor's admin endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Admin(pub SocketAddr);

impl Admin {
    /// Asks for a path; gives the status and the body.
    pub fn get(self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.0).expect("the admin endpoint listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout can be set");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: lictor\r\nConnection: close\r\n\r\n"
        )
        .expect("the admin endpoint reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the admin endpoint answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("an HTTP status"), body.to_owned())
    }

    /// All counters and gauges, each by its name with its labels, as in `a_total{cause="b"}`.
    pub fn stats(self) -> Stats {
        let (status, body) = self.get("/stats");
        assert_eq!(status, 200, "{body}");
        Stats::parse(&body)
    }

    /// The addresses that it listens on, by name.
    pub fn listeners(self) -> BTreeMap<String, SocketAddr> {
        let (status, body) = self.get("/listeners");
        assert_eq!(status, 200, "{body}");
        let entry = |line: &str| {
            let (name, address) = line.rsplit_once("::[").map_or_else(
                || line.rsplit_once("::"),
                |(name, rest)| Some((name, line.get(line.len() - rest.len() - 1..)?)),
            )?;
            Some((name.to_owned(), address.parse().ok()?))
        };
        let entries = body
            .lines()
            .map(|line| entry(line).unwrap_or_else(|| panic!("{line}")));
        entries.collect()
    }
}

/// A reading of the counters.
#[derive(Clone, Debug, Default)]
pub struct Stats(BTreeMap<String, f64>);

impl Stats {
    /// Reads the text format of Prometheus.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        let entry = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(
            lines
                .map(|line| entry(line).unwrap_or_else(|| panic!("no metric: {line}")))
                .collect(),
        )
    }

    /// A value, 0 when there is none of this name yet.
    pub fn value(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How many clients were refused for this cause.
    pub fn refused(&self, cause: &str) -> f64 {
        self.value(&format!("lictor_refused_total{{cause=\"{cause}\"}}"))
    }

    /// How many clients were refused for any cause.
    pub fn refused_in_all(&self) -> f64 {
        let refused = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with("lictor_refused_total"));
        refused.map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_and_label() {
        let text = "# HELP a b\n# TYPE a counter\nlictor_refused_total{cause=\"not_tls\"} 3\n\
            lictor_refused_total{cause=\"no_server_name\"} 1\nup 1\n";
        let stats = Stats::parse(text);
        assert_eq!(
            (stats.refused("not_tls"), stats.refused_in_all()),
            (3.0, 4.0)
        );
        assert_eq!((stats.value("up"), stats.value("down")), (1.0, 0.0));
    }
}
