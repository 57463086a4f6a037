package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// crowd makes a stable group of n members and returns their ids.
func crowd(t testing.TB, c *Coordinator, j *journal, now time.Time, n int) []string {
	ids := make([]string, 0, n)
	var leader string
	for i := range n {
		q := kmsg.NewPtrJoinGroupRequest()
		q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = "g", consumerType, 45_000, 60_000
		q.Protocols = protocols(subscription("t"), "range")
		c.Join(now, Client{"c", "/h"}, 3, q, func() string { return fmt.Sprint(i) }, func(a *kmsg.JoinGroupResponse) {
			if a.ErrorCode != 0 {
				t.Fatal(codeName(a.ErrorCode))
			}
			leader = a.LeaderID
			ids = append(ids, a.MemberID)
		})
	}
	c.Tick(now)
	synced := 0
	for _, id := range ids {
		q := kmsg.NewPtrSyncGroupRequest()
		q.Version, q.Group, q.MemberID, q.Generation = 3, "g", id, 1
		if id == leader {
			for _, other := range ids {
				q.GroupAssignment = append(q.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: other, MemberAssignment: []byte(other)})
			}
		}
		c.Sync(now, q, func(a *kmsg.SyncGroupResponse) {
			if string(a.MemberAssignment) != id {
				t.Errorf("%s is assigned %q, %s", id, a.MemberAssignment, codeName(a.ErrorCode))
			}
			synced++
		})
		for len(j.waiting) > 0 {
			j.settle(nil)
		}
	}
	if len(ids) != n || synced != n {
		t.Fatalf("%d joined, %d synced, want %d", len(ids), synced, n)
	}
	return ids
}

func TestThousandMembers(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayed(t, Options{InitialDelay: -1}, now)
	ids := crowd(t, c, j, now, 1000)
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.Generation = "g", 1
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		q.MemberID = ids[i%len(ids)]
		i++
		c.Heartbeat(now, q, func(*kmsg.HeartbeatResponse) {})
	}); n > 1 { // the response
		t.Errorf("a heartbeat allocates %v times, want 1", n)
	}
	if n := testing.AllocsPerRun(1000, func() { c.Tick(now) }); n > 0 {
		t.Errorf("a tick with nothing to do allocates %v times", n)
	}
	for _, id := range ids[:500] { // the others fall silent
		q.MemberID = id
		c.Heartbeat(now.Add(40*time.Second), q, func(*kmsg.HeartbeatResponse) {})
	}
	c.Tick(now.Add(50 * time.Second))
	if g := c.groups["g"]; len(g.members) != 500 || g.state != preparing {
		t.Fatalf("%d members are left, %s", len(g.members), g.state)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
}

// commitMany commits n offsets of one topic in requests of 1,000.
func commitMany(t testing.TB, c *Coordinator, j *journal, now time.Time, n int) {
	for from := 0; from < n; from += 1000 {
		q := kmsg.NewPtrOffsetCommitRequest()
		q.Version, q.Group, q.Generation = 9, "offsets", -1
		topic := kmsg.OffsetCommitRequestTopic{Topic: "t"}
		for i := range min(1000, n-from) {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset = int32(from+i), int64(i)
			topic.Partitions = append(topic.Partitions, p)
		}
		q.Topics = append(q.Topics, topic)
		answered := false
		c.Commit(now, q, func(a *kmsg.OffsetCommitResponse) { answered = a.Topics[0].Partitions[0].ErrorCode == 0 })
		for len(j.waiting) > 0 {
			j.settle(nil)
		}
		if !answered {
			t.Fatal("not committed")
		}
	}
}

// TestJoinWithManyProtocols: there may be a million in a request.
func TestJoinWithManyProtocols(t *testing.T) {
	given := make([]kmsg.JoinGroupRequestProtocol, 300_000)
	for i := range given {
		given[i].Name = fmt.Sprint(i % 200_000)
	}
	began := spent.Processor(t)
	protocols := protocolsOf(given)
	if took := spent.Processor(t) - began; took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(protocols) != 200_000 || protocols[199_999].name != "199999" {
		t.Errorf("%d protocols", len(protocols))
	}
}

// TestIDsThatAreNeverUsed: who asks for member ids and never comes back leaves no more than a few, and the rest of the
// world can join.
func TestIDsThatAreNeverUsed(t *testing.T) {
	for name, groups := range map[string]int{"of one group": 1, "of a group each": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			j := &journal{}
			now := time.UnixMilli(1_000_000)
			c := j.replayed(t, Options{InitialDelay: -1}, now)
			ids, before := 0, spent.Heap()
			join := func(group, member string) (a *kmsg.JoinGroupResponse) {
				q := kmsg.NewPtrJoinGroupRequest()
				q.Group, q.MemberID, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = group, member, consumerType, 1_800_000, 60_000
				q.Protocols = protocols(subscription("t"), "range")
				c.Join(now, Client{"c", "/h"}, 4, q, func() string { ids++; return fmt.Sprint(ids) }, func(r *kmsg.JoinGroupResponse) { a = r })
				c.Tick(now)
				return a
			}
			old := join("honest", "").MemberID
			for i := range 50_000 {
				join(fmt.Sprint("g", i%groups), "")
			}
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
			if more := spent.Heap() - before; more > 16<<20 {
				t.Errorf("%d MiB are kept", more>>20)
			}
			if a := join("honest", old); a.ErrorCode != kerr.UnknownMemberID.Code {
				t.Errorf("the oldest id: %s", codeName(a.ErrorCode))
			}
			if a := join("honest", join("honest", "").MemberID); a == nil || a.ErrorCode != 0 {
				t.Errorf("a new one: %+v", a)
			}
			c.Tick(now.Add(time.Hour))
			if err := c.Check(); err != nil || c.promised != 0 {
				t.Fatalf("%d are left; %v", c.promised, err)
			}
			for i := range 3 * mostPromised { // those that were used do not gather
				g := fmt.Sprint("used", i%3000)
				join(g, join(g, "").MemberID)
			}
			if len(c.promises) > fewUsed { // each would hold its group, also when that is gone
				t.Errorf("%d used ids are kept", len(c.promises))
			}
		})
	}
}

func TestHundredThousandOffsets(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayed(t, Options{}, now)
	const n = 100_000
	commitMany(t, c, j, now, n)
	if n := testing.AllocsPerRun(100, func() { c.Tick(now.Add(time.Hour)) }); n > 0 {
		t.Errorf("a tick with nothing to do allocates %v times", n)
	}
	if next := c.NextTick(); next.Before(now.Add(7 * 24 * time.Hour)) {
		t.Errorf("the offsets are looked at %v after they were committed", next.Sub(now))
	}
	c = j.replayed(t, Options{}, now)
	if got := len(c.groups["offsets"].offsets["t"].partitions); got != n {
		t.Fatalf("%d offsets after a restart, want %d", got, n)
	}
	j.appends = 0
	for range 3 { // after the restart it is looked at once for nothing
		c.Tick(c.NextTick())
	}
	for len(j.waiting) > 0 {
		if records := j.waiting[0].records; len(records) > 20_000 {
			t.Errorf("%d tombstones in one append", len(records))
		}
		j.settle(nil)
	}
	if len(c.groups) > 0 || j.appends < 5 {
		t.Errorf("%d groups are left after %d appends", len(c.groups), j.appends)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
}

// TestTombstonesOfManyPendingOffsets deletes a group of 30,000 offsets whose transaction is
// open, and reads that from the log again: each tombstone finds its offset without a look at
// the others, for the shard does nothing else meanwhile.
func TestTombstonesOfManyPendingOffsets(t *testing.T) {
	const n = 30_000
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayed(t, Options{}, now)
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Group, q.Generation = "g", -1
	topic := kmsg.OffsetCommitRequestTopic{Topic: "t"}
	for i := range n {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = int32(i), 5
		topic.Partitions = append(topic.Partitions, p)
	}
	q.Topics = append(q.Topics, topic)
	c.CommitIn(now, Transaction{ID: "x", ProducerID: 1}, q, func(*kmsg.OffsetCommitResponse) {})
	j.settle(nil)
	if err := c.Check(); err != nil || !c.groups["g"].unstable("t", n-1) {
		t.Fatal("nothing is pending", err)
	}
	work := func(what string, f func()) {
		begin := spent.Processor(t)
		f()
		took := spent.Processor(t) - begin
		t.Logf("%s takes %v", what, took)
		if took > 2*time.Second {
			t.Errorf("%s takes %v, more than two seconds", what, took)
		}
		if err := c.Check(); err != nil || len(c.groups) > 0 || len(c.pending) > 0 {
			t.Errorf("%s leaves %d groups, offsets of %d producers: %v", what, len(c.groups), len(c.pending), err)
		}
	}
	work("deleting", func() {
		c.Delete(now, "g", func(r *kmsg.DeleteGroupsResponseGroup) {
			if r.ErrorCode != 0 {
				t.Error(codeName(r.ErrorCode))
			}
		})
		for len(j.waiting) > 0 {
			j.settle(nil)
		}
	})
	work("reading it again", func() { c = j.replayed(t, Options{}, now) })
}

func BenchmarkHeartbeatOfThousand(b *testing.B) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayed(b, Options{InitialDelay: -1}, now)
	ids := crowd(b, c, j, now, 1000)
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.Generation = "g", 1
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.MemberID = ids[i%len(ids)]
		c.Heartbeat(now.Add(time.Duration(i)*time.Millisecond), q, func(*kmsg.HeartbeatResponse) {})
	}
}

func BenchmarkRebalanceOfThousand(b *testing.B) {
	for b.Loop() {
		j := &journal{}
		c := j.replayed(b, Options{InitialDelay: -1}, time.UnixMilli(1_000_000))
		crowd(b, c, j, time.UnixMilli(1_000_000), 1000)
	}
}

func BenchmarkCommitThousand(b *testing.B) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayed(b, Options{}, now)
	b.ReportAllocs()
	for b.Loop() {
		commitMany(b, c, j, now, 1000)
		j.committed = j.committed[:0]
	}
}

// TestCheckNoticesDamage shows that Check is no decoration.
func TestCheckNoticesDamage(t *testing.T) {
	for name, damage := range map[string]func(c *Coordinator, g *group){
		"members of an empty group":    func(_ *Coordinator, g *group) { g.state = empty },
		"a leader who is no member":    func(_ *Coordinator, g *group) { g.leader = "x" },
		"no protocol":                  func(_ *Coordinator, g *group) { g.protocol = nil },
		"another protocol":             func(_ *Coordinator, g *group) { *g.protocol = "x" },
		"a lost vote":                  func(_ *Coordinator, g *group) { g.voters["range"]-- },
		"a wrong weight":               func(_ *Coordinator, g *group) { g.weight++ },
		"a strange vote":               func(_ *Coordinator, g *group) { g.voters["x"] = 1 },
		"a member that lives for ever": func(c *Coordinator, g *group) { c.deadlines.clear(&g.members[1].session) },
		"a rebalance without an end":   func(_ *Coordinator, g *group) { g.state = preparing },
		"a sync without an end":        func(_ *Coordinator, g *group) { g.setUnsynced(g.members[0]) },
		"a sync that nobody writes":    func(_ *Coordinator, g *group) { g.state = completing },
		"a sync deadline for nobody":   func(c *Coordinator, g *group) { c.deadlines.move(&g.sync, 5) },
		"two waits": func(_ *Coordinator, g *group) {
			m := g.members[0]
			g.awaitJoin(m, func(*kmsg.JoinGroupResponse) {})
			m.sync = func(*kmsg.SyncGroupResponse) {}
		},
		"a wait for nothing":           func(_ *Coordinator, g *group) { g.members[0].sync = func(*kmsg.SyncGroupResponse) {} },
		"a pending member":             func(_ *Coordinator, g *group) { g.pend(0, g.members[0].id, 1) },
		"a lost id":                    func(_ *Coordinator, g *group) { delete(g.byID, g.members[0].id); g.byID["x"] = g.members[1] },
		"a deadline of nobody":         func(c *Coordinator, _ *group) { c.deadlines.move(&deadline{}, 5) },
		"a heap in disorder":           func(c *Coordinator, _ *group) { c.deadlines.heap[0].at = 1 << 60 },
		"a write that has ended":       func(c *Coordinator, _ *group) { c.writes = append(c.writes, &write{ended: true}) },
		"an offset in flight for ever": func(_ *Coordinator, g *group) { g.entry("t", 0) },
		"an offset that is nothing":    func(_ *Coordinator, g *group) { g.entry("t", 0); g.offsets["t"].partitions[0] = entry{} },
		"a pending offset of nobody": func(c *Coordinator, g *group) {
			g.await("t", 0)
			c.wait(1, g, change{topic: "t", value: &committed{}})
			g.offsets["t"].partitions[0] = entry{value: &committed{}}
		},
		"a pending offset of a lost group": func(c *Coordinator, _ *group) {
			c.pending = map[int64]*waits{1: {few: []placed{{spot{"x", &topic{name: "t"}, 0}, wait{count: 1}}}}}
		},
		"a topic without partitions": func(_ *Coordinator, g *group) { g.entry("t", 0); clear(g.offsets["t"].partitions) },
	} {
		t.Run(name, func(t *testing.T) {
			j := &journal{}
			c := j.replayed(t, Options{InitialDelay: -1}, time.UnixMilli(1000))
			crowd(t, c, j, time.UnixMilli(1000), 3)
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
			if damage(c, c.groups["g"]); c.Check() == nil {
				t.Error("not noticed")
			}
		})
	}
}

// TestMembersSayNoMoreThanFits: what a member says of itself is bounded, and so is what all say to their leader.
func TestMembersSayNoMoreThanFits(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1000)
	c := j.replayed(t, Options{InitialDelay: -1}, now)
	join := func(i, size int) (got string) {
		q := kmsg.NewPtrJoinGroupRequest()
		q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = "g", consumerType, 45_000, 60_000
		q.Protocols = protocols(make([]byte, size), "range")
		c.Join(now, Client{"c", "/h"}, 3, q, func() string { return fmt.Sprint(i) }, func(a *kmsg.JoinGroupResponse) { got = codeName(a.ErrorCode) })
		return got
	}
	if got := join(0, mostOfMember); got != "MESSAGE_TOO_LARGE" || len(c.groups) > 0 {
		t.Errorf("more than a member may say: %q, %d groups", got, len(c.groups))
	}
	size := mostOfMember - 100
	for i := range mostOfGroup/size + 1 {
		if got := join(i, size); i > 0 && got != "" { // it waits for the first to join again
			t.Fatalf("member %d: %s", i, got)
		}
	}
	if got := join(-1, 1); got != "GROUP_MAX_SIZE_REACHED" {
		t.Errorf("one more: %q", got)
	}
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.RebalanceTimeoutMillis, q.Topics = "k", "m", 1000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	q.SubscribedTopicNames = []string{strings.Repeat("t", mostOfMember), "u"}
	got := ""
	c.ConsumerHeartbeat(now, Client{}, q, nil, func(a *kmsg.ConsumerGroupHeartbeatResponse) { got = codeName(a.ErrorCode) })
	if got != "INVALID_REQUEST" {
		t.Errorf("a subscription that is too long: %q", got)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

// TestASubscriptionOfManyTopics: hundreds of thousands of short names are taken in in one pass, and left so.
func TestASubscriptionOfManyTopics(t *testing.T) {
	cg := newConsumerGroup()
	many := &consumer{id: "many"}
	for i := range 300_000 {
		many.topics = append(many.topics, fmt.Sprintf("%06d", i))
	}
	few := &consumer{id: "few", profile: profile{topics: []string{"000007", "x"}}}
	began := spent.Processor(t)
	cg.add(few)
	cg.add(many)
	cg.setProfile(many, profile{topics: many.topics[1:]})
	cg.remove(many)
	took := spent.Processor(t) - began
	if len(cg.names) != 2 || cg.names[0] != (wanted{"000007", 1}) || cg.names[1] != (wanted{"x", 1}) {
		t.Errorf("%d names are left", len(cg.names))
	}
	if took > 3*time.Second { // one after the other: a minute
		t.Errorf("%v", took)
	}
	cg.want([]string{"y", "y", "a"}, 1)
	cg.want([]string{"y", "x"}, -1)
	if got := fmt.Sprint(cg.names); got != "[{000007 1} {a 1} {y 1}]" {
		t.Error(got)
	}
}

func TestSetOptionsAppliesToWhatComes(t *testing.T) {
	j := &journal{}
	c := j.replayed(t, Options{}, time.UnixMilli(1000))
	c.SetOptions(Options{SessionMax: 10 * time.Second})
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.SessionTimeoutMillis = "g", 20_000
	got := ""
	c.Join(time.UnixMilli(1000), Client{}, 9, q, nil, func(a *kmsg.JoinGroupResponse) { got = codeName(a.ErrorCode) })
	if got != "INVALID_SESSION_TIMEOUT" {
		t.Errorf("a session longer than allowed: %s", got)
	}
}
