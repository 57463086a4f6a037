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

// ready opens the log, and waits for that; create says whether to make one where there is
// none. Nobody writes to a disk that was stopped, but what was open on it can be read.
func (r *Replica) ready(create bool) error {
	if known, err := r.known(create); known {
		return err
	}
	if r.opening == nil {
		r.opening = &opening{replica: r}
	}
	return r.join()
}

// known reports whether it can be said without opening the log if it is ready, and says so.
func (r *Replica) known(create bool) (known bool, err error) {
	switch state(r.state.Load()) {
	case open:
		if create && r.disk.Failed() != nil {
			return true, kerr.KafkaStorageError
		}
		return true, nil
	case failed:
		return true, kerr.KafkaStorageError
	case closed:
		return true, kerr.NotLeaderForPartition
	case deleted:
		return true, kerr.UnknownTopicOrPartition
	case absent:
		if !create {
			return true, nil
		}
	}
	switch {
	case r.refused != nil:
		return true, r.refused
	case r.opening != nil: // it was begun for those who come now, too
		return false, nil
	case r.shard.retired:
		r.state.Store(int32(closed))
		return true, kerr.NotLeaderForPartition
	case r.disk.Failed() != nil:
		return true, kerr.KafkaStorageError
	}
	if !create {
		// Only a folder that is surely not there, and was not known to hold anything, means that
		// nothing was ever appended.
		if r.gone() {
			return false, nil
		}
		if _, err := r.disk.FS.Stat(r.Folder()); errors.Is(err, fs.ErrNotExist) {
			r.become(absent)
			return true, nil
		}
	}
	return false, nil
}

// gone reports whether the folder is not there, and was known to hold records.
func (r *Replica) gone() bool {
	p, known := r.disk.Points[r.folder()]
	if !known || p.Topic != r.ID || p.Offset == 0 {
		return false
	}
	_, err := r.disk.FS.Stat(r.Folder())
	return errors.Is(err, fs.ErrNotExist)
}

// become is the way out of unknown: from here on the shard knows of r.
func (r *Replica) become(s state) {
	r.state.Store(int32(s))
	r.whole.Store(s == open || s == absent)
	r.shard.replicas[r] = struct{}{}
}

// options are the settings that the log is told.
func (r *Replica) options(s *Settings) commitlog.Options {
	o := s.Log
	o.FS, o.Cache, o.TopicID, o.Now, o.Later = r.disk.FS, r.disk.Cache, r.ID, r.shard.clock, r.disk.later
	o.Forget = func(name string) error { return r.disk.forget(name, r.ID) }
	o.Failed = func(err error) { r.disk.Fail(fmt.Errorf("sync %s: %w", r.Folder(), err)) }
	return o
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
