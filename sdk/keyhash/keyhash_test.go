package keyhash

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMurmur2IsKafkas(t *testing.T) {
	// From Kafka's own UtilsTest.
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(Murmur2([]byte(key))); got != want {
			t.Errorf("Murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionIsFranzGos(t *testing.T) {
	other := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for _, key := range []string{"", "a", "ab", "abc", "abcd", "é", "a-little-bit-longer-string"} {
		for _, partitions := range []int32{1, 2, 3, 7, 100} {
			want := int32(other.Partition(&kgo.Record{Key: []byte(key)}, int(partitions)))
			if got := Partition([]byte(key), partitions); got != want {
				t.Errorf("%q of %d: %d, want %d", key, partitions, got, want)
			}
		}
	}
}

// The check value of CRC-32 is 0xcbf43926, librdkafka's consistent partitioner takes it
// modulo the partitions.
func TestConsistentIsLibrdkafkas(t *testing.T) {
	for partitions, want := range map[int32]int32{1: 0, 7: int32(uint32(0xcbf43926) % 7), 1000: int32(uint32(0xcbf43926) % 1000)} {
		if got := Consistent([]byte("123456789"), partitions); got != want {
			t.Errorf("of %d: %d, want %d", partitions, got, want)
		}
	}
}
