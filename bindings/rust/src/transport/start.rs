//! The line between "not sent" and "perhaps sent".

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a request may wait for its first byte, and whether that byte has left.
pub(super) struct Start {
    received: Instant,
    received_wall: SystemTime,
    within: Duration,
    begun: AtomicBool,
}

impl Start {
    /// Counts from now.
    pub(super) fn within(within: Duration) -> Self {
        Self {
            received: Instant::now(),
            received_wall: SystemTime::now(),
            within,
            begun: AtomicBool::new(false),
        }
    }

    /// The time that has passed.
    ///
    /// INVARIANT: the larger of both clocks. The monotonic one stands still while the machine sleeps, and the lease that
    /// `within` stems from does not; a wall clock set forward costs one needless "too late", which is harmless.
    pub(super) fn elapsed(&self) -> Duration {
        self.received.elapsed().max(self.received_wall.elapsed().unwrap_or_default())
    }

    /// What is left of the time to start.
    pub(super) fn left(&self) -> Duration {
        self.within.saturating_sub(self.elapsed())
    }

    /// Whether it is too late to start.
    pub(super) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Whether a byte may have left.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn begin(&self) -> io::Result<()> {
        if self.has_begun() {
            return Ok(());
        }
        if self.is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.begun.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A connection whose first write asks [`Start`] for leave and is recorded there before a byte moves.
///
/// It stands between HTTP and TLS, so that handshakes pass below it and only the request itself counts.
pub(super) struct Gate<'a, S> {
    stream: S,
    start: &'a Start,
}

impl<'a, S> Gate<'a, S> {
    pub(super) fn new(stream: S, start: &'a Start) -> Self {
        Self { stream, start }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

// Vectored writes are left to the default, which comes here too.
impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.start.begin()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_first_write_is_recorded_before_it_moves() {
        let (near, mut far) = tokio::io::duplex(64);
        let start = Start::within(TEN_SECONDS);
        assert!(!start.has_begun());
        Gate::new(near, &start).write_all(b"x").await.unwrap();
        assert!(start.has_begun());
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"x");
    }

    #[tokio::test]
    async fn nothing_passes_after_the_time_to_start_by_either_clock() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        for (received, received_wall) in [(now - TEN_SECONDS, wall), (now, wall - TEN_SECONDS)] {
            let begun = AtomicBool::new(false);
            let start = Start { received, received_wall, within: TEN_SECONDS, begun };
            let (near, mut far) = tokio::io::duplex(64);
            assert!(Gate::new(near, &start).write_all(b"x").await.is_err());
            assert!(!start.has_begun());
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, b"");
        }
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_not_cut_off_by_the_time_to_start() {
        let (near, _far) = tokio::io::duplex(64);
        let mut start = Start::within(TEN_SECONDS);
        Gate::new(near, &start).write_all(b"x").await.unwrap();
        start.within = Duration::ZERO;
        let (near, _far) = tokio::io::duplex(64);
        Gate::new(near, &start).write_all(b"y").await.unwrap();
    }
}
