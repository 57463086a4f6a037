// Package roundrobin is the partitioner "round-robin": each record goes to the next
// partition that has a leader, whatever its key.
package roundrobin

import (
	"sync/atomic"

	"github.com/millrace/millrace/plugins/topics"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Partitioners.Register("round-robin", New) }

// New has no settings.
func New(sdk.Config) (sdk.Partitioner, error) { return &Partitioner{}, nil }

// Partitioner takes partitions in turn. The zero value is ready.
type Partitioner struct {
	turn topics.Each[atomic.Uint32]
}

// Partition is the next one.
func (p *Partitioner) Partition(m *sdk.Placement) int32 {
	turn := p.turn.Of(m.Topic).Add(1) - 1
	if n := uint32(len(m.Available)); n > 0 {
		return m.Available[turn%n]
	}
	return int32(turn % uint32(m.Partitions))
}
