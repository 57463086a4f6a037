package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// asideAppend is what interceptors have put aside of one batch, on its way into another topic.
// It must be committed before the batch itself is sent, so that no crash can lose it once the
// producer was answered.
type asideAppend struct {
	shard.Append
	call  *produceCall
	part  int // in packed
	topic string
	err   error
}

// intercept runs the interceptors of a topic over one batch of p. It runs on a worker.
func (p *produceCall) intercept(part int) (*kerr.Error, string) {
	one := &p.packed[part]
	a := &p.appends[one.index]
	place := one.settings.Produce.Enter(a.Replica.Index)
	defer place.Leave()
	s := one.topic.Settings() // as they are now: instances of earlier ones may be closed
	if s.Produce == nil {
		return p.unpack(a, s)
	}
	in := chain.Input{
		Topic: one.topic.Name, Partition: a.Replica.Index, ClientID: p.clientID, Batch: a.Batch,
		MaxSize: s.MaxMessageBytes, Recompress: s.Recompress, Codec: s.Codec, Level: s.Level, Keys: s.Compacted, Memory: p.server.Memory,
	}
	var out chain.Outcome
	err := a.Rebuild(p.server.Memory, func(into []byte) (batch.Batch, bool, error) {
		var err error
		in.Into = into
		out, err = place.Run(s.Produce, &in)
		return out.Batch, out.Rebuilt, err
	})
	if err != nil {
		return refused(err)
	}
	if !out.Rebuilt && s.Recompresses(a.Batch.Codec()) {
		return unpacked(a.Recompress(s, p.server.Memory))
	}
	for i := range out.Aside {
		if err, why := p.putAside(part, &out.Aside[i]); err != nil {
			p.takeBack(part)
			return err, why
		}
	}
	return nil, ""
}

// refused is the code of a batch that its interceptors have not let pass. What they say of
// its records is INVALID_RECORD, what is wrong with themselves POLICY_VIOLATION: a producer
// sends neither again.
func refused(err error) (*kerr.Error, string) {
	var r *chain.Refusal
	if !errors.As(err, &r) {
		return unpacked(err)
	}
	switch r.Cause {
	case chain.TooLarge:
		return kerr.MessageTooLarge, printable(r.Error())
	case chain.Faulted:
		return kerr.PolicyViolation, printable(r.Error())
	}
	return kerr.InvalidRecord, printable(r.Error())
}

// longestReason is how many bytes of what a plugin says a producer is told.
const longestReason = 1000

// printable is a reason that came from a plugin, as text that fits into an answer.
func printable(reason string) string {
	if len(reason) > longestReason {
		reason = reason[:longestReason]
	}
	return strings.ToValidUTF8(reason, "\uFFFD")
}

// putAside prepares the append of what goes to another topic: to the partition of the same
// number there, or what is left of it when there are fewer.
func (p *produceCall) putAside(part int, aside *chain.Aside) (*kerr.Error, string) {
	topic := p.server.Registry.Named(aside.Topic)
	if topic == nil || topic.Internal || topic.Partitions() == 0 {
		return kerr.RequestTimedOut, fmt.Sprintf("%d records belong in topic %s, which is not there: create it", aside.Records, aside.Topic)
	}
	s := topic.Settings()
	b := aside.Batch
	if len(b) > s.MaxMessageBytes {
		return kerr.MessageTooLarge, fmt.Sprintf("%d records belong in topic %s, and are %d bytes together: more than its max.message.bytes", aside.Records, aside.Topic, len(b))
	}
	one := &asideAppend{call: p, part: part, topic: aside.Topic}
	one.Replica, one.Batch, one.Finish = topic.Replica(p.appends[p.packed[part].index].Replica.Index%int32(topic.Partitions())), b, one
	switch {
	case s.Recompresses(b.Codec()):
		if err := one.Recompress(s, p.server.Memory); err != nil {
			return unpacked(err)
		}
	case s.Compacted:
		if err, why := look(b, batch.MaxPlain, p.server.Memory); err != nil {
			return err, "a record belongs in topic " + aside.Topic + ": " + why
		}
	}
	topic.Counts.Produced(len(b), aside.Records)
	p.asides = append(p.asides, one)
	return nil, ""
}

// takeBack drops what was put aside of a batch that is refused after all.
func (p *produceCall) takeBack(part int) {
	kept := p.asides[:0]
	for _, one := range p.asides {
		if one.part == part {
			one.Drop()
		} else {
			kept = append(kept, one)
		}
	}
	clear(p.asides[len(kept):])
	p.asides = kept
}

// sendAsides sends what was put aside, and reports whether there was anything: then
// Appended of the last of them goes on with the request.
func (p *produceCall) sendAsides() bool {
	if len(p.asides) == 0 {
		return false
	}
	p.waiting.Store(int32(len(p.asides)))
	for _, one := range p.asides {
		one.Send()
	}
	return true
}

// Appended takes the result of one of them. It runs on shards.
func (a *asideAppend) Appended(*shard.Append) {
	a.err = a.Err
	if p := a.call; p.waiting.Add(-1) == 0 {
		p.unpackedAll()
	}
}

// judgeAsides refuses the batches of which something could not be put aside: nothing of them
// is stored, and the producer sends them again.
func (p *produceCall) judgeAsides() {
	for _, one := range p.asides {
		part := &p.packed[one.part]
		if one.err != nil && p.results[part.index].Error == 0 {
			p.fail(part, kerr.RequestTimedOut, fmt.Sprintf("records that belong in topic %s could not be stored there: %v", one.topic, one.err))
		}
	}
	clear(p.asides)
	p.asides = p.asides[:0]
}
