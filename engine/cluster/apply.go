package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/millrace/millrace/engine/security/acl"
)

// Apply answers the image after records. It copies what they touch once, however many
// they are. An error means that they do not fit this image, and says which one.
func (i *Image) Apply(records []Record) (*Image, error) {
	d := newDraft(i)
	for n, record := range records {
		if err := record.apply(d); err != nil {
			return nil, fmt.Errorf("apply %s record (%d of %d): %w", record.kind(), n+1, len(records), err)
		}
	}
	return d.publish(), nil
}

// draft is an image under construction. It has one owner, the Apply that made it.
//
// Ownership: state is a copy whose maps are still the old image's until the matching flag
// below says that the draft has its own.
type draft struct {
	state
	names   edit[string, *Topic]
	ids     edit[ID, *Topic]
	topics  listEdit
	unified edit[string, []string]
	acls    edit[acl.Binding, bool]
	fresh   map[ID]*Topic // topics that this draft made and may change
	own     struct{ brokers, configs, groups, features, placed, scram bool }
}

func newDraft(i *Image) *draft {
	d := &draft{state: i.state}
	d.names.table, d.ids.table, d.topics.list, d.unified.table, d.acls.table = i.names, i.ids, i.topics, i.unified, i.acls
	return d
}

func (d *draft) publish() *Image {
	next := &Image{state: d.state}
	next.names, next.ids, next.topics, next.unified, next.acls = d.names.table, d.ids.table, d.topics.list, d.unified.table, d.acls.table
	return next
}

// owned gives the draft its own copy of a small map, once.
func owned[K comparable, V any](m *map[K]V, done *bool) map[K]V {
	if !*done {
		*done = true
		if *m = maps.Clone(*m); *m == nil {
			*m = make(map[K]V)
		}
	}
	return *m
}

func (d *draft) place(p *Partition, by int) {
	placed := owned(&d.placed, &d.own.placed)
	for _, directory := range p.Directories {
		if placed[directory] += by; placed[directory] == 0 {
			delete(placed, directory)
		}
	}
}

// topic finds a topic that the draft may change: its own copy, with its own partitions.
func (d *draft) topic(id ID) (*Topic, error) {
	if known := d.fresh[id]; known != nil {
		return known, nil
	}
	old := d.ids.lookup(spreadID(id), id)
	if old == nil {
		return nil, fmt.Errorf("there is no topic with id %s", id)
	}
	changed := *old
	changed.Partitions = slices.Clone(old.Partitions)
	changed.Configs = maps.Clone(old.Configs)
	d.keep(&changed)
	return &changed, nil
}

func (d *draft) keep(topic *Topic) {
	if d.fresh == nil {
		d.fresh = make(map[ID]*Topic)
	}
	d.fresh[topic.ID] = topic
	d.names.set(spreadName(topic.Name), topic.Name, topic)
	d.ids.set(spreadID(topic.ID), topic.ID, topic)
	d.topics.set(topic)
}

func (r *ClusterRecord) apply(d *draft) error {
	if r.ID == "" || d.clusterID != "" {
		return fmt.Errorf("the cluster is %q and becomes %q", d.clusterID, r.ID)
	}
	d.clusterID = r.ID
	return nil
}

func (r *FeatureRecord) apply(d *draft) error {
	if r.Name == "" || r.Level < 0 {
		return fmt.Errorf("feature %q has level %d", r.Name, r.Level)
	}
	features := owned(&d.features, &d.own.features)
	if features[r.Name] = r.Level; r.Level == 0 {
		delete(features, r.Name)
	}
	return nil
}

func brokerRecord(b *Broker) *BrokerRecord {
	return &BrokerRecord{
		ID: b.ID, Epoch: b.Epoch, Incarnation: b.Incarnation, Host: b.Host, Port: b.Port, Rack: b.Rack, Directories: b.Directories,
	}
}

func (r *BrokerRecord) apply(d *draft) error {
	old := d.brokers[r.ID]
	switch {
	case r.ID < 0 || r.Epoch < 0:
		return fmt.Errorf("broker %d has epoch %d", r.ID, r.Epoch)
	case old != nil && r.Epoch < old.Epoch:
		return fmt.Errorf("the epoch of broker %d goes back from %d to %d", r.ID, old.Epoch, r.Epoch)
	}
	owned(&d.brokers, &d.own.brokers)[r.ID] = &Broker{
		ID: r.ID, Epoch: r.Epoch, Incarnation: r.Incarnation, Host: r.Host, Port: r.Port, Rack: r.Rack, Directories: r.Directories,
	}
	d.lastEpoch = max(d.lastEpoch, r.Epoch)
	if old != nil && old.Incarnation != r.Incarnation {
		return d.leadAnew(r.ID)
	}
	return nil
}

// leadAnew begins the next leader epoch of every partition that a broker leads.
func (d *draft) leadAnew(broker int32) error {
	var led []ID
	d.ids.all(func(id ID, topic *Topic) bool {
		if slices.ContainsFunc(topic.Partitions, func(p Partition) bool { return p.Leader == broker }) {
			led = append(led, id)
		}
		return true
	})
	for _, id := range led {
		topic, err := d.topic(id)
		if err != nil {
			return err
		}
		for n := range topic.Partitions {
			if p := &topic.Partitions[n]; p.Leader == broker {
				p.LeaderEpoch++
				p.Epoch++
			}
		}
	}
	return nil
}

func (r *TopicRecord) apply(d *draft) error {
	switch {
	case CheckName(r.Name) != nil || r.ID.Zero():
		return fmt.Errorf("no topic can be named %q and have id %s", r.Name, r.ID)
	case d.names.lookup(spreadName(r.Name), r.Name) != nil:
		return fmt.Errorf("there is a topic %q already", r.Name)
	case d.ids.lookup(spreadID(r.ID), r.ID) != nil:
		return fmt.Errorf("there is a topic with id %s already", r.ID)
	case len(r.Partitions) == 0:
		return fmt.Errorf("topic %q has no partitions", r.Name)
	}
	topic := &Topic{Name: r.Name, ID: r.ID, Internal: r.Internal}
	if len(r.Configs) > 0 {
		topic.Configs = maps.Clone(r.Configs)
	}
	if err := d.grow(topic, r.Partitions); err != nil {
		return err
	}
	d.keep(topic)
	if form, ok := unify(r.Name); ok {
		others := d.unified.lookup(spreadName(form), form)
		d.unified.set(spreadName(form), form, append(slices.Clip(others), r.Name))
	}
	return nil
}

// grow adds partitions to a topic that the draft owns.
func (d *draft) grow(topic *Topic, added []Partition) error {
	for n := range added {
		if err := added[n].check(); err != nil {
			return fmt.Errorf("partition %d of topic %q: %w", len(topic.Partitions)+n, topic.Name, err)
		}
		d.place(&added[n], 1)
	}
	topic.Partitions = append(slices.Clip(topic.Partitions), added...)
	d.partitions += len(added)
	return nil
}

func (r *PartitionsRecord) apply(d *draft) error {
	topic, err := d.topic(r.Topic)
	if err != nil {
		return err
	}
	if int(r.First) != len(topic.Partitions) || len(r.Partitions) == 0 {
		return fmt.Errorf("topic %q has %d partitions, and %d are added from %d on", topic.Name, len(topic.Partitions), len(r.Partitions), r.First)
	}
	return d.grow(topic, r.Partitions)
}

func (r *PartitionRecord) apply(d *draft) error {
	topic, err := d.topic(r.Topic)
	if err != nil {
		return err
	}
	if r.Index < 0 || int(r.Index) >= len(topic.Partitions) {
		return fmt.Errorf("topic %q has %d partitions and none is %d", topic.Name, len(topic.Partitions), r.Index)
	}
	if err := r.Partition.check(); err != nil {
		return fmt.Errorf("partition %d of topic %q: %w", r.Index, topic.Name, err)
	}
	old := &topic.Partitions[r.Index]
	if r.Partition.Epoch <= old.Epoch || r.Partition.LeaderEpoch < old.LeaderEpoch {
		return fmt.Errorf("partition %d of topic %q goes back from epoch %d, led in epoch %d, to epoch %d, led in epoch %d",
			r.Index, topic.Name, old.Epoch, old.LeaderEpoch, r.Partition.Epoch, r.Partition.LeaderEpoch)
	}
	d.place(old, -1)
	d.place(&r.Partition, 1)
	*old = r.Partition
	return nil
}

func (r *RemoveTopicRecord) apply(d *draft) error {
	topic := d.ids.lookup(spreadID(r.ID), r.ID)
	if topic == nil {
		return fmt.Errorf("there is no topic with id %s", r.ID)
	}
	delete(d.fresh, r.ID)
	d.names.remove(spreadName(topic.Name), topic.Name)
	d.ids.remove(spreadID(r.ID), r.ID)
	d.topics.remove(topic.Name)
	for n := range topic.Partitions {
		d.place(&topic.Partitions[n], -1)
	}
	d.partitions -= len(topic.Partitions)
	if form, ok := unify(topic.Name); ok {
		others := d.unified.lookup(spreadName(form), form)
		others = slices.DeleteFunc(slices.Clone(others), func(name string) bool { return name == topic.Name })
		if len(others) > 0 {
			d.unified.set(spreadName(form), form, others)
		} else {
			d.unified.remove(spreadName(form), form)
		}
	}
	return nil
}

func (r *ConfigRecord) apply(d *draft) error {
	switch r.Resource {
	case TopicConfig:
		known := d.names.lookup(spreadName(r.Name), r.Name)
		if known == nil {
			return fmt.Errorf("there is no topic %q", r.Name)
		}
		topic, err := d.topic(known.ID)
		if err != nil {
			return err
		}
		topic.Configs = merge(topic.Configs, r.Values)
		return nil
	case BrokerConfig:
		if _, err := strconv.ParseInt(r.Name, 10, 32); r.Name != "" && err != nil {
			return fmt.Errorf("no broker is named %q", r.Name)
		}
		configs := owned(&d.configs, &d.own.configs)
		if configs[r.Name] = merge(maps.Clone(configs[r.Name]), r.Values); configs[r.Name] == nil {
			delete(configs, r.Name)
		}
		return nil
	case GroupConfig:
		groups := owned(&d.groups, &d.own.groups)
		if groups[r.Name] = merge(maps.Clone(groups[r.Name]), r.Values); groups[r.Name] == nil {
			delete(groups, r.Name)
		}
		return nil
	}
	return fmt.Errorf("nothing of kind %q has settings", r.Resource)
}

// merge changes settings, and answers nil when none is left.
func merge(settings map[string]string, values map[string]*string) map[string]string {
	if settings == nil {
		settings = make(map[string]string, len(values))
	}
	for key, value := range values {
		if value == nil {
			delete(settings, key)
		} else {
			settings[key] = *value
		}
	}
	if len(settings) == 0 {
		return nil
	}
	return settings
}

func (r *ProducerIDsRecord) apply(d *draft) error {
	if r.Next <= d.nextProducerID {
		return fmt.Errorf("the next producer id goes from %d to %d", d.nextProducerID, r.Next)
	}
	d.nextProducerID = r.Next
	return nil
}

func (r *ACLRecord) apply(d *draft) error {
	if err := r.Check(); err != nil {
		return err
	}
	if d.acls.lookup(spreadACL(&r.Binding), r.Binding) {
		return fmt.Errorf("there is a binding %s already", &r.Binding)
	}
	d.acls.set(spreadACL(&r.Binding), r.Binding, true)
	return nil
}

func (r *RemoveACLRecord) apply(d *draft) error {
	if !d.acls.lookup(spreadACL(&r.Binding), r.Binding) {
		return fmt.Errorf("there is no binding %s", &r.Binding)
	}
	d.acls.remove(spreadACL(&r.Binding), r.Binding)
	return nil
}
