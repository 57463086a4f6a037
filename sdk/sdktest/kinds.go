package sdktest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
)

// PartitionerSubject is a partitioner that is also a WebAssembly module.
type PartitionerSubject struct {
	// New makes one, as the function that a plugin registers.
	New func(c sdk.Config) (sdk.Partitioner, error)
	// Config is its settings.
	Config map[string]string
	// Module is the file of the same plugin as a WASM module.
	Module string
	// Limits are settings of the plugin "wasm" for it, such as memory.max.
	Limits map[string]string
}

// SerializerSubject is a serializer, and the deserializer of the same name, that are also a
// WebAssembly module.
type SerializerSubject[V any] struct {
	// Name is what they are registered under.
	Name string
	// Config, Module and Limits are as in PartitionerSubject.
	Config map[string]string
	Module string
	Limits map[string]string
	// Allocations is as in SerializerOptions, of the native one.
	Allocations float64
}

// AssignorSubject is an assignor. Its fields are as in PartitionerSubject; without a Module
// only the native one is looked at.
type AssignorSubject struct {
	New    func(c sdk.Config) (sdk.Assignor, error)
	Config map[string]string
	Module string
	Limits map[string]string
}

// starving are limits under which no module can do anything.
var starving = map[string]string{"fuel": "1", "fuel.per.kib": "0"}

// PartitionerModule compares a module with the native partitioner: the same records and full
// batches must lead to the same partitions, in the same order. Then it takes away what the
// module needs.
func PartitionerModule(t *testing.T, s PartitionerSubject) {
	t.Helper()
	comparePartitioners(t, s)
}

func comparePartitioners(t T, s PartitionerSubject) {
	t.Helper()
	native, err := made(s.New, s.Config)
	if err != nil {
		t.Fatalf("make the partitioner: %v", err)
		return
	}
	module, err := sdk.Partitioners.New("wasm", config(t, s.Module, s.Config, s.Limits, nil))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	chooser, ok := module.(sdk.Chooser)
	if !ok {
		t.Fatalf("the module is a %T, which cannot tell errors", module)
		return
	}
	for n, at := range placements() {
		want := native.Partition(at)
		got, err := chooser.Choose(at)
		if err != nil || got != want {
			t.Errorf("placement %d, %d partitions, key %.20q: the module chooses %d and the native partitioner %d: %v", n, at.Partitions, at.Key, got, want, err)
			return
		}
		if n%5 == 4 {
			for _, p := range []sdk.Partitioner{native, module} {
				if l, ok := p.(sdk.BatchListener); ok {
					l.OnNewBatch(at.Topic, want)
				}
			}
		}
	}
	starved, err := sdk.Partitioners.New("wasm", config(t, s.Module, s.Config, s.Limits, starving))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(starved)
	for range 3 {
		if got, err := starved.(sdk.Chooser).Choose(placement(bytes.Repeat([]byte("k"), 1000), 64, 64)); !errors.Is(err, wasm.ErrFuel) {
			t.Errorf("the module without fuel chose %d, %v", got, err)
		}
	}
	noMemory(t, func(c sdk.Config) (any, error) { return sdk.Partitioners.New("wasm", c) }, s.Module, s.Config)
	at := placement([]byte("a key"), 64, 64)
	checkTrouble(t, "the partitioner", module, true, func() (string, error) {
		n, err := chooser.Choose(at)
		return fmt.Sprint(n), err
	})
	checkBudget(t, "choosing a partition natively", 0, func() { _ = native.Partition(at) })
}

// placements are records of every shape.
func placements() (all []*sdk.Placement) {
	racks := []string{"", "a", "b", "a"}
	for _, partitions := range []int32{1, 2, 3, 7, 64, 1000} {
		for _, available := range []int32{partitions, partitions / 2, 0} {
			for _, key := range [][]byte{nil, {}, []byte("a"), []byte("another key"), {0xff, 0}, bytes.Repeat([]byte{0xff}, 1000)} {
				p := placement(key, partitions, available)
				p.Topic = fmt.Sprintf("orders-%d", partitions)
				p.LeaderRack = func(of int32) string { return racks[of%int32(len(racks))] }
				if len(all)%3 == 0 {
					p.Value = nil
				}
				all = append(all, p)
			}
		}
	}
	return all
}

// SerializerModule compares a module with the native serializer and deserializer: the same
// bytes and headers for the same values, the same values for the same bytes, an error where
// the native one has an error. Then it takes away what the module needs.
func SerializerModule[V any](t *testing.T, s SerializerSubject[V], values ...V) {
	t.Helper()
	kept, err := sdk.Serializers[V]().New("wasm", config(t, s.Module, s.Config, s.Limits, nil))
	if err != nil {
		t.Fatalf("load the module: %v", err)
	}
	defer closed(kept) // what is compiled once serves all that follows
	compareSerializers(t, s, values...)
	compareDeserializers(t, s, values...)
}

func compareSerializers[V any](t T, s SerializerSubject[V], values ...V) {
	t.Helper()
	native, err := sdk.Serializers[V]().New(s.Name, sdk.NewConfig(s.Config))
	if err != nil {
		t.Fatalf("make the serializer: %v", err)
		return
	}
	module, err := sdk.Serializers[V]().New("wasm", config(t, s.Module, s.Config, s.Limits, nil))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	for n, v := range values {
		for _, headers := range [][]sdk.Header{nil, {{Key: "a", Value: []byte("1")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}}}} {
			h1, h2 := slices.Clone(headers), slices.Clone(headers)
			want, err1 := native.Append([]byte("before"), "orders", &h1, v)
			got, err2 := module.Append([]byte("before"), "orders", &h2, v)
			if (err1 == nil) != (err2 == nil) {
				t.Errorf("value %d: the module says %v, the native serializer %v", n, err2, err1)
			} else if err1 == nil && (!bytes.Equal(got, want) || (got == nil) != (want == nil) || !sameHeaders(h1, h2)) {
				t.Errorf("value %d: the module makes %q %v of it, and the native serializer %q %v", n, got, h2, want, h1)
			}
		}
	}
	starved, err := sdk.Serializers[V]().New("wasm", config(t, s.Module, s.Config, s.Limits, starving))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(starved)
	for _, v := range values {
		var headers []sdk.Header
		if _, err := starved.Append(nil, "orders", &headers, v); !errors.Is(err, wasm.ErrFuel) {
			t.Errorf("the module without fuel says %v", err)
		}
	}
	noMemory(t, func(c sdk.Config) (any, error) { return sdk.Serializers[V]().New("wasm", c) }, s.Module, s.Config)
	for n, v := range values {
		var headers []sdk.Header
		if _, err := native.Append(nil, "orders", &headers, v); err != nil {
			continue
		}
		checkTrouble(t, fmt.Sprintf("the serializer, value %d", n), module, false, func() (string, error) {
			headers := []sdk.Header{{Key: "a", Value: []byte("1")}}
			data, err := module.Append([]byte("before"), "orders", &headers, v)
			if err == nil && data != nil && !bytes.HasPrefix(data, []byte("before")) {
				t.Errorf("serializing value %d writes over what was in the buffer", n)
			}
			return fmt.Sprintf("%q %v", data, headers), err
		})
	}
}

func compareDeserializers[V any](t T, s SerializerSubject[V], values ...V) {
	t.Helper()
	native, err := sdk.Deserializers[V]().New(s.Name, sdk.NewConfig(s.Config))
	if err != nil {
		t.Fatalf("make the deserializer: %v", err)
		return
	}
	writer, err := sdk.Serializers[V]().New(s.Name, sdk.NewConfig(s.Config))
	if err != nil {
		t.Fatalf("make the serializer: %v", err)
		return
	}
	module, err := sdk.Deserializers[V]().New("wasm", config(t, s.Module, s.Config, s.Limits, nil))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	all := readings(writer, values...)
	for _, r := range all {
		want, err1 := native.Decode("orders", r.headers, r.data)
		got, err2 := module.Decode("orders", r.headers, r.data)
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("%.40q: the module says %v, the native deserializer %v", r.data, err2, err1)
		} else if err1 == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%.40q: the module makes %v of it, and the native deserializer %v", r.data, got, want)
		}
	}
	for _, r := range all {
		if _, err := native.Decode("orders", r.headers, r.data); err != nil {
			continue
		}
		checkTrouble(t, fmt.Sprintf("the deserializer, %.40q", r.data), module, false, func() (string, error) {
			v, err := module.Decode("orders", r.headers, r.data)
			return fmt.Sprint(v), err
		})
		break // one that it can read is enough
	}
	checkSerializerBudget(t, s.Allocations, writer, native, values...)
}

// reading is what a deserializer may be shown.
type reading struct {
	headers []sdk.Header
	data    []byte
}

// readings are what a serializer makes of values, and behind that what records may hold.
func readings[V any](writer sdk.Serializer[V], values ...V) (all []reading) {
	for _, v := range values {
		headers := []sdk.Header{{Key: "a", Value: []byte("1")}}
		if data, err := writer.Append(nil, "orders", &headers, v); err == nil {
			all = append(all, reading{headers, data})
		}
	}
	headers := []sdk.Header{{Key: "a", Value: []byte("1")}}
	all = append(all, reading{headers, nil}, reading{headers, []byte{}})
	for _, r := range hostile() {
		all = append(all, reading{headers, r.Value})
	}
	return all
}

func sameHeaders(a, b []sdk.Header) bool {
	return slices.EqualFunc(a, b, func(x, y sdk.Header) bool {
		return x.Key == y.Key && bytes.Equal(x.Value, y.Value) && (x.Value == nil) == (y.Value == nil)
	})
}

// Assignor holds an assignor to its contract: each partition at most once, to a member that
// wants its topic, none left that somebody wants, and the same for the same group. Given a
// module it must deal as the native one does.
func Assignor(t *testing.T, s AssignorSubject) {
	t.Helper()
	checkAssignor(t, s)
}

func checkAssignor(t T, s AssignorSubject) {
	t.Helper()
	native, err := made(s.New, s.Config)
	if err != nil {
		t.Fatalf("make the assignor: %v", err)
		return
	}
	for n, g := range assignments() {
		dealt, err := native.Assign(g.members, g.partitions)
		if err != nil {
			t.Errorf("group %d: %v", n, err)
			continue
		}
		if why := g.wrong(dealt); why != "" {
			t.Errorf("group %d: %s", n, why)
		}
		if again, err := native.Assign(g.members, g.partitions); err != nil || !same(dealt, again) {
			t.Errorf("group %d is dealt %v, and then %v: %v", n, dealt, again, err)
		}
	}
	g := many(50)
	checkBudget(t, "dealing 67 partitions to 50 members", 50*budget, func() { _, _ = native.Assign(g.members, g.partitions) })
	if s.Module != "" {
		compareAssignors(t, s, native)
	}
}

func compareAssignors(t T, s AssignorSubject, native sdk.Assignor) {
	t.Helper()
	module, err := sdk.Assignors.New("wasm", config(t, s.Module, s.Config, s.Limits, nil))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	if module.Name() != native.Name() || module.Protocol() != native.Protocol() {
		t.Errorf("the module is %s, protocol %d, and the native assignor %s, protocol %d", module.Name(), module.Protocol(), native.Name(), native.Protocol())
	}
	for n, g := range assignments() {
		want, err1 := native.Assign(g.members, g.partitions)
		got, err2 := module.Assign(g.members, g.partitions)
		if err1 != nil || err2 != nil || !same(want, got) {
			t.Errorf("group %d: the module deals %v (%v), and the native assignor %v (%v)", n, got, err2, want, err1)
		}
		for _, m := range g.members {
			if one, other := native.UserData(m.Topics, m.Owned), module.UserData(m.Topics, m.Owned); !bytes.Equal(one, other) || (one == nil) != (other == nil) {
				t.Errorf("group %d: the module says %q of a member, and the native assignor %q", n, other, one)
			}
		}
	}
	if starved, err := sdk.Assignors.New("wasm", config(t, s.Module, s.Config, s.Limits, starving)); !errors.Is(err, wasm.ErrFuel) {
		t.Errorf("the module without fuel says %v", err)
		closed(starved)
	}
	noMemory(t, func(c sdk.Config) (any, error) { return sdk.Assignors.New("wasm", c) }, s.Module, s.Config)
	g := assignments()[2]
	checkTrouble(t, "the assignor", module, false, func() (string, error) {
		dealt, err := module.Assign(g.members, g.partitions)
		return fmt.Sprint(dealt), err
	})
}

// assigning is a group to be dealt to.
type assigning struct {
	members    []sdk.GroupMember
	partitions map[string]int32
}

// assignments are groups of every shape.
func assignments() []assigning {
	one := sdk.GroupMember{ID: "a", InstanceID: "i", Rack: "r", Topics: []string{"s", "t"}, Owned: []sdk.TopicPartition{{Topic: "t", Partition: 1}}, Generation: 3, UserData: []byte{1, 0xff}}
	two := sdk.GroupMember{ID: "b", Topics: []string{"t"}, Generation: -1}
	none := sdk.GroupMember{ID: "c", Generation: -1}
	return []assigning{
		{[]sdk.GroupMember{one}, map[string]int32{"s": 1, "t": 3}},
		{[]sdk.GroupMember{one, two}, map[string]int32{"s": 2, "t": 5}},
		{[]sdk.GroupMember{two, one, none}, map[string]int32{"s": 0, "t": 7}},
		{[]sdk.GroupMember{two}, map[string]int32{}},
		many(50),
	}
}

// many is a group of so many members.
func many(members int) assigning {
	g := assigning{partitions: map[string]int32{"s": 17, "t": int32(members)}}
	for n := range members {
		m := sdk.GroupMember{ID: fmt.Sprintf("member-%04d", n), Topics: []string{"t"}, Generation: -1}
		if n%3 == 0 {
			m.Topics = []string{"s", "t"}
		}
		g.members = append(g.members, m)
	}
	return g
}

// wrong says what is wrong with an assignment.
func (g *assigning) wrong(dealt map[string][]sdk.TopicPartition) string {
	taken := map[sdk.TopicPartition]bool{}
	wanted := map[string]bool{}
	topics := map[string][]string{}
	for _, m := range g.members {
		topics[m.ID] = m.Topics
		for _, topic := range m.Topics {
			wanted[topic] = true
		}
	}
	for id, list := range dealt {
		for _, tp := range list {
			switch {
			case tp.Partition < 0 || tp.Partition >= g.partitions[tp.Topic]:
				return fmt.Sprintf("it gives %s-%d away, which there is not", tp.Topic, tp.Partition)
			case taken[tp]:
				return fmt.Sprintf("it gives %s-%d away twice", tp.Topic, tp.Partition)
			case !slices.Contains(topics[id], tp.Topic):
				return fmt.Sprintf("it gives %s-%d to %q, who does not want the topic", tp.Topic, tp.Partition, id)
			}
			taken[tp] = true
		}
	}
	for topic, partitions := range g.partitions {
		for p := range partitions {
			if wanted[topic] && !taken[sdk.TopicPartition{Topic: topic, Partition: p}] {
				return fmt.Sprintf("it gives %s-%d to nobody", topic, p)
			}
		}
	}
	return ""
}

// same reports whether two assignments are; members without partitions may be left out.
func same(a, b map[string][]sdk.TopicPartition) bool {
	strip := func(m map[string][]sdk.TopicPartition) map[string][]sdk.TopicPartition {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(_ string, list []sdk.TopicPartition) bool { return len(list) == 0 })
		return m
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

// made makes a plugin as it is compiled in.
func made[P any](create func(sdk.Config) (P, error), values map[string]string) (P, error) {
	c := sdk.NewConfig(values)
	p, err := create(c)
	return p, errors.Join(err, c.Err())
}

// config are the settings of a module.
func config(t T, module string, own, limits, more map[string]string) sdk.Config {
	t.Helper()
	values, err := moduleSettings(module, own, limits, more)
	if err != nil {
		t.Fatalf("read the module: %v", err)
	}
	return sdk.NewConfig(values)
}

// noMemory gives the module too little memory: it must be refused.
func noMemory(t T, load func(sdk.Config) (any, error), module string, own map[string]string) {
	t.Helper()
	if starved, err := load(config(t, module, own, nil, map[string]string{"memory.max": "65536"})); err == nil {
		t.Errorf("the module starts with 64 KiB of memory, which it cannot")
		closed(starved)
	}
}
