// Package keyhash says in which partition a key belongs. Programs of all languages must
// agree on it, or records of one key lose their order.
//
//	Murmur2   Kafka's Java clients, and most others
//	CRC32     librdkafka, unless it is told otherwise
package keyhash

import (
	"encoding/binary"
	"hash/crc32"
)

// Partition is where Kafka's default partitioner puts a key.
func Partition(key []byte, partitions int32) int32 {
	return int32(Murmur2(key)&0x7fffffff) % partitions
}

// Consistent is where librdkafka's partitioner "consistent" puts a key.
func Consistent(key []byte, partitions int32) int32 {
	return int32(crc32.ChecksumIEEE(key) % uint32(partitions))
}

// Murmur2 is the hash that Kafka's clients agree on.
func Murmur2(data []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data)
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
