package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/millrace/millrace/sdk/serde"
	"github.com/millrace/millrace/sdk/setting"
)

var consumerRole = role{name: "consumer", sections: []*setting.Section{Common, ConsumersAndAdmin, Consumers, Registry}}

// ConsumerRecord is a record that was read.
type ConsumerRecord[K, V any] struct {
	Topic       string
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // −1: not known
	Timestamp   time.Time
	LogAppend   bool // Timestamp is the broker's, of when it appended the record; else the producer's
	Headers     []sdk.Header
	Key         K
	Value       V
	KeySize     int // in bytes, before it was deserialized; −1: null
	ValueSize   int
}

// Consumer reads records of topics. All of its methods but Poll and Close are those of
// Subscriber. One goroutine at a time may use it: another is told ErrConcurrentUse. Only
// Wakeup may be called at any time.
type Consumer[K, V any] struct {
	*Subscriber
	key     sdk.Deserializer[K]
	value   sdk.Deserializer[V]
	plugins []any // to be closed
}

// ConsumerOptions are what a program gives to a consumer that has it at hand; what is left
// out is what the settings name. What has a Close is closed with the consumer, as in
// ProducerOptions; when NewConsumer fails it stays the program's.
type ConsumerOptions[K, V any] struct {
	KeyDeserializer   sdk.Deserializer[K]
	ValueDeserializer sdk.Deserializer[V]
	Interceptors      []sdk.ConsumerInterceptor // behind those of interceptor.classes
	Assignors         []sdk.Assignor            // before those of partition.assignment.strategy
	BatchInterceptors []sdk.Interceptor         // behind those of interceptors, and this consumer's alone
	Log               *slog.Logger              // nil: slog.Default()
}

// NewConsumer makes a consumer. It asks no broker anything before it is used.
func NewConsumer[K, V any](config Config, o ConsumerOptions[K, V]) (_ *Consumer[K, V], err error) {
	s, err := config.resolve(consumerRole, o.Log)
	if err != nil {
		return nil, err
	}
	c := &Consumer[K, V]{key: o.KeyDeserializer, value: o.ValueDeserializer}
	var made []any // by settings
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("settings of the consumer: %w", err), closeAll(made))
		}
	}()
	if c.key == nil {
		if c.key, err = deserializer[K](s, KeyDeserializer, "key"); err != nil {
			return nil, err
		}
		made = append(made, c.key)
	}
	if c.value == nil {
		if c.value, err = deserializer[V](s, ValueDeserializer, "value"); err != nil {
			return nil, err
		}
		made = append(made, c.value)
	}
	var interceptors []sdk.ConsumerInterceptor
	for _, name := range InterceptorClasses.Of(s.Values) {
		kind, own := s.registered(name)
		i, err := sdk.ConsumerInterceptors.New(kind, own)
		if err != nil {
			return nil, err
		}
		interceptors, made = append(interceptors, i), append(made, i)
	}
	batches, screens, err := s.batchInterceptors(o.BatchInterceptors, (*chain.Plugin).CheckConsumer)
	if err != nil {
		return nil, err
	}
	made = append(made, screens...)
	if c.Subscriber, err = newSubscriber(s, append(interceptors, o.Interceptors...), o.Assignors); err != nil {
		return nil, err
	}
	c.screening = newScreening(batches, ClientID.Of(s.Values))
	c.plugins = append(append(made, dealing(c.dealers)...), o.given()...)
	return c, nil
}

// given is what the program gave, to be closed, but for assignors.
func (o *ConsumerOptions[K, V]) given() []any {
	all := []any{o.KeyDeserializer, o.ValueDeserializer}
	for _, i := range o.Interceptors {
		all = append(all, i)
	}
	for _, i := range o.BatchInterceptors {
		all = append(all, i)
	}
	return all
}

func newSubscriber(s *settings, interceptors []sdk.ConsumerInterceptor, assignors []sdk.Assignor) (*Subscriber, error) {
	c := &Subscriber{
		s: s, group: GroupID.Of(s.Values), interceptors: interceptors, mail: newMailbox(), done: newMailbox(),
		places: map[sdk.TopicPartition]*place{}, nextCommit: time.Now().Add(AutoCommitInterval.Of(s.Values)),
	}
	var err error
	if c.reset, err = parseReset(AutoOffsetReset.Of(s.Values)); err != nil {
		return nil, err
	}
	v := s.Values
	if err := s.checkProtocol(assignors); err != nil {
		return nil, err
	}
	if given := strings.TrimSpace(s.given[AutoCommit.Name]); c.group == "" && given != "" && AutoCommit.Of(v) {
		return nil, fmt.Errorf("%s=true needs a %s: there is none to commit for", AutoCommit.Name, GroupID.Name)
	}
	if heartbeat, session := HeartbeatInterval.Of(v), SessionTimeout.Of(v); heartbeat >= session {
		return nil, fmt.Errorf("%s (%v) must be less than %s (%v)", HeartbeatInterval.Name, heartbeat, SessionTimeout.Name, session)
	}
	if c.dealers, err = s.dealers(assignors); err != nil { // last: whoever made them closes them
		return nil, err
	}
	s.bounded()
	c.idle = time.AfterFunc(setting.Forever, c.expire)
	c.idle.Stop()
	return c, nil
}

// checkProtocol refuses, as Kafka's consumer does, what has no effect with the group.protocol.
func (s *settings) checkProtocol(assignors []sdk.Assignor) error {
	protocol, without := "CLASSIC", []string{RemoteAssignor.Name}
	if s.brokerDeals() {
		protocol, without = "CONSUMER", []string{Strategy.Name, HeartbeatInterval.Name, SessionTimeout.Name}
	}
	var wrong []string
	for _, key := range without {
		if strings.TrimSpace(s.given[key]) != "" {
			wrong = append(wrong, key)
		}
	}
	if s.brokerDeals() && len(assignors) > 0 {
		wrong = append(wrong, "Assignors of ConsumerOptions")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s cannot be set when %s=%s: leave it out, or choose the other protocol", strings.Join(wrong, ", "), GroupProtocol.Name, protocol)
	}
	return nil
}

// brokerDeals reports whether the broker deals out partitions (KIP-848), and not a member.
func (s *settings) brokerDeals() bool {
	return strings.EqualFold(GroupProtocol.Of(s.Values), "consumer")
}

// deserializer is that which the settings name, or the one that goes without saying.
func deserializer[T any](s *settings, key *setting.String, part string) (sdk.Deserializer[T], error) {
	name := key.Of(s.Values)
	if name == "" {
		name = serde.Natural[T]()
	}
	kind := sdk.Deserializers[T]()
	if name == "" {
		var none T
		return nil, fmt.Errorf("%s is missing: nothing says how a %T is read (registered are: %s)", key.Name, none, strings.Join(kind.Names(), ", "))
	}
	name, config := s.serde(name, part)
	return kind.New(name, config)
}

// serde is which serializer or deserializer that is and what the settings say to it: its own,
// above those of the schema registry, and whether it is for the "key" or the "value" of records.
func (s *settings) serde(name, part string) (string, sdk.Config) {
	host := map[string]string{"part": part}
	for _, row := range registryKeys {
		if text, ok := s.given[row.Name]; ok {
			host[row.Name] = text
		}
	}
	kind, c := s.registered(name)
	return kind, c.Over(host)
}

// Poll returns the records that have come, in order for each partition, at most
// max.poll.records; it waits for some until the timeout, and then returns none. In it
// rebalances happen, listeners and callbacks of CommitAsync are called, and what the calls
// of Poll before returned is committed, if enable.auto.commit is on. It must be called
// again before max.poll.interval.ms has passed.
//
// An error leaves the position where it was. Those that matter: ErrWakeup,
// *DeserializationError, ErrNoOffset, what a listener said, and what brokers refuse.
func (c *Consumer[K, V]) Poll(ctx context.Context, timeout time.Duration) ([]*ConsumerRecord[K, V], error) {
	var records []*ConsumerRecord[K, V]
	var slab []ConsumerRecord[K, V] // memory of several
	err := c.poll(ctx, timeout, func(r *kgo.Record) error {
		if len(slab) == 0 {
			slab = make([]ConsumerRecord[K, V], 32)
		}
		if err := c.read(r, &slab[0]); err != nil {
			return err
		}
		records = append(records, &slab[0])
		slab = slab[1:]
		return nil
	})
	if err != nil || len(records) == 0 || len(c.interceptors) == 0 {
		return records, err
	}
	return c.intercept(records), nil
}

// read makes a record of what came.
func (c *Consumer[K, V]) read(from *kgo.Record, to *ConsumerRecord[K, V]) (err error) {
	*to = ConsumerRecord[K, V]{Topic: from.Topic, Partition: from.Partition, Offset: from.Offset, LeaderEpoch: from.LeaderEpoch,
		Timestamp: from.Timestamp, LogAppend: from.Attrs.TimestampType() == 1, KeySize: size(from.Key), ValueSize: size(from.Value)}
	if len(from.Headers) > 0 {
		to.Headers = make([]sdk.Header, len(from.Headers))
		for i, h := range from.Headers {
			to.Headers[i] = sdk.Header{Key: h.Key, Value: h.Value}
		}
	}
	inKey := true
	if to.Key, err = decoded(c.key, from.Topic, to.Headers, from.Key); err == nil {
		inKey = false
		to.Value, err = decoded(c.value, from.Topic, to.Headers, from.Value)
	}
	if err == nil {
		return nil
	}
	return &DeserializationError{TopicPartition: sdk.TopicPartition{Topic: from.Topic, Partition: from.Partition}, Offset: from.Offset,
		Timestamp: from.Timestamp, Headers: to.Headers, Key: from.Key, Value: from.Value, InKey: inKey, Err: err}
}

func decoded[T any](d sdk.Deserializer[T], topic string, headers []sdk.Header, data []byte) (v T, err error) {
	defer recovered(&err)
	return d.Decode(topic, headers, data)
}

func size(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

// intercept shows records to the interceptors, one after the other. What one does wrong is
// logged, and undone.
func (c *Consumer[K, V]) intercept(records []*ConsumerRecord[K, V]) []*ConsumerRecord[K, V] {
	for at, i := range c.interceptors {
		shown := make([]*sdk.Record, len(records))
		for n, r := range records {
			shown[n] = &sdk.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Headers: slices.Clone(r.Headers), Key: r.Key, Value: r.Value}
		}
		err := guarded(func() error {
			answered, err := i.OnConsume(shown)
			var some *sdk.PassedOver
			if err != nil && !errors.As(err, &some) {
				return err
			}
			after, unlike := merged(records, shown, answered)
			if unlike != nil {
				return unlike
			}
			records = after
			return err
		})
		if err != nil {
			c.faults.Add(1)
			if more, silenced := c.brakes.take(at, "OnConsume", time.Now().Unix()); more {
				c.s.log.With(stackOf(err)...).Warn("an interceptor failed; records stay as they were before it", "interceptor", fmt.Sprintf("%T", i), "error", oneLine(err), "lines left out", silenced)
			}
		}
	}
	return records
}

// merged is records with what an interceptor that was shown them answered.
func merged[K, V any](records []*ConsumerRecord[K, V], shown, answered []*sdk.Record) ([]*ConsumerRecord[K, V], error) {
	of := make(map[*sdk.Record]*ConsumerRecord[K, V], len(shown))
	for n, r := range shown {
		of[r] = records[n]
	}
	after := make([]*ConsumerRecord[K, V], 0, len(answered))
	for _, r := range answered {
		if r == nil {
			return nil, errors.New("one of the records that it answered is nil")
		}
		to := ConsumerRecord[K, V]{LeaderEpoch: -1}
		if from := of[r]; from != nil {
			to = *from
		}
		to.Topic, to.Partition, to.Offset, to.Timestamp, to.Headers = r.Topic, r.Partition, r.Offset, r.Timestamp, r.Headers
		var isKey, isValue bool
		if to.Key, isKey = r.Key.(K); !isKey && r.Key != nil {
			return nil, fmt.Errorf("its key is a %T, not a %T", r.Key, to.Key)
		}
		if to.Value, isValue = r.Value.(V); !isValue && r.Value != nil {
			return nil, fmt.Errorf("its value is a %T, not a %T", r.Value, to.Value)
		}
		after = append(after, &to)
	}
	return after, nil
}

// InterceptorFaults is how often an interceptor failed and was passed over. Any goroutine.
func (c *Subscriber) InterceptorFaults() int64 { return c.faults.Load() }

// CallbackPanics is how often a callback of CommitAsync panicked. Any goroutine.
func (c *Subscriber) CallbackPanics() int64 { return c.panics.Load() }

// Close commits, if enable.auto.commit is on, calls the listener, leaves the group, except
// as a static member, and frees what the consumer holds, also when it answers an error. It
// takes no longer than ctx and default.api.timeout.ms allow. Closing again does nothing.
func (c *Consumer[K, V]) Close(ctx context.Context) error {
	if c.closed.Load() {
		return nil
	}
	err := c.close(ctx)
	if errors.Is(err, ErrConcurrentUse) || !c.closed.Load() {
		return err
	}
	return errors.Join(err, closeAll(c.plugins))
}
