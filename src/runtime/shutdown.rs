//! Waits for the signals that ask a process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at the first SIGINT (Ctrl-C) or SIGTERM, with its name.
pub(crate) async fn signalled() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}
