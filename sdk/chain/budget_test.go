package chain

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// TestConversations runs the scripts in testdata/conversations: lives of a budget, whose time passes
// when the script says so.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		life := budgetLife{now: noon}
		datadriven.RunTest(t, path, life.run)
	})
}

type budgetLife struct {
	now time.Time
	b   *Budget
}

func (l *budgetLife) run(t *testing.T, d *datadriven.TestData) string {
	told := ""
	switch d.Cmd {
	case "budget":
		l.now, l.b = noon, NewBudget(span(t, d, "each"), "it is spent")
	case "draw": // what a call took that ends now
		l.b.Draw(l.now, span(t, d, "took"))
	case "wait":
		l.now = l.now.Add(span(t, d, "for"))
	case "ask": // for a call again and again, each of which takes so long and fails
		told = l.ask(span(t, d, "took"), span(t, d, "every"), span(t, d, "for"))
	case "now-and-then": // one call every so often, each of which takes so long and fails
		told = l.nowAndThen(span(t, d, "took"), span(t, d, "every"), span(t, d, "for"))
	default:
		t.Fatalf("%s: what is %q?", d.Pos, d.Cmd)
	}
	if err := l.b.Spent(l.now); err != nil {
		return told + err.Error() + "\n"
	}
	return told + "a call may be made\n"
}

func (l *budgetLife) ask(took, every, lasts time.Duration) string {
	calls, refused := 0, 0
	for end := l.now.Add(lasts); l.now.Before(end); {
		if l.b.Spent(l.now) != nil {
			refused++
			l.now = l.now.Add(every)
			continue
		}
		calls++
		l.now = l.now.Add(took)
		l.b.Draw(l.now, took)
	}
	return fmt.Sprintf("%d calls took %v, %d were refused\n", calls, time.Duration(calls)*took, refused)
}

func (l *budgetLife) nowAndThen(took, every, lasts time.Duration) string {
	calls, refused := 0, 0
	for end := l.now.Add(lasts); l.now.Before(end); l.now = l.now.Add(every) {
		if l.b.Spent(l.now) != nil {
			refused++
			continue
		}
		calls++
		l.b.Draw(l.now, took)
	}
	return fmt.Sprintf("%d calls took %v, %d were refused\n", calls, time.Duration(calls)*took, refused)
}

func span(t *testing.T, d *datadriven.TestData, key string) time.Duration {
	var text string
	d.ScanArgs(t, key, &text)
	parsed, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", d.Pos, err)
	}
	return parsed
}

// slow is a plugin whose calls take as long as it says, on a clock that only they move, and mend aside.
type slow struct {
	sdk.Nop
	now    *time.Time
	takes  time.Duration
	fails  error
	mends  time.Duration
	called int
}

func (s *slow) OnProduce(*sdk.Batch) error {
	s.called++
	*s.now = s.now.Add(s.takes)
	return s.fails
}

func (s *slow) OnFetch(b *sdk.Batch) error { return s.OnProduce(b) }

func (s *slow) Mended() time.Duration { return s.mends }

// ruled is what settings make of a plugin.
func ruled(t *testing.T, of sdk.Interceptor, texts map[string]string) []Plugin {
	t.Helper()
	p, _, _, err := Rules("p", texts, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	p.Interceptor = of
	return []Plugin{p}
}

func TestFaultsHaveABudget(t *testing.T) {
	const said = "plugin p: its calls that failed took more than the 10ms of each second that they may: mend it, or raise plugin.p.fault.budget.ms"
	for name, test := range map[string]struct {
		plugin slow
		texts  map[string]string
		calls  int // of 20 batches, one after the other
		said   string
	}{
		"calls that fail":                {slow{takes: 40 * time.Millisecond, fails: errors.New("no")}, nil, 3, said},
		"and what mending them takes":    {slow{takes: 10 * time.Millisecond, mends: 30 * time.Millisecond, fails: errors.New("no")}, nil, 3, said},
		"one is enough if it takes long": {slow{takes: time.Second, fails: errors.New("no")}, nil, 1, said},
		"not those that go well":         {slow{takes: time.Second}, nil, 20, ""},
		"not those that refuse a batch":  {slow{takes: time.Second, fails: sdk.Reject("closed")}, nil, 20, "plugin p: closed"},
		"more, if settings say so":       {slow{takes: 40 * time.Millisecond, fails: errors.New("no")}, map[string]string{"fault.budget.ms": "25"}, 7, strings.Replace(said, "10ms", "25ms", 1)},
		"none, if settings say so":       {slow{takes: 40 * time.Millisecond, fails: errors.New("no")}, map[string]string{"fault.budget.ms": "0"}, 20, "plugin p: no"},
		"all calls, if settings say so": {slow{takes: 300 * time.Millisecond}, map[string]string{"call.budget.ms": "100"}, 4,
			"plugin p: its calls took more than the 100ms of each second that they may: make it faster, send it less, or raise plugin.p.call.budget.ms"},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon
			plugin := test.plugin
			plugin.now = &now
			texts := map[string]string{"breaker.faults": "0"}
			for key, text := range test.texts {
				texts[key] = text
			}
			var seen tally
			p := ruled(t, &plugin, texts)
			p[0].Watcher = &seen
			r := New(func() time.Time { return now })
			var last error
			for range 20 {
				_, last = r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")})
			}
			told := ""
			if last != nil {
				told = last.Error()
			}
			if plugin.called != test.calls || told != test.said {
				t.Errorf("%d calls and then %q, want %d and %q", plugin.called, told, test.calls, test.said)
			}
			if spent := test.calls < 20; seen.Spent != spent || seen.Off != spent || spent && seen.Fault {
				t.Errorf("the watcher heard of %+v", seen.Call)
			}
			now = now.Add(2 * time.Minute)
			if _, err := r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")}); plugin.called != test.calls+1 {
				t.Errorf("minutes later it is not called: %v", err)
			}
		})
	}
}

// While a budget is spent the policy of the plugin decides, as when it is switched off.
func TestPoliciesWhileABudgetIsSpent(t *testing.T) {
	for policy, want := range []string{Fail: "refused", Skip: "0@1000 k0=a h:x", DeadLetter: ""} {
		now := noon
		p := ruled(t, &slow{now: &now, takes: time.Second, fails: errors.New("no")}, map[string]string{"on.error": Policy(policy).String(), "dlq.topic": "dead"})
		r := New(func() time.Time { return now })
		in := Input{Topic: "t", Batch: records(t, batch.None, "a")}
		_, _ = r.Run(p, &in)
		out, err := r.Run(p, &in)
		if want == "refused" {
			if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Cause != Faulted || !refused.Off || !refused.Spent {
				t.Errorf("%s: %+v", Policy(policy), err)
			}
			continue
		}
		if err != nil || text(t, out.Batch) != want || Policy(policy) == DeadLetter && !strings.Contains(text(t, out.Aside[0].Batch), "raise plugin.p.fault.budget.ms") {
			t.Errorf("%s: %v, %v", Policy(policy), out, err)
		}
	}
}

// A plugin that is not called while its budget is spent has not failed: its breaker counts faults.
func TestARefusalForLackOfBudgetIsNoFault(t *testing.T) {
	now := noon
	p := ruled(t, &slow{now: &now, takes: 105 * time.Millisecond, fails: errors.New("no")}, map[string]string{"breaker.faults": "2"})
	r := New(func() time.Time { return now })
	for range 10 {
		_, _ = r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")})
	}
	if p[0].Breaker.Trips() != 0 {
		t.Error("it was switched off after one fault of two")
	}
	now = now.Add(2 * time.Second)
	if _, err := r.Run(p, &Input{Topic: "t", Batch: records(t, batch.None, "a")}); p[0].Breaker.Trips() != 1 {
		t.Errorf("it was not switched off after the second fault: %v", err)
	}
}

// Calls end on several processors at once, and the time of one that draws later may be a little
// older: it must not take that for a clock that was set back, and forgive what others owe.
func TestADrawOfALittleEarlierForgivesNothing(t *testing.T) {
	b := NewBudget(time.Millisecond, "it is spent")
	b.Draw(noon.Add(2*time.Millisecond), time.Second) // more than is ever owed
	if b.Spent(noon) == nil {
		t.Error("whoever looked at the clock before that draw may call")
	}
	for _, took := range []time.Duration{300 * time.Microsecond, time.Second} {
		b.Draw(noon, took)
		if b.Spent(noon.Add(time.Minute)) == nil {
			t.Errorf("after a draw of %v of a little earlier a call may be made within the minute", took)
		}
	}
	if b.Spent(noon.Add(time.Minute+3*time.Millisecond)) != nil {
		t.Error("after the minute no call may be made")
	}
}

func TestSharesOfASecondHaveARange(t *testing.T) {
	for text, want := range map[string]string{
		"0": "", "1000": "", "1s": "", "250us": "",
		"-5":                   "-5ms: use 0 to 1000 ms of each second, where 0 is without a bound",
		"1001":                 "1.001s: use 0 to 1000 ms of each second, where 0 is without a bound",
		"1h":                   "1h0m0s: use 0 to 1000 ms of each second, where 0 is without a bound",
		"18446744073710":       "18446744073710 is not a time such as 250ms", // 448 ms, were it wrapped around
		"99999999999999999999": "99999999999999999999 is not a time such as 250ms",
	} {
		for _, key := range []string{"fault.budget.ms", "call.budget.ms"} {
			_, _, _, err := Rules("p", map[string]string{key: text}, 10*time.Millisecond)
			if (err == nil) != (want == "") || err != nil && !strings.HasSuffix(err.Error(), want) || err != nil && !strings.Contains(err.Error(), key) {
				t.Errorf("%s=%s: %v, want %q", key, text, err, want)
			}
		}
	}
}

func TestABudgetAllocatesNothing(t *testing.T) {
	b := NewBudget(time.Millisecond, "it is spent")
	if n := testing.AllocsPerRun(100, func() { b.Draw(noon, time.Second); _ = b.Spent(noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
