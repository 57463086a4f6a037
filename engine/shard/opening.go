package shard

import (
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/partition"
)

// opening is a log on its way to being open. It takes several syncs to make one, and as long as
// a crash has left it to recover one, so that an opener of the disk does it beside the shard:
//
//	Append ─▶ waits ──▶ opening ─▶ Run ─▶ the log is the shard's, what waited runs in order
//	               │                ▲
//	               └─▶ opener: open ┘
//
// Who cannot wait in there (a deletion, the stop, a Settle on the shard) joins: the shard opens
// the log itself if no opener has begun, and waits for him otherwise. So nobody makes
// anything in the folder once a deletion or the stop has passed.
//
// Ownership: the shard's, but for what came of it, which is written within once and read after.
type opening struct {
	Node
	replica     *Replica
	first, last *Node // tasks that wait, oldest first

	once     sync.Once
	settings *Settings
	log      *commitlog.Log
	machine  *partition.Partition
	saved    int64
	err      error
}

// Opener does beside the shards what is posted to it, and reports whether it will: a
// diskio.Readers.
type Opener interface {
	Post(o diskio.Reading) bool
}

// waits reports whether t, which needs the log, waits until it is open or cannot be: then it is
// run once more. Tasks that wait for one log keep their order.
func (r *Replica) waits(n *Node, t Task, create bool) bool {
	if r.opening == nil {
		if known, _ := r.known(create); known || !r.begin() {
			return false
		}
	}
	o := r.opening
	n.task, n.next = t, nil
	if o.last == nil {
		o.first = n
	} else {
		o.last.next = n
	}
	o.last = n
	return true
}

// begin has the log opened beside the shard, and reports whether anybody does that.
func (r *Replica) begin() bool {
	if r.disk.Openers == nil {
		return false
	}
	r.opening = &opening{replica: r}
	if !r.disk.Openers.Post(r.opening) { // too many are under way
		r.opening = nil
		return false
	}
	r.shard.replicas[r] = struct{}{} // the stop must know of it
	return true
}

// join opens the log that is being opened before it returns, if there is one.
func (r *Replica) join() error {
	o := r.opening
	if o == nil {
		return nil
	}
	o.once.Do(o.open)
	return o.end()
}

// Read opens the log. It runs on an opener.
func (o *opening) Read() {
	o.once.Do(o.open)
	o.replica.shard.Post(&o.Node, o)
}

// Run takes the log over, unless somebody has joined.
func (o *opening) Run(*Shard) {
	if o.replica.opening == o {
		_ = o.end() // those who wait are told
	}
}

// end takes over what came of it, and runs the tasks that waited. If there is no log, each of
// them is told so: a task that tried once more would wait for ever on a disk that stays full.
func (o *opening) end() error {
	r := o.replica
	r.opening = nil
	err := r.opened(o)
	r.refused = err
	for n := o.first; n != nil; {
		next := n.next
		n.next = nil
		n.task.Run(r.shard)
		n = next
	}
	r.refused = nil
	return err
}

// open opens the log. What it touches of the replica never changes, or is safe from everywhere.
func (o *opening) open() {
	r := o.replica
	o.err = o.try()
	if errors.Is(o.err, commitlog.ErrForeign) {
		// What a deleted topic of the same name has left: the broker died before it could
		// take it away.
		if o.err = r.disk.Estrange(r.folder(), "another topic had the name before"); o.err == nil {
			o.err = o.try()
		}
	}
}

// try opens the log and brings a machine to where it ended.
func (o *opening) try() error {
	r := o.replica
	if err := r.disk.Refusal(r.folder(), r.ID); err != nil {
		return err
	}
	if r.gone() {
		return fmt.Errorf("%s is missing, and its log was durable up to offset %d: bring the folder back, or delete the topic", r.Folder(), r.disk.Points[r.folder()].Offset)
	}
	s := r.topic.Settings()
	log, err := commitlog.Open(r.Folder(), r.options(s), r.disk.recovery(r, r.shard.log))
	if err != nil {
		return err
	}
	p := s.Partition
	p.Start, p.End, p.Epoch, p.Now = log.Start(), log.End(), r.Epoch(), r.shard.clock().UnixMilli()
	machine, saved, err := restore(log, p)
	if err != nil {
		return errors.Join(err, log.Close())
	}
	o.settings, o.log, o.machine, o.saved = s, log, machine, saved
	return nil
}

// opened makes the log that was opened the replica's. What failed for a reason that may pass is
// tried again by the next who asks.
func (r *Replica) opened(o *opening) error {
	switch err := o.err; {
	case err == nil:
		r.take(o)
		return nil
	case errors.Is(err, commitlog.ErrSync) && !diskio.Lacking(err):
		r.disk.Fail(fmt.Errorf("open %s: %w", r.Folder(), err))
	case diskio.Lacking(err):
		r.disk.lacking(r.shard.now, "clients", err)
	case passing(err):
		r.disk.complain(r.shard.now, "cannot open a partition; the next request tries again", err)
	default:
		r.shard.log.Error("cannot open partition", "topic", r.Topic, "partition", r.Index, "folder", r.Folder(), "error", err)
		r.become(failed)
	}
	if r.is(unknown) {
		delete(r.shard.replicas, r)
	}
	return kerr.KafkaStorageError
}

// take begins to serve the log.
func (r *Replica) take(o *opening) {
	log, machine := o.log, o.machine
	r.settings, r.machine, r.saved = o.settings, machine, o.saved
	r.active = log.Active()
	// What Open has found is durable: after an unclean stop it was synced again.
	r.written = mark{log.End(), log.Size(), 0}
	r.promised, r.safe = r.written, r.written
	r.log.Store(log)
	r.start.Store(log.Start())
	r.high.Store(machine.HighWatermark())
	r.committed.Store(r.written.bytes)
	r.durable.Store(log.End())
	r.stable.Store(machine.StableOffset())
	if r.stableBytes.Store(0); machine.StableOffset() == machine.HighWatermark() {
		r.stableBytes.Store(r.written.bytes)
	}
	r.become(open)
	if s := r.topic.Settings(); s != o.settings { // they were changed meanwhile
		r.Configure(s)
	}
}

// settling is a task that wants the log as it is.
type settling struct {
	Node
	replica *Replica
	f       func()
}

// Do runs f on the shard, some time later, when the log is open or it is known why it is not;
// nobody else of the shard waits for that (any). What is run finds it settled, unless nobody
// opens logs beside the shard: then Settle does.
func (r *Replica) Do(f func()) {
	t := &settling{replica: r, f: f}
	r.shard.Post(&t.Node, t)
}

// mostSought is how many may wait for one log in Seek.
const mostSought = 1024

// Seek settles the replica, and then runs f on the shard. It is for those who give up and come again: where many wait
// already it does nothing, for on a disk that hangs they would become more and more (any).
func (r *Replica) Seek(f func()) {
	if r.sought.Add(1) > mostSought {
		r.sought.Add(-1)
		return
	}
	r.Do(func() {
		r.sought.Add(-1)
		r.Settle()
		f()
	})
}

// Run runs it, or waits.
func (t *settling) Run(*Shard) {
	if !t.replica.waits(&t.Node, t, false) {
		t.f()
	}
}
