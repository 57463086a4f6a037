package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/sdk/batch"
)

// Producer sends records. Any goroutine may call it.
type Producer struct {
	options Options
	began   time.Time // what monotonic times count from
	memory  *Memory
	topics  atomic.Pointer[map[string]*Topic]
	recent  atomic.Pointer[Topic] // one of topics, found without hashing its name
	refusal atomic.Pointer[error] // why no record may be appended; nil: they may
	number  atomic.Int64          // of the transaction that is under way, or was
	ready   readyList
	spare   spareBatches
	sender  *sender
	ended   chan struct{} // closed when nothing runs any more
	exact   bool          // every record reads the time
	lost    atomic.Int64  // records that nobody waited for
}

// errOver is for a record that comes after its transaction.
var errOver = errors.New("the transaction that the record was sent in has ended")

// Number is that of the transaction that is under way, or was; zero: there was none. Any goroutine.
func (p *Producer) Number() int64 { return p.number.Load() }

// Lost is how many records were lost that nobody waited for. Any goroutine.
func (p *Producer) Lost() int64 { return p.lost.Load() }

// exactLinger is from which linger.ms on every record reads the time: a batch that waits
// long could otherwise hold a record that is dated much too early.
const exactLinger = 20 * time.Millisecond

// New starts a producer. Nothing is sent before the first record.
func New(o Options) *Producer {
	p := &Producer{options: o, began: time.Now(), memory: NewMemory(o.BufferBytes), ended: make(chan struct{}), exact: o.Linger > exactLinger}
	p.topics.Store(&map[string]*Topic{})
	p.ready.wake = make(chan struct{}, 1)
	p.ready.wakeAt.Store(never)
	p.spare.most = int(o.BufferBytes / int64(max(o.BatchBytes, batch.HeaderSize)))
	p.sender = newSender(p)
	go p.sender.run()
	return p
}

// now is monotonic, in nanoseconds.
func (p *Producer) now() int64 { return int64(time.Since(p.began)) }

// Recent is Topic of the one that is found without asking: nil when it is another.
func (p *Producer) Recent(name string) *Topic {
	if t := p.recent.Load(); t != nil && t.Name == name {
		return t
	}
	return nil
}

// Topic is what is known of a topic, which is asked for when nothing is, for as long as most;
// what it leaves of that is for memory.
func (p *Producer) Topic(ctx context.Context, name string, most time.Duration) (_ *Topic, left time.Duration, err error) {
	if t := p.Recent(name); t != nil {
		return t, most, nil
	}
	all := p.topics.Load()
	t := (*all)[name]
	if t == nil {
		begin := time.Now()
		t, err = p.wait(ctx, &wanting{topic: name, done: make(chan struct{})}, most)
		return t, max(0, most-time.Since(begin)), err
	}
	// Whoever publishes other topics forgets the recent one afterwards. Only the first topic is
	// remembered: with several, all would write here.
	if p.recent.Load() == nil && p.recent.CompareAndSwap(nil, t) && p.topics.Load() != all {
		p.recent.CompareAndSwap(t, nil)
	}
	return t, most, nil
}

// publish makes topics known.
func (p *Producer) publish(topics map[string]*Topic) {
	p.topics.Store(&topics)
	p.recent.Store(nil)
}

// Renew is Topic of one that is known not to have a partition: it may have been given more. What is
// answered has as many as brokers know now.
func (p *Producer) Renew(ctx context.Context, name string, partition int32, most time.Duration) (t *Topic, left time.Duration, err error) {
	begin := time.Now()
	t, err = p.wait(ctx, &wanting{topic: name, least: min(partition, math.MaxInt32-1) + 1, done: make(chan struct{})}, most)
	return t, max(0, most-time.Since(begin)), err
}

// wait asks for a topic and waits for it.
func (p *Producer) wait(ctx context.Context, w *wanting, most time.Duration) (*Topic, error) {
	name := w.topic
	if err := p.tell(w); err != nil {
		return nil, err
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	var err error
	select {
	case <-w.done:
		if w.err != nil {
			return nil, fmt.Errorf("topic %s: %w", name, w.err)
		}
		return (*p.topics.Load())[name], nil
	case <-p.ended:
		return nil, ErrClosed
	case <-timer.C:
		if err = fmt.Errorf("topic %s: there is no metadata after max.block.ms=%d: %w", name, most.Milliseconds(), ErrTimeout); w.last.Load() != nil {
			err = fmt.Errorf("%w (last: %w)", err, *w.last.Load())
		}
	case <-ctx.Done():
		err = fmt.Errorf("topic %s: wait for its metadata: %w", name, context.Cause(ctx))
	}
	_ = p.tell(&unwanting{w}) // when it cannot be told, the sender is gone
	return nil, err
}

// tell hands an event to the sender.
func (p *Producer) tell(e event) error {
	select {
	case p.sender.events <- e:
		return nil
	case <-p.ended:
		return ErrClosed
	}
}

// Append encodes a record into the open batch of a partition, and waits for memory if it
// must, for as long as most. Full: that batch is, or the partition got twice as much since the last time.
func (p *Producer) Append(ctx context.Context, t *Topic, index int32, r Record, most time.Duration) (full bool, err error) {
	return p.Put(ctx, t, index, &r, most)
}

// Put is Append of a record that need not be copied.
func (p *Producer) Put(ctx context.Context, t *Topic, index int32, r *Record, most time.Duration) (full bool, err error) {
	part := t.parts[index]
	need := recordRoom(r)
	part.mu.Lock()
	fresh := false
	for part.open == nil || part.open.builder.Len()+need > part.open.capacity {
		if err := p.roll(ctx, part, need, most); err != nil {
			return false, err // unlocked
		}
		fresh = true
	}
	if why := p.refusal.Load(); why != nil { // under the lock: who refuses gathers afterwards
		p.unroll(part)
		part.mu.Unlock()
		return false, *why
	}
	if r.Transaction != 0 && r.Transaction != p.number.Load() { // the next has begun while it waited
		p.unroll(part)
		part.mu.Unlock()
		return false, errOver
	}
	full = p.encode(part, r, need, fresh)
	part.mu.Unlock()
	return full, nil
}

// encode appends a record to the open batch of a partition, whose lock is held. Fresh: the
// batch was begun for it.
func (p *Producer) encode(part *partition, r *Record, need int, fresh bool) (full bool) {
	b := part.open
	timestamp := r.Timestamp
	if timestamp == Now {
		timestamp = part.clock.at(p.began, fresh || p.exact)
	}
	if r.Listener != nil {
		b.listeners = append(b.listeners, listening{r.Listener, int32(b.builder.Count()), r.Forgotten, timestamp})
	}
	b.builder.Append(timestamp, r.Key, r.Value, r.Headers)
	part.got += need
	if left := b.capacity - b.builder.Len(); left < min(need, p.options.BatchBytes/16) {
		p.seal(part)
		part.got = 0
		return true
	}
	if full = part.got >= 2*p.options.BatchBytes; full {
		part.got = 0
	}
	if fresh {
		p.ready.add(part, b.begun+int64(p.options.Linger))
	}
	return full
}

// recordRoom is how many bytes a record takes at most.
func recordRoom(r *Record) int {
	need := batch.RecordSize(r.Key, r.Value)
	for i := range r.Headers {
		need += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 10
	}
	return need
}

// roll begins a new batch of a partition, whose lock is held, in which there is room. It
// lets go of the lock while it waits for memory, and for good when it fails.
func (p *Producer) roll(ctx context.Context, part *partition, need int, most time.Duration) error {
	if why := p.refusal.Load(); why != nil {
		part.mu.Unlock()
		return *why
	}
	p.seal(part)
	capacity := max(p.options.BatchBytes, batch.HeaderSize+need)
	if !p.memory.TryTake(capacity) {
		part.mu.Unlock()
		p.ready.rouse() // what others began may have to go at once
		if err := p.memory.Take(ctx, capacity, most); err != nil {
			return err
		}
		part.mu.Lock()
		if part.open != nil && part.open.builder.Len()+need <= part.open.capacity {
			p.memory.Give(capacity)
			return nil
		}
		p.seal(part) // somebody has filled another meanwhile
	}
	if empty := part.open; empty != nil { // with too little room for this record
		p.memory.Give(empty.charged)
	}
	b := p.spare.take(capacity, p.options.BatchBytes)
	b.partition, b.charged, b.begun = part, capacity, p.now()
	part.open = b
	return nil
}

// unroll takes back a batch of a partition, whose lock is held, that was begun for a record which
// is refused. It would keep its memory, and the sender would not be told of what comes into it.
func (p *Producer) unroll(part *partition) {
	b := part.open
	if b == nil || b.builder.Count() > 0 {
		return
	}
	charged := b.charged
	part.open = nil
	p.spare.give(b, p.options.BatchBytes)
	p.memory.Give(charged)
}

// seal hands the open batch of a partition, whose lock is held, to the sender.
func (p *Producer) seal(part *partition) {
	if part.seal() {
		p.ready.add(part, 0)
	}
}

// Flush sends what was appended so far without waiting for linger.ms, and waits until all
// of it is settled.
func (p *Producer) Flush(ctx context.Context) error {
	f := &flush{done: make(chan struct{})}
	if err := p.tell(f); err != nil {
		return err
	}
	select {
	case <-f.done:
		return nil
	case <-p.ended:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("flush: %w", context.Cause(ctx))
	}
}

// Close sends what was appended and ends the producer. When ctx is done first, what is
// left fails with ErrClosed.
func (p *Producer) Close(ctx context.Context) error {
	p.refuse(ErrClosed)
	p.memory.Close()
	if p.tell(&closing{}) != nil {
		return nil // closed before
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
	}
	err := fmt.Errorf("close the producer: records were left: %w", context.Cause(ctx))
	if p.tell(&abandoning{}) != nil {
		return nil
	}
	<-p.ended
	return err
}

// never is a time that does not come.
const never = int64(1<<63 - 1)

// readyList is the partitions that the sender shall look at, and how it is woken.
type readyList struct {
	mu     sync.Mutex //nolint:forbidigo // filled by any number of goroutines, twice for each batch
	parts  []*partition
	wake   chan struct{} // of one
	wakeAt atomic.Int64  // when the sender wakes by itself
}

// add has the sender look at a partition, whose lock is held, no later than at due.
func (l *readyList) add(part *partition, due int64) {
	if part.watched {
		return
	}
	if !part.told {
		part.told = true
		l.mu.Lock()
		l.parts = append(l.parts, part)
		l.mu.Unlock()
	}
	// The sender says when it wakes and looks at the list after that; so either it finds the
	// partition or its word is read here.
	if l.wakeAt.Load() > due {
		l.rouse()
	}
}

// rouse wakes the sender.
func (l *readyList) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take is the list so far, into memory of the caller's.
func (l *readyList) take(into []*partition) []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	into = append(into[:0], l.parts...)
	l.parts = l.parts[:0]
	return into
}

func (l *readyList) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parts) == 0
}

// spareBatches keeps batches with the usual capacity for the next records.
type spareBatches struct {
	mu   sync.Mutex //nolint:forbidigo // once for each batch
	all  []*recordBatch
	most int
}

func (s *spareBatches) take(capacity, usual int) *recordBatch {
	if capacity == usual {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.all); n > 0 {
			b := s.all[n-1]
			s.all = s.all[:n-1]
			return b
		}
	}
	b := &recordBatch{capacity: capacity}
	b.builder.Use(make([]byte, 0, capacity))
	return b
}

// give keeps b, which nobody may have any more.
func (s *spareBatches) give(b *recordBatch, usual int) {
	if b.capacity != usual {
		return
	}
	clear(b.listeners)
	builder, listeners := b.builder, b.listeners[:0]
	builder.Reset()
	*b = recordBatch{builder: builder, listeners: listeners, capacity: b.capacity}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) < s.most {
		s.all = append(s.all, b)
	}
}
