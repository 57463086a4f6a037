use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The settings of a plugin, as texts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pairs: Vec<(String, String)>,
}

impl Settings {
    /// Settings of these keys and values.
    pub fn new(pairs: &[(&str, &str)]) -> Settings {
        Settings {
            pairs: pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
        }
    }

    /// The text of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// The items of a comma-separated list.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.get(key)
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(k, _)| k.as_str())
    }

    pub(crate) fn decode(mut p: &[u8]) -> Option<Settings> {
        let mut settings = Settings::default();
        while !p.is_empty() {
            let key = text(&mut p)?;
            let value = text(&mut p)?;
            settings.pairs.push((key, value));
        }
        Some(settings)
    }
}

fn text(p: &mut &[u8]) -> Option<String> {
    let size = u32::from_le_bytes(p.get(..4)?.try_into().ok()?) as usize;
    let bytes = p.get(4..4 + size)?;
    *p = &p[4 + size..];
    core::str::from_utf8(bytes).ok().map(ToString::to_string)
}
