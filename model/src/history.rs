//! Undo and redo of any value.

/// A value with its past and its future. Both are values themselves: nothing is computed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<T> {
    past: Vec<Entry<T>>,
    now: T,
    future: Vec<Entry<T>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<T> {
    /// What was done between this value and its neighbour towards the present.
    label: String,
    value: T,
}

impl<T: Clone + PartialEq> History<T> {
    /// Begins with a value.
    pub fn new(value: T) -> History<T> {
        History { past: Vec::new(), now: value, future: Vec::new() }
    }

    /// The present value.
    pub fn now(&self) -> &T {
        &self.now
    }

    /// Makes a value the present one. What was undone is forgotten; a value that does not differ changes nothing.
    pub fn record(&mut self, label: impl Into<String>, value: T) {
        if value == self.now {
            return;
        }
        let value = std::mem::replace(&mut self.now, value);
        self.past.push(Entry { label: label.into(), value });
        self.future.clear();
    }

    /// Goes one step back. Returns what was undone.
    pub fn undo(&mut self) -> Option<String> {
        let Entry { label, value } = self.past.pop()?;
        let value = std::mem::replace(&mut self.now, value);
        self.future.push(Entry { label: label.clone(), value });
        Some(label)
    }

    /// Goes one step forward again. Returns what was done again.
    pub fn redo(&mut self) -> Option<String> {
        let Entry { label, value } = self.future.pop()?;
        let value = std::mem::replace(&mut self.now, value);
        self.past.push(Entry { label: label.clone(), value });
        Some(label)
    }

    /// What [`History::undo`] would undo.
    pub fn undoable(&self) -> Option<&str> {
        self.past.last().map(|e| e.label.as_str())
    }

    /// What [`History::redo`] would do again.
    pub fn redoable(&self) -> Option<&str> {
        self.future.last().map(|e| e.label.as_str())
    }

    /// The value at the beginning.
    pub fn first(&self) -> &T {
        self.past.first().map_or(&self.now, |e| &e.value)
    }

    /// What was done, the latest last.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.past.iter().map(|e| e.label.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undo_and_redo_are_inverse_until_something_new_is_done() {
        let mut h = History::new(1);
        h.record("two", 2);
        h.record("three", 3);
        h.record("nothing", 3);
        assert_eq!((h.undo(), *h.now()), (Some("three".to_string()), 2));
        assert_eq!((h.undo(), *h.now()), (Some("two".to_string()), 1));
        assert_eq!((h.undo(), *h.now()), (None, 1));
        assert_eq!((h.redo(), *h.now()), (Some("two".to_string()), 2));
        h.record("four", 4);
        assert_eq!((h.redo(), *h.now(), *h.first()), (None, 4, 1));
        assert_eq!(h.labels().collect::<Vec<_>>(), ["two", "four"]);
    }
}
