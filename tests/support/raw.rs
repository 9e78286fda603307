//! HTTP by hand: requests that no client library would send, and connections that behave badly.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, PATIENCE};

/// One connection.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw::try_connect(address).await.expect("it listens")
    }

    /// The same; it may have been killed.
    pub async fn try_connect(address: SocketAddr) -> Option<Raw> {
        let stream = TcpStream::connect(address).await.ok()?;
        Some(Raw {
            stream,
            unread: Vec::new(),
        })
    }

    /// Writes; a peer that has closed already is no fault of the test's.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will come.
    pub async fn finish(&mut self) {
        drop(self.stream.shutdown().await);
    }

    /// Reads one answer; `None` where the connection ends before it.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.take_answer() {
                return Some(answer);
            }
            if self.read().await == 0 {
                return None;
            }
        }
    }

    /// Waits until the peer closes, and returns how long that took. Bytes that come before are dropped.
    pub async fn closed(&mut self) -> Duration {
        let started = std::time::Instant::now();
        while self.read().await > 0 {}
        started.elapsed()
    }

    async fn read(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let n = read.expect("an answer or an end in time").unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..n]);
        n
    }

    fn take_answer(&mut self) -> Option<Answer> {
        let end = self.unread.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').expect("a header");
            headers.append(
                name.parse::<HeaderName>().expect("a name"),
                HeaderValue::from_str(value.trim()).expect("a value"),
            );
        }
        let length = headers
            .get("content-length")
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let body = self.unread.get(end + 4..end + 4 + length)?;
        let body = Bytes::copy_from_slice(body);
        self.unread.drain(..end + 4 + length);
        let status = StatusCode::from_u16(status).expect("a status");
        Some(Answer {
            status,
            headers,
            body,
        })
    }
}

/// Sends one request on a connection of its own and returns its answer.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut raw = Raw::connect(address).await;
    raw.send(bytes).await;
    raw.answer().await
}

/// Writes a POST with its length.
pub fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: brine.test\r\n").into_bytes();
    for (name, value) in headers {
        request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    request.extend_from_slice(body);
    request
}
