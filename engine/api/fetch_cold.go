package api

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/shard"
)

// coldTarget is a target whose records have to be read from the disk.
type coldTarget struct {
	call  *fetchCall
	index int
}

// coldPart is what readers have made of a cold target.
//
// Ownership: the reader's from the post until the loop looks again; else the loop's.
type coldPart struct {
	most   int            // bytes that it may bring, but for a first batch that is larger
	tried  bool           // a reader was here
	cached bool           // and has brought the range into the page cache
	past   commitlog.Past // or read it past the page cache
	err    error          // or could not
}

// warm hands what is cold to the readers of its disk, so that the loop, and all its other
// connections, need not wait for it. What they have no room for is read on the loop.
func (f *fetchCall) warm() {
	f.server.Metrics.ColdFetches.Add(1)
	f.releaseRanges()
	f.warming = true
	f.beginWait(f.conn.Loop().Now())
	f.parties.Add(1) // the readers, until the loop looks again
	f.session.park(f)
	f.reading.Store(int32(len(f.colds)) + 1)
	for i := range f.colds {
		c := &f.colds[i]
		t := &f.targets[c.index]
		t.part = coldPart{most: t.allowed}
		if readers := t.replica.Disk().Readers; readers == nil || !readers.Post(c) {
			t.part.tried, t.part.cached = true, true
			f.read()
		}
	}
	f.read()
}

// ration bounds what readers bring for one fetch, so that others have memory, too, and for
// one partition of it, so that a partition which cannot be read keeps no other back. It
// reports whether t may have some; who may not is left out of this answer.
func (f *fetchCall) ration(t *target) bool {
	chunks := t.replica.Disk().Chunks
	if chunks == nil {
		return true
	}
	most := chunks.Most()
	left := most - f.rationed
	if left <= 0 && len(f.colds) > 0 {
		return false
	}
	t.allowed = min(t.allowed, max(left, 0), max(most/4, diskio.ChunkBytes))
	f.rationed += t.allowed
	return true
}

// Read reads the records of one target. It runs on a reader, which reads on a little when
// nobody waits for it: the consumer asks for that next.
func (c *coldTarget) Read() {
	t := &c.call.targets[c.index]
	disk := t.replica.Disk()
	t.part.tried = true
	ahead, err := c.bring(t, disk)
	if err != nil {
		t.part.err = unreadable(err)
		if errors.Is(t.part.err, kerr.KafkaStorageError) {
			disk.Unreadable(c.call.server.Now(), err)
		}
	}
	c.call.read() // c is the loop's from here on
	ahead.Read(disk.Readers.Idle())
}

// bring reads past the page cache, or else into it.
func (c *coldTarget) bring(t *target, disk *shard.Disk) (ahead commitlog.Ahead, err error) {
	log, err := t.replica.Log()
	if err != nil || log == nil {
		return ahead, err
	}
	limit := c.call.limit(t)
	err = errors.ErrUnsupported
	if disk.Chunks != nil {
		t.part.past, ahead, err = log.ReadPast(disk.Chunks, t.read.Offset, t.part.most, limit)
	}
	end := t.part.past.End
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, diskio.ErrSpent) {
		t.part.cached = true
		c.call.server.Metrics.ColdCached.Add(1)
		end, err = intoPageCache(log, t, limit)
	}
	if err == nil && c.call.request.ReadCommitted {
		_, err = log.Aborted(nil, t.read.Offset, min(end, limit), false)
	}
	return ahead, err
}

// intoPageCache brings what is to be sent of t into the page cache. It answers where that ends.
func intoPageCache(log *commitlog.Log, t *target, limit int64) (end int64, err error) {
	found, err := log.Locate(t.read.Offset, t.part.most, limit)
	if err != nil || found.Segment == nil {
		return 0, err
	}
	defer found.Release()
	return found.End, found.Warm()
}

// unreadable is what a client is told of records that cannot be read: what is wrong with the
// disk is the disk's, what is wrong with the log is not.
func unreadable(err error) error {
	var known *kerr.Error
	var damage *commitlog.Damage
	if errors.As(err, &known) || errors.As(err, &damage) || errors.Is(err, commitlog.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}

// take has t answered with what a reader has brought.
func (f *fetchCall) take(log *commitlog.Log, t *target, first bool) error {
	t.result.RecordBytes = t.part.past.Bytes
	if t.part.err != nil || t.result.RecordBytes > t.allowed && !first {
		t.result.RecordBytes = 0
		return t.part.err
	}
	if f.request.ReadCommitted && t.result.RecordBytes > 0 {
		return f.leaveOut(log, t, t.part.past.End)
	}
	return nil
}

// attachPast hands the slot what was read past the page cache. The chunks stay until they
// are sent.
func (f *fetchCall) attachPast(t *target) {
	t.part.past.Each(func(p []byte, chunk *diskio.Chunk) { f.slot.Attach(p, chunk) })
	t.part.past = commitlog.Past{}
}
