//! Stamps each record that has no such header yet with one: config.key=origin, config.value=here.

use millrace_plugin::{plugin, Batch, Change, Error, Interceptor, Settings};

struct Stamp {
    key: String,
    value: String,
}

impl Stamp {
    fn stamp(&self, batch: &mut Batch) {
        for record in batch.records() {
            if record.header(&self.key).is_none() {
                let change = Change::new().header(&self.key, Some(self.value.as_bytes()));
                batch.change(record.index, change);
            }
        }
    }
}

impl Interceptor for Stamp {
    fn configure(settings: &Settings) -> Result<Self, String> {
        Ok(Stamp {
            key: settings.get("key").unwrap_or("origin").into(),
            value: settings.get("value").ok_or("value is missing")?.into(),
        })
    }

    fn on_produce(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.stamp(batch);
        Ok(())
    }

    fn on_fetch(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.stamp(batch);
        Ok(())
    }
}

plugin!(Stamp);
