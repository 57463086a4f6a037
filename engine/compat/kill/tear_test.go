package main

import (
	"encoding/binary"
	"testing"
)

// whole is a batch of one record as far as walk looks at it.
func whole(offset int64, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[8:], uint32(size-12))
	b[16] = 2
	return b
}

func TestWalk(t *testing.T) {
	log := append(whole(5, 100), whole(6, 70)...)
	for name, test := range map[string]struct {
		segment   []byte
		end, next int64
	}{
		"empty":             {nil, 0, 0},
		"whole":             {log, 170, 7},
		"zeros at the end":  {append(log[:170:170], make([]byte, 500)...), 170, 7},
		"noise at the end":  {append(log[:170:170], noise(1, 500)...), 170, 7},
		"half at the end":   {append(log[:170:170], half(7, 1, 300)...), 170, 7},
		"cut in the middle": {log[:120], 100, 6},
	} {
		t.Run(name, func(t *testing.T) {
			if end, next := walk(test.segment); end != test.end || next != test.next {
				t.Errorf("ends at %d before offset %d, want %d and %d", end, next, test.end, test.next)
			}
		})
	}
}
