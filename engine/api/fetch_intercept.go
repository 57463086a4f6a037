package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// fetchFilter is the part of a fetch whose topics have interceptors: records are copied, and
// seen by them on a worker before the answer is put together. While that lasts the call waits
// as it does for a disk.
//
// Ownership: the loop's, and the worker's from the post to the wake.
type fetchFilter struct {
	on       bool // a worker has it
	done     bool
	clientID string
}

// filters reports whether what was found of t must be seen by interceptors.
func (t *target) filters() bool {
	return t.result.RecordBytes > 0 && t.topic.Settings().Fetch != nil
}

// filter leaves the targets that have interceptors to a worker, and reports whether there
// are any; then resume follows.
func (f *fetchCall) filter() bool {
	if f.filtering.done {
		return false
	}
	some := false
	for i := range f.targets {
		some = some || f.targets[i].filters()
	}
	if !some {
		return false
	}
	f.filtering = fetchFilter{on: true, clientID: f.call.session.clientID}
	f.parties.Add(1) // the worker, until the loop goes on
	f.call.session.park(f)
	if !f.server.Pool.Post(f) {
		for i := range f.targets {
			if t := &f.targets[i]; t.filters() {
				f.without(t, nil) // nothing this time: the client asks again
			}
		}
		f.conn.Loop().Post(&f.wakeup)
	}
	return true
}

// Unpack has interceptors see what was found. It runs on a worker.
func (f *fetchCall) Unpack() {
	for i := range f.targets {
		t := &f.targets[i]
		if !t.filters() {
			continue
		}
		if err := f.intercept(t); err != nil {
			f.without(t, err)
		}
	}
	if !f.conn.Loop().Post(&f.wakeup) { // the server is closed
		f.releaseRanges()
	}
}

// without leaves the records of t out of the answer. A fault of an interceptor is told as
// UNKNOWN_SERVER_ERROR: consumers stay where they are and ask again, until somebody has mended
// or unloaded it. Other codes would have them look for another leader, or skip records.
func (f *fetchCall) without(t *target, err error) {
	f.releaseRange(t)
	t.result.RecordBytes, t.filtered = 0, nil
	if err == nil || errors.Is(err, unpack.ErrSpent) {
		return // memory comes back
	}
	t.result.Error = kerr.UnknownServerError.Code
	t.topic.Counts.FetchFailed()
	var refused *chain.Refusal
	if !errors.As(err, &refused) || !refused.Off { // while it is switched off, it was said before
		f.server.Log.Warn("records are not sent", "topic", t.topic.Name, "partition", t.read.Index, "error", err)
	}
}

// intercept copies what was found of t, batch by batch, as its interceptors make it.
func (f *fetchCall) intercept(t *target) error {
	m := f.server.Memory
	size := t.result.RecordBytes
	if err := m.Borrow(size); err != nil {
		return err
	}
	defer m.Return(size)
	records := make([]byte, size)
	if t.part.past.Bytes > 0 {
		t.part.past.Copy(records)
	} else if _, err := t.found.File.ReadAt(records, t.found.Position); err != nil {
		return err
	}
	f.releaseRange(t)
	place := t.topic.Settings().Fetch.Enter(t.read.Index)
	defer place.Leave()
	filter := t.topic.Settings().Fetch // as it is now: instances of earlier ones may be closed
	t.filtered = make([]byte, 0, size)
	for rest := records; len(rest) > 0; {
		n, err := batch.Peek(rest)
		if err != nil {
			return err
		}
		out := chain.Outcome{Batch: rest[:n]}
		if filter != nil {
			if err := out.Batch.Verify(); err != nil {
				return err
			}
			out, err = place.Run(filter, &chain.Input{
				Topic: t.topic.Name, Partition: t.read.Index, ClientID: f.filtering.clientID, Batch: rest[:n], Fetch: true, Memory: m,
			})
			if err != nil {
				return err
			}
		}
		t.filtered = append(t.filtered, out.Batch...)
		if out.Rebuilt {
			m.Return(cap(out.Batch))
		}
		rest = rest[n:]
	}
	t.result.RecordBytes = len(t.filtered)
	return nil
}
