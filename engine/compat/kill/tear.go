package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
)

// tear leaves at the end of a partition's log what a power cut could have left there: bytes of a write that did not
// happen whole. It does so in a third of the rounds, while the broker is not running.
func (l *loop) tear() error {
	kind := l.random.IntN(9)
	partition := l.random.IntN(l.partitions)
	size := 1 + l.random.IntN(1500)
	seed := l.random.Uint32()
	if kind > 2 {
		return nil
	}
	segments, err := filepath.Glob(filepath.Join(l.dir, "data", fmt.Sprintf("%s-%d", topic, partition), "*.log"))
	if err != nil || len(segments) == 0 {
		return fmt.Errorf("tear a tail: partition %d has %d segments: %w", partition, len(segments), err)
	}
	sort.Strings(segments)
	path := segments[len(segments)-1]
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("tear a tail: %w", err)
	}
	end, next := walk(text)
	if end == 0 { // an empty segment is named for the offset that is due
		if _, err := fmt.Sscanf(filepath.Base(path), "%d.log", &next); err != nil {
			return fmt.Errorf("tear a tail: %w", err)
		}
	}
	var torn []byte
	switch kind {
	case 0:
		torn = make([]byte, size)
	case 1:
		torn = noise(seed, size)
	case 2:
		torn = half(next, seed, size)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("tear a tail: %w", err)
	}
	if _, err := f.WriteAt(torn, end); err != nil {
		return fmt.Errorf("tear a tail: %w", err)
	}
	l.torn++
	return f.Close()
}

// walk answers where the last whole batch of a segment ends, and the offset that comes next.
func walk(segment []byte) (end, next int64) {
	const prefix, header = 12, 61
	for int64(len(segment)) >= end+header {
		b := segment[end:]
		size := prefix + int64(binary.BigEndian.Uint32(b[8:]))
		if b[16] != 2 || size < header || size > int64(len(b)) {
			break
		}
		next = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
		end += size
	}
	return end, next
}

// half is the beginning of a batch that says it is larger than it is: the offset that is due, a good header, no end.
func half(next int64, seed uint32, size int) []byte {
	b := noise(seed, 61+size)
	binary.BigEndian.PutUint64(b, uint64(next))
	binary.BigEndian.PutUint32(b[8:], uint32(61-12+size+1000))
	binary.BigEndian.PutUint32(b[12:], 0) // leader epoch
	b[16] = 2                             // magic
	return b
}

// noise is bytes that mean nothing, the same for the same seed.
func noise(seed uint32, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return b
}
