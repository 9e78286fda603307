//! The running brine that a command asks: where its admin listener is, and the key that opens it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::config::load;
use crate::config::settings::Environment;

const DEFAULT_ADMIN: &str = "127.0.0.1:8081";

/// Which brine is meant.
#[derive(Debug, Args)]
pub(super) struct Running {
    /// The admin listener of the running brine.
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// Its data directory, whose key opens the admin listener.
    #[arg(
        long,
        global = true,
        default_value = "./brine-data",
        value_name = "DIR",
        conflicts_with = "config"
    )]
    data: PathBuf,
    /// Its configuration file, which names both.
    #[arg(long, global = true, env = "BRINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Running {
    /// Returns its configuration file, if it was named.
    pub(super) fn config(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    /// Finds out where it answers, and reads the key.
    pub(super) fn find(&self, environment: &Environment) -> anyhow::Result<Listener> {
        let (named, data) = match &self.config {
            Some(path) => {
                let (_, config) = load::from_file(path, environment)?;
                (Some(config.server.admin), config.directory)
            }
            None => (None, self.data.clone()),
        };
        let admin = match self.admin.or(named) {
            Some(admin) => admin,
            // A loopback address in digits is an address.
            None => DEFAULT_ADMIN.parse()?,
        };
        Ok(Listener {
            admin,
            bearer: super::bearer_of_operator(&data)?,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }
}

/// Its admin listener.
pub(super) struct Listener {
    admin: SocketAddr,
    bearer: Zeroizing<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Listener {
    /// Posts JSON, and returns the answer whatever its status.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let admin = self.admin;
        let request = Request::post(format!("http://{admin}{path}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", *self.bearer))
            .body(Full::new(Bytes::from(body.to_string())))?;
        let reply = self.client.request(request).await.with_context(|| {
            format!("no brine answers at {admin}; name its admin listener with --admin or --config")
        })?;
        let status = reply.status();
        let bytes = reply.into_body().collect().await?.to_bytes();
        let answer = serde_json::from_slice(&bytes)
            .with_context(|| format!("{admin} answers {status}, and not as brine does"))?;
        Ok((status, answer))
    }

    /// Posts JSON; an answer that is a refusal is an error.
    pub(super) async fn ask(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        match self.post(path, body).await? {
            (StatusCode::OK, answer) => Ok(answer),
            (status, answer) => bail!("{}", answer["detail"].as_str().unwrap_or(status.as_str())),
        }
    }
}
