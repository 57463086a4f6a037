// Package schemaid is an interceptor that takes only records which name a schema that is
// known: those in Confluent's wire format, a zero byte and four bytes of the schema's id.
//
//	interceptors.produce=schema-id
//	plugin.schema-id.config.allowed=1,2,17                    ids that may be used; and, or instead,
//	plugin.schema-id.config.registry=http://127.0.0.1:8081    a schema registry that knows them
//	plugin.schema-id.config.part=value                        or key
//	plugin.schema-id.config.null=true                         whether null, a deletion, passes
//	plugin.schema-id.config.timeout=2s                        of the registry
//	plugin.schema-id.config.forget=1m                         after which an id that was not known is asked about again
//
// A record without such an id, or with one that nobody knows, is bad: on.error decides. A
// registry that does not answer is a fault of the plugin. An id is asked about once, for ids
// never change what they mean; the batch waits for the answer.
//
// Anybody can make ids up, and have others wait while the registry is asked about each. So a
// batch is refused, whatever on.error says, when it has more than 10 ids that the registry turns
// out not to know, or when it has one to ask about and there were 20 such in a second.
package schemaid

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Interceptors.Register("schema-id", New) }

const (
	// mostUnknown bounds the ids that are remembered not to be known: anybody can make them up.
	mostUnknown = 10_000
	// vain is how many questions of a batch may be in vain, and vainPerSecond how many of a second.
	vain          = 10
	vainPerSecond = 20
	// drained is how much of an answer is read, so that its connection can be used again.
	drained = 1 << 20
)

type checker struct {
	sdk.Nop
	allowed  map[uint32]bool // nil: the registry decides
	registry string
	key      bool
	null     bool
	forget   time.Duration
	client   http.Client
	now      func() time.Time
	known    map[uint32]bool
	unknown  map[uint32]time.Time // and since when
	vain     int                  // questions in vain for this batch
	second   time.Time            // in which there were so many in vain
	inSecond int
}

// New makes a checker.
func New(c sdk.Config) (sdk.Interceptor, error) {
	s := &checker{
		registry: strings.TrimSuffix(c.String("registry", ""), "/"), null: c.Bool("null", true), forget: c.Duration("forget", time.Minute),
		client: http.Client{Timeout: c.Duration("timeout", 2*time.Second)}, now: time.Now, known: map[uint32]bool{}, unknown: map[uint32]time.Time{},
	}
	for _, text := range c.List("allowed") {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			c.Wrong("allowed", strconv.Quote(text)+" is not an id of a schema")
		}
		if s.allowed == nil {
			s.allowed = map[uint32]bool{}
		}
		s.allowed[uint32(id)] = true
	}
	switch part := c.String("part", "value"); part {
	case "key", "value":
		s.key = part == "key"
	default:
		c.Wrong("part", "use key or value")
	}
	if s.allowed == nil && s.registry == "" {
		c.Wrong("allowed", "neither allowed nor registry says which ids there are")
	}
	if s.registry != "" && !strings.HasPrefix(s.registry, "http://") && !strings.HasPrefix(s.registry, "https://") {
		c.Wrong("registry", "must begin with http:// or https://")
	}
	if s.client.Timeout <= 0 {
		c.Wrong("timeout", "must be longer than nothing")
	}
	return s, nil
}

// Close lets go of connections to the registry.
func (s *checker) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// OnProduce checks every record.
func (s *checker) OnProduce(b *sdk.Batch) error {
	s.vain = 0
	for i, v := range b.All() {
		data := v.Value
		if s.key {
			data = v.Key
		}
		why, err := s.check(data)
		if err != nil {
			return err
		}
		if why != "" {
			b.Fail(i, why)
		}
	}
	return nil
}

// check answers what is wrong with data, "" when nothing is.
func (s *checker) check(data []byte) (why string, err error) {
	switch {
	case data == nil && s.null:
		return "", nil
	case len(data) < 5 || data[0] != 0:
		return "it does not begin with the id of a schema", nil
	}
	id := binary.BigEndian.Uint32(data[1:])
	if s.allowed != nil && !s.allowed[id] {
		return fmt.Sprintf("schema %d is not one of those allowed", id), nil
	}
	if s.registry == "" || s.known[id] {
		return "", nil
	}
	if since, ok := s.unknown[id]; !ok || s.now().Sub(since) >= s.forget {
		if err := s.ask(id); err != nil {
			return "", err
		}
	}
	if !s.known[id] {
		return fmt.Sprintf("the registry does not know schema %d", id), nil
	}
	return "", nil
}

// ask asks the registry about an id, unless too many were asked about in vain.
func (s *checker) ask(id uint32) error {
	if s.vain >= vain {
		return sdk.Reject(fmt.Sprintf("more than %d ids of schemas are not known to the registry", vain))
	}
	if now := s.now(); now.Sub(s.second) >= time.Second {
		s.second, s.inSecond = now, 0
	}
	if s.inSecond >= vainPerSecond {
		return sdk.Reject(fmt.Sprintf("the registry is not asked about schema %d now, since it was asked about too many that it does not know: send it again later", id))
	}
	q, err := http.NewRequestWithContext(context.Background(), http.MethodGet, fmt.Sprintf("%s/schemas/ids/%d", s.registry, id), nil)
	if err != nil {
		return fmt.Errorf("ask the registry about schema %d: %w", id, err)
	}
	a, err := s.client.Do(q)
	if err != nil {
		return fmt.Errorf("ask the registry about schema %d: %w", id, err)
	}
	defer a.Body.Close()
	_, _ = io.CopyN(io.Discard, a.Body, drained) // what it says besides is of no use
	switch a.StatusCode {
	case http.StatusOK:
		s.known[id] = true
		delete(s.unknown, id)
	case http.StatusNotFound:
		if len(s.unknown) >= mostUnknown {
			clear(s.unknown)
		}
		s.unknown[id] = s.now()
		s.vain++
		s.inSecond++
	default:
		return fmt.Errorf("ask the registry about schema %d: it answers %s", id, a.Status)
	}
	return nil
}
