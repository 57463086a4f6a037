// Package zoneaware is the partitioner "zone-aware": records without a key stay in the
// producer's zone, with partitions whose leader has the rack client.rack, as long as there
// are some; among them it is "sticky". Records with a key go where Kafka's Java clients
// put them, for their order counts more.
package zoneaware

import (
	"github.com/millrace/millrace/plugins/sticky"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/keyhash"
)

func init() { sdk.Partitioners.Register("zone-aware", New) }

// New reads the rack that is preferred, which is client.rack when it is not given.
func New(c sdk.Config) (sdk.Partitioner, error) {
	p := &Partitioner{rack: c.String("rack", "")}
	if p.rack == "" {
		c.Wrong("rack", "set client.rack to the rack that the producer is in")
	}
	return p, nil
}

// Partitioner prefers a rack.
type Partitioner struct {
	sticky.Partitioner
	rack string
}

// Partition is one that is led in the rack.
func (p *Partitioner) Partition(m *sdk.Placement) int32 {
	if m.Key != nil {
		return keyhash.Partition(m.Key, m.Partitions)
	}
	var memory [64]int32
	near := memory[:0]
	for _, at := range m.Available {
		if m.LeaderRack(at) == p.rack {
			near = append(near, at)
		}
	}
	if len(near) == 0 {
		near = m.Available
	}
	return p.Among(m, near)
}
