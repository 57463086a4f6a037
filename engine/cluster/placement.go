package cluster

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// placement chooses brokers and log directories for the partitions of one request. It
// counts what it placed, so that later partitions of the request see the earlier ones.
type placement struct {
	image   *Image
	brokers []*Broker // racks take turns, so that neighbours are in different racks
	racks   int
	added   map[ID]int    // replicas placed by this request, by directory
	avoid   func(ID) bool // directories whose disk was stopped; nil: none
}

func newPlacement(i *Image, avoid func(ID) bool) *placement {
	p := &placement{image: i, added: make(map[ID]int), avoid: avoid}
	var racks []string
	members := make(map[string][]*Broker)
	for _, broker := range i.Brokers() {
		if members[broker.Rack] == nil {
			racks = append(racks, broker.Rack)
		}
		members[broker.Rack] = append(members[broker.Rack], broker)
	}
	slices.Sort(racks)
	p.racks = len(racks)
	for round := 0; len(p.brokers) < len(i.brokers); round++ {
		for _, rack := range racks {
			if round < len(members[rack]) {
				p.brokers = append(p.brokers, members[rack][round])
			}
		}
	}
	return p
}

// admits refuses a replication factor that the brokers cannot give. The words are those of
// Kafka's placer.
func (p *placement) admits(replication int16) *Refusal {
	switch {
	case replication <= 0:
		return refuse(kerr.InvalidReplicationFactor,
			"Invalid replication factor %d: the replication factor must be positive.", replication)
	case len(p.brokers) == 0:
		return refuse(kerr.InvalidReplicationFactor, "All brokers are currently fenced, or have all their log directories cordoned.")
	case int(replication) > len(p.brokers):
		return refuse(kerr.InvalidReplicationFactor, "The target replication factor of %d cannot be reached because only "+
			"%d broker(s) are registered or some brokers have all their log directories cordoned.", replication, len(p.brokers))
	}
	return nil
}

// spread places count partitions, of which the first has the index first. Leaders go round
// the brokers from a place that the topic's random id decides, so that one-partition topics
// do not all begin at one broker; followers are the next brokers, other racks first.
func (p *placement) spread(topic ID, first, count int, replication int16) []Partition {
	partitions := make([]Partition, 0, count)
	start := int(binary.BigEndian.Uint32(topic[:])) % len(p.brokers)
	for index := first; index < first+count; index++ {
		leader := (start + index) % len(p.brokers)
		skip := index / len(p.brokers) // another order of followers in every round
		replicas := p.follow(leader, skip, int(replication))
		partitions = append(partitions, p.partition(replicas))
	}
	return partitions
}

// follow chooses the replicas of a partition whose leader is known.
func (p *placement) follow(leader, skip, replication int) []int32 {
	replicas := make([]int32, 1, replication)
	replicas[0] = p.brokers[leader].ID
	racks := map[string]bool{p.brokers[leader].Rack: true}
	for _, otherRack := range []bool{true, false} {
		for n := range len(p.brokers) {
			if len(replicas) == replication {
				return replicas
			}
			broker := p.brokers[(leader+1+(skip+n)%max(1, len(p.brokers)-1))%len(p.brokers)]
			if slices.Contains(replicas, broker.ID) || otherRack && racks[broker.Rack] && len(racks) < p.racks {
				continue
			}
			replicas = append(replicas, broker.ID)
			racks[broker.Rack] = true
		}
	}
	return replicas
}

// partition is a new partition on the given brokers: the first of them leads, all are in
// sync, each replica lives in its broker's emptiest directory.
func (p *placement) partition(replicas []int32) Partition {
	directories := make([]ID, len(replicas))
	for n, replica := range replicas {
		directories[n] = p.emptiest(p.image.Broker(replica))
	}
	return Partition{Leader: replicas[0], Replicas: replicas, ISR: replicas, Directories: directories}
}

// emptiest is the broker's log directory with the fewest replicas, the first of several. One that is to
// be avoided is taken only if all are.
func (p *placement) emptiest(broker *Broker) ID {
	var best ID
	fewest := -1
	left := broker.Directories
	if p.avoid != nil {
		if left = slices.DeleteFunc(slices.Clone(left), p.avoid); len(left) == 0 {
			left = broker.Directories
		}
	}
	for _, directory := range left {
		if replicas := p.image.Placed(directory) + p.added[directory]; fewest < 0 || replicas < fewest {
			best, fewest = directory, replicas
		}
	}
	p.added[best]++
	return best
}

// manual checks the brokers that a client named for one partition. want is how many
// replicas the partitions before it have, or −1 for the first.
func (p *placement) manual(replicas []int32, want int) *Refusal {
	if len(replicas) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(replicas))
	for n, replica := range sorted {
		if p.image.Broker(replica) == nil {
			return refuse(kerr.InvalidReplicaAssignment,
				"The manual partition assignment includes broker %d, but no such broker is registered.", replica)
		}
		if n > 0 && sorted[n-1] == replica {
			return refuse(kerr.InvalidReplicaAssignment,
				"The manual partition assignment includes the broker %d more than once.", replica)
		}
	}
	if want >= 0 && len(replicas) != want {
		return refuse(kerr.InvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), "+
			"but this is not consistent with previous partitions, which have %d replica(s).", len(replicas), want)
	}
	return nil
}
