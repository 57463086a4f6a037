// Package sticky is the partitioner "sticky": it stays with one partition until a batch of
// it is full, and then goes on to another that has a leader, drawn at random (KIP-794). It
// does not look at keys.
package sticky

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/plugins/topics"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Partitioners.Register("sticky", New) }

// New has no settings.
func New(sdk.Config) (sdk.Partitioner, error) { return &Partitioner{}, nil }

// Partitioner stays with a partition. The zero value is ready.
type Partitioner struct {
	at topics.Each[atomic.Int32] // partition + 1
}

// Partition is the one that it stays with, as long as that has a leader.
func (p *Partitioner) Partition(m *sdk.Placement) int32 { return p.Among(m, m.Available) }

// Among is Partition, but keeps to some of the partitions, ascending; none: all.
func (p *Partitioner) Among(m *sdk.Placement, some []int32) int32 {
	at := p.at.Of(m.Topic)
	now := at.Load()
	if now > 0 && now <= m.Partitions {
		if _, found := slices.BinarySearch(some, now-1); found || len(some) == 0 {
			return now - 1
		}
	}
	var next int32
	if len(some) > 0 {
		next = some[rand.IntN(len(some))]
	} else {
		next = rand.Int32N(m.Partitions)
	}
	at.CompareAndSwap(now, next+1)
	return next
}

// OnNewBatch has it draw another partition with the next record.
func (p *Partitioner) OnNewBatch(topic string, partition int32) {
	p.at.Of(topic).CompareAndSwap(partition+1, 0)
}
