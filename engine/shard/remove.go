package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
)

// DeleteRecords moves the log start offset to offset, or to the high watermark for −1,
// durably (KIP-107).
func (r *Replica) DeleteRecords(offset int64) (start int64, err error) {
	if err := r.ready(false); err != nil {
		return -1, err
	}
	if r.disk.Failed() != nil {
		return -1, kerr.KafkaStorageError
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
		r.disk.trouble(r.shard.now, fmt.Errorf("move the start of %s: %w", r.Folder(), err))
		return -1, kerr.KafkaStorageError
	}
	r.started()
	r.shrink(func(log *commitlog.Log, limit, _ int64) (int, error) { return log.Trim(r.shard.now, limit) })
	return r.start.Load(), nil
}

// started shows where the log starts now.
func (r *Replica) started() {
	start := r.log.Load().Start()
	r.machine.SetStart(start)
	r.start.Store(start)
	if stable := r.machine.StableOffset(); stable != r.stable.Load() {
		r.publishStable(stable)
	}
}

// Retain applies retention. Who calls it for a partition that nobody used knows that
// there is something to remove: the log is opened for it.
func (r *Replica) Retain(now time.Time) {
	if r.ready(false) == nil && r.is(open) && r.disk.Failed() == nil {
		r.retain(now)
	}
}

// Rest closes the files of the log that nobody needs now.
func (r *Replica) Rest() {
	if r.is(open) {
		r.log.Load().Rest()
	}
}

func (r *Replica) retain(now time.Time) {
	r.shrink(func(log *commitlog.Log, limit, unsynced int64) (int, error) { return log.Retain(now, limit, unsynced) })
}

// shrink has the log remove what lies below limit and is not wanted, of which so many bytes may be gone after a power cut.
func (r *Replica) shrink(remove func(log *commitlog.Log, limit, unsynced int64) (int, error)) {
	log := r.log.Load()
	limit, unsynced := r.high.Load(), int64(0)
	if r.settings.Secures() { // durable records do not go for some that a power cut may take
		limit, unsynced = min(limit, r.safe.offset), r.written.bytes-r.safe.bytes
	}
	_, err := remove(log, limit, unsynced)
	r.started() // some may be gone even if not all
	if err != nil {
		err = fmt.Errorf("remove old segments of %s: %w", r.Folder(), err)
		if _, damaged := errors.AsType[*commitlog.Damage](err); damaged { // its age cannot be told; it stays
			r.disk.Damaged(r.shard.now, err)
			return
		}
		r.disk.trouble(r.shard.now, err)
		return
	}
	// What this turn has admitted is not in the log yet, and must not be in what is saved: the write at the
	// end of the turn finds the new segment, and saves.
	if active := log.Active(); active != r.active && len(r.fresh) == 0 {
		r.active = active
		r.save()
	}
}

// Delete removes the partition, even if this process never opened it or cannot. Who waits
// for it is told that it is gone. The folder has another name at once, so that a topic
// made anew under the same name, whose tasks come after this one, finds none.
func (r *Replica) Delete() {
	_ = r.join() // nobody may make the folder anew behind it
	was := state(r.state.Load())
	if was == deleted {
		return
	}
	r.closeGroups()
	r.closeTransactions()
	r.shard.ClearTimer(&r.later)
	r.state.Store(int32(deleted))
	delete(r.shard.replicas, r)
	clear(r.batches)
	r.batches, r.gathered = r.batches[:0], 0
	for i, a := range r.fresh {
		r.fresh[i] = nil
		a.end(kerr.UnknownTopicOrPartition)
	}
	r.fresh = r.fresh[:0]
	r.endVerifications(kerr.UnknownTopicOrPartition)
	r.abandon(kerr.UnknownTopicOrPartition)
	r.wakeAll()
	var err error
	switch {
	case was == open:
		// A sync may be under way, or asked for: the log knows how to end it in peace.
		err = r.log.Load().Delete()
	case was != absent && was != closed && r.disk.Failed() == nil:
		err = r.disk.Discard(r.folder(), r.topic.Settings().Log.DeleteDelay)
	}
	if err != nil {
		r.shard.log.Error("cannot delete partition; the next start moves it aside", "folder", r.Folder(), "error", err)
	}
}

// retire ends the service of the partition: what was admitted is written, synced and
// acknowledged, who waits otherwise is sent elsewhere. done is told, once no sync is under
// way, whether there is a log to be closed.
func (r *Replica) retire(done func(usable bool)) {
	_ = r.join() // what waits for the log was admitted
	was := state(r.state.Load())
	r.closeGroups()
	r.closeTransactions()
	r.endVerifications(kerr.NotLeaderForPartition)
	r.shard.ClearTimer(&r.later)
	if was == open {
		r.write()
	}
	r.state.Store(int32(closed))
	if was != open {
		r.wakeAll()
		done(false)
		return
	}
	r.idle = func() {
		r.abandon(kerr.NotLeaderForPartition)
		r.wakeAll()
		done(true)
	}
	r.sync()
	if !r.syncing {
		r.idle()
		r.idle = nil
	}
}

// Finish saves the producer state and closes the log, as a clean stop leaves it. The
// error says why the log is not clean.
//
// Ownership: whoever Shard.Retire has handed r to calls it once; r is of no use after it.
func (r *Replica) Finish() error {
	log := r.log.Load()
	if err := r.disk.Failed(); err != nil {
		log.Close() //nolint:errcheck // only to let the files go; the log is not clean and counts as such
		return err
	}
	if r.saved != log.End() {
		r.save()
	}
	last, lasts := log.Last()
	if err := log.Close(); err != nil {
		return fmt.Errorf("close %s: %w", r.Folder(), err)
	}
	r.last, r.lasts = last, lasts
	r.durable.Store(log.End())
	return nil
}
