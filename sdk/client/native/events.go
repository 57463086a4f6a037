package native

import (
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
)

// wanting is a caller who waits for a topic; or for one to have more partitions than are known, or
// for an answer of brokers that says that it has not.
type wanting struct {
	topic string
	least int32 // partitions
	known int   // answers up to that which is due, if one is: that was asked for before
	err   error // once done
	done  chan struct{}
	last  atomic.Pointer[error] // why it still waits; nil: nobody has answered yet
}

func (w *wanting) happen(s *sender) {
	if s.closing {
		w.err = ErrClosed
		close(w.done)
		return
	}
	if t := (*s.p.topics.Load())[w.topic]; t != nil && t.Partitions >= w.least {
		close(w.done)
		return
	}
	if w.known = s.metadata.answers; s.metadata.asked {
		w.known++
	}
	s.wanted = append(s.wanted, w)
	if !s.metadata.topics[w.topic] {
		s.metadata.topics[w.topic], s.metadata.added = true, true
	}
	s.metadata.needed = true
}

// unwanting is a caller who does not wait any more.
type unwanting struct{ *wanting }

func (u *unwanting) happen(s *sender) {
	s.wanted = slices.DeleteFunc(s.wanted, func(w *wanting) bool { return w == u.wanting })
	s.unask(u.topic)
}

// unask has nobody asked for a topic any more that is not there and that nobody wants.
func (s *sender) unask(topic string) {
	if s.parts[topic] == nil && !slices.ContainsFunc(s.wanted, func(w *wanting) bool { return w.topic == topic }) &&
		!slices.ContainsFunc(s.beside.waiting, func(b *recordBatch) bool { return b.partition.topic == topic }) {
		delete(s.metadata.topics, topic)
	}
}

// flush is a caller who waits until what was appended is settled.
type flush struct {
	left int
	done chan struct{}
}

func (f *flush) happen(s *sender) {
	f.left = 1 + len(s.beside.waiting)
	for _, b := range s.beside.waiting {
		b.flushes = append(b.flushes, f)
	}
	for _, parts := range s.parts {
		for _, part := range parts {
			part.gather(true)
			s.activate(part)
			for _, all := range [][]*recordBatch{part.queue, part.inflight} {
				for _, b := range all {
					if !b.settled {
						f.left++
						b.flushes = append(b.flushes, f)
					}
				}
			}
		}
	}
	f.settled()
}

func (f *flush) settled() {
	if f.left--; f.left == 0 {
		close(f.done)
	}
}

func (s *sender) activate(part *partition) {
	if !part.active && !part.idle() {
		part.active = true
		s.active = append(s.active, part)
	}
}

// closing is that no more records come.
type closing struct{}

func (c *closing) happen(s *sender) {
	s.closing = true
	for _, w := range s.wanted {
		w.err = ErrClosed
		close(w.done)
	}
	s.wanted = nil
	s.gatherAll() // nothing is appended any more
}

// abandoning is that nobody waits any more for what is left.
type abandoning struct{}

func (a *abandoning) happen(s *sender) {
	s.abandoned = true
	s.forgo("", ErrClosed)
	for _, part := range s.active {
		for _, b := range part.queue {
			s.settle(b, ErrClosed, -1, -1)
			s.release(b)
		}
		part.queue = nil
		for _, b := range part.inflight {
			s.settle(b, ErrClosed, -1, -1)
		}
	}
	for _, b := range s.brokers {
		b.hangUp(ErrClosed)
	}
}

// ask has control ask for metadata and for a producer id when they are needed.
func (s *sender) ask(now int64) {
	m := &s.metadata
	if m.at > 0 && now-m.at >= int64(s.o.MetadataMaxAge) && len(m.topics) > 0 {
		m.needed = true
	}
	if m.needed && !m.asked && now >= s.metadataAt() && !s.abandoned {
		m.asked, m.needed, m.added = true, false, false
		topics := make([]string, 0, len(m.topics))
		for name := range m.topics {
			topics = append(topics, name)
		}
		s.control <- job{topics: topics}
	}
	i := &s.identity
	if s.txn == nil && !i.known && !i.asked && now >= i.at && len(s.active) > 0 && !s.abandoned {
		i.asked = true
		s.control <- job{identity: true}
	}
}

// metadataAt is when metadata may be asked for again.
func (s *sender) metadataAt() int64 {
	m := &s.metadata
	if m.at == 0 || m.added && m.tries == 0 {
		return 0
	}
	return m.at + int64(s.o.RetryBackoff(max(m.tries, m.missing, 1)))
}

// nextAsk is when ask has something to do.
func (s *sender) nextAsk(now int64) int64 {
	at := never
	if m := &s.metadata; m.asked {
	} else if m.needed {
		at = max(s.metadataAt(), now+1)
	} else if len(m.topics) > 0 && m.at > 0 {
		at = m.at + int64(s.o.MetadataMaxAge)
	}
	if i := &s.identity; s.txn == nil && !i.known && !i.asked && len(s.active) > 0 {
		at = min(at, max(i.at, now+1))
	}
	return at
}

// identified is an answer to InitProducerId.
type identified struct {
	id    int64
	epoch int16
	err   error
}

func (a *identified) happen(s *sender) {
	i := &s.identity
	i.asked = false
	if a.err == nil {
		i.known, i.id, i.epoch, i.tries = true, a.id, a.epoch, 0
		return
	}
	i.tries++
	i.at = s.p.now() + int64(s.o.RetryBackoff(i.tries))
	if fatal(a.err) {
		for _, part := range s.active {
			for _, b := range part.queue {
				s.settle(b, a.err, -1, -1)
				s.release(b)
			}
			part.queue = nil
		}
	}
}

// fatal reports whether err is an answer that stays the same.
func fatal(err error) bool {
	answered, ok := err.(*kerr.Error) //nolint:errorlint // control does not wrap answers
	return ok && !answered.Retriable
}

// described is an answer to Metadata.
type described struct {
	brokers []brokerAt
	topics  []topicAt
	err     error
}

type brokerAt struct {
	id            int32
	address, rack string
}

type topicAt struct {
	name    string
	err     error
	leaders []int32 // by partition; −1: none
}

func (d *described) happen(s *sender) {
	m := &s.metadata
	m.asked, m.at = false, s.p.now()
	m.answers++
	for _, w := range s.wanted {
		if why := d.why(w.topic); why != nil {
			w.last.Store(&why)
		}
	}
	if d.err != nil {
		m.tries++
		m.needed = true
		if m.tries&(m.tries-1) == 0 { // the first, the second, the fourth, …: an outage does not fill the log
			s.o.Log.Warn("no broker can be asked what topics there are; asking goes on", "tries", m.tries, "why", d.err)
		}
		s.turnedAway(d.err)
		return
	}
	m.tries = 0
	racks := s.meet(d.brokers)
	topics := map[string]*Topic{}
	for name, t := range *s.p.topics.Load() {
		topics[name] = t
	}
	again := false
	for i := range d.topics {
		t := &d.topics[i]
		if t.err != nil {
			again = s.refuse(t) || again
			continue
		}
		before := topics[t.name]
		t.name = s.spelling(t.name, before)
		topics[t.name] = s.place(t, racks, before)
		again = again || len(topics[t.name].Available) < len(t.leaders)
	}
	s.p.publish(topics)
	s.wanted = slices.DeleteFunc(s.wanted, func(w *wanting) bool {
		if t := topics[w.topic]; t == nil || t.Partitions < w.least && m.answers <= w.known {
			return false
		}
		close(w.done)
		return true
	})
	// Who wants more partitions than there are has one more question asked, and slows it down for nobody.
	again = again || slices.ContainsFunc(s.wanted, func(w *wanting) bool { return w.least == 0 })
	m.needed = m.needed || again || len(s.wanted) > 0
	if m.missing++; !again {
		m.missing = 0
	}
}

// why is what an answer says of a topic that cannot be had yet; nil: nothing.
func (d *described) why(topic string) error {
	if d.err != nil {
		return d.err
	}
	for i := range d.topics {
		if d.topics[i].name == topic {
			return d.topics[i].err
		}
	}
	return nil
}

// spelling is a topic's name where those who send have it, in all likelihood: to find that two
// strings are the same one takes less time than to compare them.
func (s *sender) spelling(name string, before *Topic) string {
	if before != nil {
		return before.Name
	}
	for _, w := range s.wanted {
		if w.topic == name {
			return w.topic
		}
	}
	return name
}

// meet notes where brokers are, and answers their racks.
func (s *sender) meet(brokers []brokerAt) map[int32]string {
	racks := map[int32]string{}
	for _, at := range brokers {
		racks[at.id] = at.rack
		b := s.brokers[at.id]
		if b == nil {
			b = &broker{id: at.id}
			s.brokers[at.id] = b
		}
		if b.address != at.address {
			b.address = at.address
			b.hangUp(errMoved)
		}
	}
	return racks
}

// refuse tells those who want a topic that it cannot be had, and reports whether to ask
// again.
func (s *sender) refuse(t *topicAt) (again bool) {
	if !fatal(t.err) {
		return true
	}
	s.wanted = slices.DeleteFunc(s.wanted, func(w *wanting) bool {
		if w.topic != t.name {
			return false
		}
		w.err = t.err
		close(w.done)
		return true
	})
	s.forgo(t.name, t.err)
	if s.parts[t.name] == nil {
		delete(s.metadata.topics, t.name)
	}
	return false
}

// place notes who leads the partitions of a topic.
func (s *sender) place(t *topicAt, racks map[int32]string, before *Topic) *Topic {
	parts := s.parts[t.name]
	for i := len(parts); i < len(t.leaders); i++ {
		parts = append(parts, &partition{topic: t.name, index: int32(i), id: -1, epoch: -1, leader: -1, begun: -1, alone: s.o.MaxInFlight == 1})
	}
	s.parts[t.name] = parts
	for _, gone := range parts[len(t.leaders):] {
		gone.leader = -1
	}
	var available []int32
	where := make([]string, len(t.leaders))
	for i, leader := range t.leaders {
		parts[i].leader = leader
		if leader >= 0 {
			available = append(available, int32(i))
			where[i] = racks[leader]
		}
	}
	topic := NewTopic(t.name, available, where, before)
	topic.parts = parts[:len(parts):len(parts)]
	return topic
}
