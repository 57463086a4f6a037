package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// An Admin connection is closed a little sooner than others, as in Kafka.
var adminRole = role{name: "admin", sections: []*setting.Section{Common, ConsumersAndAdmin}, defaults: map[string]string{"connections.max.idle.ms": "300000"}}

// Admin administers a cluster: Kafka's Admin, with the names of its methods. It is safe for
// concurrent use. A call about several things does what it can; its error has a line for
// each that failed, and errors.Is finds the kerr errors that brokers answered.
type Admin struct {
	s      *settings
	client *kgo.Client
	kadm   *kadm.Client
}

// AdminOptions are what a program gives to an Admin.
type AdminOptions struct {
	Log *slog.Logger // nil: slog.Default()
}

// NewAdmin makes an Admin. It asks no broker anything before it is used.
func NewAdmin(config Config, o AdminOptions) (*Admin, error) {
	s, err := config.resolve(adminRole, o.Log)
	if err != nil {
		return nil, err
	}
	s.bounded()
	client, err := kgo.NewClient(s.franz()...)
	if err != nil {
		return nil, fmt.Errorf("settings of the admin: %w", err)
	}
	a := &Admin{s: s, client: client, kadm: kadm.NewClient(client)}
	a.kadm.SetTimeoutMillis(int32(RequestTimeout.Of(s.Values).Milliseconds()))
	return a, nil
}

// Close closes the connections.
func (a *Admin) Close() { a.client.Close() }

// limited is ctx with default.api.timeout.ms.
func (a *Admin) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, DefaultTimeout.Of(a.s.Values), ErrTimeout)
}

// refused is the error of a broker's answer about something, with what it said; nil if it
// has none.
func refused(doing string, err error, message string) error {
	switch {
	case err == nil:
		return nil
	case message != "":
		return fmt.Errorf("%s: %w: %s", doing, err, message)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// failed is an error that nobody answered.
func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func said(message *string) string {
	if message == nil {
		return ""
	}
	return *message
}

// Node is a broker.
type Node struct {
	ID   int32
	Host string
	Port int32
	Rack string // "": not known
}

// Cluster is a cluster.
type Cluster struct {
	ID         string
	Controller int32 // the broker that answers for it; −1: not known
	Nodes      []Node
}

// DescribeCluster says which brokers there are.
func (a *Admin) DescribeCluster(ctx context.Context) (Cluster, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	m, err := a.kadm.BrokerMetadata(ctx)
	if err != nil {
		return Cluster{}, failed(ctx, "describe the cluster", err)
	}
	c := Cluster{ID: m.Cluster, Controller: m.Controller}
	for _, b := range m.Brokers {
		n := Node{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			n.Rack = *b.Rack
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

// NewTopic is a topic to be created.
type NewTopic struct {
	Name       string
	Partitions int32 // 0: the broker's num.partitions
	Replicas   int16 // 0: the broker's default.replication.factor
	Configs    map[string]string
}

// CreateTopics creates topics.
func (a *Admin) CreateTopics(ctx context.Context, topics ...NewTopic) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = int32(RequestTimeout.Of(a.s.Values).Milliseconds())
	for _, t := range topics {
		of := kmsg.NewCreateTopicsRequestTopic()
		of.Topic, of.NumPartitions, of.ReplicationFactor = t.Name, t.Partitions, t.Replicas
		if t.Partitions == 0 {
			of.NumPartitions = -1
		}
		if t.Replicas == 0 {
			of.ReplicationFactor = -1
		}
		for _, key := range slices.Sorted(maps.Keys(t.Configs)) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = key, kmsg.StringPtr(t.Configs[key])
			of.Configs = append(of.Configs, c)
		}
		q.Topics = append(q.Topics, of)
	}
	answer, err := q.RequestWith(ctx, a.client)
	if err != nil {
		return failed(ctx, "create topics", err)
	}
	var all []error
	for _, t := range answer.Topics {
		all = append(all, refused("create topic "+t.Topic, kerr.ErrorForCode(t.ErrorCode), said(t.ErrorMessage)))
	}
	return errors.Join(all...)
}

// DeleteTopics deletes topics.
func (a *Admin) DeleteTopics(ctx context.Context, names ...string) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.DeleteTopics(ctx, names...)
	if err != nil {
		return failed(ctx, "delete topics", err)
	}
	var all []error
	for _, t := range answers.Sorted() {
		all = append(all, refused("delete topic "+t.Topic, t.Err, t.ErrMessage))
	}
	return errors.Join(all...)
}

// CreatePartitions makes topics have that many partitions; they can only get more.
func (a *Admin) CreatePartitions(ctx context.Context, counts map[string]int32) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.TimeoutMillis = int32(RequestTimeout.Of(a.s.Values).Milliseconds())
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, counts[name]
		q.Topics = append(q.Topics, t)
	}
	answer, err := q.RequestWith(ctx, a.client)
	if err != nil {
		return failed(ctx, "create partitions", err)
	}
	var all []error
	for _, t := range answer.Topics {
		all = append(all, refused("create partitions of "+t.Topic, kerr.ErrorForCode(t.ErrorCode), said(t.ErrorMessage)))
	}
	return errors.Join(all...)
}

// TopicListing is a topic's name.
type TopicListing struct {
	Name     string
	ID       [16]byte
	Internal bool
}

// ListTopics lists topics, by name. Internal ones are listed when asked for.
func (a *Admin) ListTopics(ctx context.Context, internal bool) ([]TopicListing, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	details, err := a.kadm.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, failed(ctx, "list topics", err)
	}
	var all []TopicListing
	for _, t := range details.Sorted() {
		if internal || !t.IsInternal {
			all = append(all, TopicListing{t.Topic, t.ID, t.IsInternal})
		}
	}
	return all, nil
}

// TopicDescription is a topic.
type TopicDescription struct {
	TopicListing
	Partitions []PartitionDescription // by number
}

// PartitionDescription is one of its partitions.
type PartitionDescription struct {
	Partition   int32
	Leader      int32 // −1: none
	LeaderEpoch int32
	Replicas    []int32
	InSync      []int32
	Offline     []int32
}

// DescribeTopics describes topics.
func (a *Admin) DescribeTopics(ctx context.Context, names ...string) (map[string]TopicDescription, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	all := map[string]TopicDescription{}
	if len(names) == 0 {
		return all, nil
	}
	details, err := a.kadm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, failed(ctx, "describe topics", err)
	}
	var wrong []error
	for _, t := range details.Sorted() {
		if t.Err != nil {
			wrong = append(wrong, refused("describe topic "+t.Topic, t.Err, ""))
			continue
		}
		d := TopicDescription{TopicListing: TopicListing{t.Topic, t.ID, t.IsInternal}}
		for _, p := range t.Partitions.Sorted() {
			d.Partitions = append(d.Partitions, PartitionDescription{p.Partition, p.Leader, p.LeaderEpoch, p.Replicas, p.ISR, p.OfflineReplicas})
		}
		all[t.Topic] = d
	}
	return all, errors.Join(wrong...)
}

// ConfigResourceType is a kind of thing that has settings.
type ConfigResourceType = kmsg.ConfigResourceType

// ConfigResource is what has settings. TopicResource and the like make one.
type ConfigResource struct {
	Type ConfigResourceType
	Name string
}

// TopicResource is a topic.
func TopicResource(name string) ConfigResource {
	return ConfigResource{kmsg.ConfigResourceTypeTopic, name}
}

// BrokerResource is a broker; −1: the defaults of all.
func BrokerResource(id int32) ConfigResource {
	name := ""
	if id >= 0 {
		name = strconv.Itoa(int(id))
	}
	return ConfigResource{kmsg.ConfigResourceTypeBroker, name}
}

// GroupResource is a group.
func GroupResource(name string) ConfigResource {
	return ConfigResource{kmsg.ConfigResourceTypeGroupConfig, name}
}

func (r ConfigResource) String() string { return fmt.Sprintf("%v %q", r.Type, r.Name) }

// ConfigEntry is a setting and its value.
type ConfigEntry struct {
	Name      string
	Value     string
	Null      bool // it has none, or one that is not told
	Source    kmsg.ConfigSource
	Sensitive bool
	ReadOnly  bool
}

// DescribeConfigs tells the settings of resources, by name.
func (a *Admin) DescribeConfigs(ctx context.Context, resources ...ConfigResource) (map[ConfigResource][]ConfigEntry, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	q := kmsg.NewPtrDescribeConfigsRequest()
	for _, r := range resources {
		of := kmsg.NewDescribeConfigsRequestResource()
		of.ResourceType, of.ResourceName = r.Type, r.Name
		q.Resources = append(q.Resources, of)
	}
	answer, err := q.RequestWith(ctx, a.client)
	if err != nil {
		return nil, failed(ctx, "describe configs", err)
	}
	all, wrong := map[ConfigResource][]ConfigEntry{}, []error{}
	for _, r := range answer.Resources {
		key := ConfigResource{r.ResourceType, r.ResourceName}
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			wrong = append(wrong, refused("describe configs of "+key.String(), err, said(r.ErrorMessage)))
			continue
		}
		for _, c := range r.Configs {
			all[key] = append(all[key], ConfigEntry{c.Name, said(c.Value), c.Value == nil, c.Source, c.IsSensitive, c.ReadOnly})
		}
		slices.SortFunc(all[key], func(x, y ConfigEntry) int { return compare(x.Name, y.Name) })
	}
	return all, errors.Join(wrong...)
}

// AlterConfigOp changes one setting.
type AlterConfigOp struct {
	Name  string
	Op    kmsg.IncrementalAlterConfigOp // set, delete, append, subtract
	Value string                        // of all but delete
}

// SetConfig gives a setting a value.
func SetConfig(name, value string) AlterConfigOp {
	return AlterConfigOp{name, kmsg.IncrementalAlterConfigOpSet, value}
}

// DeleteConfig takes a setting back to its default.
func DeleteConfig(name string) AlterConfigOp {
	return AlterConfigOp{name, kmsg.IncrementalAlterConfigOpDelete, ""}
}

// IncrementalAlterConfigs changes settings and leaves the others as they are.
func (a *Admin) IncrementalAlterConfigs(ctx context.Context, changes map[ConfigResource][]AlterConfigOp) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for r, ops := range changes {
		of := kmsg.NewIncrementalAlterConfigsRequestResource()
		of.ResourceType, of.ResourceName = r.Type, r.Name
		for _, op := range ops {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Op = op.Name, op.Op
			if op.Op != kmsg.IncrementalAlterConfigOpDelete {
				c.Value = kmsg.StringPtr(op.Value)
			}
			of.Configs = append(of.Configs, c)
		}
		q.Resources = append(q.Resources, of)
	}
	answer, err := q.RequestWith(ctx, a.client)
	if err != nil {
		return failed(ctx, "alter configs", err)
	}
	var all []error
	for _, r := range answer.Resources {
		all = append(all, refused("alter configs of "+ConfigResource{r.ResourceType, r.ResourceName}.String(), kerr.ErrorForCode(r.ErrorCode), said(r.ErrorMessage)))
	}
	return errors.Join(all...)
}

// Places in a log to ask for with ListOffsets; any other number is a time in milliseconds,
// which TimeSpec makes.
const (
	Latest       OffsetSpec = -1
	Earliest     OffsetSpec = -2
	MaxTimestamp OffsetSpec = -3
)

// OffsetSpec is a place in a log.
type OffsetSpec int64

// TimeSpec is the first record that is not older than t.
func TimeSpec(t time.Time) OffsetSpec { return OffsetSpec(max(t.UnixMilli(), 0)) }

// ListOffsets tells the offsets of places in partitions; −1 where there is none. A partition that
// fails is left out.
func (a *Admin) ListOffsets(ctx context.Context, places map[sdk.TopicPartition]OffsetSpec) (map[sdk.TopicPartition]OffsetAndTimestamp, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	all := make(map[sdk.TopicPartition]OffsetAndTimestamp, len(places))
	if len(places) == 0 {
		return all, nil
	}
	times := make(map[sdk.TopicPartition]int64, len(places))
	for tp, at := range places {
		times[tp] = int64(at)
	}
	var wrong []error
	for _, shard := range a.client.RequestSharded(ctx, placesIn(false, times)) {
		if shard.Err != nil {
			for _, t := range shard.Req.(*kmsg.ListOffsetsRequest).Topics {
				for _, p := range t.Partitions {
					delete(times, sdk.TopicPartition{Topic: t.Topic, Partition: p.Partition})
					wrong = append(wrong, failed(ctx, fmt.Sprintf("list offsets of %s-%d", t.Topic, p.Partition), shard.Err))
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				tp := sdk.TopicPartition{Topic: t.Topic, Partition: p.Partition}
				delete(times, tp)
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					wrong = append(wrong, refused(fmt.Sprintf("list offsets of %s-%d", t.Topic, p.Partition), err, ""))
					continue
				}
				all[tp] = OffsetAndTimestamp{p.Offset, p.LeaderEpoch, time.UnixMilli(p.Timestamp)}
			}
		}
	}
	for tp := range times {
		wrong = append(wrong, fmt.Errorf("list offsets of %s-%d: the broker did not answer", tp.Topic, tp.Partition))
	}
	return all, errors.Join(wrong...)
}

// DeleteRecords deletes the records of partitions that come before an offset, and answers
// where they begin then. An offset of −1 deletes all.
func (a *Admin) DeleteRecords(ctx context.Context, before map[sdk.TopicPartition]int64) (map[sdk.TopicPartition]int64, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	var offsets kadm.Offsets
	for tp, at := range before {
		offsets.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: at})
	}
	answers, err := a.kadm.DeleteRecords(ctx, offsets)
	if err != nil {
		return nil, failed(ctx, "delete records", err)
	}
	begin, wrong := map[sdk.TopicPartition]int64{}, []error{}
	for _, p := range answers.Sorted() {
		if p.Err != nil {
			wrong = append(wrong, refused(fmt.Sprintf("delete records of %s-%d", p.Topic, p.Partition), p.Err, ""))
			continue
		}
		begin[sdk.TopicPartition{Topic: p.Topic, Partition: p.Partition}] = p.LowWatermark
	}
	return begin, errors.Join(wrong...)
}
