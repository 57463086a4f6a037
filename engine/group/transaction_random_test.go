package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRandomTransactions commits offsets within transactions and outside of them, deletes them
// and ends transactions in any order, and compares what counts and what is unstable with
// the log read record by record; a coordinator that starts from the log must agree.
func TestRandomTransactions(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &ledger{t: t, r: rand.New(rand.NewPCG(seed, 11)), j: &journal{}, now: time.UnixMilli(1_000_000)}
			l.c = l.j.replayed(t, Options{}, l.now)
			for range 150 {
				l.step()
				l.compare(l.c)
			}
			for len(l.j.waiting) > 0 {
				l.settle()
			}
			l.compare(l.c)
			l.compare(l.j.replayed(t, Options{}, l.now))
			for producer := range int64(3) {
				l.j.end(l.c, producer, l.r.IntN(2) == 0)
			}
			l.compare(l.c)
			l.compare(l.j.replayed(t, Options{}, l.now))
			if len(l.c.pending) > 0 {
				t.Errorf("%d producers wait after all have ended", len(l.c.pending))
			}
		})
	}
}

// ledger is one random run.
type ledger struct {
	t   *testing.T
	r   *rand.Rand
	c   *Coordinator
	j   *journal
	now time.Time
}

func (l *ledger) step() {
	name := []string{"g", "h"}[l.r.IntN(2)]
	producer := int64(l.r.IntN(3))
	switch n := l.r.IntN(100); {
	case n < 35:
		l.c.CommitIn(l.now, Transaction{ID: "x", ProducerID: producer}, l.offsets(name), func(*kmsg.OffsetCommitResponse) {})
	case n < 42:
		l.c.Commit(l.now, l.offsets(name), func(*kmsg.OffsetCommitResponse) {})
	case n < 75:
		if len(l.j.waiting) > 0 {
			l.settle()
		}
	case n < 79:
		l.j.end(l.c, producer, l.r.IntN(2) == 0)
	case n < 81:
		l.c.Delete(l.now, name, func(*kmsg.DeleteGroupsResponseGroup) {})
	case n < 83:
		l.c.DropTopic(l.now, "t", nil)
	default:
		q := kmsg.NewPtrOffsetDeleteRequest()
		q.Group = name
		q.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "u", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: int32(l.r.IntN(12))}}}}
		l.c.DeleteOffsets(l.now, q, func(*kmsg.OffsetDeleteResponse) {})
	}
	if err := l.c.Check(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ledger) settle() {
	var err error
	if l.r.IntN(8) == 0 {
		err = kerr.NotEnoughReplicas
	}
	l.j.settle(err)
}

// offsets are a few of one group; the same may be among them twice.
func (l *ledger) offsets(group string) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.Generation = 9, group, -1
	for range 1 + l.r.IntN(6) {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = int32(l.r.IntN(12)), int64(l.r.IntN(1_000_000))
		q.Topics = append(q.Topics, kmsg.OffsetCommitRequestTopic{Topic: []string{"t", "u"}[l.r.IntN(2)], Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return q
}

// said is a record of an offset in the log.
type said struct {
	key      string
	offset   int64
	position int
}

// truth reads the log: which offsets count, and how many of a transaction wait.
func (l *ledger) truth() (counts map[string]said, waiting map[int64][]said) {
	counts, waiting = map[string]said{}, map[int64][]said{}
	for i, r := range l.j.committed {
		if r.Key == nil {
			producer := int64(r.Value[0])
			for _, s := range waiting[producer] {
				if last, ok := counts[s.key]; r.Value[1] == 1 && (!ok || last.position < s.position) {
					counts[s.key] = s
				}
			}
			delete(waiting, producer)
			continue
		}
		var k kmsg.OffsetCommitKey
		if r.Key[1] != keyOffset || k.ReadFrom(r.Key) != nil {
			continue
		}
		s := said{key: fmt.Sprintf("%s/%s-%d", k.Group, k.Topic, k.Partition), position: i}
		if r.Value == nil {
			delete(counts, s.key)
			for producer, all := range waiting {
				var left []said
				for _, other := range all {
					if other.key != s.key {
						left = append(left, other)
					}
				}
				waiting[producer] = left
			}
			continue
		}
		var v kmsg.OffsetCommitValue
		must(v.ReadFrom(r.Value))
		s.offset = v.Offset
		if producer, ok := l.j.within[&r.Key[0]]; ok {
			waiting[producer] = append(waiting[producer], s)
		} else {
			counts[s.key] = s
		}
	}
	return counts, waiting
}

func (l *ledger) compare(c *Coordinator) {
	l.t.Helper()
	counts, waiting := l.truth()
	want, got := map[string]int64{}, map[string]int64{}
	for key, s := range counts {
		want[key] = s.offset
	}
	wantWaiting, gotWaiting := map[string]int32{}, map[string]int32{}
	for producer, all := range waiting {
		for _, s := range all {
			wantWaiting[fmt.Sprint(producer, " ", s.key)]++
		}
	}
	for _, g := range c.sorted() {
		for _, topic := range g.sortedTopics() {
			for _, p := range topic.sorted() {
				if v := g.committed(topic.name, p); v != nil {
					got[fmt.Sprintf("%s/%s-%d", g.name, topic.name, p)] = v.offset
				}
			}
		}
	}
	for producer, all := range c.pending {
		for at, w := range all.each {
			gotWaiting[fmt.Sprintf("%d %s/%s-%d", producer, at.group, at.topic.name, at.partition)] += w.count
		}
	}
	if !maps.Equal(want, got) || !maps.Equal(wantWaiting, gotWaiting) {
		l.t.Fatalf("committed %v, the log says %v; pending %v, the log says %v", got, want, gotWaiting, wantWaiting)
	}
}
