package wasm

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// What a test does to a module takes effect, and ends.
func TestDisturbances(t *testing.T) {
	p := mustLoad(t, answering(listOf(1, 0, 2)).Bytes(), nil)
	large := []string{strings.Repeat("a", chunk), "b", strings.Repeat("c", chunk)} // in more than one part
	for name, test := range map[string]struct {
		disturbance Disturbance
		values      []string
		want        error
	}{
		"fuel":      {Disturbance{Fuel: 1}, []string{"a", "b", "c"}, ErrFuel},
		"a lie":     {Disturbance{Answer: func([]byte) []byte { return []byte("something else") }}, []string{"a", "b", "c"}, ErrOutput},
		"its truth": {Disturbance{Answer: func(p []byte) []byte { return p }}, []string{"a", "b", "c"}, nil},
		"lateness":  {Disturbance{Late: true}, large, ErrDeadline},
		"in time":   {Disturbance{Late: true}, []string{"a", "b", "c"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p.Disturb(test.disturbance)
			b := records(t, test.values...)
			if err := p.OnProduce(b); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || b.Changed() != (err == nil) {
				t.Errorf("it ended with %v, changed: %t", err, b.Changed())
			}
			p.Disturb(Disturbance{})
			b = records(t, "a", "b", "c")
			if err := p.OnProduce(b); err != nil || b.Edits()[0].Fate != sdk.Dropped {
				t.Errorf("afterwards: %v, %v", err, b.Edits())
			}
		})
	}
}
