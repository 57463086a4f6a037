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

// mostBlamed is how many records of a batch an answer names: it must stay small, however many a
// batch has that expand from nothing.
const mostBlamed = 1000

// blame names the records for which a batch was refused (KIP-467), so that a producer gives up those and tells of the
// others that they were in bad company. It runs where the batch was looked at, with what that may take.
func (p *produceCall) blame(i int, topic string, s *shard.Settings, most int64, m batch.Memory) {
	r := &p.results[i]
	b := batch.Batch(p.request.Partitions[i].Records)
	keyless := r.Error == kerr.InvalidRecord.Code && s.Compacted
	if p.version < 8 || !keyless && r.Error != kerr.InvalidTimestamp.Code {
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
	where := fmt.Sprintf("%s-%d", topic, p.request.Partitions[i].Index)
	for n := int32(0); len(r.Records) < mostBlamed && records.Next(); n++ {
		if why := wrong(b, records.Head(), s, p.received, where); why != "" {
			r.Records = append(r.Records, wire.RecordError{Index: n, Message: why})
		}
	}
	if records.Err() != nil {
		r.Records = nil // the batch itself is wrong
	}
	explain(r)
}

// explain says in Kafka's words what is wrong with a batch some of whose records are.
func explain(r *wire.ProduceResult) {
	switch n := len(r.Records); {
	case n == 0:
	case r.Error == kerr.InvalidTimestamp.Code:
		r.Message = "One or more records have been rejected due to invalid timestamp"
	default:
		var few []string
		for _, e := range r.Records[:min(n, 3)] {
			few = append(few, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", e.Index, e.Message))
		}
		r.Message = fmt.Sprintf("One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]", n, strings.Join(few, ", "))
	}
}

// wrong says in Kafka's words why a record is refused, or nothing.
func wrong(b batch.Batch, h *batch.RecordHead, s *shard.Settings, now time.Time, where string) string {
	at := b.BaseTimestamp() + h.TimestampDelta
	earliest, latest := now.UnixMilli()-millis(s.MaxBefore), now.UnixMilli()+min(millis(s.MaxAfter), math.MaxInt64-now.UnixMilli())
	switch {
	case s.Compacted && h.KeySize < 0:
		return "Compacted topic cannot accept message without key in topic partition " + where + "."
	case !s.LogAppendTime && at != noTimestamp && (at < earliest || at > latest):
		return fmt.Sprintf("Timestamp %d of message with offset %d is out of range. The timestamp should be within [%d, %d]", at, h.OffsetDelta, earliest, latest)
	}
	return ""
}

// millis are those of a limit, of which a negative one is none.
func millis(limit time.Duration) int64 {
	if limit < 0 {
		return math.MaxInt64
	}
	return limit.Milliseconds()
}
