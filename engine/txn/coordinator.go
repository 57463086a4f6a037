package txn

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// Env is what a Coordinator needs of the shard that owns it. Every done is called later, never
// from within the call, once, and on the owner's goroutine.
type Env interface {
	// Append appends a record to the coordinator's partition of __transaction_state. done is
	// told once it is committed, or why it never will be. The record belongs to Env.
	Append(r Record, done func(error))
	// ProducerID draws a producer id that was never given before.
	ProducerID(done func(id int64, err error))
	// Mark has a marker written to a partition. bumped says that its epoch is above that of
	// the transaction.
	Mark(m batch.Marker, bumped bool, to Partition, done func(error))
	// Epoch is the leader epoch of the coordinator's partition.
	Epoch() int32
}

// Coordinator holds the transactional ids of one partition of __transaction_state.
//
// Ownership: everything here belongs to one goroutine.
type Coordinator struct {
	limits
	env    Env
	ids    map[string]*transaction
	loaded bool
	closed *kerr.Error // not nil once closed: the answer to everything

	happened Happened

	// What Tick looks at, in milliseconds.
	now                            int64
	nextAbort, nextRemove, nextTry int64
	failed                         []func()          // to be tried again at nextTry
	patient                        []*patient        // in the order of their ends
	replies                        map[*ask]struct{} // who waits for the log
}

// ask is somebody who waits for a record, to be told if the coordinator closes.
type ask struct {
	id     string
	refuse func(*kerr.Error)
}

// New returns a coordinator without ids. Replay gives it its past, Loaded opens it.
func New(o Options, env Env) *Coordinator {
	return &Coordinator{limits: o.limits(), env: env, ids: map[string]*transaction{}, replies: map[*ask]struct{}{}}
}

// SetOptions changes the settings.
func (c *Coordinator) SetOptions(o Options) { c.limits = o.limits() }

// Loaded ends the replay: from now on requests are served. What was decided is completed.
func (c *Coordinator) Loaded(now time.Time) {
	c.loaded = true
	c.now = now.UnixMilli()
	c.nextAbort, c.nextRemove = c.now+c.abortInterval, c.now+c.removeInterval
	for _, t := range c.sorted() {
		// Of a life in which the time was ahead: its transactions would be open until then.
		t.started, t.updated = min(t.started, c.now), min(t.updated, c.now)
		if t.state.preparing() {
			c.complete(t)
		}
	}
}

// Close answers everything that waits, and every later request, with NOT_COORDINATOR.
func (c *Coordinator) Close() {
	if c.closed != nil {
		return
	}
	c.closed = kerr.NotCoordinator
	waiting := slices.SortedFunc(maps.Keys(c.replies), func(a, b *ask) int { return strings.Compare(a.id, b.id) })
	c.replies = map[*ask]struct{}{}
	for _, a := range waiting {
		a.refuse(c.closed)
	}
	for _, p := range c.patient {
		if !p.gone {
			c.goOn(p)
		}
	}
	c.patient, c.failed, c.ids = nil, nil, map[string]*transaction{}
}

// refusal is why no request can be served now, or nil.
func (c *Coordinator) refusal() *kerr.Error {
	switch {
	case c.closed != nil:
		return c.closed
	case !c.loaded:
		return kerr.CoordinatorLoadInProgress
	}
	return nil
}

func (c *Coordinator) sorted() []*transaction {
	return slices.SortedFunc(maps.Values(c.ids), func(a, b *transaction) int { return strings.Compare(a.id, b.id) })
}

// store appends what t is to become. Once that is in the log it is so, and then is called;
// otherwise t is as before and refuse is told.
func (c *Coordinator) store(t *transaction, next metadata, refuse func(*kerr.Error), then func()) {
	t.busy = true
	a := &ask{t.id, refuse}
	c.replies[a] = struct{}{}
	c.env.Append(c.record(t.id, &next), func(err error) {
		if c.closed != nil {
			return
		}
		delete(c.replies, a)
		t.busy = false
		if err != nil {
			if t.epoch < 0 {
				delete(c.ids, t.id) // nothing of it is in the log
			}
			refuse(asError(err))
			c.release(t)
			return
		}
		t.metadata = next
		then()
		c.release(t)
	})
}

// release lets those go on who wait for t, unless something is going on with it again.
func (c *Coordinator) release(t *transaction) {
	for len(t.patient) > 0 && !t.busy && !t.state.preparing() {
		c.goOnTogether(t)
	}
}

// complete has the markers of a decision written, and then says so in the log.
func (c *Coordinator) complete(t *transaction) {
	t.owed = map[Partition]struct{}{}
	for _, p := range t.partitions {
		t.owed[p] = struct{}{}
	}
	if len(t.owed) == 0 {
		c.conclude(t)
		return
	}
	for _, p := range t.partitions {
		c.mark(t, p)
	}
}

func (c *Coordinator) mark(t *transaction, p Partition) {
	m := batch.Marker{ProducerID: t.producer, ProducerEpoch: t.epoch, Commit: t.state == PrepareCommit, CoordinatorEpoch: c.env.Epoch()}
	c.env.Mark(m, t.version >= 2, p, func(err error) {
		switch {
		case c.closed != nil:
			return
		case err != nil && !isOver(err):
			c.again(func() { c.mark(t, p) })
			return
		}
		if delete(t.owed, p); len(t.owed) == 0 {
			c.conclude(t)
		}
	})
}

// isOver reports whether a marker that a partition refused is of no use any more: the topic is
// gone, or somebody has ended the transaction there under a higher epoch.
func isOver(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.InvalidProducerEpoch) ||
		errors.Is(err, kerr.TransactionCoordinatorFenced)
}

// conclude says in the log that all markers are written.
func (c *Coordinator) conclude(t *transaction) {
	c.store(t, t.completed(c.now), func(*kerr.Error) {
		c.again(func() { c.conclude(t) })
	}, func() { t.owed = nil })
}

// again has something that failed tried again after a pause.
func (c *Coordinator) again(f func()) {
	if c.closed != nil {
		return
	}
	if len(c.failed) == 0 {
		c.nextTry = c.now + c.pause
	}
	c.failed = append(c.failed, f)
}

// asError is the answer to a client whose record could not be appended.
func asError(err error) *kerr.Error {
	var known *kerr.Error
	if !errors.As(err, &known) {
		return kerr.CoordinatorNotAvailable
	}
	switch known {
	case kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut:
		return kerr.CoordinatorNotAvailable
	case kerr.NotLeaderForPartition, kerr.KafkaStorageError:
		return kerr.NotCoordinator
	case kerr.MessageTooLarge, kerr.RecordListTooLarge:
		return kerr.UnknownServerError
	}
	return known
}
