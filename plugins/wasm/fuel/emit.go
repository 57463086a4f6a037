package fuel

import (
	"context"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Options are what a module may have.
type Options struct {
	// MemoryPages is the most memory, in pages of 64 KiB. Zero: 128.
	MemoryPages uint32
	// Start is the fuel of the start section. Zero: 1<<26.
	Start int64
	// Stack is the most that frames may take together, in bytes, roughly. Zero: 8 MiB.
	Stack int64
	// Allowed says which functions may be imported. Nil: none.
	Allowed func(module, name string) bool
}

// Features are the parts of WebAssembly that guests may use: version 2, without threads.
const Features = api.CoreFeaturesV2

// pageShift is from pages, grown and copied, to units.
const pageShift = 13

// Rewrite is module, counting. It is deterministic.
func Rewrite(ctx context.Context, original []byte, o Options) ([]byte, error) {
	if o.MemoryPages == 0 {
		o.MemoryPages = 128
	}
	if o.Start == 0 {
		o.Start = 1 << 26
	}
	if o.Stack == 0 {
		o.Stack = 8 << 20
	}
	m, err := parse(original, o)
	if err != nil {
		return nil, err
	}
	if err := validate(ctx, m.join(len(original))); err != nil {
		return nil, err
	}
	return m.emit(o, len(original)), nil
}

// validate has wazero check the module as it is, but for custom sections, which nobody needs.
// Its interpreter checks what its compiler does, for less.
func validate(ctx context.Context, original []byte) error {
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(Features).WithDebugInfoEnabled(false))
	defer func() { _ = runtime.Close(ctx) }()
	if _, err := runtime.CompileModule(ctx, original); err != nil {
		return refused("%v", err)
	}
	return nil
}

// emitter writes the new module.
type emitter struct {
	*module
	fuel, stack uint32 // the globals
	types       []byte // those that are new
	added       uint32
	blocks      map[string]int64 // the types of blocks with several results

	left   uint32 // of the function that is being written: its variable for what is left
	local  bool   // whether it counts there
	joined bool   // and whether its comparisons are joined with branches
}

func (m *module) emit(o Options, size int) []byte {
	e := &emitter{module: m, fuel: m.globals, stack: m.globals + 1, blocks: make(map[string]int64)}
	code := e.code()
	sections := m.sections
	sections[sectionCode] = code
	if e.added > 0 {
		sections[sectionType] = more(sections[sectionType], uint32(len(m.types)), e.added, e.types)
	}
	if m.tables != nil {
		sections[sectionTable] = m.tables
	}
	sections[sectionMemory] = m.memory
	var globals []byte
	for _, value := range []int64{o.Start, o.Stack} {
		globals = append(appendSigned(append(globals, 0x7e, 1, 0x42), value), 0x0b) // mutable i64
	}
	sections[sectionGlobal] = more(sections[sectionGlobal], m.globals, 2, globals)
	var exports []byte
	for i, name := range []string{FuelExport, StackExport} {
		exports = append(appendU32(exports, uint32(len(name))), name...)
		exports = appendU32(append(exports, 3), e.fuel+uint32(i))
	}
	sections[sectionExport] = more(sections[sectionExport], m.exports, 2, exports)
	return m.join(size + size/2)
}

// join is the module as its sections have it.
func (m *module) join(size int) []byte {
	out := append(make([]byte, 0, size), "\x00asm\x01\x00\x00\x00"...)
	for _, id := range order {
		if body, ok := m.sections[id]; ok {
			out = append(appendU32(append(out, id), uint32(len(body))), body...)
		}
	}
	return out
}

// more is a section that has count items with some more at its end.
func more(section []byte, count, added uint32, items []byte) []byte {
	c := &cursor{p: section}
	if len(section) > 0 {
		c.u32()
	}
	return slices.Concat(appendU32(nil, count+added), section[c.at:], items)
}

func (e *emitter) code() []byte {
	out := appendU32(nil, uint32(len(e.plans)))
	var body []byte
	for i := range e.plans {
		body = e.function(body[:0], &e.plans[i])
		out = append(appendU32(out, uint32(len(body))), body...)
	}
	return out
}

// function writes a body:
//
//	variables of the original, one for what is left, one for a number of bytes
//	stack −= frame, if deep       trap below zero
//	left = fuel                   ┐ of a function that counts
//	block                         ┘ in its variable
//	block                         what was the way out of the function is now the end of it
//	  the original, with charges
//	end
//	fuel = left                   ┐
//	stack += frame                │ if deep
//	return                        │ of a function that counts in its variable: charges
//	end                           │ that find too little left come here
//	fuel = left, trap             ┘
func (e *emitter) function(p []byte, f *plan) []byte {
	groups := f.groups + 1
	e.left, e.local, e.joined = f.variables, f.local, f.joined
	if f.counted {
		groups++
	}
	p = append(appendU32(p, groups), f.locals...)
	p = append(p, 1, 0x7e)
	if f.counted {
		p = append(p, 1, 0x7f)
	}
	deep := f.deep()
	if deep {
		p = e.keep(appendSigned(global(p, 0x23, e.stack, 0x42), f.frame()), e.stack)
	}
	if f.local {
		p = append(e.fetch(p), 0x02, 0x40)
	}
	if deep || f.local {
		p = appendSigned(append(p, 0x02), e.block(f.results))
	}
	p = e.original(p, f)
	if deep || f.local {
		p = append(p, 0x0b)
	}
	if f.local {
		p = e.put(p)
	}
	if deep {
		p = appendSigned(global(p, 0x23, e.stack, 0x42), f.frame())
		p = global(append(p, 0x7c), 0x24, e.stack)
	}
	if f.local {
		p = append(e.put(append(p, 0x0f, 0x0b)), 0x00)
	}
	return append(p, 0x0b)
}

// original writes the body that a function had, with what is put into it.
func (e *emitter) original(p []byte, f *plan) []byte {
	if weight := f.regions[0].weight; weight > 0 {
		p = e.charge(p, weight, 1)
	}
	from := 0
	for _, i := range f.insertions {
		p = append(p, f.body[from:i.at]...)
		from = i.at
		switch {
		case i.kind == charge && f.regions[i.number].weight > 0:
			p = e.charge(p, f.regions[i.number].weight, i.nested)
		case i.kind == bytes:
			p = e.chargeBytes(p, i.number, i.nested)
		case i.kind == grow:
			p = e.chargePages(p, i.nested)
		case i.kind == leaving && (f.local || f.deep()):
			p = appendU32(append(p, 0x0c), uint32(i.nested-1))
			from++
		case i.kind == branching && f.joined:
			p = branch(p, f.body[i.at], f.body[i.at+2:i.at+1+i.number])
			from += 1 + i.number
		case i.kind == apart:
			p = append(p, 0x41, 0, 0x72) // i32.const 0, i32.or
		case i.kind == calling && f.local:
			p = e.put(p)
		case i.kind == called && f.local:
			p = e.fetch(p)
		}
	}
	return append(p, f.body[from:]...)
}

// global appends an instruction on a global, and what follows it.
func global(p []byte, op byte, index uint32, then ...byte) []byte {
	return append(appendU32(append(p, op), index), then...)
}

// fetch takes what is left from the global to the variable.
func (e *emitter) fetch(p []byte) []byte {
	return appendU32(global(p, 0x23, e.fuel, 0x21), e.left) // global.get, local.set
}

// put is the other way round.
func (e *emitter) put(p []byte) []byte {
	return global(appendU32(append(p, 0x20), e.left), 0x24, e.fuel) // local.get, global.set
}

// rest puts what is left on the operand stack, from where it is.
func (e *emitter) rest(p []byte) []byte {
	if e.local {
		return appendU32(append(p, 0x20), e.left)
	}
	return global(p, 0x23, e.fuel)
}

// charge takes weight off the fuel, in so many blocks.
func (e *emitter) charge(p []byte, weight int64, nested int) []byte {
	return e.pay(appendSigned(append(e.rest(p), 0x42), weight), nested)
}

// pay subtracts what is on the operand stack from the fuel beneath it. The way out of all
// blocks of the original leads to the end of the function, and one further to its trap.
func (e *emitter) pay(p []byte, nested int) []byte {
	if !e.local {
		return e.keep(p, e.fuel)
	}
	p = append(appendU32(append(p, 0x7d, 0x22), e.left), 0x42, 0) // i64.sub, local.tee, i64.const 0
	out := appendU32(nil, uint32(nested))
	if e.joined {
		return branch(p, 0x53, out) // < 0: br_if
	}
	return append(append(p, 0x53, 0x0d), out...)
}

// keep subtracts what is on the operand stack from what is beneath it, keeps the rest in the
// global and traps when that is below zero.
func (e *emitter) keep(p []byte, index uint32) []byte {
	p = appendU32(append(p, 0x7d, 0x22), e.left) // i64.sub, local.tee
	p = global(p, 0x24, index, 0x20)
	p = appendU32(p, e.left)
	return append(p, 0x42, 0, 0x53, 0x04, 0x40, 0x00, 0x0b) // < 0: if unreachable end
}

// chargeBytes charges for the number on top of the operand stack, which stays there.
func (e *emitter) chargeBytes(p []byte, shift, nested int) []byte {
	p = e.rest(appendU32(append(p, 0x22), e.left+1))
	p = appendU32(append(p, 0x20), e.left+1)
	p = append(p, 0xad, 0x42, byte(shift), 0x88) // i64.extend_i32_u, i64.shr_u
	return e.pay(p, nested)
}

// chargePages charges for growing memory: the pages asked for, though never more than can
// be had, and those that may have to be copied.
func (e *emitter) chargePages(p []byte, nested int) []byte {
	p = e.rest(appendU32(append(p, 0x22), e.left+1))
	for range 2 { // min(asked, pages): both, then the comparison of both, then select
		p = appendU32(append(p, 0x20), e.left+1)
		p = appendSigned(append(p, 0x41), int64(e.pages))
	}
	p = append(p, 0x49, 0x1b, 0x3f, 0, 0x6a, 0xad, 0x42, pageShift, 0x86) // lt_u, select, + memory.size, extend, shl
	return e.pay(p, nested)
}

// block is the type of a block with these results: none, one, or a new type.
func (e *emitter) block(results []byte) int64 {
	switch len(results) {
	case 0:
		return -0x40
	case 1:
		return int64(results[0]) - 0x80
	}
	index, ok := e.blocks[string(results)]
	if !ok {
		index = int64(len(e.module.types)) + int64(e.added)
		e.blocks[string(results)] = index
		e.types = append(appendU32(append(e.types, 0x60, 0), uint32(len(results))), results...)
		e.added++
	}
	return index
}
