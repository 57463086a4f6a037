//! Deals the partitions of each topic out in turn, to those who want the topic.

use millrace_plugin::{assignor, Assignor, Member, Partition, Settings};

struct Deal;

impl Assignor for Deal {
    fn configure(_: &Settings) -> Result<Self, String> {
        Ok(Deal)
    }

    fn name(&self) -> &str {
        "deal"
    }

    fn user_data(&mut self, _topics: &[&str], owned: &[Partition]) -> Option<Vec<u8>> {
        Some(vec![owned.len() as u8])
    }

    fn assign<'a>(
        &mut self,
        members: &[Member<'a>],
        topics: &[(&'a str, u32)],
    ) -> Result<Vec<Vec<Partition<'a>>>, String> {
        let mut dealt = vec![Vec::new(); members.len()];
        let mut turn = 0;
        for (topic, partitions) in topics {
            let takers: Vec<usize> = (0..members.len())
                .filter(|i| members[*i].topics.contains(topic))
                .collect();
            if takers.is_empty() {
                continue;
            }
            for partition in 0..*partitions {
                dealt[takers[turn % takers.len()]].push((*topic, partition));
                turn += 1;
            }
        }
        Ok(dealt)
    }
}

assignor!(Deal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_dealt_in_turn() {
        let member = |id, topics: &[&'static str]| Member {
            id,
            topics: topics.to_vec(),
            ..Member::default()
        };
        let members = [member("a", &["s", "t"]), member("b", &["t"])];
        let dealt = Deal.assign(&members, &[("s", 1), ("t", 3), ("u", 2)]);
        let want = vec![vec![("s", 0), ("t", 1)], vec![("t", 0), ("t", 2)]];
        assert_eq!(dealt, Ok(want));
    }
}
