//! Runs a plugin in a test of its own, without a broker and without WebAssembly.
//!
//! ```
//! use millrace_plugin::testing::{run, Fate};
//! # use millrace_plugin::{Batch, Error, Interceptor, Settings};
//! # struct Nothing;
//! # impl Interceptor for Nothing {
//! #     fn configure(_: &Settings) -> Result<Self, String> { Ok(Nothing) }
//! # }
//! let mut plugin = Nothing::configure(&Settings::new(&[("fields", "card")])).unwrap();
//! let fates = run(&mut plugin, Interceptor::on_produce, &[(Some(b"key"), Some(b"value"))]).unwrap();
//! assert_eq!(fates, [Fate::Kept]);
//! ```

use crate::batch::{
    Batch, DROP, EDIT, FAIL, FIELDS, INPUT_MAGIC, IN_PLACE, NULL, ROUTE, ROW, VALUE,
};
use crate::Error;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Kept,
    /// What was changed; headers are those that were added, or that there are now.
    Edited {
        key: Option<Option<Vec<u8>>>,
        value: Option<Option<Vec<u8>>>,
        headers: Vec<(String, Option<Vec<u8>>)>,
    },
    Dropped,
    Routed(String),
    Failed(String),
}

/// The key and the value of a record.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Shows a batch of these keys and values, on topic "test", to a plugin.
pub fn run<T>(
    plugin: &mut T,
    f: fn(&mut T, &mut Batch) -> Result<(), Error>,
    records: &[Pair],
) -> Result<Vec<Fate>, Error> {
    let mut input = input(records);
    let (mut output, mut spare) = (Vec::new(), Vec::new());
    let mut batch = Batch::open(&mut input, &mut output, &mut spare).expect("an input of our own");
    f(plugin, &mut batch)?;
    let size = batch.finish();
    Ok(fates(&output[..size], &input, records.len()))
}

fn varint(p: &mut Vec<u8>, value: i64) {
    let mut v = (value << 1 ^ value >> 63) as u64;
    while v >= 0x80 {
        p.push(v as u8 | 0x80);
        v >>= 7;
    }
    p.push(v as u8);
}

fn bytes(p: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => varint(p, -1),
        Some(value) => {
            varint(p, value.len() as i64);
            p.extend_from_slice(value);
        }
    }
}

fn input(records: &[Pair]) -> Vec<u8> {
    let mut section = Vec::new();
    let mut p = vec![0; FIELDS];
    let names = FIELDS + ROW * records.len();
    for (i, (key, value)) in records.iter().enumerate() {
        let mut body = vec![0];
        varint(&mut body, 0);
        varint(&mut body, i as i64);
        let mut row = [(0, None); 2];
        for (place, one) in row.iter_mut().zip([*key, *value]) {
            bytes(&mut body, one);
            *place = (body.len() - one.unwrap_or_default().len(), one);
        }
        varint(&mut body, 0);
        varint(&mut section, body.len() as i64);
        for (at, one) in row {
            let size = one.map_or(NULL, |one: &[u8]| one.len() as u32);
            p.extend_from_slice(&((section.len() + at) as u32).to_le_bytes());
            p.extend_from_slice(&size.to_le_bytes());
        }
        section.extend_from_slice(&body);
    }
    for (at, value) in [
        (0, INPUT_MAGIC),
        (4, names as u32),
        (8, records.len() as u32),
        (12, section.len() as u32),
        (60, 4),
        (64, FIELDS as u32),
        (68, ROW as u32),
    ] {
        p[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    p.extend_from_slice(b"test");
    p.extend_from_slice(&section);
    p
}

/// What now stands in the place of a value.
fn written(input: &[u8], index: usize) -> Vec<u8> {
    let number = |at: usize| Reader(&input[at..]).number() as usize;
    let row = FIELDS + ROW * index;
    let at = number(4) + b"test".len() + number(row + 8);
    input[at..at + number(row + 12)].to_vec()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> u32 {
        let (number, rest) = self.0.split_at(4);
        self.0 = rest;
        u32::from_le_bytes([number[0], number[1], number[2], number[3]])
    }
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let size = self.number();
        if size == NULL {
            return None;
        }
        let (value, rest) = self.0.split_at(size as usize);
        self.0 = rest;
        Some(value.to_vec())
    }
    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().unwrap_or_default()).expect("text")
    }
}

fn fates(list: &[u8], input: &[u8], count: usize) -> Vec<Fate> {
    let mut fates = vec![Fate::Kept; count];
    if list.is_empty() {
        return fates;
    }
    let mut r = Reader(&list[4..]);
    for _ in 0..r.number() {
        let index = r.number() as usize;
        let what = r.number();
        fates[index] = match what & 0xff {
            EDIT => Fate::Edited {
                key: (what & 1 << 8 != 0).then(|| r.bytes()),
                value: match what & (VALUE | IN_PLACE) {
                    VALUE => Some(r.bytes()),
                    IN_PLACE => Some(Some(written(input, index))),
                    _ => None,
                },
                headers: if what & 3 << 10 != 0 {
                    (0..r.number()).map(|_| (r.text(), r.bytes())).collect()
                } else {
                    Vec::new()
                },
            },
            DROP => Fate::Dropped,
            ROUTE => Fate::Routed(r.text()),
            FAIL => Fate::Failed(r.text()),
            other => panic!("fate {other}"),
        };
    }
    fates
}
