package quorum

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// keptEntries is how many applied entries stay in memory, for a follower that is just behind.
const keptEntries = 256

// owner is what only the owner goroutine may touch, and Open before there is one.
type owner struct {
	dir       string
	node      *raft.RawNode
	memory    *memory
	journal   *journal
	applied   point          // the last applied entry
	newest    *cluster.Image // after every decided change, committed or not
	waiting   []*request     // decided and not yet answered, in the order in which they were decided
	leads     bool
	term      uint64
	held      *raft.Ready // what a full disk did not take yet
	starved   bool        // said that the disk is full
	grown     int64       // bytes of entries since the newest snapshot
	snapshots []point     // newest first, at most two
}

// run is the owner goroutine.
func (q *Quorum) run() {
	defer close(q.ended)
	for {
		var last bool
		select {
		case <-q.mail.wake:
		case <-q.options.Ticks:
			q.owner.node.Tick()
		case <-q.closing:
			last = true
		}
		err := q.turn(q.mail.collect(last))
		if err == nil && last {
			err = q.finish()
		}
		if err != nil {
			q.stop(err)
		}
		if err != nil || last {
			return
		}
	}
}

// turn decides a list of changes and brings everything that is decided to disk.
func (q *Quorum) turn(list *request) error {
	o := &q.owner
	err := q.settle() // first what a full disk held up
	for gathered := 0; list != nil && err == nil && o.held == nil; {
		r := list
		list, r.next = r.next, nil
		gathered += q.decide(r)
		if gathered >= maxGroup || list == nil {
			gathered, err = 0, q.settle()
		}
	}
	refusal := ErrFull
	if err != nil {
		refusal = fmt.Errorf("%w: %w", ErrStopped, err)
	}
	for list != nil {
		r := list
		list = r.next
		r.done(nil, refusal)
	}
	return err
}

// decide takes one decision and proposes its records. It answers how many bytes that are.
func (q *Quorum) decide(r *request) int {
	o := &q.owner
	r.before, r.after = o.newest, o.newest
	if !o.leads || o.applied.Term != o.term {
		r.refusal = kerr.NotController
	} else {
		r.records, r.refusal = r.decide(o.newest)
	}
	var data []byte
	if r.refusal == nil && len(r.records) > 0 {
		data, r.refusal = q.propose(r)
	}
	if r.refusal != nil {
		r.records, r.after = nil, o.newest
	}
	r.term, o.newest = o.term, r.after
	o.waiting = append(o.waiting, r)
	return len(data)
}

// propose hands the records of a change to raft.
func (q *Quorum) propose(r *request) ([]byte, error) {
	after, err := q.owner.newest.Apply(r.records)
	if err != nil {
		return nil, fmt.Errorf("decide a change of the cluster: %w", err)
	}
	data := cluster.Append(nil, r.records)
	if len(data) > maxChange {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), maxChange)
	}
	if err := q.owner.node.Propose(data); err != nil {
		return nil, fmt.Errorf("propose a change of the cluster: %w: %w", kerr.NotController, err)
	}
	r.after = after
	return data, nil
}

// settle does what raft asks for until it asks for nothing, and answers what is durable.
// When the disk is full it leaves what it could not write in held.
func (q *Quorum) settle() error {
	o := &q.owner
	for o.held != nil || o.node.HasReady() {
		ready := o.held
		if o.held = nil; ready == nil {
			next := o.node.Ready()
			ready = &next
		}
		if err := diskio.WithRoom(q.options.FS, full, func() error { return q.save(ready) }); full(err) {
			o.held = ready
			q.noSpace(err)
			return nil
		} else if err != nil {
			return err
		}
		if o.starved {
			o.starved = false
			q.options.Log.Info("the metadata log has space again", "dir", o.dir)
		}
		if err := q.apply(ready.CommittedEntries); err != nil {
			return err
		}
		o.node.Advance(*ready)
	}
	q.answerUnchanged()
	if o.grown >= q.options.SnapshotBytes {
		if err := q.takeSnapshot(); err != nil {
			return err
		}
	}
	q.publishStatus()
	return nil
}

// full reports whether an error says that the disk is full, or that no file can be opened, and nothing
// was written. A failed fsync is something else, whatever it says.
func full(err error) bool {
	return diskio.Lacking(err) || diskio.Full(err) && !errors.As(err, new(*syncError)) && !errors.Is(err, commitlog.ErrSync)
}

// noSpace tells those who wait that the disk is full, or what else is wanting. Their changes are raft's already:
// they will be made once there is space.
func (q *Quorum) noSpace(err error) {
	what, reason := "the metadata log waits for space on its disk", ErrFull
	if diskio.Lacking(err) {
		what, reason = "the metadata log waits for a file descriptor", kerr.KafkaStorageError
	}
	if !q.owner.starved {
		q.owner.starved = true
		q.options.Log.Warn(what, "dir", q.owner.dir, "error", err)
	}
	for _, r := range q.owner.waiting {
		r.answer(nil, fmt.Errorf("%w: %w", reason, err))
	}
	q.publishStatus()
}

// save makes durable what raft wants durable before it goes on.
func (q *Quorum) save(ready *raft.Ready) error {
	o := &q.owner
	if !raft.IsEmptySnap(ready.Snapshot) || len(ready.Messages) > 0 {
		return fmt.Errorf("raft has a snapshot or %d messages for others, and this is a quorum of one", len(ready.Messages))
	}
	if hard := ready.HardState; !raft.IsEmptyHardState(hard) {
		if hard.GetTerm() != o.memory.hard.GetTerm() || hard.GetVote() != o.memory.hard.GetVote() {
			if err := q.saveState(hard); err != nil {
				return err
			}
		}
		o.memory.hard, o.term = hard, hard.GetTerm()
	}
	if ready.SoftState != nil {
		o.leads = ready.SoftState.RaftState == raft.StateLeader
	}
	if len(ready.Entries) == 0 {
		return nil
	}
	if err := o.journal.append(ready.Entries, q.options.Now()); err != nil {
		return err
	}
	o.memory.append(ready.Entries)
	return nil
}

// apply takes committed entries into the image. Changes of this leader were applied when
// they were decided and are answered; what an earlier life wrote is read.
func (q *Quorum) apply(entries []*raftpb.Entry) error {
	o := &q.owner
	var replayed []cluster.Record
	from := o.applied.Index + 1
	for _, entry := range entries {
		o.applied = point{Index: entry.GetIndex(), Term: entry.GetTerm(), Link: o.applied.Link.next(entry)}
		o.grown += int64(len(entry.GetData())) + 64
		if entry.GetType() != raftpb.EntryNormal {
			return fmt.Errorf("entry %d changes who votes, and this is a quorum of one", entry.GetIndex())
		}
		if len(entry.GetData()) == 0 || q.answerChange(entry.GetTerm()) {
			continue // a leader's first entry, or a change whose image is known
		}
		records, err := cluster.Parse(entry.GetData())
		if err != nil {
			return fmt.Errorf("read entry %d of the metadata log: %w", entry.GetIndex(), err)
		}
		replayed = append(replayed, records...)
	}
	if len(replayed) > 0 {
		next, err := q.image.Load().Apply(replayed)
		if err != nil {
			return fmt.Errorf("replay entries %d to %d of the metadata log: %w", from, o.applied.Index, err)
		}
		q.image.Store(next)
		o.newest = next
	}
	if o.applied.Index > o.memory.base()+2*keptEntries {
		o.memory.forget(o.applied.Index - keptEntries)
	}
	return nil
}

// answerChange publishes the image of the oldest change that waits and answers it. It
// reports false when no change of this term waits: then the entry is an earlier life's.
func (q *Quorum) answerChange(term uint64) bool {
	q.answerUnchanged()
	o := &q.owner
	if len(o.waiting) == 0 || o.waiting[0].term != term {
		return false
	}
	r := o.waiting[0]
	o.waiting[0], o.waiting = nil, o.waiting[1:]
	q.image.Store(r.after)
	q.publishStatus()
	if q.options.Applied != nil {
		q.options.Applied(r.before, r.after)
	}
	r.answer(r.after, nil)
	return true
}

// answerUnchanged answers the changes at the head of the queue that changed nothing: all
// that they were decided on is durable.
func (q *Quorum) answerUnchanged() {
	o := &q.owner
	for len(o.waiting) > 0 && len(o.waiting[0].records) == 0 {
		r := o.waiting[0]
		o.waiting[0], o.waiting = nil, o.waiting[1:]
		if r.refusal != nil {
			r.answer(nil, r.refusal)
		} else {
			r.answer(r.after, nil)
		}
	}
}

// answer calls done, once.
func (r *request) answer(image *cluster.Image, err error) {
	if done := r.done; done != nil {
		r.done = nil
		done(image, err)
	}
}

func (q *Quorum) publishStatus() {
	o := &q.owner
	s := &Status{
		Leader: -1, Term: int64(o.term), Start: int64(o.journal.first()) - 1, End: int64(o.applied.Index), LogEnd: int64(o.journal.last()),
		Voters: []int32{q.options.NodeID},
	}
	if o.leads {
		s.Leader = q.options.NodeID
	}
	if len(o.snapshots) > 0 {
		s.Snapshot = int64(o.snapshots[0].Index)
	}
	q.status.Store(s)
}

// finish leaves everything behind as an orderly end does.
func (q *Quorum) finish() error {
	o := &q.owner
	for _, r := range o.waiting { // only when the disk is full to the end
		r.answer(nil, ErrClosed)
	}
	if err := q.saveState(o.memory.hard); err != nil && !full(err) {
		return err
	}
	if err := o.journal.log.Close(); err != nil && !full(err) {
		return fmt.Errorf("close the metadata log: %w", err)
	}
	return nil
}

// stop ends the quorum after a fault. Nothing is written any more, so the log is not
// closed either: closing syncs, and a sync that works after one that failed proves nothing.
func (q *Quorum) stop(fault error) {
	q.fault.Store(&fault)
	q.options.Log.Error("the metadata quorum stops", "dir", q.owner.dir, "error", fault)
	refusal := fmt.Errorf("%w: %w", ErrStopped, fault)
	for _, r := range q.owner.waiting {
		r.answer(nil, refusal)
	}
	for r := q.mail.close(); r != nil; r = r.next {
		r.answer(nil, refusal)
	}
	if q.options.Failed != nil {
		q.options.Failed(fault)
	}
}
