package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/netpoll"
)

// link is a connection as its client has it. Between the two ends frames take their time, each
// direction in order, as TCP has it. When it breaks, nobody knows what of the rest has come;
// what was on its way may still come to the broker, much later, if the link is a late one.
type link struct {
	c     *client
	life  *life
	conn  *netpoll.Conn // nil until the first frame has come
	name  string
	open  bool // as the client knows
	late  bool
	ended bool // the broker's end is closed
	// held is until when nothing gets through to the broker.
	held     time.Time
	queue    []frameOf // that have come to the broker's end
	up, down time.Time // when the last that is on its way arrives
	calls    []*exchange
	next     int32
}

// frameOf is a request on its way.
type frameOf struct {
	bytes  []byte
	number int32
}

// exchange is one request and its answer.
type exchange struct {
	request kmsg.Request
	number  int32
	reply   kmsg.Response
	err     error
	ended   bool
}

// connection is an open connection; where there is none, the client waits for one.
func (c *client) connection(k **link, late bool) *link {
	for *k == nil || !(*k).open {
		w := c.w
		c.pause(0, 2*time.Millisecond)
		if w.life == nil || w.life.stage == nil {
			c.pause(time.Millisecond, 20*time.Millisecond)
			continue
		}
		one := &link{c: c, life: w.life, open: true, late: late, up: w.now, down: w.now}
		one.name = fmt.Sprintf("%s/%d", c.name, w.links)
		if *k != nil {
			c.forget(*k)
		}
		c.links = append(c.links, one)
		*k = one
	}
	return *k
}

func (c *client) forget(k *link) {
	for i := range c.links {
		if c.links[i] == k {
			c.links = append(c.links[:i], c.links[i+1:]...)
			return
		}
	}
}

var requests = kmsg.NewRequestFormatter(kmsg.FormatterClientID("sim"))

// send sends one request; its answer comes later.
func (k *link) send(q kmsg.Request) *exchange {
	w := k.c.w
	k.next++
	one := &exchange{request: q, number: k.next}
	if !k.open {
		one.err, one.ended = errLost, true
		return one
	}
	k.calls = append(k.calls, one)
	q = w.broken().rewritten(q)
	frame := requests.AppendRequest(nil, q, one.number)[4:]
	w.trace.line("%s sends %d %s v%d, %d bytes %s", k.name, one.number, kmsg.NameForKey(q.Key()), q.GetVersion(), len(frame), brief(q))
	k.travel(&k.up, func() { k.arrived(frame, one.number) })
	if !w.calm {
		w.trouble(k)
	}
	return one
}

// travel has something arrive after what is on its way already.
func (k *link) travel(last *time.Time, f func()) {
	w := k.c.w
	at := w.now.Add(w.between(10*time.Microsecond, w.plan.latency))
	if at.Before(*last) {
		at = *last
	}
	*last = at
	w.at(at, f)
}

// arrived has a frame wait at the broker's end, where nothing overtakes.
func (k *link) arrived(frame []byte, number int32) {
	k.queue = append(k.queue, frameOf{frame, number})
	k.deliver()
}

// deliver gives the broker what has arrived, unless the way is blocked.
func (k *link) deliver() {
	w := k.c.w
	for len(k.queue) > 0 {
		switch {
		case k.life.dead || k.ended || !k.open && !k.late:
			k.queue = nil
			return
		case w.now.Before(k.held):
			w.at(k.held, k.deliver)
			return
		}
		if !k.open {
			w.reach("late frame")
		}
		if k.conn == nil {
			k.conn = k.life.stage.Connect(w.address(), &netpoll.Peer{Reply: k.replied, Closed: k.closed})
		}
		one := k.queue[0]
		k.queue = k.queue[1:]
		w.trace.line("%s delivers %d", k.name, one.number)
		k.life.stage.Deliver(k.conn, one.bytes)
	}
}

// replied has an answer begin its way to the client.
func (k *link) replied(reply []byte) {
	k.c.w.trace.line("%s answers %d, %d bytes", k.name, int32(binary.BigEndian.Uint32(reply)), len(reply))
	k.travel(&k.down, func() { k.receive(reply) })
}

// receive gives the client an answer.
func (k *link) receive(reply []byte) {
	if !k.open {
		return
	}
	number, body := int32(binary.BigEndian.Uint32(reply)), reply[4:]
	one := k.calls[0]
	if one.number != number {
		panic(fmt.Sprintf("sim: %s got answer %d, expected %d", k.name, number, one.number))
	}
	k.calls = k.calls[1:]
	a := one.request.ResponseKind()
	a.SetVersion(one.request.GetVersion())
	if a.IsFlexible() {
		body = body[1:] // no tags
	}
	if err := a.ReadFrom(body); err != nil {
		panic(fmt.Sprintf("sim: %s cannot read answer %d to %s: %v", k.name, number, kmsg.NameForKey(one.request.Key()), err))
	}
	one.reply, one.ended = a, true
	k.c.wake()
}

// closed is told when the broker's end is closed.
func (k *link) closed(cause error) {
	k.ended = true
	if cause != nil {
		k.c.w.found(Refused, "the broker has closed %s: %v", k.name, cause)
	}
	k.travel(&k.down, k.lost)
}

// lost ends the link for the client.
func (k *link) lost() {
	if !k.open {
		return
	}
	k.open = false
	k.c.w.trace.line("%s is lost", k.name)
	for _, one := range k.calls {
		one.err, one.ended = errLost, true
	}
	k.calls = nil
	k.c.wake()
}

// drop breaks the link. The broker learns of it later, after what comes late.
func (k *link) drop() {
	if !k.open {
		return
	}
	w := k.c.w
	k.lost()
	if k.late && w.chance(0.5) && !w.calm {
		k.hold()
	}
	gone := k.up
	if gone.Before(k.held) {
		gone = k.held
	}
	w.at(gone.Add(w.between(0, 50*time.Millisecond)), func() {
		if k.conn != nil && !k.ended && !k.life.dead {
			k.life.stage.Hangup(k.conn)
		}
	})
}

// trouble is what the network does to a link now and then.
func (w *world) trouble(k *link) {
	switch {
	case w.chance(w.plan.drops):
		w.after(w.between(0, 2*w.plan.latency), k.drop)
	case w.chance(w.plan.stalls):
		k.hold()
		w.reach("stall")
	}
}

// hold has nothing get through for a while, in addition to what is held already.
func (k *link) hold() {
	if until := k.c.w.now.Add(k.c.w.between(0, k.c.w.plan.lateness)); until.After(k.held) {
		k.held = until
	}
}
