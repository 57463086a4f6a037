package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/valyala/bytebufferpool"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
)

// call is one request that is being answered. It is passed by value; a handler that
// answers later keeps it in what it posts.
type call struct {
	server      *Server
	listener    *Listener
	conn        *netpoll.Conn
	session     *session // loop only
	slot        *netpoll.Slot
	key         int16
	version     int16
	correlation int32
	received    time.Time
	waits       time.Time     // since when it waits for somebody else; zero: it does not
	waited      time.Duration // before
}

// reply sends a, from any goroutine.
func (c *call) reply(a kmsg.Response) {
	a.SetVersion(c.version)
	flexible := a.IsFlexible() && c.key != int16(kmsg.ApiVersions)
	buffer := bytebufferpool.Get()
	buffer.B = a.AppendTo(wire.AppendHeader(buffer.B[:0], c.correlation, flexible))
	c.slot.Write(buffer.B)
	bytebufferpool.Put(buffer)
	c.observe()
	c.slot.Send()
}

// beginWait notes that what comes now is waiting: for a partition, a coordinator, a disk, or for data.
func (c *call) beginWait(now time.Time) {
	if c.waits.IsZero() {
		c.waits = now
	}
}

// endWait ends what beginWait has begun.
func (c *call) endWait(now time.Time) {
	if !c.waits.IsZero() {
		c.waited += max(now.Sub(c.waits), 0)
		c.waits = time.Time{}
	}
}

// observe counts the request. Before its answer is sent: then the slot, and what is pooled, is somebody else's.
func (c *call) observe() {
	now := time.Now()
	c.endWait(now)
	c.server.Metrics.Request(c.key).Observe(c.version, metrics.Times{Local: now.Sub(c.received) - c.waited, Remote: c.waited})
}

// unsupported answers a version that is not served. Only ApiVersions has an answer that
// every client can read (KIP-511); Produce has one because versions are advertised that
// are not served; for the rest there is no form to answer in.
func (c *call) unsupported(frame *netpoll.Frame, body []byte) error {
	if c.key == int16(kmsg.Produce) && c.version >= 0 && c.version < 3 {
		return c.refuseOldProduce(frame, body)
	}
	frame.Release()
	if c.key == int16(kmsg.ApiVersions) {
		c.refuseVersion()
		return nil
	}
	return errUnsupportedVersion
}
