use alloc::vec::Vec;

pub(crate) const INPUT_MAGIC: u32 = 0x3142_524d;
pub(crate) const EDITS_MAGIC: u32 = 0x3145_524d;
pub(crate) const NULL: u32 = u32::MAX;
pub(crate) const EDIT: u32 = 1;
pub(crate) const DROP: u32 = 2;
pub(crate) const ROUTE: u32 = 3;
pub(crate) const FAIL: u32 = 4;
pub(crate) const REJECT: u32 = 5;
pub(crate) const FAULT: u32 = 6;

/// Some records of one batch, and what becomes of them.
///
/// A large batch is shown in several parts, each of which is a `Batch`; [`Batch::first`]
/// says where in the batch this one begins.
pub struct Batch<'a> {
    header: &'a [u8],
    topic: &'a str,
    client: &'a str,
    records: &'a [u8],
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
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
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
    pub fn header(mut self, key: &'a str, value: Option<&'a [u8]>) -> Self {
        self.headers.push((key, value));
        self
    }
    /// Leaves out the headers that the record has.
    pub fn without_headers(mut self) -> Self {
        self.replace = true;
        self
    }
}

fn u32_at(p: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]])
}

fn u64_at(p: &[u8], at: usize) -> u64 {
    u64::from(u32_at(p, at)) | u64::from(u32_at(p, at + 4)) << 32
}

fn u16_at(p: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([p[at], p[at + 1]])
}

impl<'a> Batch<'a> {
    pub(crate) fn open(input: &'a [u8], edits: &'a mut Vec<u8>) -> Option<Batch<'a>> {
        if input.len() < 64 || u32_at(input, 0) != INPUT_MAGIC {
            return None;
        }
        let names = u32_at(input, 4) as usize;
        let topic = names + u16_at(input, 60) as usize;
        let client = topic + u16_at(input, 62) as usize;
        let end = client + u32_at(input, 12) as usize;
        edits.clear();
        edits.extend_from_slice(&EDITS_MAGIC.to_le_bytes());
        edits.extend_from_slice(&0u32.to_le_bytes());
        Some(Batch {
            header: &input[..64],
            topic: core::str::from_utf8(input.get(names..topic)?).ok()?,
            client: core::str::from_utf8(input.get(topic..client)?).unwrap_or(""),
            records: input.get(client..end)?,
            count: u32_at(input, 8),
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

    /// The records, in order. Edits may be made while they are walked.
    pub fn records(&self) -> Records<'a> {
        Records {
            rest: self.records,
            index: 0,
            count: self.count,
        }
    }

    fn begin(&mut self, index: u32, fate: u32) {
        assert!(
            index >= self.next && index < self.count,
            "records are edited in order, and once"
        );
        self.next = index + 1;
        self.put(index, fate);
    }

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
                self.bytes(Some(key.as_bytes()));
                self.bytes(value);
            }
        }
    }

    /// Changes the value of a record.
    pub fn set_value(&mut self, index: u32, value: Option<&[u8]>) {
        self.begin(index, EDIT | 1 << 9);
        self.bytes(value);
    }

    /// Changes the value of a record to a copy of `value`, and returns the copy to be changed in
    /// place: what most edits of large batches want, for a copy at once costs less than a filling
    /// and a copy.
    pub fn edit_value(&mut self, index: u32, value: &[u8]) -> &mut [u8] {
        self.edits.reserve(12 + value.len());
        self.begin(index, EDIT | 1 << 9);
        self.edits
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        let at = self.edits.len();
        self.edits.extend_from_slice(value);
        &mut self.edits[at..]
    }

    /// Changes the value of a record to `size` bytes that `fill` writes, which saves a copy.
    pub fn set_value_with(&mut self, index: u32, size: usize, fill: impl FnOnce(&mut [u8])) {
        self.begin(index, EDIT | 1 << 9);
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
