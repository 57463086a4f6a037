//! Temperatures, in thousandths of a degree, as four bytes. With config.header=unit it names
//! their unit in a header.

use millrace_plugin::{serializer, HeaderList, Serializer, Settings, Value};

struct Temperature {
    header: String,
}

const ABSOLUTE_ZERO: i64 = -273_150;

impl Serializer for Temperature {
    fn configure(settings: &Settings) -> Result<Self, String> {
        if let Some(key) = settings.keys().find(|key| *key != "header") {
            return Err(format!("unknown setting {key}"));
        }
        Ok(Temperature {
            header: settings.get("header").unwrap_or("").into(),
        })
    }

    fn serialize(
        &mut self,
        _topic: &str,
        headers: &mut HeaderList,
        value: Value,
    ) -> Result<Option<Vec<u8>>, String> {
        let Value::Integer(n) = value else {
            return Err("a temperature is a whole number".into());
        };
        if n < ABSOLUTE_ZERO {
            return Err("there is no such temperature".into());
        }
        if !self.header.is_empty() {
            headers.add(&self.header, Some(b"mC"));
        }
        Ok(Some((n as i32).to_be_bytes().to_vec()))
    }

    fn deserialize<'a>(
        &mut self,
        _topic: &str,
        _headers: &HeaderList,
        data: Option<&'a [u8]>,
    ) -> Result<Value<'a>, String> {
        match data.map(<[u8; 4]>::try_from) {
            Some(Ok(four)) => Ok(Value::Integer(i32::from_be_bytes(four).into())),
            _ => Err("a temperature has four bytes".into()),
        }
    }
}

serializer!(Temperature);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_come_back() {
        let mut t = Temperature::configure(&Settings::new(&[("header", "unit")])).unwrap();
        let mut headers = HeaderList::new();
        let bytes = t.serialize("t", &mut headers, Value::Integer(-1)).unwrap();
        assert_eq!(headers.get("unit"), Some(Some(&b"mC"[..])));
        let back = t.deserialize("t", &headers, bytes.as_deref());
        assert_eq!(back, Ok(Value::Integer(-1)));
        assert!(t.deserialize("t", &headers, None).is_err());
        assert!(t
            .serialize("t", &mut headers, Value::Integer(-300_000))
            .is_err());
    }
}
