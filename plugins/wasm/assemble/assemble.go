// Package assemble writes small WebAssembly modules, valid or not, for tests of the host.
//
//	m := assemble.Module{Functions: []assemble.Function{{
//		Export: "twice", Params: "i", Results: "i",
//		Code: assemble.Seq(assemble.Get(0), assemble.I32(2), assemble.Op(0x6c)),
//	}}}
//	bytes := m.Bytes()
//
// Types are letters: i and I are i32 and i64, f and F are f32 and f64, v is v128, r funcref.
package assemble

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Module is what a module has. Functions are numbered from 0, imports first.
type Module struct {
	Imports   []Import
	Functions []Function
	NoMemory  bool
	Memory    Limits // exported as memory; one page when zero
	Tables    []Limits
	Elements  []uint32 // functions at the begin of table 0
	Globals   []Global
	Data      []Data
	Start     *uint32
	Exports   []Export // besides those of functions, globals and memory
	Names     []byte   // the content of a custom section "name", if any
	Raw       map[byte][]byte
}

// Import is a function that the host has.
type Import struct{ Module, Name, Params, Results string }

// Function is a function with a body, without its last end.
type Function struct {
	Export, Params, Results, Locals string
	Code                            []byte
}

// Limits are those of a memory, in pages, or of a table.
type Limits struct {
	Min uint32
	Max uint32 // 0: none
}

// Global is a mutable i64, or another type.
type Global struct {
	Export string
	Type   string // "": I
	Init   int64
}

// Data is bytes of memory from the start on.
type Data struct {
	At    int32
	Bytes []byte
}

// Export gives a thing a name: kind 0 is a function, 1 a table, 2 a memory, 3 a global.
type Export struct {
	Name  string
	Kind  byte
	Index uint32
}

var letters = map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c, 'v': 0x7b, 'r': 0x70}

func types(text string) []byte {
	p := U32(uint32(len(text)))
	for _, letter := range text {
		p = append(p, letters[letter])
	}
	return p
}

// Bytes is the module.
func (m Module) Bytes() []byte {
	w := &writer{}
	var imports, functions, code, exports []byte
	for _, i := range m.Imports {
		imports = slices.Concat(imports, text(i.Module), text(i.Name), []byte{0}, U32(w.of(i.Params, i.Results)))
	}
	var named []Export
	for n, f := range m.Functions {
		functions = append(functions, U32(w.of(f.Params, f.Results))...)
		code = append(code, sized(slices.Concat(locals(f.Locals), f.Code, []byte{0x0b}))...)
		if f.Export != "" {
			named = append(named, Export{f.Export, 0, uint32(len(m.Imports) + n)})
		}
	}
	if !m.NoMemory {
		named = append(named, Export{"memory", 2, 0})
	}
	for n, g := range m.Globals {
		if g.Export != "" {
			named = append(named, Export{g.Export, 3, uint32(n)})
		}
	}
	named = append(named, m.Exports...)
	for _, e := range named {
		exports = slices.Concat(exports, text(e.Name), []byte{e.Kind}, U32(e.Index))
	}
	sections := map[byte][]byte{
		1: vector(len(w.seen), w.types), 2: vector(len(m.Imports), imports), 3: vector(len(m.Functions), functions),
		4: m.tables(), 5: m.memory(), 6: m.globals(), 7: vector(len(named), exports), 9: m.elements(),
		10: vector(len(m.Functions), code), 11: m.data(),
	}
	if m.Start != nil {
		sections[8] = U32(*m.Start)
	}
	for id, raw := range m.Raw {
		sections[id] = raw
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	if m.Names != nil {
		out = slices.Concat(out, []byte{0}, sized(slices.Concat(text("name"), m.Names)))
	}
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11} {
		if section := sections[id]; len(section) > 0 {
			out = slices.Concat(out, []byte{id}, sized(section))
		}
	}
	return out
}

// writer numbers the types.
type writer struct {
	seen  []string
	types []byte
}

func (w *writer) of(params, results string) uint32 {
	key := params + ":" + results
	at := slices.Index(w.seen, key)
	if at < 0 {
		at = len(w.seen)
		w.seen = append(w.seen, key)
		w.types = slices.Concat(w.types, []byte{0x60}, types(params), types(results))
	}
	return uint32(at)
}

func (m Module) tables() []byte {
	var p []byte
	for _, t := range m.Tables {
		p = slices.Concat(p, []byte{0x70}, limits(t))
	}
	return vector(len(m.Tables), p)
}

func (m Module) memory() []byte {
	if m.NoMemory {
		return nil
	}
	if m.Memory == (Limits{}) {
		m.Memory.Min = 1
	}
	return vector(1, limits(m.Memory))
}

func (m Module) globals() []byte {
	var p []byte
	for _, g := range m.Globals {
		kind, constant := byte(0x7e), byte(0x42)
		if g.Type == "i" {
			kind, constant = 0x7f, 0x41
		}
		p = slices.Concat(p, []byte{kind, 1, constant}, Signed(g.Init), []byte{0x0b})
	}
	return vector(len(m.Globals), p)
}

func (m Module) elements() []byte {
	if len(m.Elements) == 0 {
		return nil
	}
	p := []byte{1, 0, 0x41, 0, 0x0b}
	p = append(p, U32(uint32(len(m.Elements)))...)
	for _, f := range m.Elements {
		p = append(p, U32(f)...)
	}
	return p
}

func (m Module) data() []byte {
	var p []byte
	for _, d := range m.Data {
		p = slices.Concat(p, []byte{0, 0x41}, Signed(int64(d.At)), []byte{0x0b}, sized(d.Bytes))
	}
	return vector(len(m.Data), p)
}

func limits(l Limits) []byte {
	if l.Max == 0 {
		return append([]byte{0}, U32(l.Min)...)
	}
	return slices.Concat([]byte{1}, U32(l.Min), U32(l.Max))
}

func locals(of string) []byte {
	p := U32(uint32(len(of)))
	for _, letter := range of {
		p = append(p, 1, letters[letter])
	}
	return p
}

func vector(n int, items []byte) []byte {
	if n == 0 {
		return nil
	}
	return append(U32(uint32(n)), items...)
}

func sized(p []byte) []byte { return append(U32(uint32(len(p))), p...) }

func text(s string) []byte { return sized([]byte(s)) }

// U32 is an unsigned number.
func U32(v uint32) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// Signed is a signed number.
func Signed(v int64) []byte {
	var p []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(p, b)
		}
		p = append(p, b|0x80)
	}
}

// Seq is code after code.
func Seq(parts ...[]byte) []byte { return slices.Concat(parts...) }

// Op is bare bytes.
func Op(code ...byte) []byte { return code }

// Many is code n times.
func Many(n int, code []byte) []byte { return []byte(strings.Repeat(string(code), n)) }

// I32 is a constant.
func I32(v int32) []byte { return append([]byte{0x41}, Signed(int64(v))...) }

// I64 is a constant.
func I64(v int64) []byte { return append([]byte{0x42}, Signed(v)...) }

func indexed(op byte, n uint32) []byte { return append([]byte{op}, U32(n)...) }

// Get is local.get.
func Get(n uint32) []byte { return indexed(0x20, n) }

// Set is local.set.
func Set(n uint32) []byte { return indexed(0x21, n) }

// Tee is local.tee.
func Tee(n uint32) []byte { return indexed(0x22, n) }

// GlobalGet is global.get.
func GlobalGet(n uint32) []byte { return indexed(0x23, n) }

// GlobalSet is global.set.
func GlobalSet(n uint32) []byte { return indexed(0x24, n) }

// Call is call.
func Call(n uint32) []byte { return indexed(0x10, n) }

// Br is br.
func Br(n uint32) []byte { return indexed(0x0c, n) }

// BrIf is br_if.
func BrIf(n uint32) []byte { return indexed(0x0d, n) }

// Load is i32.load of the address on the operand stack.
func Load() []byte { return []byte{0x28, 2, 0} }

// Store is i32.store.
func Store() []byte { return []byte{0x36, 2, 0} }

// Block is a block without results.
func Block(code ...[]byte) []byte { return inside(0x02, code) }

// Loop is a loop without results.
func Loop(code ...[]byte) []byte { return inside(0x03, code) }

// If is an if without results.
func If(code ...[]byte) []byte { return inside(0x04, code) }

func inside(op byte, code [][]byte) []byte {
	return slices.Concat([]byte{op, 0x40}, slices.Concat(code...), []byte{0x0b})
}
