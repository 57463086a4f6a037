package sdktest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
)

// brittle is what a module would be if its host did something wrong when it is disturbed.
type brittle struct {
	sdk.Nop
	spent   int64
	trouble wasm.Disturbance
	hurt    bool // it was disturbed before

	leaves  bool // the batch changed when it fails
	forgets bool // to fail
	limps   bool // afterwards
	panics  bool // at answers that were changed
	starves bool // answers wrongly, with less memory
	hurries bool // answers wrongly, and at once, with less fuel
}

func (m *brittle) Spent() int64 { return m.spent }

func (m *brittle) Disturb(d wasm.Disturbance) {
	m.hurt = m.hurt || d.Fuel > 0 || d.Answer != nil
	m.trouble = d
}

func (m *brittle) OnProduce(b *sdk.Batch) error {
	m.spent += 800
	var wrong error
	switch {
	case m.trouble.Fuel > 0 && m.hurries:
		m.spent -= 800
		return nil
	case m.trouble.Fuel > 0 && !m.forgets:
		wrong = wasm.ErrFuel
	case m.trouble.Late && !m.forgets:
		wrong = wasm.ErrDeadline
	case m.trouble.Answer != nil && m.panics:
		panic("at what it reads")
	case m.trouble.Answer != nil:
		wrong = wasm.ErrOutput
	case m.starves, m.limps && m.hurt:
		return nil
	}
	if wrong == nil || m.leaves {
		b.DropAll()
	}
	return wrong
}

func TestTroubleIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		module brittle
		check  func(l *listener, m *brittle)
		want   string // "": nothing
	}{
		"a good one, cut off":        {brittle{}, func(l *listener, m *brittle) { cutOff(l, m, false) }, ""},
		"a good one, lied about":     {brittle{}, func(l *listener, m *brittle) { lies(l, m, false) }, ""},
		"cut off, and changed":       {brittle{leaves: true}, func(l *listener, m *brittle) { cutOff(l, m, false) }, "and the batch has changed"},
		"not cut off":                {brittle{forgets: true}, func(l *listener, m *brittle) { cutOff(l, m, false) }, "units, and the call gave <nil>"},
		"not cut off by a host":      {brittle{forgets: true}, func(l *listener, m *brittle) { cutOff(l, m, false) }, "a host with on.error=fail lets 0 records on"},
		"another answer afterwards":  {brittle{limps: true}, func(l *listener, m *brittle) { cutOff(l, m, false) }, "units the module answers"},
		"lied about, and changed":    {brittle{leaves: true}, func(l *listener, m *brittle) { lies(l, m, false) }, "the batch has changed: true"},
		"lied about, and panics":     {brittle{panics: true}, func(l *listener, m *brittle) { lies(l, m, false) }, "it panics"},
		"another answer after lies":  {brittle{limps: true}, func(l *listener, m *brittle) { lies(l, m, false) }, "after answers that were changed"},
		"less memory, a good one":    {brittle{}, lessened, ""},
		"less memory, wrong answers": {brittle{starves: true}, lessened, "with 320 KiB of memory the module answers"},
	} {
		t.Run(name, func(t *testing.T) {
			var l listener
			test.check(&l, &test.module)
			if test.want == "" && len(l.heard) > 0 {
				t.Errorf("the suite found %.300q", l.heard)
			}
			found(t, &l, test.want)
		})
	}
	var l listener
	lies(&l, sdk.Nop{}, false)
	cutOff(&l, sdk.Nop{}, false)
	if len(l.heard) != 2 {
		t.Errorf("what cannot be disturbed: %q", l.heard)
	}
}

// lessened has m for the module with less memory, of which there are two steps; a third is too little to start.
func lessened(l *listener, m *brittle) {
	lessMemory(l, func(limits map[string]string) (sdk.Interceptor, error) {
		switch limits["memory.max"] {
		case "":
			return &brittle{}, nil
		case "65536":
			return nil, errors.New("too little")
		}
		return m, nil
	}, []int64{64, 5, 1}, false)
}

func TestTroubleOfOtherKinds(t *testing.T) {
	for name, test := range map[string]struct {
		module brittle
		want   string
	}{
		"good":                      {brittle{}, ""},
		"not cut off":               {brittle{forgets: true}, "it was cut off after 1 of 800 units, and answers"},
		"another answer afterwards": {brittle{limps: true}, "units the module answers \"no\""},
		"panics":                    {brittle{panics: true}, "it panics: at what it reads"},
		"another answer, cut off":   {brittle{hurries: true}, "units, and answers \"no\""},
	} {
		t.Run(name, func(t *testing.T) {
			var l listener
			m := test.module
			one := Golden{"one", build(shapes()["one"], noProducer)}
			checkTrouble(&l, "the subject", &m, false, func() (string, error) {
				b, _, err := open(one)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.OnProduce(b); err != nil {
					return "", err
				}
				if b.Changed() {
					return "yes", nil
				}
				return "no", nil
			})
			if test.want == "" && len(l.heard) > 0 {
				t.Errorf("the suite found %.300q", l.heard)
			}
			found(t, &l, test.want)
		})
	}
}

func TestBudgets(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates itself")
	}
	var kept [][]byte
	var l listener
	checkBudget(&l, "a spendthrift", 3, func() { kept = append(make([][]byte, 0, 1), make([]byte, 8), make([]byte, 8), make([]byte, 8)) })
	checkBudget(&l, "a miser", 3, func() { _ = kept })
	if len(l.heard) != 1 {
		t.Errorf("the suite found %q", l.heard)
	}
}

// Lies are the same in each run, and most of them are some.
func TestLies(t *testing.T) {
	answer := []byte("MRE1 and what an answer holds besides")
	one, two := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 1))
	same := 0
	for range 1000 {
		a, b := lie(one, answer), lie(two, answer)
		if !bytes.Equal(a, b) {
			t.Fatal("two runs lie differently")
		}
		if bytes.Equal(a, answer) {
			same++
		}
		_ = lie(one, nil)
		_ = lie(two, nil)
	}
	if same > 200 {
		t.Errorf("%d of 1000 answers are not changed", same)
	}
}
