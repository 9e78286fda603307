//! The generator: raw sockets, prepared requests, latencies without coordinated omission.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;

/// One way of sending.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Requests a second over all connections; none: as fast as answers come.
    pub(crate) rate: Option<u32>,
    pub(crate) duration: Duration,
}

/// What one round gave.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
    pub(crate) refused: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0}/s   p50 {:>6.0} us   p99 {:>6.0} us   CPU {:>5.1} us a request   {} refused",
            self.per_second, self.p50_us, self.p99_us, self.cpu_us, self.refused
        )
    }
}

impl Figures {
    /// Takes the median of each figure.
    pub(crate) fn median(rounds: &[Figures]) -> Figures {
        let middle = |figure: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Figures {
            per_second: middle(|f| f.per_second),
            p50_us: middle(|f| f.p50_us),
            p99_us: middle(|f| f.p99_us),
            cpu_us: middle(|f| f.cpu_us),
            refused: rounds.iter().map(|f| f.refused).sum(),
        }
    }
}

struct Tally {
    histogram: Histogram<u64>,
    refused: u64,
}

impl Load {
    /// Sends `beacons` in turn and measures the server meanwhile.
    pub(crate) fn run(&self, server: &Server, beacons: &Arc<Vec<Vec<u8>>>) -> Figures {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let load = *self;
        let (cpu_before, started) = (server.cpu(), Instant::now());
        let tally = runtime.block_on(async {
            let until = Instant::now() + load.duration;
            let tasks: Vec<_> = (0..load.connections)
                .map(|n| tokio::spawn(load.connection(n, server.address, beacons.clone(), until)))
                .collect();
            let mut all = Tally {
                histogram: Histogram::new(3).expect("3 digits"),
                refused: 0,
            };
            for task in tasks {
                let tally = task.await.expect("a connection");
                all.histogram.add(&tally.histogram).expect("same bounds");
                all.refused += tally.refused;
            }
            all
        });
        let elapsed = started.elapsed();
        let cpu = server.cpu() - cpu_before;
        let n = tally.histogram.len().max(1) as f64;
        Figures {
            per_second: n / elapsed.as_secs_f64(),
            p50_us: tally.histogram.value_at_quantile(0.5) as f64,
            p99_us: tally.histogram.value_at_quantile(0.99) as f64,
            cpu_us: cpu.as_secs_f64() * 1e6 / n,
            refused: tally.refused,
        }
    }

    async fn connection(
        self,
        n: usize,
        address: SocketAddr,
        beacons: Arc<Vec<Vec<u8>>>,
        until: Instant,
    ) -> Tally {
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let mut tally = Tally {
            histogram: Histogram::new_with_max(60_000_000, 3).expect("bounds"),
            refused: 0,
        };
        let gap = self
            .rate
            .map(|rate| Duration::from_secs_f64(self.connections as f64 / f64::from(rate)));
        // Connections take turns within the gap, so that arrivals are even.
        let start = Instant::now()
            + gap.map_or(Duration::ZERO, |gap| {
                gap.mul_f64(n as f64 / self.connections as f64)
            });
        let mut buffer = vec![0; 16_384];
        let mut numbered = Vec::new();
        for k in 0.. {
            // The latency counts from when the request was due, not from when it could be sent.
            let due = match gap {
                None => Instant::now(),
                Some(gap) => {
                    let due = start + gap * k;
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
            };
            if due >= until {
                break;
            }
            let request = &beacons[(k as usize * self.connections + n) % beacons.len()];
            match number_place(request) {
                None => stream.write_all(request).await.expect("the server reads"),
                Some(place) => {
                    // Another sender each time: what is sent again would count as repeated.
                    numbered.clone_from(request);
                    let number = format!("{n:05}{k:010}");
                    numbered[place..place + number.len()].copy_from_slice(number.as_bytes());
                    stream.write_all(&numbered).await.expect("the server reads");
                }
            }
            if !answered_202(&mut stream, &mut buffer).await {
                tally.refused += 1;
            }
            tally
                .histogram
                .saturating_record(due.elapsed().as_micros() as u64);
        }
        tally
    }
}

/// Where a request wants a number, 15 digits, that no other has.
fn number_place(request: &[u8]) -> Option<usize> {
    // In the head of a batch's body; single beacons are shorter.
    let start = request.len().min(NUMBERED_WITHIN);
    let at = request[..start]
        .windows(NUMBER.len())
        .position(|bytes| bytes == NUMBER)?;
    Some(at + NUMBER.len())
}

/// Stands before the place of the number.
pub(crate) const NUMBER: &[u8] = b"install-";

const NUMBERED_WITHIN: usize = 700;

/// Reads one reply, with a body if it has one.
async fn answered_202(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        let n = stream
            .read(&mut buffer[filled..])
            .await
            .expect("the server answers");
        assert!(n > 0, "the server closed a connection");
        filled += n;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            return buffer.starts_with(b"HTTP/1.1 202");
        }
        let head = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n");
        if let Some(end) = head {
            // Of single beacons a reply with a body is a refusal; its bytes follow at once in the same segment.
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok());
            if filled >= end + 4 + length.unwrap_or(0) {
                return buffer.starts_with(b"HTTP/1.1 202");
            }
        }
    }
}
