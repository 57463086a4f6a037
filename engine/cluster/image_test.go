package cluster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// drawn gives ids that differ and are the same in every run.
func drawn(random *rand.Rand) func() ID {
	return func() ID {
		return NewID(func() (b [16]byte) {
			binary.LittleEndian.PutUint64(b[:], random.Uint64())
			binary.LittleEndian.PutUint64(b[8:], random.Uint64())
			return b
		})
	}
}

func apply(t testing.TB, i *Image, records []Record) *Image {
	t.Helper()
	next, err := i.Apply(records)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// withTopics is a cluster of one broker with topics of one partition each.
func withTopics(t testing.TB, topics int) *Image {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	i := apply(t, Empty(), Found("MkU3OEVBNTcwNTJENDM2Qg"))
	records, _, refused := RegisterBroker(i, Broker{ID: 1, Host: "localhost", Port: 9092, Directories: []ID{{1}}, Incarnation: ID{9}})
	if refused != nil {
		t.Fatal(refused)
	}
	i = apply(t, i, records)
	for first := 0; first < topics; first += 1000 {
		n := NewTopics{NewID: drawn(random)}
		for k := first; k < min(first+1000, topics); k++ {
			n.Topics = append(n.Topics, kmsg.CreateTopicsRequestTopic{
				Topic: fmt.Sprintf("topic.%05d", k), NumPartitions: 1, ReplicationFactor: 1,
			})
		}
		records, _ := CreateTopics(i, n)
		i = apply(t, i, records)
	}
	return i
}

// TestRandomHistory makes changes at random and holds every image against a plain model
// and against the image that its own records make.
func TestRandomHistory(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	newID := drawn(random)
	i := withTopics(t, 0)
	model := map[string]int{} // partitions by topic
	for step := range 2000 {
		before, size := i, i.TopicCount()
		name := fmt.Sprintf("t.%d", random.IntN(200))
		var records []Record
		switch random.IntN(4) {
		case 0, 1:
			count := 1 + random.Int32N(4)
			made, answers := CreateTopics(i, NewTopics{NewID: newID, Topics: []kmsg.CreateTopicsRequestTopic{
				{Topic: name, NumPartitions: count, ReplicationFactor: 1},
			}})
			if answers[0].Refusal == nil {
				model[name] = int(count)
			}
			records = made
		case 2:
			made, answers := DeleteTopics(i, []TopicRef{{Name: &name}})
			if answers[0].Refusal == nil {
				delete(model, name)
			}
			records = made
		case 3:
			count := 1 + random.Int32N(9)
			made, answers := CreatePartitions(i, []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: count}}, nil)
			if answers[0].Refusal == nil {
				model[name] = int(count)
			}
			records = made
		}
		i = apply(t, i, records)
		if before.TopicCount() != size {
			t.Fatalf("step %d: the image before has %d topics, had %d", step, before.TopicCount(), size)
		}
		if step%100 > 0 {
			continue
		}
		verify(t, i, model)
	}
}

func verify(t *testing.T, i *Image, model map[string]int) {
	t.Helper()
	if err := i.Check(); err != nil {
		t.Fatal(err)
	}
	if i.TopicCount() != len(model) {
		t.Fatalf("%d topics, want %d", i.TopicCount(), len(model))
	}
	for name, partitions := range model {
		if topic := i.Topic(name); topic == nil || len(topic.Partitions) != partitions {
			t.Fatalf("topic %s is %+v, want %d partitions", name, topic, partitions)
		}
	}
	parsed, err := Parse(Append(nil, i.Records()))
	if err != nil {
		t.Fatal(err)
	}
	again := apply(t, Empty(), parsed)
	if err := again.Check(); err != nil {
		t.Fatalf("after a snapshot: %v", err)
	}
	if !reflect.DeepEqual(again.Records(), i.Records()) {
		t.Fatal("an image and the image made from its records differ")
	}
}

func TestCheckFinds(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Image)
		fail  string
	}{
		"a topic that its id does not find": {
			func(i *Image) { i.ids = table[ID, *Topic]{} },
			`topic "topic.00000" with id EPXuVoalRcSs7H0HrcPOnQ is not what is found by its name or its id`,
		},
		"a leader that is not in sync": {
			func(i *Image) { i.Topics()[1].Partitions[0].ISR = nil },
			`partition 0 of topic "topic.00001": leader 1 is not in sync []`,
		},
		"wrong counts": {
			func(i *Image) { i.partitions++ },
			"counted 3 names, 3 ids, 4 partitions; there are 3 topics with 3 partitions",
		},
		"wrong directories": {
			func(i *Image) { i.placed[ID{1}]++ },
			"replicas by directory are map[AQAAAAAAAAAAAAAAAAAAAA:3], counted as map[AQAAAAAAAAAAAAAAAAAAAA:4]",
		},
		"a collision that is not known": {
			func(i *Image) { i.unified = table[string, []string]{} },
			"",
		},
		"a broker epoch from the future": {
			func(i *Image) { i.lastEpoch = 0 },
			"broker 1 is known as 1 and has epoch 1 of 0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := withTopics(t, 3)
			test.spoil(i)
			err := i.Check()
			if err == nil || test.fail != "" && err.Error() != test.fail {
				t.Fatalf("got %v, want %q", err, test.fail)
			}
		})
	}
}

func TestTopicsAreSortedAndFound(t *testing.T) {
	i := withTopics(t, 5000)
	topics := i.Topics()
	if !slices.IsSortedFunc(topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) }) || len(topics) != 5000 {
		t.Fatalf("%d topics, not in order", len(topics))
	}
	for n, topic := range topics {
		if name := fmt.Sprintf("topic.%05d", n); topic.Name != name || i.Topic(name) != topic || i.TopicByID(topic.ID) != topic {
			t.Fatalf("topic %d is %s", n, topic.Name)
		}
	}
	if i.Topic("topic.5000") != nil || i.TopicByID(ID{}) != nil {
		t.Fatal("found a topic that is not there")
	}
}

// TestListAgainstPlainSlice puts names in and out in an order that splits chunks and
// empties them, and looks at every list that was published on the way.
func TestListAgainstPlainSlice(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var published list
	var plain []string
	for round := range 60 {
		e := listEdit{list: published}
		before := names(published.all(0))
		for range random.IntN(200) {
			name := fmt.Sprintf("%03d", random.IntN(900))
			at, found := slices.BinarySearch(plain, name)
			switch {
			case round%3 == 2 && found:
				plain = slices.Delete(plain, at, at+1)
				e.remove(name)
			case round%3 == 2:
				e.remove(name)
			case !found:
				plain = slices.Insert(plain, at, name)
				e.set(&Topic{Name: name})
			default:
				e.set(&Topic{Name: name})
			}
		}
		if after := names(published.all(0)); !slices.Equal(before, after) {
			t.Fatalf("round %d changed a published list", round)
		}
		published = e.list
		if got := names(published.all(0)); !slices.Equal(got, plain) {
			t.Fatalf("round %d: list is %v, want %v", round, got, plain)
		}
	}
}

func names(topics []*Topic) []string {
	var names []string
	for _, topic := range topics {
		names = append(names, topic.Name)
	}
	return names
}

// TestSinceSkipsWhatIsShared shows that a comparison after one change does not look at
// every topic.
func TestSinceSkipsWhatIsShared(t *testing.T) {
	before := withTopics(t, 10_000)
	name := "topic.00042"
	records, _ := DeleteTopics(before, []TopicRef{{Name: &name}})
	after := apply(t, before, records)
	shared := 0
	for n := range shardCount {
		if before.ids.shard(n) == after.ids.shard(n) {
			shared++
		}
	}
	if shared != shardCount-1 {
		t.Fatalf("%d shards are shared, want all but one", shared)
	}
	if d := after.Since(before); len(d.Deleted) != 1 || len(d.Created)+len(d.Changed) != 0 {
		t.Fatalf("got %+v", d)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	i := withTopics(t, 100)
	id := i.Topic("topic.00007").ID
	if n := testing.AllocsPerRun(100, func() {
		if i.Topic("topic.00007") == nil || i.TopicByID(id) == nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Fatalf("a look-up allocates %v times, want 0", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	i := withTopics(b, 10_000)
	for b.Loop() {
		if i.Topic("topic.00007") == nil {
			b.Fatal("not found")
		}
	}
}

// BenchmarkCreateOne creates one topic beside 10,000: what a change costs in memory copied.
func BenchmarkCreateOne(b *testing.B) {
	i := withTopics(b, 10_000)
	newID := drawn(rand.New(rand.NewPCG(3, 4)))
	topics := []kmsg.CreateTopicsRequestTopic{{Topic: "one-more", NumPartitions: 1, ReplicationFactor: 1}}
	b.ReportAllocs()
	for b.Loop() {
		records, _ := CreateTopics(i, NewTopics{NewID: newID, Topics: topics})
		apply(b, i, records)
	}
}

// BenchmarkParse reads the records of 10,000 topics.
func BenchmarkParse(b *testing.B) {
	text := Append(nil, withTopics(b, 10_000).Records())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		records, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		apply(b, Empty(), records)
	}
}
