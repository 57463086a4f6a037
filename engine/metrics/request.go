package metrics

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Times is where the time of one request went. Parts that did not happen are zero.
type Times struct {
	Queue         time.Duration // from the frame being whole to somebody working on it
	Local         time.Duration // work on this broker
	Remote        time.Duration // waiting: for partitions and their disk, coordinators, members of a group, data to fetch
	ResponseQueue time.Duration // the answer waiting for its turn on the connection
	Send          time.Duration // writing the answer
}

// total is the sum of the parts.
func (t *Times) total() time.Duration {
	return t.Queue + t.Local + t.Remote + t.ResponseQueue + t.Send
}

// The stages of a request, in the order of stageNames.
const (
	stageTotal = iota
	stageQueue
	stageLocal
	stageRemote
	stageResponseQueue
	stageSend
	stageCount
)

// stageNames are Kafka's name of each stage and ours.
var stageNames = [stageCount]struct{ kafka, own string }{
	{"totaltimems", "total"},
	{"requestqueuetimems", "queue"},
	{"localtimems", "local"},
	{"remotetimems", "remote"},
	{"responsequeuetimems", "response_queue"},
	{"responsesendtimems", "send"},
}

const (
	knownVersions = 32
	knownErrors   = 192 // codes -1 to 190
)

// Request counts and times the requests of one API key. All methods may be called from
// any goroutine.
type Request struct {
	name     string
	versions [knownVersions]atomic.Uint64
	errors   [knownErrors]atomic.Uint64
	stages   [stageCount]*Histogram
	zeros    [stageCount]atomic.Uint64 // requests that took no time for a stage, as last shown: it never falls
	windows  [stageCount]window
}

func newRequest(name string) *Request {
	r := &Request{name: name}
	for i := range r.stages {
		r.stages[i] = newHistogram(seconds)
	}
	return r
}

// Observe counts one request that was answered. Stages that took no time cost nothing:
// how often that was is known from the total.
func (r *Request) Observe(version int16, t Times) {
	r.versions[clamp(int(version), knownVersions)].Add(1)
	r.stages[stageTotal].Observe(int64(t.total()))
	observeSome(r.stages[stageQueue], t.Queue)
	observeSome(r.stages[stageLocal], t.Local)
	observeSome(r.stages[stageRemote], t.Remote)
	observeSome(r.stages[stageResponseQueue], t.ResponseQueue)
	observeSome(r.stages[stageSend], t.Send)
}

func observeSome(h *Histogram, d time.Duration) {
	if d > 0 {
		h.Observe(int64(d))
	}
}

// Result counts one error code of an answer, 0 for success: one for the whole answer, or
// one for each of its parts.
func (r *Request) Result(code int16) { r.errors[clamp(int(code)+1, knownErrors)].Add(1) }

func clamp(n, limit int) int { return max(0, min(n, limit-1)) }

// errorName is Kafka's name of a code.
func errorName(code int16) string {
	e := kerr.TypedErrorForCode(code)
	switch {
	case code == 0:
		return "NONE"
	case code == kerr.NotLeaderForPartition.Code:
		return "NOT_LEADER_OR_FOLLOWER" // its newer name
	case e == nil || e.Code != code:
		return strconv.Itoa(int(code))
	default:
		return e.Message
	}
}

// stage is the snapshot of one stage, with the requests that it took no time for.
func (r *Request) stage(i int, total uint64) snapshot {
	s := r.stages[i].snapshot()
	if i == stageTotal {
		return s
	}
	zeros := uint64(0)
	if total > s.count { // it may be the other way while requests are being counted
		zeros = total - s.count
	}
	zeros = raise(&r.zeros[i], zeros)
	s.counts[0] += zeros
	s.count += zeros
	return s
}

// Topic counts what is done with one topic. All methods may be called from any
// goroutine; what producers change and what consumers change lie on different cache
// lines.
type Topic struct {
	bytesIn, messagesIn, produces, failedProduces, bytesRejected atomic.Uint64
	invalidCRC, invalidMagic, invalidSequence                    atomic.Uint64

	bytesOut, fetches, failedFetches, noKey atomic.Uint64
	_                                       [32]byte
}

// Produced counts one batch that was taken.
func (t *Topic) Produced(bytes, records int) {
	t.produces.Add(1)
	t.bytesIn.Add(uint64(bytes))
	t.messagesIn.Add(uint64(records))
}

// ProduceFailed counts one produce to a partition that was refused.
func (t *Topic) ProduceFailed() {
	t.produces.Add(1)
	t.failedProduces.Add(1)
}

// Rejected counts bytes that were refused because they were too many.
func (t *Topic) Rejected(bytes int) { t.bytesRejected.Add(uint64(bytes)) }

// InvalidCRC counts batches whose checksum was wrong.
func (t *Topic) InvalidCRC() { t.invalidCRC.Add(1) }

// InvalidMagic counts batches of a format that is not taken.
func (t *Topic) InvalidMagic() { t.invalidMagic.Add(1) }

// InvalidSequence counts batches whose offsets or sequence cannot be.
func (t *Topic) InvalidSequence() { t.invalidSequence.Add(1) }

// NoKey counts batches for a compacted topic in which a record has no key.
func (t *Topic) NoKey() { t.noKey.Add(1) }

// Fetched counts one fetch of a partition that was answered with so many bytes.
func (t *Topic) Fetched(bytes int) {
	t.fetches.Add(1)
	t.bytesOut.Add(uint64(bytes))
}

// FetchFailed counts one fetch of a partition that was refused.
func (t *Topic) FetchFailed() {
	t.fetches.Add(1)
	t.failedFetches.Add(1)
}

// topicCounters are Kafka's names for the fields of a Topic.
var topicCounters = []struct {
	name, help string
	of         func(*Topic) *atomic.Uint64
}{
	{"messagesin_total", "Records taken.", func(t *Topic) *atomic.Uint64 { return &t.messagesIn }},
	{"bytesin_total", "Bytes of batches taken.", func(t *Topic) *atomic.Uint64 { return &t.bytesIn }},
	{"bytesout_total", "Bytes of batches sent.", func(t *Topic) *atomic.Uint64 { return &t.bytesOut }},
	{"bytesrejected_total", "Bytes of batches that were too large.", func(t *Topic) *atomic.Uint64 { return &t.bytesRejected }},
	{"totalproducerequests_total", "Produces to a partition.", func(t *Topic) *atomic.Uint64 { return &t.produces }},
	{"failedproducerequests_total", "Produces to a partition that failed.", func(t *Topic) *atomic.Uint64 { return &t.failedProduces }},
	{"totalfetchrequests_total", "Fetches from a partition.", func(t *Topic) *atomic.Uint64 { return &t.fetches }},
	{"failedfetchrequests_total", "Fetches from a partition that failed.", func(t *Topic) *atomic.Uint64 { return &t.failedFetches }},
	{"invalidmessagecrcrecords_total", "Batches with a wrong checksum.", func(t *Topic) *atomic.Uint64 { return &t.invalidCRC }},
	{"invalidmagicnumberrecords_total", "Batches of a format that is not taken.", func(t *Topic) *atomic.Uint64 { return &t.invalidMagic }},
	{"invalidoffsetorsequencerecords_total", "Batches whose offsets or sequence cannot be.", func(t *Topic) *atomic.Uint64 { return &t.invalidSequence }},
	{"nokeycompactedtopicrecords_total", "Batches for a compacted topic in which a record has no key.", func(t *Topic) *atomic.Uint64 { return &t.noKey }},
}

// add adds the counts of other.
func (t *Topic) add(other *Topic) {
	for _, c := range topicCounters {
		c.of(t).Add(c.of(other).Load())
	}
}
