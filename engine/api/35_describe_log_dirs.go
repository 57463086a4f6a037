package api

import (
	"cmp"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// DescribeLogDirs tells what lies on each disk and how much room is left.
//
//	v2 flexible · v3 top-level error · v4 total and usable bytes (KIP-827) · v5 cordoned
//
// Differs from Kafka: a partition that was never written to is listed with size 0 and
// has no folder yet.
func describeLogDirs(c *call, q *kmsg.DescribeLogDirsRequest, a *kmsg.DescribeLogDirsResponse) {
	if !c.onCluster(sdk.OperationDescribe) {
		a.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		c.reply(a)
		return
	}
	l := &logDirs{found: map[*shard.Disk]map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition{}}
	all := newGather(func() {
		for _, d := range c.server.Disks {
			a.Dirs = append(a.Dirs, l.describe(d))
		}
		c.reply(a)
	})
	seen := map[*shard.Replica]bool{}
	visit := func(t *shard.Topic, partition int32) {
		if r := t.Replica(partition); r != nil && !seen[r] {
			seen[r] = true
			all.later()
			r.Shard().Do(func() { // not r.Do: a size is told without the log being opened
				l.add(t.Name, r)
				all.done()
			})
		}
	}
	if q.Topics == nil {
		for _, t := range c.server.Registry.Topics() {
			for i := range int32(t.Partitions()) {
				visit(t, i)
			}
		}
	}
	for _, asked := range q.Topics {
		if t := c.server.Registry.Named(asked.Topic); t != nil {
			for _, partition := range asked.Partitions {
				visit(t, partition)
			}
		}
	}
	all.done()
}

// logDirs gathers sizes from all shards.
type logDirs struct {
	guard sync.Mutex //nolint:forbidigo // shards add to it at the same time; an admin call, not the hot path
	found map[*shard.Disk]map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition
}

func (l *logDirs) add(topic string, r *shard.Replica) {
	p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
	p.Partition, p.Size = r.Index, r.Size()
	l.guard.Lock()
	defer l.guard.Unlock()
	if l.found[r.Disk()] == nil {
		l.found[r.Disk()] = map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition{}
	}
	l.found[r.Disk()][topic] = append(l.found[r.Disk()][topic], p)
}

func (l *logDirs) describe(d *shard.Disk) kmsg.DescribeLogDirsResponseDir {
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = d.Path
	total, free, err := d.Space()
	if d.Failed() != nil || err != nil {
		dir.ErrorCode = kerr.KafkaStorageError.Code
		return dir
	}
	dir.TotalBytes, dir.UsableBytes = total, free
	for name, partitions := range l.found[d] {
		slices.SortFunc(partitions, func(a, b kmsg.DescribeLogDirsResponseDirTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition)
		})
		t := kmsg.NewDescribeLogDirsResponseDirTopic()
		t.Topic, t.Partitions = name, partitions
		dir.Topics = append(dir.Topics, t)
	}
	slices.SortFunc(dir.Topics, func(a, b kmsg.DescribeLogDirsResponseDirTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	return dir
}
