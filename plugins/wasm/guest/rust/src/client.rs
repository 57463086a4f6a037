//! Plugins that run inside clients: what they implement, and what they are shown.

use crate::Settings;
use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const PLACE_MAGIC: u32 = 0x3150_524d;
const DATUM_MAGIC: u32 = 0x3144_524d;
const GROUP_MAGIC: u32 = 0x3147_524d;
const DEALT_MAGIC: u32 = 0x3141_524d;
const NULL: u32 = u32::MAX;
const FAULT: u32 = 8;
const DATUM_SIZE: u32 = 24;

/// Chooses partitions for the records of a producer.
pub trait Partitioner: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// The partition of a record, less than [`Placement::partitions`].
    fn partition(&mut self, at: &Placement) -> u32;

    /// The batch of that partition is full or gone.
    fn on_new_batch(&mut self, _topic: &str, _partition: u32) {}
}

/// What a partitioner decides by.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    pub topic: &'a str,
    /// `None` is null.
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// How many the topic has: at least one.
    pub partitions: u32,
    available: &'a [u8],
    racks: &'a [u8],
}

impl<'a> Placement<'a> {
    /// A placement of a test: all partitions are available, and no racks are known.
    pub fn new(topic: &'a str, key: Option<&'a [u8]>, partitions: u32) -> Placement<'a> {
        Placement {
            topic,
            key,
            value: None,
            partitions,
            available: &[],
            racks: &[],
        }
    }

    /// The partitions that have a leader, ascending.
    pub fn available(&self) -> impl Iterator<Item = u32> + 'a {
        self.available
            .chunks_exact(4)
            .map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]))
    }

    /// The rack of the leader of a partition, empty when it is not known.
    pub fn leader_rack(&self, partition: u32) -> &'a str {
        let mut r = Reader(self.racks);
        for _ in 0..partition {
            if r.text().is_none() {
                return "";
            }
        }
        r.text().unwrap_or("")
    }

    /// A placement, and its topic beside it.
    fn open(input: &'a [u8]) -> Option<(Placement<'a>, Cow<'a, str>)> {
        let (mut head, mut r) = open(input, PLACE_MAGIC)?;
        let (partitions, available) = (head.number()?, head.number()?);
        let (topic, key, value) = (r.lossy()?, r.bytes()?, r.bytes()?);
        let available = r.raw(available.checked_mul(4)?)?;
        let at = Placement {
            topic: "",
            key,
            value,
            partitions,
            available,
            racks: r.0,
        };
        Some((at, topic))
    }
}

/// Makes bytes out of keys or values, and back.
pub trait Serializer: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// What a record holds; `None` is null. It may add headers.
    fn serialize(
        &mut self,
        topic: &str,
        headers: &mut HeaderList,
        value: Value,
    ) -> Result<Option<Vec<u8>>, String>;

    /// What the program gets of what a record holds.
    fn deserialize<'a>(
        &mut self,
        topic: &str,
        headers: &HeaderList,
        data: Option<&'a [u8]>,
    ) -> Result<Value<'a>, String>;
}

/// A key or value as the program has it. Which of these comes says the type in the program:
/// numbers, text and bytes as such, all else as JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    Json(Cow<'a, str>),
}

impl<'a> Value<'a> {
    pub(crate) fn decode(form: u32, p: &'a [u8]) -> Option<Value<'a>> {
        let text = || core::str::from_utf8(p).ok();
        let number = || Some(u64::from_le_bytes(p.try_into().ok()?));
        Some(match form {
            0 => Value::Null,
            1 => Value::Bytes(p.into()),
            2 => Value::Text(text()?.into()),
            3 => Value::Integer(number()? as i64),
            4 => Value::Unsigned(number()?),
            5 => Value::Float(f64::from_bits(number()?)),
            6 => Value::Boolean(*p.first()? == 1),
            7 => Value::Json(text()?.into()),
            _ => return None,
        })
    }

    /// Its form and its bytes, of which a number has its own in `number`.
    pub(crate) fn form<'b>(&'b self, number: &'b mut [u8; 8]) -> (u32, &'b [u8]) {
        match self {
            Value::Null => (0, &[]),
            Value::Bytes(p) => (1, p),
            Value::Text(text) => (2, text.as_bytes()),
            Value::Integer(n) => {
                *number = n.to_le_bytes();
                (3, number)
            }
            Value::Unsigned(n) => {
                *number = n.to_le_bytes();
                (4, number)
            }
            Value::Float(n) => {
                *number = n.to_bits().to_le_bytes();
                (5, number)
            }
            Value::Boolean(true) => (6, &[1]),
            Value::Boolean(false) => (6, &[0]),
            Value::Json(text) => (7, text.as_bytes()),
        }
    }

    fn encode(&self, output: &mut Vec<u8>) {
        let mut number = [0; 8];
        let (form, p) = self.form(&mut number);
        datum(output, form, p, None);
    }
}

/// The headers of a record, which a serializer or an interceptor may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    list: Vec<(String, Option<Vec<u8>>)>,
    changed: bool,
}

impl HeaderList {
    /// No headers.
    pub fn new() -> HeaderList {
        HeaderList::default()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.list.iter().map(|(k, v)| (k.as_str(), v.as_deref()))
    }

    /// The value of the first header of that key.
    pub fn get(&self, key: &str) -> Option<Option<&[u8]>> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Takes out all headers of that key.
    pub fn remove(&mut self, key: &str) {
        let before = self.list.len();
        self.list.retain(|(k, _)| k != key);
        self.changed |= self.list.len() != before;
    }

    /// Adds one behind the others.
    pub fn add(&mut self, key: &str, value: Option<&[u8]>) {
        self.list.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        self.changed = true;
    }
}

/// Deals the partitions of a group out to its members.
pub trait Assignor: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// The name on the wire, which all members of a group have in common.
    fn name(&self) -> &str;

    /// Whether members keep what they have while others are dealt (KIP-429).
    fn cooperative(&self) -> bool {
        false
    }

    /// What the leader gets to see of a member with these topics and partitions.
    fn user_data(&mut self, _topics: &[&str], _owned: &[Partition]) -> Option<Vec<u8>> {
        None
    }

    /// The partitions of each member, in the order of the members. Topics are their names and
    /// how many partitions they have.
    fn assign<'a>(
        &mut self,
        members: &[Member<'a>],
        topics: &[(&'a str, u32)],
    ) -> Result<Vec<Vec<Partition<'a>>>, String>;
}

/// A partition of a topic.
pub type Partition<'a> = (&'a str, u32);

/// A member of a group.
#[derive(Debug, Clone, Default)]
pub struct Member<'a> {
    pub id: &'a str,
    pub instance_id: &'a str,
    pub rack: &'a str,
    /// Of `owned`; −1: not known.
    pub generation: i32,
    pub topics: Vec<&'a str>,
    pub owned: Vec<Partition<'a>>,
    pub user_data: Option<&'a [u8]>,
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn raw(&mut self, size: u32) -> Option<&'a [u8]> {
        let size = size as usize;
        if size > self.0.len() {
            return None;
        }
        let (p, rest) = self.0.split_at(size);
        self.0 = rest;
        Some(p)
    }
    pub(crate) fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.raw(4)?.try_into().ok()?))
    }
    pub(crate) fn long(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.raw(8)?.try_into().ok()?))
    }
    pub(crate) fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            NULL => Some(None),
            size => Some(Some(self.raw(size)?)),
        }
    }
    /// Text, with U+FFFD for what is no UTF-8: of a program or of others, and no reason to trap.
    pub(crate) fn lossy(&mut self) -> Option<Cow<'a, str>> {
        Some(String::from_utf8_lossy(self.bytes()??))
    }
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()??).ok()
    }
    fn partitions(&mut self) -> Option<Vec<Partition<'a>>> {
        (0..self.number()?)
            .map(|_| Some((self.text()?, self.number()?)))
            .collect()
    }
    fn texts(&mut self) -> Option<Vec<&'a str>> {
        (0..self.number()?).map(|_| self.text()).collect()
    }
}

/// The rest of the header of an input, and what stands behind it.
pub(crate) fn open(input: &[u8], magic: u32) -> Option<(Reader<'_>, Reader<'_>)> {
    let mut head = Reader(input);
    if head.number()? != magic {
        return None;
    }
    let rest = input.get(head.number()? as usize..)?;
    Some((head, Reader(rest)))
}

pub(crate) fn put(output: &mut Vec<u8>, number: u32) {
    output.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_bytes(output: &mut Vec<u8>, p: Option<&[u8]>) {
    match p {
        None => put(output, NULL),
        Some(p) => {
            put(output, p.len() as u32);
            output.extend_from_slice(p);
        }
    }
}

/// Writes a datum. Without headers they stay as they were.
pub(crate) fn datum(output: &mut Vec<u8>, form: u32, p: &[u8], headers: Option<&HeaderList>) {
    let count = headers.map_or(NULL, |h| h.list.len() as u32);
    for number in [DATUM_MAGIC, DATUM_SIZE, form, p.len() as u32, count, 0] {
        put(output, number);
    }
    output.extend_from_slice(p);
    for (key, value) in headers.iter().flat_map(|h| h.iter()) {
        put_bytes(output, Some(key.as_bytes()));
        put_bytes(output, value);
    }
}

pub(crate) fn fault(output: &mut Vec<u8>, reason: &str) {
    output.clear();
    datum(
        output,
        FAULT,
        &reason.as_bytes()[..reason.len().min(1024)],
        None,
    );
}

pub(crate) const OTHER: &str = "the input is not of this version";

/// Whoever produced a record decided what is in it: that is no reason to trap, which would cost the
/// plugin all that it remembers.
pub(crate) const UNREADABLE: &str =
    "text or the key of a header is not UTF-8, or the input is not of this version";

#[doc(hidden)]
pub fn partition<T: Partitioner>(plugin: &mut T, input: &[u8]) -> u64 {
    let (at, topic) = Placement::open(input).expect(OTHER);
    let topic = &topic;
    u64::from(plugin.partition(&Placement { topic, ..at }))
}

#[doc(hidden)]
pub fn on_new_batch<T: Partitioner>(plugin: &mut T, input: &[u8]) -> u64 {
    let mut r = Reader(input);
    let partition = r.number().expect(OTHER);
    plugin.on_new_batch(&String::from_utf8_lossy(r.0), partition);
    0
}

/// A datum that came: topic, headers, form and bytes.
fn came(input: &[u8]) -> Option<(&str, HeaderList, u32, &[u8])> {
    let (mut head, mut r) = open(input, DATUM_MAGIC)?;
    let (form, size, count) = (head.number()?, head.number()?, head.number()?);
    let p = r.raw(size)?;
    let headers = came_headers(&mut r, count)?;
    Some((core::str::from_utf8(r.0).ok()?, headers, form, p))
}

/// So many headers that came.
pub(crate) fn came_headers(r: &mut Reader, count: u32) -> Option<HeaderList> {
    let mut headers = HeaderList::new();
    for _ in 0..count {
        let (key, value) = (r.text()?, r.bytes()?);
        headers.add(key, value);
    }
    headers.changed = false;
    Some(headers)
}

/// A datum that came, and its value.
fn came_value(input: &[u8]) -> Option<(&str, HeaderList, Value<'_>)> {
    let (topic, headers, form, p) = came(input)?;
    Some((topic, headers, Value::decode(form, p)?))
}

#[doc(hidden)]
pub fn serialize<T: Serializer>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let Some((topic, mut headers, value)) = came_value(input) else {
        return fault(output, UNREADABLE);
    };
    match plugin.serialize(topic, &mut headers, value) {
        Ok(made) => {
            let form = u32::from(made.is_some());
            let headers = headers.changed.then_some(&headers);
            datum(output, form, made.as_deref().unwrap_or(&[]), headers);
        }
        Err(why) => fault(output, &why),
    }
}

#[doc(hidden)]
pub fn deserialize<T: Serializer>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let Some((topic, headers, form, p)) = came(input) else {
        return fault(output, UNREADABLE);
    };
    match plugin.deserialize(topic, &headers, (form != 0).then_some(p)) {
        Ok(value) => value.encode(output),
        Err(why) => fault(output, &why),
    }
}

#[doc(hidden)]
pub fn introduce<T: Assignor>(plugin: &mut T, _: &[u8], output: &mut Vec<u8>) {
    put(output, u32::from(plugin.cooperative()));
    output.extend_from_slice(plugin.name().as_bytes());
}

#[doc(hidden)]
pub fn user_data<T: Assignor>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let mut r = Reader(input);
    let (Some(topics), Some(owned)) = (r.texts(), r.partitions()) else {
        return fault(output, UNREADABLE);
    };
    let data = plugin.user_data(&topics, &owned);
    let form = u32::from(data.is_some());
    datum(output, form, data.as_deref().unwrap_or(&[]), None);
}

/// A group that came: its members, and the topics that they know.
fn group(input: &[u8]) -> Option<(Vec<Member<'_>>, Vec<Partition<'_>>)> {
    let (mut head, mut r) = open(input, GROUP_MAGIC)?;
    let (members, topics) = (head.number()?, head.number()?);
    let members = (0..members)
        .map(|_| {
            Some(Member {
                id: r.text()?,
                instance_id: r.text()?,
                rack: r.text()?,
                generation: r.number()? as i32,
                topics: r.texts()?,
                owned: r.partitions()?,
                user_data: r.bytes()?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    let topics = (0..topics)
        .map(|_| Some((r.text()?, r.number()?)))
        .collect::<Option<Vec<_>>>()?;
    Some((members, topics))
}

#[doc(hidden)]
pub fn assign<T: Assignor>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let Some((members, topics)) = group(input) else {
        return fault(output, UNREADABLE);
    };
    let dealt = match plugin.assign(&members, &topics) {
        Ok(dealt) if dealt.len() == members.len() => dealt,
        Ok(dealt) => {
            let why = format!("{} members get {} lists", members.len(), dealt.len());
            return fault(output, &why);
        }
        Err(why) => return fault(output, &why),
    };
    put(output, DEALT_MAGIC);
    put(output, members.len() as u32);
    for (member, list) in members.iter().zip(dealt) {
        put_bytes(output, Some(member.id.as_bytes()));
        put(output, list.len() as u32);
        for (topic, partition) in list {
            put_bytes(output, Some(topic.as_bytes()));
            put(output, partition);
        }
    }
}
