package api

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/wire"
)

// sessionsPerConnection is how many fetch sessions one connection keeps. Clients use
// one for each broker; beyond the bound the oldest is forgotten, which a client heals by
// starting a new one.
const sessionsPerConnection = 4

// Clients may name what does not exist, and more of it with each fetch.
const (
	// partitionsPerSlot is how many partitions, and topics of such, sessions remember on average at most. It is some
	// 300 MB for all sessions of a broker.
	partitionsPerSlot = 1000
	// mostRemembered is how many one session does: forty bytes of a request have all of them looked at, on the loop, which
	// takes a microsecond for each.
	mostRemembered = 50_000
)

// fetchSlots counts the fetch sessions of all connections and numbers them.
type fetchSlots struct {
	limit  int32 // max.incremental.fetch.session.cache.slots
	used   atomic.Int32
	last   atomic.Int32
	weight atomic.Int64 // what the sessions remember: partitions and their topics
}

// room reports whether a session may remember so much, of which so much is new.
func (s *fetchSlots) room(all, more int) bool {
	return all <= mostRemembered && s.weight.Load()+int64(more) <= int64(s.limit)*partitionsPerSlot
}

// take reserves a slot and returns the id of the session; 0 when all are taken, which
// is the protocol's way to say "no session".
func (s *fetchSlots) take() int32 {
	if s.used.Add(1) > s.limit {
		s.used.Add(-1)
		return 0
	}
	for {
		if id := s.last.Add(1) & math.MaxInt32; id != 0 {
			return id
		}
	}
}

// fetchSessions are those of one connection, oldest first. The connection's loop owns
// them. Kafka lets a session outlive its connection; here a client that comes back is
// told FETCH_SESSION_ID_NOT_FOUND and begins again, as after an eviction there.
type fetchSessions []*fetchSession

// fetchSession remembers what a client reads, so that it need not say so each time
// (KIP-227).
type fetchSession struct {
	id     int32
	epoch  int32 // that the next request must have
	byID   bool
	names  map[string]*sessionTopic
	ids    map[[16]byte]*sessionTopic
	order  []*sessionPartition
	target int // in order, where the next response begins, so that all get their turn
	weight int // as it is counted in fetchSlots
}

type sessionTopic struct {
	name       string // empty when the client speaks of ids
	id         [16]byte
	partitions map[int32]*sessionPartition
}

type sessionPartition struct {
	topic *sessionTopic
	read  wire.FetchPartition
	// What the client was told last.
	high, start int64
	told        bool
	gone        bool
}

// openSession finds or makes the session of a request, and has it remember what that says. Full tells that the
// response must list every partition. A session for which there is no room is none; one that grows beyond it ends,
// and its client begins again with all that it reads.
func (f *fetchCall) openSession() (full bool, err *kerr.Error) {
	q := &f.request
	mine, slots := &f.session.fetches, &f.server.sessions
	if q.SessionEpoch == -1 { // the last request of a session, or none at all
		mine.close(q.SessionID, slots)
		return true, nil
	}
	if q.SessionEpoch == 0 {
		mine.close(q.SessionID, slots)
		if n := len(q.Topics) + len(q.Partitions); slots.room(n, n) {
			f.incremental = mine.create(slots, q.Version >= 13)
		}
		if f.incremental != nil {
			f.incremental.update(q, slots)
		}
		return true, nil
	}
	s := mine.find(q.SessionID)
	switch {
	case s == nil:
		return false, kerr.FetchSessionIDNotFound
	case s.epoch != q.SessionEpoch:
		return false, kerr.InvalidFetchSessionEpoch
	case s.byID != (q.Version >= 13):
		return false, kerr.FetchSessionTopicIDError
	}
	before := s.weight
	if s.update(q, slots); s.weight > before && !slots.room(s.weight, 0) {
		mine.close(s.id, slots)
		return false, kerr.FetchSessionIDNotFound
	}
	if s.epoch++; s.epoch <= 0 {
		s.epoch = 1
	}
	f.incremental = s
	return false, nil
}

func (l fetchSessions) find(id int32) *fetchSession {
	for _, s := range l {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (l *fetchSessions) create(slots *fetchSlots, byID bool) *fetchSession {
	if len(*l) == sessionsPerConnection {
		l.close((*l)[0].id, slots)
	}
	id := slots.take()
	if id == 0 {
		return nil
	}
	s := &fetchSession{id: id, epoch: 1, byID: byID, names: map[string]*sessionTopic{}, ids: map[[16]byte]*sessionTopic{}}
	*l = append(*l, s)
	return s
}

func (l *fetchSessions) close(id int32, slots *fetchSlots) {
	for i, s := range *l {
		if s.id == id {
			*l = append((*l)[:i], (*l)[i+1:]...)
			slots.used.Add(-1)
			slots.weight.Add(-int64(s.weight))
			return
		}
	}
}

func (l *fetchSessions) closeAll(slots *fetchSlots) {
	slots.used.Add(-int32(len(*l)))
	for _, s := range *l {
		slots.weight.Add(-int64(s.weight))
	}
	*l = nil
}

// update takes over what the request says of partitions. Steady reading changes offsets
// only and allocates nothing.
func (s *fetchSession) update(q *wire.Fetch, slots *fetchSlots) {
	at := 0
	for i := range q.Topics {
		t := &q.Topics[i]
		if at == t.End {
			continue // a topic without partitions is nothing to remember
		}
		topic := s.topic(t.Name, t.ID)
		for ; at < t.End; at++ {
			read := q.Partitions[at]
			p := topic.partitions[read.Index]
			if p == nil {
				p = &sessionPartition{topic: topic}
				topic.partitions[read.Index] = p
				s.order = append(s.order, p)
			}
			p.read = read
		}
	}
	s.forget(q.Forgotten)
	if now := len(s.order) + len(s.names) + len(s.ids); now != s.weight {
		slots.weight.Add(int64(now - s.weight))
		s.weight = now
	}
}

// topic finds or makes a topic of the session.
func (s *fetchSession) topic(name []byte, id [16]byte) *sessionTopic {
	t := s.lookup(name, id)
	if t != nil {
		return t
	}
	if s.byID {
		t = &sessionTopic{id: id, partitions: map[int32]*sessionPartition{}}
		s.ids[id] = t
		return t
	}
	t = &sessionTopic{name: string(name), partitions: map[int32]*sessionPartition{}}
	s.names[t.name] = t
	return t
}

func (s *fetchSession) lookup(name []byte, id [16]byte) *sessionTopic {
	if s.byID {
		return s.ids[id]
	}
	return s.names[string(name)]
}

// forget takes partitions out, all that a request names in one pass over the session.
func (s *fetchSession) forget(topics []wire.ForgottenTopic) {
	some := false
	for i := range topics {
		topic := s.lookup(topics[i].Name, topics[i].ID)
		if topic == nil {
			continue
		}
		for _, index := range topics[i].Partitions {
			if p := topic.partitions[index]; p != nil {
				p.gone, some = true, true
				delete(topic.partitions, index)
			}
		}
		if len(topic.partitions) == 0 {
			delete(s.names, topic.name)
			delete(s.ids, topic.id)
		}
	}
	if some {
		s.order = slices.DeleteFunc(s.order, func(p *sessionPartition) bool { return p.gone })
	}
}

// find looks a topic up as it is now; it may have been made or deleted since.
func (t *sessionTopic) find(r *shard.Registry) *shard.Topic {
	if t.name != "" {
		return r.Named(t.name)
	}
	return r.ByID(t.id)
}

// news reports whether the client must be told of p, and remembers what it is told.
func (p *sessionPartition) news(r *wire.FetchResult) bool {
	tell := !p.told || r.Error != 0 || r.RecordBytes > 0 || r.HighWatermark != p.high || r.LogStart != p.start
	p.told = r.Error == 0
	p.high, p.start = r.HighWatermark, r.LogStart
	return tell
}
