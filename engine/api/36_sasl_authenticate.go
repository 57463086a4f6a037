package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/netpoll"
)

// SaslAuthenticate carries a message of the mechanism that SaslHandshake has chosen (KIP-152).
//
//	v1 how long the proof counts (KIP-368) · v2 flexible
//
// Differs from Kafka: after 16 messages, and after sasl.authentication.timeout.ms, it has failed.
func saslAuthenticate(c *call, q *kmsg.SASLAuthenticateRequest, a *kmsg.SASLAuthenticateResponse) {
	p := c.session.proof
	if p == nil || p.gate.Proven() {
		a.ErrorCode, a.ErrorMessage = kerr.IllegalSaslState.Code, told("SaslAuthenticate request received after successful authentication")
		c.reply(a)
		return
	}
	p.token(q.SASLAuthBytes, &saslReply{*c, a})
}

// saslReply is an answer to SaslAuthenticate.
type saslReply struct {
	call
	a *kmsg.SASLAuthenticateResponse
}

func (r *saslReply) token(answer []byte, lasts time.Duration) {
	r.a.SASLAuthBytes = append([]byte{}, answer...) // empty is not null
	r.a.SessionLifetimeMillis = lasts.Milliseconds()
	r.reply(r.a)
}

func (r *saslReply) refuse(why string) {
	r.a.ErrorCode, r.a.ErrorMessage, r.a.SASLAuthBytes = kerr.SaslAuthenticationFailed.Code, told(why), []byte{}
	r.reply(r.a)
}

func (r *saslReply) place() *netpoll.Slot { return r.slot }
