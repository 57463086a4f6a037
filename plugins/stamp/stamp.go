// Package stamp is an interceptor that writes into the headers of records what only the
// broker knows:
//
//	interceptors.produce=header-stamp
//	plugin.header-stamp.config.trace=true                         traceparent (W3C trace context), for
//	                                                              records that have none
//	plugin.header-stamp.config.time.header=millrace.received.at   milliseconds, as text; empty: none
//	plugin.header-stamp.config.client.header=millrace.client.id   client.id of the producer; empty: none
//
// Headers of the last two names that a producer has sent itself are replaced: readers can
// believe them. Whoever wants an own trace sends its own traceparent.
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
	s.headers = s.headers[:0]
	now := strconv.AppendInt(b.Alloc(20)[:0], s.now().UnixMilli(), 10)
	client := append(b.Alloc(len(b.ClientID))[:0], b.ClientID...)
	for i, v := range b.All() {
		at := len(s.headers)
		for _, h := range v.Headers {
			if h.Key != s.time && h.Key != s.client {
				s.headers = append(s.headers, h)
			}
		}
		if s.time != "" {
			s.headers = append(s.headers, batch.Header{Key: s.time, Value: now})
		}
		if s.client != "" {
			s.headers = append(s.headers, batch.Header{Key: s.client, Value: client})
		}
		if s.trace && !slices.ContainsFunc(v.Headers, func(h batch.Header) bool { return h.Key == traceParent }) {
			s.headers = append(s.headers, batch.Header{Key: traceParent, Value: appendTrace(b.Alloc(55)[:0])})
		}
		b.SetHeaders(i, s.headers[at:len(s.headers):len(s.headers)])
	}
	return nil
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
