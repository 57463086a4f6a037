//! Leaves out records without a value, sends those whose value begins with a text to another
//! topic, and rejects batches with a record that is too large:
//!
//!     config.prefix=debug   config.topic=logs   config.max=1000

use millrace_plugin::{plugin, Batch, Error, Interceptor, Settings};

struct Filter {
    prefix: Vec<u8>,
    topic: String,
    max: usize,
}

impl Interceptor for Filter {
    fn configure(settings: &Settings) -> Result<Self, String> {
        for key in settings.keys() {
            if !["prefix", "topic", "max"].contains(&key) {
                return Err(format!("unknown setting {key}"));
            }
        }
        let max = settings.get("max").unwrap_or("1000000");
        Ok(Filter {
            prefix: settings.get("prefix").unwrap_or("debug").into(),
            topic: settings.get("topic").unwrap_or("logs").into(),
            max: max.parse().map_err(|_| format!("max={max} is no number"))?,
        })
    }

    fn on_produce(&mut self, batch: &mut Batch) -> Result<(), Error> {
        for record in batch.records() {
            match record.value {
                None => batch.drop_record(record.index),
                Some(value) if value.len() > self.max => {
                    return Err(Error::Reject(format!(
                        "record {} has {} bytes",
                        record.index,
                        value.len()
                    )))
                }
                Some(value) if value.starts_with(&self.prefix) => {
                    batch.route(record.index, &self.topic)
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

plugin!(Filter);

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_plugin::testing::{run, Fate};

    #[test]
    fn records_are_filtered() {
        let mut filter = Filter::configure(&Settings::new(&[("max", "20")])).unwrap();
        let fates = run(
            &mut filter,
            Interceptor::on_produce,
            &[
                (None, Some(b"one")),
                (None, None),
                (None, Some(b"debug: x")),
            ],
        );
        assert_eq!(
            fates,
            Ok(vec![Fate::Kept, Fate::Dropped, Fate::Routed("logs".into())])
        );
        let large = run(
            &mut filter,
            Interceptor::on_produce,
            &[(None, Some(&[0; 21]))],
        );
        assert_eq!(large, Err(Error::Reject("record 0 has 21 bytes".into())));
        assert!(Filter::configure(&Settings::new(&[("maximum", "1")])).is_err());
    }
}
