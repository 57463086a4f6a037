package engine

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/netpoll"
)

// Kafka's numbers for the state of a broker.
const (
	stateRunning  = 3
	stateStopping = 6
)

// sources are whom a scrape asks. Partitions have one copy each, which is in sync as long
// as its disk works.
func (b *Broker) sources() *metrics.Sources {
	none := func() int64 { return 0 }
	s := &metrics.Sources{
		BrokerState: func() int64 {
			if b.stopping() {
				return stateStopping
			}
			return stateRunning
		},
		Partitions: b.partitions, Leaders: func() int64 { return b.partitions() - b.offline() },
		UnderReplicated: none, UnderMinISR: none, AtMinISR: func() int64 { return b.partitions() - b.offline() },
		OfflineReplicas: b.offline, OfflinePartitions: b.offline,
		ActiveController: func() int64 {
			if b.quorum.Status().Leader == b.self() && b.quorum.Err() == nil {
				return 1
			}
			return 0
		},
		Topics:           func() int64 { return int64(b.quorum.Image().TopicCount()) },
		GlobalPartitions: func() int64 { return int64(b.quorum.Image().PartitionCount()) },
		ActiveBrokers:    func() int64 { return int64(len(b.quorum.Image().Brokers())) }, FencedBrokers: none,
		Groups: b.groups, Transactions: b.countTransactions(),
		Sessions: func() int64 { return b.server.FetchSessions() },
		Waiting: func(yield func(string, int64)) {
			var produces, fetches int64
			for _, s := range b.shards {
				p, f := s.Waiting()
				produces, fetches = produces+p, fetches+f
			}
			yield("Produce", produces)
			yield("Fetch", fetches)
		},
		Listeners:  b.connections,
		ShardsIdle: b.shardsIdle(),
		Stopped: func(yield func(string, error)) {
			for _, d := range b.disks {
				if err := d.Failed(); err != nil {
					yield(d.Path, err)
				}
			}
		},
		OfflineDirs: func() (failed int64) {
			for _, d := range b.disks {
				if d.Failed() != nil {
					failed++
				}
			}
			return failed
		},
		Journals: b.journals,
		Logs:     b.logs,
		Cleaning: b.cleaning,
		Profiles: b.profiler.files, ProfileBytes: b.profiler.bytes,
	}
	b.memorySources(s)
	return s
}

// memorySources are the bytes that the broker holds or has the system hold. Frames not yet
// released are not counted, their bytes are.
func (b *Broker) memorySources(s *metrics.Sources) {
	sockets := func(of func(netpoll.Stats) int64) func() int64 {
		return func() (bytes int64) {
			for _, s := range b.sockets {
				bytes += of(s.Stats())
			}
			return bytes
		}
	}
	caches := func(of func(diskio.PageCacheStats) int64) func() int64 {
		return func() (bytes int64) {
			for _, d := range b.disks {
				bytes += of(d.cache.Stats())
			}
			return bytes
		}
	}
	s.FrameBytes = sockets(func(s netpoll.Stats) int64 { return s.FrameBytes })
	s.FrameBudget = sockets(func(s netpoll.Stats) int64 { return s.FrameBudget })
	s.CacheWritten = caches(func(s diskio.PageCacheStats) int64 { return s.Written })
	s.CacheDropped = caches(func(s diskio.PageCacheStats) int64 { return s.Dropped })
	s.ColdBuffers = func() (bytes int64) {
		for _, d := range b.disks {
			bytes += d.Chunks.Buffered()
		}
		return bytes
	}
	s.Unpacked, s.Unpacking = b.unpacked, func() int64 { return int64(b.pool.Waiting()) }
}

// unpacked is the memory of records that are held decompressed, or as interceptors made them.
func (b *Broker) unpacked() int64 { return b.memory.Used() + b.server.Unread() }

func (b *Broker) partitions() (n int64) {
	for _, t := range b.registry.Topics() {
		n += int64(t.Partitions())
	}
	return n
}

// offline counts partitions whose disk was stopped or is not there.
func (b *Broker) offline() (n int64) {
	for _, t := range b.registry.Topics() {
		t.Each(func(_ int32, d *shard.Disk, _ *shard.Replica) {
			if d.Failed() != nil {
				n++
			}
		})
	}
	return n
}

// countPatience is how long metrics wait for shards: one whose disk hangs does not answer,
// and then more than ever somebody will want to see them.
const countPatience = 200 * time.Millisecond

// groups counts the groups of all coordinators that are loaded, but for those on shards
// that do not answer.
func (b *Broker) groups() metrics.Groups {
	counted := make(chan group.Counts, len(b.shards))
	for _, s := range b.shards {
		s.Do(func() {
			var sum group.Counts
			s.Coordinators(func(g *group.Coordinator) { sum.Add(g.Count()) })
			counted <- sum
		})
	}
	var all group.Counts
	late := time.NewTimer(countPatience)
	defer late.Stop()
	for range b.shards {
		select {
		case sum := <-counted:
			all.Add(sum)
		case <-late.C:
			return metrics.Groups(all)
		}
	}
	return metrics.Groups(all)
}

// lateAfter is how long after the longest time limit of a transaction nobody can be expected to end it.
const lateAfter = 5 * time.Minute

// countTransactions counts transactions and producers on all shards. A shard that does not answer counts as it did
// before, for what is counted since the start must not fall.
func (b *Broker) countTransactions() func() metrics.Transactions {
	before := make([]atomic.Pointer[shard.Counts], len(b.shards))
	return func() metrics.Transactions {
		late := config.TransactionMaxTimeout.Of(b.values.Load()) + lateAfter
		counted := make(chan struct{}, len(b.shards))
		for i, s := range b.shards {
			s.Do(func() {
				n := s.Count(late)
				before[i].Store(&n)
				counted <- struct{}{}
			})
		}
		patience := time.NewTimer(countPatience)
		defer patience.Stop()
		for range b.shards {
			select {
			case <-counted:
				continue
			case <-patience.C:
			}
			break
		}
		var sum shard.Counts
		for i := range before {
			if n := before[i].Load(); n != nil {
				sum.Add(*n)
			}
		}
		return transactionMetrics(sum, b.now())
	}
}

func transactionMetrics(n shard.Counts, now time.Time) metrics.Transactions {
	t := n.Transactions
	m := metrics.Transactions{
		IDs: t.IDs, Open: t.Open, Ending: t.Ending, Committed: t.Committed, Aborted: t.Aborted, TimedOut: t.TimedOut, Fenced: t.Fenced,
		IDsExpired: t.Expired, Producers: n.Producers, ProducersExpired: n.Expired, Late: n.Late,
	}
	if t.Oldest > 0 {
		m.OldestSeconds = max(now.Sub(time.UnixMilli(t.Oldest)).Seconds(), 0)
	}
	return m
}

// connections tells what each listener knows; its loops are counted together.
func (b *Broker) connections(yield func(metrics.Connections)) {
	at := 0
	for _, l := range b.settings.Listeners {
		if l.Controller || at == len(b.sockets) {
			continue
		}
		s := b.sockets[at].Stats()
		at++
		yield(metrics.Connections{
			Listener: l.Name, Open: int64(s.Connections), Created: s.Accepted, Closed: s.Accepted - uint64(s.Connections),
			Refused: s.Refused, BytesIn: uint64(s.BytesIn), BytesOut: uint64(s.BytesOut),
		})
	}
}

// shardsIdle tells which share of the time since it was asked last, or since the start,
// the shards had nothing to do.
func (b *Broker) shardsIdle() func() float64 {
	type asked struct {
		at   time.Time
		idle time.Duration
	}
	var last atomic.Pointer[asked]
	last.Store(&asked{at: b.now()})
	return func() float64 {
		now := &asked{at: b.now()}
		for _, s := range b.shards {
			now.idle += s.Idle()
		}
		before := last.Swap(now)
		passed := now.at.Sub(before.at) * time.Duration(len(b.shards))
		if passed <= 0 {
			return 1
		}
		return min(max(float64(now.idle-before.idle)/float64(passed), 0), 1)
	}
}

// journals tells what the journal of each data folder has done.
func (b *Broker) journals(yield func(dir string, j metrics.Journal)) {
	for _, d := range b.disks {
		s := d.journal.Stats()
		yield(d.Path, metrics.Journal{
			Rounds: s.Rounds, Entries: s.Entries, Bytes: s.Bytes, FileSyncs: s.FileSyncs, FileBytes: s.FileBytes,
			Checkpoints: s.Checkpoints, Recycled: s.Recycled, Replayed: s.Replayed, Owing: s.Owing,
			LastRoundSeconds: s.LastRound.Seconds(), LastFileSyncSeconds: s.LastFileSync.Seconds(),
		})
	}
}

// logs tells of every log that is open.
func (b *Broker) logs(yield func(topic string, partition int32, log metrics.Log)) {
	for _, t := range b.registry.Topics() {
		t.Used(func(r *shard.Replica) {
			if log, err := r.Log(); log != nil && err == nil {
				yield(t.Name, r.Index, metrics.Log{Bytes: log.Size(), Start: log.Start(), End: log.End(), Segments: int64(log.Segments())})
			}
		})
	}
}
