// Package kinds has the plugins for clients of guest/rust/examples in
// Go: the same plugins natively, as modules from Go and as modules from Rust, to be compared.
package kinds

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/sdk"
)

func init() {
	sdk.Partitioners.Register("first-byte", NewPartitioner)
	sdk.Assignors.Register("deal", NewAssignor)
	sdk.Serializers[Temperature]().Register("temperature", func(c sdk.Config) (sdk.Serializer[Temperature], error) { return NewFormat(c), nil })
	sdk.Deserializers[Temperature]().Register("temperature", func(c sdk.Config) (sdk.Deserializer[Temperature], error) { return NewFormat(c), nil })
}

// Partitioner chooses partitions by the first byte of the key. Records without a key stay with
// a partition until it has a batch.
type Partitioner struct{ next atomic.Uint32 }

// NewPartitioner makes one, which begins at the partition "first".
func NewPartitioner(c sdk.Config) (sdk.Partitioner, error) {
	p := &Partitioner{}
	p.next.Store(uint32(c.Int("first", 0)))
	return p, nil
}

// Partition chooses.
func (p *Partitioner) Partition(at *sdk.Placement) int32 {
	if len(at.Key) == 0 {
		return int32(p.next.Load() % uint32(at.Partitions))
	}
	return int32(at.Key[0]) % at.Partitions
}

// OnNewBatch goes on to the next partition.
func (p *Partitioner) OnNewBatch(string, int32) { p.next.Add(1) }

// Temperature counts thousandths of a degree.
type Temperature int32

// Format is a temperature as records hold it: four bytes.
type Format struct{ header string }

// NewFormat makes one, which names the unit in a header if "header" says which.
func NewFormat(c sdk.Config) Format { return Format{c.String("header", "")} }

var errCold = errors.New("there is no such temperature")

const absoluteZero = -273_150

// Append appends v to dst.
func (f Format) Append(dst []byte, _ string, headers *[]sdk.Header, v Temperature) ([]byte, error) {
	if v < absoluteZero {
		return nil, errCold
	}
	if f.header != "" {
		*headers = append(*headers, sdk.Header{Key: f.header, Value: []byte("mC")})
	}
	return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
}

var errSize = errors.New("a temperature has four bytes")

// Decode makes a temperature of data.
func (Format) Decode(_ string, _ []sdk.Header, data []byte) (Temperature, error) {
	if len(data) != 4 {
		return 0, errSize
	}
	return Temperature(binary.BigEndian.Uint32(data)), nil
}

// Assignor deals the partitions of each topic out in turn.
type Assignor struct{}

// NewAssignor makes one.
func NewAssignor(sdk.Config) (sdk.Assignor, error) { return Assignor{}, nil }

// Name is the name on the wire.
func (Assignor) Name() string { return "deal" }

// Protocol is eager.
func (Assignor) Protocol() sdk.RebalanceProtocol { return sdk.Eager }

// UserData is how many partitions the member has.
func (Assignor) UserData(_ []string, owned []sdk.TopicPartition) []byte {
	return []byte{byte(len(owned))}
}

// Assign deals.
func (Assignor) Assign(members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	dealt := make(map[string][]sdk.TopicPartition)
	for _, m := range members {
		dealt[m.ID] = nil
	}
	turn := 0
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		var takers []string
		for _, m := range members {
			if slices.Contains(m.Topics, topic) {
				takers = append(takers, m.ID)
			}
		}
		for p := range partitions[topic] {
			if len(takers) > 0 {
				id := takers[turn%len(takers)]
				dealt[id] = append(dealt[id], sdk.TopicPartition{Topic: topic, Partition: p})
				turn++
			}
		}
	}
	return dealt, nil
}
