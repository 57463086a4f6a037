package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/tetratelabs/wazero/api"
)

// text is a batch as it is now.
func text(b *sdk.Batch) string {
	var out []string
	for i, v := range b.All() {
		one := fmt.Sprintf("%d %s=%s", i, v.Key, v.Value)
		for _, h := range v.Headers {
			one += fmt.Sprintf(" %s:%s", h.Key, h.Value)
		}
		out = append(out, one)
	}
	return strings.Join(out, ", ")
}

func TestEditsAreApplied(t *testing.T) {
	for name, test := range map[string]struct {
		list []byte
		want string
	}{
		"none":            {listOf(0), "0 k=a, 1 k=b, 2 k=c"},
		"a value":         {listOf(1, 1, 1|2<<8, "new"), "0 k=a, 1 k=new, 2 k=c"},
		"key and value":   {listOf(1, 0, 1|3<<8, "key", ""), "0 key=, 1 k=b, 2 k=c"},
		"null":            {listOf(1, 0, 1|3<<8, -1, -1), "0 =, 1 k=b, 2 k=c"},
		"headers":         {listOf(2, 0, 1|4<<8, 1, "h", "x", 2, 1|8<<8, 2, "i", "y", "j", -1), "0 k=a h:x, 1 k=b, 2 k=c i:y j:"},
		"drop":            {listOf(2, 0, 2, 2, 2), "1 k=b"},
		"route and fail":  {listOf(2, 0, 3, "other", 1, 4, "bad"), "2 k=c"},
		"all of it at on": {listOf(3, 0, 2, 1, 1|2<<8, "x", 2, 4, "bad"), "1 k=x"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustLoad(t, answering(test.list).Bytes(), nil)
			b := records(t, "a", "b", "c")
			if err := p.OnProduce(b); err != nil || text(b) != test.want {
				t.Errorf("the batch is %q, want %q: %v", text(b), test.want, err)
			}
			if err := p.OnFetch(records(t, "a")); err != nil {
				t.Errorf("a guest without on_fetch: %v", err)
			}
			if p.Spent() <= 0 {
				t.Errorf("the calls cost %d", p.Spent())
			}
		})
	}
}

// withFields is a guest that is told where fields are. Its first record's value has one byte, and
// so has each of the others.
func withFields(code []byte) Module { return guest(code, export(abi.Fields, "", "", nil)) }

// fieldAt is where in the input the guest finds a number of a row.
func fieldAt(row, number int32) int32 { return inputAt + abi.FieldsAt + abi.RowSize*row + 4*number }

func TestAValueIsWrittenOver(t *testing.T) {
	// The guest writes ! over the value of the second record, where the table says it is.
	code := Seq(
		I32(inputAt+4), Load(), I32(inputAt), Op(0x6a), I32(int32(len("orderstester"))), Op(0x6a),
		I32(fieldAt(1, 2)), Load(), Op(0x6a), I32('!'), Op(0x3a, 0, 0),
		I64(listAt<<32|16))
	m := withFields(code)
	m.Data = []Data{{At: listAt, Bytes: listOf(1, 1, 1|16<<8)}}
	b := records(t, "a", "b", "c")
	if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); err != nil || text(b) != "0 k=a, 1 k=!, 2 k=c" {
		t.Errorf("the batch is %q: %v", text(b), err)
	}
}

func TestTheTableOfFields(t *testing.T) {
	var builder batch.Builder
	long := strings.Repeat("x", 300)
	for _, r := range []struct{ key, value []byte }{{nil, nil}, {[]byte{}, []byte("v")}, {[]byte("key"), []byte{}}, {[]byte(long), []byte(long + "y")}} {
		builder.Append(1, r.key, r.value, []batch.Header{{Key: "h", Value: r.value}})
	}
	made, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	b := &sdk.Batch{Topic: "orders"}
	if err := b.Open(made, made[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	shown := whole(b)
	shown.fields = true
	input := make([]byte, shown.size(b))
	shown.encode(input, b)
	records := input[len(input)-len(b.Section()):]
	for i, v := range b.All() {
		for n, want := range [][]byte{v.Key, v.Value} {
			row := input[abi.FieldsAt+abi.RowSize*i+8*n:]
			at, size := binary.LittleEndian.Uint32(row), binary.LittleEndian.Uint32(row[4:])
			if want == nil && size != abi.Null || want != nil && string(records[at:][:size]) != string(want) {
				t.Errorf("field %d of record %d has %d bytes at %d, want %.10q", n, i, size, at, want)
			}
		}
	}
	if names := binary.LittleEndian.Uint32(input[4:]); string(input[names:][:len(b.Topic)]) != b.Topic {
		t.Errorf("the names begin at %d, where there is %.10q", names, input[names:])
	}
}

// What a guest has written over in one part is still there when the next has been asked.
func TestPartsAreWrittenOver(t *testing.T) {
	// The guest writes the number of the part's first record over the first value.
	code := Seq(
		I32(inputAt+4), Load(), I32(inputAt), Op(0x6a), I32(int32(len("orderstester"))), Op(0x6a),
		I32(fieldAt(0, 2)), Load(), Op(0x6a), I32(inputAt+16), Load(), Store(),
		I64(listAt<<32|16))
	m := withFields(code)
	m.Data = []Data{{At: listAt, Bytes: listOf(1, 0, 1|16<<8)}}
	p := mustLoad(t, m.Bytes(), nil)
	values := make([]string, 100)
	for i := range values {
		values[i] = strings.Repeat("x", 3000)
	}
	b := records(t, values...)
	if err := p.OnProduce(b); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for i, e := range b.Edits() {
		if e.Fate != sdk.Edited {
			continue
		}
		seen++
		if first := binary.LittleEndian.Uint32(e.Value); int(first) != i || len(e.Value) != 3000 || e.Value[4] != 'x' {
			t.Errorf("the value of record %d is %.10q", i, e.Value)
		}
	}
	if seen != 5 {
		t.Errorf("%d values were written over, want 5", seen)
	}
}

// A guest may not answer more by writing over values than in a list.
func TestWhatIsWrittenOverCounts(t *testing.T) {
	m := withFields(I64(listAt<<32 | 24))
	m.Data = []Data{{At: listAt, Bytes: listOf(2, 0, 1|16<<8, 1, 1|16<<8)}}
	for size, want := range map[int]error{488: nil, 489: ErrOutput} {
		b := records(t, strings.Repeat("x", 512), strings.Repeat("x", size))
		if err := mustLoad(t, m.Bytes(), map[string]string{"output.max": "1024"}).OnProduce(b); !errors.Is(err, want) || b.Changed() != (want == nil) {
			t.Errorf("%d bytes of 1024 gave %v", 24+512+size, err)
		}
	}
}

// What a guest said about earlier parts is undone when it fails in a later one.
func TestALaterFaultUndoesAll(t *testing.T) {
	code := Seq(I32(inputAt+16), Load(), If(Op(0x00)), I64(listAt<<32|16))
	m := guest(code, func(m *Module) { m.Data = []Data{{At: listAt, Bytes: listOf(1, 0, 2)}} })
	b := records(t, strings.Repeat("x", 60<<10), strings.Repeat("x", 60<<10))
	if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); !errors.Is(err, ErrTrap) || b.Changed() {
		t.Errorf("a trap in the second part gave %v; changed: %v", err, b.Changed())
	}
}

func TestALargeBatchIsShownInParts(t *testing.T) {
	// The guest drops the first record of each part, and fails if a part has more bytes than
	// it may have.
	code := Seq(Get(0), I32(inputMost), Op(0x4b), If(Op(0x00)), I64(listAt<<32|16))
	m := guest(code, func(m *Module) { m.Data = []Data{{At: listAt, Bytes: listOf(1, 0, 2)}} })
	p := mustLoad(t, m.Bytes(), nil)
	values := make([]string, 100)
	for i := range values {
		values[i] = strings.Repeat("x", 3000)
	}
	b := records(t, values...)
	if err := p.OnProduce(b); err != nil {
		t.Fatal(err)
	}
	dropped := 0
	for _, e := range b.Edits() {
		if e.Fate == sdk.Dropped {
			dropped++
		}
	}
	if dropped != 5 || b.Edits()[0].Fate != sdk.Dropped || b.Edits()[21].Fate != sdk.Dropped {
		t.Errorf("%d first records were dropped, want 5", dropped)
	}
}

func TestARecordLargerThanACall(t *testing.T) {
	m := guest(I64(listAt<<32|16), func(m *Module) { m.Data = []Data{{At: listAt, Bytes: listOf(1, 0, 2)}} })
	b := records(t, "small", strings.Repeat("x", 200<<10), "small")
	if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); err != nil {
		t.Fatal(err)
	}
	if got := text(b); got != "" {
		t.Errorf("three parts of one record each: left is %.40q", got)
	}
	b = records(t, strings.Repeat("x", 500<<10))
	if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); !errors.Is(err, ErrOutput) {
		t.Errorf("a record larger than the guest's memory gave %v", err)
	}
}

func TestADeadlineIsForAllPartsTogether(t *testing.T) {
	// Each part takes some milliseconds, and there are a hundred.
	code := Seq(I32(1<<19), Set(1), Loop(Get(1), I32(1), Op(0x6b), Tee(1), BrIf(0)), pass)
	p := mustLoad(t, guest(code).Bytes(), map[string]string{"deadline.ms": "5"})
	values := make([]string, 100)
	for i := range values {
		values[i] = strings.Repeat("x", 60<<10)
	}
	if err := p.OnProduce(records(t, values...)); !errors.Is(err, ErrDeadline) {
		t.Errorf("a batch of a hundred parts gave %v", err)
	}
	if err := p.OnProduce(records(t, "one")); err != nil {
		t.Errorf("a batch of one part gave %v", err)
	}
}

// One call is shown a record whole, whatever its size, and gets no more fuel for that than its deadline is worth.
func TestADeadlineBoundsACallWithALargeRecord(t *testing.T) {
	m := guest(Seq(forever, pass))
	m.Memory = Limits{Min: 100}
	large := strings.Repeat("x", 4<<20)
	for name, test := range map[string]struct {
		settings map[string]string
		value    string
		want     int64
	}{
		"a small record":        {nil, "x", 16 << 20},
		"a large record":        {nil, large, 100_000_000},
		"a longer deadline":     {map[string]string{"deadline.ms": "10000", "fuel.per.kib": "1000"}, large, 16<<20 + 1000*4096},
		"a deadline below fuel": {map[string]string{"deadline.ms": "1"}, large, 16 << 20},
		"more fuel than that":   {map[string]string{"fuel": "120000000"}, large, 120_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustLoad(t, m.Bytes(), test.settings)
			if err := p.OnProduce(records(t, test.value)); !errors.Is(err, ErrFuel) || p.Spent() != test.want {
				t.Errorf("the call has spent %d, and may spend %d: %v", p.Spent(), test.want, err)
			}
		})
	}
}

func TestTheGuestSeesTheHeader(t *testing.T) {
	// It answers its whole input as a rejection: the list is made in front of it.
	code := Seq(
		I32(inputAt-20), I32(abi.EditsMagic), Store(), I32(inputAt-16), I32(1), Store(), I32(inputAt-12), I32(-1), Store(),
		I32(inputAt-8), I32(5), Store(), I32(inputAt-4), Get(0), Store(),
		I64((inputAt-20)<<32|20), Get(0), Op(0xad, 0x7c))
	p := mustLoad(t, guest(code).Bytes(), nil)
	var rejected *sdk.Rejection
	if err := p.OnProduce(records(t, "value")); !errors.As(err, &rejected) {
		t.Fatal(err)
	}
	if !strings.HasPrefix(rejected.Reason, "MRB1\x40\x00\x00\x00\x01\x00\x00\x00") || !strings.Contains(rejected.Reason, "orderstester") || !strings.Contains(rejected.Reason, "value") {
		t.Errorf("the input is %q", rejected.Reason)
	}
}

func TestSettings(t *testing.T) {
	module := guest(pass).Bytes()
	for name, test := range map[string]struct {
		values map[string]string
		want   string
	}{
		"another file":     {map[string]string{"sha256": sum([]byte("another"))}, "and not the one that sha256 pins"},
		"no digits":        {map[string]string{"sha256": "xyz"}, "sha256: it is not 64 hexadecimal digits"},
		"no path":          {map[string]string{"path": ""}, "path: name the file of the module"},
		"no file":          {map[string]string{"path": "/nowhere/guest.wasm"}, "read the module"},
		"outside":          {map[string]string{"dir": "/var/empty"}, "does not lie in /var/empty"},
		"too much memory":  {map[string]string{"memory.max": "1073741824"}, "memory.max: 1073741824 is not between"},
		"no time":          {map[string]string{"deadline.ms": "0"}, "deadline.ms: 0 is not between"},
		"unknown":          {map[string]string{"memory": "1"}, `unknown setting "memory"`},
		"less than it has": {map[string]string{"memory.max": "65536"}, "memory, in pages of 64 KiB, begins with 8"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, module, test.values); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestAFileMustLieInItsFolder(t *testing.T) {
	module := guest(pass).Bytes()
	path := save(t, module)
	dir := filepath.Dir(path)
	mustLoad(t, module, map[string]string{"path": path, "dir": dir})
	mustLoad(t, module, map[string]string{"path": filepath.Base(path), "dir": dir})
	inside := t.TempDir()
	if err := os.Symlink(path, filepath.Join(inside, "link.wasm")); err != nil {
		t.Fatal(err)
	}
	for _, outside := range []string{"../" + filepath.Base(path), "link.wasm", path} {
		if _, err := load(t, module, map[string]string{"path": outside, "dir": inside}); err == nil {
			t.Errorf("%s was loaded from outside of its folder", outside)
		}
	}
}

func TestAGuestGetsItsSettings(t *testing.T) {
	// configure answers its input as what is wrong.
	code := Seq(I64(inputAt<<32), Get(0), Op(0xad, 0x7c))
	m := guest(pass, export(abi.Configure, "i", "I", code))
	mustLoad(t, m.Bytes(), nil)
	_, err := load(t, m.Bytes(), map[string]string{"config.fields": "card", "config.a": "b"})
	if err == nil || !strings.Contains(err.Error(), "it refuses its settings: \x01\x00\x00\x00a\x01\x00\x00\x00b\x06\x00\x00\x00fields\x04\x00\x00\x00card") {
		t.Errorf("got %q", err)
	}
}

func TestAnInstanceIsReplacedAfterATrap(t *testing.T) {
	// The guest counts its calls, and traps in the third.
	code := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), GlobalGet(0), I64(3), Op(0x51), If(Op(0x00)), pass)
	p := mustLoad(t, guest(code, func(m *Module) { m.Globals = []Global{{}} }).Bytes(), nil)
	for n := 1; n <= 30; n++ {
		if err := p.OnProduce(records(t, "a")); errors.Is(err, ErrTrap) != (n%3 == 0) {
			t.Fatalf("call %d: %v", n, err)
		}
	}
}

// A call that finds no instance makes one. If it goes well nobody counts what it took, so that what
// the making took is told with what was made aside; if it fails it is counted as a whole.
func TestWhatMakingAnInstanceInACallTakesIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		code []byte
		told bool
	}{"in a call that goes well": {I64(0), true}, "in one that fails": {Op(0x00), false}} {
		t.Run(name, func(t *testing.T) {
			p := mustLoad(t, guest(test.code).Bytes(), nil)
			(<-p.spare).close()
			p.live.close()
			p.live = nil
			p.busy.Store(true) // so that nothing is made aside
			if err := p.OnProduce(records(t, "a")); (err == nil) != test.told {
				t.Fatal(err)
			}
			if took := p.Mended(); (took > 0) != test.told {
				t.Errorf("%v were told", took)
			}
		})
	}
}

// An instance that takes the place of one that has trapped may cost more than the call did: whoever
// counts what faults take is told, once.
func TestWhatMendingTakesIsTold(t *testing.T) {
	p := mustLoad(t, guest(Op(0x00)).Bytes(), nil)
	if took := p.Mended(); took != 0 {
		t.Errorf("before any fault %v were told", took)
	}
	if err := p.OnProduce(records(t, "a")); !errors.Is(err, ErrTrap) {
		t.Fatal(err)
	}
	p.making.Wait()
	if took := p.Mended(); took <= 0 {
		t.Error("an instance was made, and in no time")
	}
	if took := p.Mended(); took != 0 {
		t.Errorf("%v are told twice", took)
	}
}

// What a function had counted by itself when it trapped is lost, so the whole call counts: a guest
// that traps each time does not work for nothing.
func TestATrapCountsAsAllOfItsFuel(t *testing.T) {
	code := Seq(I32(100), Set(1), Loop(Get(1), I32(1), Op(0x6b), Tee(1), BrIf(0)), I32(-1), Load(), Op(0x1a), pass)
	p := mustLoad(t, guest(code).Bytes(), map[string]string{"fuel": "100000"})
	if err := p.OnProduce(records(t, "a")); !errors.Is(err, ErrTrap) {
		t.Fatal(err)
	}
	if p.Spent() < 100_000 {
		t.Errorf("a call that trapped cost %d", p.Spent())
	}
}

func TestWorkersShareWhatIsCompiled(t *testing.T) {
	module := answering(listOf(1, 0, 4, "only here")).Bytes()
	count := func() int {
		shelf.Lock()
		defer shelf.Unlock()
		return len(shelf.modules)
	}
	before := count()
	t.Cleanup(func() {
		if count() != before {
			t.Errorf("%d modules are left", count()-before)
		}
	})
	one, err := load(t, module, nil)
	two, err2 := load(t, module, nil)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if one.module != two.module || count() != before+1 {
		t.Errorf("two workers have %p and %p; %d modules more", one.module, two.module, count()-before)
	}
}

// While a module is compiled, which may take seconds, others are made and given back: who gives one back may be
// in the way of records. Who wants the same one waits for it, and hears what became of it.
func TestWhoCompilesHoldsUpNobody(t *testing.T) {
	k := key{start: -1}
	slow, first := reach(k)
	if !first {
		t.Fatal("the module is there already")
	}
	other, err := load(t, answering(listOf(1, 0, 4, "of another")).Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := reach(other.module.key)
	if err := again.give(t.Context()); err != nil || again != other.module {
		t.Errorf("another user of it is given back with %v", err)
	}
	if same, first := reach(k); same != slow || first {
		t.Error("it is compiled twice")
	}
	slow.compile(t.Context(), []byte("no module"), fuel.Options{})
	if <-slow.done; !errors.Is(slow.failed, fuel.ErrRefused) {
		t.Errorf("it ended with %v", slow.failed)
	}
	if err := errors.Join(slow.give(t.Context()), slow.give(t.Context())); err != nil {
		t.Error(err)
	}
	if _, first = reach(k); !first {
		t.Error("what could not be compiled is kept")
	}
	if err := shelf.modules[k].give(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheLogIsNotFlooded(t *testing.T) {
	var l lines
	for n := range 3 * maxLines {
		if more, silenced := l.take(7); more != (n < maxLines) || silenced != 0 {
			t.Fatalf("line %d of a second: %v, %d left out", n, more, silenced)
		}
	}
	if more, silenced := l.take(8); !more || silenced != 2*maxLines {
		t.Errorf("the first line of the next second: %v, %d left out", more, silenced)
	}
}

func TestFailClosed(t *testing.T) {
	open := mustLoad(t, guest(pass).Bytes(), nil)
	closed := mustLoad(t, guest(pass, export(abi.FailClosed, "", "", nil)).Bytes(), nil)
	if open.FailClosed() || !closed.FailClosed() {
		t.Error("the marker export decides")
	}
}

func TestACallAllocatesNothing(t *testing.T) {
	p := mustLoad(t, guest(pass).Bytes(), nil)
	b := records(t, "a", "b", "c")
	if n := testing.AllocsPerRun(100, func() {
		if err := p.OnProduce(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a call allocates %v times", n)
	}
}

func FuzzEdits(f *testing.F) {
	for _, list := range [][]byte{
		listOf(1, 0, 1|15<<8), listOf(1, 1, 1|2<<8, "new"), listOf(2, 0, 1|4<<8, 1, "h", "x", 2, 1|8<<8, 2, "i", "y", "j", -1),
		listOf(2, 0, 3, "other", 1, 4, "bad"), listOf(1, -1, 5, "no"), listOf(1, -1, 6, "no"), listOf(-1),
		listOf(2, 0, 1|16<<8, 2, 1|17<<8, "key"), listOf(2, 0, 2, 1, 1|18<<8, "both"),
	} {
		f.Add(list, true)
	}
	fuzz.Run(f, func(t *testing.T, bytes []byte, fields bool) {
		var reader edits
		b := records(t, "a", "b", "c")
		shown := whole(b)
		if shown.list = bytes; fields {
			shown.fields, shown.now = true, []byte(strings.Repeat("?", len(b.Section())))
		}
		var rejected *sdk.Rejection
		if err := reader.apply(b, shown); err != nil {
			if !errors.Is(err, ErrOutput) && !errors.Is(err, ErrGuest) && !errors.As(err, &rejected) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		for _, e := range b.Edits() {
			if e.Fate == sdk.Routed && e.Topic == "" {
				t.Error("a record is routed to nowhere")
			}
			if !fields && e.Fate == sdk.Edited && string(e.Value) == "?" && !strings.Contains(string(bytes), "?") {
				t.Error("a value is written over by a guest that may not")
			}
		}
	})
}

func BenchmarkCall(b *testing.B) {
	p := mustLoad(b, guest(pass).Bytes(), nil)
	values := make([]string, 149)
	for i := range values {
		values[i] = strings.Repeat("x", 100)
	}
	in := records(b, values...)
	b.SetBytes(int64(len(in.Section()) + batch.HeaderSize))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.OnProduce(in); err != nil {
			b.Fatal(err)
		}
	}
}

// A guest writes the list of each part where that of the one before was: what it said of earlier parts
// has to be somewhere else by then.
func TestListsOfEarlierPartsAreKept(t *testing.T) {
	list := listOf(1, 0, 1|11<<8, "key?", "val?", 1, "h", "hdr?")
	code := Seq()
	for at := range list {
		if list[at] == '?' { // the number of the part's first record
			code = Seq(code, I32(listAt+int32(at)), I32(inputAt+16), Load(), I32('0'), Op(0x6a), Op(0x3a, 0, 0))
		}
	}
	m := guest(Seq(code, I64(listAt<<32|int64(len(list)))))
	m.Data = []Data{{At: listAt, Bytes: list}}
	large := strings.Repeat("x", 40<<10)
	b := records(t, large, large, large)
	if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); err != nil {
		t.Fatal(err)
	}
	if got, want := text(b), "0 key0=val0 h:hdr0, 1 key1=val1 h:hdr1, 2 key2=val2 h:hdr2"; got != want {
		t.Errorf("the batch is %.200q, want %q", got, want)
	}
}

// An empty value that is written over is not null, in whichever part it is.
func TestAnEmptyValueIsWrittenOver(t *testing.T) {
	m := withFields(I64(listAt<<32 | 16))
	m.Data = []Data{{At: listAt, Bytes: listOf(1, 0, 1|16<<8)}}
	large := strings.Repeat("x", 60<<10)
	for name, values := range map[string][]string{"an earlier part": {"", large, large}, "the last part": {""}} {
		b := records(t, values...)
		if err := mustLoad(t, m.Bytes(), nil).OnProduce(b); err != nil {
			t.Fatal(err)
		}
		if e := b.Edits()[0]; e.Fate != sdk.Edited || e.Value == nil || len(e.Value) != 0 {
			t.Errorf("%s: the value is %.10q, null: %v", name, e.Value, e.Value == nil)
		}
	}
}

func TestOnlyShortKeysAreRemembered(t *testing.T) {
	var e edits
	for size, want := range map[int]bool{1: true, maxKey: true, maxKey + 1: false, 1 << 20: false} {
		key := strings.Repeat("k", size)
		if _, is := e.keys[e.name([]byte(key))]; is != want || e.name([]byte(key)) != key {
			t.Errorf("a key of %d bytes is remembered: %v", size, is)
		}
	}
}

// faulty is a function of a guest whose second call panics.
type faulty struct {
	api.Function
	calls int
}

func (f *faulty) CallWithStack(ctx context.Context, stack []uint64) error {
	if f.calls++; f.calls == 2 {
		panic("the second call")
	}
	return f.Function.CallWithStack(ctx, stack)
}

// Nothing of a batch is kept for the next, after a panic too.
func TestABatchIsForgotten(t *testing.T) {
	list := listOf(1, 0, 1|8<<8, 2, "h", "x", "i", "y")
	p := mustLoad(t, answering(list).Bytes(), nil)
	b := records(t, strings.Repeat("x", 60<<10), strings.Repeat("x", 60<<10))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("there was no panic")
			}
		}()
		_ = p.run(b, func(i *instance) api.Function { return &faulty{Function: i.produce} })
	}()
	if b.Changed() {
		t.Error("what a guest said before a panic counts")
	}
	check := func(when string) {
		if p.reader.p != nil {
			t.Errorf("%s: the list is kept", when)
		}
		for n, h := range p.reader.headers[:cap(p.reader.headers)] {
			if h.Key != "" || h.Value != nil {
				t.Errorf("%s: header %d is kept", when, n)
			}
		}
	}
	check("after a panic")
	two := mustLoad(t, answering(listOf(2, 0, 1|8<<8, 2, "h", "x", "i", "y", 1, 1|8<<8, 1, "h", "x")).Bytes(), nil)
	if err := two.OnProduce(records(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	p = two
	check("after two edits")
}

// Whoever produces a record decides how many headers it has, and brokers take any bytes as their keys.
func TestHeadersThatCameWithARecordMayStay(t *testing.T) {
	many := slices.Repeat([]batch.Header{{Key: "many"}}, 1500)
	odd := []batch.Header{{Key: "\xff", Value: []byte("x")}}
	headers := func(flag, n int, more ...any) []byte {
		return listOf(append(slices.Concat([]any{1, 0, 1 | flag<<8, n + len(more)/2}, slices.Repeat([]any{"many", -1}, n)), more...)...)
	}
	const instead, behind = 4, 8
	for name, test := range map[string]struct {
		came []batch.Header
		list []byte
		want int
		err  string
	}{
		"many, untouched":         {many, listOf(0), 1500, ""},
		"many, another value":     {many, listOf(1, 0, 1|2<<8, "new"), 1500, ""},
		"many, one less":          {many, headers(instead, 1499), 1499, ""},
		"many, and one behind":    {many, headers(behind, 0, "h", "x"), 1501, ""},
		"many, and as many":       {many, headers(instead, 1500+maxHeaders), 1500 + maxHeaders, ""},
		"many, and too many":      {many, headers(instead, 1501+maxHeaders), 0, "a record that came with 1500 headers gets 2525, and may get 1024 more,"},
		"too many behind":         {many, headers(behind, 1+maxHeaders), 0, "a record that came with 1500 headers gets 1025, and may get 1024 more,"},
		"no text, another value":  {odd, listOf(1, 0, 1|2<<8, "new"), 1, ""},
		"no text, and one behind": {odd, headers(instead, 0, "\xff", "x", "h", "y"), 2, ""},
		"no text, twice":          {odd, headers(behind, 0, "\xff", "x"), 2, ""},
		"no text of its own":      {odd, headers(instead, 0, "\xff", "x", "\xfe", "x"), 0, "the key of a header is not UTF-8, and did not come with the record,"},
		"no text, behind":         {many, headers(behind, 0, "\xff", "x"), 0, "the key of a header is not UTF-8, and did not come with the record,"},
		"not there":               {many, append(listOf(1, 7, 1|instead<<8, 1), "\x00\x00\x00\x00\xff\xff\xff\xff"...), 0, "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			b := recordsWith(t, test.came, "a", "b")
			err := mustLoad(t, answering(test.list).Bytes(), nil).OnProduce(b)
			if test.err != "" {
				if !errors.Is(err, ErrOutput) || !strings.Contains(err.Error(), test.err) || b.Changed() {
					t.Errorf("got %v, want %s", err, test.err)
				}
				return
			}
			for i, v := range b.All() {
				if i == 0 && len(v.Headers) != test.want || err != nil {
					t.Errorf("record %d has %d headers, want %d: %v", i, len(v.Headers), test.want, err)
				}
			}
		})
	}
}

// The same through guests: one that adds a header, and one that hides what is in values.
func TestGuestsMeetOddHeaders(t *testing.T) {
	odd := append(slices.Repeat([]batch.Header{{Key: "many"}}, 1500), batch.Header{Key: "\xff"})
	modules := map[string][]byte{"Rust": rust(t, "mask")}
	if !RaceEnabled {
		modules["Go"] = fromGo(t)
	}
	for name, module := range modules {
		b := recordsWith(t, odd, "4111111111111111", "b")
		if err := mustLoad(t, module, nil).OnProduce(b); err != nil || b.Edits() == nil || len(b.Edits()[0].Headers) != len(odd) || string(b.Edits()[0].Value) == "4111111111111111" {
			t.Errorf("the mask in %s: %v", name, err)
		}
	}
	b := recordsWith(t, odd, "a", "b")
	if err := mustLoad(t, rust(t, "stamp"), map[string]string{"config.value": "here"}).OnProduce(b); err != nil || len(b.Edits()[0].Headers) != len(odd)+1 {
		t.Errorf("the stamp: %v", err)
	}
}
