// Package ratelimit is an interceptor that guards partitions from being written to too fast:
//
//	interceptors.produce=rate-limit
//	plugin.rate-limit.config.records.per.second=1000   of each partition; 0: any number
//	plugin.rate-limit.config.bytes.per.second=1000000  before compression; 0: any number
//	plugin.rate-limit.config.burst=1s                  so much of a rate may come at once
//
// A batch that is over the limit is refused with INVALID_RECORD and a message that says so;
// producers do not send it again by themselves. One that an idempotent producer sends again
// though it is stored, because an answer was lost, is not seen by interceptors and so is not
// counted twice; what is refused behind this plugin was counted: put it last in the list. A batch that is larger than a whole burst
// passes when nothing came for as long as that takes, and the next has to wait for it.
package ratelimit

import (
	"fmt"
	"math"
	"time"

	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Interceptors.Register("rate-limit", New) }

// mostBuckets is from how many partitions on those are forgotten that nobody writes to.
const mostBuckets = 10_000

type partition struct {
	topic string
	index int32
}

// bucket is what a partition may take at once.
type bucket struct {
	records, bytes float64
	at             time.Time
}

type limiter struct {
	sdk.Nop
	records, bytes float64 // a second
	burst          time.Duration
	now            func() time.Time
	buckets        map[partition]*bucket
}

// New makes a limiter.
func New(c sdk.Config) (sdk.Interceptor, error) {
	l := &limiter{records: c.Float("records.per.second", 0), bytes: c.Float("bytes.per.second", 0), burst: c.Duration("burst", time.Second),
		now: time.Now, buckets: map[partition]*bucket{}}
	if !(l.records >= 0 && l.bytes >= 0 && l.records+l.bytes > 0) || math.IsInf(l.records+l.bytes, 0) { // NaN is none of it
		c.Wrong("records.per.second", "a limit above 0 is needed, for records or for bytes")
	}
	if l.burst <= 0 {
		c.Wrong("burst", "must be longer than nothing")
	}
	return l, nil
}

// OnProduce refuses what comes too fast.
func (l *limiter) OnProduce(b *sdk.Batch) error {
	to := l.bucket(partition{b.Topic, b.Partition})
	records, bytes := float64(b.Len()), float64(len(b.Section()))
	if l.records > 0 && to.records < min(records, l.full(l.records)) {
		return sdk.Reject(fmt.Sprintf("%s-%d takes %g records a second", b.Topic, b.Partition, l.records))
	}
	if l.bytes > 0 && to.bytes < min(bytes, l.full(l.bytes)) {
		return sdk.Reject(fmt.Sprintf("%s-%d takes %g bytes a second", b.Topic, b.Partition, l.bytes))
	}
	if l.records > 0 {
		to.records -= records
	}
	if l.bytes > 0 {
		to.bytes -= bytes
	}
	return nil
}

// full is what a whole burst is.
func (l *limiter) full(rate float64) float64 { return rate * l.burst.Seconds() }

// bucket is that of a partition, filled up to now.
func (l *limiter) bucket(p partition) *bucket {
	now := l.now()
	b := l.buckets[p]
	if b == nil {
		if len(l.buckets) >= mostBuckets {
			l.forget(now)
		}
		b = &bucket{records: l.full(l.records), bytes: l.full(l.bytes), at: now}
		l.buckets[p] = b
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.records = min(l.full(l.records), b.records+l.records*passed)
		b.bytes = min(l.full(l.bytes), b.bytes+l.bytes*passed)
		b.at = now
	}
	return b
}

// forget drops the buckets that must be full again, and so are as good as new.
func (l *limiter) forget(now time.Time) {
	for p, b := range l.buckets {
		passed := now.Sub(b.at).Seconds()
		if b.records+l.records*passed >= l.full(l.records) && b.bytes+l.bytes*passed >= l.full(l.bytes) {
			delete(l.buckets, p)
		}
	}
}
