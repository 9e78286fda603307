//! A consent storm: visitors who say yes, are counted, change their minds while a beacon of theirs is under
//! way, and say no; over kept-alive connections, as fast as answers come.
//!
//! Each visitor takes two connections in turn: what one of them was answered must hold on the other. Used by
//! the test of that name and by `benches/storm.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How large a storm is.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Visitors who are there at the same time; each has two connections.
    pub crowd: u32,
    pub duration: Duration,
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub grants: u64,
    pub withdrawals: u64,
    pub denials: u64,
    /// Numbers of the beacons answered 202.
    pub accepted: BTreeSet<u64>,
    /// Outcomes of all other beacons.
    pub refused: BTreeMap<String, u64>,
    /// Promises broken, in words.
    pub broken: Vec<String>,
    pub seconds: f64,
}

impl Tally {
    /// Grants and withdrawals a second.
    pub fn choices_per_second(&self) -> f64 {
        (self.grants + self.withdrawals) as f64 / self.seconds
    }

    /// All requests a second: choices and beacons.
    pub fn requests_per_second(&self) -> f64 {
        let beacons = self.accepted.len() as u64 + self.refused.values().sum::<u64>();
        (self.grants + self.withdrawals + self.denials + beacons) as f64 / self.seconds
    }

    fn add(&mut self, other: Tally) {
        self.grants += other.grants;
        self.withdrawals += other.withdrawals;
        self.denials += other.denials;
        self.accepted.extend(other.accepted);
        for (outcome, n) in other.refused {
            *self.refused.entry(outcome).or_default() += n;
        }
        self.broken.extend(other.broken);
    }
}

impl Storm {
    /// Rages against the public listener at `address`.
    pub async fn rage(self, address: SocketAddr) -> Tally {
        let started = Instant::now();
        let until = started + self.duration;
        let mut crowd = JoinSet::new();
        for n in 0..self.crowd {
            // Short enough not to be masked as a telephone number.
            crowd.spawn(visitors(address, u64::from(n) * 20_000, until));
        }
        let mut tally = Tally::default();
        while let Some(ended) = crowd.join_next().await {
            tally.add(ended.expect("a visitor came to an end"));
        }
        tally.seconds = started.elapsed().as_secs_f64();
        tally
    }
}

/// One visitor after another on the same two connections.
async fn visitors(address: SocketAddr, first: u64, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut one = Line::open(address).await;
    let mut other = Line::open(address).await;
    let mut number = first;
    while Instant::now() < until {
        if number.is_multiple_of(16) {
            let denied = one.ask(&choice("deny", None)).await;
            tally.denials += u64::from(denied.status == 204);
        }
        let granted = one.ask(&choice("grant", None)).await;
        let Some(token) = granted.token() else {
            let answer = format!("a grant got {}: {}", granted.status, granted.outcome);
            tally.broken.push(answer);
            break;
        };
        tally.grants += 1;
        number += 1;
        let counted = other.ask(&beacon(&token, number)).await;
        if counted.status != 202 {
            let answer = format!("a beacon under consent got {}", counted.outcome);
            tally.broken.push(answer);
        }
        tally.note(number, &counted);
        // The same moment: the beacon may come before the withdrawal or behind it.
        number += 1;
        let (withdrawal, under_way) = (choice("withdraw", Some(&token)), beacon(&token, number));
        let (withdrawn, raced) = tokio::join!(one.ask(&withdrawal), other.ask(&under_way));
        if withdrawn.status != 204 {
            let answer = format!("a withdrawal got {}", withdrawn.status);
            tally.broken.push(answer);
        }
        tally.withdrawals += 1;
        tally.note(number, &raced);
        // It was answered: from now on nothing passes, on either connection.
        number += 1;
        let line = match tally.grants % 2 {
            0 => &mut one,
            _ => &mut other,
        };
        let late = line.ask(&beacon(&token, number)).await;
        if late.outcome != "consent.withdrawn" {
            let answer = format!("a beacon after the withdrawal got {}", late.outcome);
            tally.broken.push(answer);
        }
        tally.note(number, &late);
    }
    tally
}

impl Tally {
    fn note(&mut self, number: u64, reply: &Reply) {
        if reply.status == 202 {
            self.accepted.insert(number);
        } else {
            *self.refused.entry(reply.outcome.clone()).or_default() += 1;
        }
    }
}

fn choice(word: &str, token: Option<&str>) -> Vec<u8> {
    let token = token.map_or(String::new(), |token| format!(r#","token":"{token}""#));
    let body = format!(r#"{{"site":"portal","choice":"{word}","source":"storm"{token}}}"#);
    request("/api/consent", &body)
}

fn beacon(token: &str, number: u64) -> Vec<u8> {
    let body = format!(
        r#"{{"n":"storm","u":"https://portal.example.test/","d":"portal","c":"{token}","p":{{"n":"{number}"}}}}"#
    );
    request("/api/event", &body)
}

fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: collect.example.test\r\norigin: https://portal.example.test\r\n\
         content-type: text/plain\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 \
         Firefox/143.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

struct Reply {
    status: u16,
    outcome: String,
    body: String,
}

impl Reply {
    fn token(&self) -> Option<String> {
        let rest = self.body.split_once(r#""token":""#)?.1;
        (self.status == 201).then(|| rest.split('"').next().map(str::to_owned))?
    }
}

/// A connection that knows as much HTTP as brine's replies need: a head, and a body of the length it names.
struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    async fn open(address: SocketAddr) -> Line {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Line {
            stream,
            buffer: Vec::new(),
        }
    }

    async fn ask(&mut self, request: &[u8]) -> Reply {
        self.stream.write_all(request).await.expect("it reads");
        self.buffer.clear();
        loop {
            let n = self.stream.read_buf(&mut self.buffer).await;
            assert!(n.expect("it answers") > 0, "a connection was closed");
            let text = String::from_utf8_lossy(&self.buffer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let field = |name: &str| {
                head.lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let length = field("content-length").map_or(0, |n| n.parse().expect("a length"));
            if body.len() < length {
                continue;
            }
            return Reply {
                status: head[9..12].parse().expect("a status"),
                outcome: field("brine-outcome").unwrap_or("none").to_owned(),
                body: body.to_owned(),
            };
        }
    }
}
