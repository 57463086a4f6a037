package chain_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// scripted does to each record what its value says.
type scripted struct{ sdk.Nop }

func (scripted) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		switch what, rest, _ := strings.Cut(string(v.Value), " "); what {
		case "drop":
			b.Drop(i)
		case "edit":
			b.SetValue(i, []byte("edited "+rest))
		case "route":
			b.Route(i, "elsewhere")
		case "bad":
			b.Fail(i, "as told")
		case "reject":
			return sdk.Reject("as told")
		}
	}
	return nil
}

func filled(values ...string) *batch.Builder {
	var b batch.Builder
	for i, v := range values {
		b.Append(int64(1000+10*i), fmt.Appendf(nil, "%d", i), []byte(v), nil)
	}
	return &b
}

func inside(b *batch.Builder) string {
	var out []string
	for r := b.Records(); r.Next(); {
		one := r.Record()
		out = append(out, fmt.Sprintf("%d at %d: %s", one.OffsetDelta, b.Base()+one.TimestampDelta, one.Value))
	}
	return strings.Join(out, ", ")
}

// outsides are records that go to other topics.
func outsides(all []chain.Aside) string {
	var out []string
	for _, one := range all {
		var b batch.Builder
		for r := batch.Walk(one.Batch[batch.HeaderSize:], one.Batch.Count()); r.Next(); {
			is := r.Record()
			b.Append(one.Batch.BaseTimestamp()+is.TimestampDelta, is.Key, is.Value, is.Headers)
		}
		out = append(out, fmt.Sprintf("%s %v: %s", one.Topic, one.Places, inside(&b)))
	}
	return strings.Join(out, "; ")
}

func TestRefill(t *testing.T) {
	for name, test := range map[string]struct {
		values []string
		left   string
		kept   string
		others string
		fail   chain.Cause
	}{
		"nothing changes":     {[]string{"a", "b"}, "0 at 1000: a, 1 at 1010: b", "[]", "", -1},
		"one is edited":       {[]string{"a", "edit b", "c"}, "0 at 1000: a, 1 at 1010: edited b, 2 at 1020: c", "[0 1 2]", "", -1},
		"some are dropped":    {[]string{"drop", "b", "drop", "d"}, "0 at 1010: b, 1 at 1030: d", "[1 3]", "", -1},
		"all are dropped":     {[]string{"drop", "drop"}, "", "[]", "", -1},
		"one is bad":          {[]string{"a", "bad"}, "0 at 1000: a, 1 at 1010: bad", "[]", "", chain.Bad},
		"all are rejected":    {[]string{"drop", "reject"}, "0 at 1000: drop, 1 at 1010: reject", "[]", "", chain.Rejected},
		"one goes elsewhere":  {[]string{"a", "route"}, "0 at 1000: a", "[0]", "elsewhere [1]: 0 at 1010: route", -1},
		"two go elsewhere":    {[]string{"route", "drop", "c", "route d"}, "0 at 1020: c", "[2]", "elsewhere [0 3]: 0 at 1000: route, 1 at 1030: route d", -1},
		"all go elsewhere":    {[]string{"route", "route"}, "", "[]", "elsewhere [0 1]: 0 at 1000: route, 1 at 1010: route", -1},
		"elsewhere, rejected": {[]string{"route", "reject"}, "0 at 1000: route, 1 at 1010: reject", "[]", "", chain.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			b := filled(test.values...)
			kept, others, err := chain.New(time.Now).Refill([]chain.Plugin{{Name: "scripted", Interceptor: scripted{}}}, &chain.Input{Topic: "t"}, b)
			if got := inside(b); got != test.left || fmt.Sprint(kept) != test.kept {
				t.Errorf("left is %q, of places %v; want %q, %s", got, kept, test.left, test.kept)
			}
			if got := outsides(others); got != test.others {
				t.Errorf("to other topics go %q, want %q", got, test.others)
			}
			refused, ok := errors.AsType[*chain.Refusal](err)
			if ok != (test.fail >= 0) || ok && refused.Cause != test.fail {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestRefillOfAllIsNotOfNothing(t *testing.T) {
	kept, _, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: scripted{}}}, &chain.Input{}, filled("drop"))
	if kept == nil || len(kept) > 0 || err != nil {
		t.Errorf("%v, %v", kept, err)
	}
}

func TestRefillOfLargerRecords(t *testing.T) {
	b := filled("a", "edit "+strings.Repeat("x", 100))
	_, _, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: scripted{}}}, &chain.Input{MaxSize: 100}, b)
	if refused, ok := errors.AsType[*chain.Refusal](err); !ok || refused.Cause != chain.TooLarge {
		t.Errorf("%v", err)
	}
	if !bytes.Contains([]byte(inside(b)), []byte("edit xx")) {
		t.Error("the builder has changed")
	}
}

// outside keeps records out of transactions.
type outside struct{ sdk.Nop }

func (outside) OnProduce(b *sdk.Batch) error {
	if b.Header.Transactional() {
		return sdk.Reject("of a transaction")
	}
	return nil
}

func TestRefillSaysWhatIsOfATransaction(t *testing.T) {
	for _, is := range []bool{false, true} {
		_, _, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: outside{}}}, &chain.Input{Transactional: is}, filled("a"))
		if (err != nil) != is {
			t.Errorf("in a transaction %v: %v", is, err)
		}
	}
}

// Two plugins with one dead-letter topic: the second buries a record that stood before.
func TestRefillPutsDeadLettersAside(t *testing.T) {
	late := whole{func(b *sdk.Batch) error {
		for i, v := range b.All() {
			if string(v.Value) == "late" {
				b.Fail(i, "too late")
			}
		}
		return nil
	}}
	b := filled("a", "late", "bad", "edit d")
	kept, others, err := chain.New(time.Now).Refill([]chain.Plugin{
		{Name: "scripted", Interceptor: scripted{}, OnError: chain.DeadLetter, DeadLetter: "dead"},
		{Name: "late", Interceptor: late, OnError: chain.DeadLetter, DeadLetter: "dead"},
	}, &chain.Input{Topic: "t", Partition: 3, ClientID: "shop"}, b)
	if err != nil || fmt.Sprint(kept) != "[0 3]" || inside(b) != "0 at 1000: a, 1 at 1030: edited d" {
		t.Errorf("left is %q of places %v, %v", inside(b), kept, err)
	}
	if got := outsides(others); got != "dead [2 1]: 0 at 1020: bad, 1 at 1010: late" {
		t.Errorf("dead letters are %q", got)
	}
	r := batch.Walk(others[0].Batch[batch.HeaderSize:], 2)
	r.Next()
	var headers []string
	for _, h := range r.Record().Headers[:5] {
		headers = append(headers, h.Key+"="+string(h.Value))
	}
	want := "millrace.plugin=scripted millrace.error=as told millrace.source.topic=t millrace.source.partition=3 millrace.source.client=shop"
	if got := strings.Join(headers, " "); got != want {
		t.Errorf("headers are %s", got)
	}
}

// whole is a plugin that is asked about every batch.
type whole struct{ of func(b *sdk.Batch) error }

func (w whole) OnProduce(b *sdk.Batch) error { return w.of(b) }
func (w whole) OnFetch(b *sdk.Batch) error   { return w.of(b) }

// In a transaction nothing leaves for another topic.
func TestRefillKeepsATransactionTogether(t *testing.T) {
	for value, policy := range map[string]chain.Policy{"route": chain.Fail, "bad": chain.DeadLetter} {
		b := filled("a", value)
		_, others, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: scripted{}, OnError: policy, DeadLetter: "dead"}}, &chain.Input{Topic: "t", Transactional: true}, b)
		if refused, ok := errors.AsType[*chain.Refusal](err); !ok || refused.Cause != chain.Bad || len(others) > 0 || b.Count() != 2 {
			t.Errorf("%s: %v, %d batches for other topics", value, err, len(others))
		}
	}
}
