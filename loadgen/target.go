package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/wire"
)

// target is the cluster under load: what must be known of it before a phase, through an
// ordinary client. Nothing that is measured goes through it.
type target struct {
	client  *kgo.Client
	admin   *kadm.Client
	brokers []string
}

// node is one broker and the versions that both sides speak.
type node struct {
	address string
	produce int16
	fetch   int16
}

// topicLayout is a topic and who leads its partitions.
type topicLayout struct {
	wire.Topic
	partitions int32
	leaders    map[int32][]int32 // node id → partitions, in order
	start, end map[int32]int64   // offsets by partition
}

func connect(ctx context.Context, brokers []string) (*target, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID(clientID+"-admin"), kgo.RetryTimeout(15*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", brokers, err)
	}
	t := &target{client: client, admin: kadm.NewClient(client), brokers: brokers}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to %v: %w", brokers, err)
	}
	return t, nil
}

func (t *target) close() { t.client.Close() }

// topicNames are the topics of a workload.
func (w *Workload) topicNames() []string {
	if w.Topics == 1 {
		return []string{w.Topic}
	}
	var names []string
	for i := range w.Topics {
		names = append(names, fmt.Sprintf("%s-%d", w.Topic, i))
	}
	return names
}

// createTopics creates those that do not exist yet, waits until each partition answers,
// and returns the names of the new ones.
func (t *target) createTopics(ctx context.Context, w *Workload) (created []string, err error) {
	config := map[string]*string{}
	for key, value := range w.Config {
		config[key] = &value
	}
	answers, err := t.admin.CreateTopics(ctx, w.Partitions, w.Replication, config, w.topicNames()...)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	for _, name := range w.topicNames() {
		switch a := answers[name]; {
		case a.Err == nil:
			created = append(created, name)
		case !errors.Is(a.Err, kerr.TopicAlreadyExists):
			return created, fmt.Errorf("create topic %s: %w %s", name, a.Err, a.ErrMessage)
		}
	}
	return created, t.settle(ctx, w)
}

func (t *target) deleteTopics(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	answers, err := t.admin.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	if err := answers.Error(); err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}

// settle waits until every partition has a leader that answers ListOffsets.
func (t *target) settle(ctx context.Context, w *Workload) error {
	const pause = 20 * time.Millisecond
	var last error
	for range int(15 * time.Second / pause) {
		if _, last = t.layouts(ctx, w); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return fmt.Errorf("the topics did not become ready: %w", last)
}

// layouts reads leaders and offsets of every topic of the workload.
func (t *target) layouts(ctx context.Context, w *Workload) ([]*topicLayout, error) {
	names := w.topicNames()
	metadata, err := t.admin.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	starts, err := t.admin.ListStartOffsets(ctx, names...)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("read start offsets: %w", err)
	}
	ends, err := t.admin.ListEndOffsets(ctx, names...)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("read end offsets: %w", err)
	}
	var all []*topicLayout
	for _, name := range names {
		l, err := layoutOf(metadata.Topics[name], starts[name], ends[name])
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
		l.Name = name
		all = append(all, l)
	}
	return all, nil
}

func layoutOf(topic kadm.TopicDetail, starts, ends map[int32]kadm.ListedOffset) (*topicLayout, error) {
	if topic.Err != nil {
		return nil, topic.Err
	}
	l := &topicLayout{
		Topic: wire.Topic{ID: topic.ID}, partitions: int32(len(topic.Partitions)),
		leaders: map[int32][]int32{}, start: map[int32]int64{}, end: map[int32]int64{},
	}
	if l.partitions == 0 {
		return nil, kerr.UnknownTopicOrPartition
	}
	for _, p := range topic.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return nil, errors.Join(p.Err, fmt.Errorf("partition %d has no leader", p.Partition))
		}
		l.leaders[p.Leader] = append(l.leaders[p.Leader], p.Partition)
		l.start[p.Partition] = starts[p.Partition].Offset
		l.end[p.Partition] = ends[p.Partition].Offset
	}
	for _, own := range l.leaders {
		sort.Slice(own, func(i, j int) bool { return own[i] < own[j] })
	}
	return l, nil
}

// nodes asks every broker for its versions.
func (t *target) nodes(ctx context.Context) (map[int32]node, error) {
	metadata, err := t.admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	all := map[int32]node{}
	for _, b := range metadata.Brokers {
		request := kmsg.NewPtrApiVersionsRequest()
		request.ClientSoftwareName, request.ClientSoftwareVersion = clientID, "1"
		answer, err := t.client.Broker(int(b.NodeID)).Request(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("ask broker %d for its versions: %w", b.NodeID, err)
		}
		n := node{address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), produce: -1, fetch: -1}
		for _, key := range answer.(*kmsg.ApiVersionsResponse).ApiKeys {
			switch key.ApiKey {
			case wire.KeyProduce:
				n.produce = common(wire.MinProduceVersion, wire.MaxProduceVersion, key.MinVersion, key.MaxVersion)
			case keyFetch:
				n.fetch = common(minFetchVersion, maxFetchVersion, key.MinVersion, key.MaxVersion)
			}
		}
		if n.produce < 0 || n.fetch < 0 {
			return nil, fmt.Errorf("broker %d speaks no version of Produce or Fetch that we speak", b.NodeID)
		}
		all[b.NodeID] = n
	}
	return all, nil
}

// common is the largest version that both ranges have, or −1.
func common(ourMin, ourMax, theirMin, theirMax int16) int16 {
	if best := min(ourMax, theirMax); best >= max(ourMin, theirMin) {
		return best
	}
	return -1
}

// producerID gets the identity of an idempotent producer.
func (t *target) producerID(ctx context.Context) (producerState, error) {
	answer, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(ctx, t.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return producerState{}, fmt.Errorf("get a producer id: %w", err)
	}
	return producerState{answer.ProducerID, answer.ProducerEpoch}, nil
}
