package group

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestEveryEventInEveryState compares what each request gets in each state, and the state
// that it leaves the group in, with testdata/matrix. Members a (it leads, from generation
// 1 on) and static s, and a pending one.
func TestEveryEventInEveryState(t *testing.T) {
	var b strings.Builder
	for _, in := range situations {
		fmt.Fprintf(&b, "%s\n", in.name)
		for _, event := range events {
			b.WriteString(meet(t, in, event))
		}
		b.WriteString("\n")
	}
	const path = "testdata/matrix"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		got := t.ArtifactDir() + "/matrix"
		must(os.WriteFile(got, []byte(b.String()), 0o644))
		t.Errorf("%s says otherwise; if the new answers are right, copy %s over it", path, got)
	}
}

// meet lets one event happen in one situation.
func meet(t *testing.T, in situation, event event) string {
	s := &stage{t: t, j: &journal{}, now: time.UnixMilli(5_000_000)}
	s.c = New(Options{InitialDelay: -1}, s.j)
	s.c.Loaded(s.now)
	in.reach(s)
	s.replies = nil
	event.happen(s)
	s.settle()
	if err := s.c.Check(); err != nil {
		t.Errorf("%s, %s: %v", in.name, event.name, err)
	}
	after := "gone"
	if g := s.c.groups["g"]; g != nil {
		after = fmt.Sprintf("%s, generation %d, %d members", g.state, g.generation, len(g.members))
	}
	return fmt.Sprintf("  %-32s %-58s → %s\n", event.name, strings.Join(s.replies, "; "), after)
}

type stage struct {
	t       *testing.T
	c       *Coordinator
	j       *journal
	now     time.Time
	ids     int
	replies []string
	hold    bool
}

func (s *stage) note(who string, c int16) { s.replies = append(s.replies, who+" "+codeName(c)) }

func (s *stage) settle() {
	for !s.hold && len(s.j.waiting) > 0 {
		s.j.settle(nil)
	}
}

func (s *stage) tick(d time.Duration) {
	s.now = s.now.Add(d)
	s.c.Tick(s.now)
	s.settle()
}

type join1 struct {
	id, instance, topics string
	version              int16
	as                   string
}

func (s *stage) join(j join1) {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.ProtocolType = "g", j.id, consumerType
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 30_000, 10_000
	if j.instance != "" {
		q.InstanceID = &j.instance
	}
	q.Protocols = protocols(subscription(j.topics), "range")
	s.c.Join(s.now, Client{"new", "/h"}, j.version, q, func() string { s.ids++; return fmt.Sprint(s.ids) }, func(a *kmsg.JoinGroupResponse) {
		s.note(j.as, a.ErrorCode)
	})
	s.settle()
}

func (s *stage) sync(id, instance string, generation int32, as string) {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version, q.Group, q.MemberID, q.Generation = 4, "g", id, generation
	if instance != "" {
		q.InstanceID = &instance
	}
	s.c.Sync(s.now, q, func(a *kmsg.SyncGroupResponse) { s.note(as, a.ErrorCode) })
	s.settle()
}

// The members of every situation: new-1 is a, which leads; s-2 is static.
func (s *stage) gather() {
	s.join(join1{version: 3, as: "a", topics: "t"})
	s.join(join1{version: 9, instance: "s", as: "s", topics: "t"})
}

func (s *stage) stabilize() {
	s.gather()
	s.tick(0)
	s.sync("s-2", "s", 1, "s")
	s.sync("new-1", "", 1, "a")
}

type situation struct {
	name  string
	reach func(s *stage)
}

var situations = []situation{
	{"nothing is known of the group", func(*stage) {}},
	{"only offsets", func(s *stage) { s.commit("", "", -1, "x") }},
	{"Empty after members left", func(s *stage) { s.stabilize(); s.leave("new-1", ""); s.leave("s-2", "s"); s.settle() }},
	{"PreparingRebalance, the first", func(s *stage) { s.gather() }},
	{"PreparingRebalance, s has joined", func(s *stage) {
		s.stabilize()
		s.join(join1{id: "s-2", instance: "s", topics: "u", version: 9, as: "s"})
	}},
	{"CompletingRebalance, nobody synced", func(s *stage) { s.gather(); s.tick(0) }},
	{"CompletingRebalance, s waits", func(s *stage) { s.gather(); s.tick(0); s.sync("s-2", "s", 1, "s") }},
	{"Stable", func(s *stage) { s.stabilize() }},
	{"loading", func(s *stage) { s.c = New(Options{}, s.j) }},
	{"closed", func(s *stage) { s.stabilize(); s.c.Close(nil) }},
}

func (s *stage) commit(id, instance string, generation int32, as string) {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.MemberID, q.Generation = 9, "g", id, generation
	if instance != "" {
		q.InstanceID = &instance
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	s.c.Commit(s.now, q, func(a *kmsg.OffsetCommitResponse) { s.note(as, a.Topics[0].Partitions[0].ErrorCode) })
	s.settle()
}

func (s *stage) leave(id, instance string) {
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Version, q.Group = 5, "g"
	m := kmsg.LeaveGroupRequestMember{MemberID: id}
	if instance != "" {
		m.InstanceID = &instance
	}
	q.Members = append(q.Members, m)
	s.c.Leave(s.now, q, func(a *kmsg.LeaveGroupResponse) {
		if a.ErrorCode != 0 {
			s.note("leaver", a.ErrorCode)
			return
		}
		s.note("leaver", a.Members[0].ErrorCode)
	})
	s.settle()
}

func (s *stage) heartbeat(id, instance string, generation int32) {
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.Generation = "g", id, generation
	if instance != "" {
		q.InstanceID = &instance
	}
	s.c.Heartbeat(s.now, q, func(a *kmsg.HeartbeatResponse) { s.note("heart", a.ErrorCode) })
}

type event struct {
	name   string
	happen func(s *stage)
}

var events = []event{
	{"join, no id, version 3", func(s *stage) { s.join(join1{version: 3, as: "new", topics: "t"}) }},
	{"join, no id, version 4", func(s *stage) { s.join(join1{version: 4, as: "new", topics: "t"}) }},
	{"join, unknown id", func(s *stage) { s.join(join1{id: "x", version: 9, as: "x", topics: "t"}) }},
	{"join, leader, nothing new", func(s *stage) { s.join(join1{id: "new-1", version: 9, as: "a again", topics: "t"}) }},
	{"join, leader, other metadata", func(s *stage) { s.join(join1{id: "new-1", version: 9, as: "a again", topics: "v"}) }},
	{"join, follower, nothing new", func(s *stage) { s.join(join1{id: "s-2", instance: "s", version: 9, as: "s again", topics: "t"}) }},
	{"join, follower, other metadata", func(s *stage) { s.join(join1{id: "s-2", instance: "s", version: 9, as: "s again", topics: "v"}) }},
	{"join, s takes over", func(s *stage) { s.join(join1{instance: "s", version: 9, as: "next s", topics: "t"}) }},
	{"join, fenced id of s", func(s *stage) { s.join(join1{id: "old", instance: "s", version: 9, as: "old s", topics: "t"}) }},
	{"sync, leader", func(s *stage) { s.sync("new-1", "", 1, "a again") }},
	{"sync, leader, not yet stored", func(s *stage) { s.hold = true; s.sync("new-1", "", 1, "a again"); s.leave("new-1", ""); s.hold = false }},
	{"sync, follower", func(s *stage) { s.sync("s-2", "s", 1, "s again") }},
	{"sync, unknown id", func(s *stage) { s.sync("x", "", 1, "x") }},
	{"sync, fenced id", func(s *stage) { s.sync("old", "s", 1, "old s") }},
	{"sync, wrong generation", func(s *stage) { s.sync("new-1", "", 9, "a again") }},
	{"heartbeat, member", func(s *stage) { s.heartbeat("new-1", "", 1) }},
	{"heartbeat, unknown id", func(s *stage) { s.heartbeat("x", "", 1) }},
	{"heartbeat, fenced id", func(s *stage) { s.heartbeat("old", "s", 1) }},
	{"heartbeat, wrong generation", func(s *stage) { s.heartbeat("new-1", "", 9) }},
	{"leave, leader", func(s *stage) { s.leave("new-1", "") }},
	{"leave, follower", func(s *stage) { s.leave("s-2", "s") }},
	{"leave, by name alone", func(s *stage) { s.leave("", "s") }},
	{"leave, unknown id", func(s *stage) { s.leave("x", "") }},
	{"leave, fenced id", func(s *stage) { s.leave("old", "s") }},
	{"commit, member", func(s *stage) { s.commit("new-1", "", 1, "commit") }},
	{"commit, wrong generation", func(s *stage) { s.commit("new-1", "", 9, "commit") }},
	{"commit, unknown id", func(s *stage) { s.commit("x", "", 1, "commit") }},
	{"commit, fenced id", func(s *stage) { s.commit("old", "s", 1, "commit") }},
	{"commit, no membership", func(s *stage) { s.commit("", "", -1, "commit") }},
	{"commit, id without generation", func(s *stage) { s.commit("new-1", "", -1, "commit") }},
	{"delete the group", func(s *stage) {
		s.c.Delete(s.now, "g", func(a *kmsg.DeleteGroupsResponseGroup) { s.note("delete", a.ErrorCode) })
	}},
	{"delete offsets", func(s *stage) {
		q := kmsg.NewPtrOffsetDeleteRequest()
		q.Group = "g"
		s.c.DeleteOffsets(s.now, q, func(a *kmsg.OffsetDeleteResponse) { s.note("delete", a.ErrorCode) })
	}},
	{"describe", func(s *stage) {
		s.c.Describe(s.now, "g", 6, func(a *kmsg.DescribeGroupsResponseGroup) { s.note("describe "+a.State, a.ErrorCode) })
	}},
	{"list", func(s *stage) {
		s.c.List(s.now, kmsg.NewPtrListGroupsRequest(), func(_ []kmsg.ListGroupsResponseGroup, err *kerr.Error) { s.note("list", code(err)) })
	}},
	{"ten seconds: rebalance timeout", func(s *stage) { s.tick(10 * time.Second) }},
	{"thirty seconds: sessions end", func(s *stage) { s.tick(30 * time.Second) }},
	{"close", func(s *stage) { s.c.Close(nil) }},
}
