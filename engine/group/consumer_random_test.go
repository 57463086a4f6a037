package group

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/regular"
)

var seeds = flag.Int("seeds", 100, "how many lives of a consumer group TestRandomConsumerGroups plays")

// TestRandomConsumerGroups simulates one group: members of both protocols join, leave,
// crash, fall silent and lose answers; topics come, grow and go; appends are late and
// fail; the coordinator is lost. After every step
//
//   - the coordinator's own invariants hold
//   - no two clients that are members believe to have the same partition
//
// and at the end, when everything is calm, the group is stable and every partition that
// somebody wants has exactly one reader. Every seed is run twice, to the same trace.
func TestRandomConsumerGroups(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 20)
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			first := play(t, seed)
			if again := play(t, seed); again != first {
				t.Fatalf("two runs of one seed differ: %x and %x", first, again)
			}
		})
	}
}

// play runs one seed and returns what sums up its trace.
func play(t *testing.T, seed uint64) uint64 {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 11)), j: &journal{}, now: time.UnixMilli(1_000_000)}
	w.o = Options{InitialDelay: -1, Migration: []Migration{MigrationBidirectional, MigrationBidirectional, MigrationUpgrade, MigrationDisabled}[seed%4]}
	w.picture = pictureOf(topicOf("t", 1, 4), topicOf("u", 2, 3))
	w.c = New(w.o, w.j)
	w.c.SetCluster(w.picture)
	w.c.Loaded(w.now)
	for i := range 6 {
		w.reader(i)
	}
	for range 500 {
		w.step()
	}
	w.calm()
	return w.trace
}

type world struct {
	t       *testing.T
	r       *rand.Rand
	c       *Coordinator
	j       *journal
	o       Options
	picture *picture
	now     time.Time
	readers [6]*reader
	uuids   int
	ids     int // of topics
	trace   uint64
	quiet   bool // nothing fails any more
}

// reader is one client.
type reader struct {
	classic  bool
	instance *string
	id       string
	epoch    int32 // or generation; 0: not in a group
	has      map[string]bool
	topics   []string
	pattern  *string
	full     bool // the next heartbeat says everything
	waiting  bool // for a JoinGroup or SyncGroup
	life     int  // counts restarts: what was asked before one is not heard
	asked    int  // heartbeats: a client that asks again does not hear the answer to what it asked before
}

func (w *world) note(format string, args ...any) {
	if traced {
		w.t.Logf(format, args...)
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d ", w.trace)
	fmt.Fprintf(h, format, args...)
	w.trace = h.Sum64()
}

// reader makes a new client in place of whatever was there.
func (w *world) reader(i int) {
	life := 0
	if w.readers[i] != nil {
		life = w.readers[i].life + 1
	}
	m := &reader{classic: w.r.IntN(3) == 0, life: life, full: true}
	if i >= 4 {
		name := fmt.Sprint("static", i)
		m.instance = &name
	}
	w.subscribe(m)
	w.readers[i] = m
}

func (w *world) subscribe(m *reader) {
	m.topics, m.pattern = [][]string{{"t"}, {"u"}, {"t", "u"}, {"t", "v"}, {}}[w.r.IntN(5)], nil
	if !m.classic && w.r.IntN(3) == 0 {
		text := []string{"u|v", "[tv]"}[w.r.IntN(2)]
		m.pattern = &text
	}
	m.full = true
}

func (w *world) step() {
	i := w.r.IntN(len(w.readers))
	m := w.readers[i]
	n := w.r.IntN(100)
	w.note("step %d of %d", n, i)
	switch {
	case n < 52:
		w.speak(i, m)
	case n < 70:
		w.settle()
	case n < 80:
		w.pass(time.Duration(w.r.IntN(1500)) * time.Millisecond)
	case n < 82:
		w.pass(time.Duration(w.r.IntN(30)) * time.Second)
	case n < 86:
		w.subscribe(m)
	case n < 90:
		w.goAway(i, m)
	case n < 93:
		w.reader(i) // it crashed, and another one comes
	case n < 97:
		w.change()
	case n < 98:
		w.restart()
	default:
		w.look()
	}
	w.check()
}

func (w *world) check() {
	if err := w.c.Check(); err != nil {
		w.t.Fatal(err)
	}
	owners := map[string]int{}
	for i, m := range w.readers {
		if !w.member(m) {
			continue
		}
		for p := range m.has {
			if other, ok := owners[p]; ok {
				w.t.Fatalf("%s is read by %d and %d: %+v, %+v", p, other, i, w.readers[other], m)
			}
			owners[p] = i
		}
	}
}

// member reports whether the coordinator knows a client, in the epoch that it thinks.
func (w *world) member(m *reader) bool {
	g := w.c.groups["g"]
	if g == nil || m.id == "" || m.epoch == 0 {
		return false
	}
	if g.consumer != nil {
		k := g.consumer.members[m.id]
		return k != nil && k.epoch > 0
	}
	return g.byID[m.id] != nil && m.classic && g.generation == m.epoch
}

func (w *world) speak(i int, m *reader) {
	switch {
	case !m.classic:
		w.beat(i, m)
	case m.waiting:
	case m.epoch == 0:
		w.join(i, m)
	default:
		w.heart(i, m)
	}
}

// lost reports whether an answer does not reach its client.
func (w *world) lost(i int, m *reader) bool {
	return w.readers[i] != m || !w.quiet && w.r.IntN(12) == 0
}

func (w *world) beat(i int, m *reader) {
	if m.id == "" {
		w.uuids++
		m.id = fmt.Sprint("m", w.uuids)
	}
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.MemberEpoch, q.InstanceID = 1, "g", m.id, m.epoch, m.instance
	if m.epoch == 0 || m.full || w.r.IntN(3) == 0 {
		q.RebalanceTimeoutMillis = 20_000
		q.SubscribedTopicNames, q.SubscribedTopicRegex = m.topics, m.pattern
		if m.pattern == nil {
			q.SubscribedTopicRegex = new(string)
		}
		q.Topics = m.owned(w)
	}
	sent := m.full
	m.asked++
	asked := m.asked
	w.c.ConsumerHeartbeat(w.now, Client{fmt.Sprint("c", i), "/h"}, q, nil, func(a *kmsg.ConsumerGroupHeartbeatResponse) {
		w.note("%d beat %d %d %v", i, a.ErrorCode, a.MemberEpoch, a.Assignment)
		if m.asked != asked || w.lost(i, m) {
			m.full = true
			return
		}
		switch a.ErrorCode {
		case 0:
			m.epoch = a.MemberEpoch
			m.full = m.full && !sent
			if a.Assignment == nil {
				return
			}
			m.has = map[string]bool{}
			for _, t := range a.Assignment.Topics {
				for _, p := range t.Partitions {
					m.has[fmt.Sprintf("%x-%d", t.TopicID, p)] = true
				}
			}
		case kerr.CoordinatorNotAvailable.Code:
			m.full = true
		case kerr.GroupIDNotFound.Code, kerr.UnknownMemberID.Code, kerr.FencedMemberEpoch.Code, kerr.UnreleasedInstanceID.Code:
			m.epoch, m.has, m.full = 0, nil, true
		case kerr.FencedInstanceID.Code:
			m.epoch, m.has, m.id, m.full = 0, nil, "", true
		case kerr.NotCoordinator.Code:
		default:
			w.t.Fatalf("heartbeat: %s %s", codeName(a.ErrorCode), text(a.ErrorMessage))
		}
	})
}

func (m *reader) owned(w *world) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if m.epoch == 0 {
		return out
	}
	for _, key := range slices.Sorted(maps.Keys(m.has)) {
		var t kmsg.ConsumerGroupHeartbeatRequestTopic
		var id []byte
		var p int32
		if _, err := fmt.Sscanf(key, "%x-%d", &id, &p); err != nil {
			w.t.Fatal(err)
		}
		copy(t.TopicID[:], id)
		t.Partitions = []int32{p}
		out = append(out, t)
	}
	return out
}

// join is JoinGroup of an eager consumer: it gives up all it has.
func (w *world) join(i int, m *reader) {
	m.has, m.waiting = nil, true
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.InstanceID, q.ProtocolType = "g", m.id, m.instance, consumerType
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 20_000, 10_000
	q.Protocols = protocols(subscription(m.topics...), "range")
	life := m.life
	w.c.Join(w.now, Client{fmt.Sprint("c", i), "/h"}, 3, q, func() string { w.uuids++; return fmt.Sprint(w.uuids) }, func(a *kmsg.JoinGroupResponse) {
		w.note("%d join %d %d", i, a.ErrorCode, a.Generation)
		m.waiting = false
		if w.readers[i] != m || m.life != life || w.lost(i, m) {
			return
		}
		switch a.ErrorCode {
		case 0:
			m.id = a.MemberID
			w.later(func() { w.sync(i, m, a) })
			m.waiting = true
		case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code:
			m.id = ""
		}
	})
}

// later does what a client does once it has its answer: not within the reply.
func (w *world) later(f func()) { w.j.afterwards = append(w.j.afterwards, f) }

func (w *world) sync(i int, m *reader, a *kmsg.JoinGroupResponse) {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version, q.Group, q.MemberID, q.InstanceID, q.Generation = 4, "g", m.id, m.instance, a.Generation
	if a.LeaderID == a.MemberID {
		q.GroupAssignment = w.deal(a.Members)
	}
	seen := w.picture // the answer has names: of the topics that there are now
	w.c.Sync(w.now, q, func(r *kmsg.SyncGroupResponse) {
		w.note("%d sync %d %x", i, r.ErrorCode, r.MemberAssignment)
		m.waiting = false
		if w.lost(i, m) {
			return
		}
		switch r.ErrorCode {
		case 0:
			m.epoch, m.has = a.Generation, map[string]bool{}
			var share kmsg.ConsumerMemberAssignment
			if len(r.MemberAssignment) > 0 {
				must(share.ReadFrom(r.MemberAssignment))
			}
			for _, t := range share.Topics {
				topic, ok := seen.Topic(t.Topic)
				for _, p := range t.Partitions {
					if ok {
						m.has[fmt.Sprintf("%x-%d", topic.ID, p)] = true
					}
				}
			}
		case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code:
			m.id, m.epoch = "", 0
		}
	})
}

// deal is what a leader does.
func (w *world) deal(members []kmsg.JoinGroupResponseMember) []kmsg.SyncGroupRequestGroupAssignment {
	shares := make([]kmsg.ConsumerMemberAssignment, len(members))
	w.picture.EachTopic(func(t Topic) {
		var want []int
		for i := range members {
			said, err := readSubscription(members[i].ProtocolMetadata)
			if must(err); slices.Contains(said.Topics, t.Name) {
				want = append(want, i)
			}
		}
		for p := range t.Partitions {
			if len(want) > 0 {
				to := &shares[want[p%len(want)]]
				to.Topics = append(to.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t.Name, Partitions: []int32{int32(p)}})
			}
		}
	})
	out := make([]kmsg.SyncGroupRequestGroupAssignment, len(members))
	for i := range members {
		out[i] = kmsg.SyncGroupRequestGroupAssignment{MemberID: members[i].MemberID, MemberAssignment: shares[i].AppendTo(nil)}
	}
	return out
}

func (w *world) heart(i int, m *reader) {
	if m.full { // its subscription changed
		m.full, m.epoch = false, 0
		w.join(i, m)
		return
	}
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.InstanceID, q.Generation = "g", m.id, m.instance, m.epoch
	w.c.Heartbeat(w.now, q, func(a *kmsg.HeartbeatResponse) {
		w.note("%d heart %d", i, a.ErrorCode)
		if w.lost(i, m) {
			return
		}
		switch a.ErrorCode {
		case kerr.RebalanceInProgress.Code, kerr.IllegalGeneration.Code:
			m.epoch, m.has = 0, nil
		case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code:
			m.epoch, m.has, m.id = 0, nil, ""
		}
	})
}

// goAway lets a client leave in good order.
func (w *world) goAway(i int, m *reader) {
	if m.epoch == 0 || m.waiting {
		return
	}
	if m.classic {
		q := kmsg.NewPtrLeaveGroupRequest()
		q.Version, q.Group = 5, "g"
		q.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.id, InstanceID: m.instance}}
		w.c.Leave(w.now, q, func(*kmsg.LeaveGroupResponse) {})
	} else {
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Version, q.Group, q.MemberID, q.MemberEpoch, q.InstanceID = 1, "g", m.id, leaving, m.instance
		if m.instance != nil && w.r.IntN(2) == 0 {
			q.MemberEpoch = leftStatic
		}
		w.c.ConsumerHeartbeat(w.now, Client{}, q, nil, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
	}
	w.reader(i)
}

func (w *world) settle() {
	for n := w.r.IntN(4); n > 0 && len(w.j.waiting) > 0; n-- {
		var err error
		if !w.quiet && w.r.IntN(10) == 0 {
			err = []error{kerr.NotEnoughReplicas, errors.New("disk full")}[w.r.IntN(2)]
		}
		for _, r := range w.j.waiting[0].records {
			w.note("%v %s", err, describeRecord(r))
		}
		w.j.settle(err)
		w.go1()
	}
}

// go1 lets clients go on whose answers came.
func (w *world) go1() {
	for len(w.j.afterwards) > 0 {
		f := w.j.afterwards[0]
		w.j.afterwards = w.j.afterwards[1:]
		f()
	}
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.c.Tick(w.now)
	w.go1()
}

// change shows the coordinator another picture of the cluster.
func (w *world) change() {
	next := &picture{topics: maps.Clone(w.picture.topics), settings: map[string]GroupSettings{}}
	name := []string{"t", "u", "v"}[w.r.IntN(3)]
	t, ok := next.topics[name]
	switch {
	case !ok || w.r.IntN(3) == 0:
		w.ids++
		next.topics[name] = topicOf(name, 100+w.ids, 1+w.r.IntN(4))
	case w.r.IntN(2) == 0:
		t.Partitions++
		next.topics[name] = t
	default:
		delete(next.topics, name)
	}
	w.picture = next
	w.c.SetCluster(next)
}

func (w *world) look() {
	w.c.ConsumerDescribe(w.now, "g", func(a *kmsg.ConsumerGroupDescribeResponseGroup) { w.note("describe %s %d", a.State, a.Epoch) })
	w.c.Describe(w.now, "g", 6, func(a *kmsg.DescribeGroupsResponseGroup) { w.note("describe %s", a.State) })
}

// restart loses the coordinator with what is not committed.
func (w *world) restart() {
	w.c.Close(nil)
	for _, a := range w.j.waiting {
		a.done(nil)
	}
	w.j.waiting = nil
	w.go1()
	w.c = w.j.replayedIn(w.t, w.o, w.now, w.picture)
}

// calm lets everything come to rest: members only do what they have to.
func (w *world) calm() {
	w.quiet = true
	for i, m := range w.readers { // no two kinds that cannot be in one group
		if w.o.Migration != MigrationBidirectional && m.classic {
			w.reader(i)
			w.readers[i].classic, w.readers[i].pattern = false, nil
		}
		w.readers[i].full = true // classic ones look at the topics again, as they do from time to time
	}
	for round := range 200 {
		for i, m := range w.readers {
			w.speak(i, m)
			w.go1()
			for len(w.j.waiting) > 0 {
				w.j.settle(nil)
				w.go1()
			}
			w.check()
		}
		w.pass(time.Second)
		for len(w.j.waiting) > 0 {
			w.j.settle(nil)
			w.go1()
		}
		if round > 100 && w.rests() == nil {
			return
		}
	}
	w.t.Fatalf("no rest: %v", w.rests())
}

// rests reports what is not yet as it should be.
func (w *world) rests() error {
	g := w.c.groups["g"]
	if g == nil || g.state != stable {
		return fmt.Errorf("group %+v", g)
	}
	read := map[string]int{}
	for i, m := range w.readers {
		if !w.member(m) {
			return fmt.Errorf("client %d is no member: %+v", i, m)
		}
		for p := range m.has {
			read[p]++
		}
	}
	wanted := 0
	var wrong error
	w.picture.EachTopic(func(t Topic) {
		if !w.wanted(t.Name) {
			return
		}
		for p := range t.Partitions {
			if wanted++; read[fmt.Sprintf("%x-%d", assign.ID(t.ID), p)] != 1 {
				wrong = fmt.Errorf("partition %d of %s has %d readers", p, t.Name, read[fmt.Sprintf("%x-%d", t.ID, p)])
			}
		}
	})
	if wrong == nil && len(read) != wanted {
		wrong = fmt.Errorf("%d partitions are read, %d wanted", len(read), wanted)
	}
	return wrong
}

func (w *world) wanted(name string) bool {
	return slices.ContainsFunc(w.readers[:], func(m *reader) bool {
		if slices.Contains(m.topics, name) {
			return true
		}
		if m.pattern == nil {
			return false
		}
		e, _, err := regular.Compile(*m.pattern)
		return err == nil && e.MatchString(name)
	})
}

// traced shows every step.
const traced = false
