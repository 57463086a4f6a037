package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/wire"
)

// fetchPlan is what all fetchers of a phase share. Read only, but for the counters.
type fetchPlan struct {
	Settings
	version  int16
	topic    wire.Topic
	mean     float64 // size of a record value, where records are not decoded
	stop     int64
	follow   bool          // read what is being produced, until target is reached
	target   *atomic.Int64 // records that will have been produced; −1: not known yet
	received *atomic.Int64 // records, warm-up included
}

// window is the part of a partition that a fetcher reads.
type window struct {
	position
	start, end int64
	moved      bool // the session does not know the offset yet
}

// fetcher is one consuming connection. Owned by its loop. It has one request under way
// at a time, as Kafka's consumers have.
type fetcher struct {
	*fetchPlan
	c        *connection
	clock    *clock
	recorder *recorder
	windows  []window
	index    map[int32]int // partition → windows

	session, epoch int32
	correlation    int32
	asked          int64 // when the request under way was sent
	waiting        bool
	ended          bool
	failures       int
	request        []position
	answer         []fetched
	buffer         []byte // uncompressed records
}

// Codes after which a fetch session begins anew.
const (
	codeSessionNotFound = 70
	codeSessionEpoch    = 71
)

// noSession asks for a fetch outside of any session.
const noSession = -1

func (f *fetcher) conn() *connection { return f.c }

func (f *fetcher) done() bool { return f.ended }

func (f *fetcher) step(now int64) (int64, error) {
	if f.ended = f.through(now); f.ended {
		return never, nil
	}
	end := f.stop
	if f.follow {
		end += int64(patience)
	}
	if len(f.c.out) == 0 && !f.waiting {
		f.ask()
	}
	_, err := f.c.flush()
	return end, err
}

// through reports whether there is nothing left to read.
func (f *fetcher) through(now int64) bool {
	if f.failures > maxFailures {
		return true
	}
	if f.follow {
		target := f.target.Load()
		return target >= 0 && f.received.Load() >= target || now >= f.stop+int64(patience)
	}
	if now >= f.stop {
		return true
	}
	if f.Loop {
		return false
	}
	for i := range f.windows {
		if f.windows[i].offset < f.windows[i].end {
			return false
		}
	}
	return true
}

// ask builds the next request: everything at first, then what has moved.
func (f *fetcher) ask() {
	f.request = f.request[:0]
	for i := range f.windows {
		w := &f.windows[i]
		if f.epoch <= 0 || w.moved {
			f.request = append(f.request, w.position)
			w.moved = false
		}
	}
	session, epoch := f.session, f.epoch
	if !f.Session || f.version < fetchSessions {
		session, epoch = 0, noSession
	}
	limits := fetchLimits{
		wait: int32(f.MaxWait.Milliseconds()), minBytes: int32(f.MinBytes), maxBytes: int32(f.FetchBytes), partitionBytes: int32(f.PartitionBytes),
	}
	f.correlation++
	f.c.out = appendFetch(f.c.out[:0], f.version, f.correlation, limits, session, epoch, &f.topic, f.request)
	wire.Seal(f.c.out, 0)
	f.asked = f.clock.now()
	f.waiting = true
}

func (f *fetcher) readable() error { return f.c.receive(f.take) }

// take handles one response.
func (f *fetcher) take(frame []byte) error {
	now := f.clock.now()
	if len(frame) < 4 || !f.waiting || int32(binary.BigEndian.Uint32(frame)) != f.correlation {
		return fmt.Errorf("a fetch was answered that nobody asked for: %w", wire.ErrMalformed)
	}
	f.waiting = false
	head, answer, err := readFetch(frame[4:], f.version, f.answer[:0])
	f.answer = answer
	if err != nil {
		return err
	}
	if head.code == codeSessionNotFound || head.code == codeSessionEpoch {
		f.session, f.epoch = 0, 0
		return nil
	}
	if head.code != 0 {
		f.fail(head.code)
		return nil
	}
	f.keepSession(head.session)
	var batches int
	for i := range answer {
		n, err := f.partition(&answer[i], now)
		if err != nil {
			return err
		}
		batches += n
	}
	if batches > 0 {
		f.recorder.note(fetchTime, f.asked, now-f.asked, 1)
		f.recorder.current.requests++
		f.recorder.lastAck = now
	}
	return nil
}

// maxFailures is how many refusals a fetcher takes before it gives up: the phase is
// INVALID by then, and asking on would only keep the broker busy.
const maxFailures = 100

func (f *fetcher) fail(code int16) {
	f.recorder.fail(code, 1)
	f.failures++
}

// keepSession follows the broker's session. Id 0 means that it keeps none, and every
// request says everything.
func (f *fetcher) keepSession(id int32) {
	switch {
	case id == 0:
		f.session, f.epoch = 0, 0
	case id != f.session:
		f.session, f.epoch = id, 1
	default:
		f.epoch++
	}
}

// partition walks the batches of one partition and moves its window.
func (f *fetcher) partition(a *fetched, now int64) (batches int, err error) {
	i, ok := f.index[a.partition]
	if !ok {
		return 0, fmt.Errorf("partition %d was fetched and nobody asked for it: %w", a.partition, wire.ErrMalformed)
	}
	w := &f.windows[i]
	if a.code != 0 {
		f.fail(a.code)
		w.moved = true
		return 0, nil
	}
	for rest := a.records; len(rest) > 0; batches++ {
		size, err := batch.Peek(rest)
		if errors.Is(err, batch.ErrShort) {
			break // the broker may cut the last batch
		}
		if err != nil {
			return batches, fmt.Errorf("fetch partition %d at offset %d: %w", a.partition, w.offset, err)
		}
		if err := f.batch(w, batch.Batch(rest[:size]), now); err != nil {
			return batches, fmt.Errorf("fetch partition %d at offset %d: %w", a.partition, w.offset, err)
		}
		rest = rest[size:]
	}
	if f.Loop && !f.follow && w.offset >= w.end && w.end > w.start {
		w.offset, w.moved = w.start, true
	}
	return batches, nil
}

// batch counts the records of b from the window's offset on.
func (f *fetcher) batch(w *window, b batch.Batch, now int64) error {
	next := b.NextOffset()
	if next <= w.offset {
		return nil
	}
	if f.Decode != DecodeHeaders {
		if err := b.Verify(); err != nil {
			return err
		}
	}
	count := int64(b.Count()) - max(w.offset-b.BaseOffset(), 0)
	bytes := int64(float64(count) * f.mean)
	if f.Decode == DecodeRecords {
		var err error
		if bytes, err = f.records(w, b, now); err != nil {
			return err
		}
	}
	w.offset, w.moved = next, true
	t := &f.recorder.current.tally
	t.received += count
	t.readBytes += bytes
	t.readIO += int64(len(b))
	f.received.Add(count)
	return nil
}

// maxUncompressed bounds the memory that one batch may unfold to.
const maxUncompressed = 64 << 20

// records reads every record and, when it follows the producers, how old it is.
func (f *fetcher) records(w *window, b batch.Batch, now int64) (bytes int64, err error) {
	r, err := b.Records(f.buffer, maxUncompressed)
	if err != nil {
		return 0, err
	}
	if b.Codec() != batch.None {
		f.buffer = r.Buffer()
	}
	for r.Next() {
		one := r.Record()
		if b.BaseOffset()+int64(one.OffsetDelta) < w.offset {
			continue
		}
		bytes += int64(len(one.Value))
		if f.follow && len(one.Value) >= stampSize {
			due := int64(binary.BigEndian.Uint64(one.Value)) - f.clock.epoch
			f.recorder.note(endToEnd, due, now-due, 1)
		}
	}
	return bytes, r.Err()
}
