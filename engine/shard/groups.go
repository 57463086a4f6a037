package shard

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk/batch"
)

// Groups runs the groups whose offsets one partition of __consumer_offsets keeps. It
// lives on the shard of that partition, which does what the pure machine asks for:
// appends, and ticks.
type Groups struct {
	replica *Replica
	machine *group.Coordinator
	timer   Timer
}

// Groups calls f with the coordinator that r keeps the log of. The first call reads the
// whole log. On the shard only.
func (r *Replica) Groups(o group.Options, f func(*group.Coordinator)) error {
	if r.groups == nil {
		g, err := r.loadGroups(o)
		if err != nil {
			return err
		}
		r.groups = g
	}
	f(r.groups.machine)
	r.groups.schedule()
	return nil
}

// loadGroups rebuilds the groups from what was appended to the partition.
func (r *Replica) loadGroups(o group.Options) (*Groups, error) {
	if err := r.ready(false); err != nil {
		return nil, err
	}
	g := &Groups{replica: r}
	g.machine = group.New(o, g)
	g.timer.Task = (*tick)(g)
	begin, count := r.shard.clock(), 0
	if log := r.log.Load(); log != nil {
		err := eachRecord(log, func(timestamp int64, record *batch.Record) {
			count++
			if err := g.machine.Replay(group.Record{Key: record.Key, Value: record.Value}, timestamp); err != nil {
				r.shard.log.Warn("a record of the offsets topic cannot be read and is passed over", "partition", r.Index, "error", err)
			}
		})
		if err != nil {
			r.shard.log.Error("cannot load groups", "topic", r.Topic, "partition", r.Index, "error", err)
			return nil, fmt.Errorf("load groups: %w", err)
		}
	}
	g.machine.Loaded(r.shard.now)
	if count > 0 {
		r.shard.log.Info("loaded groups", "topic", r.Topic, "partition", r.Index, "records", count, "took", r.shard.clock().Sub(begin).Round(time.Millisecond))
	}
	return g, nil
}

// Append makes the records part of the partition (group.Env).
func (g *Groups) Append(records []group.Record, done func(error)) {
	var b batch.Builder
	now := g.replica.shard.now.UnixMilli()
	for _, r := range records {
		b.Append(now, r.Key, r.Value, nil)
	}
	o := batch.NoProducer()
	built, err := b.Finish(o)
	if err != nil {
		panic(fmt.Sprintf("group coordinator appended %d records: %v", len(records), err))
	}
	a := &groupAppend{groups: g, done: done}
	a.Replica, a.Append.Batch, a.Finish = g.replica, built, a
	a.Send()
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

func (g *Groups) schedule() {
	next := g.machine.NextTick()
	if next.IsZero() {
		g.replica.shard.ClearTimer(&g.timer)
		return
	}
	g.replica.shard.SetTimer(&g.timer, next)
}

// closeGroups sends the members of all groups to look for their coordinator again.
func (r *Replica) closeGroups() {
	if r.groups == nil {
		return
	}
	r.groups.machine.Close(nil)
	r.shard.ClearTimer(&r.groups.timer)
	r.groups = nil
}

// readChunk is how many bytes of a log are read at once when all of it is read.
const readChunk = 1 << 20

// eachRecord calls f for every record of a log, oldest first. The record is valid
// during the call.
func eachRecord(log *commitlog.Log, f func(timestamp int64, r *batch.Record)) error {
	var raw, plain []byte
	for at := log.Start(); at < log.End(); {
		found, err := log.Locate(at, readChunk, log.End())
		if err != nil {
			return fmt.Errorf("find offset %d: %w", at, err)
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
		if at, plain, err = eachRecordOf(raw, plain, at, f); err != nil {
			return err
		}
	}
	return nil
}

// eachRecordOf walks over whole batches and returns the offset behind them.
func eachRecordOf(raw, plain []byte, from int64, f func(timestamp int64, r *batch.Record)) (int64, []byte, error) {
	at := from
	for len(raw) > 0 {
		size, err := batch.Peek(raw)
		if err != nil {
			return at, plain, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		b := batch.Batch(raw[:size])
		if err := b.Check(); err != nil {
			return at, plain, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		records, err := b.Records(plain, readChunk<<8)
		if err != nil {
			return at, plain, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		for records.Next() {
			r := records.Record()
			if b.BaseOffset()+int64(r.OffsetDelta) >= from && !b.Control() {
				f(b.BaseTimestamp()+r.TimestampDelta, r)
			}
		}
		if err := records.Err(); err != nil {
			return at, plain, fmt.Errorf("batch at offset %d: %w", at, err)
		}
		at, raw = b.NextOffset(), raw[size:]
	}
	return at, plain, nil
}
