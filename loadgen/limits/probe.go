package limits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// Names of the probes, and how a broker's first life ends in the first of them.
const (
	probeStart      = "start"
	probePartitions = "partitions"
	probeIdle       = "idle connections"
	probeUnread     = "unread fetches"

	probeTransactions = "transactions"
	probeGroup        = "group"
	probeCompaction   = "compaction"
	probeRebalance    = "rebalance"
	probeProducer     = "producer"

	endStop = "stop"
	endKill = "kill"
)

// Figures of the probes.
const (
	firstAnswer     = "first answer"             // ApiVersions, from exec
	allOffsets      = "all offsets"              // ListOffsets of every partition, from exec
	createListed    = "create"                   // from the request until Metadata lists every partition with a leader
	createOffsets   = "create, all offsets"      // from the request until every partition has told its end
	restartListed   = "restart"                  // from exec until Metadata lists every partition with a leader
	restartOffsets  = "restart, all offsets"     // from exec until every partition has told its end
	memoryCreated   = "memory"                   // idle, before the restart
	memoryWritten   = "memory when written"      // idle, when each partition got records
	memoryRestarted = "memory after restart"     // idle
	memoryBefore    = "baseline"                 // idle, before any connection
	overPeak        = "over baseline, at most"   // the peak
	overSettled     = "over baseline, when idle" // afterwards, while the connections are there
)

// probe is a measurement that is not a workload.
type probe struct {
	figures []string
	run     func(context.Context, *trial) error
}

var probes = map[string]probe{
	probeStart:      {[]string{firstAnswer, allOffsets}, start},
	probePartitions: {[]string{createListed, createOffsets, restartListed, restartOffsets, memoryCreated, memoryWritten, memoryRestarted}, partitions},
	probeIdle:       {[]string{memoryBefore, overPeak, overSettled}, idle},
	probeUnread:     {[]string{memoryBefore, overPeak, overSettled}, unread},

	probeTransactions: {[]string{throughput, brokerCPU, commitP50, commitP99, smallest}, transactions},
	probeGroup:        {[]string{throughput, brokerCPU, commitP50, commitP99}, consumers},
	probeCompaction:   {[]string{cleanTime, cleanCPU, cleanMemory, cleanLeft}, compaction},
	probeRebalance:    {[]string{rebalance, rebalanceBy}, rebalanced},
	probeProducer:     {[]string{clientCPU, clientRate}, producers},
}

// patience is how long a probe waits for what must happen.
const patience = 60 * time.Second

// start measures how long a broker takes from exec to its first answer: in an empty
// folder, or in that of one that was filled and then ended.
func start(ctx context.Context, t *trial) (err error) {
	b, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	if t.side.End == "" {
		t.figure(firstAnswer, results.Seconds, b.Answer.Seconds())
		return nil
	}
	w, acked, err := t.fill(ctx, b, t.nextTopic())
	if err != nil {
		return err
	}
	if t.side.End == endKill {
		err = b.Kill()
	} else {
		err = b.Stop()
	}
	if err != nil {
		return err
	}
	again, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	b = again
	t.figure(firstAnswer, results.Seconds, b.Answer.Seconds())
	took, err := offsets(ctx, b, w, acked)
	t.figure(allOffsets, results.Seconds, took.Seconds())
	return err
}

// offsets waits until every partition tells its end, and checks that everything which was
// acknowledged is there.
func offsets(ctx context.Context, b *peers.Broker, w *loadgen.Workload, acked int64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.RetryBackoffFn(func(int) time.Duration { return 2 * time.Millisecond }))
	if err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	var total int64
	for {
		ends, err := kadm.NewClient(client).ListEndOffsets(ctx, w.Topic)
		if err = errors.Join(err, ends.Error()); err == nil {
			took := time.Since(b.Began)
			ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
			if total < acked {
				return took, fmt.Errorf("%d records were acknowledged, and %d are there after the restart", acked, total)
			}
			return took, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the broker did not tell the offsets of %s: %w", w.Topic, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// partitions creates many, looks at the memory, restarts and looks again.
func partitions(ctx context.Context, t *trial) (err error) {
	b, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	began := time.Now()
	if err := createPartitions(ctx, b.Address, t.row.Partitions); err != nil {
		return err
	}
	if err := t.there(ctx, b, began, createListed, createOffsets, memoryCreated); err != nil {
		return err
	}
	if t.side.Fill {
		if _, _, err := t.fill(ctx, b, manyTopic); err != nil {
			return err
		}
		used, err := settled(ctx, b.PID)
		if err != nil {
			return err
		}
		t.figure(memoryWritten, results.SizeBytes, float64(used.Resident))
	}
	if err := b.Stop(); err != nil {
		return err
	}
	again, err := t.start(ctx, t.side, t.dir)
	if err != nil {
		return err
	}
	b = again
	return t.there(ctx, b, b.Began, restartListed, restartOffsets, memoryRestarted)
}

// there waits until all partitions are listed, then until all have told their end, then
// until the broker is idle, and names what that took.
func (t *trial) there(ctx context.Context, b *peers.Broker, began time.Time, listed, told, memory string) error {
	if err := allListed(ctx, b.Address, t.row.Partitions); err != nil {
		return err
	}
	t.figure(listed, results.Seconds, time.Since(began).Seconds())
	if err := allTold(ctx, b.Address, t.row.Partitions); err != nil {
		return err
	}
	t.figure(told, results.Seconds, time.Since(began).Seconds())
	used, err := settled(ctx, b.PID)
	t.figure(memory, results.SizeBytes, float64(used.Resident))
	return err
}

const manyTopic = "many"

func createPartitions(ctx context.Context, address string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.Version, q.TimeoutMillis = 4, int32(patience.Milliseconds())
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = manyTopic, int32(n), 1
	q.Topics = append(q.Topics, topic)
	answer, err := peers.Ask(ctx, address, q)
	if err != nil {
		return fmt.Errorf("create %d partitions: %w", n, err)
	}
	for _, topic := range answer.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("create %d partitions: %w", n, err)
		}
	}
	return nil
}

// allListed waits until Metadata lists so many partitions, each with a leader.
func allListed(ctx context.Context, address string, n int) error {
	q := kmsg.NewPtrMetadataRequest()
	q.Version = 7
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(manyTopic)
	q.Topics = append(q.Topics, topic)
	return until(ctx, address, n, q, func(answer kmsg.Response) (led int) {
		for _, topic := range answer.(*kmsg.MetadataResponse).Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode == 0 && p.Leader >= 0 {
					led++
				}
			}
		}
		return led
	})
}

// allTold waits until so many partitions tell their end: until they can be used.
func allTold(ctx context.Context, address string, n int) error {
	q := kmsg.NewPtrListOffsetsRequest()
	q.Version, q.ReplicaID = 5, -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = manyTopic
	for i := range n {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = int32(i), -1, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	q.Topics = append(q.Topics, topic)
	return until(ctx, address, n, q, func(answer kmsg.Response) (told int) {
		for _, topic := range answer.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range topic.Partitions {
				if p.ErrorCode == 0 && p.Offset >= 0 {
					told++
				}
			}
		}
		return told
	})
}

// until asks until so many of something are in the answer.
func until(ctx context.Context, address string, n int, q kmsg.Request, count func(kmsg.Response) int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		answer, err := peers.Ask(ctx, address, q)
		if err != nil {
			return err
		}
		have := count(answer)
		if have == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has %d of %d partitions: %w", kmsg.NameForKey(q.Key()), have, n, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
