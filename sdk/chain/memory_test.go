package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// account lends what it has, and remembers how much that was at most.
type account struct {
	limit, lent, most int
	reserved          int
	refuses           bool // to reserve
}

func (a *account) Borrow(n int) error {
	if a.lent+n > a.limit {
		return errPoor
	}
	a.lent += n
	a.most = max(a.most, a.lent)
	return nil
}

func (a *account) Return(n int) { a.lent -= n }

// thrifty is an account that is asked beforehand.
type thrifty struct{ account }

func (a *thrifty) Reserve(n int) error {
	if a.reserved = a.lent + n; a.refuses || a.reserved > a.limit {
		return errPoor
	}
	return nil
}

// crowded is a batch of one record with so many headers of two bytes each.
func crowded(t testing.TB, codec batch.Codec, headers int) batch.Batch {
	t.Helper()
	var b batch.Builder
	b.Append(1000, []byte("k"), []byte("v"), make([]batch.Header, headers))
	o := batch.NoProducer()
	o.Codec = codec
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out)
}

// many is a batch of so many records without key and value.
func many(t testing.TB, codec batch.Codec, records int) batch.Batch {
	t.Helper()
	var b batch.Builder
	for range records {
		b.Append(1000, nil, nil, nil)
	}
	o := batch.NoProducer()
	o.Codec = codec
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out)
}

// What a few bytes of a batch become in memory is borrowed before it is taken: a header of two
// bytes becomes forty, a record of seven becomes a hundred.
func TestWhatABatchMakesOfMemoryIsBorrowed(t *testing.T) {
	const count = 300_000
	for name, test := range map[string]struct {
		batch batch.Batch
		takes int // bytes of memory for what is shown
	}{
		"headers":             {crowded(t, batch.Zstd, count), count * 40},
		"headers, not packed": {crowded(t, batch.None, count), count * 40},
		"records":             {many(t, batch.Zstd, count), count * 96},
	} {
		calls := 0
		look := []Plugin{{Name: "look", Interceptor: whole{of: func(*sdk.Batch) error { calls++; return nil }}}}
		rich := &account{limit: 1 << 30}
		out, err := New(fixed).Run(look, &Input{Topic: "t", Batch: test.batch, Memory: rich})
		if err != nil || out.Rebuilt || rich.most < test.takes || rich.lent != 0 || calls != 1 {
			t.Errorf("%s: %d bytes were borrowed for what takes %d, %d are lent, %v", name, rich.most, test.takes, rich.lent, err)
		}
		poor := &account{limit: test.takes / 2}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = New(fixed).Run(look, &Input{Topic: "t", Batch: test.batch, Memory: poor})
		runtime.ReadMemStats(&after)
		var unasked *Unasked
		if !errors.As(err, &unasked) || !errors.Is(err, errPoor) || poor.lent != 0 || calls != 1 {
			t.Errorf("%s: with half of the memory: %v, %d are lent, %d calls", name, err, poor.lent, calls)
		}
		if n := int(after.TotalAlloc - before.TotalAlloc); n > test.takes && !raceEnabled {
			t.Errorf("%s: %d bytes were taken from the heap though %d were lent", name, n, poor.most)
		}
	}
}

// A header added to a record with many others costs one list of them, not one for each call.
func TestHeadersAreAddedWhereTheyAre(t *testing.T) {
	const count = 100_000
	add := whole{of: func(b *sdk.Batch) error {
		for i := range 10 {
			b.AddHeader(0, fmt.Sprint(i), nil)
		}
		return nil
	}}
	m := &account{limit: 1 << 30}
	out, err := New(fixed).Run([]Plugin{{Name: "add", Interceptor: add}}, &Input{Topic: "t", Batch: crowded(t, batch.None, count), Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	if limit := 5 * count * 40; m.most > limit {
		t.Errorf("%d bytes were borrowed at most, want less than %d", m.most, limit)
	}
	reader, err := out.Batch.Records(nil, 1<<20)
	if err != nil || !reader.Next() {
		t.Fatal(err, reader.Err())
	}
	h := reader.Record().Headers
	if len(h) != count+10 || h[count-1].Key != "" || h[count].Key != "0" || h[count+9].Key != "9" {
		t.Errorf("the record has %d headers", len(h))
	}
	if m.lent != cap(out.Batch) {
		t.Errorf("%d bytes are lent for a batch of %d", m.lent, cap(out.Batch))
	}
}

// Whatever a run has held is nobody's after it: neither its records nor the lists that showed them.
func TestARunnerForgets(t *testing.T) {
	r := New(fixed)
	var section weak.Pointer[byte]
	var views weak.Pointer[sdk.View]
	for name, b := range map[string]batch.Batch{"headers": crowded(t, batch.Zstd, 300_000), "records": many(t, batch.Zstd, 300_000), "one value": records(t, batch.Zstd, strings.Repeat("x", 4<<20))} {
		edit := each{of: func(b *sdk.Batch, i int, v *sdk.View) {
			section, views = weak.Make(&b.Section()[0]), weak.Make(b.Original(0))
			b.AddHeader(i, "h", b.Alloc(10))
		}}
		if _, err := r.Run([]Plugin{{Name: "edit", Interceptor: edit}}, &Input{Topic: "t", Batch: b}); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		if section.Value() != nil {
			t.Errorf("%s: the records are still held", name)
		}
		if views.Value() != nil && name == "records" {
			t.Errorf("%s: the views are still held", name)
		}
	}
	runtime.KeepAlive(r)
}

// A chain that begins will not end for lack of memory: it is asked for beforehand.
func TestMemoryIsReservedBeforeTheFirstPlugin(t *testing.T) {
	calls := 0
	grow := whole{of: func(b *sdk.Batch) error {
		calls++
		for i, v := range b.All() {
			b.SetValue(i, append(b.Alloc(len(v.Value))[:0], v.Value...))
		}
		return nil
	}}
	p := []Plugin{{Name: "one", Interceptor: grow}, {Name: "two", Interceptor: grow}}
	for codec := range batch.Zstd + 1 {
		b := records(t, codec, strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20))
		m := &thrifty{account{limit: 1 << 30}}
		out, err := New(fixed).Run(p, &Input{Topic: "t", Batch: b, Memory: m})
		if err != nil || m.most > m.reserved || m.lent != cap(out.Batch) {
			t.Errorf("%s: %d bytes were borrowed and %d reserved, %d are lent, %v", codec, m.most, m.reserved, m.lent, err)
		}
		calls = 0
		var unasked *Unasked
		m = &thrifty{account{limit: 1 << 30, refuses: true}}
		if _, err = New(fixed).Run(p, &Input{Topic: "t", Batch: b, Memory: m}); !errors.As(err, &unasked) || calls != 0 || m.lent != 0 {
			t.Errorf("%s: %v, %d calls, %d are lent", codec, err, calls, m.lent)
		}
		size, err := batch.Measure(b, MaxPlain, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := Input{Topic: "t", Batch: b, Measured: size}
		exact := &thrifty{account{limit: in.Need(size, 2), refuses: true}}
		in.Memory = exact
		if _, err := New(fixed).Run(p, &in); err != nil {
			t.Errorf("%s: with what a measured batch needs: %v, of %d bytes %d were borrowed", codec, err, exact.limit, exact.most)
		}
	}
}

// Memory that is not there is no fault of a plugin: its breaker stays closed, and no policy
// makes anything of the batch.
func TestALackOfMemoryIsNoFault(t *testing.T) {
	var seen tally
	big := strings.Repeat("x", 2<<20)
	for name, edit := range map[string]sdk.Interceptor{
		"values":  each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, b.Alloc(len(v.Value))) }},
		"larger":  each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, make([]byte, 5<<20)) }},
		"letters": each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.Fail(i, "no") }},
	} {
		for _, policy := range []Policy{Fail, Skip, DeadLetter} {
			m := &account{limit: 3 << 20}
			p := Plugin{Name: "p", Interceptor: edit, OnError: policy, DeadLetter: "dead", Watcher: &seen, Breaker: NewBreaker(1, time.Hour, time.Hour)}
			_, err := New(fixed).Run([]Plugin{p}, &Input{Topic: "t", Batch: records(t, batch.LZ4, big), Memory: m})
			if name == "letters" && policy != DeadLetter {
				continue
			}
			if !errors.Is(err, errPoor) || m.lent != 0 || seen.Fault || p.Breaker.Trips() != 0 {
				t.Errorf("%s, %s: %v, %d are lent, a fault is %v", name, policy, err, m.lent, seen.Fault)
			}
		}
	}
}

// What goes aside is as large as its topic takes, is borrowed, and stops at the first record
// that is too much.
func TestAsidesAreBounded(t *testing.T) {
	reason := strings.Repeat("because ", 10_000)
	bury := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.Fail(i, reason) }}
	p := []Plugin{{Name: "p", Interceptor: bury, OnError: DeadLetter, DeadLetter: "dead"}}
	m := &account{limit: 1 << 30}
	in := Input{Topic: "t", Batch: many(t, batch.None, 10_000), Memory: m, AsideSize: func(topic string) int {
		if topic != "dead" {
			t.Errorf("asked for the size of topic %s", topic)
		}
		return 100_000
	}}
	_, err := New(fixed).Run(p, &in)
	var refused *Refusal
	if !errors.As(err, &refused) || refused.Cause != TooLarge || refused.Plugin != "p" || !strings.Contains(refused.Reason, "topic dead") || m.lent != 0 {
		t.Errorf("%v, %d are lent", err, m.lent)
	}
	if limit := 10_000*300 + 300_000; m.most > limit { // views and edits, and what was built
		t.Errorf("%d bytes were borrowed, want less than %d", m.most, limit)
	}
	for codec := range batch.Zstd + 1 {
		in.Batch = many(t, codec, 50)
		out, err := New(fixed).Run(p, &in)
		if err != nil {
			t.Fatal(err)
		}
		dead := out.Aside[0].Batch
		if m.lent != cap(out.Batch)+cap(dead) {
			t.Errorf("%s: %d bytes are lent for %d and %d", codec, m.lent, cap(out.Batch), cap(dead))
		}
		m.Return(m.lent)
		if err := dead.Check(); err != nil || dead.Codec() != codec || dead.Count() != 50 {
			t.Errorf("%s: %d dead letters in %s, %v", codec, dead.Count(), dead.Codec(), err)
		}
		reader, err := dead.Records(nil, 1<<20)
		if err != nil || !reader.Next() {
			t.Fatal(err)
		}
		for _, h := range reader.Record().Headers {
			if h.Key == HeaderError && len(h.Value) != longestReason {
				t.Errorf("a reason of %d bytes was stored", len(h.Value))
			}
		}
	}
	letters := &account{limit: 10_000*300 + 100_000}
	in = Input{Topic: "t", Batch: many(t, batch.Zstd, 10_000), Memory: letters}
	if _, err := New(fixed).Run(p, &in); !errors.Is(err, errPoor) || letters.lent != 0 {
		t.Errorf("dead letters of 10 MB were built with %d bytes: %v", letters.limit, err)
	}
}

// A plugin may route each record to a topic of its own: many are looked up, and not searched one by one.
func TestManyOtherTopicsAreLookedUp(t *testing.T) {
	const records = 5000
	name := func(i int) string { return fmt.Sprintf("topic-%d", i%(records/2)) }
	r, looked := New(time.Now), 0
	route := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.Route(i, name(i)) }}
	for _, n := range []int{records, fewAsides - 1, records} {
		out, err := r.Run([]Plugin{{Name: "p", Interceptor: route, Watcher: watching(func() { looked = len(r.places) })}}, &Input{Topic: "t", Batch: many(t, batch.None, n)})
		topics := min(n, records/2)
		if err != nil || len(out.Aside) != topics {
			t.Fatalf("%d batches for other topics, %v", len(out.Aside), err)
		}
		for i, a := range out.Aside {
			if want := n / topics; a.Topic != name(i) || a.Records != want {
				t.Fatalf("batch %d has %d records for %s, want %d for %s", i, a.Records, a.Topic, want, name(i))
			}
		}
		if want := topics; looked != want && n >= fewAsides || n < fewAsides && looked != 0 {
			t.Errorf("of %d topics %d can be looked up", topics, looked)
		}
	}
}

// watching has something done after each call.
type watching func()

func (w watching) Called(*Call) { w() }

// labels are those of the calling goroutine, as a profile has them.
func labels() string {
	var out bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&out, 1); err != nil {
		return err.Error()
	}
	for _, stack := range strings.Split(out.String(), "\n\n") {
		if strings.Contains(stack, "chain.labels") {
			_, found, _ := strings.Cut(stack, "# labels: ")
			found, _, _ = strings.Cut(found, "\n")
			return found
		}
	}
	return "no such goroutine"
}

// A call has the plugin's labels while somebody takes a profile, and then the goroutine has
// those of the caller again.
func TestLabelsArePutBack(t *testing.T) {
	defer pprof.SetGoroutineLabels(context.Background())
	ours := pprof.WithLabels(context.Background(), pprof.Labels("who", "worker"))
	theirs := pprof.WithLabels(context.Background(), pprof.Labels("who", "plugin"))
	seen := ""
	p := []Plugin{{Name: "look", Labels: theirs, Interceptor: whole{of: func(*sdk.Batch) error { seen = labels(); panic("as always") }}, OnError: Skip}}
	for name, test := range map[string]struct {
		of     context.Context
		during string
	}{"a profile": {ours, `{"who":"plugin"}`}, "no profile": {nil, `{"who":"worker"}`}} {
		pprof.SetGoroutineLabels(ours)
		if _, err := New(fixed).Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a"), Labels: test.of}); err != nil {
			t.Fatal(err)
		}
		if after := labels(); seen != test.during || after != `{"who":"worker"}` {
			t.Errorf("%s: labels were %s during the call, and %s after it", name, seen, after)
		}
	}
}
