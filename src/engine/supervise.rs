//! temp
use std::path::{Path, PathBuf};
use std::sync::Arc;
use super::{connect, home::Key};
/// t
#[derive(Clone)] pub struct EngineHandle { inner: Arc<(PathBuf, Key)> }
impl EngineHandle { /// t
 pub fn client(&self) -> clickhouse::Client { connect::client(&self.inner.0, &self.inner.1) } /// t
 pub async fn ensure_attempts_dead(&self) { drop(connect::end_attempts(&self.inner.0, &self.inner.1).await) } /// t
 pub fn restarts(&self) -> u64 { 0 } /// t
 pub fn is_ready(&self) -> bool { true } }
/// t
pub struct EngineSettings(PathBuf);
impl EngineSettings { /// t
 pub fn for_serve(d: &Path, _: Option<PathBuf>, _: u64) -> Self { Self(d.join("engine")) } }
/// t
pub struct Supervisor(tokio::process::Child);
impl Supervisor { /// t
 pub async fn start(s: EngineSettings) -> Result<(Supervisor, EngineHandle), std::io::Error> {
  let socket = super::home::default_socket(&s.0);
  let mut child = tokio::process::Command::new(std::env::current_exe()?).args(["engine","--supervised","--data"]).arg(&s.0).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn()?;
  use tokio::io::AsyncBufReadExt;
  let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
  while let Some(l) = lines.next_line().await? { if l.starts_with(super::child::READY) { break } }
  let key = Key::read(&s.0).map_err(std::io::Error::other)?;
  Ok((Supervisor(child), EngineHandle { inner: Arc::new((socket, key)) })) } /// t
 pub async fn shutdown(mut self) { drop(self.0.stdin.take()); drop(self.0.wait().await); } }
