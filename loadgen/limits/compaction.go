package limits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// A log is taken to be clean when it has had the same size for so long. A broker whose map of
// keys is full begins anew behind it, and its size stays while it reads as much as the map takes.
const (
	cleanFor  = 30 * time.Second
	cleanLook = 100 * time.Millisecond
	backoff   = "log.cleaner.backoff.ms"

	compactedSegments = 50
)

// compaction fills a compacted topic that may not be cleaned yet, lets it be cleaned, and
// looks at what that takes.
func compaction(ctx context.Context, t *trial) error {
	segment := max(1<<20, t.row.Records*int64(t.row.Size)/compactedSegments)
	config := map[string]string{
		"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": strconv.FormatInt(segment, 10),
	}
	return t.withTopic(ctx, 1, config, func(b *peers.Broker, admin *kadm.Client, topic string) error {
		alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: backoff, Value: kadm.StringPtr("500")}}
		if err := altered(admin.AlterBrokerConfigs(ctx, alter)); err != nil {
			return err
		}
		if err := fillKeys(ctx, b.Address, topic, t.row.Records, t.row.Keys, t.row.Size); err != nil {
			return err
		}
		full, err := sizeOf(ctx, admin, topic)
		if err != nil {
			return err
		}
		if err := loadgen.ResetPeak(b.PID); err != nil {
			return err
		}
		s, err := spending(b.PID)
		if err != nil {
			return err
		}
		alter = []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.compaction.lag.ms", Value: kadm.StringPtr("0")}}
		if err := altered(admin.AlterTopicConfigs(ctx, alter, topic)); err != nil {
			return err
		}
		return t.cleaned(ctx, s, full, func() (int64, error) { return sizeOf(ctx, admin, topic) })
	})
}

// cleaned waits until the log has become smaller and stays as it is.
func (t *trial) cleaned(ctx context.Context, s *spent, full int64, size func() (int64, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 15*patience)
	defer cancel()
	looks := time.NewTicker(cleanLook)
	defer looks.Stop()
	last, took, processor := full, time.Duration(0), time.Duration(0)
	for {
		now, err := size()
		if err != nil {
			return err
		}
		wall, used, err := s.now()
		if err != nil {
			return err
		}
		switch {
		case now != last:
			last, took, processor = now, wall, used
		case last < full && wall-took > cleanFor:
			use, err := loadgen.ReadUsage(s.pid)
			t.figure(cleanTime, results.Seconds, took.Seconds())
			t.figure(cleanCPU, results.Seconds, processor.Seconds())
			t.figure(cleanMemory, results.SizeBytes, float64(use.Peak))
			t.figure(cleanLeft, results.SizeBytes, float64(last))
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the log has %d of %d bytes and is not clean: %w", last, full, ctx.Err())
		case <-looks.C:
		}
	}
}

// fillKeys produces so many records, whose keys are drawn of so many.
func fillKeys(ctx context.Context, address, topic string, records, keys int64, size int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, size)
	var failed atomic.Pointer[error]
	for range records {
		client.Produce(ctx, &kgo.Record{Key: fmt.Appendf(nil, "%016d", random.Int64N(keys)), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("fill topic %s: %w", topic, err)
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("fill topic %s: %w", topic, *err)
	}
	return nil
}

// sizeOf is what the broker says that a topic has on disk.
func sizeOf(ctx context.Context, admin *kadm.Client, topic string) (size int64, err error) {
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	all, err := admin.DescribeAllLogDirs(ctx, set)
	all.Each(func(d kadm.DescribedLogDir) {
		err = errors.Join(err, d.Err)
		size += d.Size()
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the size of %s: %w", topic, err)
	}
	return size, nil
}

func altered(answers kadm.AlterConfigsResponses, err error) error {
	for _, a := range answers {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		return fmt.Errorf("alter settings: %w", err)
	}
	return nil
}
