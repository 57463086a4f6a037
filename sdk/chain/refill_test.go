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

func TestRefill(t *testing.T) {
	for name, test := range map[string]struct {
		values []string
		left   string
		kept   string
		fail   chain.Cause
	}{
		"nothing changes":    {[]string{"a", "b"}, "0 at 1000: a, 1 at 1010: b", "[]", -1},
		"one is edited":      {[]string{"a", "edit b", "c"}, "0 at 1000: a, 1 at 1010: edited b, 2 at 1020: c", "[0 1 2]", -1},
		"some are dropped":   {[]string{"drop", "b", "drop", "d"}, "0 at 1010: b, 1 at 1030: d", "[1 3]", -1},
		"all are dropped":    {[]string{"drop", "drop"}, "", "[]", -1},
		"one is bad":         {[]string{"a", "bad"}, "0 at 1000: a, 1 at 1010: bad", "[]", chain.Bad},
		"all are rejected":   {[]string{"drop", "reject"}, "0 at 1000: drop, 1 at 1010: reject", "[]", chain.Rejected},
		"one goes elsewhere": {[]string{"a", "route"}, "0 at 1000: a, 1 at 1010: route", "[]", chain.Faulted},
	} {
		t.Run(name, func(t *testing.T) {
			b := filled(test.values...)
			kept, err := chain.New(time.Now).Refill([]chain.Plugin{{Name: "scripted", Interceptor: scripted{}}}, &chain.Input{Topic: "t"}, b)
			if got := inside(b); got != test.left || fmt.Sprint(kept) != test.kept {
				t.Errorf("left is %q, of places %v; want %q, %s", got, kept, test.left, test.kept)
			}
			refused, ok := errors.AsType[*chain.Refusal](err)
			if ok != (test.fail >= 0) || ok && refused.Cause != test.fail {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestRefillOfAllIsNotOfNothing(t *testing.T) {
	kept, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: scripted{}}}, &chain.Input{}, filled("drop"))
	if kept == nil || len(kept) > 0 || err != nil {
		t.Errorf("%v, %v", kept, err)
	}
}

func TestRefillOfLargerRecords(t *testing.T) {
	b := filled("a", "edit "+strings.Repeat("x", 100))
	_, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: scripted{}}}, &chain.Input{MaxSize: 100}, b)
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
		_, err := chain.New(time.Now).Refill([]chain.Plugin{{Interceptor: outside{}}}, &chain.Input{Transactional: is}, filled("a"))
		if (err != nil) != is {
			t.Errorf("in a transaction %v: %v", is, err)
		}
	}
}
