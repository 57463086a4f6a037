package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// InitProducerID gives an idempotent or transactional producer its id and epoch (KIP-98).
//
//	v2 flexible · v3 producer id and epoch (KIP-360) · v4 PRODUCER_FENCED · v5 transactions v2
//
// Differs from Kafka: nothing.
func initProducerID(c *call, q *kmsg.InitProducerIDRequest, a *kmsg.InitProducerIDResponse) {
	a.ProducerID, a.ProducerEpoch = -1, -1
	denied := c.deniedProducer(q)
	switch {
	case denied != nil:
		a.ErrorCode = denied.Code
		c.reply(a)
		return
	case q.TransactionalID != nil && *q.TransactionalID == "":
		a.ErrorCode = kerr.InvalidRequest.Code
		c.reply(a)
		return
	case c.version >= 3 && (q.ProducerID >= 0) != (q.ProducerEpoch >= 0):
		a.ErrorCode = kerr.InvalidRequest.Code
		c.reply(a)
		return
	case q.TransactionalID != nil:
		c.initTransactional(q, a)
		return
	}
	c.server.nextProducerID(func(id int64, err error) {
		if err != nil {
			a.ErrorCode = kerr.CoordinatorLoadInProgress.Code // the client tries again
		} else {
			a.ProducerID, a.ProducerEpoch = id, 0
		}
		c.reply(a)
	})
}

// deniedProducer is why whoever asks may not be a producer of that kind: to be idempotent, it
// is enough to have one topic to write to (KIP-679).
func (c *call) deniedProducer(q *kmsg.InitProducerIDRequest) *kerr.Error {
	switch {
	case q.TransactionalID == nil && !c.sees(sdk.OperationIdempotentWrite, sdk.ResourceCluster, sdk.ClusterName) && !c.writesAny():
		return kerr.ClusterAuthorizationFailed
	case q.TransactionalID != nil && !c.allowed(sdk.OperationWrite, sdk.ResourceTransactionalID, *q.TransactionalID):
		return kerr.TransactionalIDAuthorizationFailed
	}
	return nil
}

// initTransactional is initProducerID for a producer with a transactional id.
func (c *call) initTransactional(q *kmsg.InitProducerIDRequest, a *kmsg.InitProducerIDResponse) {
	if c.version < 3 {
		q.ProducerID, q.ProducerEpoch = -1, -1
	}
	answer := func(id int64, epoch int16, err *kerr.Error) {
		a.ProducerID, a.ProducerEpoch, a.ErrorCode = id, epoch, c.olderCode(err)
		c.reply(a)
	}
	c.server.withTopic(cluster.TransactionsTopic, func(_ *cluster.Image, err *kerr.Error) {
		if err != nil {
			answer(-1, -1, err)
			return
		}
		c.server.onTransaction(*q.TransactionalID, func(err *kerr.Error) { answer(-1, -1, err) }, func(t *txn.Coordinator, now time.Time) {
			t.InitProducerID(now, q, answer)
		})
	})
}

// producerBlock hands out ids from blocks that the metadata log gives to this broker, so
// that no id is ever given twice.
//
// Ownership: the server's first shard.
type producerBlock struct {
	first, end int64
	waiting    []func(int64, error)
	asking     bool
}

// nextProducerID calls f with a new id, on a shard or on the controller's goroutine.
func (s *Server) nextProducerID(f func(int64, error)) {
	s.Shards[0].Do(func() {
		s.producers.waiting = append(s.producers.waiting, f)
		s.serveProducers()
	})
}

// serveProducers gives ids while there are any, and asks for more when there are none.
func (s *Server) serveProducers() {
	b := &s.producers
	for len(b.waiting) > 0 && b.first < b.end {
		f := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.first++
		f(b.first-1, nil)
	}
	if len(b.waiting) == 0 || b.asking {
		return
	}
	b.asking = true
	var first int64
	s.Controller.Change(func(image *cluster.Image) ([]cluster.Record, error) {
		self := image.Broker(s.NodeID)
		if self == nil {
			return nil, kerr.BrokerIDNotRegistered
		}
		records, next, refused := cluster.AllocateProducerIDs(image, s.NodeID, self.Epoch)
		if refused != nil {
			return nil, refused
		}
		first = next
		return records, nil
	}, func(_ *cluster.Image, err error) {
		s.Shards[0].Do(func() { s.refillProducers(first, err) })
	})
}

func (s *Server) refillProducers(first int64, err error) {
	b := &s.producers
	b.asking = false
	if err == nil {
		b.first, b.end = first, first+cluster.ProducerIDBlock
		s.serveProducers()
		return
	}
	for _, f := range b.waiting {
		f(-1, err)
	}
	b.waiting = nil
}
