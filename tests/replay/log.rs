//! Reads the combined log format, on its own: nothing of the product's parsers is used here.

use jiff::Timestamp;
use jiff::fmt::strtime;

/// One request of the log.
pub(crate) struct Line {
    pub(crate) host: String,
    pub(crate) at: Timestamp,
    pub(crate) path: String,
    pub(crate) referrer: Option<String>,
    pub(crate) user_agent: String,
}

/// Reads `host - - [time] "GET path HTTP/1.1" status bytes "referrer" "agent"`; None for what is no request
/// for a page.
pub(crate) fn parse(line: &str) -> Option<Line> {
    let (host, rest) = line.split_once(' ')?;
    let (_, rest) = rest.split_once('[')?;
    let (time, rest) = rest.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut request = request.split(' ');
    let (method, path) = (request.next()?, request.next()?);
    if !matches!(method, "GET" | "HEAD" | "POST") || !path.starts_with('/') {
        return None;
    }
    let mut quoted = rest.split('"');
    let _status_and_bytes = quoted.next()?;
    let referrer = quoted.next()?;
    let _space = quoted.next()?;
    let user_agent = quoted.next()?;
    let at = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
        .ok()?
        .to_timestamp()
        .ok()?;
    Some(Line {
        host: host.to_owned(),
        at,
        path: path.to_owned(),
        referrer: (referrer != "-").then(|| referrer.to_owned()),
        user_agent: if user_agent == "-" {
            String::new()
        } else {
            user_agent.to_owned()
        },
    })
}
