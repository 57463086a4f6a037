//! Says in a header of each record who sent it (config.name), and in another how many were stored
//! by then. Values that begin with config.secret are not shown to others: it has nothing to say about
//! them.

use millrace_plugin::{
    producer_interceptor, Ack, ClientRecord, ProducerInterceptor, Settings, Value,
};

struct Origin {
    name: String,
    secret: String,
    stored: u64,
}

impl ProducerInterceptor for Origin {
    fn configure(settings: &Settings) -> Result<Self, String> {
        if let Some(key) = settings
            .keys()
            .find(|key| !["name", "secret"].contains(key))
        {
            return Err(format!("unknown setting {key}"));
        }
        Ok(Origin {
            name: settings.get("name").unwrap_or("millrace").into(),
            secret: settings.get("secret").unwrap_or("secret").into(),
            stored: 0,
        })
    }

    fn on_send(&mut self, record: &mut ClientRecord) -> Result<(), String> {
        let begins = match &record.value {
            Value::Bytes(p) => p.starts_with(self.secret.as_bytes()),
            Value::Text(text) => text.starts_with(&self.secret),
            _ => false,
        };
        if begins {
            return Err("it is a secret".into());
        }
        record.headers.add("origin", Some(self.name.as_bytes()));
        if self.stored > 0 {
            let stored = self.stored.to_string();
            record.headers.add("stored", Some(stored.as_bytes()));
        }
        Ok(())
    }

    fn on_ack(&mut self, ack: &Ack) {
        if ack.error.is_none() {
            self.stored += 1;
        }
    }
}

producer_interceptor!(Origin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_where_they_come_from() {
        let mut origin = Origin::configure(&Settings::new(&[("name", "shop")])).unwrap();
        let mut record = ClientRecord::new("t", Value::Null, Value::Text("one".into()));
        origin.on_send(&mut record).unwrap();
        assert_eq!(record.headers.get("origin"), Some(Some(&b"shop"[..])));
        assert_eq!(record.headers.get("stored"), None);
        origin.on_ack(&Ack {
            topic: "t",
            partition: 0,
            offset: 0,
            timestamp: None,
            error: None,
        });
        origin.on_send(&mut record).unwrap();
        assert_eq!(record.headers.get("stored"), Some(Some(&b"1"[..])));
        record.value = Value::Text("secret".into());
        assert!(origin.on_send(&mut record).is_err());
        assert!(Origin::configure(&Settings::new(&[("nam", "x")])).is_err());
    }
}
