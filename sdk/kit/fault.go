package kit

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
)

// AnyKey stands for every API key.
const AnyKey = -1

// Fault is what goes wrong with requests: with those that have the key and come from the
// client, so many times. One of Lose, Withhold, Delay and Refuse says what it is.
type Fault struct {
	// Key is the API key, such as int16(kmsg.Fetch), or AnyKey. Zero is Produce.
	Key int16
	// Client is the client id. Empty: any.
	Client string
	// Times is how many requests. Zero: one. Negative: all, until Clear.
	Times int

	// Lose breaks the connection in place of serving the request.
	Lose bool
	// Withhold has the request served and its answer kept back; after so long the connection
	// breaks. A producer cannot know then whether its records are there.
	Withhold time.Duration
	// Delay has the request served, and its answer leave so much later, in real time. Answers
	// behind it on the same connection wait, for their order is kept.
	Delay time.Duration
	// Refuse has a produce request to Topic, or to any topic when that is empty, answered with
	// this error. What it has for other topics is answered with NOT_LEADER_OR_FOLLOWER, so
	// that clients send it again.
	Refuse *kerr.Error
	Topic  string
}

// Check says what is wrong with a fault that cannot be injected.
func (f *Fault) Check() error {
	ways := 0
	for _, set := range []bool{f.Lose, f.Withhold > 0, f.Delay > 0, f.Refuse != nil} {
		if set {
			ways++
		}
	}
	switch {
	case ways != 1:
		return fmt.Errorf("%d of Lose, Withhold, Delay and Refuse are set, one of them is wanted", ways)
	case f.Key != AnyKey && (f.Key < 0 || kmsg.RequestForKey(f.Key) == nil):
		return fmt.Errorf("there is no API key %d", f.Key)
	case f.Refuse != nil && f.Key != int16(kmsg.Produce):
		return errors.New("only Produce (key 0) can be refused")
	case f.Refuse == nil && f.Topic != "":
		return errors.New("Topic goes with Refuse")
	}
	return nil
}

// Injected is a fault that waits for its requests, or has met them.
type Injected struct {
	Fault
	left, met atomic.Int64
}

// Met is how many requests it has met.
func (i *Injected) Met() int { return int(i.met.Load()) }

// Clear ends it.
func (i *Injected) Clear() { i.left.Store(0) }

// take reports whether the fault has one request more to meet, and counts it.
func (i *Injected) take() bool {
	for {
		left := i.left.Load()
		if left == 0 {
			return false
		}
		if left < 0 || i.left.CompareAndSwap(left, left-1) {
			i.met.Add(1)
			return true
		}
	}
}

// errInjected is why connections end that a test has broken.
var errInjected = errors.New("broken by the test")

// faults is what a test has asked to go wrong, shared by the loops of a broker and the test.
type faults struct {
	list  atomic.Pointer[[]*Injected] // never changed in place
	conns sync.Map                    // *netpoll.Conn → *connection
	held  sync.Map                    // *held → nil, answers that are kept back
	ended atomic.Bool
}

// connection is what is known of who is at its other end.
type connection struct{ client atomic.Pointer[string] }

func newFaults() *faults {
	f := new(faults)
	f.list.Store(new([]*Injected))
	return f
}

func (f *faults) add(fault Fault) *Injected {
	i := &Injected{Fault: fault}
	i.left.Store(int64(fault.Times))
	if fault.Times == 0 {
		i.left.Store(1)
	}
	for {
		before := f.list.Load()
		after := append(slices.Clone(*before), i)
		if f.list.CompareAndSwap(before, &after) {
			return i
		}
	}
}

func (f *faults) disconnect(clients []string) (n int) {
	f.conns.Range(func(key, value any) bool {
		name := value.(*connection).client.Load()
		if len(clients) == 0 || name != nil && slices.Contains(clients, *name) {
			key.(*netpoll.Conn).Close(errInjected)
			n++
		}
		return true
	})
	return n
}

// end gives back all answers that are kept back: a broker that stops sends what it owes.
func (f *faults) end() {
	f.ended.Store(true)
	f.held.Range(func(key, _ any) bool {
		key.(*held).release()
		return true
	})
}

// held is a slot that keeps the answers behind it from leaving.
//
// Ownership: of whoever gives it back first, the timer or the end.
type held struct {
	faults *faults
	slot   *netpoll.Slot
	gone   atomic.Bool
}

func (h *held) release() {
	if !h.gone.Swap(true) {
		h.faults.held.Delete(h)
		h.slot.Discard()
	}
}

// hold keeps what is answered next on c from leaving for a while.
func (f *faults) hold(c *netpoll.Conn, d time.Duration, then func()) {
	h := &held{faults: f, slot: c.Reserve()}
	f.held.Store(h, nil)
	time.AfterFunc(d, func() {
		then()
		h.release()
	})
	if f.ended.Load() {
		h.release()
	}
}

// handler stands before the broker's own.
type handler struct {
	netpoll.Handler
	faults *faults
	topic  func(id [16]byte) string
}

// before is a handler that has requests go wrong, before h.
func (f *faults) before(h netpoll.Handler, topic func([16]byte) string) netpoll.Handler {
	return &handler{h, f, topic}
}

// Open begins a connection.
func (h *handler) Open(c *netpoll.Conn) {
	h.faults.conns.Store(c, new(connection))
	h.Handler.Open(c)
}

// Close ends it.
func (h *handler) Close(c *netpoll.Conn, cause error) {
	h.faults.conns.Delete(c)
	h.Handler.Close(c, cause)
}

// Frame serves a request, or does not.
//
// Ownership: the frame is the broker's handler's, or released here.
func (h *handler) Frame(c *netpoll.Conn, frame *netpoll.Frame) {
	header, err := wire.ParseHeader(frame.Bytes(), flexibleFrom)
	if err != nil {
		h.Handler.Frame(c, frame) // whose business this is
		return
	}
	h.remember(c, header.ClientID)
	i := h.meets(&header)
	switch {
	case i == nil:
	case i.Lose:
		frame.Release()
		c.Close(errInjected)
		return
	case i.Refuse != nil:
		h.refuse(c, &header, i)
		frame.Release()
		return
	case i.Delay > 0:
		h.faults.hold(c, i.Delay, func() {})
	case i.Withhold > 0:
		h.faults.hold(c, i.Withhold, func() { c.Close(errInjected) })
	}
	h.Handler.Frame(c, frame)
}

func (h *handler) remember(c *netpoll.Conn, clientID []byte) {
	value, _ := h.faults.conns.Load(c)
	known := value.(*connection)
	if name := known.client.Load(); name == nil || *name != string(clientID) {
		fresh := string(clientID)
		known.client.Store(&fresh)
	}
}

// meets finds the fault of a request, the oldest if there are several.
func (h *handler) meets(q *wire.Header) *Injected {
	for _, i := range *h.faults.list.Load() {
		if i.Key != AnyKey && i.Key != q.Key || i.Client != "" && i.Client != string(q.ClientID) || i.left.Load() == 0 {
			continue
		}
		if i.Refuse != nil && !h.refusable(q, i.Topic) {
			continue
		}
		if i.take() {
			return i
		}
	}
	return nil
}

// refusable reports whether a produce request wants an answer and has the topic.
func (h *handler) refusable(q *wire.Header, topic string) bool {
	var p wire.Produce
	if q.Version < 3 || p.Parse(q.Version, q.Body) != nil || p.Acks == 0 {
		return false
	}
	return topic == "" || slices.ContainsFunc(p.Topics, func(t wire.ProduceTopic) bool { return h.name(&p, &t) == topic })
}

func (h *handler) name(p *wire.Produce, t *wire.ProduceTopic) string {
	if p.Version >= 13 {
		return h.topic(t.ID)
	}
	return string(t.Name)
}

// refuse answers a produce request in the broker's place.
func (h *handler) refuse(c *netpoll.Conn, q *wire.Header, i *Injected) {
	var p wire.Produce
	if err := p.Parse(q.Version, q.Body); err != nil {
		c.Close(err) // it was read a moment ago
		return
	}
	results := make([]wire.ProduceResult, len(p.Partitions))
	at := 0
	for j := range p.Topics {
		t := &p.Topics[j]
		code := i.Refuse.Code
		if i.Topic != "" && h.name(&p, t) != i.Topic {
			code = kerr.NotLeaderForPartition.Code
		}
		for ; at < t.End; at++ {
			results[at] = wire.ProduceResult{Error: code, Base: -1, LogAppendTime: -1, LogStart: -1}
		}
	}
	slot := c.Reserve()
	slot.Write(p.AppendProduce(wire.AppendHeader(nil, q.Correlation, q.Version >= 9), results, 0, nil))
	slot.Send()
}

// flexible is, for each API key, the version from which on its requests have tagged fields;
// −1 for none.
var flexible = sync.OnceValue(func() (from [128]int16) {
	for key := range from {
		from[key] = -1
		q := kmsg.RequestForKey(int16(key))
		if q == nil {
			continue
		}
		for v := q.MaxVersion(); v >= 0; v-- {
			if q.SetVersion(v); q.IsFlexible() {
				from[key] = v
			}
		}
	}
	return from
})

func flexibleFrom(key int16) (int16, bool) {
	if key < 0 || int(key) >= 128 {
		return 0, false
	}
	return flexible()[key], true
}
