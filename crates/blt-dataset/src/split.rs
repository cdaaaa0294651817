//! Split expressions such as `train[:1%]+test[10:20]`, with the meaning that the `datasets` library gives them.

use std::ops::Range;

use crate::resolve::ResolveError;

/// Rows of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSlice {
    /// The split's name.
    pub split: String,
    /// Where the rows begin.
    pub from: Option<Bound>,
    /// Before which row they end.
    pub to: Option<Bound>,
}

/// A row's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// So many rows from the start, or where negative from the end.
    Row(i64),
    /// So many hundredths of all rows, or where negative from the end; rounded to the nearest row, and to the even of two.
    Percent(i64),
}

impl Eq for Bound {}

impl SplitSlice {
    /// Reads `split[from:to]` and sums of such with `+`.
    ///
    /// # Errors
    ///
    /// Fails with [`ResolveError::Expression`] where it is of another form.
    pub fn parse(expression: &str) -> Result<Vec<Self>, ResolveError> {
        let wrong = |why: &str| ResolveError::Expression { expression: expression.to_owned(), why: why.to_owned() };
        let slices = expression.split('+').map(|term| {
            let term = term.trim();
            let (split, slice) = match term.split_once('[') {
                None => (term, None),
                Some((split, slice)) => {
                    (split, Some(slice.strip_suffix(']').ok_or_else(|| wrong("a `]` is missing"))?))
                }
            };
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
            if split.is_empty() || !split.chars().all(is_name) {
                return Err(wrong("a split's name is missing or has characters that names do not have"));
            }
            let (from, to) = match slice {
                None => (None, None),
                Some(slice) => {
                    let (from, to) = slice.split_once(':').ok_or_else(|| wrong("a slice is `[from:to]`"))?;
                    let bound = |text: &str| Bound::parse(text.trim()).map_err(|why| wrong(&why));
                    (bound(from)?, bound(to)?)
                }
            };
            Ok(Self { split: split.to_owned(), from, to })
        });
        slices.collect()
    }

    /// Whether the rows are known only when all of the split's are counted.
    pub(crate) fn needs_count(&self) -> bool {
        let counts = |bound: &Option<Bound>| match bound {
            Some(Bound::Row(row)) => *row < 0,
            Some(Bound::Percent(_)) => true,
            None => false,
        };
        counts(&self.from) || counts(&self.to)
    }

    /// The rows meant, of a split that has `n_rows`; those may be none in particular where they need not be counted.
    pub(crate) fn range(&self, n_rows: u64) -> Range<u64> {
        let place = |bound: Bound| match bound {
            Bound::Row(row) if row < 0 => n_rows.saturating_sub(row.unsigned_abs()),
            Bound::Row(row) => row.unsigned_abs().min(n_rows),
            Bound::Percent(percent) => {
                // As the library computes it: floating point, and ties to even.
                let from_start =
                    (percent.unsigned_abs().min(100) as f64 * n_rows as f64 / 100.0).round_ties_even() as u64;
                if percent < 0 { n_rows - from_start } else { from_start }
            }
        };
        let (from, to) = (self.from.map_or(0, place), self.to.map_or(n_rows, place));
        from..to.max(from)
    }
}

impl Bound {
    fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let (digits, is_percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        let value: i64 = digits.replace('_', "").parse().map_err(|_| format!("`{text}` is no whole number"))?;
        if is_percent && !(-100..=100).contains(&value) {
            return Err(format!("`{text}` is more than all"));
        }
        Ok(Some(if is_percent { Self::Percent(value) } else { Self::Row(value) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, n_rows: u64, ranges: &[(&str, Range<u64>)]) {
        let slices = SplitSlice::parse(expression).unwrap();
        let found: Vec<_> = slices.iter().map(|slice| (slice.split.as_str(), slice.range(n_rows))).collect();
        assert_eq!(found, ranges);
    }

    /// What `datasets` 5.2.0 answers to `ReadInstruction.from_spec(..).to_absolute(..)`; its 20 to 10 are no rows here.
    #[test]
    fn slices_mean_what_they_mean_in_datasets() {
        check("train", 100, &[("train", 0..100)]);
        check("train[:1%]", 1000, &[("train", 0..10)]);
        check("train[10:20]+test[:5]", 100, &[("train", 10..20), ("test", 0..5)]);
        check("train[-10:]", 100, &[("train", 90..100)]);
        check("train[-5%:]", 100, &[("train", 95..100)]);
        check("train[:150]", 100, &[("train", 0..100)]);
        check("train[50%:60%]", 5, &[("train", 2..3)]);
        check("train[10%:30%]", 5, &[("train", 0..2)]);
        check("train[-30%:]", 5, &[("train", 3..5)]);
        check("train[20:10]", 100, &[("train", 20..20)]);
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for wrong in ["", "train[", "train[5]", "train[a:b]", "train[:200%]", "train++test", "a/b", "train[:1.5%]"] {
            assert!(SplitSlice::parse(wrong).is_err(), "{wrong}");
        }
    }
}
