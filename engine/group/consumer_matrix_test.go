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

// TestEveryEventInEveryConsumerState is TestEveryEventInEveryState for consumer groups:
// members a, of the consumer protocol, s, static, and k, classic.
func TestEveryEventInEveryConsumerState(t *testing.T) {
	var b strings.Builder
	reached := map[state]bool{}
	members := map[memberState]bool{}
	for _, in := range consumerSituations {
		fmt.Fprintf(&b, "%s\n", in.name)
		for _, event := range consumerEvents {
			b.WriteString(meetConsumer(t, in, event, reached, members))
		}
		b.WriteString("\n")
	}
	for _, s := range []state{empty, assigning, reconciling, stable} {
		if !reached[s] {
			t.Errorf("no situation is %s", s)
		}
	}
	for s := settled; s <= unreleased; s++ {
		if !members[s] {
			t.Errorf("no situation has a member in state %d", s)
		}
	}
	const path = "testdata/consumer-matrix"
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

func meetConsumer(t *testing.T, in situation, event event, reached map[state]bool, members map[memberState]bool) string {
	s := &stage{t: t, j: &journal{}, now: time.UnixMilli(5_000_000)}
	s.c = New(Options{InitialDelay: -1}, s.j)
	s.c.SetCluster(pictureOf(topicOf("t", 1, 6), topicOf("u", 2, 2)))
	s.c.Loaded(s.now)
	in.reach(s)
	if g := s.c.groups["g"]; g != nil && g.consumer != nil {
		reached[g.state] = true
		for _, m := range g.consumer.members {
			members[m.state] = true
		}
	}
	s.replies = nil
	event.happen(s)
	s.settle()
	if err := s.c.Check(); err != nil {
		t.Errorf("%s, %s: %v", in.name, event.name, err)
	}
	after := "gone"
	if g := s.c.groups["g"]; g != nil && g.consumer != nil {
		after = fmt.Sprintf("%s, epoch %d for %d, %d members", g.state, g.consumer.epoch, g.consumer.assignmentEpoch, len(g.consumer.members))
	} else if g != nil {
		after = fmt.Sprintf("classic, %s, generation %d, %d members", g.state, g.generation, len(g.members))
	}
	return fmt.Sprintf("  %-34s %-62s → %s\n", event.name, strings.Join(s.replies, "; "), after)
}

type beat1 struct {
	id, instance, topics, owned string
	epoch                       int32
	as                          string
}

func (s *stage) beat(b beat1) {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.MemberEpoch = 1, "g", b.id, b.epoch
	if b.instance != "" {
		q.InstanceID = &b.instance
	}
	if b.topics != "" {
		q.SubscribedTopicNames, q.RebalanceTimeoutMillis = []string{b.topics}, 10_000
	}
	if b.epoch == 0 || b.owned != "" {
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	if b.owned != "" && b.owned != "none" {
		for _, t := range (&talk{picture: s.c.cluster.(*picture)}).partitions(b.owned) {
			q.Topics = append(q.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.ID, Partitions: t.Partitions})
		}
	}
	s.c.ConsumerHeartbeat(s.now, Client{"c", "/h"}, q, nil, func(a *kmsg.ConsumerGroupHeartbeatResponse) {
		if a.ErrorCode != 0 {
			s.note(b.as, a.ErrorCode)
			return
		}
		line := fmt.Sprintf("%s ok epoch %d", b.as, a.MemberEpoch)
		if a.Assignment != nil {
			line += " " + showAnswer(a.Assignment)
		}
		s.replies = append(s.replies, line)
	})
	s.settle()
}

// alone: a has everything. pair: s has come, too. trio: and k, and all is settled.
func (s *stage) alone() { s.beat(beat1{id: "a", topics: "t", as: "a"}); s.tick(2 * time.Second) }

func (s *stage) pair() {
	s.alone()
	s.beat(beat1{id: "s", instance: "s", topics: "t", as: "s"})
}

func (s *stage) trio() {
	s.pair()
	s.beat(beat1{id: "a", epoch: 1, owned: "t:0,1,2", as: "a"})
	s.beat(beat1{id: "s", instance: "s", epoch: 2, as: "s"})
	s.tick(2 * time.Second)
	s.join(join1{version: 3, as: "k", topics: "t"}) // new-1, epoch 3
	s.beat(beat1{id: "a", epoch: 2, owned: "t:0,1", as: "a"})
	s.beat(beat1{id: "s", instance: "s", epoch: 2, owned: "t:3,4", as: "s"})
	s.join(join1{id: "new-1", version: 3, as: "k", topics: "t"})
	s.sync("new-1", "", 3, "k")
}

var consumerSituations = []situation{
	{"nothing is known of the group", func(*stage) {}},
	{"only offsets", func(s *stage) { s.commit("", "", -1, "x") }},
	{"Empty", func(s *stage) { s.alone(); s.beat(beat1{id: "a", epoch: leaving, as: "a"}) }},
	{"Stable, a alone", func(s *stage) { s.alone() }},
	{"Assigning, s left", func(s *stage) { s.trio(); s.beat(beat1{id: "s", instance: "s", epoch: leaving, as: "s"}) }},
	{"Reconciling, s waits for a", func(s *stage) { s.pair() }},
	{"Reconciling, a has to give up", func(s *stage) { s.pair(); s.beat(beat1{id: "a", epoch: 1, as: "a"}) }},
	{"Reconciling, k has to join again", func(s *stage) {
		s.trio()
		s.tick(2 * time.Second)
		s.beat(beat1{id: "z", topics: "t", as: "z"})
	}},
	{"Stable, all three", func(s *stage) { s.trio() }},
	{"Stable, s is away", func(s *stage) { s.trio(); s.beat(beat1{id: "s", instance: "s", epoch: leftStatic, as: "s"}) }},
	{"only k and a", func(s *stage) {
		s.trio()
		s.beat(beat1{id: "s", instance: "s", epoch: leaving, as: "s"})
		s.tick(2 * time.Second)
	}},
	{"what was decided is not written", func(s *stage) {
		s.pair()
		s.hold = true
		s.beat(beat1{id: "a", epoch: 1, owned: "t:0,1,2", as: "a"})
		s.j.settle(kerr.NotEnoughReplicas)
		s.hold = false
	}},
	{"a restart after all was settled", func(s *stage) {
		s.trio()
		s.c = s.j.replayedIn(s.t, Options{InitialDelay: -1}, s.now, s.c.cluster.(*picture))
	}},
	{"classic, k alone", func(s *stage) {
		s.join(join1{version: 3, as: "k", topics: "t"})
		s.tick(0)
		s.sync("new-1", "", 1, "k")
	}},
	{"classic, k is joining", func(s *stage) { s.join(join1{version: 3, as: "k", topics: "t"}) }},
	{"classic, of a kind that is not understood", func(s *stage) {
		s.join(join1{version: 3, as: "k", topics: "t"})
		s.tick(0)
		s.c.groups["g"].protocolType = "connect"
	}},
	{"loading", func(s *stage) { s.c = New(Options{}, s.j); s.c.SetCluster(pictureOf(topicOf("t", 1, 6))) }},
	{"closed", func(s *stage) { s.trio(); s.c.Close(nil) }},
}

var consumerEvents = []event{
	{"beat, new member", func(s *stage) { s.beat(beat1{id: "n", topics: "t", as: "n"}) }},
	{"beat, new static member", func(s *stage) { s.beat(beat1{id: "n", instance: "n", topics: "t", as: "n"}) }},
	{"beat, s under another id", func(s *stage) { s.beat(beat1{id: "s2", instance: "s", topics: "t", as: "s2"}) }},
	{"beat, s from the start", func(s *stage) { s.beat(beat1{id: "s", instance: "s", topics: "t", as: "s"}) }},
	{"beat, a, epoch 1", func(s *stage) { s.beat(beat1{id: "a", epoch: 1, as: "a"}) }},
	{"beat, a, epoch 1, owns 0-2", func(s *stage) { s.beat(beat1{id: "a", epoch: 1, owned: "t:0,1,2", as: "a"}) }},
	{"beat, a, epoch 3", func(s *stage) { s.beat(beat1{id: "a", epoch: 3, as: "a"}) }},
	{"beat, a, epoch 3, owns nothing", func(s *stage) { s.beat(beat1{id: "a", epoch: 3, owned: "none", as: "a"}) }},
	{"beat, a, from the start", func(s *stage) { s.beat(beat1{id: "a", topics: "t", as: "a"}) }},
	{"beat, a, other topics", func(s *stage) { s.beat(beat1{id: "a", epoch: 3, topics: "u", as: "a"}) }},
	{"beat, a, an epoch to come", func(s *stage) { s.beat(beat1{id: "a", epoch: 99, as: "a"}) }},
	{"beat, s, epoch 2", func(s *stage) { s.beat(beat1{id: "s", instance: "s", epoch: 2, as: "s"}) }},
	{"beat, s, epoch 3", func(s *stage) { s.beat(beat1{id: "s", instance: "s", epoch: 3, as: "s"}) }},
	{"beat, fenced id of s", func(s *stage) { s.beat(beat1{id: "x", instance: "s", epoch: 3, as: "x"}) }},
	{"beat, unknown", func(s *stage) { s.beat(beat1{id: "x", epoch: 3, as: "x"}) }},
	{"beat, k comes with the new protocol", func(s *stage) { s.beat(beat1{id: "new-1", topics: "t", as: "k"}) }},
	{"leave, a", func(s *stage) { s.beat(beat1{id: "a", epoch: leaving, as: "a"}) }},
	{"leave, s for a while", func(s *stage) { s.beat(beat1{id: "s", instance: "s", epoch: leftStatic, as: "s"}) }},
	{"leave, s for good", func(s *stage) { s.beat(beat1{id: "s", instance: "s", epoch: leaving, as: "s"}) }},
	{"leave, unknown", func(s *stage) { s.beat(beat1{id: "x", epoch: leaving, as: "x"}) }},
	{"classic join, no id, version 3", func(s *stage) { s.join(join1{version: 3, as: "new", topics: "t"}) }},
	{"classic join, no id, version 4", func(s *stage) { s.join(join1{version: 4, as: "new", topics: "t"}) }},
	{"classic join, k", func(s *stage) { s.join(join1{id: "new-1", version: 9, as: "k", topics: "t"}) }},
	{"classic join, k, other topics", func(s *stage) { s.join(join1{id: "new-1", version: 9, as: "k", topics: "u"}) }},
	{"classic join, s takes over", func(s *stage) { s.join(join1{instance: "s", version: 9, as: "s", topics: "t"}) }},
	{"classic join, fenced id of s", func(s *stage) { s.join(join1{id: "x", instance: "s", version: 9, as: "x", topics: "t"}) }},
	{"classic sync, k, epoch 3", func(s *stage) { s.sync("new-1", "", 3, "k") }},
	{"classic sync, k, epoch 1", func(s *stage) { s.sync("new-1", "", 1, "k") }},
	{"classic sync, a", func(s *stage) { s.sync("a", "", 3, "a") }},
	{"classic heartbeat, k, epoch 3", func(s *stage) { s.heartbeat("new-1", "", 3) }},
	{"classic heartbeat, k, epoch 1", func(s *stage) { s.heartbeat("new-1", "", 1) }},
	{"classic heartbeat, a", func(s *stage) { s.heartbeat("a", "", 3) }},
	{"classic leave, k", func(s *stage) { s.leave("new-1", "") }},
	{"classic leave, s by name", func(s *stage) { s.leave("", "s") }},
	{"classic leave, a", func(s *stage) { s.leave("a", "") }},
	{"classic leave, unknown", func(s *stage) { s.leave("x", "") }},
	{"commit, a, epoch 3", func(s *stage) { s.commit("a", "", 3, "commit") }},
	{"commit, a, epoch 1", func(s *stage) { s.commit("a", "", 1, "commit") }},
	{"commit, k, epoch 3", func(s *stage) { s.commit("new-1", "", 3, "commit") }},
	{"commit, unknown", func(s *stage) { s.commit("x", "", 3, "commit") }},
	{"commit, no membership", func(s *stage) { s.commit("", "", -1, "commit") }},
	{"fetch, a, epoch 3", func(s *stage) {
		q := kmsg.NewOffsetFetchRequestGroup()
		q.Group, q.MemberID, q.MemberEpoch = "g", kmsg.StringPtr("a"), 3
		s.c.Fetch(s.now, &q, true, func(a *kmsg.OffsetFetchResponseGroup) { s.note("fetch", a.ErrorCode) })
	}},
	{"delete the group", func(s *stage) {
		s.c.Delete(s.now, "g", func(a *kmsg.DeleteGroupsResponseGroup) { s.note("delete", a.ErrorCode) })
	}},
	{"describe", func(s *stage) {
		s.c.ConsumerDescribe(s.now, "g", func(a *kmsg.ConsumerGroupDescribeResponseGroup) { s.note("describe "+a.State, a.ErrorCode) })
	}},
	{"describe as classic", func(s *stage) {
		s.c.Describe(s.now, "g", 6, func(a *kmsg.DescribeGroupsResponseGroup) { s.note("describe "+a.State, a.ErrorCode) })
	}},
	{"topics change", func(s *stage) {
		s.c.SetCluster(pictureOf(topicOf("t", 1, 7)))
		s.tick(2 * time.Second)
		s.beat(beat1{id: "a", epoch: 3, as: "a"})
	}},
	{"ten seconds: rebalance timeout", func(s *stage) { s.tick(10 * time.Second) }},
	{"46 seconds: sessions end", func(s *stage) { s.tick(46 * time.Second) }},
	{"close", func(s *stage) { s.c.Close(nil) }},
}
