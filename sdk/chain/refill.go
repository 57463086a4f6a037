package chain

import (
	"fmt"

	"github.com/millrace/millrace/sdk/batch"
)

// Refill has the plugins see the records of a builder, as a producer does before it numbers
// and sends them, and leaves in it what is to be sent. There nothing is missing in between:
// brokers take no gaps from producers. Of the input topic, partition, client, size, keys
// and whether it is part of a transaction count.
//
// Kept are the places, in ascending order, of the records that are left; nil: nothing was
// changed. What goes to other topics is in others, with the places that it had. With a *Refusal
// the builder is as it was; with any other error, which is a fault of the program, it is of no use.
//
// Ownership: kept is the runner's, until its next call; others is the caller's.
func (r *Runner) Refill(plugins []Plugin, in *Input, b *batch.Builder) (kept []int32, others []Aside, err error) {
	how := batch.NoProducer()
	how.Transactional = in.Transactional
	if in.Batch, err = b.Finish(how); err != nil {
		return nil, nil, err
	}
	r.placing = true
	out, err := r.Run(plugins, in)
	r.placing = false
	if err != nil || !out.Rebuilt {
		return nil, nil, err
	}
	base := out.Batch.BaseTimestamp()
	b.Reset()
	r.kept = r.kept[:0]
	records := batch.Walk(out.Batch[batch.HeaderSize:], out.Batch.Count())
	for records.Next() {
		one := records.Record()
		b.Append(base+one.TimestampDelta, one.Key, one.Value, one.Headers)
		r.kept = append(r.kept, one.OffsetDelta)
	}
	if err := records.Err(); err != nil {
		return nil, nil, fmt.Errorf("read what plugins left of a batch: %w", err)
	}
	if r.kept == nil {
		r.kept = []int32{}
	}
	return r.kept, out.Aside, nil
}
