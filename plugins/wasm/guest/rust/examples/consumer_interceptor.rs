//! Leaves out records whose value begins with config.prefix, takes the header "origin" off the
//! others, and says in a header up to where the group has committed.

use millrace_plugin::{
    consumer_interceptor, ClientRecord, Committed, ConsumerInterceptor, Settings, Value,
};

struct Sieve {
    prefix: String,
    committed: i64,
}

impl ConsumerInterceptor for Sieve {
    fn configure(settings: &Settings) -> Result<Self, String> {
        if let Some(key) = settings.keys().find(|key| *key != "prefix") {
            return Err(format!("unknown setting {key}"));
        }
        Ok(Sieve {
            prefix: settings.get("prefix").unwrap_or("debug").into(),
            committed: 0,
        })
    }

    fn on_consume(&mut self, record: &mut ClientRecord) -> Result<bool, String> {
        let begins = match &record.value {
            Value::Bytes(p) => p.starts_with(self.prefix.as_bytes()),
            Value::Text(text) => text.starts_with(&self.prefix),
            _ => false,
        };
        record.headers.remove("origin");
        if self.committed > 0 {
            let committed = self.committed.to_string();
            record.headers.add("committed", Some(committed.as_bytes()));
        }
        Ok(!begins)
    }

    fn on_commit(&mut self, offsets: &[Committed]) {
        for one in offsets {
            self.committed = self.committed.max(one.offset);
        }
    }
}

consumer_interceptor!(Sieve);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_left_out() {
        let mut sieve = Sieve::configure(&Settings::default()).unwrap();
        let mut record = ClientRecord::new("t", Value::Null, Value::Text("one".into()));
        record.headers.add("origin", Some(b"shop"));
        assert_eq!(sieve.on_consume(&mut record), Ok(true));
        assert_eq!(record.headers.iter().count(), 0);
        sieve.on_commit(&[Committed {
            topic: "t",
            partition: 0,
            offset: 7,
            leader_epoch: -1,
            metadata: "",
        }]);
        assert_eq!(sieve.on_consume(&mut record), Ok(true));
        assert_eq!(record.headers.get("committed"), Some(Some(&b"7"[..])));
        record.value = Value::Text("debug: x".into());
        assert_eq!(sieve.on_consume(&mut record), Ok(false));
        record.value = Value::Null;
        assert_eq!(sieve.on_consume(&mut record), Ok(true));
        assert!(Sieve::configure(&Settings::new(&[("prefx", "x")])).is_err());
    }
}
