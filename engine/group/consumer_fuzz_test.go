package group

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// FuzzReplayConsumer starts a coordinator from any records: whatever a log says, it comes
// up, with its invariants, serves the members that it found, and lets them go.
func FuzzReplayConsumer(f *testing.F) {
	w := &stage{j: &journal{}, now: time.UnixMilli(5_000_000)}
	w.c = New(Options{InitialDelay: -1}, w.j)
	w.c.SetCluster(pictureOf(topicOf("t", 1, 6)))
	w.c.Loaded(w.now)
	w.trio()
	f.Add(pack(w.j.committed))
	f.Add(pack(w.j.committed[:7]))
	fuzz.Run(f, func(t *testing.T, p []byte) {
		j := &journal{}
		now := time.UnixMilli(1_000_000)
		c := New(Options{}, j)
		c.SetCluster(pictureOf(topicOf("t", 1, 6)))
		for _, r := range unpack(p) {
			_ = c.Replay(r, 1_000_000) // what cannot be read is passed over
		}
		c.Loaded(now)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		for _, g := range c.sorted() {
			if g.consumer == nil {
				continue
			}
			for _, m := range g.consumer.sorted() {
				q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
				q.Version, q.Group, q.MemberID, q.MemberEpoch, q.InstanceID = 1, g.name, m.id, m.epoch, m.instance
				c.ConsumerHeartbeat(now, Client{}, q, nil, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
			}
			c.ConsumerDescribe(now, g.name, func(*kmsg.ConsumerGroupDescribeResponseGroup) {})
		}
		for len(j.waiting) > 0 {
			j.settle(nil)
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		for now = now.Add(time.Hour); len(j.waiting) > 0; j.settle(nil) {
		}
		c.Tick(now)
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// pack and unpack put records into one run of bytes: lengths of a byte, 255 for a tombstone.
func pack(records []Record) (p []byte) {
	for _, r := range records {
		if len(r.Key) > 254 || len(r.Value) > 254 {
			continue
		}
		p = append(append(p, byte(len(r.Key))), r.Key...)
		if r.Value == nil {
			p = append(p, 255)
			continue
		}
		p = append(append(p, byte(len(r.Value))), r.Value...)
	}
	return p
}

func unpack(p []byte) (records []Record) {
	take := func() ([]byte, bool) {
		if len(p) == 0 || p[0] == 255 || int(p[0]) > len(p)-1 {
			tombstone := len(p) > 0 && p[0] == 255
			p = p[min(len(p), 1):]
			return nil, tombstone
		}
		b := p[1 : 1+int(p[0])]
		p = p[1+int(p[0]):]
		return b, true
	}
	for len(p) > 0 {
		key, ok := take()
		if !ok || key == nil {
			return records
		}
		value, ok := take()
		if !ok {
			return records
		}
		records = append(records, Record{key, value})
	}
	return records
}
