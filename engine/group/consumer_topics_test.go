package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// TestALargePatternTakesManyHeartbeats: each letter of each name may have to be tried with all of it, and others wait
// for the same shard.
func TestALargePatternTakesManyHeartbeats(t *testing.T) {
	j := &journal{}
	now := time.UnixMilli(1_000_000)
	var topics []Topic
	for i := range 70 {
		topics = append(topics, topicOf(fmt.Sprintf("%s-%04d", strings.Repeat("t", 240), i), i+1, 1))
	}
	c := j.replayedIn(t, Options{}, now, pictureOf(topics...))
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.RebalanceTimeoutMillis = 1, "g", "m", 1000
	q.SubscribedTopicRegex, q.Topics = kmsg.StringPtr(`(.?){500}`), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	turns := 0
	for epoch := int32(0); ; now = now.Add(2 * time.Second) {
		turns++
		began := spent.Processor(t)
		c.ConsumerHeartbeat(now, Client{}, q, nil, func(a *kmsg.ConsumerGroupHeartbeatResponse) {
			if a.ErrorCode != 0 {
				t.Fatal(codeName(a.ErrorCode))
			}
			epoch = a.MemberEpoch
		})
		for len(j.waiting) > 0 {
			j.settle(nil)
		}
		if took := spent.Processor(t) - began; took > 3*time.Second {
			t.Fatalf("a heartbeat took %v", took)
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if len(c.groups["g"].consumer.members["m"].assigned) == len(topics) {
			break
		}
		if turns > 50 {
			t.Fatalf("%d topics are assigned after %d heartbeats", len(c.groups["g"].consumer.members["m"].assigned), turns)
		}
		q = kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Version, q.Group, q.MemberID, q.MemberEpoch = 1, "g", "m", epoch
	}
	if turns < 3 {
		t.Errorf("%d heartbeats were enough", turns)
	}
}
