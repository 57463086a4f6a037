package chain

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// each is a plugin that is asked about every record.
type each struct {
	sdk.Nop
	of func(b *sdk.Batch, i int, v *sdk.View)
}

func (e each) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		e.of(b, i, v)
	}
	return nil
}

func (e each) OnFetch(b *sdk.Batch) error { return e.OnProduce(b) }

// whole is a plugin that is asked about every batch.
type whole struct {
	sdk.Nop
	of func(b *sdk.Batch) error
}

func (w whole) OnProduce(b *sdk.Batch) error { return w.of(b) }
func (w whole) OnFetch(b *sdk.Batch) error   { return w.of(b) }

type guarded struct{ whole }

func (guarded) FailClosed() bool { return true }

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func fixed() time.Time { return noon }

func records(t testing.TB, codec batch.Codec, values ...string) batch.Batch {
	t.Helper()
	var b batch.Builder
	for i, v := range values {
		b.Append(1000+int64(i), fmt.Appendf(nil, "k%d", i), []byte(v), []batch.Header{{Key: "h", Value: []byte("x")}})
	}
	o := batch.BatchOptions{Codec: codec, BaseOffset: 70, ProducerID: 9, ProducerEpoch: 2, BaseSequence: 40, LeaderEpoch: 5}
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out)
}

// text is what a batch holds: offset delta, key, value and headers of each record.
func text(t testing.TB, b batch.Batch) string {
	t.Helper()
	if err := b.Check(); err != nil {
		t.Fatalf("the batch does not hold together: %v", err)
	}
	reader, err := b.Records(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for reader.Next() {
		r := reader.Record()
		one := fmt.Sprintf("%d@%d %s=%s", r.OffsetDelta, b.BaseTimestamp()+r.TimestampDelta, r.Key, r.Value)
		for _, h := range r.Headers {
			one += fmt.Sprintf(" %s:%s", h.Key, h.Value)
		}
		all = append(all, one)
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

func drop(values ...string) sdk.Interceptor {
	return each{of: func(b *sdk.Batch, i int, v *sdk.View) {
		for _, value := range values {
			if string(v.Value) == value {
				b.Drop(i)
			}
		}
	}}
}

func upper() sdk.Interceptor {
	return each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, bytes.ToUpper(v.Value)) }}
}

func TestAnUntouchedBatchIsTheSameBytes(t *testing.T) {
	r := New(fixed)
	for codec := range batch.Zstd + 1 {
		b := records(t, codec, "a", "b")
		before := bytes.Clone(b)
		for name, plugins := range map[string][]Plugin{"no plugin": nil, "one that looks": {{Name: "look", Interceptor: drop("nothing")}}} {
			out, err := r.Run(plugins, &Input{Topic: "t", Batch: b})
			if err != nil || out.Rebuilt || &out.Batch[0] != &b[0] || !bytes.Equal(b, before) {
				t.Errorf("%s, %s: rebuilt %v, %v", codec, name, out.Rebuilt, err)
			}
		}
	}
}

func TestDroppedRecordsLeaveGapsAndSequences(t *testing.T) {
	r := New(fixed)
	for codec := range batch.Zstd + 1 {
		b := records(t, codec, "a", "b", "c", "d")
		out, err := r.Run([]Plugin{{Name: "drop", Interceptor: drop("b", "d")}}, &Input{Topic: "t", Batch: b})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, out.Batch), "0@1000 k0=a h:x, 2@1002 k2=c h:x"; got != want {
			t.Errorf("%s: the batch is %s, want %s", codec, got, want)
		}
		o := out.Batch
		if o.LastOffsetDelta() != 3 || o.Count() != 2 || o.BaseSequence() != 40 || o.LastSequence() != 43 || o.ProducerID() != 9 || o.ProducerEpoch() != 2 ||
			o.BaseOffset() != 70 || o.LeaderEpoch() != 5 || o.MaxTimestamp() != 1002 || o.BaseTimestamp() != 1000 || o.Codec() != codec {
			t.Errorf("%s: header %x", codec, o[:batch.HeaderSize])
		}
	}
}

func TestABatchWithoutRecordsKeepsItsSequences(t *testing.T) {
	all := whole{of: func(b *sdk.Batch) error { b.DropAll(); return nil }}
	seen := 0
	after := whole{of: func(*sdk.Batch) error { seen++; return nil }}
	b := records(t, batch.LZ4, "a", "b", "c")
	out, err := New(fixed).Run([]Plugin{{Name: "all", Interceptor: all}, {Name: "after", Interceptor: after}}, &Input{Topic: "t", Batch: b})
	if err != nil {
		t.Fatal(err)
	}
	o := out.Batch
	if err := o.Check(); err != nil || len(o) != batch.HeaderSize || o.Count() != 0 || o.LastOffsetDelta() != 2 || o.BaseSequence() != 40 || o.LastSequence() != 42 {
		t.Errorf("%x, %v", []byte(o), err)
	}
	if seen != 0 {
		t.Error("a batch without records was shown")
	}
}

func TestLaterPluginsSeeWhatEarlierOnesMade(t *testing.T) {
	var seen []string
	look := whole{of: func(b *sdk.Batch) error {
		walk := batch.Walk(b.Section(), int32(b.Len()))
		for walk.Next() {
			seen = append(seen, string(walk.Record().Value))
		}
		return walk.Err()
	}}
	mark := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.AddHeader(i, "seen", v.Value) }}
	b := records(t, batch.Zstd, "a", "b", "c")
	out, err := New(fixed).Run([]Plugin{
		{Name: "upper", Interceptor: upper()}, {Name: "drop", Interceptor: drop("B")}, {Name: "look", Interceptor: look}, {Name: "mark", Interceptor: mark},
	}, &Input{Topic: "t", Batch: b})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, out.Batch), "0@1000 k0=A h:x seen:A, 2@1002 k2=C h:x seen:C"; got != want {
		t.Errorf("the batch is %s, want %s", got, want)
	}
	if got := strings.Join(seen, ""); got != "AC" {
		t.Errorf("the section showed %s, want AC", got)
	}
}

func TestControlAndEmptyBatchesAreShownToNobody(t *testing.T) {
	never := whole{of: func(*sdk.Batch) error { return errors.New("shown") }}
	for name, b := range map[string]batch.Batch{
		"a marker":        batch.Marker{ProducerID: 1, Commit: true}.Batch(1),
		"without records": batch.Filler(nil, 3, 9, 1),
	} {
		for _, fetch := range []bool{false, true} {
			if out, err := New(fixed).Run([]Plugin{{Name: "never", Interceptor: never}}, &Input{Batch: b, Fetch: fetch}); err != nil || out.Rebuilt {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestPolicies(t *testing.T) {
	bad := each{of: func(b *sdk.Batch, i int, v *sdk.View) {
		if b.SetValue(i, []byte("edited")); string(v.Value) == "bad" {
			b.Fail(i, "it is bad")
		}
	}}
	broken := whole{of: func(b *sdk.Batch) error {
		b.DropAll()
		panic("no such luck")
	}}
	for name, test := range map[string]struct {
		plugin       sdk.Interceptor
		policy       Policy
		fetch, inTxn bool
		want, fail   string
		cause        Cause
		buried       int
	}{
		"a bad record fails its batch":       {plugin: bad, fail: "plugin p: record 1: it is bad", cause: Bad},
		"a bad record passes as it was":      {plugin: bad, policy: Skip, want: "0@1000 k0=edited h:x, 1@1001 k1=bad h:x, 2@1002 k2=edited h:x"},
		"a bad record is buried":             {plugin: bad, policy: DeadLetter, want: "0@1000 k0=edited h:x, 2@1002 k2=edited h:x", buried: 1},
		"not out of a transaction":           {plugin: bad, policy: DeadLetter, inTxn: true, fail: "plugin p: record 1: it is bad", cause: Bad},
		"not on fetch":                       {plugin: bad, policy: DeadLetter, fetch: true, fail: "plugin p: record 1: it is bad", cause: Bad},
		"a fault fails the batch":            {plugin: broken, fail: "plugin p: panic: no such luck", cause: Faulted},
		"a fault leaves the batch as it was": {plugin: broken, policy: Skip, want: "0@1000 k0=a h:x, 1@1001 k1=bad h:x, 2@1002 k2=c h:x"},
		"a fault buries the batch":           {plugin: broken, policy: DeadLetter, want: "", buried: 3},
		"nor a whole batch on fetch":         {plugin: broken, policy: DeadLetter, fetch: true, fail: "plugin p: panic: no such luck", cause: Faulted},
		"a rejection tells why":              {plugin: whole{of: func(*sdk.Batch) error { return sdk.Reject("closed today") }}, policy: Skip, fail: "plugin p: closed today"},
		"an error that is nil":               {plugin: whole{of: func(*sdk.Batch) error { return (*sdk.Rejection)(nil) }}, fail: "plugin p: panic: runtime error: invalid memory address or nil pointer dereference", cause: Faulted},
		"a rejection on fetch is a fault":    {plugin: whole{of: func(*sdk.Batch) error { return sdk.Reject("x") }}, fetch: true, fail: "plugin p: rejected: x", cause: Faulted},
	} {
		t.Run(name, func(t *testing.T) {
			b := records(t, batch.None, "a", "bad", "c")
			if test.inTxn {
				b = inTransaction(t, "a", "bad", "c")
			}
			plugins := []Plugin{{Name: "p", Interceptor: test.plugin, OnError: test.policy, DeadLetter: "dead"}}
			out, err := New(fixed).Run(plugins, &Input{Topic: "t", Partition: 3, ClientID: "me", Batch: b, Fetch: test.fetch})
			var refused *Refusal
			if test.fail != "" {
				if err == nil || err.Error() != test.fail || !errors.As(err, &refused) || refused.Cause != test.cause {
					t.Fatalf("got %v, want %s", err, test.fail)
				}
				return
			}
			if err != nil || text(t, out.Batch) != test.want {
				t.Fatalf("the batch is %s, %v, want %s", text(t, out.Batch), err, test.want)
			}
			buried := 0
			for _, aside := range out.Aside {
				if buried += aside.Records; aside.Topic != "dead" {
					t.Errorf("a record went to %s", aside.Topic)
				}
			}
			if buried != test.buried {
				t.Errorf("%d records were buried, want %d", buried, test.buried)
			}
		})
	}
}

func inTransaction(t *testing.T, values ...string) batch.Batch {
	var b batch.Builder
	for i, v := range values {
		b.Append(1000+int64(i), fmt.Appendf(nil, "k%d", i), []byte(v), []batch.Header{{Key: "h", Value: []byte("x")}})
	}
	out, err := b.Finish(batch.BatchOptions{ProducerID: 9, Transactional: true})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestABuriedRecordSaysWhy(t *testing.T) {
	bad := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.Fail(i, "no") }}
	b := records(t, batch.Gzip, "a", "b")
	out, err := New(fixed).Run([]Plugin{{Name: "p", Interceptor: bad, OnError: DeadLetter, DeadLetter: "dead"}}, &Input{Topic: "t", Partition: 3, ClientID: "me", Batch: b})
	if err != nil || len(out.Aside) != 1 {
		t.Fatalf("%v, %v", out.Aside, err)
	}
	at := fmt.Sprint(noon.UnixMilli())
	head := " h:x millrace.plugin:p millrace.error:no millrace.source.topic:t millrace.source.partition:3 millrace.source.client:me millrace.failed.at:" + at
	want := "0@1000 k0=a" + head + " millrace.source.sequence:9:2:40, 1@1001 k1=b" + head + " millrace.source.sequence:9:2:41"
	if got := text(t, out.Aside[0].Batch); got != want {
		t.Errorf("the dead letters are\n%s\nwant\n%s", got, want)
	}
	if aside := out.Aside[0].Batch; aside.ProducerID() != -1 || aside.Codec() != batch.Gzip {
		t.Errorf("producer %d, codec %s", aside.ProducerID(), aside.Codec())
	}
}

func TestRoutedRecordsGoElsewhere(t *testing.T) {
	route := each{of: func(b *sdk.Batch, i int, v *sdk.View) {
		switch string(v.Value) {
		case "left", "right":
			b.SetValue(i, append([]byte("to "), v.Value...))
			b.Route(i, string(v.Value))
		}
	}}
	out, err := New(fixed).Run([]Plugin{{Name: "route", Interceptor: route}}, &Input{Topic: "t", Batch: records(t, batch.None, "left", "stay", "right", "left")})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, out.Batch); got != "1@1001 k1=stay h:x" {
		t.Errorf("what stays is %s", got)
	}
	for i, want := range []string{"0@1000 k0=to left h:x, 1@1003 k3=to left h:x", "0@1002 k2=to right h:x"} {
		if got := text(t, out.Aside[i].Batch); got != want {
			t.Errorf("topic %s got %s, want %s", out.Aside[i].Topic, got, want)
		}
	}
	_, err = New(fixed).Run([]Plugin{{Name: "route", Interceptor: route}}, &Input{Topic: "t", Batch: inTransaction(t, "left")})
	if err == nil || !strings.Contains(err.Error(), "outside of its transaction") {
		t.Errorf("a record left its transaction: %v", err)
	}
	out, err = New(fixed).Run([]Plugin{{Name: "route", Interceptor: route}}, &Input{Topic: "t", Fetch: true, Batch: records(t, batch.None, "left", "stay")})
	if err != nil || len(out.Aside) != 0 || text(t, out.Batch) != "1@1001 k1=stay h:x" {
		t.Errorf("on fetch: %v, %v", out.Aside, err)
	}
}

func TestTheBreakerOpensAndCloses(t *testing.T) {
	now := noon
	calls := 0
	broken := whole{of: func(*sdk.Batch) error { calls++; return errors.New("out of order") }}
	p := []Plugin{{Name: "p", Interceptor: broken, Breaker: NewBreaker(3, time.Second, time.Minute)}}
	r := New(func() time.Time { return now })
	run := func() string {
		_, err := r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")})
		if err == nil {
			t.Fatal("a batch passed a plugin that is broken")
		}
		return err.Error()
	}
	for range 5 { // too seldom
		run()
		now = now.Add(time.Second)
	}
	calls = 0
	for range 3 {
		run()
		now = now.Add(100 * time.Millisecond)
	}
	if why := run(); !strings.Contains(why, "switched off") {
		t.Errorf("after three faults in a second: %s", why)
	}
	_, err := r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")})
	if refused, ok := errors.AsType[*Refusal](err); !ok || !refused.Off || refused.Spent {
		t.Errorf("it is not the breaker that refuses: %+v", err)
	}
	if calls > 3 || p[0].Breaker.Trips() != 1 {
		t.Errorf("%d calls, %d trips", calls, p[0].Breaker.Trips())
	}
	now = now.Add(time.Minute)
	if why := run(); !strings.Contains(why, "out of order") {
		t.Errorf("after the cool-down: %s", why)
	}
}

type tally struct{ Call }

func (c *tally) Called(one *Call) { c.Call = *one }

func TestCallsAreCounted(t *testing.T) {
	now := noon
	r := New(func() time.Time { now = now.Add(time.Millisecond); return now })
	var seen tally
	mixed := each{of: func(b *sdk.Batch, i int, v *sdk.View) {
		switch string(v.Value) {
		case "edit":
			b.SetKey(i, nil)
		case "drop":
			b.Drop(i)
		case "route":
			b.Route(i, "other")
		case "fail":
			b.Fail(i, "bad")
		}
	}}
	_, err := r.Run([]Plugin{{Name: "p", Interceptor: mixed, OnError: DeadLetter, DeadLetter: "dead", Watcher: &seen}},
		&Input{Topic: "t", Batch: records(t, batch.None, "edit", "drop", "route", "fail", "keep")})
	want := Call{Took: time.Millisecond, In: 5, Out: 2, Edited: 1, Dropped: 1, Routed: 1, Failed: 1, DeadLettered: 1}
	if err != nil || seen.Call != want {
		t.Errorf("counted %+v, want %+v; %v", seen.Call, want, err)
	}
}

// thirsty uses up ten units for each record.
type thirsty struct {
	sdk.Nop
	used int64
}

func (p *thirsty) OnProduce(b *sdk.Batch) error {
	p.used += 10 * int64(b.Len())
	return errors.New("no more")
}

func (p *thirsty) Spent() int64 { return p.used }

func TestFuelIsCountedByCall(t *testing.T) {
	var seen tally
	p := &thirsty{used: 1000}
	for range 2 {
		_, err := New(fixed).Run([]Plugin{{Name: "p", Interceptor: p, OnError: Skip, Watcher: &seen}}, &Input{Topic: "t", Batch: records(t, batch.None, "a", "b", "c")})
		if err != nil || seen.Fuel != 30 {
			t.Errorf("a call that used 30 is counted as %d, %v", seen.Fuel, err)
		}
	}
}

// purse lends so much and no more.
type purse struct{ left, lent int }

var errPoor = errors.New("there is no memory")

func (p *purse) Borrow(n int) error {
	if n > p.left {
		return errPoor
	}
	p.left, p.lent = p.left-n, p.lent+n
	return nil
}

func (p *purse) Return(n int) { p.left, p.lent = p.left+n, p.lent-n }

func TestWhatIsLentComesBack(t *testing.T) {
	big := strings.Repeat("x", 2*keep)
	grow := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, append(bytes.Clone(v.Value), v.Value...)) }}
	b := records(t, batch.LZ4, big, "b")
	r := New(fixed)
	rich := &purse{left: 64 << 20}
	out, err := r.Run([]Plugin{{Name: "grow", Interceptor: grow}}, &Input{Topic: "t", Batch: b, Memory: rich})
	if err != nil || rich.lent != cap(out.Batch) {
		t.Errorf("%d bytes are lent for a batch that takes %d, %v", rich.lent, cap(out.Batch), err)
	}
	for money := 0; money < 4*keep; money += keep / 2 {
		poor := &purse{left: money}
		if _, err := r.Run([]Plugin{{Name: "grow", Interceptor: grow, OnError: Skip}}, &Input{Topic: "t", Batch: b, Memory: poor}); !errors.Is(err, errPoor) || poor.lent != 0 {
			t.Errorf("with %d bytes: %v, %d are lent", money, err, poor.lent)
		}
	}
}

func TestABatchMustNotGrowTooLarge(t *testing.T) {
	grow := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, make([]byte, 4000)) }}
	var refused *Refusal
	for name, in := range map[string]Input{
		"encoded":      {Topic: "t", MaxSize: 1000},
		"decompressed": {Topic: "t", MaxPlain: 1000},
	} {
		in.Batch = records(t, batch.None, "a", "b")
		if _, err := New(fixed).Run([]Plugin{{Name: "grow", Interceptor: grow}}, &in); !errors.As(err, &refused) || refused.Cause != TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	bomb := records(t, batch.Gzip, strings.Repeat("x", 100_000))
	if _, err := New(fixed).Run([]Plugin{{Name: "look", Interceptor: drop()}}, &Input{Topic: "t", MaxPlain: 10_000, Batch: bomb}); !errors.Is(err, batch.ErrSize) {
		t.Errorf("a batch of 100 kB was decompressed into 10: %v", err)
	}
}

func TestKeysOfACompactedTopicStay(t *testing.T) {
	take := each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetKey(i, nil) }}
	_, err := New(fixed).Run([]Plugin{{Name: "take", Interceptor: take}}, &Input{Topic: "t", Keys: true, Batch: records(t, batch.None, "a")})
	if err == nil || !strings.Contains(err.Error(), "has no key any more") {
		t.Errorf("got %v", err)
	}
}

func TestAGuardCannotBeSkipped(t *testing.T) {
	for name, test := range map[string]struct {
		plugin Plugin
		fine   bool
	}{
		"guard, fail":           {Plugin{Interceptor: guarded{}}, true},
		"guard, skip":           {Plugin{Interceptor: guarded{}, OnError: Skip}, false},
		"guard, dlq":            {Plugin{Interceptor: guarded{}, OnError: DeadLetter, DeadLetter: "d"}, true},
		"no guard, skip":        {Plugin{Interceptor: whole{}, OnError: Skip}, true},
		"dlq without its topic": {Plugin{Interceptor: whole{}, OnError: DeadLetter}, false},
	} {
		if err := test.plugin.Check(); (err == nil) != test.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLiesInACompressedBatchAreFound(t *testing.T) {
	b := records(t, batch.LZ4, "a", "b")
	lie, err := batch.Rebuild(nil, b, []byte{1, 2, 3}, batch.RebuildOptions{Count: 2, Codec: batch.LZ4, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, fetch := range []bool{false, true} {
		if _, err := New(fixed).Run([]Plugin{{Name: "look", Interceptor: drop()}}, &Input{Topic: "t", Batch: lie, Fetch: fetch}); err == nil {
			t.Error("three bytes passed for two records")
		}
	}
}

// FuzzRun has a plugin do what the fuzzer says to the records of any batch that passes the
// checks of a broker: whatever comes out holds together, and has the sequences of what came in.
func FuzzRun(f *testing.F) {
	for codec := range batch.Zstd + 1 {
		f.Add([]byte(records(f, codec, "a", "b", "c")), []byte{1, 2, 3})
	}
	fuzz.Run(f, func(t *testing.T, data, deeds []byte) {
		b := batch.Batch(data)
		if b.Check() != nil || b.Control() || b.Count() <= 0 || b.Count() != b.LastOffsetDelta()+1 {
			return
		}
		if b.Codec() == batch.None && batch.CheckRecords(b[batch.HeaderSize:], b.Count(), false) != nil {
			return
		}
		deed := each{of: func(b *sdk.Batch, i int, v *sdk.View) {
			if len(deeds) == 0 {
				return
			}
			switch d := deeds[i%len(deeds)]; d % 6 {
			case 1:
				b.Drop(i)
			case 2:
				b.SetValue(i, deeds)
			case 3:
				b.AddHeader(i, "h", v.Key)
			case 4:
				b.Route(i, "other")
			case 5:
				b.Fail(i, "bad")
			}
		}}
		p := Plugin{Name: "p", Interceptor: deed, OnError: DeadLetter, DeadLetter: "dead"}
		out, err := New(fixed).Run([]Plugin{p, p}, &Input{Topic: "t", Batch: b, MaxPlain: 1 << 20})
		if err != nil {
			return
		}
		o := out.Batch
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		if o.LastSequence() != b.LastSequence() || o.BaseSequence() != b.BaseSequence() || o.ProducerID() != b.ProducerID() || o.LastOffsetDelta() != b.LastOffsetDelta() {
			t.Fatalf("header %x became %x", b[:batch.HeaderSize], o[:batch.HeaderSize])
		}
		text(t, o)
	})
}

func TestAChainAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	mask := []byte("XXXX")
	p := []Plugin{{Name: "mask", Interceptor: each{of: func(b *sdk.Batch, i int, v *sdk.View) {
		if i%3 == 0 {
			b.SetValue(i, mask)
		}
		if i%5 == 0 {
			b.AddHeader(i, "h", mask)
		}
	}}}, {Name: "drop", Interceptor: drop("b")}}
	values := make([]string, 100)
	for i := range values {
		values[i] = string(rune('a' + i%7))
	}
	in := &Input{Topic: "t", Batch: records(t, batch.None, values...), Into: make([]byte, 1<<16)}
	r := New(fixed)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := r.Run(p, in); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a batch of 100 records, want 0", n)
	}
}

func BenchmarkRun(b *testing.B) {
	values := make([]string, 149)
	for i := range values {
		values[i] = strings.Repeat("v", 100)
	}
	mask := []byte(strings.Repeat("m", 100))
	for name, plugin := range map[string]sdk.Interceptor{
		"looks": drop("none"),
		"masks": each{of: func(b *sdk.Batch, i int, v *sdk.View) { b.SetValue(i, mask) }},
	} {
		b.Run(name, func(b *testing.B) {
			in := &Input{Topic: "t", Batch: records(b, batch.None, values...), Into: make([]byte, 1<<16)}
			r, p := New(fixed), []Plugin{{Name: name, Interceptor: plugin}}
			b.SetBytes(int64(len(in.Batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Run(p, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
