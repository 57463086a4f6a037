package chain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// keep is the most memory that a buffer keeps between batches, and keepViews what each list of
// records, headers and edits does: those of a batch of a mebibyte with records of 100 bytes.
const (
	keep      = 256 << 10
	keepViews = 1 << 20
)

// MaxPlain is what the records of one batch may become, decompressed or edited, when an
// input does not say.
const MaxPlain = 64 << 20

// Input is a batch that a chain is to be run over.
type Input struct {
	Topic     string
	Partition int32
	ClientID  string
	// Batch is whole and has passed Check; records that are not compressed have passed
	// CheckRecords when they come from a producer.
	Batch batch.Batch
	// Transactional is that the batch will be part of a transaction: for Refill, which makes it.
	Transactional bool
	Fetch         bool // OnFetch is called, and offsets may have gaps; else OnProduce
	// Into is where a batch that is built anew is put, if it fits.
	Into []byte
	// MaxSize bounds what comes out, in bytes. Zero: as large as a batch can be.
	MaxSize int
	// MaxPlain bounds its records while they are not compressed. Zero: MaxPlain.
	MaxPlain int
	// Recompress has a batch that is built anew compressed with Codec; else it keeps its own.
	Recompress bool
	Codec      batch.Codec
	Level      int
	Keys       bool // each record must have a key: the topic is compacted
	// Memory lends all that a batch takes: decompressed, shown, edited and built anew. One
	// that is Reserving is asked before the first plugin is. Nil: whatever it takes.
	Memory batch.Memory
	// Measured is what the records come to, once the caller has found out (batch.Measure) and
	// has reserved what they Need. Zero: nobody knows.
	Measured batch.Size
	// AsideSize is how large a batch for another topic may be. Nil: as MaxPlain.
	AsideSize func(topic string) int
	// Labels are what profiles show of the caller's goroutine, put back after each call of a
	// plugin. Nil: nobody takes a profile, and plugins have none either.
	Labels context.Context
}

// Reserving is a Memory that tells beforehand what it will lend.
type Reserving interface {
	batch.Memory
	// Reserve sees to it that so many bytes more can be borrowed, or says why not.
	Reserve(bytes int) error
}

// Need is how many bytes a run over records of that size may borrow, as long as its plugins
// do not make them larger than they are, but for a few bytes in each.
func (in *Input) Need(size batch.Size, plugins int) int {
	need := sdk.Weight(size) + size.Bytes // with the values that plugins make
	if in.Batch.Codec() != batch.None {
		need += size.Bytes + 1
	}
	edited := size.Bytes + 64*size.Records + 16*size.Headers
	built := min(2*(size.Bytes+batch.HeaderSize), in.maxSize())
	return need + min(plugins, 2)*edited + max(built, cap(in.Into))
}

// Unasked is the error of a run for which there was no memory before the first plugin was
// asked. The batch may be run again once there is.
type Unasked struct{ Err error }

func (u *Unasked) Error() string { return u.Err.Error() }

// Unwrap is the error of the memory.
func (u *Unasked) Unwrap() error { return u.Err }

// Aside is what goes to another topic instead.
type Aside struct {
	Topic string
	// Ownership: in memory of its own. What it takes, cap of it, is borrowed from Memory, and
	// the caller returns it.
	Batch   batch.Batch
	Records int
	// Places are where in the input each of them was, for Refill alone. Plugins later in the
	// list may have put aside what comes before.
	Places []int32
}

// Outcome is what became of a batch.
type Outcome struct {
	// Batch is what goes on: that of the input, or one built anew.
	//
	// Ownership: one built anew is in Into, or where that had to grow. What it takes, cap of
	// it, is borrowed from Memory, and the caller returns it.
	Batch   batch.Batch
	Rebuilt bool
	// Aside is what must be stored in other topics before the batch is acknowledged.
	Aside []Aside
}

// Runner runs chains, and has the memory that this takes.
//
// Ownership: one goroutine's at a time.
type Runner struct {
	clock   func() time.Time
	batch   sdk.Batch
	call    Call
	plain   []byte    // the records of the input, decompressed
	edited  [2][]byte // those that plugins made, in turn
	turn    int
	section []byte // the records as they are now
	count   int
	largest int64 // timestamp in section, from the batch's, once it was encoded here
	changed bool
	last    bool // nobody sees the records after the plugin that is asked
	lender  lender
	asides  []aside
	places  map[string]int // of topics in asides, once there are many
	names   []batch.Header
	kept    []int32 // of Refill
	placing bool    // somebody asks where in the input stood what goes aside
}

// lender is the Memory of a run. It knows what all parts of it have borrowed, and whether they
// ever were refused, in which no plugin has a part.
type lender struct {
	of      batch.Memory // nil: there is none to ask
	lent    int
	refused error
}

// Borrow lends, and remembers.
func (l *lender) Borrow(bytes int) error {
	if l.of == nil {
		return nil
	}
	if err := l.of.Borrow(bytes); err != nil {
		l.refused = err
		return err
	}
	l.lent += bytes
	return nil
}

// Return takes back.
func (l *lender) Return(bytes int) {
	if l.of != nil {
		l.of.Return(bytes)
		l.lent -= bytes
	}
}

// New makes a runner. The clock tells it how long calls take and when faults happen.
func New(clock func() time.Time) *Runner { return &Runner{clock: clock} }

// Run has the plugins see the batch, one after the other. The error is a *Refusal, or what
// was wrong with the bytes of the batch or with the memory for it; then nothing of the batch
// may be stored, aside or elsewhere.
func (r *Runner) Run(plugins []Plugin, in *Input) (Outcome, error) {
	if len(plugins) == 0 || in.Batch.Control() || in.Batch.Count() == 0 {
		return Outcome{Batch: in.Batch}, nil
	}
	r.lender = lender{of: in.Memory}
	out, err := r.run(plugins, in)
	if err != nil {
		out = Outcome{}
	}
	r.rest(&out)
	return out, err
}

func (r *Runner) run(plugins []Plugin, in *Input) (Outcome, error) {
	err := r.open(in)
	if err == nil {
		err = r.reserve(in, len(plugins))
	}
	if err != nil && r.lender.refused != nil {
		return Outcome{}, &Unasked{err}
	}
	if err != nil {
		return Outcome{}, err
	}
	for i := range plugins {
		if r.count == 0 {
			break
		}
		r.last = i == len(plugins)-1
		if err := r.step(&plugins[i], in); err != nil {
			return Outcome{}, err
		}
	}
	return r.finish(in)
}

// open decompresses the records and shows them.
func (r *Runner) open(in *Input) error {
	r.count, r.changed, r.section = int(in.Batch.Count()), false, in.Batch[batch.HeaderSize:]
	r.batch.Lend(&r.lender)
	if in.Batch.Codec() != batch.None {
		if n := in.Measured.Bytes + 1; in.Measured.Records > 0 && n > cap(r.plain) {
			if err := r.lender.Borrow(n); err != nil {
				return err
			}
			r.plain = make([]byte, 0, n) // exactly; else it would grow by doubling
		}
		section, _, err := batch.Plain(r.plain, in.Batch, in.maxPlain(), &r.lender)
		if err != nil {
			return err
		}
		r.plain, r.section = section, section
		if !in.Fetch {
			if err := batch.CheckRecords(section, in.Batch.Count(), in.Keys); err != nil {
				return err
			}
		}
	}
	r.batch.Topic, r.batch.Partition, r.batch.ClientID = in.Topic, in.Partition, in.ClientID
	return r.batch.Open(in.Batch, r.section)
}

// reserve sees to it that a chain which has begun is not ended by a lack of memory. Who has
// measured the batch has reserved what there is.
func (r *Runner) reserve(in *Input, plugins int) error {
	m, ok := in.Memory.(Reserving)
	if !ok || in.Measured.Records > 0 {
		return nil
	}
	err := m.Reserve(max(0, in.Need(r.batch.Size(), plugins)-r.lender.lent))
	r.lender.refused = err
	return err
}

func (in *Input) maxPlain() int {
	if in.MaxPlain > 0 {
		return in.MaxPlain
	}
	return MaxPlain
}

func (in *Input) maxSize() int {
	if in.MaxSize > 0 {
		return in.MaxSize
	}
	return math.MaxInt32
}

// step has one plugin see the batch.
func (r *Runner) step(p *Plugin, in *Input) error {
	c := &r.call
	*c = Call{In: r.count}
	begin := r.clock()
	var err error
	if err = r.barred(p, begin); err == nil {
		fuel := spent(p)
		err = r.ask(p, in)
		c.Took, c.Fuel = r.clock().Sub(begin), spent(p)-fuel
	}
	if err = r.judge(p, in, err); err != nil {
		_, refused := errors.AsType[*Refusal](err)
		c.Rejected = refused && !c.Fault && !c.Off
		c.Out, c.Dropped, c.Routed, c.DeadLettered, c.Edited = 0, 0, 0, 0, 0
	} else {
		c.Out = r.count
	}
	p.Calls.Draw(begin.Add(c.Took), c.Took)
	if c.Fault {
		c.Tripped = p.Breaker.Fault(begin)
		p.Faults.Draw(begin.Add(c.Took), c.Took+mended(p))
	}
	if p.Watcher != nil {
		p.Watcher.Called(c)
	}
	return err
}

// barred says why a plugin is not called; nil when it is.
func (r *Runner) barred(p *Plugin, now time.Time) error {
	c := &r.call
	if c.Off = p.Breaker.Off(now); c.Off {
		return errOff
	}
	err := p.Faults.Spent(now)
	if err == nil {
		err = p.Calls.Spent(now)
	}
	c.Spent = err != nil
	c.Off = c.Spent
	return err
}

// mended is what it took to make good what calls have broken, since it was asked last.
func mended(p *Plugin) time.Duration {
	if m, ok := p.Interceptor.(sdk.Mending); ok {
		return m.Mended()
	}
	return 0
}

// spent is the fuel that an instance has used so far; 0 when nobody counts it.
func spent(p *Plugin) int64 {
	if m, ok := p.Interceptor.(sdk.Metered); ok {
		return m.Spent()
	}
	return 0
}

// errOff is the fault of a plugin that is not called.
var errOff = errors.New("it is switched off, because it failed too often")

// ask calls the plugin. A panic of it is an error.
func (r *Runner) ask(p *Plugin, in *Input) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	if p.Labels != nil && in.Labels != nil {
		pprof.SetGoroutineLabels(p.Labels)
		defer pprof.SetGoroutineLabels(in.Labels)
	}
	if in.Fetch {
		err = p.Interceptor.OnFetch(&r.batch)
	} else {
		err = p.Interceptor.OnProduce(&r.batch)
	}
	if err == nil {
		return r.batch.Lack()
	}
	// It may be one that panics when it is looked at, such as a nil of some type: here that is a panic of the plugin.
	_, _ = errors.AsType[*Refusal](err)
	_ = err.Error()
	return err
}

// judge decides what the answer of a plugin means, and does to the records what it asks for.
func (r *Runner) judge(p *Plugin, in *Input, answer error) error {
	if answer == nil {
		if answer = r.settle(p, in); answer == nil {
			return nil
		}
	} else if rejection, ok := errors.AsType[*sdk.Rejection](answer); ok && !in.Fetch {
		return &Refusal{Plugin: p.Name, Cause: Rejected, Reason: rejection.Reason}
	}
	if r.lender.refused != nil {
		return r.lender.refused
	}
	if _, ok := errors.AsType[*Refusal](answer); ok {
		return answer
	}
	c := &r.call
	c.Why, c.Fault = answer, !c.Off
	c.Dropped, c.Routed, c.Edited, c.DeadLettered = 0, 0, 0, 0
	switch {
	case p.OnError == Skip:
		r.batch.Revert()
		return nil
	case p.OnError == DeadLetter && in.mayMove():
		return r.buryAll(p, in, answer)
	}
	return &Refusal{p.Name, Faulted, answer.Error(), c.Off, c.Spent}
}

// mayMove reports whether records can go to other topics: not those of a transaction, which
// would be there whether it is committed or not, and not on fetch.
func (in *Input) mayMove() bool { return !in.Fetch && !in.Batch.Transactional() }

// buryAll moves all records to the dead-letter topic.
func (r *Runner) buryAll(p *Plugin, in *Input, why error) error {
	r.batch.Revert()
	reason := why.Error()
	for _, v := range r.batch.All() {
		if err := r.bury(p, in, v, reason); err != nil {
			return err
		}
	}
	r.call.DeadLettered = r.count
	r.count, r.changed = 0, true
	return nil
}

// settle makes the records what the plugin wants them to be. An error that is no *Refusal
// is a fault of the plugin, and nothing has changed.
func (r *Runner) settle(p *Plugin, in *Input) error {
	edits := r.batch.Edits()
	if edits == nil {
		return nil
	}
	size := 0
	for i := range edits {
		n, err := r.weigh(p, in, i, &edits[i])
		if err != nil {
			return err
		}
		size += n
	}
	if size > in.maxPlain() {
		return &Refusal{Plugin: p.Name, Cause: TooLarge, Reason: "its edits make the batch larger than may be held decompressed"}
	}
	into, err := r.room(size)
	if err != nil {
		return err
	}
	r.largest = math.MinInt64
	for i := range edits {
		before := len(into)
		if into, err = r.encode(p, in, i, &edits[i], into); err != nil {
			return err
		}
		if len(into) > before {
			r.largest = max(r.largest, r.batch.Original(i).TimestampDelta)
		}
	}
	r.edited[r.turn] = into
	r.section, r.changed = into, true
	r.turn = 1 - r.turn
	r.count = r.call.In - r.call.Dropped - r.call.Routed - r.call.DeadLettered
	if r.last || r.count == 0 {
		return nil
	}
	return r.batch.Reopen(r.section, r.count)
}

// weigh checks one edit, counts it, and answers how many bytes the record will take at most.
func (r *Runner) weigh(p *Plugin, in *Input, i int, e *sdk.Edit) (int, error) {
	c := &r.call
	switch e.Fate {
	case sdk.Edited:
		if in.Keys && e.Key == nil {
			return 0, errors.New("record " + strconv.Itoa(i) + " has no key any more, which a compacted topic needs")
		}
		c.Edited++
		return batch.SizeOfRecord(e.Key, e.Value, e.Headers), nil
	case sdk.Dropped:
		c.Dropped++
		return 0, nil
	case sdk.Routed:
		if in.Fetch {
			c.Dropped++
			return 0, nil
		}
		if !in.mayMove() {
			return 0, &Refusal{Plugin: p.Name, Cause: Bad, Reason: "record " + strconv.Itoa(i) + " would go to topic " + e.Topic + ", outside of its transaction"}
		}
		if e.Topic == "" || e.Topic == in.Topic {
			return 0, fmt.Errorf("it routes record %d to %q", i, e.Topic)
		}
		c.Routed++
		return 0, nil
	case sdk.Failed:
		c.Failed++
		switch {
		case p.OnError == DeadLetter && in.mayMove():
			c.DeadLettered++
			return 0, nil
		case p.OnError != Skip:
			return 0, &Refusal{Plugin: p.Name, Cause: Bad, Reason: "record " + strconv.Itoa(i) + ": " + e.Reason}
		}
	}
	return len(r.batch.Raw(i)), nil
}

// encode appends record i as it is now, or moves it aside.
func (r *Runner) encode(p *Plugin, in *Input, i int, e *sdk.Edit, into []byte) ([]byte, error) {
	switch e.Fate {
	case sdk.Edited:
		return batch.AppendRecord(into, e.TimestampDelta, e.OffsetDelta, e.Key, e.Value, e.Headers), nil
	case sdk.Dropped:
		return into, nil
	case sdk.Routed:
		if in.Fetch {
			return into, nil
		}
		return into, r.move(p, in, e.Topic, &e.View, e.Headers)
	case sdk.Failed:
		if p.OnError == DeadLetter {
			return into, r.bury(p, in, r.batch.Original(i), e.Reason)
		}
	}
	return append(into, r.batch.Raw(i)...), nil
}

// room is the buffer for the next section.
func (r *Runner) room(size int) ([]byte, error) {
	into := r.edited[r.turn]
	if cap(into) >= size {
		return into[:0], nil
	}
	if err := r.lender.Borrow(size); err != nil {
		return nil, err
	}
	return make([]byte, 0, size), nil
}

// finish builds what goes on.
func (r *Runner) finish(in *Input) (Outcome, error) {
	if !r.changed {
		return Outcome{Batch: in.Batch}, nil
	}
	codec := in.Batch.Codec()
	if in.Recompress {
		codec = in.Codec
	}
	out := Outcome{Rebuilt: true}
	for i := range r.asides {
		one, err := r.asides[i].build(in, &r.lender)
		if err != nil {
			return Outcome{}, err
		}
		out.Aside = append(out.Aside, one)
	}
	var err error
	out.Batch, err = batch.Rebuild(in.Into, in.Batch, r.section, batch.RebuildOptions{
		Count: int32(r.count), Largest: in.Batch.BaseTimestamp() + r.largest, Codec: codec, Level: in.Level, MaxSize: in.maxSize(), Memory: &r.lender,
	})
	if errors.Is(err, batch.ErrGrown) {
		return Outcome{}, &Refusal{Cause: TooLarge, Reason: "the plugins of the topic made the batch larger than " + strconv.Itoa(in.maxSize()) + " bytes"}
	}
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}

// rest forgets the batch, keeps little of what it took, and gives back what was lent but for
// what goes on.
func (r *Runner) rest(out *Outcome) {
	r.batch.Forget(keepViews)
	r.section = nil
	for _, b := range []*[]byte{&r.plain, &r.edited[0], &r.edited[1]} {
		if cap(*b) > keep {
			*b = nil
		}
	}
	if cap(r.names) > mostNames {
		r.names = nil
	}
	clear(r.asides) // their batches belong to whoever asked
	if r.asides, r.places = r.asides[:0], nil; cap(r.asides) > mostNames {
		r.asides = nil
	}
	goesOn := 0
	if out.Rebuilt {
		goesOn = cap(out.Batch)
	}
	for i := range out.Aside {
		goesOn += cap(out.Aside[i].Batch)
	}
	r.lender.Return(r.lender.lent - goesOn)
	r.lender = lender{}
}
