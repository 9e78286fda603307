//! SQL on the engine of a running brine, as an operator with its key would.

use std::time::Instant;

use brine::engine::connect::{Access, post_query};
use brine::engine::home::{Key, default_socket};
use brine::run::engine_directory;
use http_body_util::BodyExt;

use super::server::Server;

/// A running brine, and the right to change its tables.
pub(crate) struct Bench<'a> {
    runtime: tokio::runtime::Runtime,
    server: &'a Server,
    /// Days since 1970-01-01.
    pub(crate) today: u64,
}

impl Bench<'_> {
    pub(crate) fn new(server: &Server) -> Bench<'_> {
        #[allow(clippy::disallowed_methods)] // The bench's own clock.
        let now = jiff::Timestamp::now();
        Bench {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            server,
            today: u64::from(brine::consent::token_day(now)),
        }
    }

    /// Runs a statement; its rows are text.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let engine = engine_directory(&self.server.data());
        let key = Key::read(&engine).expect("the engine's key");
        self.runtime.block_on(async {
            let answer =
                post_query(&default_socket(&engine), &key, sql, "TSV", Access::Write).await;
            let body = answer
                .unwrap_or_else(|e| panic!("{sql}: {e}"))
                .collect()
                .await;
            String::from_utf8_lossy(&body.expect("to its end").to_bytes())
                .trim()
                .to_owned()
        })
    }

    /// Runs a statement; returns its seconds.
    pub(crate) fn timed(&self, sql: &str) -> f64 {
        let begun = Instant::now();
        self.sql(sql);
        begun.elapsed().as_secs_f64()
    }
}
