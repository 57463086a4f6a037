package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// control asks what is asked seldom, over a connection of its own to any broker. Its
// goroutine alone touches its fields.
type control struct {
	o           *Options
	events      chan<- event
	socket      net.Conn // nil: none
	versions    map[int16]int16
	renew       time.Time // when it must be proved anew who the client is; zero: never
	known       []string  // brokers of the last metadata
	turn        int
	correlation int32
}

// job is a question: which topics there are, a producer id, or who coordinates.
type job struct {
	topics   []string
	identity bool
	find     *transaction.Ask
}

func (c *control) run(ctx context.Context, jobs <-chan job) {
	defer c.hangUp()
	for {
		select {
		case j := <-jobs:
			switch {
			case j.identity:
				c.events <- c.identify(ctx)
			case j.find != nil:
				c.events <- &answered{c.locate(ctx, j.find)}
			default:
				c.events <- c.describe(ctx, j.topics)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *control) hangUp() {
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
}

// ask sends a request to the broker that answered last, or to the next that can be reached.
func (c *control) ask(ctx context.Context, q kmsg.Request) (kmsg.Response, error) {
	return c.askWithin(ctx, q, 0, q.MaxVersion())
}

// askWithin is ask with a version that is neither below least nor above most.
func (c *control) askWithin(ctx context.Context, q kmsg.Request, least, most int16) (kmsg.Response, error) {
	var all []error // each once: with few servers the same one fails twice
	failed := func(err error) {
		if !slices.ContainsFunc(all, func(other error) bool { return other.Error() == err.Error() }) {
			all = append(all, err)
		}
	}
	for range 1 + len(c.known) + len(c.o.Servers) {
		if ctx.Err() != nil {
			return nil, ErrClosed
		}
		if err := c.connect(ctx); err != nil {
			failed(err)
			continue
		}
		knows, any := c.versions[q.Key()]
		if !any || knows < least {
			return nil, fmt.Errorf("the broker at %s does not know %s of version %d: %w", c.socket.RemoteAddr(), kmsg.NameForKey(q.Key()), least, kerr.UnsupportedVersion)
		}
		q.SetVersion(min(knows, most))
		c.correlation++
		stop := context.AfterFunc(ctx, c.interrupt(c.socket))
		answer, err := exchange(c.socket, c.o, q, c.correlation)
		stop()
		if err == nil {
			return answer, nil
		}
		failed(fmt.Errorf("ask the broker at %s: %w", c.socket.RemoteAddr(), err))
		c.hangUp()
	}
	return nil, &unreached{errors.Join(all...)}
}

// unreached is that a request got no answer, whatever brokers said before it.
type unreached struct{ error }

// Error is one line, as it ends in logs.
func (u *unreached) Error() string { return strings.ReplaceAll(u.error.Error(), "\n", "; ") }

func (u *unreached) Unwrap() error { return u.error }

// interrupt ends what waits for a socket.
func (c *control) interrupt(socket net.Conn) func() { return func() { socket.Close() } }

// connect has a connection, to the next broker if there is none.
func (c *control) connect(ctx context.Context) error {
	if c.socket != nil && (c.renew.IsZero() || time.Now().Before(c.renew)) {
		return nil
	}
	c.hangUp()
	addresses := append(append([]string{}, c.known...), c.o.Servers...)
	address := addresses[c.turn%len(addresses)]
	c.turn++
	socket, err := c.o.Dial(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect to a broker: %w", err)
	}
	stop := context.AfterFunc(ctx, c.interrupt(socket))
	defer stop()
	keys, err := askVersions(socket, c.o)
	var lasts time.Duration
	if err == nil {
		lasts, err = prove(ctx, socket, c.o, keys, address)
	}
	if err != nil {
		socket.Close()
		return fmt.Errorf("greet the broker at %s: %w", address, err)
	}
	if c.renew = (time.Time{}); lasts > 0 {
		c.renew = time.Now().Add(lasts)
	}
	c.socket, c.versions = socket, map[int16]int16{}
	for _, key := range keys {
		c.versions[key.ApiKey] = key.MaxVersion
	}
	return nil
}

// describe asks for metadata.
func (c *control) describe(ctx context.Context, topics []string) *described {
	q := kmsg.NewPtrMetadataRequest()
	q.AllowAutoTopicCreation = true
	q.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		q.Topics = append(q.Topics, t)
	}
	answer, err := c.ask(ctx, q)
	if err != nil {
		return &described{err: err}
	}
	a := answer.(*kmsg.MetadataResponse)
	d := &described{}
	c.known = c.known[:0]
	for _, b := range a.Brokers {
		at := brokerAt{id: b.NodeID, address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))}
		if b.Rack != nil {
			at.rack = *b.Rack
		}
		d.brokers = append(d.brokers, at)
		c.known = append(c.known, at.address)
	}
	for _, t := range a.Topics {
		if t.Topic != nil {
			d.topics = append(d.topics, topicOf(&t))
		}
	}
	return d
}

func topicOf(t *kmsg.MetadataResponseTopic) topicAt {
	at := topicAt{name: *t.Topic, err: kerr.ErrorForCode(t.ErrorCode)}
	if at.err == nil && len(t.Partitions) == 0 {
		at.err = kerr.UnknownTopicOrPartition
	}
	if at.err != nil {
		return at
	}
	at.leaders = make([]int32, len(t.Partitions))
	for i := range at.leaders {
		at.leaders[i] = -1
	}
	for _, p := range t.Partitions {
		if p.Partition < 0 || int(p.Partition) >= len(at.leaders) {
			at.err = kerr.UnknownTopicOrPartition // an answer with holes; the next is better
			return at
		}
		if p.ErrorCode == 0 || p.Leader >= 0 {
			at.leaders[p.Partition] = p.Leader
		}
	}
	return at
}

// identify asks for a producer id.
func (c *control) identify(ctx context.Context) *identified {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionTimeoutMillis = math.MaxInt32
	answer, err := c.ask(ctx, q)
	if err != nil {
		return &identified{err: err}
	}
	a := answer.(*kmsg.InitProducerIDResponse)
	return &identified{id: a.ProducerID, epoch: a.ProducerEpoch, err: kerr.ErrorForCode(a.ErrorCode)}
}
