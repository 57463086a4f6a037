//! Chooses partitions by the first byte of the key. Records without a key stay with a
//! partition, at the beginning config.first, until it has a batch.

use millrace_plugin::{partitioner, Partitioner, Placement, Settings};

struct FirstByte {
    next: u32,
}

impl Partitioner for FirstByte {
    fn configure(settings: &Settings) -> Result<Self, String> {
        if let Some(key) = settings.keys().find(|key| *key != "first") {
            return Err(format!("unknown setting {key}"));
        }
        let first = settings.get("first").unwrap_or("0");
        let next = first
            .parse()
            .map_err(|_| format!("first={first} is no number"))?;
        Ok(FirstByte { next })
    }

    fn partition(&mut self, at: &Placement) -> u32 {
        match at.key.and_then(|key| key.first()) {
            Some(byte) => u32::from(*byte) % at.partitions,
            None => self.next % at.partitions,
        }
    }

    fn on_new_batch(&mut self, _topic: &str, _partition: u32) {
        self.next = self.next.wrapping_add(1);
    }
}

partitioner!(FirstByte);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decides() {
        let mut p = FirstByte::configure(&Settings::new(&[("first", "2")])).unwrap();
        assert_eq!(p.partition(&Placement::new("t", Some(&[5, 1]), 4)), 1);
        assert_eq!(p.partition(&Placement::new("t", None, 4)), 2);
        p.on_new_batch("t", 2);
        assert_eq!(p.partition(&Placement::new("t", Some(&[]), 4)), 3);
        assert!(FirstByte::configure(&Settings::new(&[("fist", "1")])).is_err());
    }
}
