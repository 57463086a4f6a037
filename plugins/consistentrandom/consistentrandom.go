// Package consistentrandom is the partitioner "consistent-random", the default of
// librdkafka and what is made of it (Python, C#, Go, PHP): records of one key go where
// CRC-32 of the key says, those without a key or with an empty one anywhere.
package consistentrandom

import (
	"math/rand/v2"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/keyhash"
)

func init() { sdk.Partitioners.Register("consistent-random", New) }

// New has no settings.
func New(sdk.Config) (sdk.Partitioner, error) { return Partitioner{}, nil }

// Partitioner goes by keys.
type Partitioner struct{}

// Partition is where the key belongs.
func (Partitioner) Partition(m *sdk.Placement) int32 {
	switch {
	case len(m.Key) > 0:
		return keyhash.Consistent(m.Key, m.Partitions)
	case len(m.Available) > 0:
		return m.Available[rand.IntN(len(m.Available))]
	default:
		return rand.Int32N(m.Partitions)
	}
}
