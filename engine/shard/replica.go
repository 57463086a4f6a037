package shard

import (
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/intercept"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// Settings are what a topic's configuration means for its partitions. A shared value,
// never changed.
type Settings struct {
	Log             commitlog.Options // FS, TopicID, Now and Later are the replica's to set
	Partition       partition.Options // Start, End, Epoch and Now likewise
	Commit          bool              // log.flush.mode=commit: acknowledged means fsynced
	FlushEvery      time.Duration     // within which what was written is synced, when Commit is not set; zero: nobody says
	FlushRecords    int64             // so many that were written and not synced begin a sync, when Commit is not set; zero: nobody says
	LogAppendTime   bool
	Compacted       bool                   // records need a key
	Deletes         bool                   // cleanup.policy has delete in it
	Clean           commitlog.CleanOptions // how a compacted log is cleaned, as far as the topic says
	DirtyRatio      float64                // share of a log that must be dirty before
	Recompress      bool                   // compression.type is not "producer"
	Codec           batch.Codec
	Level           int
	MaxMessageBytes int
	MaxBefore       time.Duration // how far a timestamp may lie in the past; negative: any
	MaxAfter        time.Duration // and in the future
	// Produce and Fetch are the interceptors that see batches on their way in and out. Nil:
	// there are none.
	Produce, Fetch *intercept.Filter
}

// Secures reports whether what is written is synced without being asked for.
func (s *Settings) Secures() bool { return s.Commit || s.FlushEvery > 0 || s.FlushRecords > 0 }

// Retains reports whether there is anything that retention may remove.
func (s *Settings) Retains() bool { return s.Log.RetentionAge >= 0 || s.Log.RetentionBytes >= 0 }

// state says how far a replica has come. Only its shard changes it.
//
//	unknown ─▶ absent ─▶ open ─▶ closed        any ─▶ deleted
//	   │                  ▲
//	   ├──────────────────┤
//	   └─▶ failed
type state int32

const (
	unknown state = iota // nobody has looked at the disk yet, or looking failed and may go well later
	absent               // there is no folder: nothing was ever appended
	open                 // the log is open
	failed               // the log cannot be opened
	closed               // the broker stops
	deleted
)

// Replica is this broker's copy of one partition. Methods marked (any) are safe from
// every goroutine; the rest belong to the shard.
type Replica struct {
	Topic string
	ID    [16]byte // of the topic
	Index int32

	topic *Topic
	slot  *slot
	shard *Shard
	disk  *Disk

	// Published by the shard. A reader loads the limit first and the log's segments
	// after it: the list is then never older than the limit.
	state       atomic.Int32
	log         atomic.Pointer[commitlog.Log]
	high        atomic.Int64 // high watermark
	stable      atomic.Int64 // last stable offset
	stableBytes atomic.Int64 // bytes below the last stable offset, counted like committed
	start       atomic.Int64 // log start offset
	committed   atomic.Int64 // bytes below the high watermark, counted from the first opening
	durable     atomic.Int64 // offset below which everything survives a power cut; −1: not known
	whole       atomic.Bool  // the log was opened, or surely there is none
	sought      atomic.Int32 // tasks of Seek that wait for the log; anybody's

	settings *Settings // as of the opening, or the last Configure
	machine  *partition.Partition

	fresh    []*Append // admitted in this turn
	batches  [][]byte  // their bytes
	gathered int64     // how many
	pending  fifo      // written, waiting for the high watermark
	written  mark      // what was handed to the operating system
	syncing  bool
	promised mark           // what the last sync that was asked for makes durable
	safe     mark           // what the last sync that went well has made durable
	asked    time.Time      // when it was asked for
	due      time.Time      // when the next has to begin, in the interval mode; zero: all is promised
	later    Timer          // the same, while no sync is under way
	request  diskio.Request // of it
	rolled   diskio.Request // of it too, for the segment that was rolled last
	done     synced
	active   diskio.File // when the producer state was last saved
	saved    int64       // the offset at which that was
	idle     func()      // to be done once no sync is under way; set when the replica retires
	watchers *link
	last     uint32 // checksum of the last batch, if lasts; written by Finish, and read by who called it
	lasts    bool
	opening  *opening // the log, while it is being opened; then nobody else touches its folder
	refused  error    // while tasks run that waited for a log which could not be opened
	groups   *Groups  // the coordinator whose log this is, once it is used

	transactions *Transactions // likewise

	// Of transactions that write here; nil while there are none.
	verifying map[verified]*Verification
	marks     map[int64]int64 // first offset of an open transaction to the bytes below it
}

// mark is a place in the log: an offset, and the bytes and batches before it, counted
// from the opening.
type mark struct {
	offset, bytes, batches int64
}

// newReplica makes the replica of a partition. It touches no disk: that happens when
// the partition is first used.
func newReplica(t *Topic, index int32, s *slot) *Replica {
	r := &Replica{Topic: t.Name, ID: t.ID, Index: index, topic: t, slot: s, shard: s.shard, disk: s.disk}
	r.durable.Store(-1)
	r.done.replica = r
	r.request.Done, r.rolled.Done = r.done.active, r.done.rolled
	return r
}

// Shard is the shard that owns r (any).
func (r *Replica) Shard() *Shard { return r.shard }

// Disk is the disk that r lies on (any).
func (r *Replica) Disk() *Disk { return r.disk }

func (r *Replica) is(s state) bool { return state(r.state.Load()) == s }

// Deleted reports whether the partition is gone for good (any).
func (r *Replica) Deleted() bool { return r.is(deleted) }

// Settled reports whether the disk has been looked at, so that the published state
// means something (any). Settle makes it so, if the disk lets it.
func (r *Replica) Settled() bool { return !r.is(unknown) }

// Settle looks at the disk if nobody has yet.
func (r *Replica) Settle() { _ = r.ready(false) }

// Whole reports whether this run has opened the log, and so has mended what was left of a
// crash, or has seen that there is none (any).
func (r *Replica) Whole() bool { return r.whole.Load() }

// HighWatermark is the offset behind the last committed record (any).
func (r *Replica) HighWatermark() int64 { return r.high.Load() }

// StableOffset is the last stable offset: readers of committed records do not pass it (any).
// Who needs both loads it before HighWatermark.
func (r *Replica) StableOffset() int64 { return r.stable.Load() }

// StableBytes is how many bytes lie below the last stable offset, counted like Committed (any).
func (r *Replica) StableBytes() int64 { return r.stableBytes.Load() }

// Start is the log start offset (any). The log refuses what lies below its own start before
// retention is done, and who was refused asks here.
func (r *Replica) Start() int64 {
	start := r.start.Load()
	if log := r.log.Load(); log != nil {
		start = max(start, log.Start())
	}
	return start
}

// Committed is how many bytes lie below the high watermark, counted from a zero of the
// replica's own: a measure of progress (any). What it has counted can be read: a reader
// who loads it before HighWatermark misses nothing.
func (r *Replica) Committed() int64 { return r.committed.Load() }

// Durable is the offset below which everything is known to survive a power cut, −1 when
// the log was not opened in this run (any).
func (r *Replica) Durable() int64 { return r.durable.Load() }

// Point is how far the log is durable, and after Finish what ends there. For who keeps the disk, which
// has ended before a stop calls Finish, and for that stop.
func (r *Replica) Point() Point {
	return Point{Topic: r.ID, Offset: r.Durable(), Last: r.last, Lasts: r.lasts}
}

// Log is the log, nil while nothing was ever appended; the error says why there is
// none to read from (any). One that is not settled is not known, which is an error too: it
// must never be taken for empty.
func (r *Replica) Log() (*commitlog.Log, error) {
	switch state(r.state.Load()) {
	case unknown, failed:
		return nil, kerr.KafkaStorageError
	case closed:
		return nil, kerr.NotLeaderForPartition
	case deleted:
		return nil, kerr.UnknownTopicOrPartition
	default:
		return r.log.Load(), nil
	}
}

// Epoch is the leader epoch (any).
func (r *Replica) Epoch() int32 { return r.slot.epoch.Load() }

// CheckEpoch compares the leader epoch that a client knows with ours; −1 is none (any).
func (r *Replica) CheckEpoch(known int32) error {
	switch ours := r.Epoch(); {
	case known < 0 || known == ours:
		return nil
	case known < ours:
		return kerr.FencedLeaderEpoch
	default:
		return kerr.UnknownLeaderEpoch
	}
}

// folder is the name of the folder that the log lies in, on its disk.
func (r *Replica) folder() string { return commitlog.FolderName(r.Topic, r.Index) }

// Folder is where the log lies.
func (r *Replica) Folder() string { return filepath.Join(r.disk.Path, r.folder()) }

// Settings are what the topic's configuration means now (any).
func (r *Replica) Settings() *Settings { return r.topic.Settings() }

// Configure follows the topic's settings.
func (r *Replica) Configure(s *Settings) {
	if !r.is(open) {
		return // they are read at the opening
	}
	r.settings = s
	r.log.Load().SetOptions(r.options(s))
	r.machine.SetOptions(s.Partition)
	r.publish()
	r.shard.ClearTimer(&r.later)
	r.due = time.Time{}
	r.secure()
}

// Size is how many bytes the log takes on disk (any, once it is Whole). The folder of a partition
// that nobody used is looked at, and the log stays unopened; who asks waits for the disk.
func (r *Replica) Size() int64 {
	switch state(r.state.Load()) {
	case open:
		return r.log.Load().Size()
	case unknown, failed:
		if found, err := commitlog.Peek(r.disk.FS, r.Folder()); err == nil && r.disk.Failed() == nil {
			return found.Bytes
		}
	}
	return 0
}
