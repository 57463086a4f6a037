package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/millrace/millrace/sdk/batch"
)

// built makes a batch.
func (w *world) built(o batch.BatchOptions, values ...string) batch.Batch {
	var b batch.Builder
	for _, v := range values {
		b.Append(w.now.UnixMilli(), []byte("k"), []byte(v), nil)
	}
	one, err := b.Finish(o)
	if err != nil {
		panic(err)
	}
	return one
}

// produce is a request for one partition.
func produce(version int16, id *string, at history.Partition, b batch.Batch) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Version, q.TransactionID, q.Acks, q.TimeoutMillis = version, id, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = at.Topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = at.Index, b
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

func produced(a *kmsg.ProduceResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }

// operation notes that something begins.
func (c *client) operation(process, name string) *history.Operation {
	o := &history.Operation{Process: process, Name: name, Began: c.w.nanos()}
	c.w.operations = append(c.w.operations, o)
	return o
}

// ended notes how it ended.
func (c *client) ended(o *history.Operation, r history.Result) {
	o.Result, o.Ended = r, c.w.nanos()
	c.w.trace.line("%s: %s is %s", c.name, o.Name, [...]string{"unknown", "ok", "failed"}[r])
}

// most is how many batches of one partition an idempotent producer has in flight.
const most = 5

// sent is one batch of an idempotent producer.
type sent struct {
	operation *history.Operation
	bytes     batch.Batch
	exchange  *exchange // nil: it has to be sent
	first     bool      // it was the oldest when it was sent
}

// idempotent is a producer without transactions: it sends to one partition, several batches in flight, and after
// a failure all of them again, in order.
func idempotent(c *client) {
	for life := 0; !c.w.ending; life++ {
		c.doing = "init producer id"
		var k *link
		q := kmsg.NewPtrInitProducerIDRequest()
		q.Version = 4
		a, _, err := ask(c, &k, true, q, func(a *kmsg.InitProducerIDResponse) int16 { return a.ErrorCode })
		if err != nil {
			continue
		}
		p := &pipeline{client: c, link: k, id: a.ProducerID, name: fmt.Sprintf("%s-%d", c.name, life)}
		p.at = history.Partition{Topic: source, Index: c.w.random.Int32N(c.w.plan.partitions[source])}
		p.run()
	}
}

// pipeline is one life of an idempotent producer.
type pipeline struct {
	*client
	link     *link
	id       int64
	name     string
	at       history.Partition
	sequence int32
	count    int
	waiting  []*sent // oldest first
	again    bool    // some must be sent again, once nothing is under way
}

func (p *pipeline) run() {
	w := p.w
	for left := 5 + w.random.IntN(40); left > 0 && !w.ending || len(p.waiting) > 0; {
		p.doing = "produce"
		p.connection(&p.link, true)
		if !p.take() { // what the last link has left
			break
		}
		if !p.again {
			for len(p.waiting) < most && left > 0 && !w.ending && (len(p.waiting) == 0 || w.chance(0.6)) {
				p.add()
				left--
			}
			p.flush()
		}
		if !p.wait(w.plan.patience, p.answered) {
			p.link.drop()
		}
		if !p.take() {
			break
		}
		if w.chance(0.3) {
			p.think()
		}
	}
	for _, s := range p.waiting {
		p.ended(s.operation, history.Unknown)
	}
}

// add makes the next batch.
func (p *pipeline) add() {
	w := p.w
	o := p.operation(p.name, fmt.Sprintf("%s#%d", p.name, p.count))
	p.count++
	var values []string
	for i := range 1 + w.random.IntN(3) {
		values = append(values, fmt.Sprintf("%s/%d", o.Name, i))
		o.Writes = append(o.Writes, history.Write{Partition: p.at, Value: values[i]})
	}
	with := batch.NoProducer()
	with.ProducerID, with.ProducerEpoch, with.BaseSequence = p.id, 0, p.sequence
	p.sequence += int32(len(values))
	p.waiting = append(p.waiting, &sent{operation: o, bytes: w.built(with, values...)})
}

// flush sends what is not under way.
func (p *pipeline) flush() {
	for i, s := range p.waiting {
		if s.exchange == nil {
			s.first = i == 0
			s.exchange = p.link.send(produce(9, nil, p.at, s.bytes))
		}
	}
}

// answered reports whether there is something to look at.
func (p *pipeline) answered() bool {
	return len(p.waiting) > 0 && p.waiting[0].exchange != nil && p.waiting[0].exchange.ended || len(p.waiting) == 0 || !p.link.open
}

// take looks at the answers. It reports whether the producer can go on.
func (p *pipeline) take() bool {
	var left []*sent
	flying := false
	for _, s := range p.waiting {
		x := s.exchange
		if x == nil || !x.ended {
			left = append(left, s)
			flying = flying || x != nil
			continue
		}
		s.exchange = nil
		err := x.err
		if err == nil {
			err = kerr.ErrorForCode(produced(x.reply.(*kmsg.ProduceResponse)))
		}
		switch {
		case err == nil || errors.Is(err, kerr.DuplicateSequenceNumber):
			p.ended(s.operation, history.OK)
			continue
		case errors.Is(err, kerr.OutOfOrderSequenceNumber) && s.first:
			p.w.found(Refused, "%s is the oldest that is not acknowledged, and is refused: %v", s.operation.Name, err)
			return false
		case errors.Is(err, errLost), errors.Is(err, kerr.OutOfOrderSequenceNumber), retriable(err):
			p.again = true
		default:
			p.w.found(Refused, "%s is refused: %v", s.operation.Name, err)
			return false
		}
		left = append(left, s)
	}
	p.waiting = left
	if p.again && !flying {
		p.again = false
		p.pause(time.Millisecond, p.w.plan.backoff)
	}
	return true
}
