package group

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// TestThousandConsumers lets 1,000 members of KIP-848 join at once, a heartbeat every five
// seconds of the virtual clock each, until all have their share; and half of them leave.
func TestThousandConsumers(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := j.replayedIn(t, Options{}, now, pictureOf(topicOf("t", 1, 3000)))
	crowd := make([]*beater, 1000)
	for i := range crowd {
		crowd[i] = &beater{id: fmt.Sprintf("m%04d", i), topics: []string{"t"}}
	}
	rounds := func(members []*beater, share int) time.Duration {
		begin := now
		for ; now.Sub(begin) < time.Minute; now = now.Add(5 * time.Second) {
			done := true
			c.Tick(now)
			for _, m := range members {
				m.beat(t, c, j, now)
				done = done && m.count == share
			}
			if done && c.groups["g"].state == stable {
				return now.Sub(begin)
			}
		}
		t.Fatalf("not settled after a minute: %s", c.groups["g"].state)
		return 0
	}
	cpu := time.Now()
	took := rounds(crowd, 3)
	t.Logf("1,000 members settled after %v of virtual time, %v of real time, %d appends", took, time.Since(cpu), j.appends)
	if took > 30*time.Second {
		t.Errorf("1,000 members settled after %v", took)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for _, m := range crowd[:500] {
		m.epoch = leaving
		m.beat(t, c, j, now)
	}
	now = now.Add(5 * time.Second)
	if took := rounds(crowd[500:], 6); took > 15*time.Second {
		t.Errorf("500 members had the shares of the others after %v", took)
	}
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group = 1, "g"
	i := 0
	if n := testing.AllocsPerRun(400, func() {
		m := crowd[500+i%500]
		i++
		q.MemberID, q.MemberEpoch = m.id, m.epoch
		c.ConsumerHeartbeat(now, Client{"c", "/h"}, q, nil, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
	}); n > 8 {
		t.Errorf("a heartbeat that changes nothing allocates %v times, want 8 at most", n)
	}
}

// beater is a member that takes what it is given and gives up what it has to.
type beater struct {
	id     string
	topics []string
	epoch  int32
	owned  []kmsg.ConsumerGroupHeartbeatRequestTopic
	count  int
}

func (m *beater) beat(t testing.TB, c *Coordinator, j *journal, now time.Time) {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.MemberEpoch = 1, "g", m.id, m.epoch
	if q.Topics = m.owned; q.Topics == nil {
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	if m.epoch == 0 {
		q.RebalanceTimeoutMillis, q.SubscribedTopicNames = 60_000, m.topics
	}
	c.ConsumerHeartbeat(now, Client{"c", "/h"}, q, nil, func(a *kmsg.ConsumerGroupHeartbeatResponse) {
		if a.ErrorCode != 0 {
			t.Fatalf("%s: %s %s", m.id, codeName(a.ErrorCode), text(a.ErrorMessage))
		}
		m.epoch = a.MemberEpoch
		if a.Assignment == nil {
			return
		}
		m.owned, m.count = []kmsg.ConsumerGroupHeartbeatRequestTopic{}, 0
		for _, t := range a.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			m.count += len(t.Partitions)
		}
	})
	for len(j.waiting) > 0 {
		j.settle(nil)
	}
}

// TestHundredThousandGroups keeps 100,000 groups that nobody uses: a third hold offsets, a
// third are classic with a member, a third are consumer groups with a member. They take
// less than 200 MiB, and time passes without anybody looking at them.
func TestHundredThousandGroups(t *testing.T) {
	const groups = 100_000
	now := time.UnixMilli(1_000_000)
	before := spent.Heap()
	c := New(Options{InitialDelay: -1, SessionMax: 24 * time.Hour, ConsumerSession: Bounds{24 * time.Hour, 0, 24 * time.Hour}}, silent{})
	c.SetCluster(pictureOf(topicOf("t", 1, 3)))
	c.Loaded(now)
	var built []Record
	for i := range groups {
		built = append(built[:0], idle(i)...)
		for _, r := range built {
			if err := c.Replay(r, now.UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Loaded(now)
	used := spent.Heap() - before
	t.Logf("%d groups take %d MiB, %d bytes each", len(c.groups), used>>20, used/groups)
	if len(c.groups) != groups || used > 200<<20 {
		t.Errorf("%d groups take %d MiB, want %d groups in 200 MiB", len(c.groups), used>>20, groups)
	}
	c.Tick(now.Add(11 * time.Minute)) // the first look after a start
	ticks, begin, end := 0, spent.Processor(t), now.Add(71*time.Minute)
	for next := c.NextTick(); !next.IsZero() && next.Before(end); next = c.NextTick() {
		c.Tick(next)
		ticks++
	}
	took := spent.Processor(t) - begin
	t.Logf("%d ticks of an hour take %v", ticks, took)
	if took > 36*time.Second {
		t.Errorf("%d ticks take %v of an hour, more than 1 %%", ticks, took)
	}
	now = end
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Minute)
		c.Tick(now)
	}); n > 0 {
		t.Errorf("a tick allocates %v times", n)
	}
	runtime.KeepAlive(c)
}

// silent is an Env that takes everything and says nothing.
type silent struct{}

func (silent) Append([]Record, func(error)) {}

func (silent) AppendIn(Transaction, []Record, func(error)) {}

// idle are the records of one group, of the three kinds in turn.
func idle(i int) []Record {
	name := fmt.Sprintf("group-%06d", i)
	var records []Record
	for p := range int32(3) {
		r, _ := offsetRecord(nil, name, "t", p, &committed{offset: 5, epoch: -1, at: 1_000_000, expire: -1})
		records = append(records, r)
	}
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	c := New(Options{InitialDelay: -1, SessionMax: 24 * time.Hour}, j)
	c.SetCluster(pictureOf(topicOf("t", 1, 3)))
	c.Loaded(now)
	switch i % 3 {
	case 1:
		q := kmsg.NewPtrJoinGroupRequest()
		q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = name, consumerType, 86_400_000, 60_000
		q.Protocols = protocols(subscription("t"), "range")
		c.Join(now, Client{"client", "/127.0.0.1"}, 3, q, func() string { return "0b2f9a31-2f33-4c34-8a3c-2d0f3c1f7b11" }, func(a *kmsg.JoinGroupResponse) {
			q.MemberID = a.MemberID
		})
		c.Tick(now)
		s := kmsg.NewPtrSyncGroupRequest()
		s.Version, s.Group, s.MemberID, s.Generation = 3, name, q.MemberID, 1
		s.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: q.MemberID, MemberAssignment: make([]byte, 40)}}
		c.Sync(now, s, func(*kmsg.SyncGroupResponse) {})
	case 2:
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Version, q.Group, q.MemberID, q.RebalanceTimeoutMillis = 1, name, "0b2f9a31-2f33-4c34-8a3c", 60_000
		q.SubscribedTopicNames, q.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		c.ConsumerHeartbeat(now, Client{"client", "/127.0.0.1"}, q, nil, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
	}
	for len(j.waiting) > 0 {
		j.settle(nil)
	}
	return append(records, j.committed...)
}
