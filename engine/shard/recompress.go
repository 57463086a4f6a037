package shard

import (
	"sync"

	"github.com/millrace/millrace/sdk/batch"
)

// keepPacked is the most memory that a buffer keeps between batches.
const keepPacked = 256 << 10

// poison has memory overwritten when it is given back, so that a use after that shows.
const poison = raceEnabled

// packed is memory for a batch that was compressed again.
type packed struct {
	bytes  []byte
	memory batch.Memory
}

var packs = sync.Pool{New: func() any { return new(packed) }}

// Release gives the memory back.
func (p *packed) Release() {
	all := p.bytes[:cap(p.bytes)]
	if poison {
		for i := range all {
			all[i] = 0xDB
		}
	}
	if p.memory != nil {
		p.memory.Return(len(all))
	}
	p.bytes, p.memory = all[:0], nil
	if cap(all) <= keepPacked {
		packs.Put(p)
	}
}

// Recompresses reports whether a batch with this codec is stored with another one
// (compression.type).
func (s *Settings) Recompresses(c batch.Codec) bool { return s.Recompress && c != s.Codec }

// Recompress has a, which was checked but for its records, stored with the topic's codec.
// It may take long, so it is not for loops and shards. On an error nothing has changed.
//
// Ownership: the batch moves to memory of its own, which is lent by m until the append is
// written; the sender's is the sender's.
func (a *Append) Recompress(s *Settings, m batch.Memory) error {
	p := packs.Get().(*packed)
	b, err := batch.Repack(p.bytes, a.Batch, batch.RepackOptions{
		Codec: s.Codec, Level: s.Level, Keys: s.Compacted, Plain: batch.MaxPlain, MaxSize: s.MaxMessageBytes, Memory: m,
	})
	if err != nil {
		packs.Put(p)
		return err
	}
	p.bytes, p.memory = b, m
	a.Batch, a.Owner = b, p
	return nil
}

// Rebuild has a stored as build makes it. Build is given memory to use, and answers a batch
// in it or in what that grew to; rebuilt is false for the batch as it is. It may take long,
// so it is not for loops and shards. On an error nothing has changed.
//
// Ownership: as with Recompress; what the result takes was borrowed from m.
func (a *Append) Rebuild(m batch.Memory, build func(into []byte) (b batch.Batch, rebuilt bool, err error)) error {
	p := packs.Get().(*packed)
	b, rebuilt, err := build(p.bytes)
	if err != nil || !rebuilt {
		packs.Put(p)
		return err
	}
	p.bytes, p.memory = b, m
	a.Batch, a.Owner, a.Thinned = b, p, true
	return nil
}
