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

// DescribeLogDirs tells what lies on each disk and how much room is left. A disk that does not answer
// has REQUEST_TIMED_OUT, and those partitions of which it is known without it.
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
	l := &logDirs{all: map[*shard.Disk]*logDir{}, shards: map[*shard.Shard]bool{}}
	l.gather = c.gather(func() {
		for _, d := range c.server.Disks {
			a.Dirs = append(a.Dirs, l.all[d].describe(d))
		}
		c.reply(a)
	})
	for _, d := range c.server.Disks {
		l.measure(d)
	}
	seen := map[*shard.Replica]bool{}
	visit := func(t *shard.Topic, partition int32) {
		if r := t.Replica(partition); r != nil && !seen[r] {
			seen[r] = true
			l.visit(t.Name, r)
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
	l.gather.done()
}

// logDirs asks for sizes. What it knows of disks is that of whoever asks until the gather is done,
// and what parts write is guarded.
type logDirs struct {
	gather *gather
	all    map[*shard.Disk]*logDir
	shards map[*shard.Shard]bool // that were asked whether their disk answers
}

// logDir is what is known of one disk.
type logDir struct {
	guard       sync.Mutex //nolint:forbidigo // shards add to it at the same time; an admin call, not the hot path
	found       map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition
	total, free int64
	unmeasured  error
	late        bool
}

// measured is a look at how much room there is. A disk that hangs may not even tell that.
type measured struct {
	disk *shard.Disk
	dir  *logDir
	part *part
}

// Read looks. It runs on one of the disk's readers.
func (m *measured) Read() {
	total, free, err := m.disk.Space()
	m.part.tell(func() { m.dir.total, m.dir.free, m.dir.unmeasured = total, free, err })
}

// measure has somebody look how much room a disk has.
func (l *logDirs) measure(d *shard.Disk) {
	dir := &logDir{found: map[string][]kmsg.DescribeLogDirsResponseDirTopicPartition{}, total: -1, free: -1}
	l.all[d] = dir
	m := &measured{disk: d, dir: dir, part: l.gather.part(dir.delayed)}
	switch {
	case d.Readers == nil:
		m.Read()
	case !d.Readers.Post(m): // so many wait that it hangs, or is as slow as that
		m.part.giveUp()
	}
}

func (d *logDir) delayed() {
	d.guard.Lock()
	defer d.guard.Unlock()
	d.late = true
}

// visit looks how large a partition is: at what is published, or else on its shard, which needs the disk for that.
func (l *logDirs) visit(topic string, r *shard.Replica) {
	dir := l.all[r.Disk()]
	if dir == nil { // its disk is not in log.dirs
		return
	}
	l.knock(r.Shard(), dir)
	if r.Whole() {
		dir.add(topic, r.Index, r.Size())
		return
	}
	l.gather.ask(r.Shard(), func() func() { // not on the replica: a size is told without the log being opened
		size := r.Size()
		return func() { dir.add(topic, r.Index, size) }
	}, dir.delayed)
}

// knock asks a shard, once, whether its disk answers: sizes that are published say nothing of that.
func (l *logDirs) knock(s *shard.Shard, dir *logDir) {
	if l.shards[s] {
		return
	}
	l.shards[s] = true
	l.gather.ask(s, func() func() {
		if since := s.Syncing(); !since.IsZero() && s.Now().Sub(since) > gatherPatience {
			return dir.delayed
		}
		return func() {}
	}, dir.delayed)
}

func (d *logDir) add(topic string, partition int32, size int64) {
	p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
	p.Partition, p.Size = partition, size
	d.guard.Lock()
	defer d.guard.Unlock()
	d.found[topic] = append(d.found[topic], p)
}

func (d *logDir) describe(on *shard.Disk) kmsg.DescribeLogDirsResponseDir {
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = on.Path
	switch {
	case on.Failed() != nil || d.unmeasured != nil:
		dir.ErrorCode = kerr.KafkaStorageError.Code
		return dir
	case d.late:
		dir.ErrorCode = kerr.RequestTimedOut.Code
	}
	dir.TotalBytes, dir.UsableBytes = d.total, d.free
	for name, partitions := range d.found {
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
