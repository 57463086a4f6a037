package loadgen

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/results"
)

// kind is one of the latencies that a phase records.
type kind int

const (
	response kind = iota
	service
	sendLag
	ownLag
	fetchTime
	endToEnd
	kinds
)

var kindNames = [kinds]string{results.Response, results.Service, results.SendLag, results.OwnLag, results.Fetch, results.E2E}

// tally counts records and bytes.
type tally struct {
	acked, received   int64 // records
	failed            int64
	bytes, wireBytes  int64 // acked
	readBytes, readIO int64 // received: of record values, of encoded batches
	requests          int64
}

func (t *tally) add(o *tally) {
	t.acked += o.acked
	t.received += o.received
	t.failed += o.failed
	t.bytes += o.bytes
	t.wireBytes += o.wireBytes
	t.readBytes += o.readBytes
	t.readIO += o.readIO
	t.requests += o.requests
}

// interval is what one loop saw in one second.
type interval struct {
	loop   int
	index  int   // seconds since the end of the warm-up; negative within it
	length int64 // nanoseconds of the phase that it covers: a second, less at either end
	tally
	latency [kinds]*hdrhistogram.Histogram // nil: not recorded by this loop
	last    bool                           // the loop has ended
}

// recorder collects the measurements of one loop. Owned by that loop; full intervals go
// to the collector, and come back empty.
type recorder struct {
	loop     int
	measured int64 // when the warm-up ends
	ends     int64 // of the current interval
	current  *interval
	out      chan<- *interval
	free     chan *interval
	records  []kind
	lastAck  int64
	allAcked int64           // records, warm-up included
	errors   map[int16]int64 // failed records by error code, of the measured part
}

// second is the length of an interval.
const second = int64(time.Second)

func newRecorder(loop int, measured int64, out chan<- *interval, records ...kind) *recorder {
	r := &recorder{loop: loop, measured: measured, out: out, free: make(chan *interval, 4), records: records, errors: map[int16]int64{}}
	for range cap(r.free) - 1 {
		r.free <- r.empty()
	}
	index := -int((measured + second - 1) / second)
	r.current = r.empty()
	r.begin(index)
	return r
}

func (r *recorder) empty() *interval {
	i := &interval{loop: r.loop}
	for _, k := range r.records {
		i.latency[k] = results.NewHistogram()
	}
	return i
}

func (r *recorder) begin(index int) {
	r.current.index = index
	r.ends = r.measured + int64(index+1)*second
}

// advance hands over every interval that is over by now and returns when the current one
// ends.
func (r *recorder) advance(now int64) (next int64) {
	for now >= r.ends {
		full := r.current
		full.length = r.ends - max(r.ends-second, 0)
		select {
		case r.current = <-r.free:
		default:
			r.current = r.empty() // the collector is behind
		}
		index := full.index
		r.out <- full
		r.begin(index + 1)
	}
	return r.ends
}

// finish hands over what is left.
func (r *recorder) finish(now int64) {
	r.advance(now)
	r.current.length = now - max(r.ends-second, 0)
	r.current.last = true
	r.out <- r.current
	r.current = nil
}

// warming reports whether now is still warm-up.
func (r *recorder) warming() bool { return r.current.index < 0 }

// note records count values of one latency that began at due. What began in the warm-up
// is not let into the measured part.
func (r *recorder) note(k kind, due, nanos int64, count int) {
	if due < r.measured && !r.warming() {
		return
	}
	// The value is clamped to the histogram's range, so this cannot fail.
	_ = r.current.latency[k].RecordValues(results.Clamp(nanos), int64(count))
}

// fail counts records that the broker refused.
func (r *recorder) fail(code int16, count int) {
	r.current.failed += int64(count)
	if !r.warming() {
		r.errors[code] += int64(count)
	}
}

// recycle empties an interval that the collector is done with and gives it back.
func (r *recorder) recycle(i *interval) {
	i.tally = tally{}
	for _, h := range i.latency {
		if h != nil {
			h.Reset()
		}
	}
	select {
	case r.free <- i:
	default:
	}
}
