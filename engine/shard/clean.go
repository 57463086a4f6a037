package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/commitlog"
)

// Cleaning begins to look at the log as one that is compacted, nil where there is none. With
// producers it may also be run; else it only measures. The cleaner's goroutine has it then,
// and meets the shard again in the swap of segments alone. On the shard only.
func (r *Replica) Cleaning(o commitlog.CleanOptions, producers bool) *commitlog.Cleaning {
	if r.ready(false) != nil || !r.is(open) || r.disk.Failed() != nil {
		return nil
	}
	if producers {
		o.Last = map[int64]commitlog.LastSent{}
		r.machine.LastSent(func(id, offset int64, epoch int16) { o.Last[id] = commitlog.LastSent{Offset: offset, Epoch: epoch} })
	}
	o.Swap = r.swap
	return r.log.Load().NewCleaning(min(r.high.Load(), r.machine.StableOffset()), o)
}

// swap runs f on the shard, while the log is open (any).
func (r *Replica) swap(f func() error) (err error) {
	ran := r.shard.Wait(func() {
		if err = commitlog.ErrClosed; r.is(open) {
			err = f()
		}
	})
	if !ran {
		return commitlog.ErrClosed
	}
	return err
}

// Uncleanable decides what an error of a cleaning means, and reports whether the log is not
// to be cleaned again before somebody has looked at it: it is damaged. A disk that
// fails is stopped, one that is full is waited for (any).
func (r *Replica) Uncleanable(now time.Time, err error) bool {
	damage := (*commitlog.Damage)(nil)
	switch {
	case commitlog.Overtaken(err):
		return false
	case errors.As(err, &damage) || commitlog.Unreadable(err):
		r.disk.Log.Error("cannot compact a log; it keeps its records until the next start", "folder", r.Folder(), "error", err)
		return true
	}
	r.disk.trouble(now, fmt.Errorf("compact %s: %w", r.Folder(), err))
	return false
}
