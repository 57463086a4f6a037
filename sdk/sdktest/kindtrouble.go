package sdktest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
)

// use is something that a module of a kind other than interceptors of batches is asked for: what it answers, as text.
type use func() (answer string, err error)

// panics makes an error of a panic.
func (u use) panics() (answer string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanic, cause)
		}
	}()
	return u()
}

// errPanic is a panic.
var errPanic = errors.New("it panics")

// checkTrouble has a module be cut off in the middle of its work, once for each eighth of it, and changes what it
// answers on the way to the host. A cut must be an error, and the next call be right, on a new instance; a lie must be
// an error or another answer, and no panic. remembers is set for modules whose answer depends on earlier calls.
func checkTrouble(t T, what string, module any, remembers bool, ask use) {
	t.Helper()
	if of, is := module.(interface{ Unwrap() any }); is { // one of any type, used as one of a type
		module = of.Unwrap()
	}
	trouble := troubled(t, what, module)
	if trouble == nil {
		return
	}
	before := spent(module)
	want, err := ask.panics()
	first := spent(module) - before
	_, again := ask.panics()
	if err := errors.Join(err, again); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	fuel := min(first, spent(module)-before-first)
	right := func(why string) {
		t.Helper()
		trouble.Disturb(wasm.Disturbance{})
		if got, err := ask.panics(); err != nil || got != want && !remembers {
			t.Errorf("%s: after %s the module answers %.200q (%v), and before that %.200q", what, why, got, err, want)
		}
	}
	for eighth := range int64(8) {
		cost := max(1, fuel*eighth/8)
		why := fmt.Sprintf("it was cut off after %d of %d units", cost, fuel)
		trouble.Disturb(wasm.Disturbance{Fuel: cost})
		before := spent(module)
		got, err := ask.panics()
		enough := err == nil && spent(module)-before <= cost && (got == want || remembers) // it needed less
		if !enough && !errors.Is(err, wasm.ErrFuel) {
			t.Errorf("%s: %s, and answers %.200q, %v", what, why, got, err)
		}
		right(why)
	}
	dice := rand.New(rand.NewPCG(6, 2026)) // the same lies in each run
	for round := range fuzzRounds {
		trouble.Disturb(wasm.Disturbance{Answer: func(answer []byte) []byte { return lie(dice, answer) }})
		if _, err := ask.panics(); errors.Is(err, errPanic) {
			t.Errorf("%s: an answer that was changed on its way, round %d: %v", what, round, err)
		}
	}
	right("answers that were changed on their way")
}

// budget is how often a call of a plugin may allocate, if its test says nothing else.
const budget = 64

// checkBudget counts what calls of a native plugin allocate.
func checkBudget(t T, what string, most float64, call func()) {
	t.Helper()
	if raceEnabled {
		return
	}
	if most == 0 {
		most = budget
	}
	if n := testing.AllocsPerRun(20, call); n > most {
		t.Errorf("%s allocates %v times, and may %v times", what, n, most)
	}
}
