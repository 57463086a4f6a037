package kinds

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace/sdk"
)

func init() {
	sdk.ProducerInterceptors.Register("origin", NewOrigin)
	sdk.ConsumerInterceptors.Register("sieve", NewSieve)
}

// Origin says in a header of each record who sent it, and in another how many were stored by then.
type Origin struct {
	name, secret string
	stored       atomic.Int64
}

// NewOrigin makes one, of the name "name", which says nothing about values that begin with "secret".
func NewOrigin(c sdk.Config) (sdk.ProducerInterceptor, error) {
	return &Origin{name: c.String("name", "millrace"), secret: c.String("secret", "secret")}, nil
}

var errSecret = errors.New("it is a secret")

// OnSend adds the headers.
func (o *Origin) OnSend(r *sdk.Record) error {
	if begins(r.Value, o.secret) {
		return errSecret
	}
	r.Headers = append(r.Headers, sdk.Header{Key: "origin", Value: []byte(o.name)})
	if n := o.stored.Load(); n > 0 {
		r.Headers = append(r.Headers, sdk.Header{Key: "stored", Value: strconv.AppendInt(nil, n, 10)})
	}
	return nil
}

// OnAck counts.
func (o *Origin) OnAck(_ sdk.RecordMetadata, err error) {
	if err == nil {
		o.stored.Add(1)
	}
}

// begins reports whether bytes or text do so.
func begins(v any, prefix string) bool {
	switch is := v.(type) {
	case []byte:
		return strings.HasPrefix(string(is), prefix)
	case string:
		return strings.HasPrefix(is, prefix)
	}
	return false
}

// Sieve leaves out records whose value begins with a prefix, takes the header "origin" off the others,
// and says in a header up to where the group has committed.
type Sieve struct {
	prefix    string
	committed atomic.Int64
}

// NewSieve makes one of the prefix "prefix".
func NewSieve(c sdk.Config) (sdk.ConsumerInterceptor, error) {
	return &Sieve{prefix: c.String("prefix", "debug")}, nil
}

// OnConsume sieves.
func (s *Sieve) OnConsume(records []*sdk.Record) (after []*sdk.Record, err error) {
	for _, r := range records {
		r.Headers = slices.DeleteFunc(r.Headers, func(h sdk.Header) bool { return h.Key == "origin" })
		if n := s.committed.Load(); n > 0 {
			r.Headers = append(r.Headers, sdk.Header{Key: "committed", Value: strconv.AppendInt(nil, n, 10)})
		}
		if !begins(r.Value, s.prefix) {
			after = append(after, r)
		}
	}
	return after, nil
}

// OnCommit notes how far the group has come.
func (s *Sieve) OnCommit(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) {
	for _, is := range offsets {
		s.committed.Store(max(s.committed.Load(), is.Offset))
	}
}
