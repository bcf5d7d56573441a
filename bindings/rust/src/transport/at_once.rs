//! Not too many requests at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grantway_core::operation::{HttpReply, HttpRequest, Method};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use super::{BoxFuture, Transport};

/// LIMIT: enough for a thousand refreshes a minute at an issuer that takes half a second, few enough to be no crowd
/// (design §8).
pub const PER_ISSUER: usize = 8;

/// A transport that sends at most eight POSTs at once to each origin; the others wait.
///
/// An effect does not say whether it is a refresh. But what the engine posts goes to an issuer's endpoints, and an
/// issuer's endpoints share an origin unless an operator has pinned another, so the bound on concurrent refreshes per issuer is
/// kept by counting POSTs per origin; code redemptions, registrations and revocations count too. Waiting is part of the
/// exchange: `start_within_ms` and `timeout_ms` run meanwhile, and one whose time to start is over is not sent.
pub struct AtOnce<T> {
    inner: T,
    limit: usize,
    slots: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl<T: Transport> AtOnce<T> {
    /// With [`PER_ISSUER`] slots for each origin.
    pub fn new(inner: T) -> Self {
        Self::with_limit(inner, PER_ISSUER)
    }

    /// With so many slots for each origin, at least one.
    pub fn with_limit(inner: T, limit: usize) -> Self {
        Self { inner, limit: limit.max(1), slots: Mutex::new(HashMap::new()) }
    }

    /// The slots of an origin. Those that nobody has or waits for are let go.
    fn slots(&self, origin: String) -> Arc<Semaphore> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, one| Arc::strong_count(one) > 1);
        Arc::clone(slots.entry(origin).or_insert_with(|| Arc::new(Semaphore::new(self.limit))))
    }
}

impl<T: Transport> Transport for AtOnce<T> {
    fn exchange(&self, request: HttpRequest) -> BoxFuture<'_, HttpReply> {
        let origin = match (request.method, Url::parse(&request.url)) {
            (Method::Post, Ok(url)) => url.origin().ascii_serialization(),
            _ => return self.inner.exchange(request),
        };
        let within = Duration::from_millis(request.start_within_ms);
        // INVARIANT: its time counts from this call, not from when it gets a slot.
        let exchange = self.inner.exchange(request);
        Box::pin(async move {
            let slots = self.slots(origin);
            // Without a slot in time it is too late to start, which the exchange itself finds out.
            let _slot = timeout(within, slots.acquire()).await;
            exchange.await
        })
    }
}

impl<T> fmt::Debug for AtOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOnce").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use grantway_core::address::AddressPolicy;
    use grantway_core::operation::NotSent;
    use grantway_core::secret::SecretBytes;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Takes a second for each exchange and counts how many there are at once; too late is too late.
    #[derive(Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
        sent: AtomicUsize,
    }

    impl Transport for Arc<Slow> {
        fn exchange(&self, request: HttpRequest) -> BoxFuture<'_, HttpReply> {
            let latest = Instant::now() + Duration::from_millis(request.start_within_ms);
            Box::pin(async move {
                if Instant::now() >= latest {
                    return HttpReply::NotSent(NotSent::TooLate);
                }
                self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                self.sent.fetch_add(1, Ordering::SeqCst);
                HttpReply::UnknownOutcome
            })
        }
    }

    fn post(url: &str, start_within_ms: u64) -> HttpRequest {
        HttpRequest {
            method: Method::Post,
            url: url.to_owned(),
            headers: Vec::new(),
            body: SecretBytes::new(Vec::new()),
            max_response_bytes: 0,
            timeout_ms: 60_000,
            start_within_ms,
            address_policy: AddressPolicy::Public,
        }
    }

    async fn send_all(requests: Vec<HttpRequest>) -> (Arc<Slow>, Vec<HttpReply>, Duration) {
        let slow = Arc::new(Slow::default());
        let transport = Arc::new(AtOnce::new(Arc::clone(&slow)));
        let begun = Instant::now();
        let sending = requests.into_iter().map(|request| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move { transport.exchange(request).await })
        });
        let mut replies = Vec::new();
        for sent in sending.collect::<Vec<_>>() {
            replies.push(sent.await.unwrap());
        }
        assert!(transport.slots.lock().unwrap().len() <= 3);
        (slow, replies, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_issuer_meets_eight_posts_at_once_and_another_is_not_kept_waiting() {
        let requests = (0..20).map(|_| post("https://a.example/token", 60_000));
        let (slow, _, took) = send_all(requests.collect()).await;
        assert_eq!((slow.most.load(Ordering::SeqCst), took.as_secs()), (PER_ISSUER, 3));
        let both = ["https://a.example/token", "https://b.example/token"].into_iter().cycle().take(16);
        let (slow, _, took) = send_all(both.map(|url| post(url, 60_000)).collect()).await;
        assert_eq!((slow.most.load(Ordering::SeqCst), took.as_secs()), (16, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_past_the_time_to_start_is_not_sent() {
        let requests = (0..20).map(|_| post("https://a.example/token", 1_500));
        let (slow, replies, _) = send_all(requests.collect()).await;
        assert_eq!(slow.sent.load(Ordering::SeqCst), 16);
        let late = replies.iter().filter(|reply| matches!(reply, HttpReply::NotSent(NotSent::TooLate)));
        assert_eq!(late.count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_is_not_counted() {
        let get = |_| HttpRequest { method: Method::Get, ..post("https://a.example/meta", 60_000) };
        let (slow, _, took) = send_all((0..20).map(get).collect()).await;
        assert_eq!((slow.most.load(Ordering::SeqCst), took.as_secs()), (20, 1));
    }
}
