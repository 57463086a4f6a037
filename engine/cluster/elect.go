package cluster

import "github.com/twmb/franz-go/pkg/kerr"

// Kinds of elections that a client may ask for (KIP-460).
const (
	ElectPreferred = 0
	ElectUnclean   = 1
)

// electionNotNeeded is made once: it is the answer for every partition that there is.
var electionNotNeeded = refuse(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")

// ElectLeader decides whether a partition gets another leader. With one node it never does:
// the only replica leads, or is not there and cannot. The refusal says which, in Kafka's
// words; ELECTION_NOT_NEEDED is the good answer.
func ElectLeader(i *Image, kind int8, topic string, partition int32) *Refusal {
	known := i.Topic(topic)
	switch {
	case kind != ElectPreferred && kind != ElectUnclean:
		return refuse(kerr.InvalidRequest, "Unknown election type %d", kind)
	case known == nil:
		return refuse(kerr.UnknownTopicOrPartition, "No such topic as %s", topic)
	case partition < 0 || int(partition) >= len(known.Partitions):
		return refuse(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", topic, partition)
	}
	switch p := &known.Partitions[partition]; {
	case kind == ElectPreferred && p.Leader != p.Replicas[0]:
		return refuse(kerr.PreferredLeaderNotAvailable, "%s", kerr.PreferredLeaderNotAvailable.Description)
	case kind == ElectUnclean && p.Leader == NoLeader:
		return refuse(kerr.EligibleLeadersNotAvailable, "%s", kerr.EligibleLeadersNotAvailable.Description)
	}
	return electionNotNeeded
}
