//! Masks what looks like the number of a credit card: a run of sixteen digits, of which the
//! last four stay.

use millrace_plugin::{plugin, Batch, Error, Interceptor, Settings};

struct Mask;

const DIGITS: usize = 16;

/// Where the first run of sixteen digits begins, from `at` on. Most bytes are skipped: of any
/// sixteen in a row, one in a place that divides by sixteen must be a digit.
fn find(value: &[u8], at: usize) -> Option<usize> {
    let mut probe = at + DIGITS - 1;
    while probe < value.len() {
        if !value[probe].is_ascii_digit() {
            probe += DIGITS;
            continue;
        }
        let mut begin = probe;
        while begin > at && value[begin - 1].is_ascii_digit() {
            begin -= 1;
        }
        let run = value[begin..]
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .count();
        if run >= DIGITS {
            return Some(begin);
        }
        probe = begin + run + DIGITS;
    }
    None
}

fn mask(value: &mut [u8], mut at: usize) {
    loop {
        // Two stores: to fill so few bytes is a call in WebAssembly.
        value[at..at + 8].copy_from_slice(&[b'*'; 8]);
        value[at + 8..at + DIGITS - 4].copy_from_slice(&[b'*'; DIGITS - 12]);
        match find(value, at + DIGITS) {
            Some(next) => at = next,
            None => return,
        }
    }
}

impl Interceptor for Mask {
    fn configure(_: &Settings) -> Result<Self, String> {
        Ok(Mask)
    }

    fn on_produce(&mut self, batch: &mut Batch) -> Result<(), Error> {
        for record in batch.records() {
            let Some(value) = record.value else { continue };
            if let Some(at) = find(value, 0) {
                mask(batch.edit_value(record.index, value), at);
            }
        }
        Ok(())
    }
}

plugin!(Mask, fail_closed);

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_plugin::testing::{run, Fate};

    #[test]
    fn numbers_are_masked() {
        let mut mask = Mask::configure(&Settings::default()).unwrap();
        let fates = run(
            &mut mask,
            Interceptor::on_produce,
            &[
                (None, Some(b"card 4111111111111111, and 5500000000000004.")),
                (None, Some(b"123456789012345")),
                (None, None),
            ],
        );
        let want = b"card ************1111, and ************0004.".to_vec();
        let edited = Fate::Edited {
            key: None,
            value: Some(Some(want)),
            headers: vec![],
        };
        assert_eq!(fates, Ok(vec![edited, Fate::Kept, Fate::Kept]));
    }
}
