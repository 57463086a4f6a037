package native

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// sender decides what goes where and when, and what becomes of what came back. Its
// goroutine alone touches its fields.
type sender struct {
	p       *Producer
	o       *Options
	events  chan event
	wait    sync.WaitGroup // connections and control
	ctx     context.Context
	cancel  context.CancelFunc
	control chan<- job

	parts    map[string][]*partition
	active   []*partition // those with something queued, under way or open
	turn     int          // where the next round begins
	looked   []*partition // memory for the ready list
	brokers  map[int32]*broker
	wanted   []*wanting
	failed   failures
	requests []*request // to be used again

	metadata struct {
		asked   bool // the answer is due
		needed  bool
		at      int64 // when it came last, or failed
		tries   int   // that failed in a row
		topics  map[string]bool
		added   bool // topics that nobody has asked for
		answers int  // that came, and questions that failed
		missing int  // rounds in a row in which a topic or a leader was not there
	}
	identity struct {
		asked bool
		known bool
		id    int64
		epoch int16
		tries int
		at    int64 // not before
	}
	txn       *transactions // nil: without a transactional id
	screening *screening    // nil: without interceptors
	beside    beside
	closing   bool
	abandoned bool
}

// event is something that the sender is told.
type event interface{ happen(s *sender) }

func newSender(p *Producer) *sender {
	s := &sender{p: p, o: &p.options, events: make(chan event, 64), parts: map[string][]*partition{}, brokers: map[int32]*broker{}}
	s.metadata.topics = map[string]bool{}
	s.identity.known = !p.options.Idempotent
	s.identity.id, s.identity.epoch = -1, -1
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if len(p.options.Plugins) > 0 {
		s.screening = newScreening(p.options.Plugins)
	}
	if p.options.TransactionalID != "" {
		s.txn = &transactions{m: transaction.New(transaction.Options{Backoff: p.options.RetryBackoff}), asks: make(chan *transaction.Ask, 1)}
		p.refuse(s.txn.m.Refusal())
	}
	return s
}

func (s *sender) run() {
	jobs := make(chan job, 4)
	s.control = jobs
	s.wait.Go(func() { (&control{o: s.o, events: s.events}).run(s.ctx, jobs) })
	if s.txn != nil {
		s.wait.Go(func() {
			(&coordinators{o: s.o, events: s.events, at: map[string]*coordinator{}}).run(s.ctx, s.txn.asks)
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := s.p.now()
		s.look()
		s.ask(now)
		wakeAt := s.dispatch(now)
		wakeAt = min(wakeAt, s.transact(now), s.failed.tell(s, now))
		if s.over() {
			break
		}
		s.p.ready.wakeAt.Store(wakeAt)
		if !s.p.ready.empty() || wakeAt <= now {
			s.p.ready.wakeAt.Store(0) // awake
			s.hear(false, nil)
			continue
		}
		timer.Reset(time.Duration(min(wakeAt-now, int64(time.Hour))))
		s.hear(true, timer)
		s.p.ready.wakeAt.Store(0)
	}
	s.end()
}

// hear takes all events that are there, and waits for the first if it shall.
func (s *sender) hear(wait bool, timer *time.Timer) {
	if wait {
		select {
		case e := <-s.events:
			e.happen(s)
		case <-s.p.ready.wake:
		case <-timer.C:
		}
	}
	for {
		select {
		case e := <-s.events:
			e.happen(s)
		default:
			return
		}
	}
}

// over reports whether the producer was closed and nothing is left to do.
func (s *sender) over() bool {
	if !s.closing {
		return false
	}
	for _, part := range s.active {
		if !part.idle() {
			return false
		}
	}
	if len(s.beside.waiting) > 0 {
		return false
	}
	return s.abandoned || s.txn.over()
}

// end closes what is open and waits for it.
func (s *sender) end() {
	s.failed.last(s)
	s.cancel()
	go func() {
		s.wait.Wait()
		close(s.p.ended)
	}()
	for {
		select {
		case <-s.events: // nobody is left whom it concerns
		case <-s.p.ended:
			return
		}
	}
}

// look takes over the partitions that callers have filled.
func (s *sender) look() {
	s.looked = s.p.ready.take(s.looked)
	for _, part := range s.looked {
		part.fresh = true
		if !part.active {
			part.active = true
			s.active = append(s.active, part)
		}
	}
}

// dispatch sends all that can be sent, and says when to look again.
func (s *sender) dispatch(now int64) (wakeAt int64) {
	for {
		wakeAt = s.round(now)
		if !s.sendAll(now) {
			break
		}
	}
	s.drop()
	for _, b := range s.brokers {
		wakeAt = min(wakeAt, b.tend(s, now))
	}
	return min(wakeAt, s.nextAsk(now))
}

// round puts one batch of each partition that may send one into the request of its leader.
func (s *sender) round(now int64) (wakeAt int64) {
	wakeAt = s.forward(now)
	waiting := len(s.beside.waiting)
	hurry := s.closing || s.p.memory.Blocked()
	s.turn++
	for i := range s.active {
		part := s.active[(i+s.turn)%len(s.active)]
		broker := s.brokers[part.leader]
		able := broker != nil && broker.able(s, now)
		if part.changed() {
			part.gather(false)
		}
		due := part.begun + int64(s.o.Linger)
		if hurry {
			due = now
		}
		if part.begun >= 0 && len(part.queue) == 0 && able && due <= now {
			part.gather(true)
		}
		wakeAt = min(wakeAt, s.expire(part, now))
		s.settleNumbers(part)
		switch {
		case len(part.queue) == 0 && part.begun < 0:
		case broker == nil:
			s.metadata.needed = true
		case !able: // what is open stays so, to be filled
			wakeAt = min(wakeAt, broker.ableAt(now))
		case len(part.queue) == 0:
		case part.retryAt > now:
			wakeAt = min(wakeAt, part.retryAt)
		default:
			s.offer(part, broker, now)
		}
		// Also when those before it have just gone without being sent: expired, or kept by interceptors.
		if part.begun >= 0 && len(part.queue) == 0 && able {
			wakeAt = min(wakeAt, max(due, now))
		}
		if part.watch(len(part.queue) > 0) {
			wakeAt = now
		}
	}
	if len(s.beside.waiting) > waiting || s.beside.heldBack && !s.beside.full(s.o) {
		wakeAt = now
	}
	s.beside.heldBack = false
	return wakeAt
}

// offer puts the head of a partition's queue into the request of its leader, if it may go.
func (s *sender) offer(part *partition, broker *broker, now int64) {
	b := part.head(now)
	if s.screening != nil {
		b = s.screen(part, now)
	}
	if b != nil && s.admitted(part) && s.enrol(part, b) && broker.add(s, b) {
		part.queue = slices.Delete(part.queue, 0, 1)
		part.inflight = append(part.inflight, b)
	}
}

// settleNumbers goes on under a new epoch where batches left a gap.
func (s *sender) settleNumbers(part *partition) {
	if !part.renumber || len(part.inflight) > 0 {
		return
	}
	if !s.o.Idempotent {
		part.renumber = false
		return
	}
	if !s.identity.known {
		return
	}
	if part.id == s.identity.id && part.epoch == s.identity.epoch {
		if s.txn != nil {
			return // its end comes with a new epoch
		}
		if s.identity.epoch == 1<<15-1 {
			s.identity.known = false // a new one is asked for
			return
		}
		s.identity.epoch++
	}
	part.adopt(s.identity.id, s.identity.epoch)
}

// enrol numbers a batch, and reports whether it may go.
func (s *sender) enrol(part *partition, b *recordBatch) bool {
	if !s.o.Idempotent {
		return true
	}
	if !s.identity.known {
		return false
	}
	if part.quiet() && (part.id != s.identity.id || part.epoch != s.identity.epoch) {
		part.adopt(s.identity.id, s.identity.epoch)
	}
	if !b.numbered {
		part.number(b)
	}
	return true
}

// expire fails what has waited for delivery.timeout.ms, and says when the next is due.
func (s *sender) expire(part *partition, now int64) (wakeAt int64) {
	timeout := int64(s.o.DeliveryTimeout)
	mixed := part.beside > 0 // what interceptors have made is as old as what they made it of, and stands behind younger ones
	if part.begun >= 0 && part.begun+timeout <= now && (mixed || len(part.queue) == 0) {
		part.gather(true)
	}
	wakeAt = never
	if part.begun >= 0 {
		wakeAt = max(part.begun+timeout, now+1)
	}
	for i := 0; i < len(part.queue); {
		b := part.queue[i]
		if b.begun+timeout > now {
			wakeAt = min(wakeAt, b.begun+timeout)
			if !mixed {
				break
			}
			i++
			continue
		}
		part.queue = slices.Delete(part.queue, i, i+1)
		part.renumber = part.renumber || b.numbered
		s.settle(b, s.expired(b), -1, -1)
		s.release(b)
	}
	for _, b := range part.inflight {
		if b.settled {
			continue
		}
		if b.begun+timeout > now {
			wakeAt = min(wakeAt, b.begun+timeout)
			if !mixed {
				break
			}
			continue
		}
		part.renumber = part.renumber || b.numbered
		s.settle(b, s.expired(b), -1, -1)
	}
	return wakeAt
}

func (s *sender) expired(b *recordBatch) error {
	return fmt.Errorf("not acknowledged within delivery.timeout.ms=%d, after %d tries: %w", s.o.DeliveryTimeout.Milliseconds(), b.tries, ErrTimeout)
}

// drop lets go of partitions with nothing to do.
func (s *sender) drop() {
	s.active = slices.DeleteFunc(s.active, func(part *partition) bool {
		if !part.idle() {
			return false
		}
		part.mu.Lock()
		defer part.mu.Unlock()
		if part.open != nil || len(part.sealed) > 0 || part.told {
			return false
		}
		part.active, part.watched, part.watching = false, false, false
		return true
	})
}

// sendAll hands the requests that were filled to their connections.
func (s *sender) sendAll(now int64) (any bool) {
	for _, b := range s.brokers {
		any = b.send(s, now) || any
	}
	return any
}

// landed takes what became of one batch of a request.
func (s *sender) landed(b *recordBatch, r *result, now int64) {
	part := b.partition
	part.landed(b)
	if b.settled { // expired on its way
		if r.code == 0 && r.err == nil {
			part.acknowledged(b)
		}
		s.release(b)
		return
	}
	if r.err != nil {
		s.again(b, r.err, now)
		return
	}
	failure := kerr.ErrorForCode(r.code)
	if s.txn != nil && s.failsTransaction(b, failure) {
		s.fail(b, r.wrap(failure))
		return
	}
	switch {
	case failure == nil, failure == error(kerr.DuplicateSequenceNumber):
		part.acknowledged(b)
		s.settle(b, nil, r.base, r.appendTime)
		s.release(b)
	case failure == error(kerr.MessageTooLarge) && b.builder.Count() > 1:
		s.split(b)
	case s.o.Idempotent && (failure == error(kerr.OutOfOrderSequenceNumber) || failure == error(kerr.UnknownProducerID)):
		part.renumber = part.renumber || part.isOldest(b)
		s.again(b, failure, now)
	case s.o.Idempotent && (failure == error(kerr.InvalidProducerEpoch) || failure == error(kerr.InvalidProducerIDMapping)):
		if b.id == s.identity.id && b.epoch == s.identity.epoch {
			s.identity.known = false
		}
		part.renumber = true
		s.again(b, failure, now)
	case kerr.IsRetriable(failure), failure == error(kerr.ConcurrentTransactions):
		s.metadata.needed = s.metadata.needed || failure != error(kerr.ConcurrentTransactions)
		s.again(b, failure, now)
	default:
		s.fail(b, r.wrap(failure))
	}
}

// failsTransaction reports whether an error that an idempotent producer goes on after under
// another epoch is the end of the transaction: the coordinator has to give that epoch.
func (s *sender) failsTransaction(b *recordBatch, failure error) bool {
	switch failure {
	case error(kerr.InvalidProducerEpoch), error(kerr.InvalidProducerIDMapping):
		return true
	case error(kerr.OutOfOrderSequenceNumber), error(kerr.UnknownProducerID):
		return b.partition.isOldest(b) // else one before it goes again, and so does this
	default:
		return false
	}
}

// again has a batch sent once more, if it may be.
func (s *sender) again(b *recordBatch, why error, now int64) {
	b.tries++
	switch {
	case s.abandoned:
		s.fail(b, ErrClosed)
	case s.txn != nil && s.txn.m.Dropping() != nil:
		s.fail(b, fmt.Errorf("%w (last: %w)", s.txn.m.Dropping(), why))
	case b.tries > s.o.Retries:
		s.fail(b, why)
	case b.begun+int64(s.o.DeliveryTimeout) <= now:
		s.fail(b, fmt.Errorf("%w (last: %w)", s.expired(b), why))
	default:
		part := b.partition
		part.again(b)
		part.retryAt = now + int64(s.o.RetryBackoff(b.tries))
		s.o.Log.Debug("a batch is sent again", "topic", part.topic, "partition", part.index, "tries", b.tries, "why", why)
	}
}

// fail gives a batch up. Those behind it cannot follow its numbers.
func (s *sender) fail(b *recordBatch, why error) {
	b.partition.renumber = b.partition.renumber || b.numbered
	s.settle(b, why, -1, -1)
	s.release(b)
}

// settle tells all who want to know. Base is the offset of the first record.
func (s *sender) settle(b *recordBatch, failure error, base, appendTime int64) {
	if b.settled {
		return
	}
	b.settled = true
	part := b.partition
	if failure != nil {
		failure = fmt.Errorf("%s-%d: %w", part.topic, part.index, failure)
		if s.txn == nil {
			s.failed.note(s, b.forgotten(), failure)
		} else { // its end tells; and what its abort gives up is not lost
			if s.txn.m.State() != transaction.Aborting {
				s.p.lost.Add(int64(b.forgotten()))
			}
			s.txn.m.Lost(failure, b.numbered)
		}
	}
	for i := range b.listeners {
		l := &b.listeners[i]
		a := Ack{Topic: part.topic, Partition: part.index, Offset: -1, Timestamp: l.timestamp}
		if base >= 0 && l.delta >= 0 {
			a.Offset = base + int64(l.delta)
		}
		if appendTime >= 0 {
			a.Timestamp = appendTime
		}
		l.listener.Done(a, failure)
	}
	for _, f := range b.flushes {
		f.settled()
	}
	b.flushes = nil
}

// release gives the memory of a settled batch back.
func (s *sender) release(b *recordBatch) {
	charged := b.charged
	if b.beside > 0 {
		s.beside.bytes -= b.beside
		b.partition.beside--
	}
	s.p.spare.give(b, s.o.BatchBytes)
	if charged > 0 {
		s.p.memory.Give(charged)
	}
}

// split makes two batches of one that is too large, with its sequence numbers.
func (s *sender) split(b *recordBatch) {
	part := b.partition
	first, second := halves(b)
	for _, half := range []*recordBatch{first, second} {
		for _, f := range b.flushes {
			f.left++
			half.flushes = append(half.flushes, f)
		}
		if b.beside > 0 {
			half.beside = half.builder.Len()
			s.beside.bytes += half.beside
			part.beside++
		}
		part.again(half)
	}
	for _, f := range b.flushes {
		f.settled()
	}
	b.flushes, b.settled = nil, true // its listeners are those of the halves
	s.o.Log.Debug("a batch is too large for the broker and is split", "topic", part.topic, "partition", part.index, "records", first.builder.Count()+second.builder.Count())
	s.release(b)
}

// failures tell of records that were lost and that nobody listens for, now and then: all of
// them in the end.
type failures struct {
	records int64
	why     error
	toldAt  int64
}

const failuresEvery = int64(10 * time.Second)

func (f *failures) note(s *sender, records int, why error) {
	if records <= 0 {
		return
	}
	s.p.lost.Add(int64(records))
	f.records += int64(records)
	f.why = why
	f.tell(s, s.p.now())
}

// tell logs what was lost, when that is due, and says when to look again.
func (f *failures) tell(s *sender, now int64) (at int64) {
	if f.records == 0 {
		return never
	}
	if f.toldAt != 0 && now-f.toldAt < failuresEvery {
		return f.toldAt + failuresEvery
	}
	f.last(s)
	f.toldAt = now
	return never
}

// last logs what was not told yet.
func (f *failures) last(s *sender) {
	if f.records > 0 {
		s.o.Log.Warn("records were lost that nobody waits for", "records", f.records, "last", f.why)
		f.records = 0
	}
}
