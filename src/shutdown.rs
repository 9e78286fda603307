//! The one way in which tasks hear that brine is to stop.

use tokio::sync::watch;

/// Returns when shutdown was asked for, or when nobody is left to ask.
///
/// # Cancel safety
/// May be dropped and called again.
pub async fn asked(shutdown: &mut watch::Receiver<bool>) {
    // Both ends mean the same; the borrow of the value must not outlive this line.
    drop(shutdown.wait_for(|closing| *closing).await);
}
