package fuel_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/tetratelabs/wazero"
)

var programs = flag.Int("programs", 40, "how many modules of generated functions TestAnswersOfGeneratedPrograms compares")

// The ways in which a condition is used. What is chosen is 1 where it holds, else 2; variable 4 is free.
var uses = map[string]func(condition []byte) []byte{
	"if":                   func(c []byte) []byte { return Seq(c, Op(0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b)) },
	"if not, as Go has it": func(c []byte) []byte { return Seq(Block(c, Op(0x45), If(Br(1)), I32(1), Op(0x0f)), I32(2)) },
	"if not not":           func(c []byte) []byte { return Seq(c, Op(0x45, 0x45, 0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b)) },
	"br_if":                func(c []byte) []byte { return Seq(Block(c, BrIf(0), I32(2), Op(0x0f)), I32(1)) },
	"br_if not":            func(c []byte) []byte { return Seq(Block(c, Op(0x45), BrIf(0), I32(1), Op(0x0f)), I32(2)) },
	"br_if to a shared end": func(c []byte) []byte {
		return Seq(Block(Get(0), I32(-99), Op(0x46), BrIf(0), c, BrIf(0), I32(2), Op(0x0f)), I32(1))
	},
	"br_if with a value": func(c []byte) []byte { return Seq(Op(0x02, 0x7f), I32(1), c, BrIf(0), Op(0x1a), I32(2), Op(0x0b)) },
	"br_if out":          func(c []byte) []byte { return Seq(I32(1), c, BrIf(0), Op(0x1a), I32(2)) },
	"br_if of a loop": func(c []byte) []byte {
		return Seq(I32(0), Set(4), Loop(Get(4), I32(1), Op(0x6a), Tee(4), I32(2), Op(0x4f), If(I32(1), Op(0x0f)), c, BrIf(0)), I32(2))
	},
	"br_table":         func(c []byte) []byte { return Seq(Block(Block(c, Op(0x0e, 1, 0, 1)), I32(2), Op(0x0f)), I32(1)) },
	"select":           func(c []byte) []byte { return Seq(I32(1), I32(2), c, Op(0x1b)) },
	"select of a type": func(c []byte) []byte { return Seq(I32(1), I32(2), c, Op(0x1c, 1, 0x7f)) },
	"as a number":      func(c []byte) []byte { return Seq(I32(2), c, Op(0x6b)) },
	"in a variable": func(c []byte) []byte {
		return Seq(c, Set(4), Get(4), Op(0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b))
	},
	"of two": func(c []byte) []byte {
		return Seq(c, Get(0), Get(0), Op(0x46, 0x71, 0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b))
	},
	"behind a store": func(c []byte) []byte {
		return Seq(c, Set(4), I32(0), I32(0), Store(), Get(4), Op(0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b))
	},
	"if, a branch before": func(c []byte) []byte {
		return Seq(Block(Get(0), I32(-99), Op(0x46), BrIf(0)), c, Op(0x04, 0x7f), I32(1), Op(0x05), I32(2), Op(0x0b))
	},
}

// operands are two numbers for a comparison, one of them what an and has left; 2 and 3 are variables for them, and 5
// and 6 those that are never set.
func operands(and, zero, one []byte, kept, never uint32) map[string][]byte {
	return map[string][]byte{
		"zero, and":                    Seq(zero, and),
		"and, zero":                    Seq(and, zero),
		"and, one":                     Seq(and, one),
		"one, and":                     Seq(one, and),
		"a variable never set, and":    Seq(Get(never), and),
		"and, a variable never set":    Seq(and, Get(never)),
		"zero, and in a variable":      Seq(and, Set(kept), zero, Get(kept)),
		"zero in a variable, and":      Seq(zero, Set(kept), Get(kept), and),
		"and, in a block":              Seq(zero, and, Set(kept), Op(0x02, 0x40, 0x0b), Get(kept)),
		"and and and":                  Seq(and, and),
		"zero, and that is used again": Seq(zero, and, Tee(kept), Get(kept), Op(0x1a)),
	}
}

// wazero 1.12 makes the wrong jump of "0 < (x & y)" where it joins comparison and branch, which it does by itself
// wherever a guest's code invites it: all comparisons with what an and has left, in all places that branch.
func TestEveryUseOfAComparisonWithAnAnd(t *testing.T) {
	var functions []Function
	var names []string
	add := func(name string, code []byte) {
		names = append(names, name)
		functions = append(functions, Function{Export: fmt.Sprint("f", len(functions)%1000), Params: "ii", Results: "i", Locals: "iIiiI", Code: code})
	}
	narrow := operands(Seq(Get(0), Get(1), Op(0x71)), I32(0), I32(1), 2, 5)
	wide := operands(Seq(Get(0), Op(0xac), Get(1), Op(0xac, 0x83)), I64(0), I64(1), 3, 6)
	for use, with := range uses {
		for pair, code := range narrow {
			for op := byte(0x46); op <= 0x4f; op++ {
				add(fmt.Sprintf("%s of %#x of %s", use, op, pair), with(Seq(code, Op(op))))
			}
		}
		for pair, code := range wide {
			for op := byte(0x51); op <= 0x5a; op++ {
				add(fmt.Sprintf("%s of %#x of wide %s", use, op, pair), with(Seq(code, Op(op))))
			}
		}
		add(use+" of eqz", with(Seq(Get(0), Get(1), Op(0x71, 0x45))))
		add(use+" of wide eqz", with(Seq(Get(0), Op(0xac), Get(1), Op(0xac, 0x83, 0x50))))
	}
	for group := range slices.Chunk(functions, 1000) {
		answerTheSame(t, Module{Functions: group}.Bytes(), len(group), names, []uint64{0, 1, 1 << 31, 1<<32 - 1})
		names = names[len(group):]
	}
}

// answerTheSame compares what an interpreter answers to the original with what the compiler does to the rewritten module,
// whose functions count in a variable or do not.
func answerTheSame(t *testing.T, module []byte, functions int, names []string, numbers []uint64) {
	t.Helper()
	original := startBy(t, wazero.NewRuntimeConfigInterpreter(), module)
	changed := map[string]*instance{}
	for i, how := range []string{", counted in the global", ", counted in a variable"} {
		counting, err := fuel.Counting(module, i == 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		changed[how] = start(t, counting)
	}
	for f := range functions {
		export, told := fmt.Sprint("f", f), false
		for pair := range len(numbers) * len(numbers) {
			x, y := numbers[pair/len(numbers)], numbers[pair%len(numbers)]
			want, _, wrong := original.call(0, export, x, y)
			for how, c := range changed {
				got, _, err := c.call(1<<40, export, x, y)
				if same := slices.Equal(got, want) && (err == nil) == (wrong == nil); !same && !told {
					told = true // of each function once
					t.Errorf("%s%s: of %#x and %#x %v, %v, an interpreter answers %v, %v", names[f], how, x, y, got, err, want, wrong)
				}
			}
		}
	}
}

// generator writes functions that are valid, end soon, and do a bit of everything with integers: of two i64.
type generator struct {
	*rand.Rand
	depth  int // of blocks
	budget int // of instructions
}

// The variables of a generated function: parameters, some of each type, and one that counts turns.
var (
	narrows = []uint32{2, 3, 4, 5}
	wides   = []uint32{0, 1, 6, 7}
)

const turns = 8

func (g *generator) function(name string) Function {
	g.budget = 60
	code := Seq(Get(0), Op(0xa7), Set(2), g.statements(6))
	for _, v := range narrows {
		code = Seq(code, Get(v), Op(0xac))
	}
	for _, v := range wides {
		code = Seq(code, Get(v))
	}
	sum := Seq(I64(31), Op(0x7e, 0x85)) // times 31, exclusive or
	return Function{Export: name, Params: "II", Results: "I", Locals: "iiiiIIi", Code: Seq(code, Many(len(narrows)+len(wides)-1, sum))}
}

func (g *generator) pick(from []uint32) uint32 { return from[g.IntN(len(from))] }

func (g *generator) statements(most int) (code []byte) {
	for range 1 + g.IntN(most) {
		code = append(code, g.statement()...)
	}
	return code
}

func (g *generator) statement() []byte {
	if g.budget -= 3; g.budget < 0 || g.depth > 5 {
		return Seq(g.narrow(1), Set(g.pick(narrows)))
	}
	g.depth++
	defer func() { g.depth-- }()
	switch g.IntN(12) {
	case 0, 1:
		return Seq(g.narrow(3), Set(g.pick(narrows)))
	case 2, 3:
		return Seq(g.wide(3), Set(g.pick(wides)))
	case 4, 5:
		return Seq(g.narrow(3), Op(0x04, 0x40), g.statements(3), Op(0x0b))
	case 6:
		return Seq(g.narrow(3), Op(0x04, 0x40), g.statements(2), Op(0x05), g.statements(2), Op(0x0b))
	case 7, 8:
		return Block(g.statements(2), g.narrow(3), BrIf(0), g.statements(2), g.narrow(2), BrIf(0), g.statements(1))
	case 9: // at most some turns in all
		return Loop(g.statements(2), Get(8), I32(1), Op(0x6a), Tee(8), I32(turns), Op(0x49), g.narrow(2), Op(0x71), BrIf(0))
	case 10:
		return Seq(g.narrow(1), I32(0xfff8), Op(0x71), g.wide(2), Op(0x37, 3), U32(uint32(g.IntN(8))))
	default:
		return Seq(g.narrow(1), I32(0xfff8), Op(0x71), g.narrow(2), Op([]byte{0x36, 0x3a, 0x3b}[g.IntN(3)], 0), U32(uint32(g.IntN(8))))
	}
}

// narrow leaves an i32, wide an i64.
func (g *generator) narrow(depth int) []byte {
	if g.budget--; depth == 0 || g.budget < 0 {
		if g.IntN(2) == 0 {
			return I32([]int32{0, 0, 0, 1, -1, 2, 7, 64, 1 << 30, -1 << 31}[g.IntN(10)])
		}
		return Get(g.pick(narrows))
	}
	depth--
	switch g.IntN(12) {
	case 0:
		return Seq(g.narrow(depth), Op(0x45))
	case 1:
		return Seq(g.wide(depth), Op(0x50))
	case 2, 3, 4:
		return Seq(g.narrow(depth), g.narrow(depth), Op(0x46+byte(g.IntN(10))))
	case 5, 6:
		return Seq(g.wide(depth), g.wide(depth), Op(0x51+byte(g.IntN(10))))
	case 7:
		return Seq(g.narrow(depth), g.narrow(depth), Op(0x71))
	case 8: // all but division, whose traps leave nothing to compare
		return Seq(g.narrow(depth), g.narrow(depth), Op([]byte{0x6a, 0x6b, 0x6c, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78}[g.IntN(10)]))
	case 9:
		return Seq(g.narrow(depth), g.narrow(depth), g.narrow(depth), Op(0x1b))
	case 10:
		return Seq(g.narrow(depth), Tee(g.pick(narrows)))
	default:
		return [][]byte{
			Seq(g.wide(depth), Op(0xa7)), Seq(g.narrow(depth), Op([]byte{0x67, 0x68, 0x69, 0xc0, 0xc1}[g.IntN(5)])),
			Seq(g.narrow(depth), I32(0xfff8), Op(0x71), Op([]byte{0x28, 0x2c, 0x2d, 0x2e, 0x2f}[g.IntN(5)], 0), U32(uint32(g.IntN(8)))),
		}[g.IntN(3)]
	}
}

func (g *generator) wide(depth int) []byte {
	if g.budget--; depth == 0 || g.budget < 0 {
		if g.IntN(2) == 0 {
			return I64([]int64{0, 0, 0, 1, -1, 2, 1 << 31, 1 << 62, -1 << 63, 255}[g.IntN(10)])
		}
		return Get(g.pick(wides))
	}
	depth--
	switch g.IntN(8) {
	case 0, 1:
		return Seq(g.wide(depth), g.wide(depth), Op(0x83))
	case 2, 3:
		return Seq(g.wide(depth), g.wide(depth), Op([]byte{0x7c, 0x7d, 0x7e, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a}[g.IntN(10)]))
	case 4:
		return Seq(g.wide(depth), g.wide(depth), g.narrow(depth), Op(0x1b))
	case 5:
		return Seq(g.narrow(depth), Op([]byte{0xac, 0xad}[g.IntN(2)]))
	case 6:
		return Seq(g.wide(depth), Tee(g.pick(wides)))
	default:
		return [][]byte{
			Seq(g.wide(depth), Op([]byte{0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4}[g.IntN(6)])),
			Seq(g.narrow(depth), I32(0xfff8), Op(0x71), Op([]byte{0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35}[g.IntN(7)], 0), U32(uint32(g.IntN(8)))),
		}[g.IntN(2)]
	}
}

// What the compiler makes of a module that counts answers what an interpreter makes of the original.
func TestAnswersOfGeneratedPrograms(t *testing.T) {
	const functions = 25
	numbers := []uint64{0, 1, 1 << 31, 1<<64 - 1}
	for seed := range uint64(*programs) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 6))}
		m := Module{}
		names := make([]string, functions)
		for n := range names {
			names[n] = fmt.Sprintf("function %d of seed %d", n, seed)
			m.Functions = append(m.Functions, g.function(fmt.Sprint("f", n)))
		}
		answerTheSame(t, m.Bytes(), functions, names, numbers)
		if t.Failed() {
			return
		}
	}
}
