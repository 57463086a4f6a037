package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/millrace/millrace/sdk/client/native"
	"github.com/millrace/millrace/sdk/keyhash"
)

// ProducerRecord is a record to be sent.
type ProducerRecord[K, V any] struct {
	Topic     string
	Partition *int32    // nil: the partitioner chooses
	Timestamp time.Time // zero: now; none before 1970
	Headers   []sdk.Header
	Key       K
	Value     V
}

// ProducerOptions are values that a program gives instead of naming them in settings. The
// zero value has none. Those that have a Close are closed with the producer, as are those that
// settings name; when there is no producer, because NewProducer fails, they stay the program's.
type ProducerOptions[K, V any] struct {
	KeySerializer   sdk.Serializer[K]         // nil: key.serializer names it; []byte and string need none
	ValueSerializer sdk.Serializer[V]         // nil: value.serializer
	Partitioner     sdk.Partitioner           // nil: partitioner.class
	Interceptors    []sdk.ProducerInterceptor // behind those of interceptor.classes
	// BatchInterceptors are behind those of interceptors, and this producer's alone.
	BatchInterceptors []sdk.Interceptor
	Log               *slog.Logger // nil: slog.Default
}

// Producer sends records. Any goroutine may call it.
type Producer[K, V any] struct {
	engine       engine
	own          *native.Producer // engine, if it is that: called without an interface
	keys         serializing[K]
	values       serializing[V]
	partitioner  sdk.Partitioner   // nil: the one of Kafka
	chooser      sdk.Chooser       // the partitioner; nil: it cannot fail
	listens      sdk.BatchListener // nil: the partitioner is none
	interceptors *interceptors
	watched      bool // there are interceptors
	plain        bool // see sendPlain
	ignoreKeys   bool
	maxBlock     time.Duration
	maxRequest   int
	closed       atomic.Bool
	txn          transactions
	plugins      []any // to be closed, once
}

// NewProducer makes a producer of its settings. It connects when there is something to send.
func NewProducer[K, V any](config Config, o ProducerOptions[K, V]) (_ *Producer[K, V], err error) {
	s, err := resolveProducer(config, o.Log)
	if err != nil {
		return nil, err
	}
	v := s.Values
	p := &Producer[K, V]{partitioner: o.Partitioner, ignoreKeys: PartitionerIgnoreKeys.Of(v), maxBlock: MaxBlock.Of(v), maxRequest: MaxRequestSize.Of(v)}
	var made []any // by settings
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(made))
		}
	}()
	if p.keys, err = newSerializing(s.settings, KeySerializer.Name, KeySerializer.Of(v), o.KeySerializer); err != nil {
		return nil, err
	}
	if o.KeySerializer == nil {
		made = append(made, p.keys.with)
	}
	if p.values, err = newSerializing(s.settings, ValueSerializer.Name, ValueSerializer.Of(v), o.ValueSerializer); err != nil {
		return nil, err
	}
	if o.ValueSerializer == nil {
		made = append(made, p.values.with)
	}
	if name := PartitionerClass.Of(v); name != "" && p.partitioner == nil {
		if ours := javaPartitioners[name]; ours != "" {
			name = ours
		}
		kind, c := s.partitionerConfig(name)
		if p.partitioner, err = sdk.Partitioners.New(kind, c); err != nil {
			return nil, fmt.Errorf("%s: %w", PartitionerClass.Name, err)
		}
		made = append(made, p.partitioner)
	}
	p.chooser, _ = p.partitioner.(sdk.Chooser)
	p.listens, _ = p.partitioner.(sdk.BatchListener)
	records, seeing, err := newInterceptors(s.settings, o.Interceptors)
	if err != nil {
		return nil, err
	}
	p.interceptors, p.watched, made = records, len(records.all) > 0, append(made, seeing...)
	p.txn.id = s.transactionalID()
	plugins, batches, err := s.batchInterceptors(o.BatchInterceptors, func(one *chain.Plugin) error { return one.CheckProducer(p.txn.id != "") })
	if err != nil {
		return nil, err
	}
	made = append(made, batches...)
	if err := p.begin(s, plugins); err != nil {
		return nil, err
	}
	p.plugins = append(made, o.given()...)
	return p, nil
}

// given is what the program gave, to be closed.
func (o *ProducerOptions[K, V]) given() []any {
	all := []any{o.KeySerializer, o.ValueSerializer, o.Partitioner}
	for _, i := range o.Interceptors {
		all = append(all, i)
	}
	for _, i := range o.BatchInterceptors {
		all = append(all, i)
	}
	return all
}

// begin makes the engine.
func (p *Producer[K, V]) begin(s *producing, plugins []chain.Plugin) error {
	if s.engine == EngineKgo {
		if len(plugins) > 0 {
			return fmt.Errorf("%s: the engine kgo makes its batches where nobody sees them: use client.engine=native, or interceptor.classes for single records", BatchInterceptors.Name)
		}
		franz, err := newFranz(s)
		if err != nil {
			return err
		}
		p.engine, p.txn.engine = franz, franz
		return nil
	}
	options := s.nativeOptions()
	options.Plugins = plugins
	p.own = native.New(options)
	p.engine, p.txn.engine = p.own, nativeTransactions{p.own}
	p.plain = p.keys.with == nil && p.values.with == nil && p.partitioner == nil && !p.watched && p.txn.id == ""
	return nil
}

// partitionerConfig is which partitioner that is, and what the settings say to it. One that
// goes by racks gets client.rack with that.
func (s *settings) partitionerConfig(name string) (string, sdk.Config) {
	c := s.given
	key := pluginPrefix + name + ".config.rack"
	if rack := ClientRack.Of(s.Values); rack != "" && c[key] == "" && name == zoneAware {
		c = c.With(key, rack)
	}
	other := *s
	other.given = c
	return other.registered(name)
}

// javaPartitioners are what classes of Kafka's are called here.
var javaPartitioners = map[string]string{
	"org.apache.kafka.clients.producer.RoundRobinPartitioner":        "round-robin",
	"org.apache.kafka.clients.producer.UniformStickyPartitioner":     "sticky",
	"org.apache.kafka.clients.producer.internals.DefaultPartitioner": "murmur2",
}

// zoneAware is the partitioner that client.rack is for.
const zoneAware = "zone-aware"

// newInterceptors are those that settings name, which are made and have to be closed, and those that
// were given.
func newInterceptors(s *settings, given []sdk.ProducerInterceptor) (_ *interceptors, made []any, err error) {
	i := &interceptors{log: s.log}
	for _, name := range InterceptorClasses.Of(s.Values) {
		kind, c := s.registered(name)
		one, err := sdk.ProducerInterceptors.New(kind, c)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", InterceptorClasses.Name, err), closeAll(made))
		}
		i.all, made = append(i.all, one), append(made, one)
	}
	i.all = append(i.all, given...)
	return i, made, nil
}

// Fire sends a record and forgets it: an error is one that was known at once. Records that
// are lost later are told in the log and counted by Lost.
//
// It waits up to max.block.ms, and no longer than ctx, for memory and for metadata. The
// record is the caller's again when it returns.
func (p *Producer[K, V]) Fire(ctx context.Context, r *ProducerRecord[K, V]) error {
	if p.plain && len(r.Headers) == 0 {
		_, err := p.sendPlain(ctx, r, nil)
		return err
	}
	if !p.watched {
		_, err := p.send(ctx, r, nil)
		return err
	}
	return p.listen(ctx, r, &listener{interceptors: p.interceptors})
}

// Send sends a record, as Fire does, and answers a future of what becomes of it. Errors
// that are known at once come with it too.
func (p *Producer[K, V]) Send(ctx context.Context, r *ProducerRecord[K, V]) *Future {
	f := newFuture()
	_ = p.listen(ctx, r, &listener{interceptors: p.interceptors, future: f}) // the future has it
	return f
}

// SendFunc sends a record, as Fire does, and calls back once it was acknowledged or has
// failed; in a partition in the order of the records. It is called once for each record,
// for an error that is known at once before SendFunc returns, else by the goroutine that
// reads answers: it must not take long nor wait for the producer. When it panics that is logged
// and counted by CallbackPanics, and the producer goes on.
func (p *Producer[K, V]) SendFunc(ctx context.Context, r *ProducerRecord[K, V], callback func(sdk.RecordMetadata, error)) {
	_ = p.listen(ctx, r, &listener{interceptors: p.interceptors, callback: callback}) // the callback has it
}

// listen sends a record that somebody wants to hear of.
func (p *Producer[K, V]) listen(ctx context.Context, r *ProducerRecord[K, V], l *listener) error {
	var at sdk.TopicPartition
	var err error
	if p.plain && len(r.Headers) == 0 {
		at.Topic = r.Topic
		at.Partition, err = p.sendPlain(ctx, r, l)
	} else {
		at, err = p.send(ctx, r, l)
	}
	if err != nil {
		l.settle(sdk.RecordMetadata{TopicPartition: at, Offset: -1}, err)
	}
	return err
}

// errPartition says that there is no such partition.
var errPartition = errors.New("there is no such partition")

// sendPlain is send where nobody but the native engine is asked about a record without headers:
// keys and values are bytes, and there is no partitioner, interceptor or transaction. With it a
// record is in its batch in two thirds of the time.
func (p *Producer[K, V]) sendPlain(ctx context.Context, r *ProducerRecord[K, V], l *listener) (at int32, err error) {
	if p.closed.Load() {
		return -1, ErrClosed
	}
	left := p.maxBlock
	t := p.own.Recent(r.Topic)
	if t == nil {
		if t, left, err = p.own.Topic(ctx, r.Topic, left); err != nil {
			return -1, err
		}
	}
	var out native.Record // as in send
	out.Key, out.Value = p.keys.shown(&r.Key), p.values.shown(&r.Value)
	if out.Timestamp, err = dated(r.Topic, r.Timestamp); err != nil {
		return -1, err
	}
	if l != nil {
		out.Listener, out.Forgotten = l, l.forgotten()
	}
	if size := recordSize(&out); size > p.maxRequest {
		return -1, p.tooLarge(r.Topic, size)
	}
	if r.Partition != nil && *r.Partition >= t.Partitions {
		if t, left, err = p.own.Renew(ctx, r.Topic, *r.Partition, left); err != nil {
			return *r.Partition, err
		}
	}
	if r.Partition == nil && out.Key == nil {
		at = t.Sticky.Partition(t)
	} else if at, err = p.place(t, r.Partition, out.Key, out.Value, nil); err != nil {
		return at, err
	}
	full, err := p.own.Put(ctx, t, at, &out, left)
	if full {
		p.filled(t, at)
	}
	return at, err
}

// dated is the timestamp of a record for a topic, in milliseconds since 1970; zero is now.
func dated(topic string, at time.Time) (int64, error) {
	if at.IsZero() {
		return native.Now, nil
	}
	if ms := at.UnixMilli(); ms >= 0 {
		return ms, nil
	}
	return 0, fmt.Errorf("a record for topic %s is dated %v, which is before 1970: %w", topic, at, kerr.InvalidTimestamp)
}

// tooLarge is the error of a record that max.request.size does not allow.
func (p *Producer[K, V]) tooLarge(topic string, size int) error {
	return fmt.Errorf("a record for topic %s has %d bytes, max.request.size allows %d: %w", topic, size, p.maxRequest, kerr.MessageTooLarge)
}

// send is the way of a record up to the engine.
func (p *Producer[K, V]) send(ctx context.Context, given *ProducerRecord[K, V], l *listener) (at sdk.TopicPartition, err error) {
	at = sdk.TopicPartition{Topic: given.Topic, Partition: -1}
	if p.closed.Load() {
		return at, ErrClosed
	}
	var number int64
	if p.own != nil && p.txn.id != "" {
		number = p.own.Number() // before anything is waited for, which a transaction may end meanwhile
	}
	if err := p.txn.maySend(); err != nil {
		return at, err
	}
	r := given
	if p.watched {
		r = p.intercept(given)
		at.Topic = r.Topic
	}
	var t *native.Topic
	var left time.Duration // of max.block.ms
	if p.own != nil {
		t, left, err = p.own.Topic(ctx, r.Topic, p.maxBlock)
	} else {
		t, left, err = p.engine.Topic(ctx, r.Topic, p.maxBlock)
	}
	if err != nil {
		return at, err
	}
	var s *scratch
	if p.keys.with != nil || p.values.with != nil || p.partitioner != nil || len(r.Headers) > 0 {
		s = scratches.Get().(*scratch)
		defer s.done()
	}
	var out native.Record // filled where it lies: a literal is made elsewhere and copied
	out.Transaction = number
	if err := p.serialize(&out, r, s); err != nil {
		return at, err
	}
	if out.Timestamp, err = dated(r.Topic, r.Timestamp); err != nil {
		return at, err
	}
	if l != nil {
		out.Listener, out.Forgotten = l, l.forgotten()
	}
	size := recordSize(&out)
	if size > p.maxRequest {
		return at, p.tooLarge(r.Topic, size)
	}
	if r.Partition != nil && *r.Partition >= t.Partitions {
		if t, left, err = p.engine.Renew(ctx, r.Topic, *r.Partition, left); err != nil {
			return at, err
		}
	}
	at.Partition, err = p.place(t, r.Partition, out.Key, out.Value, s)
	if err != nil {
		return at, err
	}
	var full bool
	if p.own != nil {
		full, err = p.own.Put(ctx, t, at.Partition, &out, left)
	} else {
		full, err = p.engine.Append(ctx, t, at.Partition, out, left)
	}
	if err != nil {
		return at, err
	}
	if full {
		p.filled(t, at.Partition)
	}
	return at, nil
}

// serialize makes bytes of a record. The scratch may be nil when nobody needs one.
func (p *Producer[K, V]) serialize(out *native.Record, r *ProducerRecord[K, V], s *scratch) (err error) {
	if s == nil {
		if out.Key, err = p.keys.bytes(nil, r.Topic, nil, &r.Key); err == nil {
			out.Value, err = p.values.bytes(nil, r.Topic, nil, &r.Value)
		}
		return err
	}
	s.headers = append(s.headers[:0], r.Headers...)
	if out.Key, err = p.keys.bytes(s.key[:0], r.Topic, &s.headers, &r.Key); err != nil {
		return err
	}
	if out.Value, err = p.values.bytes(s.value[:0], r.Topic, &s.headers, &r.Value); err != nil {
		return err
	}
	s.grow(len(out.Key), len(out.Value))
	if len(s.headers) > 0 {
		out.Headers = s.wire()
	}
	return nil
}

// recordSize is about what a record takes in a request.
func recordSize(r *native.Record) int {
	size := batch.HeaderSize + batch.RecordSize(r.Key, r.Value)
	for i := range r.Headers {
		size += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 4
	}
	return size
}

// place chooses the partition.
func (p *Producer[K, V]) place(t *native.Topic, asked *int32, key, value []byte, s *scratch) (int32, error) {
	switch {
	case asked != nil:
		if *asked < 0 || *asked >= t.Partitions {
			return *asked, fmt.Errorf("partition %d of topic %s, which has %d: %w", *asked, t.Name, t.Partitions, errPartition)
		}
		return *asked, nil
	case p.partitioner != nil:
		s.placement = sdk.Placement{Topic: t.Name, Key: key, Value: value, Partitions: t.Partitions, Available: t.Available, LeaderRack: t.LeaderRack}
		at, err := p.choose(&s.placement)
		if err != nil {
			return -1, fmt.Errorf("choose a partition of topic %s: %w", t.Name, err)
		}
		if at < 0 || at >= t.Partitions {
			return at, fmt.Errorf("the partitioner %T chose partition %d of topic %s, which has %d: %w", p.partitioner, at, t.Name, t.Partitions, errPartition)
		}
		return at, nil
	case key != nil && !p.ignoreKeys:
		return keyhash.Partition(key, t.Partitions), nil
	default:
		return t.Sticky.Partition(t), nil
	}
}

// choose asks the partitioner, which may fail if it is one that says so.
func (p *Producer[K, V]) choose(at *sdk.Placement) (chosen int32, err error) {
	defer recovered(&err)
	if p.chooser != nil {
		return p.chooser.Choose(at)
	}
	return p.partitioner.Partition(at), nil
}

// filled has records without keys go elsewhere once a partition got a batch.
func (p *Producer[K, V]) filled(t *native.Topic, at int32) {
	switch {
	case p.listens != nil:
		p.interceptors.called("OnNewBatch", func() { p.listens.OnNewBatch(t.Name, at) }) // the record is on its way
	case p.partitioner == nil:
		t.Sticky.Next(t, at)
	}
}

// intercept shows a record to the interceptors. One that leaves a key or a value of another
// type than the producer's is passed over.
func (p *Producer[K, V]) intercept(given *ProducerRecord[K, V]) *ProducerRecord[K, V] {
	seen := sdk.Record{Topic: given.Topic, Partition: -1, Offset: -1, Timestamp: given.Timestamp, Headers: given.Headers, Key: given.Key, Value: given.Value}
	if given.Partition != nil {
		seen.Partition = *given.Partition
	}
	p.interceptors.sent(&seen)
	r := *given
	r.Topic, r.Timestamp, r.Headers = seen.Topic, seen.Timestamp, seen.Headers
	if r.Partition = nil; seen.Partition >= 0 {
		r.Partition = &seen.Partition
	}
	if key, ok := typed[K](seen.Key); ok {
		r.Key = key
	} else {
		p.interceptors.mistyped("key", seen.Key)
	}
	if value, ok := typed[V](seen.Value); ok {
		r.Value = value
	} else {
		p.interceptors.mistyped("value", seen.Value)
	}
	return &r
}

// typed is a key or value that interceptors left, nil being the zero value.
func typed[T any](v any) (T, bool) {
	if v == nil {
		var zero T
		return zero, true
	}
	t, ok := v.(T)
	return t, ok
}

// Flush sends all that was sent before without waiting for linger.ms, and waits until all
// of it was acknowledged or has failed.
func (p *Producer[K, V]) Flush(ctx context.Context) error {
	if p.closed.Load() {
		return ErrClosed
	}
	return p.engine.Flush(ctx)
}

// Close waits until what was sent was acknowledged or has failed, and ends the producer.
// When ctx is done before, what is left fails with ErrClosed, and the error says so; callbacks
// and interceptors that are told of it are waited for all the same, so that none of them may call
// Close. A transaction that was not ended is aborted; with kgo it is left to its time limit. It
// may be called again.
func (p *Producer[K, V]) Close(ctx context.Context) error {
	first := !p.closed.Swap(true)
	err := p.engine.Close(ctx)
	if first {
		err = errors.Join(err, closeAll(p.plugins)) // nobody runs them any more
	}
	return err
}

// Lost is how many records of Fire were lost after it had returned.
func (p *Producer[K, V]) Lost() int64 { return p.engine.Lost() }

// InterceptorFaults is how often an interceptor failed and was passed over.
func (p *Producer[K, V]) InterceptorFaults() int64 { return p.interceptors.faults.Load() }

// CallbackPanics is how often a callback of SendFunc panicked, or OnNewBatch of a partitioner.
func (p *Producer[K, V]) CallbackPanics() int64 { return p.interceptors.panics.Load() }
