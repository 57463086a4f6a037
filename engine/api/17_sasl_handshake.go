package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake chooses the mechanism by which a client proves who it is (KIP-43).
//
//	v0 the messages that follow have no headers · v1 they are SaslAuthenticate (KIP-152)
//
// It never became flexible. Differs from Kafka: nothing.
func saslHandshake(c *call, q *kmsg.SASLHandshakeRequest, a *kmsg.SASLHandshakeResponse) {
	p := c.session.proof
	if p == nil || !p.gate.Begin(c.received) {
		a.ErrorCode = kerr.IllegalSaslState.Code
		c.reply(a)
		return
	}
	a.SupportedMechanisms = p.listener.proofs.Names()
	if !p.choose(q.Mechanism, c.version, c.received) {
		a.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		p.failed(fmt.Errorf("there is no mechanism %.40q", q.Mechanism), c.slot, func() { c.reply(a) })
		return
	}
	c.reply(a)
}
