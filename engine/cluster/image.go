package cluster

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/security/acl"
)

// NoLeader is the leader of a partition that has none.
const NoLeader = -1

// Image is the whole cluster at one point of the metadata log. It is immutable: what its
// methods return is shared and must not be changed.
type Image struct {
	state
}

// state is what an image is made of; a draft begins with a copy of it.
type state struct {
	clusterID      string
	names          table[string, *Topic]
	ids            table[ID, *Topic]
	topics         list
	unified        table[string, []string] // names that collide in metrics, by their unified form
	brokers        map[int32]*Broker
	configs        map[string]map[string]string // dynamic broker settings by broker id; "" is every broker's default
	groups         map[string]map[string]string // settings of groups, which need not exist
	features       map[string]int16
	scram          map[ScramKey]*ScramCredential
	scramEdition   *ScramEdition // of scram; nil: nobody was ever in there
	placed         map[ID]int    // replicas by log directory
	partitions     int
	nextProducerID int64
	lastEpoch      int64 // the highest broker epoch given
	acls           table[acl.Binding, bool]
}

// Topic is one topic. It is immutable.
type Topic struct {
	Name       string
	ID         ID
	Internal   bool
	Partitions []Partition
	// Configs are the settings that were given to the topic itself.
	Configs map[string]string
}

// Partition is where one partition lives and who leads it.
type Partition struct {
	Leader      int32 `json:"leader"`
	LeaderEpoch int32 `json:"leaderEpoch"`
	// Epoch counts every change of the partition, Kafka's partition epoch.
	Epoch    int32   `json:"partitionEpoch"`
	Replicas []int32 `json:"replicas"`
	ISR      []int32 `json:"isr"`
	// Directories are the log directories of the replicas, in the same order.
	Directories []ID `json:"directories"`
}

// Directory is the log directory of the replica on a broker. It is zero when the broker has none.
func (p *Partition) Directory(broker int32) ID {
	if i := slices.Index(p.Replicas, broker); i >= 0 {
		return p.Directories[i]
	}
	return ID{}
}

// Broker is one registered broker. It is immutable.
type Broker struct {
	ID int32
	// Epoch rises with every life of the broker.
	Epoch int64
	// Incarnation is drawn anew by every process, and tells a new life from an amended registration.
	Incarnation ID
	Host        string
	Port        int32
	// Rack is empty when the broker has none.
	Rack string
	// Directories are its log directories.
	Directories []ID
}

// Feature is a finalized feature and its level.
type Feature struct {
	Name  string
	Level int16
}

// Empty is the image before the first record.
func Empty() *Image { return new(Image) }

// ClusterID is Kafka's cluster id. It is empty before the first record.
func (i *Image) ClusterID() string { return i.clusterID }

// Topic finds a topic by name, or answers nil.
func (i *Image) Topic(name string) *Topic { return i.names.lookup(spreadName(name), name) }

// TopicByID finds a topic by id, or answers nil.
func (i *Image) TopicByID(id ID) *Topic { return i.ids.lookup(spreadID(id), id) }

// TopicCount is how many topics there are.
func (i *Image) TopicCount() int { return i.names.size }

// PartitionCount is how many partitions all topics have together.
func (i *Image) PartitionCount() int { return i.partitions }

// Topics are all topics in the order of their names. The slice is the caller's.
func (i *Image) Topics() []*Topic { return i.topics.all(i.names.size) }

// Broker finds a broker by id, or answers nil.
func (i *Image) Broker(id int32) *Broker { return i.brokers[id] }

// Brokers are all brokers in the order of their ids.
func (i *Image) Brokers() []*Broker {
	return slices.SortedFunc(maps.Values(i.brokers), func(a, b *Broker) int { return cmp.Compare(a.ID, b.ID) })
}

// BrokerConfigs are the dynamic settings of one broker, or of every broker when name is empty.
func (i *Image) BrokerConfigs(name string) map[string]string { return i.configs[name] }

// GroupConfigs are the settings of one group; nil when it has none.
func (i *Image) GroupConfigs(name string) map[string]string { return i.groups[name] }

// GroupsWithConfigs are the names of the groups that have settings, in order.
func (i *Image) GroupsWithConfigs() []string { return slices.Sorted(maps.Keys(i.groups)) }

// SameTopics reports whether no topic was created, deleted or changed between two images.
// It may answer false when they are the same after all.
func (i *Image) SameTopics(other *Image) bool { return i.ids == other.ids }

// NextProducerID is the first producer id of the next block.
func (i *Image) NextProducerID() int64 { return i.nextProducerID }

// Features are the finalized features in the order of their names.
func (i *Image) Features() []Feature {
	features := make([]Feature, 0, len(i.features))
	for _, name := range slices.Sorted(maps.Keys(i.features)) {
		features = append(features, Feature{Name: name, Level: i.features[name]})
	}
	return features
}

// FeatureLevel is the finalized level of a feature, 0 when it has none.
func (i *Image) FeatureLevel(name string) int16 { return i.features[name] }

// ACLs are all bindings of the authorizer, in order. The slice is the caller's.
func (i *Image) ACLs() []acl.Binding { return i.FindACLs(nil) }

// FindACLs are those that a filter finds, in order; nil finds all.
func (i *Image) FindACLs(filter *acl.Filter) []acl.Binding {
	var found []acl.Binding
	i.acls.all(func(b acl.Binding, _ bool) bool {
		if filter == nil || filter.Finds(&b) {
			found = append(found, b)
		}
		return true
	})
	slices.SortFunc(found, func(a, b acl.Binding) int { return a.Compare(&b) })
	return found
}

// SameACLs reports whether no binding came or went between two images. It may answer false
// when they are the same after all.
func (i *Image) SameACLs(other *Image) bool { return i.acls == other.acls }

// Placed is how many replicas live in a log directory.
func (i *Image) Placed(directory ID) int { return i.placed[directory] }

// Records are records that make this image from an empty one: what a snapshot holds.
func (i *Image) Records() []Record {
	var records []Record
	if i.clusterID != "" {
		records = append(records, &ClusterRecord{ID: i.clusterID})
	}
	for _, feature := range i.Features() {
		records = append(records, &FeatureRecord{Name: feature.Name, Level: feature.Level})
	}
	for _, broker := range i.Brokers() {
		records = append(records, brokerRecord(broker))
	}
	for _, name := range slices.Sorted(maps.Keys(i.configs)) {
		values := make(map[string]*string, len(i.configs[name]))
		for key, value := range i.configs[name] {
			values[key] = &value
		}
		records = append(records, &ConfigRecord{Resource: BrokerConfig, Name: name, Values: values})
	}
	for _, name := range slices.Sorted(maps.Keys(i.groups)) {
		values := make(map[string]*string, len(i.groups[name]))
		for key, value := range i.groups[name] {
			values[key] = &value
		}
		records = append(records, &ConfigRecord{Resource: GroupConfig, Name: name, Values: values})
	}
	for _, user := range i.ScramUsers() {
		records = append(records, scramRecord(user, i.scram[user]))
	}
	if i.nextProducerID > 0 {
		records = append(records, &ProducerIDsRecord{Broker: -1, BrokerEpoch: -1, Next: i.nextProducerID})
	}
	for _, b := range i.ACLs() {
		records = append(records, &ACLRecord{b})
	}
	for _, topic := range i.Topics() {
		records = append(records, &TopicRecord{
			Name: topic.Name, ID: topic.ID, Internal: topic.Internal, Partitions: topic.Partitions, Configs: topic.Configs,
		})
	}
	return records
}
