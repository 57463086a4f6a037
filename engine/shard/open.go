package shard

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// ready opens the log; create says whether to make one where there is none. Nobody
// writes to a disk that was stopped, but what was open on it can be read.
func (r *Replica) ready(create bool) error {
	switch state(r.state.Load()) {
	case open:
		if create && r.disk.Failed() != nil {
			return kerr.KafkaStorageError
		}
		return nil
	case failed:
		return kerr.KafkaStorageError
	case closed:
		return kerr.NotLeaderForPartition
	case deleted:
		return kerr.UnknownTopicOrPartition
	case absent:
		if !create {
			return nil
		}
	}
	if r.shard.retired {
		r.state.Store(int32(closed))
		return kerr.NotLeaderForPartition
	}
	if r.disk.Failed() != nil {
		return kerr.KafkaStorageError
	}
	if !create {
		// Only a folder that is surely not there means that nothing was ever appended.
		if _, err := r.disk.FS.Stat(r.Folder()); errors.Is(err, fs.ErrNotExist) {
			r.become(absent)
			return nil
		}
	}
	return r.tryOpen()
}

// become is the way out of unknown: from here on the shard knows of r.
func (r *Replica) become(s state) {
	r.state.Store(int32(s))
	r.whole.Store(s == open || s == absent)
	r.shard.replicas[r] = struct{}{}
}

// tryOpen opens the log. What failed for a reason that may pass is tried again by the
// next who asks.
func (r *Replica) tryOpen() error {
	err := r.open()
	if errors.Is(err, commitlog.ErrForeign) {
		// What a deleted topic of the same name has left: the broker died before it could
		// take it away.
		if err = r.disk.Estrange(r.folder(), "another topic had the name before"); err == nil {
			err = r.open()
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, commitlog.ErrSync):
		r.disk.Fail(fmt.Errorf("open %s: %w", r.Folder(), err))
		return kerr.KafkaStorageError
	case passing(err):
		r.disk.complain(r.shard.now, "cannot open a partition; the next request tries again", err)
		return kerr.KafkaStorageError
	}
	r.shard.log.Error("cannot open partition", "topic", r.Topic, "partition", r.Index, "folder", r.Folder(), "error", err)
	r.become(failed)
	return kerr.KafkaStorageError
}

// options are the settings that the log is told.
func (r *Replica) options(s *Settings) commitlog.Options {
	o := s.Log
	o.FS, o.Cache, o.TopicID, o.Now, o.Later = r.disk.FS, r.disk.Cache, r.ID, r.shard.clock, r.disk.later
	o.Forget = func(name string) error { return r.disk.forget(name, r.ID) }
	return o
}

// open opens the log and brings the machine to where it ended.
func (r *Replica) open() error {
	if err := r.disk.Refusal(r.folder(), r.ID); err != nil {
		return err
	}
	s := r.topic.Settings()
	log, err := commitlog.Open(r.Folder(), r.options(s), r.disk.recovery(r, r.shard.log))
	if err != nil {
		return err
	}
	o := s.Partition
	o.Start, o.End, o.Epoch, o.Now = log.Start(), log.End(), r.Epoch(), r.shard.now.UnixMilli()
	machine, saved, err := restore(log, o)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	r.settings, r.machine, r.saved = s, machine, saved
	r.active = log.Active()
	// What Open has found is durable: after an unclean stop it was synced again.
	r.written = mark{log.End(), log.Size(), 0}
	r.promised, r.safe = r.written, r.written
	r.log.Store(log)
	r.start.Store(log.Start())
	r.high.Store(machine.HighWatermark())
	r.committed.Store(r.written.bytes)
	r.durable.Store(log.End())
	r.stable.Store(machine.StableOffset())
	if r.settledTo.Store(0); machine.StableOffset() == machine.HighWatermark() {
		r.settledTo.Store(r.written.bytes)
	}
	r.become(open)
	return nil
}

// restore rebuilds the producers from the last snapshot and the batches behind it, and
// answers the offset of the snapshot, −1 when there is none.
func restore(log *commitlog.Log, o partition.Options) (_ *partition.Partition, from int64, _ error) {
	from, saved, err := log.Snapshot()
	if err != nil {
		return nil, -1, fmt.Errorf("read producer snapshot: %w", err)
	}
	machine := partition.New(o)
	if saved == nil || from < log.Oldest() || machine.Restore(saved) != nil {
		// Where batches behind a snapshot are gone it must not be used: a producer that goes on
		// behind them would be told that it left some out.
		machine, from = partition.New(o), -1
	}
	for _, a := range machine.Restored() {
		log.Recover(a)
	}
	// From below the start, too: deleted records have moved their producers on.
	err = log.Headers(from, func(header batch.Batch) error {
		if a, ok := machine.Replay(header); ok {
			log.Recover(a)
		}
		return nil
	})
	if err == nil {
		err = log.Recovered()
	}
	if err != nil {
		return nil, -1, fmt.Errorf("rebuild producer state: %w", err)
	}
	return machine, from, nil
}
