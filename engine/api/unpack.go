package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/sdk/batch"
)

// packedPart is a partition of a produce request whose records have to be decompressed
// before it is known whether they are any good.
type packedPart struct {
	index    int
	topic    *shard.Topic
	settings *shard.Settings // that it was checked with so far
}

// errUnpack says that a batch is to be looked into by the pool. No client sees it.
var errUnpack = &kerr.Error{Message: "UNPACK"}

// glanced bounds what a loop decompresses itself, in bytes of records: a fraction of a
// millisecond.
const glanced = 64 << 10

// borrowsNothing is a loop's memory for blocks that do not fit a window: none.
type borrowsNothing struct{}

func (borrowsNothing) Borrow(int) error { return batch.ErrSize }
func (borrowsNothing) Return(int)       {}

// glance checks the records of a compressed batch whose records must have keys, if that is
// done soon.
func glance(b batch.Batch, counts *metrics.Topic) (*kerr.Error, string) {
	if len(b) > glanced {
		return errUnpack, ""
	}
	return look(b, glanced, borrowsNothing{}, counts)
}

// look checks the records of a compressed batch. It runs on a loop or a worker.
func look(b batch.Batch, most int64, m batch.Memory, counts *metrics.Topic) (*kerr.Error, string) {
	records, err := batch.Scan(b, batch.ScanOptions{Max: most, Memory: m})
	if err == nil {
		err = records.Check(true)
		records.Close()
	}
	if most == glanced && errors.Is(err, batch.ErrSize) {
		return errUnpack, ""
	}
	return unpacked(err, counts)
}

// keyless counts a batch that was refused for a record without a key.
func keyless(err error, counts *metrics.Topic) {
	if errors.Is(err, batch.ErrKey) {
		counts.NoKey()
	}
}

// unpacked is the code of an error from decompressing.
func unpacked(err error, counts *metrics.Topic) (*kerr.Error, string) {
	keyless(err, counts)
	switch {
	case err == nil:
		return nil, ""
	case errors.Is(err, unpack.ErrSpent):
		return kerr.RequestTimedOut, err.Error() // all clients send it again
	case errors.Is(err, batch.ErrGrown):
		return kerr.MessageTooLarge, ""
	default:
		return kerr.InvalidRecord, err.Error()
	}
}

// unpackLater leaves the compressed batches to the pool. Until they are sent on, requests
// that the connection sent later wait, so that batches keep their order.
//
// What interceptors would see is asked about before: a batch that its producer sends again,
// because an answer was lost, is in its partition, and must be neither counted, refused nor
// put aside a second time.
func (p *produceCall) unpackLater() {
	p.conn.Pause()
	p.waiting.Store(1) // of the loop, until all questions are on their way
	for i := range p.packed {
		part := &p.packed[i]
		if a := &p.appends[part.index]; part.settings.Produce != nil && a.Batch.ProducerID() >= 0 {
			p.waiting.Add(1)
			a.Ask(p)
		}
	}
	if p.waiting.Add(-1) == 0 {
		p.post()
	}
}

// Asked takes the answer of one partition. It runs on shards, or within unpackLater.
func (p *produceCall) Asked(*shard.Append) {
	if p.waiting.Add(-1) == 0 && !p.conn.Loop().Post(&p.asking) {
		p.abandon()
	}
}

// post hands the packed to a worker. It runs on the loop.
func (p *produceCall) post() {
	if p.server.Pool.Post(p) {
		return
	}
	for i := range p.packed {
		p.fail(&p.packed[i], kerr.RequestTimedOut, "too many batches wait to be decompressed, send them again later")
	}
	p.resume()
}

// Unpack decompresses, and runs interceptors. It runs on a worker.
func (p *produceCall) Unpack() {
	for i := range p.packed {
		part := &p.packed[i]
		if label.On() {
			label.Set(part.topic.ProduceLabels())
		}
		err, why := (*kerr.Error)(nil), ""
		switch a := &p.appends[part.index]; {
		case a.Repeated: // and never appended
		case part.settings.Produce != nil:
			err, why = p.intercept(i)
		default:
			err, why = p.unpack(i, part.settings)
		}
		if err != nil {
			p.fail(part, err, why)
			if part.settings.Produce == nil { // an interceptor's reasons are its own
				p.blame(part.index, part.topic.Name, part.settings, batch.MaxPlain, p.memory(i))
			}
		}
	}
	if !p.sendAsides() {
		p.unpackedAll()
	}
}

// unpack does to a batch without interceptors what its topic needs.
func (p *produceCall) unpack(part int, s *shard.Settings) (*kerr.Error, string) {
	a := &p.appends[p.packed[part].index]
	switch {
	case s.Recompresses(a.Batch.Codec()):
		return unpacked(a.Recompress(s, p.memory(part)), p.packed[part].topic.Counts)
	case s.Compacted:
		return look(a.Batch, batch.MaxPlain, p.memory(part), p.packed[part].topic.Counts)
	}
	return nil, ""
}

// memory lends what a batch takes. It waits for others only as long as no batch of the request
// before it holds any: else requests that hold some would wait for each other.
func (p *produceCall) memory(part int) batch.Memory {
	if p.holds(part) {
		return p.server.Memory.Eager()
	}
	return p.server.Memory
}

// holds reports whether batches before that one hold memory.
func (p *produceCall) holds(part int) bool {
	for i := range p.packed[:part] {
		if p.appends[p.packed[i].index].Owner != nil {
			return true
		}
	}
	return len(p.asides) > 0
}

// unpackedAll has the loop send what was unpacked. It runs on a worker, or on a shard.
func (p *produceCall) unpackedAll() {
	if !p.conn.Loop().Post(&p.sending) {
		p.abandon()
	}
}

// abandon drops everything: the server is closed, and nobody waits for an answer.
func (p *produceCall) abandon() {
	for i := range p.appends {
		p.appends[i].Drop()
	}
	p.slot.Discard()
	p.free()
}

// fail refuses a batch, and gives its memory back if it has moved.
func (p *produceCall) fail(part *packedPart, err *kerr.Error, why string) {
	r := &p.results[part.index]
	r.Error = err.Code
	p.tell(r, why)
	part.topic.Counts.ProduceFailed()
	if a := &p.appends[part.index]; a.Owner != nil {
		a.Drop()
	}
}

// resume sends what was unpacked, and then lets the connection go on, unless it is throttled. It runs on
// the loop.
func (p *produceCall) resume() {
	conn := p.conn
	p.judgeAsides()
	p.throttle()
	p.send()
	conn.Resume()
}
