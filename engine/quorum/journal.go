package quorum

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/sdk/batch"
	"go.etcd.io/raft/v3/raftpb"
)

// segmentBytes is how large a segment of the metadata log becomes. Its prefix goes away in
// whole segments.
const segmentBytes = 8 << 20

// readBytes is how much of the log is read at a time.
const readBytes = 4 << 20

// journal keeps raft's entries in a log in segment format. It belongs to the owner goroutine.
type journal struct {
	log  *commitlog.Log
	pack encoder
	link chain // after the last entry
}

func openJournal(o Options, dir string) (*journal, error) {
	if err := checkTail(o.FS, dir); err != nil {
		return nil, err
	}
	segments, err := commitlog.Open(dir, commitlog.Options{
		FS: o.FS, SegmentBytes: segmentBytes, RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: true, Now: o.Now,
		Later: func(_ time.Duration, f func()) { f() }, // the owner does it himself, and knows when it is done
	}, commitlog.Recovery{From: -1, Rewrite: o.Rewrite, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("open the metadata log: %w", err)
	}
	return &journal{log: segments}, nil
}

// first and last are the indexes of the first and of the last entry; last is first−1 when
// there is none.
func (j *journal) first() uint64 { return uint64(j.log.Start()) + 1 }
func (j *journal) last() uint64  { return uint64(j.log.End()) }

// load reads every entry behind the one at from, whose chain is known.
func (j *journal) load(from point) ([]*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	j.link = from.Link
	for offset := int64(from.Index); offset < j.log.End(); {
		buf, err := j.read(offset)
		for len(buf) > 0 && err == nil {
			var size int
			if size, err = batch.Peek(buf); err != nil {
				break
			}
			var read []*raftpb.Entry
			one := batch.Batch(buf[:size])
			if read, err = j.decode(one, offset); err != nil {
				break
			}
			entries = append(entries, read...)
			offset, buf = one.NextOffset(), buf[size:]
		}
		if err != nil {
			return nil, fmt.Errorf("read the metadata log at offset %d: %w", offset, err)
		}
	}
	return entries, nil
}

// decode reads the entries of one batch from offset on. A snapshot may end inside a batch;
// then the entries before it are read for their chain and left out.
func (j *journal) decode(one batch.Batch, offset int64) ([]*raftpb.Entry, error) {
	if one.BaseOffset() > offset {
		return nil, fmt.Errorf("the next batch begins at offset %d", one.BaseOffset())
	}
	entries, link, err := decode(one, j.link, one.BaseOffset() == offset)
	if err != nil {
		return nil, err
	}
	j.link = link
	return entries[offset-one.BaseOffset():], nil
}

// read reads whole batches from the one that has offset.
func (j *journal) read(offset int64) ([]byte, error) {
	at, err := j.log.Locate(offset, readBytes, j.log.End())
	if err != nil {
		return nil, err
	}
	defer at.Release()
	buf := make([]byte, at.Bytes)
	if _, err := at.File.ReadAt(buf, at.Position); err != nil {
		return nil, err
	}
	return buf, nil
}

// append writes entries behind those that are there, or over those that raft gave up, and
// makes them durable.
func (j *journal) append(entries []*raftpb.Entry, now time.Time) error {
	first := entries[0].GetIndex()
	if first <= j.last() {
		return fmt.Errorf("append entry %d to the metadata log: it ends at %d, and a quorum of one gives up no entry", first, j.last())
	}
	batches, link, err := j.pack.encode(entries, j.link, now.UnixMilli())
	if err != nil {
		return err
	}
	if err := j.log.Append(batches, now); err != nil {
		return fmt.Errorf("append to the metadata log: %w", err)
	}
	j.link = link
	if err := j.log.Sync(); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncError is a failed fsync: what is on disk is not known any more.
type syncError struct{ cause error }

func (e *syncError) Error() string { return "sync the metadata log: " + e.cause.Error() }
func (e *syncError) Unwrap() error { return e.cause }

// forget gives up the entries up to index, as far as whole segments go.
func (j *journal) forget(index uint64, now time.Time) error {
	if int64(index) <= j.log.Start() {
		return nil
	}
	if err := j.log.Roll(now); err != nil {
		return fmt.Errorf("begin a segment of the metadata log: %w", err)
	}
	if err := j.log.SetStart(int64(index)); err != nil {
		return fmt.Errorf("move the start of the metadata log: %w", err)
	}
	if _, err := j.log.Retain(now, j.log.End(), 0); err != nil {
		return fmt.Errorf("remove the prefix of the metadata log: %w", err)
	}
	return nil
}
