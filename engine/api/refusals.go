package api

import (
	"time"

	"github.com/millrace/millrace/engine/config"
)

// refusals is how fast interceptors have refused requests of one connection: each such request takes
// one of those that a second has, and a second's worth may be taken at once.
//
//	limit 4      1 2 3 4  5 refused at once: the fifth is one too many
//	time  ───────┼────────┼────▶
//	             └ 250 ms ┘ for which nothing more is read, and its answer says so
//
// Ownership: the connection's loop.
type refusals struct {
	repaid time.Time // when all that was taken will be there again
}

// longestThrottle bounds how long a connection is left alone at a time.
const longestThrottle = time.Second

// refused notes one request, of so many that a second has, and answers for how long the connection is
// to be left alone, in whole milliseconds: clients are told in those. A limit of 0 is none.
func (r *refusals) refused(now time.Time, limit int) time.Duration {
	if limit <= 0 {
		return 0
	}
	if r.repaid.Before(now) {
		r.repaid = now
	}
	r.repaid = r.repaid.Add(time.Second / time.Duration(limit))
	if over := r.repaid.Sub(now) - time.Second; over > 0 {
		return min((over + time.Millisecond - 1).Truncate(time.Millisecond), longestThrottle)
	}
	return 0
}

// throttle leaves the connection alone for a while when interceptors refuse its requests too often, as
// Kafka does with clients beyond their quota (KIP-219): the answer comes at once and says for how long,
// and what the client sends meanwhile is not read. It runs on the loop.
func (p *produceCall) throttle() {
	if !p.refused || p.session.closed {
		return
	}
	wait := p.session.refusals.refused(p.conn.Loop().Now(), config.RefusalsPerSecond.Of(p.server.Values()))
	if wait == 0 {
		return
	}
	p.throttled = wait
	p.server.Metrics.Throttled(wait)
	p.conn.PauseFor(wait)
}
