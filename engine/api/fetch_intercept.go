package api

import (
	"errors"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/intercept"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// fetchFilter is the part of a fetch whose topics have interceptors: records are copied, and
// seen by them on a worker before the answer is put together. While that lasts the call waits
// as it does for a disk.
//
//	answer ──turn of its connection──▶ worker ──▶ answer ──▶ socket ──▶ the next one's turn
//	                                     │ no memory
//	                                     └──▶ wait.max.ms ──▶ once more, and then without records
//
// The copy lasts until the socket has it all. What peers do not read must not take the memory of
// those who write, so it is not borrowed from the budget: copies have half as much for themselves.
//
// Ownership: the loop's, and the worker's from the post to the wake.
type fetchFilter struct {
	on       bool // a worker has it, or it waits for its turn
	done     bool
	again    bool // it has found no memory before, and waits for some: once, a worker serves others too
	turn     bool // it is the one of its connection
	short    bool // there was no memory for any records
	clientID string
}

// filterTurns are the fetches of one connection that interceptors are to see: one is with a
// worker, or in the socket, and those behind it wait. Who sends many and reads no answer costs
// the memory of one.
//
// Ownership: the connection's loop.
type filterTurns struct {
	busy   bool
	unsent int // parts of the answer that are with the socket
	behind []*fetchCall
}

// answerParts is into how many parts the memory for answers is divided: one answer has no more,
// unless its first batch alone is larger.
const answerParts = 8

// filteredRecords are what interceptors have left of the records of one target.
//
// Ownership: the worker's, then the loop's, then the slot's that they are attached to.
type filteredRecords struct {
	bytes []byte
	turns *filterTurns // of the connection, once they are attached
	of    *Server
}

// Release gives back what the socket has taken. It runs on the loop.
func (r *filteredRecords) Release() {
	r.giveBack()
	if r.turns.unsent--; r.turns.unsent == 0 {
		r.turns.next()
	}
}

func (r *filteredRecords) giveBack() {
	r.of.answers.Give(cap(r.bytes))
}

// choose notes which interceptors must see what was found of t, once: settings may change at
// any time, and the worker must find those that the loop has seen. It reports whether there are any.
func (t *target) choose() bool {
	t.filter = nil
	if t.result.RecordBytes > 0 {
		t.filter = t.topic.Settings().Fetch
	}
	return t.filter != nil
}

// filter leaves the targets that have interceptors to a worker, and reports whether there
// are any; then resume follows.
func (f *fetchCall) filter() bool {
	if f.filtering.done {
		return false
	}
	some := false
	for i := range f.targets {
		some = f.targets[i].choose() || some
	}
	if !some {
		return false
	}
	s := f.session
	if s.closed { // while the disk was looked at: nobody would begin its turn, or end it
		f.leaveFilteredOut()
		return false
	}
	f.filtering.on, f.filtering.clientID = true, s.clientID
	s.park(f)
	if s.filters.busy {
		s.filters.behind = append(s.filters.behind, f)
	} else {
		s.filters.begin(f)
	}
	return true
}

// begin has a worker take f.
func (q *filterTurns) begin(f *fetchCall) {
	q.busy, f.filtering.turn = true, true
	f.parties.Add(1) // the worker, until the loop goes on
	if f.server.Pool.Post(f) {
		return
	}
	f.leaveFilteredOut() // the client asks again
	f.conn.Loop().Post(&f.wakeup)
}

// leaveFilteredOut has an answer without what interceptors would have to see.
func (f *fetchCall) leaveFilteredOut() {
	for i := range f.targets {
		if t := &f.targets[i]; t.filter != nil {
			f.without(t, nil)
		}
	}
}

// next ends a turn, and begins that of the next fetch.
func (q *filterTurns) next() {
	q.busy = false
	if len(q.behind) == 0 {
		return
	}
	f := q.behind[0]
	q.behind[0] = nil
	if q.behind = q.behind[1:]; len(q.behind) == 0 {
		q.behind = nil
	}
	q.begin(f)
}

// filtered goes on with what the worker has left. It runs on the loop.
func (f *fetchCall) filtered() {
	f.filtering.on, f.filtering.done = false, true
	f.session.unpark(f)
	f.drop() // of the worker
	if f.filtering.short && f.later() {
		return
	}
	f.answer()
}

// later has a fetch that found no memory look again when its wait is over. It reports whether
// there is a wait left.
func (f *fetchCall) later() bool {
	if f.due || f.request.MaxWaitMillis <= 0 || f.session.closed {
		f.starved()
		return false
	}
	for i := range f.targets {
		if f.targets[i].result.Error != 0 {
			return false
		}
	}
	f.session.filters.next()
	f.filtering = fetchFilter{again: true}
	f.waitFor(math.MaxInt64)
	return true
}

// starved says that a fetch is answered without records because there was no memory for them,
// though not for each of them.
func (f *fetchCall) starved() {
	now, before := f.server.Now().UnixNano(), f.server.starved.Load()
	if now-before > int64(time.Minute) && f.server.starved.CompareAndSwap(before, now) {
		f.server.Log.Warn("fetches of topics with interceptors.fetch are answered without records: all memory for that is lent, or waits for consumers to read it (decompression.buffer.bytes)",
			"peer", f.conn.RemoteAddr(), "lent", f.server.Memory.Used(), "unread", f.server.answers.Used())
	}
}

// endFilter ends the turn of f once it is answered, unless the socket has some of it.
func (f *fetchCall) endFilter() {
	if q := &f.session.filters; f.filtering.turn && q.unsent == 0 {
		q.next()
	}
}

// Unpack has interceptors see what was found. It runs on a worker.
func (f *fetchCall) Unpack() {
	left := min(int(f.request.MaxBytes), config.FetchMaxBytes.Of(f.server.Values()))
	sent := 0
	for i := range f.targets {
		if t := &f.targets[i]; t.filter == nil {
			sent += t.result.RecordBytes
		}
	}
	short := false
	for i := range f.targets {
		t := &f.targets[i]
		if t.filter == nil {
			continue
		}
		if label.On() {
			label.Set(t.topic.FetchLabels())
		}
		w := filterWork{call: f, target: t, room: left - sent, first: sent == 0, purse: f.server.Memory.Purse()}
		err := unpack.ErrSpent
		if !f.gone.Load() { // else nobody waits for an answer
			err = w.intercept()
		}
		w.purse.Close()
		if err != nil || t.filtered == nil {
			f.without(t, err)
		}
		short = short || errors.Is(err, unpack.ErrSpent)
		sent += t.result.RecordBytes
	}
	f.filtering.short = short && sent == 0
	if !f.conn.Loop().Post(&f.wakeup) { // the server is closed
		f.releaseRanges()
	}
}

// without leaves the records of t out of the answer. A fault of an interceptor is told as
// UNKNOWN_SERVER_ERROR: consumers stay where they are and ask again, until somebody has mended
// or unloaded it. Other codes would have them look for another leader, or skip records.
func (f *fetchCall) without(t *target, err error) {
	f.releaseRange(t)
	t.result.RecordBytes = 0
	if err == nil || errors.Is(err, unpack.ErrSpent) {
		return // memory comes back
	}
	t.result.Error = kerr.UnknownServerError.Code
	t.topic.Counts.FetchFailed()
	var refused *chain.Refusal
	if !errors.As(err, &refused) || !refused.Off || t.filter.Unlogged(f.server.Now()) {
		f.server.Log.Warn("records are not sent", "topic", t.topic.Name, "partition", t.read.Index, "error", err)
	}
}

// filterWork is what a worker does for one target.
type filterWork struct {
	call   *fetchCall
	target *target
	room   int  // bytes that the answer may still have
	first  bool // nothing else is in the answer: one batch passes, whatever its size (KIP-74)
	purse  unpack.Purse

	read []byte // what was found; batches that are done make room for what became of them
	left []byte // what interceptors left: in front of what is read on, or in memory of its own
	own  bool
}

// intercept copies what was found of a target, batch by batch, as its interceptors make it.
// When memory or room in the answer ends, or something is wrong with a batch, it is what was copied
// so far: the client asks for the rest next, and hears then what is wrong with that.
func (w *filterWork) intercept() error {
	t := w.target
	if err := w.copyFound(); err != nil || w.read == nil {
		return err
	}
	place := t.filter.Enter(t.read.Index)
	err := w.run(place, t.topic.Settings().Fetch) // as it is now, or none: instances of earlier ones may be closed
	place.Leave()
	if w.own && w.read != nil {
		w.giveBack(cap(w.read))
	}
	if len(w.left) == 0 {
		w.giveBack(cap(w.left))
		return err
	}
	w.call.releaseRange(t)
	t.filtered = &filteredRecords{bytes: w.left, of: w.call.server}
	t.result.RecordBytes = len(w.left)
	return nil
}

// run has the interceptors of filter see all batches.
func (w *filterWork) run(place *intercept.Place, filter *intercept.Filter) error {
	w.left = w.read[:0]
	var into []byte
	for at := 0; at < len(w.read); {
		n, err := batch.Peek(w.read[at:])
		if errors.Is(err, batch.ErrShort) && at > 0 {
			return nil // there was no memory for all of it
		}
		if err != nil {
			return err
		}
		out := chain.Outcome{Batch: w.read[at : at+n]}
		if filter != nil {
			out, err = w.show(place, filter, out.Batch, into)
		}
		if err != nil {
			return err
		}
		fits, err := w.keep(out.Batch, at+n)
		if out.Rebuilt {
			w.purse.Return(cap(out.Batch))
			into = out.Batch[:0]
		}
		if err != nil || !fits {
			return err
		}
		at += n
	}
	return nil
}

// show has interceptors see one batch. What it takes beyond the copy is taken if it is free, for
// the worker is in a place, and holds the copy.
func (w *filterWork) show(place *intercept.Place, filter *intercept.Filter, b batch.Batch, into []byte) (chain.Outcome, error) {
	if err := b.Verify(); err != nil {
		return chain.Outcome{}, err
	}
	f, t := w.call, w.target
	in := chain.Input{
		Topic: t.topic.Name, Partition: t.read.Index, ClientID: f.filtering.clientID, Batch: b, Fetch: true, Into: into,
		MaxSize: max(config.FetchMaxBytes.Of(f.server.Values()), len(b)), Memory: &w.purse,
	}
	if label.On() {
		in.Labels = t.topic.FetchLabels()
	}
	out, err := place.Run(filter, &in)
	if _, ok := errors.AsType[*chain.Unasked](err); ok && !errors.Is(err, unpack.ErrSpent) {
		// More than there ever is, as far as it is known without measuring.
		if in.Measured, err = batch.Measure(b, chain.MaxPlain, f.server.Memory.Eager()); err == nil {
			err = w.purse.Fill(in.Need(in.Measured, filter.Plugins()))
		}
		if err == nil {
			out, err = place.Run(filter, &in)
		}
	}
	return out, err
}

// keep puts what became of a batch behind what is left, and reports whether the answer has room
// for it. The batch, and all before it, end in the copy where read says.
func (w *filterWork) keep(b batch.Batch, read int) (fits bool, err error) {
	size := len(w.left) + len(b)
	if size > w.room && (len(w.left) > 0 || !w.first) {
		return false, nil
	}
	switch {
	case !w.own && size > read: // it became larger than what it was made of
		rest := len(w.read) - read
		if err := w.borrow(size + rest + rest/4); err != nil {
			return false, err
		}
		w.left, w.own = append(make([]byte, 0, size+rest+rest/4), w.left...), true
	case w.own && size > cap(w.left):
		return false, nil
	}
	w.left = append(w.left, b...)
	return true, nil
}

// copyFound reads what was found of the target, or as much of it as one answer may have. There
// is nothing to read when the answer has no room for its first batch.
func (w *filterWork) copyFound() error {
	f, t := w.call, w.target
	size := min(t.result.RecordBytes, max(w.room, 0), f.server.answers.Limit()/answerParts)
	if size < t.result.RecordBytes {
		head := make([]byte, batch.HeaderSize)
		if err := f.readFound(t, head); err != nil {
			return err
		}
		first, err := batch.Peek(head)
		if err != nil && first == 0 {
			return err
		}
		if first > w.room && !w.first {
			return nil
		}
		size = max(size, first)
	}
	if f.filtering.again && w.first { // it holds nothing, and is in no place
		f.filtering.again = false
		if err := w.purse.Wait(min(8*size, f.server.answers.Limit())); err != nil {
			return err
		}
	}
	if err := w.borrow(size); err != nil {
		return err
	}
	w.read = make([]byte, size)
	if err := f.readFound(t, w.read); err != nil {
		w.giveBack(size)
		return err
	}
	return nil
}

// borrow takes memory that the answer will hold.
func (w *filterWork) borrow(bytes int) error { return w.call.server.answers.Take(bytes) }

func (w *filterWork) giveBack(bytes int) { w.call.server.answers.Give(bytes) }

// readFound reads the beginning of what was found of t.
func (f *fetchCall) readFound(t *target, into []byte) error {
	if t.part.past.Bytes > 0 {
		t.part.past.Copy(into)
		return nil
	}
	_, err := t.found.File.ReadAt(into, t.found.Position)
	return err
}

// releaseFiltered gives back what interceptors left of t and nobody sends.
func (t *target) releaseFiltered() {
	if t.filtered != nil {
		t.filtered.giveBack()
		t.filtered = nil
	}
}

// attachFiltered hands the slot what interceptors have left of t.
func (f *fetchCall) attachFiltered(t *target) {
	r := t.filtered
	t.filtered = nil
	r.turns = &f.session.filters
	r.turns.unsent++
	f.slot.Attach(r.bytes, r)
}
