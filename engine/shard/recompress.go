package shard

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// maxPlain bounds what the records of one batch may become when they are decompressed,
// so that a small batch cannot take all memory.
const maxPlain = 256 << 20

// keepPlain is the most memory that a buffer keeps between batches.
const keepPlain = 4 << 20

// packed is memory for a batch that was compressed again.
type packed struct {
	bytes []byte
}

var (
	packs  = sync.Pool{New: func() any { return new(packed) }}
	plains = sync.Pool{New: func() any { return new([]byte) }}
)

// Release gives the memory back.
func (p *packed) Release() {
	if cap(p.bytes) <= keepPlain {
		packs.Put(p)
	}
}

// recompress has the batch stored with the topic's codec where the producer's does not
// count (compression.type). On an error nothing has changed.
//
// Ownership: the batch moves to memory of its own, and the sender's is released.
func (a *Append) recompress(s *Settings) error {
	if !s.Recompress || a.Batch.Codec() == s.Codec {
		return nil
	}
	records := []byte(a.Batch[batch.HeaderSize:])
	if a.Batch.Codec() != batch.None {
		plain := plains.Get().(*[]byte)
		defer func() {
			if cap(*plain) <= keepPlain {
				plains.Put(plain)
			}
		}()
		var err error
		if *plain, err = batch.Decompress((*plain)[:0], a.Batch.Codec(), records, maxPlain); err != nil {
			return kerr.InvalidRecord
		}
		if batch.CheckRecords(*plain, a.Batch.Count(), s.Compacted) != nil {
			return kerr.InvalidRecord
		}
		records = *plain
	}
	p := packs.Get().(*packed)
	b, err := batch.Repack(p.bytes[:0], a.Batch, s.Codec, s.Level, records)
	if err != nil {
		p.Release()
		return kerr.UnknownServerError
	}
	p.bytes = b
	if len(b) > s.MaxMessageBytes {
		p.Release()
		return kerr.MessageTooLarge
	}
	a.release()
	a.Batch, a.Owner = b, p
	return nil
}
