package fuel_test

import (
	"errors"
	"strings"
	"testing"

	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
)

// The types of functions that programs below have besides f, which has type 0: of blocks too.
const (
	takes = 1 + iota // a thousand words
	makes
	both
)

const thousand = 1000

var (
	large  = strings.Repeat("I", thousand)
	push   = Many(thousand, I64(5))
	drop   = Many(thousand, Op(0x1a))
	down   = Seq(Get(0), I32(1), Op(0x6b), Tee(0)) // one turn less
	leave  = Seq(Get(0), Op(0x45))                 // whether none is left
	around = func(op, of byte, code ...[]byte) []byte { return Seq(Op(op, of), Seq(code...), Op(0x0b)) }
)

// moving is a program whose f is code, and which has functions of the types above.
func moving(code []byte, more ...Function) Module {
	return Module{Tables: []Limits{{Min: 1}}, Elements: []uint32{both}, Functions: append([]Function{
		{Export: "f", Params: "i", Code: code},
		{Params: large, Code: Seq()},
		{Results: large, Code: push},
		{Params: large, Results: large, Code: Seq(push, Op(0x0f))},
	}, more...)}
}

// What each turn of these costs at least, in thousands: each pushes, moves or drops a thousand words so often.
func TestWhatMovesManyValuesPaysForThem(t *testing.T) {
	for name, test := range map[string]struct {
		code  []byte
		least int64
	}{
		"a loop that keeps them": {Seq(around(2, makes, push, around(3, both, leave, BrIf(1), down, Op(0x1a), I64(7), Br(0)), Op(0x00)), drop), 2},
		"br":                     {Seq(Loop(around(2, makes, push, Br(0)), drop, down, BrIf(0))), 3},
		"br_if":                  {Seq(Loop(around(2, makes, push, I32(1), BrIf(0)), drop, down, BrIf(0))), 3},
		"br_table":               {Seq(Loop(around(2, makes, around(2, makes, push, I32(0), Op(0x0e, 1, 0, 1))), drop, down, BrIf(0))), 3},
		"an end":                 {Seq(Loop(around(2, makes, push), drop, down, BrIf(0))), 3},
		"an else":                {Seq(Loop(I32(1), Op(0x04, makes), push, Op(0x05), push, Op(0x0b), drop, down, BrIf(0))), 3},
		"no else":                {Seq(Loop(push, I32(0), around(4, both), drop, down, BrIf(0))), 3},
		"into a loop":            {Seq(Loop(push, around(3, takes, drop), down, BrIf(0))), 3},
		"what a call takes":      {Seq(Loop(push, Call(takes), down, BrIf(0))), 2},
		"what a call answers":    {Seq(Loop(Call(makes), drop, down, BrIf(0))), 4},
		"a call and a return":    {Seq(Loop(push, Call(both), drop, down, BrIf(0))), 6},
		"a call through a table": {Seq(Loop(push, I32(0), Op(0x11, both, 0), drop, down, BrIf(0))), 6},
	} {
		t.Run(name, func(t *testing.T) {
			const turns = 20
			module := moving(test.code).Bytes()
			rewrite(t, module) // it is valid
			var costs [2]int64
			for i := range costs {
				counting, err := fuel.Counting(module, i == 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, little, err := start(t, counting).call(1<<30, "f", 1)
				_, much, err2 := start(t, counting).call(1<<30, "f", 1+turns)
				if err := errors.Join(err, err2); err != nil {
					t.Fatal(err)
				}
				costs[i] = (much - little) / turns
			}
			if costs[0] != costs[1] || costs[0] < test.least*(thousand-10) {
				t.Errorf("a turn costs %d, or %d in a variable: want the same, and at least %d", costs[0], costs[1], test.least*thousand)
			}
		})
	}
}

// What compilers keep in registers costs nothing beside its instruction.
func TestFewValuesMoveForNothing(t *testing.T) {
	spent := func(values int) int64 {
		few := strings.Repeat("i", values)
		m := Module{Functions: []Function{
			{Export: "f", Code: Seq(around(2, byte(min(values, 1)), Call(1), Br(0)), Many(values, Op(0x1a)))},
			{Results: few, Code: Many(values, I32(1))},
		}}
		_, spent, err := start(t, rewrite(t, m.Bytes())).call(1<<20, "f")
		if err != nil {
			t.Fatal(err)
		}
		return spent - 2*int64(values) // the constants and drops
	}
	if none, four, five := spent(0), spent(4), spent(5); none != four || five != four+4 {
		t.Errorf("no values cost %d, four %d, five %d: want the same, and one more for each of the call, both ends and the branch", none, four, five)
	}
}

// What functions answer lies on the stack of who calls them.
func TestWhatCallsAnswerIsOnTheStack(t *testing.T) {
	count := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0))
	for name, test := range map[string]struct {
		results string
		code    []byte // of a function that calls itself, number 1, and has nothing else of that type
		frame   uint64 // in bytes, at least
	}{
		"vectors":            {strings.Repeat("v", thousand), Call(1), 16 * thousand},
		"words":              {large, Call(1), 8 * thousand},
		"of several":         {large, Seq(Many(10, Call(1)), Many(9*thousand, Op(0x1a))), 80 * thousand},
		"through blocks too": {large, Seq(Many(9, Op(2, 1)), Call(1), Many(9, Op(0x0b))), 80 * thousand},
	} {
		t.Run(name, func(t *testing.T) {
			m := Module{Globals: []Global{{Export: "depth"}}, Functions: []Function{
				{Export: "f", Code: Seq(Call(1), drop)},
				{Results: test.results, Code: Seq(count, test.code)},
			}}
			i := start(t, rewrite(t, m.Bytes()))
			if _, _, err := i.call(1<<40, "f"); err == nil || int64(i.stack.Get()) >= 0 {
				t.Fatalf("it ended with %v and stack %d", err, int64(i.stack.Get()))
			}
			if depth := i.ExportedGlobal("depth").Get(); depth > 8<<20/test.frame || depth < 8<<20/test.frame/4 {
				t.Errorf("it went %d deep, with %d bytes each time", depth, test.frame)
			}
		})
	}
}

// A branch of two bytes that moves a thousand values is thousands of instructions once it is compiled.
func TestManyMovesAreRefused(t *testing.T) {
	for name, m := range map[string]Module{
		"branches":     moving(Seq(around(2, makes, push, Many(5000, Seq(I32(0), BrIf(0)))), drop)),
		"br_table":     moving(Seq(around(2, makes, push, I32(0), Op(0x0e), U32(5000), make([]byte, 5001)), drop)),
		"calls":        moving(Many(5000, Seq(Call(makes), Call(takes)))),
		"blocks":       moving(Seq(push, Many(5000, around(2, both)), drop)),
		"through them": moving(Seq(push, Many(5000, Seq(I32(0), Op(0x11, both, 0))), drop)),
	} {
		_, err := fuel.Rewrite(t.Context(), m.Bytes(), fuel.Options{})
		if !errors.Is(err, fuel.ErrRefused) || !strings.Contains(err.Error(), ", and moves ") {
			t.Errorf("%s: %v, want a refusal that says what moves", name, err)
		}
	}
}

// A type that has another number behind it is one that the rewriter must not read past: what it took for the address of
// a load here is a loop, in which nothing would be counted.
func TestNothingHidesBehindAType(t *testing.T) {
	loop := Seq(Op(0x02, 0x63, 0x28, 0x03, 0x40), Br(0), Op(0x02, 0x63, 0x28, 0x00, 0x0b), Op(0x1a, 0x0b, 0x00, 0x0b, 0x1a))
	reference := Seq(Op(0xd0, 0xa8, 0), Op(0x1a))
	for name, code := range map[string][]byte{"a block": loop, "a null": reference, "a choice": Seq(Op(0xd0, 0x70, 0xd0, 0x70, 0x41, 0, 0x1c, 1, 0x63, 0x70, 0x1a)), "a memory": Op(0x3f, 1, 0x1a)} {
		m := Module{Functions: []Function{{Export: "f", Code: code}}}
		for n := range 50 {
			m.Functions = append(m.Functions, Function{Params: strings.Repeat("i", n+1)})
		}
		if _, err := fuel.Rewrite(t.Context(), m.Bytes(), fuel.Options{}); !errors.Is(err, fuel.ErrRefused) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

// Where blocks meet, variables that one of the ways there has set are moved, whichever way was taken: each turn here
// leaves a nest of blocks at each of whose ends they are.
func TestVariablesThatMeetArePaidFor(t *testing.T) {
	const variables, nest, turns = 200, 50, 20
	const met = nest * (variables - 64)
	var set, sum, leave []byte
	for n := range uint32(variables) {
		set = Seq(set, Get(n+1), I64(3), Op(0x7c), Set(n+1))
		sum = Seq(sum, Get(n+1), Op(0x7c))
	}
	for n := range uint32(nest) {
		leave = Seq(leave, Get(0), I32(-int32(n)-1), Op(0x46), BrIf(n))
	}
	code := Seq(Many(nest, Op(2, 0x40)), leave, set, Many(nest, Op(0x0b)))
	m := Module{Globals: []Global{{Export: "depth"}}, Functions: []Function{
		{Export: "f", Params: "i", Results: "I", Locals: strings.Repeat("I", variables), Code: Seq(Loop(code, down, BrIf(0)), I64(0), sum)},
		{Export: "deep", Params: "i", Results: "I", Locals: strings.Repeat("I", variables), Code: Seq(
			GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), code, Get(0), Call(1), sum)},
	}}
	for _, local := range []bool{false, true} {
		counting, err := fuel.Counting(m.Bytes(), local, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := start(t, counting)
		_, little, err := i.call(1<<30, "f", 1)
		_, much, err2 := i.call(1<<30, "f", 1+turns)
		if err := errors.Join(err, err2); err != nil || (much-little)/turns < met {
			t.Errorf("a turn costs %d, and merges %d: %v", (much-little)/turns, met, err)
		}
		_, _, err = i.call(1<<40, "deep", 1)
		if depth := i.ExportedGlobal("depth").Get(); err == nil || int64(i.stack.Get()) >= 0 || depth > 8<<20/(8*met) {
			t.Errorf("it ended with %v and stack %d, %d deep", err, int64(i.stack.Get()), depth)
		}
	}
}
