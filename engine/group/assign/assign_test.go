package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/spent"
)

func id(n int) (out ID) {
	out[14], out[15] = byte(n>>8), byte(n)
	return out
}

// random returns a group; alike ones subscribe to all topics.
func random(r *rand.Rand, alike bool) *Group {
	g := &Group{}
	for t := range 1 + r.IntN(6) {
		g.Topics = append(g.Topics, Source{id(t + 1), r.IntN(9)})
	}
	for m := range 1 + r.IntN(7) {
		member := Member{ID: fmt.Sprintf("m%02d", m)}
		for t := range g.Topics {
			if alike || r.IntN(3) > 0 {
				member.Topics = append(member.Topics, t)
			}
		}
		if r.IntN(3) == 0 {
			name := fmt.Sprint("i", r.IntN(5), m)
			member.Instance = &name
		}
		g.Members = append(g.Members, member)
	}
	return g
}

// check is what every assignor promises.
func check(t *testing.T, g *Group, out []Assignment) {
	t.Helper()
	for topic, source := range g.Topics {
		wanted := len(g.subscribers()[topic]) > 0
		for p := range source.Partitions {
			owners := 0
			for m := range out {
				if !out[m].Has(source.ID, int32(p)) {
					continue
				}
				if owners++; !slices.Contains(g.Members[m].Topics, topic) {
					t.Fatalf("%s does not subscribe to topic %d and gets it", g.Members[m].ID, topic)
				}
			}
			if wanted && owners != 1 || !wanted && owners != 0 {
				t.Fatalf("partition %d of topic %d, wanted %t, has %d owners", p, topic, wanted, owners)
			}
		}
	}
	total, want := 0, 0
	for m := range out {
		if !slices.IsSortedFunc(out[m], func(a, b Topic) int { return slices.Compare(a.ID[:], b.ID[:]) }) {
			t.Fatalf("topics of %s are not in order", g.Members[m].ID)
		}
		total += out[m].Count()
	}
	for topic, s := range g.subscribers() {
		if len(s) > 0 {
			want += g.Topics[topic].Partitions
		}
	}
	if total != want {
		t.Fatalf("%d partitions are assigned, want %d", total, want)
	}
}

func TestEveryPartitionHasOneSubscriber(t *testing.T) {
	for name, assignor := range map[string]Assignor{"uniform": Uniform, "range": Range} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for i := range 3000 {
				g := random(r, i%2 == 0)
				for range 4 { // members come and go, topics change, and what was before counts
					out := assignor(g)
					check(t, g, out)
					if again := assignor(g); !slices.EqualFunc(out, again, Assignment.Same) {
						t.Fatal("the same group was assigned otherwise")
					}
					g = changed(r, g, out, i%2 == 0)
				}
			}
		})
	}
}

// changed is g after something happened to it.
func changed(r *rand.Rand, g *Group, had []Assignment, alike bool) *Group {
	next := random(r, alike)
	for i := range next.Members {
		if i < len(had) && r.IntN(4) > 0 {
			next.Members[i].Had = had[i]
		}
	}
	if r.IntN(2) == 0 && len(next.Members) > 1 { // two that claim the same
		next.Members[1].Had = next.Members[0].Had
	}
	_ = g
	return next
}

func TestUniformIsBalanced(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 3000 {
		alike := i%2 == 0
		g := random(r, alike)
		out := Uniform(g)
		for range 3 {
			for a := range out {
				for b := range out {
					if out[a].Count()-out[b].Count() < 2 {
						continue
					}
					for _, topic := range out[a] {
						if slices.Contains(g.Members[b].Topics, g.topic(topic.ID)) {
							t.Fatalf("%d and %d partitions, and topic %x could move", out[a].Count(), out[b].Count(), topic.ID)
						}
					}
				}
			}
			g = changed(r, g, out, alike)
			out = Uniform(g)
		}
	}
}

// Members of one mind: nothing moves that need not.
func TestUniformMovesAsLittleAsPossible(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		g := random(r, true)
		out := Uniform(g)
		if again := Uniform(having(g, out)); !slices.EqualFunc(out, again, Assignment.Same) {
			t.Fatal("partitions moved and nothing had changed")
		}
		// One comes: it gets its share, and each that moves goes to it.
		more := having(g, out)
		more.Members = append(more.Members, Member{ID: "z", Topics: g.Members[0].Topics})
		after := Uniform(more)
		check(t, more, after)
		for m := range out {
			if !after[m].Within(out[m]) {
				t.Fatalf("%s got something when a member came", g.Members[m].ID)
			}
		}
		// One leaves: those who stay keep all they had.
		if len(g.Members) < 2 {
			continue
		}
		fewer := having(g, out)
		fewer.Members = fewer.Members[1:]
		for m, a := range Uniform(fewer) {
			if !out[m+1].Within(a) {
				t.Fatalf("%s lost something when a member left", fewer.Members[m].ID)
			}
		}
	}
}

func having(g *Group, had []Assignment) *Group {
	next := &Group{Topics: g.Topics, Members: slices.Clone(g.Members)}
	for i := range next.Members {
		next.Members[i].Had = had[i]
	}
	return next
}

func TestRange(t *testing.T) {
	one, two := "a", "b"
	g := &Group{
		Topics: []Source{{id(1), 3}, {id(2), 3}},
		Members: []Member{
			{ID: "m1", Topics: []int{0, 1}, Instance: &two},
			{ID: "m2", Topics: []int{0, 1}, Instance: &one},
		},
	}
	out := Range(g)
	want := []Assignment{
		{{ID: id(1), Partitions: []int32{2}}, {ID: id(2), Partitions: []int32{2}}},
		{{ID: id(1), Partitions: []int32{0, 1}}, {ID: id(2), Partitions: []int32{0, 1}}},
	}
	if !slices.EqualFunc(out, want, Assignment.Same) {
		t.Fatalf("got %v, want %v: topics of one size meet, instances in order", out, want)
	}
}

func TestSets(t *testing.T) {
	a := Of([]Topic{{ID: id(2), Partitions: []int32{3, 1, 1}}, {ID: id(1)}, {ID: id(2), Partitions: []int32{2}}})
	if len(a) != 1 || !slices.Equal(a[0].Partitions, []int32{1, 2, 3}) {
		t.Fatalf("sorted to %v", a)
	}
	since := a.Since(7)
	b := Of([]Topic{{ID: id(2), Partitions: []int32{5, 2}, Epochs: []int32{50, 20}}, {ID: id(3), Partitions: []int32{0}}})
	both := since.Plus(b)
	for p, want := range map[int32]int32{1: 7, 2: 7, 3: 7, 5: 50} {
		if epoch, ok := both.Epoch(id(2), p); !ok || epoch != want {
			t.Errorf("partition %d is there: %t, since %d, want %d", p, ok, epoch, want)
		}
	}
	if both.Count() != 5 || !a.Within(both) || both.Within(a) || !both.And(a).Same(a) {
		t.Errorf("union is %v", both)
	}
	if rest := both.Minus(a); rest.Count() != 2 || rest.Has(id(2), 1) || !rest.Has(id(3), 0) {
		t.Errorf("rest is %v", rest)
	}
}

// A thousand members, ten thousand partitions, different wishes: within a second of a processor. The bound is
// for the race detector on a machine that is overrun; what is quadratic takes minutes.
func TestUniformOfThousand(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	g := &Group{}
	for topic := range 100 {
		g.Topics = append(g.Topics, Source{id(topic), 100})
	}
	for m := range 1000 {
		member := Member{ID: fmt.Sprintf("m%04d", m)}
		for topic := range g.Topics {
			if r.IntN(4) > 0 {
				member.Topics = append(member.Topics, topic)
			}
		}
		g.Members = append(g.Members, member)
	}
	begin := spent.Processor(t)
	check(t, g, Uniform(g))
	if took := spent.Processor(t) - begin; took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func BenchmarkUniform(b *testing.B) {
	g := &Group{Topics: []Source{{id(1), 10_000}}}
	for m := range 1000 {
		g.Members = append(g.Members, Member{ID: fmt.Sprintf("m%04d", m), Topics: []int{0}})
	}
	g = having(g, Uniform(g))
	b.ReportAllocs()
	for b.Loop() {
		Uniform(g)
	}
}
