package shard

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// Settings are what a topic's configuration means for its partitions. A shared value,
// never changed.
type Settings struct {
	Log             commitlog.Options
	Partition       partition.Options
	Commit          bool // log.flush.mode=commit: acknowledged means fsynced
	LogAppendTime   bool
	Compacted       bool // records need a key
	Deletes         bool // cleanup.policy has delete in it
	Recompress      bool // compression.type is not "producer"
	Codec           batch.Codec
	Level           int
	MaxMessageBytes int
	MaxBefore       time.Duration // how far a timestamp may lie in the past; negative: any
	MaxAfter        time.Duration // and in the future
}

// state says how far a replica has come. Only its shard changes it.
type state int32

const (
	unknown state = iota // nobody has looked at the disk yet
	absent               // there is no folder: nothing was ever appended
	open                 // the log is open
	failed               // the log could not be opened, or its disk failed
	closed               // the broker stops
	deleted
)

// Replica is this broker's copy of one partition. Methods marked (any) are safe from
// every goroutine; the rest belong to the shard.
type Replica struct {
	Topic string
	ID    [16]byte // of the topic
	Index int32

	shard *Shard
	disk  *Disk

	// Published by the shard. A reader loads the limit first and the log's segments
	// after it: the list is then never older than the limit.
	state     atomic.Int32
	log       atomic.Pointer[commitlog.Log]
	high      atomic.Int64 // high watermark
	start     atomic.Int64 // log start offset
	committed atomic.Int64 // bytes below the high watermark, counted from the first opening

	settings *Settings
	epoch    int32 // leader epoch
	machine  *partition.Partition
	failure  error // why state is failed

	fresh    []*Append // admitted in this turn
	batches  [][]byte  // their bytes
	pending  fifo      // written, waiting for the high watermark
	written  int64     // bytes written, counted like committed
	syncing  bool
	promised mark           // what the sync under way makes durable
	request  diskio.Request // of that sync
	done     synced
	active   diskio.File // when the producer state was last saved
	idle     func()      // to be done once no sync is under way
	watchers *link
	groups   *Groups // the coordinator whose log this is, once it is used
}

// mark is a place in the log: an offset, and the bytes before it.
type mark struct {
	offset, bytes int64
}

// NewReplica makes the replica of a partition. It touches no disk: that happens when
// the partition is first used.
func NewReplica(t *Topic, index int32, p Place) *Replica {
	r := &Replica{Topic: t.Name, ID: t.ID, Index: index, epoch: p.Epoch, shard: p.Shard, disk: p.Disk, settings: t.Settings()}
	r.done.replica = r
	r.request.Done = r.done.post
	return r
}

// Shard is the shard that owns r (any).
func (r *Replica) Shard() *Shard { return r.shard }

// Disk is the disk that r lies on (any).
func (r *Replica) Disk() *Disk { return r.disk }

// Settled reports whether the disk has been looked at, so that the published state
// means something (any). Settle makes it so.
func (r *Replica) Settled() bool { return state(r.state.Load()) != unknown }

// Settle looks at the disk if nobody has yet.
func (r *Replica) Settle() { _ = r.ready(false) }

// HighWatermark is the offset behind the last committed record (any).
func (r *Replica) HighWatermark() int64 { return r.high.Load() }

// Start is the log start offset (any).
func (r *Replica) Start() int64 { return r.start.Load() }

// Committed is how many bytes lie below the high watermark, counted from a zero of the
// replica's own: a measure of progress (any).
func (r *Replica) Committed() int64 { return r.committed.Load() }

// Log is the log, nil while nothing was ever appended; the error says why there is
// none to read from (any).
func (r *Replica) Log() (*commitlog.Log, error) {
	switch state(r.state.Load()) {
	case failed:
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
func (r *Replica) Epoch() int32 { return r.epoch }

// CheckEpoch compares the leader epoch that a client knows with ours; −1 is none (any).
func (r *Replica) CheckEpoch(known int32) error {
	switch {
	case known < 0 || known == r.epoch:
		return nil
	case known < r.epoch:
		return kerr.FencedLeaderEpoch
	default:
		return kerr.UnknownLeaderEpoch
	}
}

// Folder is where the log lies.
func (r *Replica) Folder() string {
	return filepath.Join(r.disk.Path, fmt.Sprintf("%s-%d", r.Topic, r.Index))
}

func (r *Replica) gone() bool { return state(r.state.Load()) == deleted }

// ready opens the log; create says whether to make one where there is none.
func (r *Replica) ready(create bool) error {
	switch state(r.state.Load()) {
	case open:
		if err := r.disk.Failed(); err != nil {
			return kerr.KafkaStorageError
		}
		return nil
	case failed:
		return kerr.KafkaStorageError
	case closed:
		return kerr.NotLeaderForPartition
	case deleted:
		return kerr.UnknownTopicOrPartition
	case unknown:
		if _, err := r.disk.FS.Stat(r.Folder()); err != nil && !create {
			r.state.Store(int32(absent))
			return nil
		}
	case absent:
		if !create {
			return nil
		}
	}
	if r.disk.Failed() != nil {
		return kerr.KafkaStorageError
	}
	if err := r.open(); err != nil {
		r.shard.log.Error("cannot open partition", "topic", r.Topic, "partition", r.Index, "folder", r.Folder(), "error", err)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
			return kerr.KafkaStorageError // may pass: the next request tries again
		}
		r.failure = err
		r.state.Store(int32(failed))
		return kerr.KafkaStorageError
	}
	return nil
}

// open opens the log and brings the machine to where it ended.
func (r *Replica) open() error {
	log, err := commitlog.Open(r.Folder(), r.settings.Log, r.disk.recovery(r, r.shard.log))
	if err != nil {
		return err
	}
	o := r.settings.Partition
	o.Start, o.End, o.Epoch, o.Now = log.Start(), log.End(), r.epoch, r.shard.now.UnixMilli()
	machine, err := restore(log, o)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	r.machine = machine
	r.active = log.Active()
	r.written = log.Size()
	r.log.Store(log)
	r.start.Store(log.Start())
	r.high.Store(machine.HighWatermark())
	r.committed.Store(r.written)
	r.state.Store(int32(open))
	r.shard.replicas[r] = struct{}{}
	return nil
}

// restore rebuilds the producers from the last snapshot and the batches behind it.
func restore(log *commitlog.Log, o partition.Options) (*partition.Partition, error) {
	from, saved, err := log.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("read producer snapshot: %w", err)
	}
	machine := partition.New(o)
	if saved == nil || machine.Restore(saved) != nil {
		machine, from = partition.New(o), log.Start()
	}
	err = log.Headers(max(from, log.Start()), func(header batch.Batch) error {
		machine.Replay(header)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild producer state: %w", err)
	}
	return machine, nil
}

// gather takes an admitted batch for the write at the end of the turn.
func (r *Replica) gather(a *Append) {
	if len(r.fresh) == 0 {
		r.shard.touched = append(r.shard.touched, r)
	}
	r.fresh = append(r.fresh, a)
	r.batches = append(r.batches, a.Batch)
}

// await parks an append until the high watermark reaches it.
func (r *Replica) await(a *Append) {
	if len(r.fresh) == 0 && r.pending.len() == 0 && a.required <= r.high.Load() {
		a.end(nil)
		return
	}
	if len(r.fresh) > 0 {
		r.fresh = append(r.fresh, a) // keeps its place behind those it may repeat
		return
	}
	r.pending.push(a)
}

// write appends all that was gathered with one write, and has it made durable.
func (r *Replica) write() {
	log := r.log.Load()
	before := log.End()
	err := log.Append(r.batches, r.shard.now)
	for _, p := range r.batches {
		if err == nil {
			r.written += int64(len(p))
		}
	}
	clear(r.batches)
	r.batches = r.batches[:0]
	if err != nil {
		r.refuse(before, err)
		return
	}
	for i, a := range r.fresh {
		a.release()
		r.pending.push(a)
		r.fresh[i] = nil
	}
	r.fresh = r.fresh[:0]
	r.machine.Written(log.End())
	if active := log.Active(); active != r.active {
		r.rolled(active)
	}
	if r.settings.Commit {
		r.sync()
		return
	}
	r.advance(mark{log.End(), r.written})
}

// refuse undoes what could not be written.
func (r *Replica) refuse(end int64, err error) {
	r.machine.Undo(end)
	if !errors.Is(err, syscall.ENOSPC) {
		r.disk.Fail(err)
	}
	r.disk.complain(r.shard.now, err)
	for i, a := range r.fresh {
		r.fresh[i] = nil
		if a.duplicate && a.required <= end {
			r.pending.push(a)
			continue
		}
		a.end(kerr.KafkaStorageError)
	}
	r.fresh = r.fresh[:0]
	r.settlePending()
}

// rolled saves the producer state once for every segment, so that opening the log need
// not read more than one.
func (r *Replica) rolled(active diskio.File) {
	r.active = active
	r.save()
}

func (r *Replica) save() {
	log := r.log.Load()
	if err := log.WriteSnapshot(log.End(), r.machine.Snapshot(nil)); err != nil {
		r.shard.log.Warn("cannot save producer state; the next start reads it from the log", "topic", r.Topic, "partition", r.Index, "error", err)
	}
}

// sync has the log made durable as far as it is written, unless that is under way.
func (r *Replica) sync() {
	log := r.log.Load()
	if r.syncing || r.promised.offset >= log.End() {
		return
	}
	r.syncing = true
	r.promised = mark{log.End(), r.written}
	r.request.File = log.Active()
	r.disk.Syncer.Sync(&r.request)
}

// synced brings the end of a sync back to the shard.
type synced struct {
	Node
	replica *Replica
	err     error
}

// post runs on the syncer's goroutine.
func (d *synced) post(_ *diskio.Request, err error) {
	d.err = err
	d.replica.shard.Post(&d.Node, d)
}

// Run moves the high watermark, and syncs what came meanwhile.
func (d *synced) Run(*Shard) {
	r := d.replica
	r.syncing = false
	if r.idle != nil {
		r.idle()
		return
	}
	if d.err != nil {
		r.disk.Fail(d.err)
		r.failPending(kerr.KafkaStorageError)
		r.wakeAll()
		return
	}
	r.machine.Synced(r.promised.offset)
	r.advance(r.promised)
	r.sync()
}

// advance publishes the high watermark, answers those who wait for it and wakes readers.
func (r *Replica) advance(to mark) {
	high := r.machine.HighWatermark()
	if high > r.high.Load() {
		r.high.Store(high)
		bytes := to.bytes - r.committed.Load()
		r.committed.Store(to.bytes)
		r.notify(bytes)
	}
	r.settlePending()
}

func (r *Replica) settlePending() {
	high := r.high.Load()
	for a := r.pending.first(); a != nil && a.required <= high; a = r.pending.first() {
		r.pending.pop()
		a.end(nil)
	}
}

func (r *Replica) failPending(err error) {
	for a := r.pending.first(); a != nil; a = r.pending.first() {
		r.pending.pop()
		a.end(err)
	}
}

// Configure changes the settings; the log follows at once.
func (r *Replica) Configure(s *Settings) {
	r.settings = s
	if log := r.log.Load(); log != nil && state(r.state.Load()) == open {
		log.SetOptions(s.Log)
		r.machine.SetOptions(s.Partition)
		if s.Commit {
			r.sync()
		}
	}
}

// DeleteRecords moves the log start offset to offset, or to the high watermark for −1,
// durably (KIP-107).
func (r *Replica) DeleteRecords(offset int64) (start int64, err error) {
	if err := r.ready(false); err != nil {
		return -1, err
	}
	if offset == -1 {
		offset = r.high.Load()
	}
	if offset < 0 || offset > r.high.Load() {
		return -1, kerr.OffsetOutOfRange
	}
	log := r.log.Load()
	if log == nil || offset <= log.Start() {
		return r.start.Load(), nil
	}
	if err := log.SetStart(offset); err != nil {
		r.disk.complain(r.shard.now, err)
		return -1, kerr.KafkaStorageError
	}
	r.started()
	_, err = log.Retain(r.shard.now, r.high.Load())
	if err != nil {
		r.disk.complain(r.shard.now, err)
	}
	return offset, nil
}

func (r *Replica) started() {
	start := r.log.Load().Start()
	r.start.Store(start)
	r.machine.SetStart(start)
}

// Retain applies retention. A partition that nobody used since the start is looked at
// from outside, and opened only if there is something to remove.
func (r *Replica) Retain(now time.Time) {
	switch state(r.state.Load()) {
	case unknown:
		if !commitlog.Expired(r.settings.Log, r.Folder(), now) || r.ready(false) != nil {
			return
		}
	case open:
	default:
		return
	}
	log := r.log.Load()
	if log == nil || r.disk.Failed() != nil {
		return
	}
	if _, err := log.Retain(now, r.high.Load()); err != nil {
		r.disk.complain(now, err)
		return
	}
	r.started()
	if active := log.Active(); active != r.active {
		r.rolled(active)
	}
	r.machine.Expire(now.UnixMilli())
}

// whenIdle runs f once no sync is under way; a file must not be closed below one.
func (r *Replica) whenIdle(f func()) {
	if r.syncing {
		r.idle = f
		return
	}
	f()
}

// Close saves the producer state and closes the log, as a clean stop leaves it, and
// then calls done on the shard. Who waits is told to look elsewhere.
func (r *Replica) Close(done func(error)) {
	was := state(r.state.Load())
	if was == deleted {
		done(nil)
		return
	}
	r.closeGroups()
	r.state.Store(int32(closed))
	if was != open {
		r.wakeAll()
		done(nil)
		return
	}
	r.failPending(kerr.NotLeaderForPartition)
	r.wakeAll()
	delete(r.shard.replicas, r)
	r.whenIdle(func() { done(r.close()) })
}

func (r *Replica) close() error {
	if err := r.disk.Failed(); err != nil {
		return err
	}
	log := r.log.Load()
	if err := log.Sync(); err != nil {
		r.disk.Fail(err)
		return fmt.Errorf("sync %s: %w", r.Folder(), err)
	}
	r.save()
	return log.Close()
}

// Delete removes the partition, even if this process never opened it. Who waits for it
// is told that it is gone.
func (r *Replica) Delete() {
	if state(r.state.Load()) == unknown {
		r.Settle()
	}
	r.closeGroups()
	was := state(r.state.Load())
	r.state.Store(int32(deleted))
	r.failPending(kerr.UnknownTopicOrPartition)
	r.wakeAll()
	delete(r.shard.replicas, r)
	if was != open {
		return
	}
	r.whenIdle(func() {
		if err := r.log.Load().Delete(); err != nil {
			r.shard.log.Error("cannot delete partition", "folder", r.Folder(), "error", err)
		}
	})
}

// Size is how many bytes the log takes on disk. A partition that nobody used yet is
// looked at first.
func (r *Replica) Size() int64 {
	r.Settle()
	log, err := r.Log()
	if log == nil || err != nil {
		return 0
	}
	return log.Size()
}
