//! Masks what looks like the number of a credit card: a run of sixteen digits, of which the
//! last four stay.

use millrace_plugin::{plugin, Batch, Error, Interceptor, Settings};

struct Mask;

const DIGITS: usize = 16;

/// Which of eight bytes are no digits: the top bit of each that is none.
#[inline(always)]
fn others(eight: &[u8; 8]) -> u64 {
    let p = u64::from_le_bytes(*eight);
    let all = |c: u8| u64::from_le_bytes([c; 8]);
    // With the top bit away no sum of a byte reaches the next one.
    let low = p & all(0x7f);
    (!(low + all(0x80 - b'0')) | (low + all(0x7f - b'9')) | p) & all(0x80)
}

/// How many digits there are from the first of sixteen bytes on.
#[inline(always)]
fn leading(p: &[u8; DIGITS]) -> usize {
    let (low, high) = halves(p);
    match others(low).trailing_zeros() as usize / 8 {
        8 => 8 + others(high).trailing_zeros() as usize / 8,
        few => few,
    }
}

/// How many digits there are up to the last of sixteen bytes.
#[inline(always)]
fn trailing(p: &[u8; DIGITS]) -> usize {
    let (low, high) = halves(p);
    match others(high).leading_zeros() as usize / 8 {
        8 => 8 + others(low).leading_zeros() as usize / 8,
        few => few,
    }
}

#[inline(always)]
fn halves(p: &[u8; DIGITS]) -> (&[u8; 8], &[u8; 8]) {
    let (low, high) = p.split_at(8);
    (low.try_into().unwrap(), high.try_into().unwrap())
}

/// Where the first run of sixteen digits begins, from `at` on. Most bytes are skipped: of any
/// sixteen in a row, one in a place that divides by sixteen must be a digit. Three of these are
/// looked at in a step, for one check of bounds.
#[inline(always)]
fn find(value: &[u8], at: usize) -> Option<usize> {
    let mut probe = at + DIGITS - 1;
    while probe < value.len() {
        if let Some(few) = value.get(probe..=probe + 2 * DIGITS) {
            let digit = |n: usize| few[n * DIGITS].is_ascii_digit();
            let (first, second) = (digit(0), digit(1));
            if !(first | second | digit(2)) {
                probe += 3 * DIGITS;
                continue;
            }
            if !first {
                probe += if second { DIGITS } else { 2 * DIGITS };
            }
        } else if !value[probe].is_ascii_digit() {
            probe += DIGITS;
            continue;
        }
        let end = probe + 1;
        let begin = end - trailing(value[end - DIGITS..end].try_into().unwrap());
        let run = leading(value.get(begin..begin + DIGITS)?.try_into().unwrap());
        if run == DIGITS {
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
        for index in 0..batch.len() as u32 {
            if let Some(at) = batch.value(index).and_then(|value| find(value, 0)) {
                mask(batch.value_mut(index).unwrap_or_default(), at);
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
