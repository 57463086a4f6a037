package shard

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	// loadHere is the largest log, in bytes, that is read on the shard; one that is larger
	// is read beside it, while requests are told to try again.
	loadHere = 1 << 20
	// loadAgain is how long a log that could not be read is not tried again.
	loadAgain = 10 * time.Second
	// readChunk is how many bytes of a log are read at once when all of it is read.
	readChunk = 1 << 20
)

// Groups runs the groups whose offsets one partition of __consumer_offsets keeps. It
// lives on the shard of that partition, which does what the pure machine asks for:
// appends, and ticks. max.message.bytes does not bound what the machine appends: a group
// with many members must be able to store itself. What does is mostGroupRecord.
type Groups struct {
	replica *Replica
	machine *group.Coordinator
	timer   Timer
	loading bool           // the machine belongs to the goroutine that reads the log
	missed  []batch.Marker // that came while loading
	again   time.Time      // not zero: loading failed, and is not tried before
}

// Groups calls f with the coordinator that r keeps the log of. The first call reads the
// whole log; what is decided about it then is decided for the given picture of the
// cluster. On the shard only.
func (r *Replica) Groups(o group.Options, picture group.Cluster, f func(*group.Coordinator)) error {
	g := r.groups
	if g == nil || !g.again.IsZero() && !r.shard.now.Before(g.again) {
		var err error
		if g, err = r.loadGroups(o, picture); err != nil {
			return err
		}
	}
	switch {
	case g.loading:
		return kerr.CoordinatorLoadInProgress
	case !g.again.IsZero():
		return kerr.CoordinatorNotAvailable
	}
	f(g.machine)
	g.schedule()
	return nil
}

// loadGroups rebuilds the groups from what was appended to the partition.
func (r *Replica) loadGroups(o group.Options, picture group.Cluster) (*Groups, error) {
	if err := r.ready(false); err != nil {
		return nil, err
	}
	log, err := r.Log()
	if err != nil {
		return nil, err
	}
	g := &Groups{replica: r}
	g.machine = group.New(o, g)
	g.machine.SetCluster(picture)
	g.timer.Task = (*tick)(g)
	r.groups = g
	l := &loaded{groups: g, begin: r.shard.clock()}
	switch {
	case log == nil:
		g.opened(r.shard)
	case log.Size() <= loadHere || r.shard.stepped:
		l.read(log)
		l.Run(r.shard)
	default:
		g.loading = true
		go func() {
			l.read(log)
			r.shard.Post(&l.Node, l)
		}()
	}
	return g, nil
}

// loaded is the end of a load.
type loaded struct {
	Node
	groups *Groups
	begin  time.Time
	count  int
	err    error
}

// read feeds the log to the machine. On the shard, or beside it while nobody else has
// the machine; the log is not appended to before its coordinator is there.
func (l *loaded) read(log *commitlog.Log) {
	r := l.groups.replica
	l.err = eachRecord(log, r.high.Load(), func(b batch.Batch, record *batch.Record) {
		l.count++
		if err := l.groups.replay(b, record); err != nil {
			r.shard.log.Warn("a record of the offsets topic cannot be read and is passed over", "partition", r.Index, "error", err)
		}
	})
}

// Run opens the coordinator, unless the partition went away meanwhile.
func (l *loaded) Run(s *Shard) {
	g := l.groups
	r := g.replica
	g.loading = false
	if r.groups != g {
		return
	}
	took := s.clock().Sub(l.begin).Round(time.Millisecond)
	if l.err != nil {
		g.again = s.now.Add(loadAgain)
		s.log.Error("cannot load groups; the next request after a while tries again", "topic", r.Topic, "partition", r.Index, "error", l.err)
		return
	}
	g.opened(s)
	s.loaded(r.Topic, took)
	if l.count > 0 {
		s.log.Info("loaded groups", "topic", r.Topic, "partition", r.Index, "records", l.count, "took", took)
	}
}

// opened has the coordinator serve.
func (g *Groups) opened(s *Shard) {
	for _, m := range g.missed {
		g.machine.EndTransaction(m.ProducerID, m.Commit)
	}
	g.missed = nil
	s.groups[g] = struct{}{}
	g.machine.Loaded(s.now)
	g.machine.DropGone(s.now)
	g.schedule()
}

// replay feeds one record of the log to the machine.
func (g *Groups) replay(b batch.Batch, r *batch.Record) error {
	record := group.Record{Key: r.Key, Value: r.Value}
	switch {
	case b.Control():
		if m, ok := b.Marker(); ok {
			g.machine.EndTransaction(m.ProducerID, m.Commit)
		}
		return nil
	case b.Transactional():
		return g.machine.ReplayIn(b.ProducerID(), record, b.BaseTimestamp()+r.TimestampDelta)
	}
	return g.machine.Replay(record, b.BaseTimestamp()+r.TimestampDelta)
}

// transactionEnded tells the coordinator whose log r is of a marker in it. One that is not
// loaded yet will read it.
func (r *Replica) transactionEnded(m batch.Marker) {
	switch g := r.groups; {
	case g == nil || !g.again.IsZero():
	case g.loading:
		g.missed = append(g.missed, m)
	default:
		g.machine.EndTransaction(m.ProducerID, m.Commit)
		g.schedule()
	}
}

// Append makes the records part of the partition (group.Env).
func (g *Groups) Append(records []group.Record, done func(error)) {
	if g.tooLarge(records) {
		g.refuse(done)
		return
	}
	g.append(records, batch.NoProducer(), done).Send()
}

// AppendIn makes the records part of the partition and of a transaction (group.Env).
func (g *Groups) AppendIn(t group.Transaction, records []group.Record, done func(error)) {
	if g.tooLarge(records) {
		g.refuse(done)
		return
	}
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.Transactional = t.ProducerID, t.Epoch, true
	a := g.append(records, o, done)
	a.TransactionalID, a.Bumped, a.unsequenced = t.ID, t.Add, true
	a.Send()
}

// What coordinators of groups append. A classic group is one record, which is written whole whenever one of its members comes
// back: without a limit eighty bytes had megabytes written, and beyond 2 GiB no batch can say how long it is. Kafka's
// limit is max.message.bytes; here it counts when it is more than this.
const (
	mostGroupRecord = 16 << 20
	mostGroupBatch  = 1 << 30
)

// tooLarge reports whether a record is larger than the partition takes from a coordinator, or all of them together.
func (g *Groups) tooLarge(records []group.Record) bool {
	most, all := max(mostGroupRecord, g.replica.topic.Settings().MaxMessageBytes), 0
	for i := range records {
		size := len(records[i].Key) + len(records[i].Value)
		if size > most {
			return true
		}
		all += size
	}
	return all > mostGroupBatch
}

// refuse tells the machine, when it has ended what it is at, that its records are not taken.
func (g *Groups) refuse(done func(error)) {
	g.replica.shard.Do(func() {
		done(kerr.MessageTooLarge)
		g.schedule()
	})
}

func (g *Groups) append(records []group.Record, o batch.BatchOptions, done func(error)) *groupAppend {
	var b batch.Builder
	now := g.replica.shard.now.UnixMilli()
	for _, r := range records {
		b.Append(now, r.Key, r.Value, nil)
	}
	built, err := b.Finish(o)
	if err != nil {
		panic(fmt.Sprintf("group coordinator appended %d records: %v", len(records), err))
	}
	a := &groupAppend{groups: g, done: done}
	a.Replica, a.Append.Batch, a.Finish = g.replica, built, a
	return a
}

// groupAppend is one append of a coordinator on its way.
type groupAppend struct {
	Append
	groups *Groups
	done   func(error)
}

// Appended tells the machine that its records are committed, or lost.
func (a *groupAppend) Appended(*Append) {
	a.done(a.Err)
	a.groups.schedule()
}

type tick Groups

// Run does what is due in the machine.
func (t *tick) Run(s *Shard) {
	g := (*Groups)(t)
	g.machine.Tick(s.now)
	g.schedule()
}

// schedule has the machine ticked when it wants to be.
func (g *Groups) schedule() {
	next := g.machine.NextTick()
	if next.IsZero() || g.replica.groups != g {
		g.replica.shard.ClearTimer(&g.timer)
		return
	}
	g.replica.shard.SetTimer(&g.timer, next)
}

// closeGroups sends the members of all groups to look for their coordinator again.
func (r *Replica) closeGroups() {
	g := r.groups
	if g == nil {
		return
	}
	r.groups = nil
	delete(r.shard.groups, g)
	r.shard.ClearTimer(&g.timer)
	if !g.loading { // else nobody waits for it
		g.machine.Close(nil)
	}
}

// eachRecord calls f for every record of a log below limit, oldest first, with its batch. Both
// are valid during the call.
func eachRecord(log *commitlog.Log, limit int64, f func(b batch.Batch, r *batch.Record)) error {
	var raw []byte
	for at := log.Start(); at < limit; {
		found, err := log.Locate(at, readChunk, limit)
		if err != nil {
			return fmt.Errorf("find offset %d: %w", at, err)
		}
		if found.Bytes == 0 {
			return nil // nothing is left but what a compaction has emptied
		}
		if cap(raw) < found.Bytes {
			raw = make([]byte, found.Bytes)
		}
		raw = raw[:found.Bytes]
		_, err = found.File.ReadAt(raw, found.Position)
		found.Release()
		if err != nil {
			return fmt.Errorf("read at offset %d: %w", at, err)
		}
		if at, err = eachRecordOf(raw, at, f); err != nil {
			return err
		}
	}
	return nil
}

// eachRecordOf walks over whole batches and returns the offset behind them.
func eachRecordOf(raw []byte, from int64, f func(b batch.Batch, r *batch.Record)) (int64, error) {
	at := from
	for len(raw) > 0 {
		size, err := batch.Peek(raw)
		if err != nil {
			return at, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		b := batch.Batch(raw[:size])
		if err := b.Check(); err != nil {
			return at, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		if err := eachRecordIn(b, from, f); err != nil {
			return at, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		at, raw = b.NextOffset(), raw[size:]
	}
	return at, nil
}

// mostRecord is the largest record that is read from a compressed batch, in bytes.
const mostRecord = 64 << 20

// eachRecordIn walks over one batch. What is decompressed and larger than any record that
// a coordinator writes is passed over.
func eachRecordIn(b batch.Batch, from int64, f func(b batch.Batch, r *batch.Record)) error {
	records, err := batch.Scan(b, batch.ScanOptions{Max: batch.MaxPlain, Hold: max(len(b), mostRecord)})
	if err != nil {
		return err
	}
	defer records.Close()
	for records.Next() {
		r := records.Record()
		if r != nil && b.BaseOffset()+int64(r.OffsetDelta) >= from {
			f(b, r)
		}
	}
	return records.Err()
}
