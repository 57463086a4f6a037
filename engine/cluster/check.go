package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/security/acl"
)

// check refuses a partition that cannot be.
func (p *Partition) check() error {
	for n, replica := range p.Replicas {
		if replica < 0 || slices.Contains(p.Replicas[:n], replica) {
			return fmt.Errorf("replicas %v", p.Replicas)
		}
	}
	for n, replica := range p.ISR {
		if !slices.Contains(p.Replicas, replica) || slices.Contains(p.ISR[:n], replica) {
			return fmt.Errorf("in-sync replicas %v of replicas %v", p.ISR, p.Replicas)
		}
	}
	switch {
	case len(p.Replicas) == 0:
		return errors.New("no replicas")
	case p.Leader != NoLeader && !slices.Contains(p.ISR, p.Leader):
		return fmt.Errorf("leader %d is not in sync %v", p.Leader, p.ISR)
	case len(p.Directories) != len(p.Replicas):
		return fmt.Errorf("%d directories for %d replicas", len(p.Directories), len(p.Replicas))
	case p.LeaderEpoch < 0 || p.Epoch < 0:
		return fmt.Errorf("leader epoch %d, partition epoch %d", p.LeaderEpoch, p.Epoch)
	}
	return nil
}

// Check verifies everything that must be true of an image, at a cost that suits tests and
// the simulator.
func (i *Image) Check() error {
	placed := make(map[ID]int)
	partitions, colliding := 0, make(map[string][]string)
	topics := i.Topics()
	if !slices.IsSortedFunc(topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) }) {
		return errors.New("topics are not in the order of their names")
	}
	for _, topic := range topics {
		if i.Topic(topic.Name) != topic || i.TopicByID(topic.ID) != topic {
			return fmt.Errorf("topic %q with id %s is not what is found by its name or its id", topic.Name, topic.ID)
		}
		for n := range topic.Partitions {
			if err := topic.Partitions[n].check(); err != nil {
				return fmt.Errorf("partition %d of topic %q: %w", n, topic.Name, err)
			}
			for _, directory := range topic.Partitions[n].Directories {
				placed[directory]++
			}
		}
		partitions += len(topic.Partitions)
		if form, ok := unify(topic.Name); ok {
			colliding[form] = append(colliding[form], topic.Name)
		}
	}
	if i.names.size != len(topics) || i.ids.size != i.names.size || i.partitions != partitions {
		return fmt.Errorf("counted %d names, %d ids, %d partitions; there are %d topics with %d partitions",
			i.names.size, i.ids.size, i.partitions, len(topics), partitions)
	}
	if !maps.Equal(placed, i.placed) {
		return fmt.Errorf("replicas by directory are %v, counted as %v", placed, i.placed)
	}
	for form, names := range colliding {
		known := slices.Sorted(slices.Values(i.unified.lookup(spreadName(form), form)))
		if !slices.Equal(known, names) {
			return fmt.Errorf("topics %v have the form %q, known are %v", names, form, known)
		}
	}
	if i.unified.size != len(colliding) {
		return fmt.Errorf("%d forms of names are known, there are %d", i.unified.size, len(colliding))
	}
	for id, broker := range i.brokers {
		if broker.ID != id || broker.Epoch > i.lastEpoch {
			return fmt.Errorf("broker %d is known as %d and has epoch %d of %d", broker.ID, id, broker.Epoch, i.lastEpoch)
		}
	}
	acls := 0
	i.acls.all(func(b acl.Binding, _ bool) bool {
		acls++
		return b.Check() == nil
	})
	if acls != i.acls.size {
		return fmt.Errorf("%d bindings are in order, %d are counted", acls, i.acls.size)
	}
	return nil
}
