package sdktest

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

var noProducer = batch.NoProducer()

// PartitionerOptions say what a partitioner promises besides its contract.
type PartitionerOptions struct {
	// ByKey is set when records of one key go to one partition, as long as there are as many.
	ByKey bool
	// Allocations is how often one choice may allocate. Zero: 64.
	Allocations float64
}

// Partitioner holds a partitioner to its contract: partitions that exist, whatever the key,
// from many goroutines at a time, with few allocations.
func Partitioner(t T, create func() sdk.Partitioner, o PartitionerOptions) {
	t.Helper()
	p := create()
	for _, partitions := range []int32{1, 2, 3, 7, 64, 1000} {
		checkPartitions(t, p, partitions, o)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 500 {
				place := placement(fmt.Appendf(nil, "%d-%d", n, i), 5, 5)
				if got := p.Partition(place); got < 0 || got >= 5 {
					t.Errorf("from many goroutines, partition %d of 5 was chosen", got)
				}
				if l, ok := p.(sdk.BatchListener); ok && i%10 == 0 {
					l.OnNewBatch("orders", int32(i%5))
				}
			}
		})
	}
	all.Wait()
	at := placement([]byte("key"), 64, 64)
	checkBudget(t, "choosing a partition", o.Allocations, func() { _ = p.Partition(at) })
}

func placement(key []byte, partitions, available int32) *sdk.Placement {
	p := &sdk.Placement{Topic: "orders", Key: key, Value: []byte("value"), Partitions: partitions, LeaderRack: func(int32) string { return "" }}
	for i := range available {
		p.Available = append(p.Available, i)
	}
	return p
}

func checkPartitions(t T, p sdk.Partitioner, partitions int32, o PartitionerOptions) {
	t.Helper()
	for _, available := range []int32{partitions, partitions / 2, 0} {
		for _, key := range [][]byte{nil, {}, []byte("a"), []byte("another key"), bytes.Repeat([]byte{0xff}, 1000)} {
			first := p.Partition(placement(key, partitions, available))
			if first < 0 || first >= partitions {
				t.Errorf("of %d partitions, %d of them available, it chooses %d for the key %.20q", partitions, available, first, key)
			}
			if again := p.Partition(placement(bytes.Clone(key), partitions, available)); o.ByKey && key != nil && again != first {
				t.Errorf("of %d partitions it chooses %d for the key %.20q, then %d", partitions, first, key, again)
			}
		}
	}
}

// SerializerOptions say what a serializer promises besides its contract.
type SerializerOptions struct {
	// Allocations is how often one value may allocate, there and back: one with a list of a
	// thousand may need a thousand. Zero: 64.
	Allocations float64
}

// Serializer holds a serializer and the deserializer of the same type to their contracts:
// values come back as they were, what was in the buffer stays, nothing is kept, and a value costs
// at most 64 allocations, there and back.
func Serializer[V any](t T, s sdk.Serializer[V], d sdk.Deserializer[V], values ...V) {
	t.Helper()
	SerializerWith(t, SerializerOptions{}, s, d, values...)
}

// SerializerWith is Serializer of one that promises something else.
func SerializerWith[V any](t T, o SerializerOptions, s sdk.Serializer[V], d sdk.Deserializer[V], values ...V) {
	t.Helper()
	for i, v := range values {
		var headers []sdk.Header
		prefix := []byte("before")
		data, err := s.Append(bytes.Clone(prefix), "orders", &headers, v)
		if err != nil {
			t.Errorf("value %d is not serialized: %v", i, err)
			continue
		}
		if data == nil { // null
			got, err := d.Decode("orders", headers, nil)
			if err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("value %d became null, and null %v: %v", i, got, err)
			}
			continue
		}
		if !bytes.HasPrefix(data, prefix) {
			t.Errorf("value %d: what was in the buffer is gone", i)
			continue
		}
		encoded := bytes.Clone(data[len(prefix):])
		got, err := d.Decode("orders", headers, encoded)
		for n := range encoded {
			encoded[n] = 0xaa // it belongs to whoever reads
		}
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("value %d was %v and came back as %v: %v", i, v, got, err)
		}
	}
	for _, r := range hostile() {
		decode(t, d, r.Value)
	}
	checkSerializerBudget(t, o.Allocations, s, d, values...)
}

// checkSerializerBudget counts what one value costs, there and back.
func checkSerializerBudget[V any](t T, most float64, s sdk.Serializer[V], d sdk.Deserializer[V], values ...V) {
	t.Helper()
	for i, v := range values {
		var headers []sdk.Header
		data, err := s.Append(nil, "orders", &headers, v)
		if err != nil || data == nil {
			continue
		}
		buffer := make([]byte, 0, 2*len(data))
		checkBudget(t, fmt.Sprintf("serializing value %d and back", i), most, func() {
			headers = headers[:0]
			buffer, _ = s.Append(buffer[:0], "orders", &headers, v)
			_, _ = d.Decode("orders", headers, data)
		})
	}
}

// decode must not panic, whatever the bytes are.
func decode[V any](t T, d sdk.Deserializer[V], data []byte) {
	t.Helper()
	defer func() {
		if cause := recover(); cause != nil {
			t.Errorf("it panics at %.40q: %v", data, cause)
		}
	}()
	if v, err := d.Decode("orders", nil, data); err == nil {
		_ = v
	}
}
