//! How the client's requests get to the collector: an app's own HTTP client, or plain HTTP on the same machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longest answer that is read; a batch of 500 has 30 KiB.
const MAX_ANSWER: u64 = 4 << 20;

/// Something that can POST JSON. With `ureq`, for example, that is ten lines.
pub trait Transport {
    /// Sends `body` as `application/json` to `path` of the collector, with this `User-Agent`.
    ///
    /// # Errors
    /// Whatever kept an answer from arriving in full. A status of any kind is an answer.
    fn post(&self, path: &str, user_agent: &str, body: &[u8]) -> io::Result<Response>;
}

/// What came back.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Tells whether the same request may fare better later: a collector says so, or it was not a collector that answered
    /// (a proxy, a login page of a hotel), each of whose answers says how the request ended.
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..) || self.header("brine-outcome").is_none()
    }

    /// Returns what `Retry-After` asks for, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<i64> {
        let seconds: i64 = self.header("retry-after")?.parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }
}

/// HTTP/1.1 without TLS, one connection a request: for a collector or a proxy on the same machine, and for tests.
#[derive(Clone, Debug)]
pub struct Plain {
    address: String,
    timeout: Duration,
}

impl Plain {
    /// Speaks to `host:port`.
    pub fn to(address: &str) -> Plain {
        Plain {
            address: address.to_owned(),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Transport for Plain {
    fn post(&self, path: &str, user_agent: &str, body: &[u8]) -> io::Result<Response> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {user_agent}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        parse(&answer)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no whole HTTP answer"))
    }
}

/// Reads a whole answer; `None` where it was cut short.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = answer[end + 4..].to_vec();
    let response = Response {
        status,
        headers,
        body,
    };
    let length: usize = response
        .header("content-length")
        .unwrap_or("0")
        .parse()
        .ok()?;
    (response.body.len() == length).then_some(response)
}
