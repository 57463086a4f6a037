// Package murmur2 is the partitioner "murmur2": records of one key go to one partition, the
// same one that Kafka's Java clients choose; records without a key are spread as by
// "sticky".
package murmur2

import (
	"github.com/millrace/millrace/plugins/sticky"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/keyhash"
)

func init() { sdk.Partitioners.Register("murmur2", New) }

// New has no settings.
func New(sdk.Config) (sdk.Partitioner, error) { return &Partitioner{}, nil }

// Partitioner goes by keys. The zero value is ready.
type Partitioner struct{ sticky.Partitioner }

// Partition is where the key belongs.
func (p *Partitioner) Partition(m *sdk.Placement) int32 {
	if m.Key == nil {
		return p.Partitioner.Partition(m)
	}
	return keyhash.Partition(m.Key, m.Partitions)
}
