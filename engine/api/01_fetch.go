package api

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/intercept"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// fetchCall is one fetch: where it reads, what it found, and how it waits.
//
// Ownership: the loop's, except that the shards hold the wait between Begin and Idle.
// It goes back to the pool when it is answered and no shard knows of it any more.
type fetchCall struct {
	call
	request     wire.Fetch
	frame       *netpoll.Frame // nil once nothing points into it
	incremental *fetchSession  // that the request is part of; nil: it stands alone
	full        bool           // every partition is listed in the answer, news or not
	targets     []target
	scratch     []byte
	aborted     []batch.Aborted // of all targets
	wait        shard.Wait
	waiting     bool
	due         bool // the wait is over
	warming     bool // readers bring what is cold
	warmed      bool // and have done so: whatever else is cold now waits for the next fetch
	answered    bool
	filtering   fetchFilter
	gone        atomic.Bool // its connection closed; for workers
	reading     atomic.Int32
	colds       []coldTarget
	// judged is the topic that was asked for last whether it may be read, and how that ended.
	judged   *shard.Topic
	verdict  bool
	rationed int          // bytes that readers may bring
	wakeup   netpoll.Task // runs resume on the loop
	opening  *settling    // what it waited for before it looked; nil: all was open
	parties  atomic.Int32 // the answer, and the wait while it is on
	next     *fetchCall   // in the session's list of waiting fetches
	prev     *fetchCall
}

// target is one partition that is read.
type target struct {
	name    string
	id      [16]byte
	topic   *shard.Topic
	replica *shard.Replica
	read    wire.FetchPartition
	known   *sessionPartition
	shut    bool  // it is not opened for whoever asks
	seen    int64 // committed bytes when it was looked at
	result  wire.FetchResult
	found   commitlog.Range
	allowed int               // bytes that found may have
	has     bool              // found holds a segment
	cold    bool              // what is to be found is not in memory
	filter  *intercept.Filter // interceptors that are to see what was found; nil: none
	part    coldPart
	// filtered is what interceptors have made of what was found; nil: there are none.
	filtered *filteredRecords
	silent   bool // nothing new for a session that knows the partition
}

var fetchCalls sync.Pool

func newFetchCall() *fetchCall {
	if f, _ := fetchCalls.Get().(*fetchCall); f != nil {
		return f
	}
	f := new(fetchCall)
	f.wakeup.Run = f.resume
	f.wait.Call = f
	return f
}

// fetch serves Fetch.
//
//	v4 isolation level · v5 log start offset · v7 sessions · v9 leader epochs
//	v11 rack id · v12 flexible · v13 topic ids · v15 replica state · v16 leaders' nodes
//	v17 directory ids · v18 high watermark
//
// Differs from Kafka: a session ends with its connection, interceptors may change what is
// sent, batches are sent whole, and the last fetched epoch, which only brokers send, is not
// looked at.
func fetch(c call, frame *netpoll.Frame, body []byte) error {
	f := newFetchCall()
	f.call, f.frame = c, frame
	f.incremental, f.opening, f.waiting, f.due, f.warming, f.warmed, f.answered = nil, nil, false, false, false, false, false
	f.filtering = fetchFilter{}
	f.gone.Store(false)
	f.parties.Store(1)
	if err := f.request.Parse(c.version, body); err != nil {
		f.drop()
		return err
	}
	full, refused := f.openSession()
	if refused != nil {
		f.refuse(refused)
		return nil
	}
	f.full = full
	f.aim()
	f.forgetFrame()
	if !f.settle() {
		f.proceed()
	}
	return nil
}

// aim lists the partitions to read: those of the session, or of the request alone.
func (f *fetchCall) aim() {
	if s := f.incremental; s != nil {
		if len(s.order) == 0 && f.request.SessionEpoch > 0 { // a session without partitions ends, as in Kafka
			f.session.fetches.close(s.id, &f.server.sessions)
			f.incremental, f.full = nil, true
			return
		}
		if n := len(s.order); n > 0 {
			s.target %= n
			for i := range n {
				p := s.order[(s.target+i)%n]
				f.add(p.topic.find(f.server.Registry), p.topic.name, p.topic.id, p.read, p)
			}
			s.target++
		}
		return
	}
	at := 0
	var seen map[spot]int // of a request that names many: a partition that it repeats is read once, from where the last says, as in Kafka
	if len(f.request.Partitions) > mostRepeated {
		seen = make(map[spot]int)
	}
	for i := range f.request.Topics {
		t := &f.request.Topics[i]
		var topic *shard.Topic
		name := ""
		if f.version >= 13 {
			topic = f.server.Registry.ByID(t.ID)
		} else if topic = f.server.Registry.ByName(t.Name); topic != nil {
			name = topic.Name
		} else {
			name = string(t.Name)
		}
		for ; at < t.End; at++ {
			read := f.request.Partitions[at]
			if seen != nil {
				here := spot{name, t.ID, read.Index}
				if k, twice := seen[here]; twice {
					f.targets[k].read = read
					continue
				}
				seen[here] = len(f.targets)
			}
			f.add(topic, name, t.ID, read, nil)
		}
	}
}

// spot is one partition as a request names it.
type spot struct {
	name  string
	id    [16]byte
	index int32
}

const (
	// mostRepeated is how many partitions a fetch may name without being looked through for repeated ones.
	mostRepeated = 1000
	// mostAwaited is how many partitions the waiting fetches of one connection may watch: each takes half a kilobyte. One
	// beyond that does not wait.
	mostAwaited = 100_000
	// mostTargetsKept is how many partitions a call may have had room for that is used again.
	mostTargetsKept = 1 << 14
)

// forgetFrame lets the frame go: a fetch may wait for days, and what all frames may take is shared by all
// connections. What the request names is in targets now.
func (f *fetchCall) forgetFrame() {
	f.request.Empty(mostTargetsKept)
	f.frame.Release()
	f.frame = nil
}

func (f *fetchCall) add(topic *shard.Topic, name string, id [16]byte, read wire.FetchPartition, known *sessionPartition) {
	t := target{name: name, id: id, topic: topic, read: read, known: known}
	if topic != nil {
		t.replica = topic.Replica(read.Index)
	}
	f.targets = append(f.targets, t)
}

// resume runs on the loop, once settled or once woken.
func (f *fetchCall) resume() {
	if f.answered { // the connection closed while a wake was on its way
		f.releaseRanges()
		f.drop()
		return
	}
	f.endWait(f.conn.Loop().Now())
	switch {
	case f.waiting:
		f.leave()
		f.due, f.warmed = true, false
	case f.warming:
		f.warming, f.warmed = false, true
		f.session.unpark(f)
		f.drop() // of the readers
	case f.filtering.on:
		f.filtered()
		return
	}
	f.proceed()
}

// proceed looks, and answers, waits, or has read what is not in memory.
func (f *fetchCall) proceed() {
	bytes, failed := f.look()
	switch {
	case len(f.colds) > 0:
		f.warm()
	case failed || f.warmed && bytes > 0 || bytes >= int(f.request.MinBytes) || !f.mayWait():
		f.answer()
	default:
		f.waitFor(int64(f.request.MinBytes) - int64(bytes))
	}
}

// mayWait reports whether there is something to wait for, time to do so, and room for one more that waits.
func (f *fetchCall) mayWait() bool {
	return len(f.targets) > 0 && !f.due && f.request.MaxWaitMillis > 0 && !f.session.closed &&
		f.session.awaited+len(f.targets) <= mostAwaited
}

// waitFor has the call look again when so many bytes more can be read, or its time is over.
func (f *fetchCall) waitFor(bytes int64) {
	f.releaseRanges()
	for i := range f.targets {
		f.wait.Add(f.targets[i].replica, f.targets[i].seen, f.request.ReadCommitted)
	}
	f.wait.Need = bytes
	passed := f.conn.Loop().Now().Sub(f.received)
	f.wait.When = f.server.Now().Add(time.Duration(f.request.MaxWaitMillis)*time.Millisecond - passed)
	f.beginWait(f.conn.Loop().Now())
	f.waiting = true
	f.session.awaited += len(f.targets)
	f.parties.Add(2) // the wait, and the wake that will come
	f.session.park(f)
	f.wait.Begin()
}

// read notes that one reading has ended. After the last the loop looks again.
func (f *fetchCall) read() {
	if f.reading.Add(-1) == 0 && !f.conn.Loop().Post(&f.wakeup) { // the server is closed
		f.releaseRanges()
	}
}

// Wake has the loop look again. It runs on a shard.
func (f *fetchCall) Wake() { f.conn.Loop().Post(&f.wakeup) }

// Idle says that no shard knows of the wait any more. It runs on a shard, or on the loop.
func (f *fetchCall) Idle() { f.drop() }

// leave ends the wait.
func (f *fetchCall) leave() {
	f.waiting = false
	f.session.awaited -= len(f.targets)
	f.session.unpark(f)
	f.wait.End()
	f.drop() // of the wake
}

// abandon ends a fetch whose connection closed. If a wake is on its way, resume drops
// the party that the wake is.
func (f *fetchCall) abandon() {
	f.answered = true
	f.gone.Store(true)
	if f.filtering.on && !f.filtering.turn { // no worker has it
		f.releaseRanges()
	}
	if f.waiting {
		f.waiting = false
		if f.wait.Cancel() {
			f.drop()
		}
	}
	f.slot.Discard()
	f.drop()
}

// look reads where every partition stands. It reports how many bytes there are to send,
// and whether one has an error, which does not wait.
func (f *fetchCall) look() (bytes int, failed bool) {
	f.colds, f.aborted, f.rationed, f.judged = f.colds[:0], f.aborted[:0], 0, nil
	left := min(int(f.request.MaxBytes), config.FetchMaxBytes.Of(f.server.Values()))
	for i := range f.targets {
		t := &f.targets[i]
		f.releaseFound(t)
		t.cold = false
		if t.topic != nil && label.On() {
			mark(f.conn, t.topic.FetchLabels())
		}
		t.result = wire.FetchResult{Index: t.read.Index, HighWatermark: -1, LastStable: -1, LogStart: -1}
		if err := f.locate(t, left-bytes-f.rationed, bytes+f.rationed == 0); err != nil {
			t.result.Error = code(err)
			failed = true
			f.damaged(t, err)
		}
		if t.cold && !f.warmed && f.ration(t) {
			f.colds = append(f.colds, coldTarget{f, i})
		}
		if t.result.RecordBytes == 0 && f.warmed {
			f.releaseRange(t)
		}
		bytes += t.result.RecordBytes
	}
	return bytes, failed
}

// damaged has the broker's log name the file that could not be read: the client is told no more than a code.
func (f *fetchCall) damaged(t *target, err error) {
	if _, known := err.(*kerr.Error); known { //nolint:errorlint // a bare error, as of most refusals, names no file
		return
	}
	if _, damaged := errors.AsType[*commitlog.Damage](err); damaged {
		t.replica.Disk().Damaged(f.server.Now(), err)
	}
}

// locate finds what of one partition is sent: whole batches up to the high watermark,
// within the bounds of partition and response, save that the first batch of a response
// is sent whatever its size (KIP-74).
func (f *fetchCall) locate(t *target, left int, first bool) error {
	switch {
	case f.server.Authorizer != nil && (!f.permitted(t) || t.shut):
		return kerr.TopicAuthorizationFailed
	case t.topic == nil:
		return unknownTopic(f.version >= 13)
	case t.replica == nil:
		return kerr.UnknownTopicOrPartition
	}
	r := t.replica
	unopened := f.opening != nil && f.opening.late.Load() && !r.Settled() && r.Disk().Failed() == nil
	log, err := r.Log()
	if err != nil && unopened {
		return kerr.ReplicaNotAvailable // of all codes the one by which every client comes again without a word
	}
	if err != nil {
		return err
	}
	if err := r.CheckEpoch(t.read.LeaderEpoch); err != nil {
		return err
	}
	t.seen = r.Committed()
	if f.request.ReadCommitted {
		t.seen = r.StableBytes()
	}
	stable := r.StableOffset()
	high, start := r.HighWatermark(), r.Start()
	if t.read.Offset < start || t.read.Offset > high {
		return kerr.OffsetOutOfRange
	}
	t.result.HighWatermark, t.result.LastStable, t.result.LogStart = high, stable, start
	t.result.ReadCommitted = f.request.ReadCommitted
	if log == nil || t.read.Offset >= f.limit(t) || left <= 0 && !first {
		return nil
	}
	t.allowed = max(min(int(t.read.MaxBytes), left), 0)
	if t.part.tried && !t.part.cached {
		return f.take(log, t, first)
	}
	found, err := f.find(log, t)
	if t.cold = err == commitlog.ErrCold; t.cold {
		return nil
	}
	if err != nil {
		return err
	}
	t.found, t.has = found, true
	if found.Bytes == 0 || found.Bytes > t.allowed && !first {
		f.releaseRange(t)
		return nil
	}
	t.result.RecordBytes = found.Bytes
	if f.request.ReadCommitted {
		return f.leaveOut(log, t, found.End)
	}
	return nil
}

// permitted reports whether t may be read, each time that it is looked at: a right that is
// taken away ends a fetch that waits. Followers may read all or nothing.
func (f *fetchCall) permitted(t *target) bool {
	switch {
	case f.request.ReplicaID >= 0:
		return f.onCluster(sdk.OperationClusterAction)
	case t.topic == nil && f.version >= 13:
		return true // nobody knows of which topic that is the id
	case t.topic == nil:
		return f.allowed(sdk.OperationRead, sdk.ResourceTopic, t.name)
	case t.topic != f.judged:
		f.judged, f.verdict = t.topic, f.allowed(sdk.OperationRead, sdk.ResourceTopic, t.topic.Name)
	}
	return f.verdict
}

// limit is the offset that the request does not read beyond in the partition of t.
func (f *fetchCall) limit(t *target) int64 {
	if f.request.ReadCommitted {
		return t.result.LastStable
	}
	return t.result.HighWatermark
}

// leaveOut tells what was aborted among the records that were found, which end there.
func (f *fetchCall) leaveOut(log *commitlog.Log, t *target, end int64) (err error) {
	from := len(f.aborted)
	f.aborted, err = log.Aborted(f.aborted, t.read.Offset, min(end, f.limit(t)), !t.part.tried)
	if err != nil {
		t.result.RecordBytes = 0
		f.releaseRange(t)
		if t.cold = err == commitlog.ErrCold; t.cold {
			return nil
		}
		return err
	}
	t.result.Aborted = f.aborted[from:len(f.aborted):len(f.aborted)]
	return nil
}

// find finds the records of t, in memory unless readers have brought them there before: then
// those that they were allowed to bring, for the loop would wait for all behind them.
func (f *fetchCall) find(log *commitlog.Log, t *target) (commitlog.Range, error) {
	if t.part.err != nil {
		return commitlog.Range{}, t.part.err
	}
	if t.part.cached {
		return log.Locate(t.read.Offset, min(t.allowed, t.part.most), f.limit(t))
	}
	return log.LocateCached(t.read.Offset, t.allowed, f.limit(t))
}

func (f *fetchCall) releaseRanges() {
	for i := range f.targets {
		f.releaseRange(&f.targets[i])
	}
}

// releaseRange lets go of all that was found and read of t.
func (f *fetchCall) releaseRange(t *target) {
	t.releaseFiltered()
	f.releaseFound(t)
	if t.part.tried {
		t.part.past.Release()
		t.part = coldPart{}
	}
}

func (f *fetchCall) releaseFound(t *target) {
	if t.has {
		t.found.Release()
		t.has = false
	}
}

// drop counts one party down; the last frees the call.
func (f *fetchCall) drop() {
	if f.parties.Add(-1) > 0 {
		return
	}
	if f.frame != nil {
		f.frame.Release()
	}
	f.frame, f.incremental, f.opening, f.judged = nil, nil, nil, nil
	f.call = call{}
	clear(f.targets)
	f.targets = f.targets[:0]
	if cap(f.targets) > mostTargetsKept {
		return // the next one does not need that much
	}
	fetchCalls.Put(f)
}

// park remembers a waiting fetch, so that it ends with its connection.
func (s *session) park(f *fetchCall) {
	f.prev, f.next = nil, s.waiting
	if s.waiting != nil {
		s.waiting.prev = f
	}
	s.waiting = f
}

func (s *session) unpark(f *fetchCall) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		s.waiting = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}

// abandonFetches ends what waits for a connection that closed.
func (s *session) abandonFetches() {
	s.filters.behind = nil
	for f := s.waiting; f != nil; {
		next := f.next
		f.prev, f.next = nil, nil
		f.abandon()
		f = next
	}
	s.waiting = nil
}
