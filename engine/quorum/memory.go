package quorum

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// memory is the part of the log that raft may ask for: what is written and not yet
// applied, and a tail of what is. It belongs to the owner goroutine.
type memory struct {
	hard *raftpb.HardState
	conf *raftpb.ConfState
	// entries[0] stands for the entry before the first: only its index and term count.
	entries []*raftpb.Entry
	// snapshot makes a snapshot of what is applied, for a follower that needs older
	// entries than these.
	snapshot func() (*raftpb.Snapshot, error)
}

var _ raft.Storage = (*memory)(nil)

func newMemory(index, term uint64) *memory {
	return &memory{entries: []*raftpb.Entry{{Index: new(index), Term: new(term)}}}
}

// InitialState is part of raft.Storage.
func (m *memory) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return m.hard, raftpb.EnsureConfState(m.conf), nil
}

func (m *memory) base() uint64 { return m.entries[0].GetIndex() }
func (m *memory) last() uint64 { return m.base() + uint64(len(m.entries)) - 1 }

// FirstIndex is part of raft.Storage.
func (m *memory) FirstIndex() (uint64, error) { return m.base() + 1, nil }

// LastIndex is part of raft.Storage.
func (m *memory) LastIndex() (uint64, error) { return m.last(), nil }

// Term is part of raft.Storage.
func (m *memory) Term(index uint64) (uint64, error) {
	switch {
	case index < m.base():
		return 0, raft.ErrCompacted
	case index > m.last():
		return 0, raft.ErrUnavailable
	}
	return m.entries[index-m.base()].GetTerm(), nil
}

// Entries is part of raft.Storage. The slice is capped, so that an append by raft copies it.
func (m *memory) Entries(low, high, size uint64) ([]*raftpb.Entry, error) {
	switch {
	case low <= m.base():
		return nil, raft.ErrCompacted
	case high > m.last()+1:
		return nil, raft.ErrUnavailable
	}
	entries := m.entries[low-m.base() : high-m.base()]
	total := uint64(0)
	for n, entry := range entries {
		if total += uint64(len(entry.GetData())) + 24; n > 0 && total > size {
			entries = entries[:n]
			break
		}
	}
	return entries[:len(entries):len(entries)], nil
}

// Snapshot is part of raft.Storage.
func (m *memory) Snapshot() (*raftpb.Snapshot, error) { return m.snapshot() }

// append keeps entries that were written. It drops what it had from the first of them on.
func (m *memory) append(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	at := entries[0].GetIndex() - m.base()
	m.entries = append(m.entries[:at:at], entries...)
}

// forget drops the entries up to index. What raft still holds of them stays as it is.
func (m *memory) forget(index uint64) {
	if index <= m.base() {
		return
	}
	kept := m.entries[index-m.base():]
	fresh := make([]*raftpb.Entry, len(kept))
	copy(fresh, kept)
	fresh[0] = &raftpb.Entry{Index: kept[0].Index, Term: kept[0].Term}
	m.entries = fresh
}
