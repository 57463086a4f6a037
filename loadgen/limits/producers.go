package limits

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/client"
)

// Figures of the probe that compares producers. What the broker spends is not in them.
const (
	clientCPU  = "client CPU"  // of the producer's process, for a record
	clientRate = "record rate" // sent and acknowledged in a second
)

// Producers that a side may name.
const (
	clientNative = "native" // sdk/client
	clientKgo    = "kgo"    // franz-go, without anything around it
	clientJava   = "java"   // Kafka's own
)

// What all producers of the probe have in common: Kafka's defaults, said aloud.
const (
	probeBatch  = 16 << 10
	probeLinger = 5 * time.Millisecond
	probeBuffer = 32 << 20
	probeWarm   = 2 * time.Second // nothing counts before that; a JVM compiles meanwhile
)

// producing is a producer that sends records of one size as fast as it can.
type producing interface {
	// send sends one record, and waits when the buffer is full.
	send(ctx context.Context) error
	// flush waits for all of them. What failed is an error.
	flush(ctx context.Context) error
	close()
}

// producers measures what a record costs the process that sends it.
func producers(ctx context.Context, t *trial) error {
	return t.withTopic(ctx, t.row.Partitions, nil, func(b *peers.Broker, admin *kadm.Client, topic string) error {
		if t.side.Client == clientJava {
			return javaProducer(ctx, t, b.Address, topic)
		}
		begin := map[string]func(address, topic string, size int) (producing, error){clientNative: newNativeProducer, clientKgo: newKgoProducer}[t.side.Client]
		p, err := begin(b.Address, topic, t.row.Size)
		if err != nil {
			return err
		}
		defer p.close()
		warm, err := sendFor(ctx, p, min(probeWarm, t.row.Time))
		if err != nil {
			return err
		}
		s, err := spending(os.Getpid())
		if err != nil {
			return err
		}
		records, err := sendFor(ctx, p, t.row.Time)
		if err != nil {
			return err
		}
		wall, processor, err := s.now()
		if err != nil {
			return err
		}
		t.produced(records, wall, processor)
		return stored(ctx, admin, topic, warm+records)
	})
}

// stored makes sure that a topic has as many records as were sent to it: what a client drops
// would be cheap to send.
func stored(ctx context.Context, admin *kadm.Client, topic string, sent int64) error {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("ask how many records %s has: %w", topic, err)
	}
	var there int64
	ends.Each(func(o kadm.ListedOffset) { there += o.Offset })
	if there != sent {
		return fmt.Errorf("%d records were sent to %s, and it has %d", sent, topic, there)
	}
	return nil
}

// produced is what so many records came to.
func (t *trial) produced(records int64, wall, processor time.Duration) {
	t.figure(clientCPU, results.Seconds, processor.Seconds()/float64(records))
	t.figure(clientRate, results.Pure, float64(records)/wall.Seconds())
}

// sendFor sends for a while and waits for what it sent.
func sendFor(ctx context.Context, p producing, most time.Duration) (records int64, err error) {
	const between = 1000 // records between looks at the clock
	for began := time.Now(); time.Since(began) < most; {
		for range between {
			if err := p.send(ctx); err != nil {
				return records, err
			}
		}
		records += between
	}
	return records, p.flush(ctx)
}

// nativeProducer is ours.
type nativeProducer struct {
	*client.Producer[[]byte, []byte]
	record client.ProducerRecord[[]byte, []byte]
}

func newNativeProducer(address, topic string, size int) (producing, error) {
	p, err := client.NewProducer(client.Config{
		"bootstrap.servers": address, "client.engine": client.EngineNative, "batch.size": strconv.Itoa(probeBatch),
		"linger.ms": strconv.FormatInt(probeLinger.Milliseconds(), 10), "buffer.memory": strconv.Itoa(probeBuffer),
	}, client.ProducerOptions[[]byte, []byte]{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("make a native producer: %w", err)
	}
	return &nativeProducer{p, client.ProducerRecord[[]byte, []byte]{Topic: topic, Value: make([]byte, size)}}, nil
}

func (p *nativeProducer) send(ctx context.Context) error  { return p.Fire(ctx, &p.record) }
func (p *nativeProducer) flush(ctx context.Context) error { return p.Flush(ctx) }

func (p *nativeProducer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.Close(ctx) // all was flushed
}

// kgoProducer is franz-go at its best: records are used again.
type kgoProducer struct {
	client *kgo.Client
	topic  string
	value  []byte
	pool   sync.Pool
	failed errorOnce
}

// errorOnce keeps the first error.
type errorOnce struct {
	once sync.Once
	err  error
}

func newKgoProducer(address, topic string, size int) (producing, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerBatchMaxBytes(probeBatch), kgo.ProducerLinger(probeLinger),
		kgo.MaxBufferedBytes(probeBuffer), kgo.MaxBufferedRecords(probeBuffer/max(size, 1)), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return nil, fmt.Errorf("make a franz-go producer: %w", err)
	}
	return &kgoProducer{client: c, topic: topic, value: make([]byte, size), pool: sync.Pool{New: func() any { return new(kgo.Record) }}}, nil
}

func (p *kgoProducer) send(ctx context.Context) error {
	r := p.pool.Get().(*kgo.Record)
	*r = kgo.Record{Topic: p.topic, Value: p.value}
	p.client.Produce(ctx, r, p.done)
	return nil
}

func (p *kgoProducer) done(r *kgo.Record, err error) {
	if err != nil {
		p.failed.once.Do(func() { p.failed.err = err })
	}
	p.pool.Put(r)
}

func (p *kgoProducer) flush(ctx context.Context) error {
	return errors.Join(p.client.Flush(ctx), p.failed.err)
}

func (p *kgoProducer) close() { p.client.Close() }

//go:embed Producing.java
var javaSource []byte

// javaProducer has Kafka's producer do the same in a process of its own, which says what it
// spent once it was warm.
func javaProducer(ctx context.Context, t *trial, address, topic string) error {
	source := filepath.Join(t.dir, "Producing.java")
	if err := os.WriteFile(source, javaSource, 0o644); err != nil {
		return fmt.Errorf("write the Java producer: %w", err)
	}
	command := exec.CommandContext(ctx, "java", "-Xmx512m", "-Xms512m", "-XX:+UseG1GC", "-cp", filepath.Join(t.Kafka.Libs, "*"), source,
		address, topic, strconv.Itoa(t.row.Size), strconv.FormatInt(min(2*probeWarm, t.row.Time).Milliseconds(), 10), strconv.FormatInt(t.row.Time.Milliseconds(), 10))
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("run Kafka's producer: %w\n%s", err, complaints.Bytes())
	}
	var records, wall, processor int64
	if _, err := fmt.Sscanf(string(output), "records %d wall %d cpu %d", &records, &wall, &processor); err != nil || records == 0 {
		return fmt.Errorf("run Kafka's producer: it says %q: %w", output, err)
	}
	t.produced(records, time.Duration(wall), time.Duration(processor))
	return nil
}
