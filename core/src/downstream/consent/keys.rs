//! Counting wrong keys: ten in ten minutes pause the browser (atk:CON-07).

use crate::error::Code;
use crate::limits::WRONG_KEYS_MAX;
use crate::operation::{Context, OperationId, Versioned};
use crate::principal::TenantId;
use crate::store::records::AttemptsRecord;
use crate::store::{Key, as_seen, put_index};
use crate::upstream::{Decide, Decision};

/// Counts one more.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct CountWrong {
    pub(super) key: Key,
    pub(super) tenant: TenantId,
}

impl AttemptsRecord {
    /// How many there were within the time that counts.
    pub(super) fn count_now(&self, cx: &Context<'_>) -> u8 {
        let limits = cx.engine.limits();
        let since = self.since.minus(limits.clock_skew_ms);
        let counts = since <= cx.now() && self.since.until(cx.now()) < limits.wrong_keys_ms;
        if counts { self.count } else { 0 }
    }
}

impl Decide for CountWrong {
    type Output = u8;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<u8> {
        let stored = match cx.open::<AttemptsRecord>(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        let before = stored.as_ref().map_or(0, |stored| stored.record.count_now(cx));
        let since = match &stored {
            Some(stored) if before > 0 => stored.record.since,
            _ => cx.now(),
        };
        let count = before.saturating_add(1).min(WRONG_KEYS_MAX);
        if before >= WRONG_KEYS_MAX {
            return Decision::fail(Code::KeyPaused);
        }
        let end = since.plus(cx.engine.limits().wrong_keys_ms);
        let attempts = AttemptsRecord { since, count };
        let writes = vec![
            cx.put(&self.key, as_seen(stored.as_ref()), &attempts, id, Some(end)),
            put_index(Key::expiry(&self.tenant, end, &self.key), None),
        ];
        Decision::Commit(writes, count)
    }
}
