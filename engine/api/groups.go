package api

import (
	"encoding/hex"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// onGroup runs f on the shard that owns the group, with its coordinator, or refuse when
// there is none to be had. Exactly one of the two runs.
func (s *Server) onGroup(name string, refuse func(*kerr.Error), f func(g *group.Coordinator, now time.Time)) {
	r := s.offsetsOf(name)
	if r == nil {
		refuse(kerr.CoordinatorNotAvailable)
		return
	}
	r.Do(func() { s.withCoordinator(r, refuse, f) })
}

// onGroup is that of the server, for whoever may do op with the group.
func (c *call) onGroup(op sdk.Operation, name string, refuse func(*kerr.Error), f func(g *group.Coordinator, now time.Time)) {
	if !c.allowed(op, sdk.ResourceGroup, name) {
		refuse(kerr.GroupAuthorizationFailed)
		return
	}
	c.beginWait(time.Now())
	c.server.onGroup(name, refuse, f)
}

// withCoordinator is onGroup on the shard itself, for all groups that r keeps.
func (s *Server) withCoordinator(r *shard.Replica, refuse func(*kerr.Error), f func(g *group.Coordinator, now time.Time)) {
	if label.On() {
		label.Set(label.Groups)
	}
	picture := s.picture(nil)
	err := r.Groups(s.GroupOptions(), picture, func(g *group.Coordinator) {
		g.SetCluster(picture)
		f(g, r.Shard().Now())
	})
	switch {
	case err == kerr.CoordinatorLoadInProgress: //nolint:errorlint // the shard answers it bare
		refuse(kerr.CoordinatorLoadInProgress)
	case err != nil:
		refuse(kerr.CoordinatorNotAvailable)
	}
}

// onAllGroups runs f with every coordinator, each on its shard, then finish. f has tell run what it
// found, sooner or later; refuse is told of coordinators that cannot be had, or not in time. Where the
// offsets topic does not exist, there are no groups.
func (c *call) onAllGroups(refuse func(*kerr.Error), f func(g *group.Coordinator, now time.Time, tell func(write func())), finish func()) {
	topic := c.server.Registry.Named(OffsetsTopic)
	if topic == nil {
		finish()
		return
	}
	all := c.gather(finish)
	for i := range int32(topic.Partitions()) {
		r := topic.Replica(i)
		p := all.part(func() { refuse(kerr.CoordinatorNotAvailable) })
		r.Do(func() {
			if !p.awaited() {
				return
			}
			c.server.withCoordinator(r, func(err *kerr.Error) {
				p.tell(func() { refuse(err) })
			}, func(g *group.Coordinator, now time.Time) { f(g, now, p.tell) })
		})
	}
	all.done()
}

// uuid is a random (version 4) UUID as text, which makes member ids unique.
func (s *Server) uuid() string {
	id := s.Random()
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.AppendEncode(make([]byte, 0, 32), id[:])
	return string(text[:8]) + "-" + string(text[8:12]) + "-" + string(text[12:16]) + "-" + string(text[16:20]) + "-" + string(text[20:])
}

// host is where a member is, as Kafka shows it: "/127.0.0.1".
func (c *call) host() string { return "/" + hostOf(c.conn.RemoteAddr()) }

// LoadGroups rebuilds the groups that r keeps. It returns when that is done; never call
// it on a shard.
func (s *Server) LoadGroups(r *shard.Replica) {
	r.Shard().Wait(func() {
		r.Settle()
		if log, err := r.Log(); log != nil && err == nil {
			s.withCoordinator(r, func(*kerr.Error) {}, func(*group.Coordinator, time.Time) {})
		}
	})
}

// EachCoordinator runs f with every coordinator that has groups, some time later.
func (s *Server) EachCoordinator(f func(g *group.Coordinator, now time.Time)) {
	topic := s.Registry.Named(OffsetsTopic)
	if topic == nil {
		return
	}
	topic.Used(func(r *shard.Replica) {
		r.Shard().Do(func() {
			if log, err := r.Log(); log != nil && err == nil {
				s.withCoordinator(r, func(*kerr.Error) {}, f)
			}
		})
	})
}
