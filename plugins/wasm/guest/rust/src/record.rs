//! Interceptors of clients that see single records, with keys and values as the program has them.

use crate::client::{
    came_headers, datum, fault, open, put, put_bytes, HeaderList, Value, OTHER, UNREADABLE,
};
use crate::Settings;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

const RECORD_MAGIC: u32 = 0x3152_524d;
const ACK_MAGIC: u32 = 0x314b_524d;
const COMMIT_MAGIC: u32 = 0x3143_524d;
const RECORD_SIZE: u32 = 56;
const NO_TIME: i64 = i64::MIN;

/// Sees the records of a producer before they are serialized.
pub trait ProducerInterceptor: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// Sees a record that is sent, and may change it. After an error it is sent as it was; the
    /// error is logged and counted.
    fn on_send(&mut self, record: &mut ClientRecord) -> Result<(), String>;

    /// Hears what became of a record.
    fn on_ack(&mut self, _ack: &Ack) {}
}

/// Sees the records of a consumer after they were deserialized.
pub trait ConsumerInterceptor: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// Sees a record that was read, and may change its key, value, headers and time; `false`
    /// leaves it out. After an error it stays as it was; the
    /// error is logged and counted.
    fn on_consume(&mut self, record: &mut ClientRecord) -> Result<bool, String>;

    /// Hears what was committed.
    fn on_commit(&mut self, _offsets: &[Committed]) {}
}

/// A record as the program has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRecord<'a> {
    pub topic: Cow<'a, str>,
    /// −1: not chosen yet.
    pub partition: i32,
    /// −1: it has none yet.
    pub offset: i64,
    /// In milliseconds. `None`: that of its sending.
    pub timestamp: Option<i64>,
    /// An interceptor may put another value of the same form in its place.
    pub key: Value<'a>,
    pub value: Value<'a>,
    pub headers: HeaderList,
}

impl<'a> ClientRecord<'a> {
    /// A record of a test, which is in no partition yet.
    pub fn new(topic: &'a str, key: Value<'a>, value: Value<'a>) -> ClientRecord<'a> {
        ClientRecord {
            topic: topic.into(),
            partition: -1,
            offset: -1,
            timestamp: None,
            key,
            value,
            headers: HeaderList::new(),
        }
    }

    fn open(input: &'a [u8]) -> Option<ClientRecord<'a>> {
        let (mut head, mut r) = open(input, RECORD_MAGIC)?;
        let (partition, key_form) = (head.number()? as i32, head.number()?);
        let (offset, timestamp) = (head.long()?, head.long()?);
        let (key, value_form, value) = (head.number()?, head.number()?, head.number()?);
        let count = head.number()?;
        let key = Value::decode(key_form, r.raw(key)?)?;
        let value = Value::decode(value_form, r.raw(value)?)?;
        let headers = came_headers(&mut r, count)?;
        Some(ClientRecord {
            topic: core::str::from_utf8(r.0).ok()?.into(),
            partition,
            offset,
            timestamp: (timestamp != NO_TIME).then_some(timestamp),
            key,
            value,
            headers,
        })
    }

    fn encode(&self, output: &mut Vec<u8>) {
        let (mut one, mut other) = ([0; 8], [0; 8]);
        let (key_form, key) = self.key.form(&mut one);
        let (value_form, value) = self.value.form(&mut other);
        for number in [RECORD_MAGIC, RECORD_SIZE, self.partition as u32, key_form] {
            put(output, number);
        }
        output.extend_from_slice(&self.offset.to_le_bytes());
        output.extend_from_slice(&self.timestamp.unwrap_or(NO_TIME).to_le_bytes());
        let headers = self.headers.iter().count() as u32;
        let (key_size, value_size) = (key.len() as u32, value.len() as u32);
        for number in [
            key_size,
            value_form,
            value_size,
            headers,
            self.topic.len() as u32,
            0,
        ] {
            put(output, number);
        }
        output.extend_from_slice(key);
        output.extend_from_slice(value);
        for (key, value) in self.headers.iter() {
            put_bytes(output, Some(key.as_bytes()));
            put_bytes(output, value);
        }
        output.extend_from_slice(self.topic.as_bytes());
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    pub topic: &'a str,
    /// −1: none was chosen.
    pub partition: i32,
    /// −1: it has none, or it is not known.
    pub offset: i64,
    pub timestamp: Option<i64>,
    /// Why it was not stored.
    pub error: Option<&'a str>,
}

/// Reads what became of a record and shows it. What is no UTF-8 in it is shown with U+FFFD in its
/// place: the text of an error is anybody's, and no reason to trap.
fn show_ack(input: &[u8], show: impl FnOnce(&Ack)) -> Option<()> {
    let (mut head, mut r) = open(input, ACK_MAGIC)?;
    let (partition, failed) = (head.number()? as i32, head.number()?);
    let (offset, timestamp) = (head.long()?, head.long()?);
    let (topic, error) = (head.number()?, head.number()?);
    let topic = String::from_utf8_lossy(r.raw(topic)?);
    let error = String::from_utf8_lossy(r.raw(error)?);
    show(&Ack {
        topic: &topic,
        partition,
        offset,
        timestamp: (timestamp != NO_TIME).then_some(timestamp),
        error: (failed == 1).then_some(&error),
    });
    Some(())
}

/// Where a group reads on in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub offset: i64,
    /// −1: not known.
    pub leader_epoch: i32,
    pub metadata: &'a str,
}

/// Reads what was committed and shows it, with text as in [`show_ack`]: metadata is the program's.
fn show_committed(input: &[u8], show: impl FnOnce(&[Committed])) -> Option<()> {
    let (mut head, mut r) = open(input, COMMIT_MAGIC)?;
    let all = (0..head.number()?)
        .map(|_| Some((r.lossy()?, r.number()?, r.long()?, r.number()?, r.lossy()?)))
        .collect::<Option<Vec<_>>>()?;
    let all: Vec<_> = all
        .iter()
        .map(|(topic, partition, offset, epoch, metadata)| Committed {
            topic,
            partition: *partition,
            offset: *offset,
            leader_epoch: *epoch as i32,
            metadata,
        })
        .collect();
    show(&all);
    Some(())
}

/// Answers what a record is now; nothing when it is what it was.
fn became(record: &ClientRecord, input: &[u8], output: &mut Vec<u8>) {
    record.encode(output);
    if output == input {
        output.clear();
    }
}

#[doc(hidden)]
pub fn on_send<T: ProducerInterceptor>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let Some(mut record) = ClientRecord::open(input) else {
        return fault(output, UNREADABLE);
    };
    match plugin.on_send(&mut record) {
        Ok(()) => became(&record, input, output),
        Err(why) => fault(output, &why),
    }
}

#[doc(hidden)]
pub fn on_ack<T: ProducerInterceptor>(plugin: &mut T, input: &[u8]) -> u64 {
    show_ack(input, |ack| plugin.on_ack(ack)).expect(OTHER);
    0
}

#[doc(hidden)]
pub fn on_consume<T: ConsumerInterceptor>(plugin: &mut T, input: &[u8], output: &mut Vec<u8>) {
    let Some(mut record) = ClientRecord::open(input) else {
        return fault(output, UNREADABLE);
    };
    match plugin.on_consume(&mut record) {
        Ok(true) => became(&record, input, output),
        Ok(false) => datum(output, 0, &[], None),
        Err(why) => fault(output, &why),
    }
}

#[doc(hidden)]
pub fn on_commit<T: ConsumerInterceptor>(plugin: &mut T, input: &[u8]) -> u64 {
    show_committed(input, |offsets| plugin.on_commit(offsets)).expect(OTHER);
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn records_come_through() {
        let mut record = ClientRecord::new("orders", Value::Integer(-7), Value::Null);
        record.headers.add("a", None);
        for timestamp in [None, Some(0), Some(1_700_000_000_123)] {
            record.timestamp = timestamp;
            let mut bytes = vec![];
            record.encode(&mut bytes);
            let again = ClientRecord::open(&bytes).unwrap();
            assert_eq!(again.headers.get("a"), Some(None));
            assert_eq!((&again.key, &again.value), (&record.key, &record.value));
            assert_eq!((again.timestamp, &*again.topic), (timestamp, "orders"));
            let mut same = vec![];
            became(&again, &bytes, &mut same);
            assert!(same.is_empty());
            for cut in 0..bytes.len() - "orders".len() {
                assert!(ClientRecord::open(&bytes[..cut]).is_none());
            }
        }
        assert!(show_ack(&[], |_| ()).is_none() && show_committed(&[], |_| ()).is_none());
    }

    struct Counting(u32);

    impl ConsumerInterceptor for Counting {
        fn configure(_: &Settings) -> Result<Self, String> {
            Ok(Counting(0))
        }
        fn on_consume(&mut self, _: &mut ClientRecord) -> Result<bool, String> {
            self.0 += 1;
            Ok(true)
        }
    }

    #[test]
    fn what_is_no_text_is_a_fault() {
        let mut record = ClientRecord::new("t", Value::Null, Value::Text("on?".into()));
        record.headers.add("h?", None);
        let mut good = vec![];
        record.encode(&mut good);
        let mut plugin = Counting::configure(&Settings::default()).unwrap();
        for at in (0..good.len()).filter(|&at| good[at] == b'?') {
            let (mut bad, mut output) = (good.clone(), vec![]);
            bad[at] = 0xff;
            on_consume(&mut plugin, &bad, &mut output);
            assert_eq!(output[8], 8, "at {at}");
        }
        on_consume(&mut plugin, &good, &mut vec![]);
        assert_eq!(plugin.0, 1);
    }
    #[test]
    fn what_is_no_text_is_shown_all_the_same() {
        let mut input = vec![];
        for number in [ACK_MAGIC, 40, 3, 1, 7, 0, 8, 0, 2, 4] {
            put(&mut input, number);
        }
        input.extend_from_slice(b"t\xffno\xfe!");
        let mut shown = false;
        let read = show_ack(&input, |ack| {
            shown = (ack.topic, ack.error) == ("t\u{fffd}", Some("no\u{fffd}!")) && ack.offset == 7
        });
        assert!(read.is_some() && shown);
        let mut input = vec![];
        for number in [COMMIT_MAGIC, 16, 1, 0] {
            put(&mut input, number);
        }
        put_bytes(&mut input, Some(b"t\xff"));
        for number in [3, 7, 0, u32::MAX] {
            put(&mut input, number);
        }
        put_bytes(&mut input, Some(b"by \xfe"));
        let mut shown = false;
        let read = show_committed(&input, |offsets| {
            let is = offsets[0];
            shown = (is.topic, is.metadata) == ("t\u{fffd}", "by \u{fffd}")
                && (is.partition, is.offset, is.leader_epoch) == (3, 7, -1)
        });
        assert!(read.is_some() && shown);
        for cut in 16..input.len() {
            assert!(show_committed(&input[..cut], |_| ()).is_none());
        }
    }
}
