package fuel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
)

// A module whose compilation would take minutes or gigabytes is refused before anybody compiles it, and told
// what is too much of it; one of half that size is not.
func TestWhatCompilingTakesIsBounded(t *testing.T) {
	deep := func(op byte, n int) []byte { return Seq(Many(n, Op(op, 0x40)), Many(n, Op(0x0b))) }
	types := func(n, each int) []byte {
		values := slices.Concat(U32(uint32(each)), []byte(strings.Repeat("\x7e", each)))
		return slices.Concat(U32(uint32(n)), Many(n, Seq(Op(0x60), values, values)))
	}
	const blocks, kib, all, parameters = "blocks, more than", "KiB, more than", "take too long", "parameters and results together"
	for name, test := range map[string]struct {
		why  string
		made func(n int) Module
		many int
	}{
		"br_ifs":           {blocks, body(func(n int) []byte { return Many(n, Seq(Get(0), BrIf(0))) }), 17_000},
		"ifs":              {blocks, body(func(n int) []byte { return Many(n, Seq(Get(0), If())) }), 10_000},
		"returns":          {blocks, body(func(n int) []byte { return Many(n, Seq(Get(0), If(Op(0x0f)))) }), 10_000},
		"loops":            {blocks, body(func(n int) []byte { return Many(n, Loop(Get(0), BrIf(0))) }), 5000},
		"nested loops":     {blocks, body(func(n int) []byte { return deep(0x03, n) }), 8000},
		"nested blocks":    {blocks, body(func(n int) []byte { return deep(0x02, n) }), 8000},
		"br_tables":        {blocks, body(func(n int) []byte { return Many(n, Block(Get(0), Op(0x0e, 4, 0, 0, 0, 0, 0))) }), 8000},
		"fills":            {blocks, body(func(n int) []byte { return Many(n, Seq(I32(0), I32(0), I32(0), Op(0xfc, 11, 0))) }), 5000},
		"growth":           {blocks, body(func(n int) []byte { return Many(n, Seq(I32(0), Op(0x40, 0, 0x1a))) }), 8000},
		"divisions":        {kib, body(func(n int) []byte { return Many(n, Seq(Get(0), Get(0), Op(0x6d), Set(0))) }), 50_000},
		"calls of a table": {kib, body(func(n int) []byte { return Many(n, Seq(I32(0), Op(0x11, 1, 0))) }), 25_000},
		"calls":            {kib, body(func(n int) []byte { return Many(n, Call(1)) }), 150_000},
		"functions": {all, func(n int) Module {
			return Module{Functions: slices.Repeat([]Function{{Params: "i", Code: Many(1000, Seq(Get(0), BrIf(0)))}}, n)}
		}, 300},
		"types": {parameters, func(n int) Module {
			return Module{Raw: map[byte][]byte{1: types(n, 500), 3: {1, 0}, 10: {1, 3, 0, 0, 0x0b}}}
		}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fuel.Rewrite(t.Context(), test.made(test.many).Bytes(), fuel.Options{})
			if !errors.Is(err, fuel.ErrRefused) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("%d are answered with %v, want a refusal with %q", test.many, err, test.why)
			}
			if _, err = fuel.Rewrite(t.Context(), test.made(test.many/2).Bytes(), fuel.Options{}); err != nil && strings.Contains(err.Error(), test.why) {
				t.Errorf("%d are refused: %v", test.many/2, err)
			}
		})
	}
}

// body is a module with a function of so much code.
func body(code func(n int) []byte) func(n int) Module {
	return func(n int) Module {
		return Module{Tables: []Limits{{Min: 1}}, Functions: []Function{{Export: "f", Params: "i", Code: code(n)}, {}}}
	}
}
