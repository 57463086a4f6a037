package chain

import (
	"strconv"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// Headers of a record in a dead-letter topic, behind those that it had.
const (
	HeaderPlugin    = "millrace.plugin"           // by whom it was called bad
	HeaderError     = "millrace.error"            // and why
	HeaderTopic     = "millrace.source.topic"     // where it was to be stored
	HeaderPartition = "millrace.source.partition" // as decimal text, like the rest
	HeaderSequence  = "millrace.source.sequence"  // of an idempotent producer: id:epoch:sequence
	HeaderClient    = "millrace.source.client"    // client.id
	HeaderTimestamp = "millrace.failed.at"        // milliseconds
)

// move puts a record aside for another topic. It keeps its time.
func (r *Runner) move(in *Input, topic string, v *sdk.View, headers []batch.Header) {
	var to *batch.Builder
	for i := range r.asides {
		if r.asides[i].topic == topic {
			to = r.asides[i].builder
		}
	}
	if to == nil {
		to = new(batch.Builder)
		r.asides = append(r.asides, aside{topic, to})
	}
	to.Append(in.Batch.BaseTimestamp()+v.TimestampDelta, v.Key, v.Value, headers)
}

// bury puts a record aside for the dead-letter topic of p, with headers that say why. Its
// offset is not among them: it has none before it is stored, and it never is.
func (r *Runner) bury(p *Plugin, in *Input, v *sdk.View, why string) {
	h := append(r.names[:0], v.Headers...)
	h = append(h,
		batch.Header{Key: HeaderPlugin, Value: []byte(p.Name)},
		batch.Header{Key: HeaderError, Value: []byte(why)},
		batch.Header{Key: HeaderTopic, Value: []byte(in.Topic)},
		batch.Header{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(in.Partition), 10)},
		batch.Header{Key: HeaderClient, Value: []byte(in.ClientID)},
		batch.Header{Key: HeaderTimestamp, Value: strconv.AppendInt(nil, r.clock().UnixMilli(), 10)},
	)
	if b := in.Batch; b.ProducerID() >= 0 && b.BaseSequence() >= 0 {
		text := strconv.AppendInt(nil, b.ProducerID(), 10)
		text = strconv.AppendInt(append(text, ':'), int64(b.ProducerEpoch()), 10)
		text = strconv.AppendInt(append(text, ':'), int64(batch.AddSequence(b.BaseSequence(), v.OffsetDelta)), 10)
		h = append(h, batch.Header{Key: HeaderSequence, Value: text})
	}
	r.names = h
	r.move(in, p.DeadLetter, v, h)
	clear(r.names)
}
