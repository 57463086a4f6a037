use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;

pub(crate) const INPUT_MAGIC: u32 = 0x3142_524d;
pub(crate) const EDITS_MAGIC: u32 = 0x3145_524d;
pub(crate) const NULL: u32 = u32::MAX;
pub(crate) const EDIT: u32 = 1;
pub(crate) const DROP: u32 = 2;
pub(crate) const ROUTE: u32 = 3;
pub(crate) const FAIL: u32 = 4;
pub(crate) const REJECT: u32 = 5;
pub(crate) const FAULT: u32 = 6;
pub(crate) const VALUE: u32 = 2 << 8;
pub(crate) const IN_PLACE: u32 = 16 << 8;

pub(crate) const HEADER: usize = 64; // before the names
pub(crate) const FIELDS: usize = 72; // before the table of fields, for hosts that have one
pub(crate) const ROW: usize = 16;

/// Some records of one batch, and what becomes of them.
///
/// A large batch is shown in several parts, each of which is a `Batch`; [`Batch::first`]
/// says where in the batch this one begins.
pub struct Batch<'a> {
    header: &'a [u8],
    topic: &'a str,
    client: &'a str,
    table: &'a [u8],
    records: *mut u8,
    size: usize, // of the records
    owned: PhantomData<&'a mut [u8]>,
    /// Whether values are changed where they are: the host can, and no record was lent.
    in_place: Cell<bool>,
    count: u32,
    edits: &'a mut Vec<u8>,
    made: u32,
    next: u32,
}

/// One record. Times count from [`Batch::base_timestamp`], in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its place in the [`Batch`], by which it is edited.
    pub index: u32,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: u32,
}

/// What a record is changed to. What is not named stays.
#[derive(Debug, Clone, Default)]
pub struct Change<'a> {
    key: Option<Option<&'a [u8]>>,
    value: Option<Option<&'a [u8]>>,
    replace: bool,
    headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Change<'a> {
    pub fn new() -> Change<'a> {
        Change::default()
    }
    /// Another key; `None` is null.
    pub fn key(mut self, key: Option<&'a [u8]>) -> Self {
        self.key = Some(key);
        self
    }
    /// Another value; `None` is null.
    pub fn value(mut self, value: Option<&'a [u8]>) -> Self {
        self.value = Some(value);
        self
    }
    /// One more header.
    pub fn header(self, key: &'a str, value: Option<&'a [u8]>) -> Self {
        self.header_again(key.as_bytes(), value)
    }
    /// One more header, as [`Record::headers`] has it: of a key that is not UTF-8, only one that
    /// came with the record.
    pub fn header_again(mut self, key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        self.headers.push((key, value));
        self
    }
    /// Leaves out the headers that the record has.
    pub fn without_headers(mut self) -> Self {
        self.replace = true;
        self
    }
}

#[inline]
fn u32_at(p: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]])
}

fn u64_at(p: &[u8], at: usize) -> u64 {
    u64::from(u32_at(p, at)) | u64::from(u32_at(p, at + 4)) << 32
}

fn u16_at(p: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([p[at], p[at + 1]])
}

/// Where a field of a record is, and how long; `None` is null. A row of the table has two.
#[inline(always)]
fn field(table: &[u8], index: u32, which: usize) -> Option<(usize, usize)> {
    let at = index.checked_mul(ROW as u32)? as usize; // which has as many bits in WebAssembly
    let row = table.get(at..)?.get(..ROW)?;
    match u32_at(row, which + 4) {
        NULL => None,
        size => Some((u32_at(row, which) as usize, size as usize)),
    }
}

/// Writes the table that a host which has none would.
fn tabulate(records: &[u8], count: u32, table: &mut Vec<u8>) {
    let all = Records {
        rest: records,
        index: 0,
        count,
    };
    for record in all {
        for p in [record.key, record.value] {
            let (at, size) = match p {
                Some(p) => (p.as_ptr() as usize - records.as_ptr() as usize, p.len()),
                None => (0, NULL as usize),
            };
            table.extend_from_slice(&(at as u32).to_le_bytes());
            table.extend_from_slice(&(size as u32).to_le_bytes());
        }
    }
}

const KEY: usize = 0;
const VALUE_IN_ROW: usize = 8;

impl<'a> Batch<'a> {
    pub(crate) fn open(
        input: &'a mut [u8],
        edits: &'a mut Vec<u8>,
        spare: &'a mut Vec<u8>,
    ) -> Option<Batch<'a>> {
        if input.len() < HEADER || u32_at(input, 0) != INPUT_MAGIC {
            return None;
        }
        let count = u32_at(input, 8);
        let names = u32_at(input, 4) as usize;
        let topic = names.checked_add(u16_at(input, 60) as usize)?;
        let client = topic.checked_add(u16_at(input, 62) as usize)?;
        let size = u32_at(input, 12) as usize;
        if names < HEADER || client > input.len() {
            return None;
        }
        edits.clear();
        edits.extend_from_slice(&EDITS_MAGIC.to_le_bytes());
        edits.extend_from_slice(&0u32.to_le_bytes());
        let (head, records) = input.split_at_mut(client);
        let records = records.get_mut(..size)?;
        let in_place = names >= FIELDS && u32_at(head, 68) as usize == ROW;
        let head: &'a [u8] = head;
        let table: &'a [u8] = if in_place {
            let at = u32_at(head, 64) as usize;
            head.get(at..)?.get(..(count as usize).checked_mul(ROW)?)?
        } else {
            spare.clear();
            tabulate(records, count, spare);
            spare
        };
        Some(Batch {
            header: &head[..HEADER],
            topic: core::str::from_utf8(&head[names..topic]).ok()?,
            client: core::str::from_utf8(&head[topic..client]).unwrap_or(""),
            table,
            records: records.as_mut_ptr(),
            size,
            owned: PhantomData,
            in_place: Cell::new(in_place),
            count,
            edits,
            made: 0,
            next: 0,
        })
    }

    pub fn topic(&self) -> &'a str {
        self.topic
    }
    pub fn partition(&self) -> i32 {
        u32_at(self.header, 20) as i32
    }
    /// The client that produced the batch, or reads it; empty when not known.
    pub fn client_id(&self) -> &'a str {
        self.client
    }
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// Which record of the whole batch the first one is.
    pub fn first(&self) -> u32 {
        u32_at(self.header, 16)
    }
    /// On fetch, the offset of the batch.
    pub fn base_offset(&self) -> i64 {
        u64_at(self.header, 24) as i64
    }
    /// Milliseconds since 1970.
    pub fn base_timestamp(&self) -> i64 {
        u64_at(self.header, 32) as i64
    }
    pub fn max_timestamp(&self) -> i64 {
        u64_at(self.header, 40) as i64
    }
    /// The idempotent producer, or −1.
    pub fn producer_id(&self) -> i64 {
        u64_at(self.header, 48) as i64
    }
    pub fn transactional(&self) -> bool {
        u16_at(self.header, 58) & 0x10 != 0
    }

    /// The records, in order, with all that they have. Edits may be made while they are walked.
    ///
    /// What needs no more than keys or values is faster with [`Batch::key`] and [`Batch::value`].
    pub fn records(&self) -> Records<'a> {
        self.in_place.set(false); // what follows is lent for as long as the batch is there
        Records {
            // SAFETY: from here on nothing writes there, and no `value_mut` that does is still lent.
            rest: unsafe { core::slice::from_raw_parts(self.records, self.size) },
            index: 0,
            count: self.count,
        }
    }

    /// The key of a record; `None` is null.
    #[inline]
    pub fn key(&self, index: u32) -> Option<&[u8]> {
        self.field(index, KEY)
    }

    /// The value of a record; `None` is null. Whether it shows what [`Batch::value_mut`] has
    /// made of it is left open.
    #[inline]
    pub fn value(&self, index: u32) -> Option<&[u8]> {
        self.field(index, VALUE_IN_ROW)
    }

    #[inline(always)]
    fn field(&self, index: u32, which: usize) -> Option<&[u8]> {
        let (at, size) = field(self.table, index, which)?;
        assert!(at <= self.size && size <= self.size - at);
        // SAFETY: it lies within the records, and who writes there has borrowed the batch.
        Some(unsafe { core::slice::from_raw_parts(self.records.add(at), size) })
    }

    /// Changes the value of a record, whose bytes are returned to be changed in place: nothing
    /// costs less, if [`Batch::records`] was not called before. `None` is null, and no edit.
    ///
    /// ```
    /// # use millrace_plugin::Batch;
    /// # fn on_produce(batch: &mut Batch) {
    /// for index in 0..batch.len() as u32 {
    ///     if batch.value(index).is_some_and(|value| value.starts_with(b"secret ")) {
    ///         batch.value_mut(index).unwrap_or_default()[7..].fill(b'*');
    ///     }
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn value_mut(&mut self, index: u32) -> Option<&mut [u8]> {
        let (at, size) = field(self.table, index, VALUE_IN_ROW)?;
        assert!(at <= self.size && size <= self.size - at);
        if !self.in_place.get() {
            return Some(self.value_copy(index, at, size));
        }
        self.begin(index, EDIT | IN_PLACE);
        // SAFETY: it lies within the records, of which nobody has any while the batch is borrowed.
        Some(unsafe { core::slice::from_raw_parts_mut(self.records.add(at), size) })
    }

    #[inline(never)]
    fn value_copy(&mut self, index: u32, at: usize, size: usize) -> &mut [u8] {
        assert!(at <= self.size && size <= self.size - at);
        // SAFETY: it lies within the records, which are not written to once `records` has lent them.
        let value = unsafe { core::slice::from_raw_parts(self.records.add(at), size) };
        self.edit_value(index, value)
    }

    #[inline]
    fn begin(&mut self, index: u32, fate: u32) {
        assert!(
            index >= self.next && index < self.count,
            "records are edited in order, and once"
        );
        self.next = index + 1;
        self.put(index, fate);
    }

    #[inline]
    fn put(&mut self, record: u32, fate: u32) {
        self.made += 1;
        let both = u64::from(fate) << 32 | u64::from(record);
        self.edits.extend_from_slice(&both.to_le_bytes());
    }

    fn bytes(&mut self, p: Option<&[u8]>) {
        let Some(p) = p else {
            self.edits.extend_from_slice(&NULL.to_le_bytes());
            return;
        };
        self.edits
            .extend_from_slice(&(p.len() as u32).to_le_bytes());
        self.edits.extend_from_slice(p);
    }

    /// Changes a record.
    pub fn change(&mut self, index: u32, change: Change) {
        let mut fate = EDIT;
        fate |= u32::from(change.key.is_some()) << 8;
        fate |= u32::from(change.value.is_some()) << 9;
        if change.replace {
            fate |= 1 << 10;
        } else if !change.headers.is_empty() {
            fate |= 1 << 11;
        }
        self.begin(index, fate);
        if let Some(key) = change.key {
            self.bytes(key);
        }
        if let Some(value) = change.value {
            self.bytes(value);
        }
        if change.replace || !change.headers.is_empty() {
            self.edits
                .extend_from_slice(&(change.headers.len() as u32).to_le_bytes());
            for (key, value) in change.headers {
                self.bytes(Some(key));
                self.bytes(value);
            }
        }
    }

    /// Changes the value of a record.
    pub fn set_value(&mut self, index: u32, value: Option<&[u8]>) {
        self.begin(index, EDIT | VALUE);
        self.bytes(value);
    }

    /// Changes the value of a record to a copy of `value`, and returns the copy to be changed in
    /// place: what most edits of large batches want, for a copy at once costs less than a filling
    /// and a copy.
    pub fn edit_value(&mut self, index: u32, value: &[u8]) -> &mut [u8] {
        self.edits.reserve(12 + value.len());
        self.begin(index, EDIT | VALUE);
        self.edits
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        let at = self.edits.len();
        self.edits.extend_from_slice(value);
        &mut self.edits[at..]
    }

    /// Changes the value of a record to `size` bytes that `fill` writes, which saves a copy.
    pub fn set_value_with(&mut self, index: u32, size: usize, fill: impl FnOnce(&mut [u8])) {
        self.begin(index, EDIT | VALUE);
        self.edits.extend_from_slice(&(size as u32).to_le_bytes());
        let at = self.edits.len();
        self.edits.resize(at + size, 0);
        fill(&mut self.edits[at..]);
    }

    /// Leaves a record out. The producer hears that it was stored.
    pub fn drop_record(&mut self, index: u32) {
        self.begin(index, DROP);
    }

    /// Stores a record in another topic instead.
    pub fn route(&mut self, index: u32, topic: &str) {
        self.begin(index, ROUTE);
        self.bytes(Some(topic.as_bytes()));
    }

    /// Says that a record is bad, and why.
    pub fn fail(&mut self, index: u32, reason: &str) {
        self.begin(index, FAIL);
        self.bytes(Some(short(reason)));
    }

    /// The list of edits: how many bytes it has, or 0 when nothing was changed.
    pub(crate) fn finish(self) -> usize {
        if self.made == 0 {
            return 0;
        }
        self.edits[4..8].copy_from_slice(&self.made.to_le_bytes());
        self.edits.len()
    }

    /// A list that says one thing about the whole batch.
    pub(crate) fn finish_with(mut self, fate: u32, reason: &str) -> usize {
        self.edits.truncate(8);
        self.made = 0;
        self.put(NULL, fate);
        self.bytes(Some(short(reason)));
        self.finish()
    }
}

/// Reasons may have 1024 bytes.
fn short(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.len().min(1024)]
}

/// The records of a batch.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u32,
    count: u32,
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads a zigzag number of variable length. Nearly all have one byte or two.
#[inline(always)]
fn varint(p: &mut &[u8]) -> Option<i64> {
    match *p {
        [a, rest @ ..] if *a < 0x80 => {
            *p = rest;
            Some(zigzag(u64::from(*a)))
        }
        [a, b, rest @ ..] if *b < 0x80 => {
            *p = rest;
            Some(zigzag(u64::from(*a & 0x7f) | u64::from(*b) << 7))
        }
        _ => long_varint(p),
    }
}

#[cold]
#[inline(never)]
fn long_varint(p: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (i, &byte) in p.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *p = &p[i + 1..];
            return Some(zigzag(value));
        }
    }
    None
}

#[inline(always)]
fn nullable<'a>(p: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let size = varint(p)?;
    if size == -1 {
        return Some(None);
    }
    let size = usize::try_from(size).ok()?;
    let value = p.get(..size)?;
    *p = &p[size..];
    Some(Some(value))
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.index == self.count {
            return None;
        }
        let size = usize::try_from(varint(&mut self.rest)?).ok()?;
        let mut p = self.rest.get(..size)?.get(1..)?;
        self.rest = &self.rest[size..];
        let record = Record {
            index: self.index,
            timestamp_delta: varint(&mut p)?,
            offset_delta: varint(&mut p)? as i32,
            key: nullable(&mut p)?,
            value: nullable(&mut p)?,
            header_count: varint(&mut p)? as u32,
            headers: p,
        };
        self.index += 1;
        Some(record)
    }
}

impl<'a> Record<'a> {
    /// The headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        Headers {
            rest: self.headers,
            left: self.header_count,
        }
    }

    /// The value of the first header of that key.
    pub fn header(&self, key: &str) -> Option<Option<&'a [u8]>> {
        self.headers()
            .find(|(k, _)| *k == key.as_bytes())
            .map(|(_, v)| v)
    }
}

/// The headers of a record: keys and values.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let key = nullable(&mut self.rest)??;
        Some((key, nullable(&mut self.rest)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{run, Fate};
    use crate::{Error, Interceptor, Settings};
    use alloc::string::String;
    use alloc::vec;

    #[test]
    fn a_row_that_is_not_there_is_null() {
        let row = [1; ROW];
        assert_eq!(field(&row, 0, KEY), Some((0x0101_0101, 0x0101_0101)));
        // In WebAssembly the place of the second would be that of the first record, if it wrapped.
        for index in [1, 1 << 28, u32::MAX] {
            assert_eq!(field(&row, index, KEY), None);
        }
    }

    /// Changes each value that begins with `a`, and looks at all records before or not.
    struct Upper {
        records: bool,
    }

    impl Interceptor for Upper {
        fn configure(_: &Settings) -> Result<Self, String> {
            Ok(Upper { records: false })
        }
        fn on_produce(&mut self, batch: &mut Batch) -> Result<(), Error> {
            let lent = self.records.then(|| batch.records());
            for index in 0..batch.len() as u32 {
                if batch.key(index) == Some(b"a") {
                    batch
                        .value_mut(index)
                        .unwrap_or_default()
                        .make_ascii_uppercase();
                }
            }
            let values = lent.into_iter().flatten().map(|record| record.value);
            assert!(
                values.eq([Some(b"one".as_slice()), None, Some(b""), Some(b"four")]
                    .into_iter()
                    .filter(|_| self.records))
            );
            Ok(())
        }
    }

    #[test]
    fn values_are_changed_where_they_are_or_in_a_copy() {
        for records in [false, true] {
            let fates = run(
                &mut Upper { records },
                Interceptor::on_produce,
                &[
                    (Some(b"a"), Some(b"one")),
                    (Some(b"a"), None),
                    (Some(b"a"), Some(b"")),
                    (Some(b"b"), Some(b"four")),
                ],
            );
            let edited = |value: &[u8]| Fate::Edited {
                key: None,
                value: Some(Some(value.into())),
                headers: vec![],
            };
            let want = vec![edited(b"ONE"), Fate::Kept, edited(b""), Fate::Kept];
            assert_eq!(fates, Ok(want), "records: {records}");
        }
    }

    /// A host that knows nothing of tables shows what it always has.
    #[test]
    fn a_host_without_a_table() {
        let records = b"\x12\x00\x00\x00\x02k\x04vw\x00\x0c\x00\x00\x02\x01\x01\x00";
        let mut input = vec![0; HEADER];
        for (at, value) in [
            (0, INPUT_MAGIC),
            (4, 64),
            (8, 2),
            (12, records.len() as u32),
        ] {
            input[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        input.extend_from_slice(records);
        let (mut edits, mut spare) = (vec![], vec![]);
        let mut batch = Batch::open(&mut input, &mut edits, &mut spare).unwrap();
        assert_eq!(batch.key(0), Some(b"k".as_slice()));
        assert_eq!(batch.value(0), Some(b"vw".as_slice()));
        assert_eq!(
            (batch.key(1), batch.value(1), batch.value(2)),
            (None, None, None)
        );
        batch.value_mut(0).unwrap()[0] = b'!';
        assert_eq!(batch.value(0), Some(b"vw".as_slice()));
        batch.finish();
        assert_eq!(edits[8..], *b"\0\0\0\0\x01\x02\0\0\x02\0\0\0!w");
    }
}
