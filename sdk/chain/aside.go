package chain

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unsafe"

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

// longestReason is how many bytes of what a plugin says a dead letter tells.
const longestReason = 1000

// mostNames is how many headers of a dead letter a runner keeps room for.
const mostNames = 1024

// aside is what of a batch goes to one other topic.
type aside struct {
	topic   string
	builder *batch.Builder
	places  []int32
}

// move puts a record aside for another topic. It keeps its time.
func (r *Runner) move(p *Plugin, in *Input, topic string, v *sdk.View, headers []batch.Header) error {
	one := r.aside(topic)
	to := one.builder
	most := in.asideSize(topic)
	if need := to.Len() + batch.SizeOfRecord(v.Key, v.Value, headers); need > to.Cap() {
		size := max(min(2*to.Cap(), most), need, 1<<10)
		if err := r.lender.Borrow(size - to.Cap()); err != nil {
			return err
		}
		to.Grow(size)
	}
	to.Append(in.Batch.BaseTimestamp()+v.TimestampDelta, v.Key, v.Value, headers)
	if r.placing {
		one.places = append(one.places, v.OffsetDelta)
	}
	if to.Len() > most {
		return &Refusal{Plugin: p.Name, Cause: TooLarge, Reason: "the first " + strconv.Itoa(to.Count()) + " of its records that belong in topic " + topic + " are more than the " + strconv.Itoa(most) + " bytes that a batch may have there"}
	}
	return nil
}

// fewAsides is from how many other topics on they are looked up: a plugin may route each record of a batch to
// a topic of its own.
const fewAsides = 16

// aside is what goes to that topic so far.
func (r *Runner) aside(topic string) *aside {
	at, known := r.asideOf(topic)
	if !known {
		at = len(r.asides)
		r.asides = append(r.asides, aside{topic: topic, builder: new(batch.Builder)})
		if r.places != nil {
			r.places[topic] = at
		}
	}
	return &r.asides[at]
}

// asideOf finds what goes to that topic.
func (r *Runner) asideOf(topic string) (at int, known bool) {
	if len(r.asides) < fewAsides {
		at = slices.IndexFunc(r.asides, func(a aside) bool { return a.topic == topic })
		return at, at >= 0
	}
	if r.places == nil {
		r.places = make(map[string]int, 2*fewAsides)
		for i := range r.asides {
			r.places[r.asides[i].topic] = i
		}
	}
	at, known = r.places[topic]
	return at, known
}

// asideSize is how large the records for another topic may become before they are compressed.
func (in *Input) asideSize(topic string) int {
	if in.AsideSize == nil || in.Batch.Codec() != batch.None {
		return in.maxPlain() // it is known once they are
	}
	return min(in.AsideSize(topic), in.maxPlain())
}

// build makes a batch of what is aside, compressed as the records were.
func (a *aside) build(in *Input, m *lender) (Aside, error) {
	one := Aside{Topic: a.topic, Records: a.builder.Count(), Places: a.places}
	plain, err := a.builder.Finish(batch.NoProducer())
	if err != nil {
		return Aside{}, err
	}
	if one.Batch = plain; in.Batch.Codec() == batch.None {
		return one, nil
	}
	one.Batch, err = batch.Repack(nil, plain, batch.RepackOptions{Codec: in.Batch.Codec(), Level: batch.DefaultLevel, MaxSize: in.maxPlain(), Memory: m})
	if errors.Is(err, batch.ErrGrown) {
		return Aside{}, &Refusal{Cause: TooLarge, Reason: strconv.Itoa(one.Records) + " records belong in topic " + a.topic + ", and are too large together"}
	}
	m.Return(a.builder.Cap())
	return one, err
}

// bury puts a record aside for the dead-letter topic of p, with headers that say why. Its
// offset is not among them: it has none before it is stored, and it never is.
func (r *Runner) bury(p *Plugin, in *Input, v *sdk.View, why string) error {
	if len(why) > longestReason {
		why = strings.ToValidUTF8(why[:longestReason], "")
	}
	if need := len(v.Headers) + 7; need > cap(r.names) {
		if err := r.lender.Borrow(need * int(unsafe.Sizeof(batch.Header{}))); err != nil {
			return err
		}
		r.names = make([]batch.Header, 0, need)
	}
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
	err := r.move(p, in, p.DeadLetter, v, h)
	clear(h)
	r.names = h[:0]
	return err
}
