//! One child process of the supervisor.
//!
//! In: settings. Out: a process that is ready, or the reason why not, in the child's own words.
//! Promised: the child has the environment it was given and no other, and its standard input is a
//! pipe that closes with the parent.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{
    child::{FAILED, READY},
    relay,
    supervise::{EngineSettings, SuperviseError},
};

/// A start with 22 million rows takes 0.3 s; this allows for a cold disk and thousands of parts.
pub(super) const START: Duration = Duration::from_secs(120);

/// A child process. Killed when dropped, waited for by the runtime.
pub(super) struct Process {
    pub(super) child: Child,
    // Held open: the child ends when it closes.
    pub(super) stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    pub(super) fn spawn(settings: &EngineSettings) -> Result<Self, SuperviseError> {
        let limits = &settings.limits;
        let mut command = Command::new(&settings.program);
        command
            .arg("engine")
            .arg("--supervised")
            .arg("--data")
            .arg(&settings.data);
        command.arg("--lib").arg(&settings.library);
        if let Some(socket) = &settings.socket {
            command.arg("--socket").arg(socket);
        }
        if let Some(listen) = settings.listen {
            command.arg("--listen").arg(listen.to_string());
        }
        let numbers = [
            ("--memory-bytes", limits.memory_bytes),
            ("--query-memory-bytes", limits.query_memory_bytes),
            ("--query-threads", limits.query_threads.into()),
            ("--queries", limits.queries as u64),
            ("--connections", limits.connections as u64),
            ("--query-seconds", limits.query_seconds.into()),
        ];
        for (name, value) in numbers {
            command.arg(name).arg(value.to_string());
        }
        command
            .env_clear()
            .envs(settings.environment.iter().cloned());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawn = |source| SuperviseError::Spawn {
            program: settings.program.display().to_string(),
            source,
        };
        // Ctrl-C in a terminal is for the parent, which still has requests to answer; the child ends with it.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(spawn)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        if let Some(stderr) = child.stderr.take() {
            // Ends with the child, whose pipe it reads.
            tokio::spawn(relay::relay(stderr));
        }
        Ok(Self {
            child,
            stdin,
            stdout,
        })
    }

    /// Waits until the child is ready; returns its TCP address, if it has one.
    pub(super) async fn ready(&mut self) -> Result<Option<SocketAddr>, SuperviseError> {
        let mut line = String::new();
        let read = async {
            match &mut self.stdout {
                Some(stdout) => stdout.read_line(&mut line).await,
                None => Ok(0),
            }
        };
        let read = timeout(START, read).await;
        if let Some(said) = line.trim_end().strip_prefix(READY) {
            let listen = said
                .split(' ')
                .find_map(|word| word.strip_prefix("listen="));
            return Ok(listen.and_then(|address| address.parse().ok()));
        }
        drop(self.child.start_kill());
        let exit = self.child.wait().await;
        if read.is_err() {
            return Err(SuperviseError::Slow);
        }
        if let Some(reason) = line.trim_end().strip_prefix(FAILED) {
            return Err(SuperviseError::Failed {
                reason: reason.trim_start().to_owned(),
            });
        }
        match exit {
            Ok(exit) => Err(SuperviseError::Ended { exit }),
            Err(source) => Err(SuperviseError::Spawn {
                program: "engine".to_owned(),
                source,
            }),
        }
    }
}
