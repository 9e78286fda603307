//! Passwords from a terminal without echo, or from a pipe. Never from arguments: other users of the machine see them.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::access::password;

/// Most bytes of a line: beyond any password, so that a wrong file piped in does not fill the memory.
const MAX_LINE: u64 = 4_096;

/// Gives the terminal its echo back, whatever happens.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Quiet> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes &= !LocalModes::ECHO;
        quiet.local_modes |= LocalModes::ECHONL;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nobody is left to be told; a terminal that is gone needs no echo.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).unwrap_or_default();
    }
}

/// Asks for a new password of `name`, twice on a terminal, and checks it.
///
/// # Errors
/// It will not do, the two differ, or standard input ended.
pub(super) fn new_password(name: &str) -> anyhow::Result<Zeroizing<String>> {
    let is_terminal = io::stdin().is_terminal();
    let typed = match is_terminal {
        true => asked("Password: ")?,
        false => line()?,
    };
    password::check(name, &typed)?;
    if is_terminal {
        ensure!(typed == asked("The same again: ")?, "the two differ");
    }
    Ok(typed)
}

fn asked(question: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut terminal = io::stderr();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let _quiet = Quiet::begin().context("the terminal's echo cannot be turned off")?;
    line()
}

fn line() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let input = io::stdin().lock();
    io::Read::take(input, MAX_LINE).read_line(&mut text)?;
    ensure!(
        !text.is_empty(),
        "no password came; type it, or pipe it in as one line"
    );
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
