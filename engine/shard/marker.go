package shard

import (
	"github.com/millrace/millrace/engine/partition"
)

// opens notes how many bytes lie below an offset at which a transaction may begin.
func (r *Replica) opens(offset int64) {
	bytes := r.written.bytes
	for _, p := range r.batches {
		bytes += int64(len(p))
	}
	if r.marks == nil {
		r.marks = map[int64]int64{}
	}
	r.marks[offset] = bytes
}

// publishStable shows how far the last stable offset has come, and wakes readers of
// committed records.
func (r *Replica) publishStable(stable int64) {
	bytes := r.committed.Load()
	if stable < r.high.Load() {
		bytes = max(r.marks[stable], r.stableBytes.Load()) // a transaction of before the opening has no mark
	}
	for offset := range r.marks {
		if offset < stable {
			delete(r.marks, offset)
		}
	}
	more := bytes - r.stableBytes.Load()
	r.stable.Store(stable)
	r.stableBytes.Store(bytes)
	r.notify(more, true)
}

// marking is a marker on its way into a partition.
type marking struct {
	Append
	ending partition.Ending
	done   func(error)
}

// EndTransaction appends the marker that ends a producer's transaction (any). done is called
// on the shard of r once the marker is committed, or with the reason why it is not.
func (r *Replica) EndTransaction(e partition.Ending, done func(error)) {
	m := &marking{ending: e, done: done}
	m.Replica, m.Finish = r, m
	r.shard.Post(&m.Node, (*ending)(m))
}

// ending is the task of a marking: that of the Append inside would admit it as a client's.
type ending marking

// light says that no guest writes markers: the one of the Append inside knows nothing of them.
func (t *ending) light(*Shard) bool { return false }

// Run gives the marker its place.
func (t *ending) Run(s *Shard) {
	m := (*marking)(t)
	r := m.Replica
	if r.waits(&m.Node, t, true) {
		return
	}
	if err := r.ready(true); err != nil {
		m.end(err)
		return
	}
	now := s.now.UnixMilli()
	ended, err := r.machine.EndTransaction(m.ending, now)
	if err != nil {
		m.end(err)
		return
	}
	m.required, m.duplicate = ended.End, ended.Duplicate
	if ended.Duplicate {
		r.await(&m.Append)
		return
	}
	m.Batch = m.ending.Batch(now)
	m.Batch.SetBaseOffset(ended.Base)
	m.Batch.SetLeaderEpoch(r.Epoch())
	if ended.Aborts {
		r.log.Load().Abort(ended.Aborted)
	}
	r.gather(&m.Append)
}

// Appended tells who asked. Offsets that were committed with the transaction count first.
func (m *marking) Appended(*Append) {
	if m.Err == nil {
		m.Replica.transactionEnded(m.ending.Marker)
	}
	m.done(m.Err)
}

// Producers tells what is known of idempotent producers. On the shard only.
func (r *Replica) Producers() ([]partition.Producer, error) {
	if err := r.ready(false); err != nil {
		return nil, err
	}
	if !r.is(open) {
		if _, err := r.Log(); err != nil {
			return nil, err
		}
		return nil, nil // nothing was ever appended
	}
	return r.machine.Producers(), nil
}
