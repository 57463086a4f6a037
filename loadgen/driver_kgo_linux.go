package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/batch"
)

// kgoDriver makes the same load through franz-go, one client per producer and consumer.
// It shows what a complete client costs and sees. The moment at which it sends is hidden
// in the client, so service time counts from the call of Produce.
type kgoDriver struct {
	job       *job
	producers []*kgoProducer
	consumers []*kgoConsumer
	budget    *atomic.Int64
	target    atomic.Int64
	received  atomic.Int64
}

func newKgoDriver() driver { return &kgoDriver{} }

func (d *kgoDriver) start(ctx context.Context, j *job) error {
	d.job = j
	d.target.Store(-1)
	d.budget = j.budget
	topics, err := j.target.layouts(ctx, j.workload)
	if err != nil {
		return err
	}
	if j.produces() {
		for i := range j.Producers {
			if err := d.addProducer(i, topics); err != nil {
				return err
			}
		}
	}
	if j.consumes() {
		for i := range j.Consumers {
			if err := d.addConsumer(i, topics); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *kgoDriver) addProducer(index int, topics []*topicLayout) error {
	j := d.job
	s, err := newShape(j.Value, j.Key, uint64(index))
	if err != nil {
		return err
	}
	p := &kgoProducer{kgoDriver: d, shape: s, recorder: j.recorder(j.produceKinds()...)}
	for _, topic := range topics {
		p.topics = append(p.topics, topic.Name)
	}
	if j.Rate > 0 {
		pace := j.pace(1, s.recordsOf(j.Batch), index, j.Producers, uint64(index))
		if p.schedule, err = NewSchedule(pace); err != nil {
			return err
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(j.target.brokers...), kgo.ClientID(clientID), kgo.ProducerBatchMaxBytes(int32(max(j.Batch, 1<<10))),
		kgo.ProducerLinger(j.Linger), kgo.ProducerBatchCompression(kgoCodec(j.Codec)),
		kgo.RequiredAcks(map[int16]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}[j.Acks]),
	}
	if !j.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(j.InFlight))
	}
	if p.client, err = kgo.NewClient(options...); err != nil {
		return fmt.Errorf("make a franz-go producer: %w", err)
	}
	d.producers = append(d.producers, p)
	return nil
}

func kgoCodec(c batch.Codec) kgo.CompressionCodec {
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

func (d *kgoDriver) addConsumer(index int, topics []*topicLayout) error {
	j := d.job
	c := &kgoConsumer{kgoDriver: d, recorder: j.recorder(fetchTime, endToEnd), assigned: map[string]map[int32]kgo.Offset{}}
	for _, topic := range topics {
		own := map[int32]kgo.Offset{}
		for p := range topic.partitions {
			if int(p)%j.Consumers != index {
				continue
			}
			if j.Do == results.EndToEnd {
				own[p] = kgo.NewOffset().At(topic.end[p])
				continue
			}
			own[p] = kgo.NewOffset().At(topic.start[p])
			c.total += topic.end[p] - topic.start[p]
		}
		c.assigned[topic.Name] = own
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(j.target.brokers...), kgo.ClientID(clientID), kgo.FetchMinBytes(int32(j.MinBytes)), kgo.FetchMaxWait(j.MaxWait),
		kgo.FetchMaxBytes(int32(j.FetchBytes)), kgo.FetchMaxPartitionBytes(int32(j.PartitionBytes)),
	}
	if j.Group != "" {
		options = append(options, kgo.ConsumerGroup(j.Group), kgo.ConsumeTopics(j.workload.topicNames()...))
	} else {
		options = append(options, kgo.ConsumePartitions(c.assigned))
	}
	var err error
	if c.client, err = kgo.NewClient(options...); err != nil {
		return fmt.Errorf("make a franz-go consumer: %w", err)
	}
	d.consumers = append(d.consumers, c)
	return nil
}

func (d *kgoDriver) run(ctx context.Context) error {
	var producers, consumers errgroup.Group
	for _, c := range d.consumers {
		consumers.Go(func() error { return c.run(ctx) })
	}
	for _, p := range d.producers {
		producers.Go(func() error { return p.run(ctx) })
	}
	err := producers.Wait()
	if len(d.producers) > 0 {
		acked := int64(0)
		for _, p := range d.producers {
			acked += p.recorder.allAcked
		}
		d.target.Store(acked)
	}
	return errors.Join(err, consumers.Wait())
}

// share cannot be told by thread: franz-go's work is spread over many.
func (d *kgoDriver) share() float64 { return shareOfAll }

func (d *kgoDriver) close() error {
	for _, p := range d.producers {
		p.client.Close()
	}
	for _, c := range d.consumers {
		c.client.Close()
	}
	return nil
}

// kgoProducer is one producing client. Its recorder belongs to the goroutine on which
// franz-go runs all promises of the client, one at a time; until the first and after the
// last promise to run's.
type kgoProducer struct {
	*kgoDriver
	client   *kgo.Client
	shape    *shape
	recorder *recorder
	schedule *Schedule
	topics   []string
	late     chan lateness // from run to the promises
}

// lateness is how late one batch of records was handed to the client.
type lateness struct {
	due, lag, own int64
	records       int
}

func (p *kgoProducer) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p.late = make(chan lateness, 1<<16)
	count := p.shape.recordsOf(p.job.Batch)
	free := int64(0)
	for i := 0; ctx.Err() == nil; i++ {
		now := p.job.clock.now()
		due := now
		var arrivals []int64
		if p.schedule != nil {
			if i >= p.schedule.Len() {
				break
			}
			due, count, arrivals = p.schedule.Due[i], p.schedule.Count(i), p.schedule.Arrivals(i)
			sleepUntil(p.job.clock, due)
			now = p.job.clock.now()
		}
		if now >= p.job.stop+int64(second) || p.schedule == nil && now >= p.job.stop || p.budget != nil && p.budget.Load() <= 0 {
			break
		}
		select {
		case p.late <- lateness{due, now - due, now - max(due, free), count}:
		default: // the promises are far behind; those that are kept tell enough
		}
		for k := range count {
			at := due
			if arrivals != nil {
				at = arrivals[k]
			}
			p.produce(ctx, at)
		}
		free = p.job.clock.now()
	}
	err := p.client.Flush(ctx)
	now := p.job.clock.now()
	p.lateness(now)
	p.recorder.finish(now)
	return err
}

func (p *kgoProducer) produce(ctx context.Context, due int64) {
	key, value := p.shape.record()
	value = append([]byte(nil), value...)
	if len(value) >= stampSize {
		binary.BigEndian.PutUint64(value, uint64(p.job.clock.epoch+due))
	}
	sent := p.job.clock.now()
	if p.budget != nil && sent >= p.job.measured {
		p.budget.Add(-int64(len(value)))
	}
	record := &kgo.Record{Topic: p.topics[p.shape.next%len(p.topics)], Key: key, Value: value}
	p.client.Produce(ctx, record, func(r *kgo.Record, err error) { p.promise(r, err, due, sent) })
}

func (p *kgoProducer) promise(record *kgo.Record, err error, due, sent int64) {
	now := p.job.clock.now()
	r := p.recorder
	p.lateness(now)
	if err != nil {
		var known *kerr.Error
		if errors.As(err, &known) {
			r.fail(known.Code, 1)
		} else {
			r.fail(codeUnanswered, 1)
		}
		return
	}
	r.lastAck = now
	r.allAcked++
	r.current.acked++
	r.current.bytes += int64(len(record.Value))
	if p.schedule == nil {
		r.note(service, sent, now-sent, 1)
		return
	}
	r.note(service, due, now-sent, 1)
	r.note(response, due, now-due, 1)
}

// lateness brings the recorder up to now and takes what run has reported.
func (p *kgoProducer) lateness(now int64) {
	p.recorder.advance(now)
	for {
		select {
		case l := <-p.late:
			if p.schedule != nil {
				p.recorder.note(sendLag, l.due, l.lag, l.records)
				p.recorder.note(ownLag, l.due, l.own, l.records)
			}
		default:
			return
		}
	}
}

// kgoConsumer is one consuming client, owned by the goroutine of run.
type kgoConsumer struct {
	*kgoDriver
	client   *kgo.Client
	recorder *recorder
	assigned map[string]map[int32]kgo.Offset
	total    int64 // records from start to end of what is assigned
	seen     int64 // of them, in this round
}

func (c *kgoConsumer) run(ctx context.Context) error {
	defer func() { c.recorder.finish(c.job.clock.now()) }()
	for ctx.Err() == nil {
		asked := c.job.clock.now()
		if c.through(asked) {
			return nil
		}
		// A poll that waits must still notice the end of the phase.
		poll, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		fetches := c.client.PollFetches(poll)
		cancel()
		now := c.job.clock.now()
		c.recorder.advance(now)
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return fmt.Errorf("fetch partition %d of %s: %w", e.Partition, e.Topic, e.Err)
			}
		}
		if fetches.NumRecords() > 0 {
			c.recorder.note(fetchTime, asked, now-asked, 1)
			c.recorder.lastAck = now
			c.count(fetches, now)
		}
	}
	return ctx.Err()
}

func (c *kgoConsumer) through(now int64) bool {
	if c.job.Do == results.EndToEnd {
		target := c.target.Load()
		return target >= 0 && c.received.Load() >= target || now >= c.job.stop+int64(patience)
	}
	if c.seen >= c.total && c.total > 0 && c.job.Group == "" {
		if !c.job.Loop {
			return true
		}
		c.again()
	}
	return now >= c.job.stop
}

// again reads everything once more.
func (c *kgoConsumer) again() {
	c.seen = 0
	partitions := map[string][]int32{}
	for topic, own := range c.assigned {
		for p := range own {
			partitions[topic] = append(partitions[topic], p)
		}
	}
	c.client.RemoveConsumePartitions(partitions)
	c.client.AddConsumePartitions(c.assigned)
}

func (c *kgoConsumer) count(fetches kgo.Fetches, now int64) {
	t := &c.recorder.current.tally
	fetches.EachRecord(func(r *kgo.Record) {
		t.received++
		t.readBytes += int64(len(r.Value))
		if c.job.Do == results.EndToEnd && len(r.Value) >= stampSize {
			due := int64(binary.BigEndian.Uint64(r.Value)) - c.job.clock.epoch
			c.recorder.note(endToEnd, due, now-due, 1)
		}
	})
	n := int64(fetches.NumRecords())
	c.seen += n
	c.received.Add(n)
}

// sleepUntil is as exact as the kernel: Go's timers may be a millisecond late.
func sleepUntil(c *clock, at int64) {
	for {
		left := at - c.now()
		if left <= 0 {
			return
		}
		spec := unix.NsecToTimespec(left)
		if err := unix.Nanosleep(&spec, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
