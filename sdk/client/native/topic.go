package native

import (
	"math/rand/v2"
	"sync/atomic"
)

// Topic is what is known of a topic at a moment. Read only.
type Topic struct {
	Name       string
	Partitions int32
	Available  []int32            // those that have a leader, ascending
	LeaderRack func(int32) string // "": not known
	Sticky     *Sticky            // of all moments

	parts []*partition
}

// NewTopic is a topic for another engine: racks are those of its partitions' leaders.
func NewTopic(name string, available []int32, racks []string, before *Topic) *Topic {
	t := &Topic{Name: name, Partitions: int32(len(racks)), Available: available, Sticky: new(Sticky)}
	if before != nil {
		t.Sticky = before.Sticky
	}
	t.LeaderRack = func(partition int32) string {
		if partition < 0 || int(partition) >= len(racks) {
			return ""
		}
		return racks[partition]
	}
	return t
}

// Sticky is the partition that records without a key go to until it has got as much as a
// batch holds, then another one drawn from those with a leader (KIP-794). What makes
// batches full also spreads records evenly. Any goroutine.
type Sticky struct {
	state atomic.Uint32 // partition + 1
}

// Partition is where the next record goes.
func (s *Sticky) Partition(t *Topic) int32 {
	if at := int32(s.state.Load()) - 1; at >= 0 && at < t.Partitions {
		return at
	}
	return s.begin(t)
}

func (s *Sticky) begin(t *Topic) int32 {
	for {
		state := s.state.Load()
		if at := int32(state) - 1; at >= 0 && at < t.Partitions {
			return at
		}
		s.state.CompareAndSwap(state, s.draw(t))
	}
}

func (s *Sticky) draw(t *Topic) uint32 {
	if n := len(t.Available); n > 0 {
		return uint32(t.Available[rand.IntN(n)]) + 1
	}
	return uint32(rand.Int32N(t.Partitions)) + 1
}

// Next goes on to another partition, when that one has got enough.
func (s *Sticky) Next(t *Topic, partition int32) {
	state := s.state.Load()
	if state == uint32(partition)+1 { // else somebody went on before
		s.state.CompareAndSwap(state, s.draw(t))
	}
}
