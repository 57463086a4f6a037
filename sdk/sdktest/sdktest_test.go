package sdktest

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// listener hears what the suite would have failed with.
type listener struct {
	sync.Mutex
	heard []string
}

func (l *listener) Helper() {}
func (l *listener) Errorf(format string, arguments ...any) {
	l.Lock()
	defer l.Unlock()
	l.heard = append(l.heard, fmt.Sprintf(format, arguments...))
}
func (l *listener) Fatalf(format string, arguments ...any) { l.Errorf(format, arguments...) }

// one is an interceptor of a function.
type one struct {
	sdk.Nop
	f func(b *sdk.Batch) error
}

func (o *one) OnProduce(b *sdk.Batch) error { return o.f(b) }

func making(f func(b *sdk.Batch) error) func(sdk.Config) (sdk.Interceptor, error) {
	return func(sdk.Config) (sdk.Interceptor, error) { return &one{f: f}, nil }
}

func upper(b *sdk.Batch) error {
	for i, v := range b.All() {
		switch {
		case v.Value == nil:
			b.Drop(i)
		case len(v.Value) < 1000:
			up := b.Alloc(len(v.Value))
			for n, c := range v.Value {
				up[n] = c &^ 0x20
			}
			b.SetValue(i, up)
		}
	}
	return nil
}

func TestAGoodPluginPasses(t *testing.T) {
	Interceptor(t, Subject{New: making(upper), Allocations: 20})
}

func TestWhatTheSuiteFinds(t *testing.T) {
	calls := 0
	for want, f := range map[string]func(b *sdk.Batch) error{
		"it panics": func(b *sdk.Batch) error {
			for _, v := range b.All() {
				_ = v.Value[0]
			}
			return nil
		},
		"that saw the same batches answer": func(b *sdk.Batch) error {
			if calls++; calls%3 == 0 {
				b.DropAll()
			}
			return nil
		},
		"it writes to records": func(b *sdk.Batch) error {
			for i, v := range b.All() {
				if len(v.Value) > 0 {
					v.Value[0]++
					b.SetValue(i, v.Value)
				}
			}
			return nil
		},
		"a host refuses it": func(b *sdk.Batch) error {
			b.Route(0, "")
			return nil
		},
		"without a reason": func(b *sdk.Batch) error {
			b.Fail(0, "")
			return nil
		},
		"it routes record 0": func(b *sdk.Batch) error {
			b.Route(0, b.Topic)
			return nil
		},
		"broken today": func(*sdk.Batch) error { return errors.New("broken today") },
	} {
		t.Run(want, func(t *testing.T) {
			var l listener
			checkBatches(&l, Subject{New: making(f)})
			if all := strings.Join(l.heard, "\n"); !strings.Contains(all, want) {
				t.Errorf("the suite found %.300q", all)
			}
		})
	}
	var l listener
	checkAllocations(&l, Subject{New: making(func(b *sdk.Batch) error {
		for i, v := range b.All() {
			b.SetValue(i, append([]byte("x"), v.Value...))
		}
		return nil
	})})
	if len(l.heard) != 1 && !raceEnabled {
		t.Errorf("a plugin that allocates for each record: %q", l.heard)
	}
	l.heard = nil
	checkSettings(&l, Subject{New: func(c sdk.Config) (sdk.Interceptor, error) {
		c.Below("")
		return sdk.Nop{}, nil
	}})
	if len(l.heard) != 1 {
		t.Errorf("a plugin that takes any setting: %q", l.heard)
	}
}

func TestGoldensAreWhole(t *testing.T) {
	seen := make(map[string]bool)
	codecs, transactional := make(map[batch.Codec]bool), 0
	for _, g := range Goldens() {
		if err := g.Batch.Check(); err != nil || seen[g.Name] {
			t.Errorf("%s is there twice, or %v", g.Name, err)
		}
		seen[g.Name] = true
		codecs[g.Batch.Codec()] = true
		if g.Batch.Transactional() {
			transactional++
		}
		if _, _, err := open(g); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
	}
	if len(codecs) != 5 || transactional < 5 {
		t.Errorf("there are %d codecs and %d transactional batches", len(codecs), transactional)
	}
}

// hashed is a partitioner, and what may be wrong with one.
type hashed struct{ add int32 }

func (h *hashed) Partition(p *sdk.Placement) int32 {
	sum := fnv.New32a()
	_, _ = sum.Write(p.Key)
	return int32(sum.Sum32()%uint32(p.Partitions)) + h.add
}

type counting struct{ n int32 }

func (c *counting) Partition(p *sdk.Placement) int32 {
	if len(p.Available) == 5 {
		return 0 // called by many
	}
	c.n++
	return c.n % p.Partitions
}

func TestPartitioners(t *testing.T) {
	Partitioner(t, func() sdk.Partitioner { return &hashed{} }, PartitionerOptions{ByKey: true})
	var l listener
	Partitioner(&l, func() sdk.Partitioner { return &hashed{add: 1} }, PartitionerOptions{})
	if len(l.heard) == 0 {
		t.Error("a partition that does not exist was not found")
	}
	l.heard = nil
	Partitioner(&l, func() sdk.Partitioner { return &counting{} }, PartitionerOptions{ByKey: true})
	if len(l.heard) == 0 || !strings.Contains(l.heard[0], "then") {
		t.Errorf("a partitioner that does not go by the key: %q", l.heard)
	}
}

// text is a serializer of strings, and what may be wrong with one.
type text struct{ forgets, keeps, panics bool }

func (s *text) Append(dst []byte, _ string, _ *[]sdk.Header, v string) ([]byte, error) {
	if s.forgets {
		dst = dst[:0]
	}
	return append(dst, v...), nil
}

func (s *text) Decode(_ string, _ []sdk.Header, p []byte) (string, error) {
	if s.panics && bytes.Contains(p, []byte{0xff}) {
		panic("no text")
	}
	if s.keeps && len(p) > 0 {
		p[0]++
	}
	return string(p), nil
}

func TestSerializers(t *testing.T) {
	Serializer(t, &text{}, &text{}, "", "a", "some text")
	for _, wrong := range []*text{{forgets: true}, {keeps: true}, {panics: true}} {
		var l listener
		Serializer(&l, wrong, wrong, "a", "some text")
		if len(l.heard) == 0 {
			t.Errorf("%+v was not found", *wrong)
		}
	}
}

// lists are read a value at a time.
type lists struct{}

func (lists) Append(dst []byte, _ string, _ *[]sdk.Header, v []*byte) ([]byte, error) {
	for _, b := range v {
		dst = append(dst, *b)
	}
	return dst, nil
}

func (lists) Decode(_ string, _ []sdk.Header, p []byte) ([]*byte, error) {
	all := make([]*byte, 0, len(p))
	for _, b := range p {
		all = append(all, new(b))
	}
	return all, nil
}

// A large value takes what its author says that it takes.
func TestASerializerOfLargeValues(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are not counted")
	}
	large := make([]*byte, 100)
	for i := range large {
		large[i] = new(byte(i))
	}
	for allocations, right := range map[float64]bool{0: false, 90: false, 200: true} {
		var l listener
		SerializerWith(&l, SerializerOptions{Allocations: allocations}, lists{}, lists{}, large)
		if (len(l.heard) == 0) != right {
			t.Errorf("with %v allocations it heard %q", allocations, l.heard)
		}
	}
}

// A module that is another plugin than the native one is found out in a client, too.
func TestTheSuiteComparesBrokersWithClients(t *testing.T) {
	s := Subject{New: making(upper)}
	var same, other listener
	checkClient(&same, s, s.native)
	checkClient(&other, s, func() (sdk.Interceptor, error) { return sdk.Nop{}, nil })
	if len(same.heard) > 0 || len(other.heard) == 0 || !strings.Contains(other.heard[0], "a client leaves") {
		t.Errorf("heard is %q of the same, %q of another plugin", same.heard, other.heard)
	}
}
