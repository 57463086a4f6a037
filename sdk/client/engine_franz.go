package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/client/native"
)

// franzEngine is the producer that franz-go is. Partitions are chosen before it gets a
// record, by metadata that is asked for here, and memory is counted here.
type franzEngine struct {
	client     *kgo.Client
	memory     *native.Memory
	delivery   time.Duration
	maxAge     time.Duration
	backoff    func(tries int) time.Duration
	acks       int16
	batchBytes int
	topics     atomic.Pointer[map[string]*franzTopic]
	asking     chan struct{} // of one: who asks for metadata
	closed     atomic.Bool
	end        sync.Once
	gate       sync.RWMutex   //nolint:forbidigo // whoever sends hands over to franz-go, and Close waits until nobody does
	ended      bool           // behind the gate: franz-go gets no more
	unsettled  sync.WaitGroup // records that franz-go has

	// Of the transaction: what was acknowledged in it, and what failed first.
	written atomic.Int64
	lost    atomic.Pointer[error]
	offsets atomic.Bool // were sent in it
	id      string

	unheard atomic.Int64 // records that were lost and nobody waited for
	log     *slog.Logger
}

// franzTopic is a topic, when that was known, and what its partitions got since their last
// batch was full.
type franzTopic struct {
	*native.Topic
	at     time.Time
	asked  atomic.Pointer[time.Time] // when brokers were asked last, be it in vain
	filled []atomic.Int64
	id     [16]byte    // that franz-go sends to
	gone   atomic.Bool // it was deleted; if there is one of that name, franz-go must be told to begin anew
}

func newFranz(p *producing) (*franzEngine, error) {
	v := p.Values
	e := &franzEngine{memory: native.NewMemory(BufferMemory.Of(v)), delivery: DeliveryTimeout.Of(v), maxAge: MetadataMaxAge.Of(v),
		backoff: p.retryBackoff(), acks: p.acks, batchBytes: max(BatchSize.Of(v), 1), asking: make(chan struct{}, 1), id: p.transactionalID(), log: p.log}
	e.topics.Store(&map[string]*franzTopic{})
	p.bounded()
	var err error
	if e.client, err = kgo.NewClient(p.franzProducer()...); err != nil {
		return nil, fmt.Errorf("make a franz-go client: %w", err)
	}
	return e, nil
}

// franzProducer is what a producer's settings are to franz-go. It refuses records that are
// larger than a batch, so batch.size bounds batches only where it was given.
func (p *producing) franzProducer() []kgo.Opt {
	v := p.Values
	most := MaxRequestSize.Of(v)
	if _, given := p.given[BatchSize.Name]; given {
		most = BatchSize.Of(v)
	}
	most = min(max(most, 512), 1<<30)
	options := append(p.franz(),
		kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<31-1),
		kgo.ProducerBatchMaxBytes(int32(most)), kgo.BrokerMaxWriteBytes(int32(min(max(MaxRequestSize.Of(v), most, 1<<20), 1<<30))),
		kgo.ProducerLinger(min(Linger.Of(v), time.Minute)), kgo.ProducerBatchCompression(franzCodec(p.codec).WithLevel(franzLevel(p.codec, p.level))),
		kgo.RequiredAcks(map[int16]kgo.Acks{-1: kgo.AllISRAcks(), 0: kgo.NoAck(), 1: kgo.LeaderAck()}[p.acks]),
		kgo.ProduceRequestTimeout(franzRequests.within(RequestTimeout.Of(v))),
		kgo.RecordRetries(Retries.Of(v)),
	)
	if !p.idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(p.inFlight))
	}
	id := p.transactionalID()
	if id == "" && p.idempotent {
		options = append(options, kgo.AllowIdempotentProduceCancellation()) // as Kafka's producer, records expire on their way too
	}
	if id != "" {
		// Up to 3.9 the partitions of a transaction are named to its coordinator. Offsets are sent
		// here and not by franz-go, which could not be told of the epoch that a newer EndTxn answers.
		options = append(options, kgo.TransactionalID(id), kgo.TransactionTimeout(TransactionTimeout.Of(v)), kgo.MaxVersions(kversion.V3_9_0()))
	}
	return options
}

func franzCodec(c batch.Codec) kgo.CompressionCodec {
	switch c {
	case batch.Gzip:
		return kgo.GzipCompression()
	case batch.Snappy:
		return kgo.SnappyCompression()
	case batch.LZ4:
		return kgo.Lz4Compression()
	case batch.Zstd:
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

// franzLevel is a level in the scale of franz-go, which has LZ4's as its library counts them: 1 is 512, 9 is 131072.
func franzLevel(c batch.Codec, level int) int {
	if c == batch.LZ4 && level > 1 {
		return 1 << (8 + min(level, 9))
	}
	return level
}

// Topic is engine's. One caller at a time asks, the others wait for what it learns. What may have
// changed is asked for once in retry.backoff.ms, not for each record.
func (e *franzEngine) Topic(ctx context.Context, name string, most time.Duration) (_ *native.Topic, left time.Duration, err error) {
	known := (*e.topics.Load())[name]
	if known != nil && !known.gone.Load() && (time.Since(known.at) < e.maxAge && len(known.Available) == int(known.Partitions) ||
		time.Since(*known.asked.Load()) < e.backoff(1)) {
		return known.Topic, most, nil
	}
	begin := time.Now()
	t, err := e.learn(ctx, name, known, most)
	return t, max(0, most-time.Since(begin)), err
}

// Renew is engine's. It sees to it that franz-go knows the partition, too, which would refuse
// records for it.
func (e *franzEngine) Renew(ctx context.Context, name string, partition int32, most time.Duration) (*native.Topic, time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("there is no metadata of its new partitions after max.block.ms=%d: %w", most.Milliseconds(), ErrTimeout))
	defer cancel()
	t, err := e.renew(ctx, name, partition, begin, most)
	if err == nil && partition < t.Partitions {
		err = e.load(ctx, name, partition)
	}
	if err != nil {
		return nil, 0, err
	}
	return t, max(0, most-time.Since(begin)), nil
}

// renew asks for a topic until it has the partition, or brokers have been asked since a moment. They
// are asked once in retry.backoff.ms, however many send to partitions that are not there.
func (e *franzEngine) renew(ctx context.Context, name string, partition int32, since time.Time, most time.Duration) (*native.Topic, error) {
	for {
		known := (*e.topics.Load())[name] // whoever sends has asked Topic
		asked := *known.asked.Load()
		if known.Partitions > partition || asked.After(since) {
			return known.Topic, nil
		}
		if err := pause(ctx, e.backoff(1)-time.Since(asked)); err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
		if _, err := e.learn(ctx, name, known, most); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("topic %s: %w", name, context.Cause(ctx))
		}
	}
}

// load has franz-go learn of a partition that is new. A topic that it has sent nothing to yet it
// loads with the first record, and nothing else has it do so.
func (e *franzEngine) load(ctx context.Context, name string, partition int32) error {
	if !e.loaded(name, 0) {
		return nil
	}
	for tries := 1; !e.loaded(name, partition); tries++ {
		e.client.ForceMetadataRefresh()
		if err := pause(ctx, max(e.backoff(tries), time.Millisecond)); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
}

// loaded reports whether franz-go knows a partition, or an error that it would fail records with. One
// without a leader, which is not −1 to it, it keeps records for.
func (e *franzEngine) loaded(name string, partition int32) bool {
	leader, _, err := e.client.PartitionLeader(name, partition)
	return leader != -1 || err != nil && !kerr.IsRetriable(err)
}

// learn asks for a topic, of which something may be known, until it is there.
func (e *franzEngine) learn(ctx context.Context, name string, known *franzTopic, most time.Duration) (*native.Topic, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("there is no metadata after max.block.ms=%d: %w", most.Milliseconds(), ErrTimeout))
	defer cancel()
	var asked *time.Time
	if known != nil {
		asked = known.asked.Load()
	}
	select {
	case e.asking <- struct{}{}:
		defer func() { <-e.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("topic %s: %w", name, context.Cause(ctx))
	}
	if after := (*e.topics.Load())[name]; after != nil && after != known {
		return after.Topic, nil
	}
	if known != nil && known.asked.Load() != asked {
		return known.Topic, nil // somebody has asked meanwhile, in vain
	}
	var last error // that is not for want of time
	for tries := 1; ; tries++ {
		t, err := e.describe(ctx, name, known)
		if err != nil && ctx.Err() == nil || last == nil {
			last = err
		}
		switch {
		case e.closed.Load():
			return nil, ErrClosed
		case err == nil:
			return t.Topic, nil
		case known != nil:
			return known.Topic, nil // what was known serves a little longer
		case ctx.Err() != nil:
			return nil, fmt.Errorf("topic %s: %w (last: %w)", name, context.Cause(ctx), last)
		case !kerr.IsRetriable(err) && errors.As(err, new(*kerr.Error)):
			return nil, fmt.Errorf("topic %s: %w", name, err)
		}
		timer := time.NewTimer(e.backoff(tries))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// describe asks for a topic and remembers it.
func (e *franzEngine) describe(ctx context.Context, name string, before *franzTopic) (*franzTopic, error) {
	q := kmsg.NewPtrMetadataRequest()
	q.AllowAutoTopicCreation = true
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(name)
	q.Topics = []kmsg.MetadataRequestTopic{asked}
	now := time.Now()
	if before != nil {
		before.asked.Store(&now)
	}
	a, err := q.RequestWith(ctx, e.client)
	switch {
	case err != nil:
		return nil, err
	case len(a.Topics) != 1:
		return nil, kerr.UnknownTopicOrPartition
	case a.Topics[0].ErrorCode != 0:
		return nil, kerr.ErrorForCode(a.Topics[0].ErrorCode)
	}
	racks := map[int32]string{}
	for _, b := range a.Brokers {
		if b.Rack != nil {
			racks[b.NodeID] = *b.Rack
		}
	}
	partitions := a.Topics[0].Partitions
	where := make([]string, len(partitions))
	var available []int32
	for _, p := range partitions {
		if p.Partition < 0 || int(p.Partition) >= len(partitions) {
			return nil, kerr.UnknownTopicOrPartition
		}
		if p.Leader >= 0 {
			available = append(available, p.Partition)
			where[p.Partition] = racks[p.Leader]
		}
	}
	slices.Sort(available)
	id := a.Topics[0].TopicID
	switch {
	case before == nil:
	case before.gone.Load() && before.id != id:
		e.client.PurgeTopicsFromProducing(name)
	default: // a broker that had not heard of the topic yet is no reason to begin anew
		id = before.id
	}
	t := &franzTopic{id: id, at: time.Now(), filled: make([]atomic.Int64, len(partitions))}
	t.asked.Store(&now)
	var sticky *native.Topic
	if before != nil {
		sticky = before.Topic
	}
	t.Topic = native.NewTopic(name, available, where, sticky)
	topics := map[string]*franzTopic{name: t}
	for other, known := range *e.topics.Load() {
		if other != name {
			topics[other] = known
		}
	}
	e.topics.Store(&topics)
	return t, nil
}

// Append is engine's.
func (e *franzEngine) Append(ctx context.Context, t *native.Topic, partition int32, r native.Record, most time.Duration) (full bool, err error) {
	bytesOf := batch.RecordSize(r.Key, r.Value)
	for i := range r.Headers {
		bytesOf += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	if err := e.memory.Take(ctx, bytesOf, most); err != nil {
		return false, err
	}
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.ended {
		e.memory.Give(bytesOf)
		return false, ErrClosed
	}
	e.unsettled.Add(1)
	record := &kgo.Record{Topic: t.Name, Partition: partition, Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	if r.Timestamp != native.Now {
		record.Timestamp = time.UnixMilli(r.Timestamp)
	}
	listener, forgotten := r.Listener, r.Listener == nil || r.Forgotten
	// franz-go counts its own time limit from the time of the record, which may be any.
	limited, cancel := context.WithTimeout(context.Background(), e.delivery)
	known := (*e.topics.Load())[t.Name]
	e.client.Produce(limited, record, func(r *kgo.Record, err error) {
		defer e.unsettled.Done()
		cancel()
		e.memory.Give(bytesOf)
		if known != nil && errors.Is(err, kerr.UnknownTopicID) {
			known.gone.Store(true)
		}
		e.settled(r, err, listener, forgotten)
	})
	if known != nil && int(partition) < len(known.filled) {
		if known.filled[partition].Add(int64(bytesOf)) >= int64(e.batchBytes) {
			known.filled[partition].Store(0)
			return true, nil
		}
	}
	return false, nil
}

// settled passes on what became of a record.
func (e *franzEngine) settled(r *kgo.Record, err error, listener native.Listener, forgotten bool) {
	offset := r.Offset
	switch {
	case err == nil:
		e.written.Add(1)
		if e.acks == 0 {
			offset = -1
		}
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("not acknowledged within delivery.timeout.ms=%d: %w", e.delivery.Milliseconds(), ErrTimeout)
	case errors.Is(err, kgo.ErrClientClosed), e.closed.Load():
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if err != nil {
		offset = -1
		err = fmt.Errorf("%s-%d: %w", r.Topic, r.Partition, err)
		if e.lost.CompareAndSwap(nil, &err); forgotten {
			if e.unheard.Add(1) == 1 {
				e.log.Warn("records are lost that nobody waits for; how many in the end is said then", "first", err)
			}
		}
	}
	if listener != nil {
		listener.Done(native.Ack{Topic: r.Topic, Partition: r.Partition, Offset: offset, Timestamp: r.Timestamp.UnixMilli()}, err)
	}
}

// Flush is engine's.
func (e *franzEngine) Flush(ctx context.Context) error {
	if err := e.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// Close is engine's.
func (e *franzEngine) Close(ctx context.Context) (err error) {
	e.end.Do(func() {
		e.memory.Close()
		e.gate.Lock()
		e.ended = true
		e.gate.Unlock()
		if e.id == "" {
			err = e.client.Flush(ctx)
		}
		e.closed.Store(true)
		e.client.Close()
		e.unsettled.Wait() // it has failed what was left, in goroutines that it does not wait for
		if n := e.unheard.Load(); n > 0 {
			e.log.Warn("records were lost that nobody waits for", "records", n)
		}
	})
	if err != nil {
		return fmt.Errorf("close the producer: records were left: %w", err)
	}
	return nil
}

// Lost is engine's.
func (e *franzEngine) Lost() int64 { return e.unheard.Load() }
