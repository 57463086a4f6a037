package shard

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/label"
)

// gather takes an admitted batch for the write at the end of the turn.
func (r *Replica) gather(a *Append) {
	if len(r.fresh) == 0 {
		r.shard.touched = append(r.shard.touched, r)
	}
	r.fresh = append(r.fresh, a)
	r.batches = append(r.batches, a.Batch)
	r.gathered += int64(len(a.Batch))
}

// await parks a repeated append until the high watermark reaches the first.
func (r *Replica) await(a *Append) {
	switch {
	case len(r.fresh) > 0:
		r.fresh = append(r.fresh, a) // keeps its place behind those it may repeat
	case a.required <= r.high.Load() && r.pending.len() == 0:
		a.end(nil)
	default:
		r.park(a)
	}
}

func (r *Replica) park(a *Append) {
	r.pending.push(a)
	r.shard.produces.Add(1)
}

// unpark takes the oldest parked append out.
func (r *Replica) unpark() {
	r.pending.pop()
	r.shard.produces.Add(-1)
}

// write appends all that was gathered with one write, and has it made durable.
func (r *Replica) write() {
	if len(r.fresh) == 0 {
		return // deleted, or written already, since it was gathered
	}
	log := r.log.Load()
	before := r.written
	err := log.Append(r.batches, r.shard.now)
	r.written.bytes += r.gathered
	r.gathered = 0
	r.written.batches += int64(len(r.batches))
	clear(r.batches)
	r.batches = r.batches[:0]
	if err != nil {
		r.written = before
		r.refuse(err)
		return
	}
	r.written.offset = log.End()
	for i, a := range r.fresh {
		r.fresh[i] = nil
		a.release()
		r.park(a)
	}
	r.fresh = r.fresh[:0]
	r.machine.Written(r.written.offset)
	if active := log.Active(); active != r.active {
		r.active = active
		r.save()
	}
	if r.disk.Failed() != nil { // since they were admitted, and nobody else may tell them
		r.abandon(kerr.KafkaStorageError)
		return
	}
	r.publish()
	r.secure()
}

// secure has what was written made durable, as soon as its settings want it: at once when
// somebody waits for that or enough has gathered, or within an interval of the first write
// that no sync was asked for.
func (r *Replica) secure() {
	s := r.settings
	unsynced := r.written.offset - r.promised.offset
	switch {
	case unsynced <= 0:
		return
	case s.Commit || r.idle != nil || s.FlushRecords > 0 && unsynced >= s.FlushRecords:
		r.sync()
		return
	case s.FlushEvery <= 0:
		return
	}
	if r.due.IsZero() {
		r.due = dueBy(r.shard.now, s.FlushEvery)
	}
	switch {
	case r.syncing: // its end looks here again
	case !r.shard.now.Before(r.due):
		r.sync()
	case r.later.index == 0:
		r.later.Task = (*intervalSync)(r)
		r.shard.SetTimer(&r.later, r.due)
	}
}

// dueBy is when a sync has to begin of what is written now. Partitions that are written to at
// about the same time have the same moment, half an interval early at most, so that they
// share a round of the journal.
func dueBy(now time.Time, every time.Duration) time.Time {
	due := now.Add(every)
	return due.Add(-time.Duration(due.UnixNano() % max(int64(every/2), 1)))
}

// intervalSync is the end of an interval in which something was written.
type intervalSync Replica

// Run asks for the sync.
func (i *intervalSync) Run(*Shard) {
	if r := (*Replica)(i); r.is(open) {
		r.secure()
	}
}

// refuse undoes what could not be written. A batch that repeats one which was written
// before keeps waiting for that.
func (r *Replica) refuse(err error) {
	r.disk.trouble(r.shard.now, fmt.Errorf("write to %s: %w", r.Folder(), err))
	r.machine.Undo(r.written.offset)
	for i, a := range r.fresh {
		r.fresh[i] = nil
		if a.duplicate && a.required <= r.written.offset {
			r.park(a)
			continue
		}
		a.end(kerr.KafkaStorageError)
	}
	r.fresh = r.fresh[:0]
	if r.disk.Failed() != nil && !r.syncing {
		r.abandon(kerr.KafkaStorageError)
	}
	r.answerPending()
}

// save keeps the producer state, once for every segment and at a clean stop, so that
// opening the log need not read more than one.
func (r *Replica) save() {
	log := r.log.Load()
	end := log.End()
	if err := log.WriteSnapshot(end, r.machine.Snapshot(nil, log.LooseAborted()...)); err != nil {
		r.shard.log.Warn("cannot save producer state; the next start reads it from the log", "topic", r.Topic, "partition", r.Index, "error", err)
		return
	}
	r.saved = end
}

// sync has the log made durable as far as it is written, unless that is under way: then
// the next one follows it.
func (r *Replica) sync() {
	if r.syncing || r.promised.offset >= r.written.offset {
		return
	}
	if r.disk.Failed() != nil {
		r.abandon(kerr.KafkaStorageError)
		return
	}
	r.syncing = true
	r.due = time.Time{}
	r.shard.ClearTimer(&r.later)
	r.promised = r.written
	r.asked = r.shard.clock()
	r.request.Labels, r.rolled.Labels = nil, nil
	if label.On() {
		r.request.Labels = r.topic.ProduceLabels()
		r.rolled.Labels = r.request.Labels
	}
	if r.settings.Commit && r.disk.Cache != nil {
		r.disk.Cache.Awaited()
	}
	if r.log.Load().Commit(&r.request, &r.rolled) {
		r.done.left.Store(2)
		r.disk.Syncer.Sync(&r.rolled)
	} else {
		r.done.left.Store(1)
	}
	r.disk.Syncer.Sync(&r.request)
}

// synced brings the end of a sync back to the shard.
type synced struct {
	Node
	replica *Replica
	left    atomic.Int32 // files that are not synced yet
	failed  [2]error     // why the active segment and the one before it were not
	err     error
}

// active and rolled are the ends of the two requests, on the syncer's goroutines.
func (d *synced) active(_ *diskio.Request, err error) { d.post(&d.failed[0], err) }
func (d *synced) rolled(_ *diskio.Request, err error) { d.post(&d.failed[1], err) }

// post hands over to the shard, when it is the last of the two.
func (d *synced) post(failed *error, err error) {
	*failed = err
	if d.left.Add(-1) > 0 {
		return
	}
	r := d.replica
	d.err = d.failed[0]
	if d.failed[1] != nil && (d.err == nil || errors.Is(d.err, os.ErrClosed)) { // that says nothing of the disk
		d.err = d.failed[1]
	}
	if d.err == nil {
		r.shard.flushed(r.shard.clock().Sub(r.asked), int(r.promised.batches-r.safe.batches))
	}
	// Among many that were synced together the shard's own goroutine answers while the syncer
	// goes on; a few are answered sooner than it wakes up.
	if r.request.Together <= fewTogether {
		r.shard.Return(&d.Node, d)
	} else {
		r.shard.Post(&d.Node, d)
	}
}

// fewTogether is how many are answered by the syncer itself.
const fewTogether = 4

// Run moves the high watermark, and syncs what came meanwhile.
func (d *synced) Run(*Shard) {
	r := d.replica
	if label.On() {
		label.Set(r.topic.ProduceLabels())
	}
	r.syncing = false
	r.request.File, r.rolled.File = nil, nil
	d.failed = [2]error{}
	if !r.is(deleted) {
		r.synced(d.err)
	}
	if r.idle != nil && !r.syncing {
		r.idle()
		r.idle = nil
	}
}

func (r *Replica) synced(err error) {
	switch {
	case errors.Is(err, os.ErrClosed):
		r.abandon(kerr.NotLeaderForPartition) // nobody asks after the syncer has closed; still no fault of the disk
		return
	case err != nil:
		r.disk.Fail(fmt.Errorf("sync %s: %w", r.Folder(), err))
	}
	if r.disk.Failed() != nil {
		r.abandon(kerr.KafkaStorageError)
		r.wakeAll()
		return
	}
	r.log.Load().Committed()
	r.safe = r.promised
	r.durable.Store(r.promised.offset)
	r.machine.Synced(r.promised.offset)
	r.publish()
	r.secure()
}

// publish shows how far the high watermark has come, wakes readers and answers those who
// wait for it.
func (r *Replica) publish() {
	if high := r.machine.HighWatermark(); high > r.high.Load() {
		// It is where the log ends, or where the last sync has brought it.
		bytes := r.written.bytes
		if high < r.written.offset {
			bytes = r.promised.bytes
		}
		more := bytes - r.committed.Load()
		r.high.Store(high)
		r.committed.Store(bytes)
		r.notify(more, false)
	}
	if stable := r.machine.StableOffset(); stable != r.stable.Load() {
		r.publishStable(stable)
	}
	r.answerPending()
}

// answerPending tells those whose batches lie below the high watermark now.
func (r *Replica) answerPending() {
	high := r.high.Load()
	for a := r.pending.first(); a != nil && a.required <= high; a = r.pending.first() {
		r.unpark()
		a.end(nil)
	}
}

// abandon gives up everything that waits to be committed.
func (r *Replica) abandon(err error) {
	for a := r.pending.first(); a != nil; a = r.pending.first() {
		r.unpark()
		a.end(err)
	}
}
