package group

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

func TestPatternsAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		fail string
	}{
		"short":                     {`orders-.*|(invoices|bills)-v[0-9]{1,3}`, ""},
		"as long as may be":         {strings.Repeat("orders-2026|", 2730) + "x", ""},
		"a class":                   {`[\p{L}\p{N}._-]{1,249}`, ""},
		"a thousand times":          {`(.?){1000}`, ""},
		"ten times a thousand":      {strings.Repeat(`(.?){1000}`, 10), "too large"},
		"repetitions in each other": {`((abc){30}(d?){30}){30}`, ""},
		"not valid":                 {`(a`, "missing closing"},
		"mended by brackets":        {`a)|(b`, "unexpected )"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, check := range []func(string) error{checkPattern, func(text string) error { _, err := compile(text); return err }} {
				err := check(test.text)
				if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
					t.Errorf("%v, want %q", err, test.fail)
				}
			}
		})
	}
}

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

func TestBreadth(t *testing.T) {
	for text, want := range map[string]int{
		`orders`: 1, `orders-.*`: 3, `.*orders`: 8, `a|bc|de`: 3, `(.?){1000}`: 2001, `[a-z]+-v[0-9]`: 5,
	} {
		parsed, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := breadth(parsed, false); n != want {
			t.Errorf("%s: %d, want %d", text, n, want)
		}
	}
}
