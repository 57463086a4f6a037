package native

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/chain"
)

// screening is the interceptors that see batches before they are numbered and sent, on the
// sender's goroutine, which is the only one that touches them.
type screening struct {
	plugins []chain.Plugin
	runner  *chain.Runner
	in      chain.Input
	into    []byte
}

func newScreening(plugins []chain.Plugin) *screening {
	return &screening{plugins: plugins, runner: chain.New(time.Now)}
}

// screen is the head of a partition's queue, shown to the interceptors. What they refuse, or
// leave nothing of, is settled as soon as nothing before it waits for an answer, so that
// everybody hears in the order of the records.
func (s *sender) screen(part *partition, now int64) *recordBatch {
	b := part.head(now)
	for b != nil {
		if !b.screened {
			// What waits behind it here leaves only after it, and until then as much waits.
			if s.beside.full(s.o) && !part.owes() {
				s.beside.heldBack = true
				return nil
			}
			if kept, others := s.screening.see(s.o, b); kept != nil {
				s.setAside(b, others)
				b.remap(kept)
			}
		}
		if b.refused == nil && b.builder.Count() > 0 {
			return b
		}
		if len(part.inflight) > 0 {
			return nil
		}
		part.queue[0] = nil
		part.queue = part.queue[1:]
		s.settle(b, b.refused, -1, -1)
		s.release(b)
		b = part.head(now)
	}
	return nil
}

// see shows a batch to the interceptors, once, and answers the places that are left of it (nil: all are) and
// what belongs in other topics.
func (c *screening) see(o *Options, b *recordBatch) (kept []int32, others []chain.Aside) {
	b.screened = true
	c.in = chain.Input{Topic: b.partition.topic, Partition: b.partition.index, ClientID: o.ClientID, MaxSize: o.MaxRequestBytes, Into: c.into, Transactional: o.TransactionalID != ""}
	before := b.builder.Len()
	kept, others, err := c.runner.Refill(c.plugins, &c.in, &b.builder)
	if err != nil {
		b.refused = refusal(err)
		return nil, nil
	}
	if kept == nil {
		return nil, nil
	}
	if b.builder.Len() > b.capacity {
		b.capacity = b.builder.Len() // its memory is of no usual size any more
	}
	if cap(c.into) < before {
		c.into = make([]byte, 0, 2*before)
	}
	return kept, others
}

// remap has listeners know the places that interceptors have left their records.
func (b *recordBatch) remap(kept []int32) {
	at := 0
	for i := range b.listeners {
		l := &b.listeners[i]
		for at < len(kept) && kept[at] < l.delta {
			at++
		}
		if at == len(kept) || kept[at] != l.delta {
			l.delta = -1 // dropped: it has no offset
		} else {
			l.delta = int32(at)
		}
	}
}

// refusal is what records fail with that interceptors have not let pass: what they would be
// told by a broker with the same interceptors.
func refusal(err error) error {
	refused, ok := errors.AsType[*chain.Refusal](err)
	if !ok {
		return err
	}
	switch refused.Cause {
	case chain.TooLarge:
		return fmt.Errorf("%w: %w", kerr.MessageTooLarge, err)
	case chain.Faulted:
		return fmt.Errorf("%w: %w", kerr.PolicyViolation, err)
	default:
		return fmt.Errorf("%w: %w", kerr.InvalidRecord, err)
	}
}
