package fuel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// instance is a module that runs.
type instance struct {
	t testing.TB
	api.Module
	fuel, stack api.MutableGlobal
}

func start(t testing.TB, module []byte) *instance {
	t.Helper()
	return startBy(t, wazero.NewRuntimeConfig(), module)
}

func startBy(t testing.TB, config wazero.RuntimeConfig, module []byte) *instance {
	t.Helper()
	runtime := wazero.NewRuntimeWithConfig(t.Context(), config.WithCoreFeatures(fuel.Features))
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	made, err := runtime.InstantiateWithConfig(t.Context(), module, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, Module: made}
	i.fuel, _ = made.ExportedGlobal(fuel.FuelExport).(api.MutableGlobal)
	i.stack, _ = made.ExportedGlobal(fuel.StackExport).(api.MutableGlobal)
	return i
}

func rewrite(t testing.TB, module []byte) []byte {
	t.Helper()
	changed, err := fuel.Rewrite(t.Context(), module, fuel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// call calls f with so much fuel and says what was spent.
func (i *instance) call(budget int64, f string, arguments ...uint64) (results []uint64, spent int64, err error) {
	if i.fuel == nil {
		results, err = i.ExportedFunction(f).Call(i.t.Context(), arguments...)
		return results, 0, err
	}
	i.fuel.Set(uint64(budget))
	results, err = i.ExportedFunction(f).Call(i.t.Context(), arguments...)
	return results, budget - int64(i.fuel.Get()), err
}

// corpus are programs of all shapes, each with a function f of one i32 that answers one.
var corpus = map[string]Module{
	"straight": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), I32(3), Op(0x6c))}}},
	"loop": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(
		Block(Loop(Get(0), Op(0x45), BrIf(1), Get(1), Get(0), Op(0x6a), Set(1), Get(0), I32(1), Op(0x6b), Set(0), Br(0))), Get(1))}}},
	"early return": {Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), Call(1), I32(1), Op(0x6a))},
		{Params: "i", Results: "i", Code: Seq(Block(Get(0), I32(5), Op(0x4b), If(I32(7), Op(0x0f)), Get(0), I32(2), Op(0x4b), BrIf(0), I32(8), Op(0x0f)), Get(0), I32(10), Op(0x6c), Call(2))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(9), Op(0x6a))}}},
	"branch out of the function": {Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Code: Seq(I32(4), Get(0), BrIf(0), Op(0x1a), Get(0), Call(1))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(1), Op(0x6a))}}},
	"fibonacci": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), I32(2), Op(0x49), Op(0x04, 0x7f), Get(0), Op(0x05),
		Get(0), I32(1), Op(0x6b), Call(0), Get(0), I32(2), Op(0x6b), Call(0), Op(0x6a), Op(0x0b))}}},
	"several results": {Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), Call(1), Op(0x1a), Op(0xa7))},
		{Params: "i", Results: "Ii", Code: Seq(Get(0), Call(2), Op(0x1a, 0xad), I32(5), Get(0), BrIf(0), Op(0x0f))},
		{Params: "i", Results: "ii", Code: Seq(Get(0), Call(3), Get(0))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(100), Op(0x6a))}}},
	"table": {Tables: []Limits{{Min: 4}}, Elements: []uint32{1, 2}, Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), Get(0), I32(1), Op(0x71), Op(0x11, 0, 0))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(1), Op(0x6a))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(2), Op(0x6c))}}},
	"br_table": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Code: Seq(
		Block(Block(Block(Get(0), Op(0x0e, 2, 0, 1, 2)), I32(11), Op(0x0f)), I32(22), Op(0x0f)), I32(33))}}},
	"memory": {Data: []Data{{At: 8, Bytes: []byte("hello")}}, Memory: Limits{Min: 1, Max: 4}, Functions: []Function{{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(
		Get(0), I32(7), Op(0x71), Op(0x40, 0), Set(1),
		I32(100), I32(8), I32(5), Op(0xfc, 10, 0, 0), I32(200), Get(0), I32(40), Op(0xfc, 11, 0),
		I32(99), Load(), I32(203), Load(), Op(0x6a), Get(1), Op(0x6a), Op(0x3f, 0), Op(0x6a))}}},
	"globals": {Globals: []Global{{Init: 7}, {Type: "i", Init: 3}}, Functions: []Function{{Export: "f", Params: "i", Results: "i", Code: Seq(
		GlobalGet(0), Get(0), Op(0xad, 0x7c), GlobalSet(0), GlobalGet(0), Op(0xa7), GlobalGet(1), Op(0x6c))}}},
	"vectors": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Locals: "v", Code: Seq(
		Get(0), Op(0xfd, 17), Tee(1), Get(1), Op(0xfd, 0xae, 1), Op(0xfd, 27, 2))}}},
	"start": {Start: new(uint32), Globals: []Global{{}}, Functions: []Function{
		{Code: Seq(GlobalGet(0), I64(5), Op(0x7c), GlobalSet(0))},
		{Export: "f", Params: "i", Results: "i", Code: Seq(GlobalGet(0), Op(0xa7), Get(0), Op(0x6a))}}},
	"traps": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Code: Seq(I32(100), Get(0), I32(3), Op(0x6b), Op(0x6d))}}},
	"calls in a loop": {Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(
			Block(Loop(Get(0), Op(0x45), BrIf(1), Get(1), Get(0), Call(1), Op(0x6a), Set(1), Get(0), I32(1), Op(0x6b), Set(0), Br(0))), Get(1))},
		{Params: "i", Results: "i", Locals: "i", Code: Seq(Loop(Get(1), Get(0), Op(0x6a), Set(1), Get(0), I32(1), Op(0x6b), Tee(0), BrIf(0)), Get(1))}}},
	"ways out of a loop": {Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Code: Seq(Get(0), Call(1), Op(0x1a, 0xa7))},
		{Params: "i", Results: "Ii", Locals: "i", Code: Seq(Loop(
			Get(1), I32(1), Op(0x6a), Tee(1), Get(0), Op(0x4f), If(I64(3), Get(1), Op(0x0f)),
			Get(1), I32(7), Op(0x46), If(I64(4), Get(1), Br(2)),
			Block(I64(5), Get(1), Get(1), I32(9), Op(0x46), BrIf(2), Op(0x1a, 0x1a)), Br(0)), Op(0x00))}}},
	"bytes in a loop": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(
		Loop(I32(64), Get(1), Get(1), I32(40), Op(0x6c), Op(0xfc, 11, 0), I32(3000), I32(64), Get(1), I32(99), Op(0x6c), Op(0xfc, 10, 0, 0),
			Get(1), I32(1), Op(0x6a), Tee(1), Get(0), Op(0x48), BrIf(0)), I32(65), Load())}}},
	"a table in a loop": {Tables: []Limits{{Min: 4}}, Elements: []uint32{1, 2}, Functions: []Function{
		{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(Loop(
			Block(Block(Block(Get(0), I32(3), Op(0x71), Op(0x0e, 2, 0, 1, 2)), Get(1), I32(11), Op(0x6a), Set(1)),
				Get(1), Get(1), I32(1), Op(0x71), Op(0x11, 0, 0), Set(1)),
			Get(0), I32(1), Op(0x6b), Tee(0), I32(0), Op(0x4a), BrIf(0)), Get(1))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(1), Op(0x6a))},
		{Params: "i", Results: "i", Code: Seq(Get(0), I32(2), Op(0x6c), Get(0), Op(0x45), If(I32(3), Op(0x0f)))}}},
	"many blocks": {Functions: []Function{{Export: "f", Params: "i", Results: "i", Locals: "i", Code: Seq(
		Many(40, Seq(Block(Get(0), I32(3), Op(0x6f), Op(0x45), BrIf(0), Many(6, Seq(Get(1), Get(0), Op(0x6a), Set(1)))), Get(0), I32(1), Op(0x6a), Set(0))), Get(1))}}},
}

func TestARewrittenModuleAnswersTheSame(t *testing.T) {
	for name, m := range corpus {
		t.Run(name, func(t *testing.T) {
			original := start(t, m.Bytes())
			m.Names = []byte("whatever") // no names at all, which nobody looks at
			changed := start(t, rewrite(t, m.Bytes()))
			for n := range uint64(20) {
				want, _, wrong := original.call(0, "f", n)
				got, spent, err := changed.call(1<<40, "f", n)
				if !slices.Equal(got, want) || (err == nil) != (wrong == nil) {
					t.Fatalf("f(%d) = %v, %v; the original answers %v, %v", n, got, err, want, wrong)
				}
				if spent <= 0 {
					t.Errorf("f(%d) costs %d", n, spent)
				}
				if left := int64(changed.stack.Get()); err == nil && left != 8<<20 {
					t.Fatalf("after f(%d) the stack has %d left", n, left)
				}
				again, less, err := start(t, rewrite(t, m.Bytes())).call(spent-1, "f", n)
				if name != "globals" && name != "memory" && name != "traps" && err == nil {
					t.Errorf("f(%d) costs %d and is done with %d: %v", n, spent, less, again)
				}
			}
		})
	}
}

// A br_if behind a comparison is written as the opposite and a branch from an else: the same is taken.
func TestBranchesGoWhereTheyWent(t *testing.T) {
	numbers := []uint64{0, 1, 2, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for op := byte(0x45); op <= 0x66; op++ { // to f64.ge
		operands := Seq(Get(0), Get(1))
		switch {
		case op == 0x45:
			operands = Seq(Get(0), Op(0xa7))
		case op <= 0x4f:
			operands = Seq(Get(0), Op(0xa7), Get(1), Op(0xa7))
		case op == 0x50:
			operands = Get(0)
		case op > 0x60:
			operands = Seq(Get(0), Op(0xbf), Get(1), Op(0xbf)) // as floats, some of which are no numbers
		case op > 0x5a:
			operands = Seq(Get(0), Op(0xa7, 0xbe), Get(1), Op(0xa7, 0xbe))
		}
		m := Module{Functions: []Function{{Export: "f", Params: "II", Results: "i", Locals: "i", Code: Seq(
			Block(Block(operands, Op(op), BrIf(0), operands, Op(op, 0x0d, 0x81, 0), I32(1), Set(2)), Get(2), I32(2), Op(0x6a), Set(2)),
			Block(Loop(Get(2), I32(8), Op(0x6a), Tee(2), I32(100), Op(0x4a), BrIf(1), operands, Op(op), BrIf(0)), Get(2), I32(64), Op(0x6a), Set(2)),
			Op(0x02, 0x7f), I32(1000), operands, Op(op), BrIf(0), Op(0x1a), I32(2000), Op(0x0b), Get(2), Op(0x6a))}}}
		original, changed := start(t, m.Bytes()), start(t, rewrite(t, m.Bytes()))
		for _, a := range numbers {
			for _, b := range numbers {
				want, _, wrong := original.call(0, "f", a, b)
				got, _, err := changed.call(1<<40, "f", a, b)
				if !slices.Equal(got, want) || err != nil || wrong != nil {
					t.Errorf("%#x of %#x and %#x: %v, %v, the original answers %v, %v", op, a, b, got, err, want, wrong)
				}
			}
		}
	}
}

// wazero 1.12 makes a wrong jump of "0 < (x & y)" and the like where it joins comparison and branch. It
// must not be brought to that.
func TestComparisonsWithWhatAnAndHasLeft(t *testing.T) {
	and := Seq(Get(0), Get(1), Op(0x71))
	wide := Seq(Get(0), Op(0xad), Get(1), Op(0xad), Op(0x83))
	for i := range byte(10) {
		for name, compare := range map[string][]byte{
			"zero and and":        Seq(I32(0), and, Op(0x46+i)),
			"zero and wide and":   Seq(I64(0), wide, Op(0x51+i)),
			"eqz of it":           Seq(I32(0), and, Op(0x46+i), Op(0x45)),
			"eqz of that":         Seq(I32(0), and, Op(0x46+i), Op(0x45), Op(0x45)),
			"and and zero":        Seq(and, I32(0), Op(0x46+i)),
			"and and long zero":   Seq(and, Op(0x41, 0x80, 0x00), Op(0x46+i)),
			"and and one":         Seq(and, I32(1), Op(0x46+i)),
			"in a block":          Seq(I32(0), and, Set(2), Op(0x02, 0x40), Op(0x0b), Get(2), Op(0x46+i)),
			"in a variable":       Seq(and, Set(2), I32(0), Get(2), Op(0x46+i)),
			"and behind a branch": Seq(and, Set(2), Get(0), I32(77), Op(0x46), BrIf(0), I32(0), Get(2), Op(0x46+i)),
			"and before a block":  Seq(and, Set(2), Op(0x02, 0x40), I32(0), Get(2), Op(0x46+i), BrIf(2), Op(0x0b), I32(0)),
		} {
			// Two ways to the label, so that wazero does not join them by itself.
			code := Seq(Block(Block(compare, BrIf(1), Get(0), I32(12345), Op(0x46), BrIf(1)), I32(1), Op(0x0f)), I32(2))
			m := Module{Functions: []Function{{Export: "f", Params: "ii", Results: "i", Locals: "i", Code: code}}}
			original, changed := startBy(t, wazero.NewRuntimeConfigInterpreter(), m.Bytes()), start(t, rewrite(t, m.Bytes()))
			for _, x := range []uint64{0, 1, 2, 77, 1 << 31, 1<<32 - 1} {
				want, _, wrong := original.call(0, "f", x, 1<<32-1)
				got, _, err := changed.call(1<<40, "f", x, 1<<32-1)
				if !slices.Equal(got, want) || err != nil || wrong != nil {
					t.Errorf("%s, %#x of %#x: %v, %v, an interpreter answers %v, %v", name, 0x46+i, x, got, err, want, wrong)
				}
			}
		}
	}
}

// A function of so many branches that joining each would cost the compiler much is left as it is, and not refused.
func TestManyBranches(t *testing.T) {
	for name, f := range map[string]Function{
		"branches":             {Params: "i", Results: "i", Code: Seq(Block(Many(3000, Seq(Get(0), Op(0x45), BrIf(0))), I32(1), Op(0x0f)), I32(2))},
		"and a lot to be kept": {Params: strings.Repeat("i", 1000), Results: "i", Code: Seq(Block(Many(2100, Seq(Get(0), Op(0x45), BrIf(0))), I32(1), Op(0x0f)), I32(2))},
	} {
		f.Export = "f"
		m := Module{Functions: []Function{f}}.Bytes()
		out := rewrite(t, m)
		if len(out) > len(m)+400 {
			t.Errorf("%s: %d bytes became %d", name, len(m), len(out))
		}
		arguments := make([]uint64, len(f.Params))
		if got, _, err := start(t, out).call(1<<40, "f", arguments...); err != nil || got[0] != 2 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Wherever functions count, a call costs the same, and stops at the same charge when that is too much.
func TestItIsTheSameWhereItIsCounted(t *testing.T) {
	for name, m := range corpus {
		t.Run(name, func(t *testing.T) {
			var modules [2][]byte
			for i := range modules {
				counting, err := fuel.Counting(m.Bytes(), i == 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				modules[i] = counting
			}
			for _, n := range []uint64{1, 6, 10} {
				before, after := start(t, modules[0]), start(t, modules[1])
				want, costs, wrong := before.call(1<<40, "f", n)
				got, spent, err := after.call(1<<40, "f", n)
				if !slices.Equal(got, want) || (err == nil) != (wrong == nil) || err == nil && spent != costs {
					t.Fatalf("f(%d) = %v for %d, %v; with the global %v for %d, %v", n, got, spent, err, want, costs, wrong)
				}
				if err != nil {
					continue // what is lost then is what the variable had
				}
				for _, budget := range []int64{0, costs / 3, costs - 1} {
					before, after := start(t, modules[0]), start(t, modules[1])
					_, costs, wrong := before.call(budget, "f", n)
					_, spent, err := after.call(budget, "f", n)
					if (err == nil) != (wrong == nil) || spent != costs || err != nil && spent <= budget {
						t.Fatalf("f(%d) with %d spends %d, %v; with the global %d, %v", n, budget, spent, err, costs, wrong)
					}
				}
			}
		})
	}
}

// What the host sees when it is called is what is left, and what it takes is gone.
func TestTheHostSeesWhatIsLeft(t *testing.T) {
	m := Module{Imports: []Import{{Module: "env", Name: "take"}}, Functions: []Function{{Export: "f", Params: "i", Code: Seq(
		Loop(Call(0), Get(0), I32(1), Op(0x6b), Tee(0), BrIf(0)))}}}
	everything := func(string, string) bool { return true }
	var seen [2][]uint64
	for i := range seen {
		module, err := fuel.Counting(m.Bytes(), i == 1, everything)
		if err != nil {
			t.Fatal(err)
		}
		runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(fuel.Features))
		t.Cleanup(func() { _ = runtime.Close(context.Background()) })
		take := func(_ context.Context, guest api.Module, _ []uint64) {
			left := guest.ExportedGlobal(fuel.FuelExport).(api.MutableGlobal)
			seen[i] = append(seen[i], left.Get())
			left.Set(left.Get() - 1000)
		}
		if _, err := runtime.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(take), nil, nil).Export("take").Instantiate(t.Context()); err != nil {
			t.Fatal(err)
		}
		made, err := runtime.Instantiate(t.Context(), module)
		if err != nil {
			t.Fatal(err)
		}
		left := made.ExportedGlobal(fuel.FuelExport).(api.MutableGlobal)
		left.Set(10_000)
		if _, err := made.ExportedFunction("f").Call(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		seen[i] = append(seen[i], left.Get())
		if _, err := made.ExportedFunction("f").Call(t.Context(), 50); err == nil || int64(left.Get()) >= 0 {
			t.Errorf("with too little: %v, %d left", err, int64(left.Get()))
		}
	}
	if !slices.Equal(seen[0], seen[1]) || len(seen[0]) < 8 || seen[0][1] > seen[0][0]-1000 {
		t.Errorf("it saw %d, and %d of functions that count in a variable", seen[0], seen[1])
	}
}

func TestEveryLoopEnds(t *testing.T) {
	for name, f := range map[string]Function{
		"empty":            {Code: Loop(Br(0))},
		"with work":        {Locals: "i", Code: Loop(Get(0), I32(1), Op(0x6a), Set(0), Br(0))},
		"two, nested":      {Code: Loop(Loop(Br(1)))},
		"br_if":            {Code: Seq(Loop(I32(1), BrIf(0)))},
		"br_table":         {Code: Seq(Loop(I32(0), Op(0x0e, 1, 0, 0)))},
		"itself":           {Code: Call(0)},
		"fills":            {Code: Loop(I32(0), I32(0), I32(65536), Op(0xfc, 11, 0), Br(0))},
		"copies":           {Code: Loop(I32(0), I32(1), I32(65535), Op(0xfc, 10, 0, 0), Br(0))},
		"grows":            {Code: Loop(I32(1), Op(0x40, 0, 0x1a), Br(0))},
		"grows by nothing": {Code: Loop(I32(0), Op(0x40, 0, 0x1a), Br(0))},
		"grows by all":     {Code: Loop(I32(-1), Op(0x40, 0, 0x1a), Br(0))},
		"out of an if":     {Code: Loop(I32(1), If(Br(1)))},
	} {
		t.Run(name, func(t *testing.T) {
			f.Export = "f"
			i := start(t, rewrite(t, Module{Functions: []Function{f}}.Bytes()))
			_, spent, err := i.call(1<<20, "f")
			if err == nil {
				t.Fatal("it came to an end")
			}
			if fuel, stack := int64(i.fuel.Get()), int64(i.stack.Get()); fuel >= 0 && stack >= 0 {
				t.Errorf("it ended with %v and has %d of fuel, %d of stack left", err, fuel, stack)
			}
			if name == "fills" && spent < 1<<20 {
				t.Errorf("it spent %d", spent)
			}
		})
	}
}

func TestWhatIsPaidForIsAtLeastWhatRuns(t *testing.T) {
	// A long stretch behind a branch that is not taken is not paid for; one that is taken is.
	long := Many(100, Seq(Get(0), Op(0x1a)))
	m := Module{Functions: []Function{{Export: "f", Params: "i", Code: Seq(Block(Get(0), Op(0x45), BrIf(0), long), Get(0), If(long))}}}
	i := start(t, rewrite(t, m.Bytes()))
	_, without, err := i.call(1<<30, "f", 0)
	_, with, err2 := i.call(1<<30, "f", 1)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	// The stretch inside the block belongs to the block's region: only ifs, elses and ends part.
	if with-without < 200 || without < 200 || without > 230 {
		t.Errorf("without %d, with %d: want 200 more, and 200 to 230", without, with)
	}
}

// A function of a Go guest is a loop around blocks, of which each turn runs one: it does not pay for the others.
func TestATurnPaysForWhatItRuns(t *testing.T) {
	const stretches, turns = 100, 1000
	code := Seq(Get(0), I32(63), Op(0x71, 0x0e), U32(stretches-1))
	for i := range stretches {
		code = append(code, U32(uint32(i))...)
	}
	for i := range uint32(stretches) {
		code = Seq(Block(code), Many(4, Seq(Get(0), Op(0x1a))), Get(0), I32(1), Op(0x6b), Tee(0), BrIf(stretches-1-i), Op(0x0f))
	}
	m := Module{Functions: []Function{{Export: "f", Params: "i", Code: Loop(code)}}}
	_, spent, err := start(t, rewrite(t, m.Bytes())).call(1<<30, "f", turns)
	if err != nil || spent < 20*turns || spent > 150*turns {
		t.Errorf("%d turns of some 25 instructions cost %d: %v", turns, spent, err)
	}
}

func TestTheStackIsBounded(t *testing.T) {
	m := Module{Globals: []Global{{Export: "depth"}}, Functions: []Function{{Export: "f", Locals: strings.Repeat("I", 100), Code: Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0), Call(0))}}}
	i := start(t, rewrite(t, m.Bytes()))
	_, _, err := i.call(1<<40, "f")
	if err == nil || int64(i.stack.Get()) >= 0 {
		t.Fatalf("it ended with %v and stack %d", err, int64(i.stack.Get()))
	}
	if depth := i.ExportedGlobal("depth").Get(); depth < 1000 || depth > 10_000 {
		t.Errorf("it went %d deep", depth)
	}
}

// A variable of 16 bytes costs twice what one of 8 does, be it a parameter or not.
func TestVectorsAreLargeOnTheStack(t *testing.T) {
	depth := func(params, locals string) uint64 {
		zeros := map[rune][]byte{'I': I64(0), 'v': Op(append([]byte{0xfd, 12}, make([]byte, 16)...)...)}
		code := Seq(GlobalGet(0), I64(1), Op(0x7c), GlobalSet(0))
		var arguments []byte
		for _, p := range params {
			arguments = append(arguments, zeros[p]...)
		}
		m := Module{Globals: []Global{{Export: "depth"}}, Functions: []Function{
			{Export: "f", Code: Seq(arguments, Call(1))},
			{Params: params, Locals: locals, Code: Seq(code, arguments, Call(1))},
		}}
		i := start(t, rewrite(t, m.Bytes()))
		if _, _, err := i.call(1<<40, "f"); err == nil || int64(i.stack.Get()) >= 0 {
			t.Fatalf("it ended with %v and stack %d", err, int64(i.stack.Get()))
		}
		return i.ExportedGlobal("depth").Get()
	}
	for name, vectors := range map[string]uint64{
		"locals":     depth("", strings.Repeat("v", 900)),
		"parameters": depth(strings.Repeat("v", 100), strings.Repeat("v", 800)),
	} {
		if numbers := depth("", strings.Repeat("I", 900)); vectors*19 > numbers*10 || vectors*25 < numbers*10 {
			t.Errorf("%s: it goes %d deep with vectors, %d with numbers, which is to be some twice as much", name, vectors, numbers)
		}
	}
}

func TestModulesThatAreRefused(t *testing.T) {
	f := Function{Export: "f"}
	for why, m := range map[string]Module{
		"names global 1 of 1":                  {Globals: []Global{{}}, Functions: []Function{{Export: "f", Code: Seq(I64(1<<40), GlobalSet(1))}}},
		"a name of the host's":                 {Globals: []Global{{Export: "millrace_fuel"}}, Functions: []Function{f}},
		"memory, in pages of 64 KiB,":          {Memory: Limits{Min: 129}, Functions: []Function{f}},
		"has no memory":                        {NoMemory: true, Functions: []Function{f}},
		"which the host does not have":         {Imports: []Import{{Module: "env", Name: "exec"}}, Functions: []Function{f}},
		"2 memories":                           {Raw: map[byte][]byte{5: {2, 0, 1, 0, 1}}, Functions: []Function{f}},
		"shared or has 64 bits":                {Raw: map[byte][]byte{5: {1, 3, 1, 1}}, Functions: []Function{f}},
		"which is not a function":              {Raw: map[byte][]byte{2: {1, 3, 'e', 'n', 'v', 1, 'g', 3, 0x7e, 1}}, Functions: []Function{f}},
		"instruction 0xfe":                     {Functions: []Function{{Export: "f", Code: Op(0xfe, 0)}}},
		"instruction 0x12":                     {Functions: []Function{{Export: "f", Code: Op(0x12, 0)}}},
		"has no end":                           {Functions: []Function{{Export: "f", Code: Op(0x02, 0x40)}}},
		"goes on behind its end":               {Functions: []Function{{Export: "f", Code: Op(0x0b, 0x01)}}},
		"invalid function[0]":                  {Functions: []Function{{Export: "f", Code: Op(0x6a)}}},
		"more than 2000 variables":             {Functions: []Function{{Export: "f", Params: "ii", Locals: strings.Repeat("i", 1999)}}},
		"its table":                            {Tables: []Limits{{Min: 1 << 20}}, Functions: []Function{f}},
		"2000000 globals":                      {Raw: map[byte][]byte{6: U32(2_000_000)}, Functions: []Function{f}},
		"blocks and 1900 variables":            {Functions: []Function{{Export: "f", Locals: strings.Repeat("i", 1900), Code: Many(3000, Op(0x02, 0x40, 0x0b))}}},
		"nests deeper":                         {Functions: []Function{{Export: "f", Code: Seq(Many(30_000, Op(0x02, 0x40)), Many(30_000, Op(0x0b)))}}},
		"targets of br_table":                  {Functions: []Function{{Export: "f", Code: Seq(I32(0), Op(0x0e), U32(1<<18), make([]byte, 1<<18), Op(0))}}},
		"element segments":                     {Raw: map[byte][]byte{9: U32(1 << 31)}, Functions: []Function{f}},
		"data segments":                        {Raw: map[byte][]byte{11: U32(1 << 31)}, Functions: []Function{f}},
		"elements, more than":                  {Raw: map[byte][]byte{9: Seq(Op(1, 0, 0x41, 0, 0x0b), U32(1<<31))}, Functions: []Function{f}},
		"bytes are promised":                   {Raw: map[byte][]byte{11: Seq(Op(1, 0, 0x41, 0, 0x0b), U32(1<<31))}, Functions: []Function{f}},
		"a constant is made by":                {Raw: map[byte][]byte{6: Op(1, 0x7f, 0, 0x20, 0, 0x0b)}, Functions: []Function{f}},
		"1 functions and 2 bodies":             {Raw: map[byte][]byte{10: {2, 2, 0, 0x0b, 2, 0, 0x0b}}, Functions: []Function{f}},
		"is unknown, there twice or in the wr": {Raw: map[byte][]byte{}, Functions: []Function{f}, Names: nil},
	} {
		t.Run(why, func(t *testing.T) {
			module := m.Bytes()
			if strings.HasPrefix(why, "is unknown") {
				module = append(module, 5, 3, 1, 0, 1)
			}
			_, err := fuel.Rewrite(t.Context(), module, fuel.Options{})
			if !errors.Is(err, fuel.ErrRefused) || !strings.Contains(err.Error(), why) {
				t.Errorf("got %v, want a refusal with %q", err, why)
			}
		})
	}
	if _, err := fuel.Rewrite(t.Context(), []byte("no module"), fuel.Options{}); !errors.Is(err, fuel.ErrRefused) {
		t.Errorf("a text gave %v", err)
	}
}

func TestGuestsKeepTheirResults(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		everything := fuel.Options{Allowed: func(string, string) bool { return true }}
		once, err := fuel.Rewrite(t.Context(), module, everything)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		twice, err := fuel.Rewrite(t.Context(), module, everything)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s is rewritten differently the second time: %v", file, err)
		}
		if _, err := fuel.Rewrite(t.Context(), once, everything); err == nil {
			t.Errorf("%s is rewritten again", file)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	for _, m := range corpus {
		f.Add(m.Bytes())
	}
	fuzz.Run(f, func(t *testing.T, module []byte) {
		changed, err := fuel.Rewrite(t.Context(), module, fuel.Options{MemoryPages: 16, Start: 1000, Allowed: func(string, string) bool { return true }})
		if err != nil {
			return
		}
		runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(fuel.Features))
		defer func() { _ = runtime.Close(context.Background()) }()
		if _, err := runtime.CompileModule(t.Context(), changed); err != nil {
			t.Fatalf("a valid module became an invalid one: %v", err)
		}
	})
}

func BenchmarkFuel(b *testing.B) {
	// A loop of ten instructions, a thousand times; and calls.
	loop := corpus["loop"]
	calls := corpus["fibonacci"]
	for _, test := range []struct {
		name     string
		m        Module
		argument uint64
	}{{"loop", loop, 1000}, {"calls", calls, 15}} {
		for _, fueled := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/fuel=%v", test.name, fueled), func(b *testing.B) {
				module := test.m.Bytes()
				if fueled {
					module = rewrite(b, module)
				}
				i := start(b, module)
				f := i.ExportedFunction("f")
				stack := make([]uint64, 4)
				for b.Loop() {
					if fueled {
						i.fuel.Set(1 << 40)
					}
					stack[0] = test.argument
					if err := f.CallWithStack(b.Context(), stack); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
