//! How bytes become arguments.

/// A stream of choices: the input's bytes one after the other, and zeros behind them.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(crate) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// One in so many.
    pub(crate) fn rarely(&mut self, one_in: u8) -> bool {
        self.byte() % one_in == one_in - 1
    }

    /// At most so many of the next bytes: as many as the first of them says.
    pub(crate) fn bytes(&mut self, at_most: usize) -> &'a [u8] {
        let wanted = self.below(at_most.min(255) + 1);
        let (taken, rest) = self.0.split_at(wanted.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Text from any bytes: what is not UTF-8 is left out.
pub(crate) fn text(data: &[u8]) -> String {
    data.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// The lines of a text, so that several arguments stand in one input.
pub(crate) fn lines(data: &[u8]) -> Vec<String> {
    text(data).split('\n').map(str::to_owned).collect()
}

/// What must be unseen: neither `shown` nor a way to write it (`Debug`, `Display`) may depend on it. `other` is the same value with
/// other secrets.
pub(crate) fn looks_the_same(shown: &impl std::fmt::Debug, other: &impl std::fmt::Debug) {
    assert_eq!(format!("{shown:?}"), format!("{other:?}"), "a secret is shown");
}
