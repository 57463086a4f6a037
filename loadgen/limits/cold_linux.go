package limits

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/batch"
)

// Figures of the probe of consumers that are far behind.
const (
	tailAlone   = "tail alone, p99"                // of a record from its producer to its consumer
	tailBeside  = "tail beside it, p99"            // the same, while others read what is cold
	ackedBeside = "acknowledgement beside it, p99" // of those records
)

// Of the topic as much is read as was written first: what a broker keeps of the end of a log
// is no part of it.
const coldShare = 2

// cold reads the older half of a topic, of which nothing is in memory, again and again, a
// connection for each partition; another topic is written to and read at its tail meanwhile,
// a record each millisecond.
func cold(ctx context.Context, t *trial) (err error) {
	b, done, err := t.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	w, _, err := t.fill(ctx, b, t.nextTopic())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(ctx, b, w.Topic)) }()
	ends, err := halves(ctx, b, w.Topic)
	if err != nil {
		return err
	}
	tail, err := t.beginTail(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tail.end(ctx, b)) }()
	if err := tail.rest(ctx, t.row.Time/4); err != nil { // all are warm
		return err
	}
	tail.take()
	if err := tail.rest(ctx, t.row.Time); err != nil {
		return err
	}
	alone, _ := tail.take()
	var wall, processor time.Duration
	var bytes int64
	for wall < t.row.Time {
		if err := evict(b.Dir, w.Topic); err != nil {
			return err
		}
		s, err := spending(b.PID)
		if err != nil {
			return err
		}
		n, err := readHalves(ctx, b.Address, w.Topic, ends)
		if err != nil {
			return err
		}
		took, used, err := s.now()
		if err != nil {
			return err
		}
		wall, processor, bytes = wall+took, processor+used, bytes+n
	}
	beside, acked := tail.take()
	t.figure(throughput, results.MegabytesSecond, float64(bytes)/1e6/wall.Seconds())
	t.figure(brokerCPU, results.PerGigabyte, processor.Seconds()/(float64(bytes)/1e9))
	for name, h := range map[string]times{tailAlone: alone, tailBeside: beside, ackedBeside: acked} {
		t.figure(name, results.Seconds, float64(h.ValueAtPercentile(99))/1e6)
	}
	return tail.failure()
}

// halves tells up to which offset the older half of each partition goes.
func halves(ctx context.Context, b *peers.Broker, topic string) (map[int32]int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	found, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, found.Error()); err != nil {
		return nil, fmt.Errorf("ask for the end of %s: %w", topic, err)
	}
	ends := map[int32]int64{}
	found.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset / coldShare })
	return ends, nil
}

// evict has the system forget the segments of a topic, and of nothing else.
func evict(dir, topic string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".log") || !strings.HasPrefix(filepath.Base(filepath.Dir(path)), topic+"-") {
			if errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
				return nil
			}
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("drop %s from memory: %w", path, err)
		}
		defer f.Close() // nothing was written
		if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
			return fmt.Errorf("drop %s from memory: %w", path, err)
		}
		return nil
	})
}

// readHalves reads all partitions at once, each up to its offset. It returns how many bytes
// of batches came.
func readHalves(ctx context.Context, address, topic string, ends map[int32]int64) (bytes int64, err error) {
	type read struct {
		bytes int64
		err   error
	}
	all := make(chan read, len(ends))
	for partition, end := range ends {
		go func() {
			n, err := readPartition(ctx, address, topic, partition, end)
			all <- read{n, err}
		}()
	}
	for range ends {
		one := <-all
		bytes += one.bytes
		err = errors.Join(err, one.err)
	}
	return bytes, err
}

// readPartition fetches a mebibyte at a time, the least work that a consumer can have.
func readPartition(ctx context.Context, address, topic string, partition int32, end int64) (bytes int64, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, fmt.Errorf("read %s-%d: %w", topic, partition, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * patience)); err != nil {
		return 0, fmt.Errorf("read %s-%d: %w", topic, partition, err)
	}
	q := kmsg.NewPtrFetchRequest()
	q.Version, q.ReplicaID, q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionEpoch = 11, -1, 500, 1, 64<<20, -1
	one := kmsg.NewFetchRequestTopic()
	one.Topic = topic
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.PartitionMaxBytes = partition, 1<<20
	one.Partitions = append(one.Partitions, part)
	q.Topics = append(q.Topics, one)
	for at := int64(0); at < end; {
		q.Topics[0].Partitions[0].FetchOffset = at
		answer, err := peers.Exchange(c, q)
		if err != nil {
			return bytes, err
		}
		next, n, err := fetched(answer.(*kmsg.FetchResponse), at)
		if err != nil {
			return bytes, fmt.Errorf("read %s-%d at %d: %w", topic, partition, at, err)
		}
		at, bytes = next, bytes+n
	}
	return bytes, nil
}

// fetched is the offset behind the whole batches of an answer, and their bytes.
func fetched(a *kmsg.FetchResponse, at int64) (next, bytes int64, err error) {
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		return at, 0, err
	}
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 {
		return at, 0, errors.New("the answer is about something else")
	}
	p := &a.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return at, 0, err
	}
	for rest := p.RecordBatches; ; {
		size, err := batch.Peek(rest)
		if err != nil { // Kafka cuts the last one short
			return at, bytes, nil
		}
		at, bytes, rest = batch.Batch(rest[:size]).NextOffset(), bytes+int64(size), rest[size:]
	}
}

// tail is a producer and a consumer that keep up with each other.
type tail struct {
	topic    string
	producer *kgo.Client
	consumer *kgo.Client
	stop     context.CancelFunc
	ended    sync.WaitGroup

	mu         sync.Mutex //nolint:forbidigo // producer, consumer and who measures meet here, a thousand times a second
	ages, acks times
	failed     error
}

// tailSize is the size of a record of the tail, in bytes.
const tailSize = 1000

// beginTail begins to produce and consume a topic of its own.
func (t *trial) beginTail(ctx context.Context, b *peers.Broker) (*tail, error) {
	one := &tail{topic: t.nextTopic(), ages: newTimes(), acks: newTimes()}
	var err error
	if one.producer, err = kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.DefaultProduceTopic(one.topic), kgo.ProducerLinger(0), kgo.AllowAutoTopicCreation()); err != nil {
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	if _, err := kadm.NewClient(one.producer).CreateTopic(ctx, 1, 1, nil, one.topic); err != nil {
		one.producer.Close()
		return nil, fmt.Errorf("create topic %s: %w", one.topic, err)
	}
	if one.consumer, err = kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.ConsumeTopics(one.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())); err != nil {
		one.producer.Close()
		return nil, fmt.Errorf("make a consumer: %w", err)
	}
	running, stop := context.WithCancel(ctx)
	one.stop = stop
	began := time.Now()
	one.ended.Go(func() { one.produce(running, began) })
	one.ended.Go(func() { one.consume(running, began) })
	return one, nil
}

// produce sends a record each millisecond, which says when it was due.
func (l *tail) produce(ctx context.Context, began time.Time) {
	due := time.NewTicker(time.Millisecond)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		value := make([]byte, tailSize)
		sent := time.Since(began)
		binary.BigEndian.PutUint64(value, uint64(sent))
		l.producer.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err == nil {
				l.acks.add(time.Since(began) - sent)
			} else if ctx.Err() == nil {
				l.failed = fmt.Errorf("produce to the tail: %w", err)
			}
		})
	}
}

func (l *tail) consume(ctx context.Context, began time.Time) {
	for ctx.Err() == nil {
		fetches := l.consumer.PollFetches(ctx)
		now := time.Since(began)
		l.mu.Lock()
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			l.failed = fmt.Errorf("consume the tail: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { l.ages.add(now - time.Duration(binary.BigEndian.Uint64(r.Value))) })
		l.mu.Unlock()
	}
}

// rest lets the tail run for a while.
func (l *tail) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return l.failure()
	}
}

// take returns the times since the last take.
func (l *tail) take() (ages, acks times) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ages, acks = l.ages, l.acks
	l.ages, l.acks = newTimes(), newTimes()
	return ages, acks
}

func (l *tail) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *tail) end(ctx context.Context, b *peers.Broker) error {
	l.stop()
	l.ended.Wait()
	l.producer.Close()
	l.consumer.Close()
	return drop(ctx, b, l.topic)
}
