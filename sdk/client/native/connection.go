package native

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/wire"
)

// Why connections end, beside what the network says.
var (
	errMoved      = errors.New("the broker has another address now")
	errIdle       = errors.New("nobody used the connection for connections.max.idle.ms")
	errStale      = errors.New("the broker wants it proved anew who the client is")
	errUnanswered = errors.New("the broker's answer does not speak of the batch")
)

// broker is one that partitions are led by. Of the sender.
type broker struct {
	id       int32
	address  string
	c        *connection // nil: none
	failures int         // in a row
	retryAt  int64
	used     int64
	filling  *request
}

// able reports whether a request may be sent.
func (b *broker) able(s *sender, now int64) bool {
	if b.c == nil {
		return b.address != "" && now >= b.retryAt && !s.abandoned
	}
	return !b.c.ending && now < b.c.renewAt && len(b.c.inflight) < s.o.MaxInFlight
}

// ableAt is when that changes without an event.
func (b *broker) ableAt(now int64) int64 {
	if b.c == nil && b.retryAt > now {
		return b.retryAt
	}
	return never
}

// add puts a batch into the request that is being filled, if there is room.
func (b *broker) add(s *sender, one *recordBatch) bool {
	const around = 64 // bytes of a partition and its topic, about
	size := one.builder.Len() + around + len(one.partition.topic)
	if b.filling == nil {
		b.filling = s.request()
		b.filling.adds = s.txn != nil && s.txn.m.Version2()
	} else if len(b.filling.batches) > 0 && b.filling.bytes+size > s.o.MaxRequestBytes {
		return false
	}
	b.filling.batches = append(b.filling.batches, one)
	b.filling.bytes += size
	return true
}

// send hands over the request that was filled.
func (b *broker) send(s *sender, now int64) bool {
	r := b.filling
	if r == nil {
		return false
	}
	b.filling = nil
	if b.c == nil {
		b.connect(s)
	}
	b.used = now
	r.c, r.deadline = b.c, now+int64(s.o.RequestTimeout)
	b.c.inflight = append(b.c.inflight, r)
	b.c.requests <- r // has room for all that may be under way
	return true
}

func (b *broker) connect(s *sender) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	c := &connection{broker: b, address: b.address, o: s.o, events: s.events, cancel: cancel, renewAt: never,
		requests: make(chan *request, s.o.MaxInFlight), awaiting: make(chan *request, s.o.MaxInFlight+1)}
	b.c = c
	s.wait.Go(func() {
		err := c.serve(ctx)
		cancel(err)
		c.events <- &ended{c, err}
	})
}

// tend ends a connection that does not answer or that nobody uses, and says when to look
// again.
func (b *broker) tend(s *sender, now int64) int64 {
	c := b.c
	switch {
	case c == nil || c.ending:
		return never
	case len(c.inflight) > 0 && !c.up:
		return never // connecting has time limits of its own
	case len(c.inflight) > 0:
		if at := c.inflight[0].deadline; at > now {
			return at
		}
		b.hangUp(fmt.Errorf("broker %d at %s did not answer within request.timeout.ms=%d: %w", b.id, c.address, s.o.RequestTimeout.Milliseconds(), ErrTimeout))
		return never
	case now >= c.renewAt:
		b.hangUp(errStale)
		return never
	case s.o.MaxIdle < 0:
		return c.renewAt
	}
	if at := b.used + int64(s.o.MaxIdle); at > now {
		return min(at, c.renewAt)
	}
	b.hangUp(errIdle)
	return never
}

// hangUp ends the connection, if there is one.
func (b *broker) hangUp(why error) {
	if b.c != nil && !b.c.ending {
		b.c.ending = true
		b.c.cancel(why)
	}
}

// connection is one connection to a broker. Its goroutine connects, encodes and writes; one
// more reads.
type connection struct {
	broker   *broker
	address  string
	o        *Options
	events   chan<- event
	cancel   context.CancelCauseFunc
	requests chan *request
	awaiting chan *request // written, in order

	// Of the sender.
	inflight []*request
	up       bool
	ending   bool
	renewAt  int64 // from then on nothing is sent: it must be proved anew who the client is
}

// up is that a connection can be used, for some time or (0) for ever.
type up struct {
	c     *connection
	lasts time.Duration
}

func (u *up) happen(s *sender) {
	u.c.up = true
	if u.lasts > 0 {
		u.c.renewAt = s.p.now() + int64(u.lasts)
	}
	for _, r := range u.c.inflight {
		r.deadline = s.p.now() + int64(s.o.RequestTimeout)
	}
}

// ended is that a connection is gone: nobody reads what it was to send any more.
type ended struct {
	c   *connection
	err error
}

func (e *ended) happen(s *sender) {
	b, now := e.c.broker, s.p.now()
	b.c = nil
	if !errors.Is(e.err, errIdle) && !errors.Is(e.err, errMoved) && !errors.Is(e.err, errStale) {
		b.failures++
		b.retryAt = now + int64(s.o.ReconnectBackoff(b.failures))
		s.metadata.needed = true
		if !s.closing {
			s.o.Log.Debug("a connection ended", "broker", b.id, "address", e.c.address, "why", e.err)
		}
	}
	requests := e.c.inflight
	e.c.inflight = nil
	for _, r := range requests {
		r.expect(e.err)
		s.settleRequest(r, now)
	}
}

// serve connects, and works until something ends that.
func (c *connection) serve(ctx context.Context) error {
	socket, err := c.o.Dial(ctx, "tcp", c.address)
	if err != nil {
		return fmt.Errorf("connect to broker %d: %w", c.broker.id, err)
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	version, lasts, err := c.greet(ctx, socket)
	if err != nil {
		return fmt.Errorf("greet broker %d at %s: %w", c.broker.id, c.address, err)
	}
	c.events <- &up{c, lasts}
	read := make(chan error, 1)
	go func() { read <- c.read(socket) }()
	err = c.write(ctx, socket, version, read)
	socket.Close()
	if ended := <-read; err == nil {
		err = ended
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// greet finds the version of Produce to speak, and proves who the client is; lasts is for how long, 0
// for ever.
func (c *connection) greet(ctx context.Context, socket net.Conn) (version int16, lasts time.Duration, err error) {
	versions, err := askVersions(socket, c.o)
	if err != nil {
		return 0, 0, err
	}
	if lasts, err = prove(ctx, socket, c.o, versions, c.address); err != nil {
		return 0, 0, err
	}
	for _, key := range versions {
		if key.ApiKey != wire.KeyProduce {
			continue
		}
		// From 13 on topics have ids instead of names, which recreated topics change.
		version = min(key.MaxVersion, wire.ProduceTopicIDs-1)
		if version < max(key.MinVersion, wire.MinProduceVersion) {
			return 0, 0, fmt.Errorf("it speaks Produce %d to %d, this client %d to %d", key.MinVersion, key.MaxVersion, wire.MinProduceVersion, wire.ProduceTopicIDs-1)
		}
		return version, lasts, socket.SetDeadline(time.Time{})
	}
	return 0, 0, errors.New("it does not take Produce")
}

// write sends requests until it is told to stop or the other half ends: all that are there
// with one write. The broker understands Produce up to version.
func (c *connection) write(ctx context.Context, socket net.Conn, version int16, read chan error) error {
	var e encoder
	var sent []*request
	correlation := int32(0)
	for {
		sent = sent[:0]
		select {
		case r := <-c.requests:
			sent = append(sent, r)
		case err := <-read:
			read <- err
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for more := true; more; {
			select {
			case r := <-c.requests:
				sent = append(sent, r)
			default:
				more = false
			}
		}
		e.begin()
		for _, r := range sent {
			r.correlation = correlation
			correlation = (correlation + 1) & (1<<31 - 1)
			if err := r.speak(version, c.o); err != nil {
				return fmt.Errorf("write to broker %d at %s: %w", c.broker.id, c.address, err)
			}
			e.add(r, c.o)
			if c.o.Acks != 0 {
				c.awaiting <- r
			}
		}
		pieces := e.all()
		if _, err := pieces.WriteTo(socket); err != nil {
			return fmt.Errorf("write to broker %d at %s: %w", c.broker.id, c.address, err)
		}
		if c.o.Acks == 0 {
			for _, r := range sent {
				r.expect(nil)
				c.events <- r
			}
		}
	}
}

// maxAnswer is more bytes than an answer to Produce can have.
const maxAnswer = 64 << 20

// read takes answers, which come in the order of the requests.
func (c *connection) read(socket net.Conn) error {
	in := bufio.NewReaderSize(socket, 4<<10)
	var frame []byte
	var answers []wire.Produced
	for {
		var err error
		if frame, err = readFrame(in, frame); err != nil {
			return fmt.Errorf("read from broker %d at %s: %w", c.broker.id, c.address, err)
		}
		var r *request
		select {
		case r = <-c.awaiting:
		default:
			return fmt.Errorf("broker %d answers what nobody asked: %w", c.broker.id, wire.ErrMalformed)
		}
		if got := int32(binary.BigEndian.Uint32(frame)); got != r.correlation {
			return fmt.Errorf("broker %d: answer %d came where %d was due: %w", c.broker.id, got, r.correlation, wire.ErrMalformed)
		}
		if answers, err = wire.ReadProduce(frame[4:], r.version, answers[:0]); err != nil {
			return fmt.Errorf("broker %d: %w", c.broker.id, err)
		}
		r.take(answers)
		c.events <- r
	}
}

// readFrame reads one answer, without its length, into memory that it may use.
func readFrame(in io.Reader, memory []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return memory, err
	}
	size := int(int32(binary.BigEndian.Uint32(length[:])))
	if size < 4 || size > maxAnswer {
		return memory, fmt.Errorf("an answer of %d bytes: %w", size, wire.ErrMalformed)
	}
	if cap(memory) < size {
		memory = make([]byte, size)
	}
	memory = memory[:size]
	_, err := io.ReadFull(in, memory)
	return memory, err
}

// exchange sends one of kmsg's requests and reads the answer.
func exchange(socket net.Conn, o *Options, q kmsg.Request, correlation int32) (kmsg.Response, error) {
	if err := socket.SetDeadline(time.Now().Add(o.RequestTimeout)); err != nil {
		return nil, err
	}
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(o.ClientID))
	if _, err := socket.Write(formatter.AppendRequest(nil, q, correlation)); err != nil {
		return nil, err
	}
	frame, err := readFrame(socket, nil)
	if err != nil {
		return nil, err
	}
	r := wire.NewReader(frame)
	if got := r.Int32(); got != correlation {
		return nil, fmt.Errorf("answer %d came where %d was due: %w", got, correlation, wire.ErrMalformed)
	}
	a := q.ResponseKind()
	r.Tags(a.IsFlexible() && q.Key() != kmsg.ApiVersions.Int16())
	if r.Failed() {
		return nil, wire.ErrMalformed
	}
	if err := a.ReadFrom(r.Rest()); err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(q.Key()), err)
	}
	return a, nil
}

// askVersions is what a broker understands.
func askVersions(socket net.Conn, o *Options) ([]kmsg.ApiVersionsResponseApiKey, error) {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "millrace", "0"
	for _, version := range []int16{3, 0} {
		q.Version = version
		answer, err := exchange(socket, o, q, 0)
		if err != nil {
			// A broker that does not know version 3 answers in the form of version 0.
			if version > 0 && !isNetwork(err) {
				continue
			}
			return nil, err
		}
		a := answer.(*kmsg.ApiVersionsResponse)
		if failure := kerr.ErrorForCode(a.ErrorCode); failure != nil {
			if version > 0 {
				continue
			}
			return nil, failure
		}
		return a.ApiKeys, nil
	}
	return nil, errors.New("it does not say which versions it speaks")
}

// isNetwork reports whether err is one of the connection and not of what came over it.
func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
