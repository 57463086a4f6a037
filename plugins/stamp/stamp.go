// Package stamp is an interceptor that writes into the headers of records when and from whom
// the broker got them:
//
//	interceptors.produce=header-stamp
//	plugin.header-stamp.config.trace=true                         traceparent (W3C trace context), for
//	                                                              records that have none
//	plugin.header-stamp.config.time.header=millrace.received.at   milliseconds, as text; empty: none
//	plugin.header-stamp.config.client.header=millrace.client.id   client.id of the producer; empty: none
//
// Headers of the last two names that a producer has sent itself are replaced. Readers can
// believe the time. The client.id is what the producer calls itself: no record can say
// otherwise than its connection, and any connection can call itself so. Whoever wants an own
// trace sends its own traceparent.
package stamp

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

func init() { sdk.Interceptors.Register("header-stamp", New) }

// traceParent is the header of the W3C's trace context.
const traceParent = "traceparent"

// keep is how large a batch may be, in bytes, whose headers stay until the next: they point into
// it, and hold the memory of its records.
const keep = 256 << 10

type stamper struct {
	sdk.Nop
	trace        bool
	time, client string
	now          func() time.Time
	headers      []batch.Header
}

// New makes a stamper.
func New(c sdk.Config) (sdk.Interceptor, error) {
	return &stamper{
		trace: c.Bool("trace", true), time: c.String("time.header", "millrace.received.at"),
		client: c.String("client.header", "millrace.client.id"), now: time.Now,
	}, nil
}

// OnProduce stamps every record.
func (s *stamper) OnProduce(b *sdk.Batch) error {
	headers := s.headers[:0]
	now := strconv.AppendInt(b.Alloc(20)[:0], s.now().UnixMilli(), 10)
	client := append(b.Alloc(len(b.ClientID))[:0], b.ClientID...)
	for i, v := range b.All() {
		at := len(headers)
		for _, h := range v.Headers {
			if !s.stamps(h.Key) {
				headers = append(headers, h)
			}
		}
		if s.time != "" {
			headers = append(headers, batch.Header{Key: s.time, Value: now})
		}
		if s.client != "" {
			headers = append(headers, batch.Header{Key: s.client, Value: client})
		}
		if s.trace && !slices.ContainsFunc(v.Headers, func(h batch.Header) bool { return h.Key == traceParent }) {
			headers = append(headers, batch.Header{Key: traceParent, Value: appendTrace(b.Alloc(55)[:0])})
		}
		b.SetHeaders(i, headers[at:len(headers):len(headers)])
	}
	if len(b.Section()) <= keep {
		s.headers = headers
	}
	return nil
}

// stamps reports whether a header is one of those that are replaced. A name that is empty
// stands for none here, and is one like any other to producers.
func (s *stamper) stamps(key string) bool {
	return key != "" && (key == s.time || key == s.client)
}

// appendTrace begins a trace: version, trace id, span id, flags (not sampled).
func appendTrace(p []byte) []byte {
	var id [24]byte
	for i := 0; i < len(id); i += 8 {
		for n, at := rand.Uint64()|1, i; at < i+8; at, n = at+1, n>>8 { // ids of zeros are none
			id[at] = byte(n)
		}
	}
	p = hex.AppendEncode(append(p, "00-"...), id[:16])
	p = hex.AppendEncode(append(p, '-'), id[16:])
	return append(p, "-00"...)
}
