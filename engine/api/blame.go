package api

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	// mostBlamed is how many records the answer to a request names, and mostTold how many bytes it says about what is
	// wrong with records and batches: it must stay small, however many records expand from nothing, and however often a
	// partition is named. Of the rest it has the codes.
	mostBlamed = 1000
	mostTold   = 512 << 10
)

// tell says in an answer why a batch is refused, as long as not too much was said.
func (p *produceCall) tell(r *wire.ProduceResult, why string) {
	r.Message = ""
	if p.told+len(why) <= mostTold {
		p.told += len(why)
		r.Message = why
	}
}

// blame names the records for which a batch was refused (KIP-467), so that a producer gives up those and tells of the
// others that they were in bad company. It runs where the batch was looked at, with what that may take.
func (p *produceCall) blame(i int, topic string, s *shard.Settings, most int64, m batch.Memory) {
	r := &p.results[i]
	b := batch.Batch(p.request.Partitions[i].Records)
	keyless := r.Error == kerr.InvalidRecord.Code && s.Compacted
	if p.version < 8 || p.request.Acks == 0 || !keyless && r.Error != kerr.InvalidTimestamp.Code || p.blamed == mostBlamed || p.told >= mostTold {
		return
	}
	if b.Codec() == batch.None {
		most = math.MaxInt64 // nothing has to be decompressed
	}
	records, err := batch.Scan(b, batch.ScanOptions{Max: most, Memory: m})
	if err != nil {
		return
	}
	defer records.Close()
	f := faults{
		now: p.received.UnixMilli(), settings: s,
		keyless: fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-%d", topic, p.request.Partitions[i].Index),
	}
	var named []wire.RecordError
	wrong, told := 0, 0
	for n := int32(0); records.Next(); n++ {
		head := records.Head()
		at := b.BaseTimestamp() + head.TimestampDelta
		if !f.found(head, at) {
			continue
		}
		wrong++
		if p.blamed+len(named) < mostBlamed && p.told+told < mostTold {
			named = append(named, wire.RecordError{Index: n, Message: f.text(head, at)})
			told += len(named[len(named)-1].Message)
		}
	}
	if records.Err() != nil || wrong == 0 {
		return // the batch itself is wrong
	}
	r.Records = named
	p.blamed += len(named)
	p.told += told
	p.explain(r, wrong)
}

// explain says in Kafka's words what is wrong with a batch some of whose records are.
func (p *produceCall) explain(r *wire.ProduceResult, wrong int) {
	if r.Error == kerr.InvalidTimestamp.Code {
		p.tell(r, "One or more records have been rejected due to invalid timestamp")
		return
	}
	var few []string
	for _, e := range r.Records[:min(len(r.Records), 3)] {
		few = append(few, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", e.Index, e.Message))
	}
	p.tell(r, fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]", wrong, strings.Join(few, ", ")))
}

// faults are what the records of a batch may be refused for.
type faults struct {
	now      int64 // milliseconds
	settings *shard.Settings
	keyless  string // what is said of a record without a key
}

// found reports whether a record with a timestamp is refused.
func (f *faults) found(h *batch.RecordHead, at int64) bool {
	earliest, latest := f.span()
	return f.settings.Compacted && h.KeySize < 0 || !f.settings.LogAppendTime && at != noTimestamp && (at < earliest || at > latest)
}

// text says in Kafka's words why it is.
func (f *faults) text(h *batch.RecordHead, at int64) string {
	if f.settings.Compacted && h.KeySize < 0 {
		return f.keyless
	}
	earliest, latest := f.span()
	return fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]", at, h.OffsetDelta, earliest, latest)
}

// span is within what timestamps have to be.
func (f *faults) span() (earliest, latest int64) {
	return f.now - millis(f.settings.MaxBefore), f.now + min(millis(f.settings.MaxAfter), math.MaxInt64-f.now)
}

// millis are those of a limit, of which a negative one is none.
func millis(limit time.Duration) int64 {
	if limit < 0 {
		return math.MaxInt64
	}
	return limit.Milliseconds()
}
