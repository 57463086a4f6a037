package api

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/engine/security"
	"github.com/millrace/millrace/engine/wire"
	"github.com/millrace/millrace/netpoll"
)

// ErrUnproven closes a connection whose peer did not prove who it is. What there is to say about it
// was logged.
var ErrUnproven = errors.New("who is there was not proved")

// errBusy fails a proof that too many others are before.
var errBusy = errors.New("too many clients prove who they are, try again later")

// Authenticate has clients of the listener prove who they are. It is called before the first comes.
func (l *Listener) Authenticate(by *security.Listener) { l.proofs = by }

// proof is how the peer of one connection proves who it is: the gate decides, and here is done what
// that takes.
//
// Ownership: the connection's loop. While the exchange sees a message the connection is paused, so
// that there is one message at a time.
type proof struct {
	listener *Listener
	conn     *netpoll.Conn
	session  *session
	gate     security.Gate
	by       security.Mechanism
	exchange *security.Exchange // nil: none is under way
	counts   *metrics.Proofs
	begun    time.Time // when the exchange that is under way, or the last, was
	behind   bool      // other answers were before that to SaslHandshake when the time began
	timer    *time.Timer
	turn     int           // of the timer: one that was replaced may still ring
	owed     *netpoll.Slot // of a failure that is told late; nil: none
}

// demandProof has a new connection serve nothing until there is a proof.
func (s *session) demandProof(l *Listener, c *netpoll.Conn) {
	s.proof = &proof{listener: l, conn: c, session: s}
	s.proof.guard(c.Loop().Now())
}

// guard begins the time that a proof may take.
func (p *proof) guard(now time.Time) {
	v := p.listener.server.Values()
	p.session.guarded, p.begun = true, now
	if most := config.SaslReceiveBytes.Of(v); most > 0 {
		p.conn.Limit(most)
	}
	limit := config.AuthenticationTimeout.Of(v)
	p.after(limit, func() {
		if owed := p.conn.Owed() > 0; p.gate.Renewing() && p.exchange == nil && (owed || p.behind) {
			// What the peer asked for before, and has a right to, was answered before it could hear
			// that it may go on, which may have been a moment ago.
			p.behind = owed
			p.guard(p.conn.Loop().Now())
			return
		}
		p.count(p.gate.Renewing())
		p.gate.Fail()
		p.end()
		p.listener.server.logStranger(slog.LevelInfo, "connection closed: who is there was not proved in time", "peer", p.conn.RemoteAddr(), "listener", p.listener.name, "limit", limit)
		p.conn.Close(ErrUnproven)
	})
}

// after has do run on the loop, instead of what the timer was set for before.
func (p *proof) after(d time.Duration, do func()) {
	p.stopTimer()
	turn, loop := p.turn, p.conn.Loop()
	p.timer = time.AfterFunc(d, func() {
		loop.Post(&netpoll.Task{Run: func() {
			if p.turn == turn && !p.session.closed {
				do()
			}
		}})
	})
}

func (p *proof) stopTimer() {
	if p.turn++; p.timer != nil {
		p.timer.Stop()
	}
}

// end lets go of what is under way.
func (p *proof) end() {
	p.stopTimer()
	if p.exchange != nil {
		p.exchange.End()
		p.exchange = nil
	}
}

// close lets go of everything, with the connection.
func (p *proof) close() {
	p.end()
	if p.owed != nil {
		p.owed.Discard()
		p.owed = nil
	}
}

// admit reports whether a frame is a request that may be served. If not it has done what is to be
// done.
//
// Ownership: the frame is released unless it is admitted.
func (p *proof) admit(frame *netpoll.Frame) bool {
	if p.gate.Bare() {
		message := bytes.Clone(frame.Bytes())
		frame.Release()
		p.token(message, &bareReply{p.conn.Reserve()})
		return false
	}
	s, now := p.listener.server, p.conn.Loop().Now()
	h, err := wire.ParseHeader(frame.Bytes(), s.flexibleFrom)
	if err != nil {
		return true // which finds the same
	}
	verdict := p.gate.Judge(h.Key, now)
	if verdict == security.Serve {
		return true
	}
	frame.Release()
	e := s.lookup(h.Key)
	switch {
	case verdict == security.Late:
		p.expired()
	case verdict == security.Illegal && e != nil && h.Version >= e.served && h.Version <= e.max && p.illegal(h):
	default:
		if !p.gate.Failed() { // which was counted
			p.count(p.gate.Renewing())
			p.gate.Fail()
		}
		p.conn.Close(fmt.Errorf("%w: API key %d before it is proved who is there", ErrRequest, h.Key))
	}
	return false
}

// expired closes a connection whose peer goes on without proving again who it is.
func (p *proof) expired() {
	p.counts.Expired.Add(1)
	p.listener.server.Log.Info("connection closed: it was not proved again in time who is there", "peer", p.conn.RemoteAddr(), "listener", p.listener.name, "principal", p.session.who.Principal)
	p.conn.Close(ErrUnproven)
}

// illegal answers a request between two messages of an exchange, as Kafka does, and closes the
// connection. It reports false when its answer has no room for an error.
func (p *proof) illegal(h wire.Header) bool {
	q := kmsg.RequestForKey(h.Key)
	q.SetVersion(h.Version)
	a := q.ResponseKind()
	field := reflect.ValueOf(a).Elem().FieldByName("ErrorCode")
	if !field.IsValid() {
		return false
	}
	field.SetInt(int64(kerr.IllegalSaslState.Code))
	if !saysError(a) {
		return false
	}
	c := call{server: p.listener.server, listener: p.listener, conn: p.conn, session: p.session, slot: p.conn.Reserve(),
		key: h.Key, version: h.Version, correlation: h.Correlation, received: p.conn.Loop().Now()}
	p.failed(fmt.Errorf("API key %d between the messages of an exchange", h.Key), c.slot, func() { c.reply(a) })
	return true
}

// saysError reports whether an answer has, in its version, the error that it should have: without it
// the answer would say that all went well.
func saysError(a kmsg.Response) bool {
	read := kmsg.ResponseForKey(a.Key())
	read.SetVersion(a.GetVersion())
	return read.ReadFrom(a.AppendTo(nil)) == nil && reflect.ValueOf(read).Elem().FieldByName("ErrorCode").Int() != 0
}

// choose takes the mechanism of a SaslHandshake that may come now.
func (p *proof) choose(mechanism string, version int16, now time.Time) bool {
	if p.gate.Renewing() { // others have the time that began with their connection
		p.end()
		p.guard(now)
		p.behind = p.conn.Owed() > 1 // than the answer to this
	}
	if !p.gate.Choose(mechanism, version, p.listener.proofs.Names()) {
		return false
	}
	p.by = p.listener.proofs.Mechanism(mechanism)
	p.counts = p.listener.server.Metrics.Proofs(p.listener.name, mechanism)
	return true
}

// replies is where the outcome of a message goes: an answer to SaslAuthenticate, or bare bytes.
type replies interface {
	// token goes on with the exchange, or ends it; lasts is then how long that counts.
	token(answer []byte, lasts time.Duration)
	// refuse says why not.
	refuse(why string)
	// place is the slot of the answer.
	place() *netpoll.Slot
}

// token has the exchange see a message of the client.
func (p *proof) token(message []byte, to replies) {
	if err := p.gate.Token(); err != nil {
		p.refuse(err, to)
		return
	}
	if p.exchange == nil {
		if p.gate.Renewing() {
			p.guard(p.conn.Loop().Now()) // however long the answer before it was on its way
		}
		limit := config.AuthenticationTimeout.Of(p.listener.server.Values())
		if p.exchange = p.by.Begin(p.session.who.Peer, limit-p.conn.Loop().Now().Sub(p.begun)); p.exchange == nil {
			p.refuse(errors.New("the authenticator cannot begin an exchange"), to)
			return
		}
	}
	p.conn.Pause()
	answered := func(a security.Answer) {
		if !p.conn.Loop().Post(&netpoll.Task{Run: func() { p.answered(a, to) }}) {
			to.place().Discard() // the server is closed
		}
	}
	if !p.exchange.Step(message, answered) {
		p.refuse(errBusy, to)
	}
}

// answered does what the exchange says. It runs on the loop.
func (p *proof) answered(a security.Answer, to replies) {
	if p.session.closed || p.exchange == nil { // its time was over
		to.place().Discard()
		return
	}
	switch {
	case a.Err != nil:
		p.refuse(a.Err, to)
	case a.Who == nil:
		to.token(a.Token, 0)
	default:
		p.prove(a, to)
	}
	if !p.gate.Failed() {
		p.conn.Resume()
	}
}

// prove ends an exchange that succeeded.
func (p *proof) prove(a security.Answer, to replies) {
	now, again := p.conn.Loop().Now(), p.gate.Renewing()
	lasts, err := p.gate.Prove(a.Who, now, p.by.MaxReauth)
	if err != nil {
		p.refuse(err, to)
		return
	}
	p.end()
	p.session.who.Principal = a.Who.Principal
	p.session.guarded = false
	p.conn.Limit(0)
	if lasts > 0 {
		// Requests are not held against a clock, but from then on against the gate.
		p.after(lasts, func() { p.session.guarded = true })
	}
	p.counts.Succeeded(again)
	to.token(a.Token, lasts)
}

// refuse ends an exchange that failed, whoever is to blame. When that is the broker, or whom it asks,
// there is no answer: clients take one for a wrong password, and give up for good, but come again when
// a connection merely ends.
func (p *proof) refuse(why error, to replies) {
	if errors.Is(why, errBusy) || security.Undecided(why) {
		p.failed(why, to.place(), to.place().Discard)
		return
	}
	told := p.gate.Told(why)
	p.failed(why, to.place(), func() { to.refuse(told) })
}

// failed ends a connection whose peer did not prove who it is: it hears so after a delay, which
// makes guessing slow, and until then says nothing that anybody listens to.
//
// Ownership: slot is the proof's until answer completes it, or the connection is closed.
func (p *proof) failed(why error, slot *netpoll.Slot, answer func()) {
	again := p.gate.Renewing()
	l := p.listener
	p.gate.Fail()
	p.end()
	p.conn.Pause()
	p.session.guarded = true
	p.count(again)
	l.server.logStranger(slog.LevelInfo, "authentication failed", "peer", p.conn.RemoteAddr(), "listener", l.name, "mechanism", p.by.Name, "reason", why)
	ended := func() {
		p.owed = nil
		answer()
		p.conn.Close(ErrUnproven)
	}
	if delay := config.FailureDelay.Of(l.server.Values()); delay > 0 {
		p.owed = slot
		p.after(delay, ended)
		return
	}
	ended()
}

// count counts a proof that failed.
func (p *proof) count(again bool) {
	if p.counts == nil { // no mechanism was chosen
		p.counts = p.listener.server.Metrics.Proofs(p.listener.name, "")
	}
	p.counts.Failed(again)
}

// bareReply is the answer to a message without a header.
type bareReply struct{ slot *netpoll.Slot }

func (b *bareReply) token(answer []byte, _ time.Duration) {
	b.slot.Write(answer)
	b.slot.Send()
}

// refuse says nothing: there is no form to say it in.
func (b *bareReply) refuse(string)        { b.slot.Discard() }
func (b *bareReply) place() *netpoll.Slot { return b.slot }
