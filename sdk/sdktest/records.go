package sdktest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
)

// ProducerInterceptorSubject is an interceptor of single records in producers. Its fields are as in
// PartitionerSubject; without a Module only the native one is looked at.
type ProducerInterceptorSubject struct {
	New    func(c sdk.Config) (sdk.ProducerInterceptor, error)
	Config map[string]string
	Module string
	Limits map[string]string
}

// ConsumerInterceptorSubject is the same for consumers.
type ConsumerInterceptorSubject struct {
	New    func(c sdk.Config) (sdk.ConsumerInterceptor, error)
	Config map[string]string
	Module string
	Limits map[string]string
}

// ProducerInterceptor holds an interceptor to its contract: whatever a record holds, it does not panic,
// and leaves keys and values of the types that they had. Given a module, that must make the same of
// the same records, among them acknowledgements; then it is taken away what it needs.
func ProducerInterceptor(t *testing.T, s ProducerInterceptorSubject) {
	t.Helper()
	checkProducerInterceptor(t, s)
}

func checkProducerInterceptor(t T, s ProducerInterceptorSubject) {
	t.Helper()
	native, err := made(s.New, s.Config)
	if err != nil {
		t.Fatalf("make the interceptor: %v", err)
		return
	}
	defer closed(native)
	var module sdk.ProducerInterceptor = nothing{}
	if s.Module != "" {
		if module, err = sdk.ProducerInterceptors.New("wasm", config(t, s.Module, s.Config, s.Limits, nil)); err != nil {
			t.Fatalf("load the module: %v", err)
			return
		}
	}
	defer closed(module)
	before, other := clientRecords(-1, -1), clientRecords(-1, -1)
	for n, r := range clientRecords(-1, -1) {
		err1 := native.OnSend(r)
		if err1 == nil {
			sameTypes(t, n, before[n], r)
		}
		if s.Module == "" {
			continue
		}
		err2 := module.OnSend(other[n])
		if err2 != nil && shown(other[n]) != shown(before[n]) {
			t.Errorf("record %d: the module failed, and left\n%.400s", n, shown(other[n]))
		}
		if err1 == nil && errors.Is(err2, wasm.ErrGuest) && !tellable(before[n]) {
			continue
		}
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("%.400s: the module says %v, the native interceptor %v", shown(before[n]), err2, err1)
		} else if want := shown(r); err1 == nil && shown(other[n]) != want {
			t.Errorf("record %d: the module makes\n%.400s\nof it, and the native interceptor\n%.400s", n, shown(other[n]), want)
		}
		if n%3 == 2 {
			at, failure := sdk.RecordMetadata{TopicPartition: sdk.TopicPartition{Topic: r.Topic, Partition: 1}, Offset: int64(n), Timestamp: time.UnixMilli(7)}, error(nil)
			if n%2 == 0 {
				at.Offset, failure = -1, errors.New("it was lost")
			}
			native.OnAck(at, failure)
			module.OnAck(at, failure)
		}
	}
	checkRecordBudget(t, native.OnSend)
	if s.Module == "" {
		return
	}
	checkRecordTrouble(t, module, module.OnSend)
	starvedRecords(t, func(c sdk.Config) (func(*sdk.Record) error, any, error) {
		i, err := sdk.ProducerInterceptors.New("wasm", c)
		if err != nil {
			return nil, nil, err
		}
		return i.OnSend, i, nil
	}, s.Module, s.Config, s.Limits)
}

// ConsumerInterceptor does for interceptors of consumers what ProducerInterceptor does for those of
// producers, with commits instead of acknowledgements.
func ConsumerInterceptor(t *testing.T, s ConsumerInterceptorSubject) {
	t.Helper()
	checkConsumerInterceptor(t, s)
}

func checkConsumerInterceptor(t T, s ConsumerInterceptorSubject) {
	t.Helper()
	native, err := made(s.New, s.Config)
	if err != nil {
		t.Fatalf("make the interceptor: %v", err)
		return
	}
	defer closed(native)
	var module sdk.ConsumerInterceptor = nothing{}
	if s.Module != "" {
		if module, err = sdk.ConsumerInterceptors.New("wasm", config(t, s.Module, s.Config, s.Limits, nil)); err != nil {
			t.Fatalf("load the module: %v", err)
			return
		}
	}
	defer closed(module)
	var alone sdk.ConsumerInterceptor = nothing{}
	if s.Module != "" {
		if alone, err = made(s.New, s.Config); err != nil {
			t.Fatalf("make the interceptor again: %v", err)
			return
		}
	}
	defer closed(alone)
	count := len(clientRecords(0, 0))
	for n, end := 0, 0; n < count; n = end { // polls of 1, 2, 3, 4, 1, … records
		end = min(n+1+n%4, count)
		before, one := clientRecords(2, 40)[n:end], clientRecords(2, 40)[n:end]
		want, err1 := native.OnConsume(slices.Clone(one))
		for _, r := range want {
			if at := slices.Index(one, r); err1 == nil && at >= 0 {
				sameTypes(t, n+at, before[at], r)
			}
		}
		if s.Module == "" {
			continue
		}
		polled(t, alone, module, n, end)
		offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: "orders", Partition: 2}: {Offset: 40 + int64(end), LeaderEpoch: -1}, {Topic: "s"}: {Metadata: "m"}}
		native.OnCommit(offsets)
		alone.OnCommit(offsets)
		module.OnCommit(offsets)
	}
	checkRecordBudget(t, func(r *sdk.Record) error { _, err := native.OnConsume([]*sdk.Record{r}); return err })
	if s.Module == "" {
		return
	}
	checkRecordTrouble(t, module, func(r *sdk.Record) error { _, err := module.OnConsume([]*sdk.Record{r}); return err })
	starvedRecords(t, func(c sdk.Config) (func(*sdk.Record) error, any, error) {
		i, err := sdk.ConsumerInterceptors.New("wasm", c)
		if err != nil {
			return nil, nil, err
		}
		return func(r *sdk.Record) error { _, err := i.OnConsume([]*sdk.Record{r}); return err }, i, nil
	}, s.Module, s.Config, s.Limits)
}

// polled compares what a module made of the records of a poll with what the native interceptor makes of
// them alone: what one fails at stays as it was, and the others are not changed by that.
func polled(t T, native, module sdk.ConsumerInterceptor, first, end int) {
	t.Helper()
	before, one, other := clientRecords(2, 40)[first:end], clientRecords(2, 40)[first:end], clientRecords(2, 40)[first:end]
	got, err := module.OnConsume(slices.Clone(other))
	var fails error
	untold := false
	var want []*sdk.Record
	for n, r := range one {
		after, wrong := native.OnConsume([]*sdk.Record{r})
		switch {
		case wrong != nil:
			fails = cmp.Or(fails, wrong)
			want = append(want, before[n])
		case errors.Is(err, wasm.ErrGuest) && !tellable(before[n]):
			untold = true
			want = append(want, before[n])
		default:
			want = append(want, after...)
		}
	}
	var some *sdk.PassedOver
	if err != nil && !errors.As(err, &some) || (err != nil) != (fails != nil || untold) {
		t.Errorf("records %d to %d: the module says %v, the native interceptor %v", first, end, err, fails)
	} else if allShown(got) != allShown(want) {
		t.Errorf("records %d to %d: the module makes\n%.400s\nof them, and the native interceptor\n%.400s", first, end, allShown(got), allShown(want))
	}
}

// tellable reports whether all modules can be told a record: one in Rust can not, and says so, if text or the key
// of a header is not UTF-8.
func tellable(r *sdk.Record) bool {
	for _, v := range []any{r.Key, r.Value} {
		if text, is := v.(string); is && !utf8.ValidString(text) {
			return false
		}
	}
	return !slices.ContainsFunc(r.Headers, func(h sdk.Header) bool { return !utf8.ValidString(h.Key) })
}

// nothing is the module of a subject that has none.
type nothing struct{}

func (nothing) OnSend(*sdk.Record) error                               { return nil }
func (nothing) OnAck(sdk.RecordMetadata, error)                        {}
func (nothing) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) { return records, nil }
func (nothing) OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata)  {}

// checkRecordBudget counts what interceptors of single records allocate.
func checkRecordBudget(t T, see func(*sdk.Record) error) {
	t.Helper()
	r := clientRecords(2, 40)[1]
	checkBudget(t, "seeing a record", 0, func() {
		one := *r
		one.Headers = slices.Clone(r.Headers)
		_ = see(&one)
	})
}

// checkRecordTrouble is checkTrouble with the first record that the module takes, which must stay as it was whenever the module fails.
func checkRecordTrouble(t T, module any, see func(*sdk.Record) error) {
	t.Helper()
	which := slices.IndexFunc(clientRecords(2, 40), func(r *sdk.Record) bool { return see(r) == nil })
	if which < 0 {
		return // it takes none of them
	}
	before := shown(clientRecords(2, 40)[which])
	checkTrouble(t, "the interceptor", module, true, func() (string, error) {
		r := clientRecords(2, 40)[which]
		err := see(r)
		if err != nil && shown(r) != before {
			t.Errorf("the module failed (%v), and left\n%.400s", err, shown(r))
		}
		return shown(r), err
	})
}

// starvedRecords takes away what a module needs: it must be cut off, and the record stay as it was.
func starvedRecords(t T, load func(sdk.Config) (func(*sdk.Record) error, any, error), module string, own, limits map[string]string) {
	t.Helper()
	show, starved, err := load(config(t, module, own, limits, starving))
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(starved)
	before, after := clientRecords(2, 40), clientRecords(2, 40)
	for n := range 3 {
		if err := show(after[n]); !errors.Is(err, wasm.ErrFuel) {
			t.Errorf("the module without fuel says %v", err)
		}
		if shown(after[n]) != shown(before[n]) {
			t.Errorf("the module without fuel has changed the record to %.400s", shown(after[n]))
		}
	}
	noMemory(t, func(c sdk.Config) (any, error) { _, made, err := load(c); return made, err }, module, own)
}

// clientRecords are records with keys and values of all types that a module may be shown as such,
// the first of them at an offset, or all at −1.
func clientRecords(partition int32, offset int64) (all []*sdk.Record) {
	values := []any{[]byte("value"), "text", nil, []byte{}, "", int64(-7), uint64(1 << 63), 0.5, true, "debug: x", []byte("secret"), strings.Repeat("long ", 20_000)}
	for _, r := range hostile() {
		values = append(values, bytes.Clone(r.Value))
	}
	headers := [][]sdk.Header{nil, {{Key: "a", Value: []byte("1")}, {Key: "", Value: nil}, {Key: "e", Value: []byte{}}}, {{Key: "origin", Value: []byte("elsewhere")}}}
	times := []time.Time{{}, time.UnixMilli(0), time.UnixMilli(1_700_000_000_123)}
	for n, v := range values {
		if p, ok := v.([]byte); ok && p == nil {
			v = nil
		}
		r := &sdk.Record{Topic: "orders", Partition: partition, Offset: -1, Timestamp: times[n%len(times)], Headers: slices.Clone(headers[n%len(headers)]), Key: values[(n+3)%9], Value: v}
		all = append(all, r)
	}
	// What whoever produces a record may put into it, and many a module cannot be told.
	all[5].Headers = make([]sdk.Header, 1100)
	for n := range all[5].Headers {
		all[5].Headers[n] = sdk.Header{Key: "many", Value: bytes.Repeat([]byte("x"), 100)} // for which there is fuel
	}
	all[8].Headers = append(all[8].Headers, sdk.Header{Key: "\xff", Value: []byte("x")})
	all[13].Value = "on\xff"
	for n, r := range all {
		if offset >= 0 {
			r.Offset = offset + int64(n)
		}
	}
	return all
}

// sameTypes says so when an interceptor has left a key or value that its client cannot take.
func sameTypes(t T, n int, before, after *sdk.Record) {
	t.Helper()
	for what, pair := range map[string][2]any{"key": {before.Key, after.Key}, "value": {before.Value, after.Value}} {
		if was, is := reflect.TypeOf(pair[0]), reflect.TypeOf(pair[1]); was != is && is != nil && was != nil {
			t.Errorf("record %d: it makes a %v of a %s that was a %v", n, is, what, was)
		}
	}
}

// shown is all that a record is.
func shown(r *sdk.Record) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s-%d at %d", r.Topic, r.Partition, r.Offset)
	if !r.Timestamp.IsZero() {
		fmt.Fprintf(&out, ", %d", r.Timestamp.UnixMilli())
	}
	fmt.Fprintf(&out, ": %T %q = %T %q", r.Key, fmt.Sprint(r.Key), r.Value, fmt.Sprint(r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&out, ", %q:%q (null: %t)", h.Key, h.Value, h.Value == nil)
	}
	return out.String()
}

func allShown(all []*sdk.Record) string {
	var out strings.Builder
	for _, r := range all {
		out.WriteString(shown(r) + "\n")
	}
	return out.String()
}
