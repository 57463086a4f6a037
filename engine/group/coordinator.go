package group

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Env is what a Coordinator needs of the shard that owns it.
type Env interface {
	// Append appends records to the coordinator's partition of __consumer_offsets. done
	// is called once they are committed, or with the reason why they never will be:
	// later, never from within Append, and on the owner's goroutine. Records are committed
	// in the order of the calls.
	//
	// Ownership: the records belong to Env.
	Append(records []Record, done func(error))
	// AppendIn is Append as part of a transaction, whose coordinator is asked first. It is not
	// in order with Append, and records are in the log in the order in which done is called.
	AppendIn(t Transaction, records []Record, done func(error))
}

// Client is who sent a request.
type Client struct {
	ID   string // client.id
	Host string // as Kafka shows it: "/127.0.0.1"
}

// Coordinator holds the groups of one partition of __consumer_offsets.
//
// Ownership: everything here belongs to one goroutine.
type Coordinator struct {
	limits
	env       Env
	cluster   Cluster
	pictures  uint64 // counts the pictures of the cluster that showed other topics
	groups    map[string]*group
	deadlines deadlines
	writes    []*write         // appended and not yet committed, oldest first
	sequence  uint64           // of the latest write
	pending   map[int64]*waits // offsets of transactions that have not ended, by producer
	promises  []promise        // ids that were given out, oldest first; those that were used are among them
	promised  int              // how many of them are open
	order     uint64           // of the latest offset that came into the log
	loaded    bool
	closed    *kerr.Error // not nil once closed: the answer to everything
}

// New returns a coordinator without groups. Replay gives it its past, Loaded opens it.
func New(o Options, env Env) *Coordinator {
	return &Coordinator{limits: o.limits(), env: env, cluster: noCluster{}, pictures: 1, groups: map[string]*group{}, sequence: 1}
}

// SetOptions changes the settings; what is already scheduled stays as it is.
func (c *Coordinator) SetOptions(o Options) { c.limits = o.limits() }

// Loaded ends the replay: from now on requests are served. Every member gets a fresh
// session, since nobody can tell when it was last seen.
func (c *Coordinator) Loaded(now time.Time) {
	c.loaded = true
	at := now.UnixMilli()
	for _, g := range c.sorted() {
		g.loadedConsumer(at)
		for _, m := range g.members {
			g.touch(at, m)
		}
		if len(g.members) > c.maxSize { // the limit was lowered: those who come too late are turned away
			g.prepareRebalance(at)
		}
		g.expireBy(at + c.checkInterval)
	}
}

// Tick does what is due: sessions and rebalances that ended, offsets that expired.
func (c *Coordinator) Tick(now time.Time) {
	at := now.UnixMilli()
	for d := c.deadlines.due(at); d != nil; d = c.deadlines.due(at) {
		d.fire(at)
	}
}

// NextTick is the moment from which Tick has something to do; zero when there is none.
func (c *Coordinator) NextTick() time.Time {
	if len(c.deadlines.heap) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(c.deadlines.heap[0].at)
}

// Close answers everything that waits, and every later request, with err, or with
// NOT_COORDINATOR when err is nil. Members are told nothing else: they look for the new
// coordinator and find the group there as its last record describes it.
func (c *Coordinator) Close(err error) {
	if c.closed != nil {
		return
	}
	c.closed = kerr.NotCoordinator
	if err != nil {
		c.closed = asError(err)
	}
	for _, g := range c.sorted() {
		g.state = dead
		for _, m := range g.members {
			g.answerJoin(m, joinError(m.id, c.closed))
			g.answerSync(m, syncError(c.closed))
		}
	}
	for _, w := range c.writes {
		w.err = c.closed
		w.end(c.closed, c.closed)
	}
	c.writes, c.deadlines.heap, c.groups, c.pending, c.promises = nil, nil, map[string]*group{}, nil, nil
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

// refusalOf is refusal, or INVALID_GROUP_ID for requests to which an empty name is none.
func (c *Coordinator) refusalOf(name string) *kerr.Error {
	if err := c.refusal(); err != nil {
		return err
	}
	if name == "" {
		return kerr.InvalidGroupID
	}
	return nil
}

// sorted returns the groups by name: no result may depend on the order of a map.
func (c *Coordinator) sorted() []*group {
	all := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	return all
}

func (c *Coordinator) create(now int64, name string) *group {
	g := newGroup(c, name, now)
	c.groups[name] = g
	return g
}

// dropIfBare forgets a group of which nothing is left: no member, no offset, no record.
func (c *Coordinator) dropIfBare(g *group) {
	if g.state != empty || len(g.pending) > 0 || len(g.offsets) > 0 || g.stored > 0 || g.deleting || g.damage != nil {
		return
	}
	if cg := g.consumer; cg != nil && (cg.logged || len(cg.members) > 0) {
		return
	}
	c.drop(g)
}

func (c *Coordinator) drop(g *group) {
	g.clearPending()
	for _, d := range []*deadline{&g.join, &g.sync, &g.expiry} {
		c.deadlines.clear(d)
	}
	if g.consumer != nil {
		for _, m := range g.consumer.members {
			c.forgetDeadlines(m)
		}
	}
	if c.groups[g.name] == g {
		delete(c.groups, g.name)
	}
}

// write is one call of Env.Append that is not committed yet.
type write struct {
	sequence uint64
	finish   func(err error)
	after    []func(err *kerr.Error) // fetches that wait for stable offsets
	known    bool                    // whether it succeeded is known; err says
	err      error
	ended    bool
}

// append hands records to the log. finish is called when they are committed or failed.
func (c *Coordinator) append(records []Record, finish func(error)) *write {
	c.sequence++
	w := &write{sequence: c.sequence, finish: finish}
	c.writes = append(c.writes, w)
	c.env.Append(records, func(err error) { c.written(w, err) })
	return w
}

// written ends writes in the order of the log, also when a later one was refused before
// an earlier one was committed.
func (c *Coordinator) written(w *write, err error) {
	if w.ended { // Close was first
		return
	}
	w.known, w.err = true, err
	for len(c.writes) > 0 && c.writes[0].known {
		first := c.writes[0]
		c.writes[0] = nil
		c.writes = c.writes[1:]
		first.end(first.err, nil)
	}
}

// end reports err to who asked for the write, and lets those go on who wait for it;
// refused is not nil when they must be turned away.
func (w *write) end(err error, refused *kerr.Error) {
	w.ended = true
	w.finish(err)
	for _, f := range w.after {
		f(refused)
	}
	w.finish, w.after = nil, nil
}

// asError is the answer to a client whose records could not be appended: what it can
// retry when it can be retried. A failed disk write is not the client's fault.
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
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize:
		return kerr.UnknownServerError
	}
	return known
}

func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}
