//! A map that forgets what is old.

use std::collections::HashMap;

use grantway_core::principal::Caller;

/// Values by caller and connector, a bounded number of them.
///
/// Two halves: what is put goes into the young one; when that is full it becomes the old one, and what was old is forgotten.
/// So the oldest go first, between half the bound and the bound are kept, and no order has to be maintained. Looking up
/// allocates nothing.
#[derive(Debug)]
pub(super) struct Recent<V> {
    young: Half<V>,
    young_len: usize,
    old: Half<V>,
    half: usize,
}

type Half<V> = HashMap<Caller, HashMap<String, V>>;

impl<V> Recent<V> {
    /// At most `bound` values.
    pub(super) fn new(bound: usize) -> Self {
        Self { young: Half::new(), young_len: 0, old: Half::new(), half: (bound / 2).max(1) }
    }

    pub(super) fn get(&self, caller: &Caller, connector: &str) -> Option<&V> {
        [&self.young, &self.old].into_iter().find_map(|half| half.get(caller)?.get(connector))
    }

    pub(super) fn put(&mut self, caller: &Caller, connector: &str, value: V) {
        self.remove(caller, connector);
        if self.young_len == self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_len = 0;
        }
        self.young_len += 1;
        self.young.entry(caller.clone()).or_default().insert(connector.to_owned(), value);
    }

    pub(super) fn remove(&mut self, caller: &Caller, connector: &str) -> Option<V> {
        if let Some(value) = remove(&mut self.young, caller, connector) {
            self.young_len -= 1;
            return Some(value);
        }
        remove(&mut self.old, caller, connector)
    }

    /// Keeps those of which this is true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Caller, &str, &V) -> bool) {
        for half in [&mut self.young, &mut self.old] {
            half.retain(|caller, own| {
                own.retain(|connector, value| keep(caller, connector, value));
                !own.is_empty()
            });
        }
        self.young_len = self.young.values().map(HashMap::len).sum();
    }
}

fn remove<V>(half: &mut Half<V>, caller: &Caller, connector: &str) -> Option<V> {
    let own = half.get_mut(caller)?;
    let value = own.remove(connector)?;
    if own.is_empty() {
        half.remove(caller);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use grantway_core::principal::Principal;

    use super::*;

    fn caller(number: usize) -> Caller {
        Caller::new("acme", Principal::user(number.to_string()).unwrap()).unwrap()
    }

    fn held(recent: &Recent<usize>, upto: usize) -> Vec<usize> {
        (0..upto).filter(|number| recent.get(&caller(*number), "c") == Some(number)).collect()
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_bound_holds() {
        let mut recent = Recent::new(10);
        for number in 0..1000 {
            recent.put(&caller(number), "c", number);
            let held = held(&recent, number + 1);
            assert!(held.len() <= 10 && held.len() >= 5.min(number + 1));
            assert!(held.windows(2).all(|pair| pair[0] + 1 == pair[1]) && held.last() == Some(&number));
        }
    }

    #[test]
    fn putting_again_replaces_and_makes_young() {
        let mut recent = Recent::new(10);
        for number in 0..200 {
            recent.put(&caller(0), "c", 0);
            recent.put(&caller(number), "c", number);
        }
        assert!(held(&recent, 1) == [0]);
        assert_eq!(recent.remove(&caller(0), "c"), Some(0));
        assert_eq!(recent.get(&caller(0), "c"), None);
    }

    #[test]
    fn removed_values_leave_room() {
        let mut recent = Recent::new(4);
        for number in 0..100 {
            recent.put(&caller(number), "c", number);
            recent.put(&caller(number), "d", number);
            recent.remove(&caller(number), "c");
            recent.retain(|_, connector, value| connector == "d" && value % 2 == 0);
        }
        assert_eq!(recent.get(&caller(98), "d"), Some(&98));
        assert_eq!(recent.get(&caller(99), "d"), None);
    }
}
