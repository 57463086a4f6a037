package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/label"
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

	memory batch.Memory // that has lent what the batch takes
	lent   int
}

// Release gives that back, once it was written or is not.
func (a *asideAppend) Release() { a.memory.Return(a.lent) }

// intercept runs the interceptors of a topic over one batch of p. It runs on a worker.
func (p *produceCall) intercept(part int) (*kerr.Error, string) {
	p.purse = p.server.Memory.Purse()
	out, s, err := p.run(part, batch.Size{})
	if _, ok := errors.AsType[*chain.Unasked](err); ok {
		var size batch.Size
		if size, err = p.afford(part); err == nil {
			out, s, err = p.run(part, size)
		}
	}
	p.purse.Close() // before anything waits for memory
	if refusal, ok := errors.AsType[*chain.Refusal](err); ok {
		p.refused = true
		return refused(refusal)
	}
	if err != nil {
		return unpacked(err, p.packed[part].topic.Counts)
	}
	if !out.Rebuilt {
		if a := &p.appends[p.packed[part].index]; s.Produce == nil || s.Recompresses(a.Batch.Codec()) {
			return p.unpack(part, s)
		}
		return nil, ""
	}
	for i := range out.Aside {
		if err, why := p.putAside(part, &out.Aside[i]); err != nil {
			for _, rest := range out.Aside[i:] {
				p.server.Memory.Return(cap(rest.Batch))
			}
			p.takeBack(part)
			return err, why
		}
	}
	return nil, ""
}

// run has the interceptors see a batch, in their place, with the settings as they are then. Size
// is what its records come to, if that was measured.
func (p *produceCall) run(part int, size batch.Size) (out chain.Outcome, s *shard.Settings, err error) {
	one := &p.packed[part]
	a := &p.appends[one.index]
	place := one.settings.Produce.Enter(a.Replica.Index)
	defer place.Leave()
	s = one.topic.Settings() // as they are now: instances of earlier ones may be closed
	if s.Produce == nil {
		return out, s, nil
	}
	in := p.input(one, s)
	in.Measured = size
	err = a.Rebuild(p.server.Memory, func(into []byte) (batch.Batch, bool, error) {
		var err error
		in.Into = into
		out, err = place.Run(s.Produce, &in)
		return out.Batch, out.Rebuilt, err
	})
	return out, s, err
}

func (p *produceCall) input(one *packedPart, s *shard.Settings) chain.Input {
	a := &p.appends[one.index]
	in := chain.Input{
		Topic: one.topic.Name, Partition: a.Replica.Index, ClientID: p.clientID, Batch: a.Batch,
		MaxSize: s.MaxMessageBytes, Recompress: s.Recompress, Codec: s.Codec, Level: s.Level, Keys: s.Compacted, Memory: &p.purse,
		AsideSize: p.server.asideSize,
	}
	if label.On() {
		in.Labels = one.topic.ProduceLabels()
	}
	return in
}

// afford waits until there is memory for a batch and what its interceptors may make of it. The
// worker is in no place meanwhile, and holds none; with other batches of the request in its hands
// it takes what is free.
func (p *produceCall) afford(part int) (batch.Size, error) {
	one := &p.packed[part]
	in := p.input(one, one.settings)
	p.purse.Close() // of what the first run took: measuring may wait
	size, err := batch.Measure(in.Batch, chain.MaxPlain, p.memory(part))
	if err != nil {
		return size, err
	}
	need := in.Need(size, one.settings.Produce.Plugins())
	if p.holds(part) {
		return size, p.purse.Fill(need)
	}
	return size, p.purse.Wait(need)
}

// sizeOfAside is how large a batch may be that is put aside for a topic.
func (s *Server) sizeOfAside(topic string) int {
	if t := s.Registry.Named(topic); t != nil {
		return t.Settings().MaxMessageBytes
	}
	return chain.MaxPlain // putAside refuses it
}

// refused is the code of a batch that its interceptors have not let pass. What they say of
// its records is INVALID_RECORD, what is wrong with themselves POLICY_VIOLATION: a producer
// sends neither again.
func refused(r *chain.Refusal) (*kerr.Error, string) {
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
//
// Ownership: the memory of aside passes to the append, but not on an error.
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
	one := &asideAppend{call: p, part: part, topic: aside.Topic, memory: p.server.Memory, lent: cap(b)}
	one.Replica, one.Batch, one.Finish = topic.Replica(p.appends[p.packed[part].index].Replica.Index%int32(topic.Partitions())), b, one
	one.Owner = one
	switch {
	case s.Recompresses(b.Codec()):
		if err := one.Recompress(s, p.server.Memory.Eager()); err != nil {
			return unpacked(err, topic.Counts)
		}
		one.Release() // it has moved
	case s.Compacted:
		if err, why := look(b, batch.MaxPlain, p.server.Memory.Eager(), topic.Counts); err != nil {
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
