package api

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// produceCall is one produce request: a batch for each partition, each on its way
// through the shard that owns the partition. The last that ends answers.
//
// Ownership: the loop's until every append is sent, then that of the appends together;
// whoever brings left to zero answers and gives the call back to the pool.
type produceCall struct {
	call
	request wire.Produce
	frame   *netpoll.Frame
	appends []shard.Append
	results []wire.ProduceResult
	left    atomic.Int32
	scratch []byte // the answer is put together here
	packed  []packedPart
	asking  netpoll.Task // runs post, once the partitions have said what they have already
	sending netpoll.Task // runs send, once the packed are done
	asides  []*asideAppend
	waiting atomic.Int32 // questions that are not answered, then asides that have not ended
	// clientID is the session's, which a worker must not read. Set only for interceptors.
	clientID string
	purse    unpack.Purse // of the worker, for one batch after the other
	// foreign says that the transactional id is not theirs who send.
	foreign bool
	// refused says that interceptors have refused some of it: the worker's, then the loop's.
	refused   bool
	throttled time.Duration // for which the connection is left alone because of that
	// blamed is how many records the answer names, told how many bytes it says in words. The loop's, then the
	// worker's.
	blamed, told int
}

var produceCalls sync.Pool

// A call whose answer took more bytes than mostKept, or whose request had more partitions than mostPartsKept, does not
// go back to the pool.
const (
	mostKept      = 256 << 10
	mostPartsKept = 4096
)

func newProduceCall() *produceCall {
	if p, _ := produceCalls.Get().(*produceCall); p != nil {
		return p
	}
	p := new(produceCall)
	p.asking.Run, p.sending.Run = p.post, p.resume
	return p
}

// produce serves Produce.
//
//	v1 throttle time · v3 record batches v2 · v5 log start offset · v8 record errors · v9 flexible
//	v10 current leader · v12 transactions v2 · v13 topic ids
//
// Versions 0 to 2 are advertised, because old librdkafka decides by them whether it may
// compress, and refused (KAFKA-18659).
//
// Differs from Kafka: bytes behind the batch are refused, no more than a thousand records of
// a request are named in errors (KIP-467) and its later errors have no words once there are too many, a partition that is named twice is written twice, the records
// of compressed batches are looked at only where the topic needs it, and interceptors may
// change or refuse batches.
func produce(c call, frame *netpoll.Frame, body []byte) error {
	p := newProduceCall()
	p.call, p.frame = c, frame
	if err := p.request.Parse(c.version, body); err != nil {
		p.free()
		return err
	}
	p.begin()
	return nil
}

// begin checks all partitions, then sends what passed, so that no append can end before
// the count of them is known.
func (p *produceCall) begin() {
	n := len(p.request.Partitions)
	if cap(p.appends) < n {
		p.appends = make([]shard.Append, n)
		p.results = make([]wire.ProduceResult, n)
	}
	p.appends, p.results = p.appends[:n], p.results[:n]
	p.left.Store(1) // of the loop, until all are sent
	p.foreign = p.foreignTransaction()
	at := 0
	for i := range p.request.Topics {
		t := &p.request.Topics[i]
		topic, missing := p.topic(t)
		if topic != nil && label.On() {
			mark(p.conn, topic.ProduceLabels())
		}
		for ; at < t.End; at++ {
			p.check(at, topic, missing)
		}
	}
	if len(p.packed) > 0 {
		p.clientID = p.session.clientID
		p.unpackLater()
		return
	}
	p.send()
}

// send hands over what passed.
func (p *produceCall) send() {
	if p.request.Acks == 0 {
		p.slot.Discard() // later answers of the connection need not wait for this one
	}
	p.beginWait(time.Now())
	for i := range p.appends {
		if p.results[i].Error != 0 {
			continue
		}
		p.left.Add(1)
		if a := &p.appends[i]; a.Owner == nil {
			a.Owner = p.frame
			p.frame.Retain()
		}
		p.appends[i].Send()
	}
	p.ended()
}

// topic finds a topic that may be written to, or says why there is none.
func (p *produceCall) topic(t *wire.ProduceTopic) (*shard.Topic, *kerr.Error) {
	byID := p.version >= 13
	var topic *shard.Topic
	if byID {
		topic = p.server.Registry.ByID(t.ID)
	} else {
		topic = p.server.Registry.ByName(t.Name)
	}
	switch {
	case p.server.Authorizer == nil:
	case p.foreign:
		return nil, kerr.TransactionalIDAuthorizationFailed
	case topic != nil && !p.allowed(sdk.OperationWrite, sdk.ResourceTopic, topic.Name),
		topic == nil && !byID && !p.allowed(sdk.OperationWrite, sdk.ResourceTopic, string(t.Name)):
		return nil, kerr.TopicAuthorizationFailed
	}
	return topic, unknownTopic(byID)
}

// foreignTransaction reports whether the request has transactional batches whose id whoever
// sends them may not use. Then none of its batches is taken.
func (p *produceCall) foreignTransaction() bool {
	if p.server.Authorizer == nil || !slices.ContainsFunc(p.request.Partitions, func(sent wire.ProducePartition) bool {
		return len(sent.Records) >= batch.HeaderSize && batch.Batch(sent.Records).Transactional()
	}) {
		return false
	}
	return p.request.Transactional == nil || !p.allowed(sdk.OperationWrite, sdk.ResourceTransactionalID, string(p.request.Transactional))
}

// noTimestamp is that of records that have none.
const noTimestamp = -1

// adminClient is the client id that may write to internal topics, as in Kafka.
const adminClient = "__admin_client"

// check fills in the append or the error of one partition.
func (p *produceCall) check(i int, topic *shard.Topic, missing *kerr.Error) {
	a, r := &p.appends[i], &p.results[i]
	*r = wire.ProduceResult{Base: -1, LogAppendTime: -1, LogStart: -1}
	sent := p.request.Partitions[i]
	if topic == nil {
		r.Error = missing.Code
		return
	}
	replica := topic.Replica(sent.Index)
	switch {
	case replica == nil:
		r.Error = kerr.UnknownTopicOrPartition.Code
	case topic.Internal && p.session.clientID != adminClient:
		r.Error = kerr.InvalidTopicException.Code // coordinators alone write their logs
	case p.request.Acks < -1 || p.request.Acks > 1:
		r.Error = kerr.InvalidRequiredAcks.Code
	default:
		settings := topic.Settings()
		err, why := verify(sent.Records, settings, topic.Counts)
		if err == nil {
			if err, why = admissible(sent.Records, settings, topic.Counts, p.received, p.version); err == kerr.InvalidRecord || err == kerr.InvalidTimestamp { //nolint:errorlint // made below, bare
				r.LogStart = replica.Start() // Kafka has looked at its log when it finds these
			}
		}
		if err != nil && err != errUnpack {
			r.Error = err.Code
			p.tell(r, why)
			p.blame(i, topic.Name, settings, glanced, borrowsNothing{})
			topic.Counts.ProduceFailed()
			return
		}
		a.TransactionalID, a.Bumped, a.Thinned, a.Repeated = "", false, false, false
		if batch.Batch(sent.Records).Transactional() {
			if len(p.request.Transactional) == 0 {
				r.Error = kerr.TransactionalIDAuthorizationFailed.Code
				return
			}
			a.TransactionalID, a.Bumped = string(p.request.Transactional), p.version >= 12
		}
		topic.Counts.Produced(len(sent.Records), int(batch.Batch(sent.Records).Count()))
		a.Replica, a.Batch, a.Owner, a.Finish, a.Index = replica, sent.Records, nil, p, i
		if err == errUnpack { // and nothing else refuses it: the pool finds a whole append
			p.packed = append(p.packed, packedPart{i, topic, settings})
		}
	}
}

// verify checks one partition's records before they reach its shard: exactly one whole
// batch whose CRC holds, and that is not too large. What Kafka counts of the others is counted.
func verify(records []byte, s *shard.Settings, counts *metrics.Topic) (*kerr.Error, string) {
	if len(records) == 0 {
		return kerr.InvalidRecord, "there is no record batch"
	}
	size, err := batch.Peek(records)
	if len(records) > 16 && batch.Batch(records).Magic() != 2 {
		counts.InvalidMagic()
		if magic := batch.Batch(records).Magic(); magic >= 0 && magic < 2 {
			return kerr.InvalidRecord, "message formats before version 2 are not supported (KIP-724)"
		}
		return kerr.CorruptMessage, "the magic of the record batch is unknown"
	}
	if err == nil && size != len(records) {
		return kerr.InvalidRecord, "a partition takes exactly one record batch per request"
	}
	if err != nil {
		return malformed(err), err.Error()
	}
	b := batch.Batch(records)
	if size > s.MaxMessageBytes {
		counts.Rejected(size)
		return kerr.MessageTooLarge, ""
	}
	if err := b.Check(); err != nil && !errors.Is(err, batch.ErrCount) { // admissible looks at the count
		if errors.Is(err, batch.ErrCRC) {
			counts.InvalidCRC()
		}
		return malformed(err), err.Error()
	}
	return nil, ""
}

// malformed is the code for a batch that does not hold together: CORRUPT_MESSAGE, after
// which clients send it again, only where it may have been damaged on its way.
func malformed(err error) *kerr.Error {
	if errors.Is(err, batch.ErrShort) || errors.Is(err, batch.ErrCodec) {
		return kerr.InvalidRecord
	}
	return kerr.CorruptMessage
}

// admissible checks what a whole batch says of itself: that a producer may send it, and that
// the topic takes it.
func admissible(b batch.Batch, s *shard.Settings, counts *metrics.Topic, now time.Time, version int16) (*kerr.Error, string) {
	if miscounted(b) {
		counts.InvalidSequence()
	}
	switch {
	case b.Control():
		return kerr.InvalidRecord, "clients cannot write control batches"
	case b.BaseOffset() != 0:
		return kerr.InvalidRecord, "the offsets of a record batch begin at 0, the broker gives it its own"
	case b.Count() <= 0 || b.Count() != b.LastOffsetDelta()+1:
		return kerr.InvalidRecord, "the record batch counts its records wrongly"
	case b.Codec() == batch.Zstd && version < 7:
		return kerr.UnsupportedCompressionType, "zstd needs Produce version 7 or later"
	case b.ProducerID() >= 0 && (b.ProducerEpoch() < 0 || b.BaseSequence() < 0):
		return kerr.InvalidRecord, "" // Kafka says no more
	case b.Transactional() && b.ProducerID() < 0:
		return kerr.InvalidRecord, "a transactional batch has a producer id"
	case s.LogAppendTime:
	case s.MaxAfter >= 0 && b.MaxTimestamp()-now.UnixMilli() > s.MaxAfter.Milliseconds():
		return kerr.InvalidTimestamp, "a timestamp lies too far in the future (message.timestamp.after.max.ms)"
	case s.MaxBefore >= 0 && b.BaseTimestamp() != noTimestamp && now.UnixMilli()-b.BaseTimestamp() > s.MaxBefore.Milliseconds():
		return kerr.InvalidTimestamp, "a timestamp lies too far in the past (message.timestamp.before.max.ms)"
	}
	return walk(b, s, counts)
}

// miscounted reports whether the offsets or sequences of a batch cannot be.
func miscounted(b batch.Batch) bool {
	return b.BaseOffset() != 0 || b.Count() <= 0 || b.Count() != b.LastOffsetDelta()+1 || b.ProducerID() >= 0 && b.BaseSequence() < 0
}

// walk looks at the records themselves where that is cheap or needed: always when they
// are not compressed, and for a compacted topic, whose records must have keys. What takes
// more than a moment is errUnpack, as is everything that interceptors are to see.
func walk(b batch.Batch, s *shard.Settings, counts *metrics.Topic) (*kerr.Error, string) {
	if b.Codec() == batch.None {
		if err := batch.CheckRecords(b[batch.HeaderSize:], b.Count(), s.Compacted); err != nil {
			keyless(err, counts)
			return kerr.InvalidRecord, err.Error()
		}
	}
	switch {
	case s.Produce != nil, s.Recompresses(b.Codec()):
		return errUnpack, ""
	case b.Codec() != batch.None && s.Compacted:
		return glance(b, counts)
	}
	return nil, ""
}

// Appended takes the result of one partition. It runs on shards.
func (p *produceCall) Appended(a *shard.Append) {
	p.finish(&p.results[a.Index], a)
	p.ended()
}

func (p *produceCall) finish(r *wire.ProduceResult, a *shard.Append) {
	r.Base, r.LogAppendTime, r.LogStart = a.Base, a.LogAppendTime, a.LogStart
	if a.Err != nil {
		r.Error = code(a.Err)
		r.Message = message(a.Err)
		if a.TransactionalID != "" {
			p.unverified(r)
		}
	}
}

// unverified puts what a coordinator has said into words that a producer understands: what it
// cannot try again as it is, and what came later than its version.
func (p *produceCall) unverified(r *wire.ProduceResult) {
	switch r.Error {
	case kerr.ProducerFenced.Code:
		r.Error = kerr.InvalidProducerEpoch.Code
	case kerr.ConcurrentTransactions.Code, kerr.NotCoordinator.Code, kerr.CoordinatorNotAvailable.Code, kerr.CoordinatorLoadInProgress.Code:
		r.Message = "the partition could not be verified as part of the transaction: " + kerr.ErrorForCode(r.Error).Error()
		r.Error = kerr.NotEnoughReplicas.Code
	case kerr.TransactionAbortable.Code:
		if p.version < 11 {
			r.Error = kerr.InvalidTxnState.Code
		}
	}
}

// ended counts one of the parties down; the last answers.
func (p *produceCall) ended() {
	if p.left.Add(-1) > 0 {
		return
	}
	if p.request.Acks == 0 {
		p.unanswered()
	} else {
		p.scratch = wire.AppendHeader(p.scratch[:0], p.correlation, p.version >= 9)
		p.scratch = p.request.AppendProduce(p.scratch, p.results, int32(p.throttled.Milliseconds()), nil)
		p.slot.Write(p.scratch)
		p.observe()
		p.slot.Send()
	}
	p.free()
}

// unanswered ends a request that wants no answer. If it failed, closing the connection
// is the only way to say so.
func (p *produceCall) unanswered() {
	for i := range p.results {
		if code := p.results[i].Error; code != 0 {
			p.conn.Close(kerr.ErrorForCode(code))
			break
		}
	}
}

func (p *produceCall) free() {
	p.frame.Release()
	p.frame = nil
	p.call = call{}
	for i := range p.appends {
		a := &p.appends[i]
		a.Replica, a.Batch, a.Owner, a.Finish = nil, nil, nil, nil
	}
	clear(p.packed)
	p.packed, p.clientID, p.purse = p.packed[:0], "", unpack.Purse{}
	p.refused, p.throttled, p.blamed, p.told = false, 0, 0, 0
	clear(p.asides)
	p.asides = p.asides[:0]
	if cap(p.scratch) > mostKept || cap(p.request.Partitions) > mostPartsKept || cap(p.request.Topics) > mostPartsKept {
		return // the next one does not need that much
	}
	clear(p.results) // what was said about records
	produceCalls.Put(p)
}

// refuseOldProduce answers versions 0 to 2 in their own form.
func (c *call) refuseOldProduce(frame *netpoll.Frame, body []byte) error {
	defer frame.Release()
	var q wire.Produce
	if err := q.Parse(c.version, body); err != nil {
		return err
	}
	if q.Acks == 0 {
		return errUnsupportedVersion // nobody reads an answer, so the connection ends
	}
	results := make([]wire.ProduceResult, len(q.Partitions))
	for i := range results {
		results[i] = wire.ProduceResult{Error: kerr.UnsupportedVersion.Code, Base: -1, LogAppendTime: -1, LogStart: -1}
	}
	c.slot.Write(q.AppendProduce(wire.AppendHeader(nil, c.correlation, false), results, 0, nil))
	c.slot.Send()
	return nil
}
