package wasm

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/millrace/millrace/sdk"
)

// patience is what a call may take beyond the deadline of its plugin.
const patience = 50 * time.Millisecond

var (
	forever = Loop(Br(0))
	pass    = I64(0)
)

// export replaces a function of a guest, or adds one.
func export(name, params, results string, code []byte) func(*Module) {
	return func(m *Module) {
		f := Function{Export: name, Params: params, Results: results, Locals: "II", Code: code}
		for i := range m.Functions {
			if m.Functions[i].Export == name {
				m.Functions[i] = f
				return
			}
		}
		m.Functions = append(m.Functions, f)
	}
}

func with(change func(m *Module)) func(*Module) { return change }

// withLog moves the functions of m up by one, which is env.log. Code of m may not call others.
func withLog(m *Module) { m.Imports = []Import{{Module: "env", Name: "log", Params: "iii"}} }

func withStart(code []byte) func(*Module) {
	return func(m *Module) {
		at := uint32(len(m.Imports) + len(m.Functions))
		m.Functions = append(m.Functions, Function{Code: code})
		m.Start = &at
	}
}

// elements is an element segment that goes nowhere by itself: n times the first function.
func elements(n uint32) []byte { return Seq(Op(1, 0), U32(n), make([]byte, n)) }

// blocks are n functions, each with nearly as many blocks and variables as one may have.
func blocks(n int) []Function {
	f := Function{Locals: strings.Repeat("I", 1000), Code: Many(4000, Op(0x03, 0x40, 0x0b))}
	return slices.Repeat([]Function{f}, n)
}

// refusedAtLoad is what a module must be that nobody may even call.
var refusedAtLoad = errors.New("refused at load")

// malicious are modules that want to harm the broker, and the error that they end with; nil
// is for those that may run and harm nobody.
var malicious = map[string]struct {
	module Module
	want   error
}{
	// Time.
	"an endless loop":             {guest(Seq(forever, pass)), ErrFuel},
	"an endless loop with memory": {guest(Seq(Loop(I32(0), Load(), Op(0x1a), Br(0)), pass)), ErrFuel},
	"loops in loops":              {guest(Seq(Loop(Loop(Loop(I32(1), BrIf(2)))), pass)), ErrFuel},
	"divisions":                   {guest(Seq(Loop(I64(1<<60), I64(3), Op(0x7f, 0x1a), Br(0)), pass)), ErrFuel},
	"square roots":                {guest(Seq(Loop(I64(77), Op(0xb9, 0x9f, 0x1a), Br(0)), pass)), ErrFuel},
	"recursion":                   {guest(Seq(I32(0), Call(2))), ErrStack},
	"recursion with large frames": {guest(Seq(I32(0), Call(3)), with(func(m *Module) {
		m.Functions = append(m.Functions, Function{Params: "i", Results: "I", Locals: strings.Repeat("v", 1900), Code: Seq(I32(0), Call(3))})
	})), ErrStack},
	"two that call each other":      {guest(Seq(I32(0), Call(3)), export("other", "i", "I", Seq(I32(0), Call(2)))), ErrStack},
	"recursion through a table":     {guest(Seq(I32(0), I32(0), Op(0x11, 2, 0)), with(func(m *Module) { m.Tables, m.Elements = []Limits{{Min: 1}}, []uint32{2} })), ErrStack},
	"fills memory again and again":  {guest(Seq(Loop(I32(0), I32(1), I32(8<<16), Op(0xfc, 11, 0), Br(0)), pass)), ErrFuel},
	"copies memory again and again": {guest(Seq(Loop(I32(0), I32(8), I32(7<<16), Op(0xfc, 10, 0, 0), Br(0)), pass)), ErrFuel},
	"a bomb of br_table":            {guest(Seq(Loop(I32(0), Op(0x0e), U32(30_000), make([]byte, 30_000), Op(0)), pass)), ErrFuel},
	"a start section that loops":    {guest(pass, withStart(forever)), refusedAtLoad},
	"a start section that recurses": {guest(pass, withStart(Call(3))), refusedAtLoad},
	"an initialize that loops":      {guest(pass, export(abi.Initialize, "", "", forever)), refusedAtLoad},
	"a configure that loops":        {guest(pass, export(abi.Configure, "i", "I", Seq(forever, pass))), refusedAtLoad},
	"an alloc_in that loops":        {guest(pass, export(abi.Alloc, "i", "i", Seq(forever, I32(0)))), refusedAtLoad},
	"exponentially many calls":      {exponential(), ErrFuel},
	"a loop that keeps a thousand": {guest(Seq(Many(1000, I64(5)), Op(3, 3), I64(7), Br(0), Op(0x0b), pass), with(func(m *Module) {
		m.Functions = append(m.Functions, Function{Params: strings.Repeat("I", 1000)})
	})), ErrFuel},
	"a loop behind a type": {guest(Seq(Op(2, 0x63, 0x28, 3, 0x40), Br(0), Op(2, 0x63, 0x28, 0, 0x0b, 0x1a, 0x0b, 0, 0x0b, 0x1a), pass), with(func(m *Module) {
		for n := range 50 {
			m.Functions = append(m.Functions, Function{Params: strings.Repeat("i", n+2)})
		}
	})), refusedAtLoad},
	"recursion with large answers": {guest(Seq(Call(3), Many(1000, Op(0x1a)), pass), with(func(m *Module) {
		m.Functions = append(m.Functions, Function{Results: strings.Repeat("v", 1000), Code: Call(3)})
	})), ErrStack},

	// Memory.
	"memory that grows":               {guest(Seq(Loop(I32(1), Op(0x40, 0, 0x1a), Br(0)), pass)), ErrFuel},
	"memory that grows by all":        {guest(Seq(Loop(I32(-1), Op(0x40, 0, 0x1a), Br(0)), pass)), ErrFuel},
	"memory of four GiB":              {guest(pass, with(func(m *Module) { m.Memory = Limits{Min: 65536} })), refusedAtLoad},
	"memory that may have four GiB":   {guest(Seq(I32(60_000), Op(0x40, 0, 0x1a), pass), with(func(m *Module) { m.Memory = Limits{Min: 8, Max: 65536} })), nil},
	"a table of a billion":            {guest(pass, with(func(m *Module) { m.Tables = []Limits{{Min: 1 << 26}} })), refusedAtLoad},
	"a table that grows":              {guest(Seq(Loop(Op(0xd0, 0x70), I32(1000), Op(0xfc, 15, 0, 0x1a), Br(0)), pass), with(func(m *Module) { m.Tables = []Limits{{Min: 1}} })), ErrFuel},
	"two memories":                    {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{5: {2, 0, 1, 0, 1}} })), refusedAtLoad},
	"shared memory":                   {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{5: {1, 3, 1, 1}} })), refusedAtLoad},
	"a data segment out of range":     {guest(pass, with(func(m *Module) { m.Data = []Data{{At: 8<<16 - 2, Bytes: []byte("four")}} })), refusedAtLoad},
	"a data segment at a negative":    {guest(pass, with(func(m *Module) { m.Data = []Data{{At: -4, Bytes: []byte("four")}} })), refusedAtLoad},
	"an element segment out of range": {guest(Seq(I32(0), I32(0), Op(0x11, 2, 0)), with(func(m *Module) { m.Tables, m.Elements = []Limits{{Min: 1}}, []uint32{2, 2} })), ErrTrap}, // wazero leaves the table empty

	"elements without end":       {guest(pass, with(func(m *Module) { m.Tables, m.Raw = []Limits{{Min: 1}}, map[byte][]byte{9: U32(1<<32 - 1)} })), refusedAtLoad},
	"segments of many elements":  {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{9: Seq(U32(2), elements(1<<16+1), elements(1<<16))} })), refusedAtLoad},
	"tables, each of many":       {guest(pass, with(func(m *Module) { m.Tables = []Limits{{Min: 1 << 16}, {Min: 1 << 16}, {Min: 1}} })), refusedAtLoad},
	"tables that grow":           {guest(Seq(Loop(Op(0xd0, 0x70), I32(1<<16), Op(0xfc, 15, 1, 0x1a), Br(0)), pass), with(func(m *Module) { m.Tables = []Limits{{Min: 1}, {Min: 1}} })), ErrFuel},
	"functions of many blocks":   {guest(pass, with(func(m *Module) { m.Functions = append(m.Functions, blocks(20)...) })), refusedAtLoad},
	"data without end":           {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{11: U32(1<<32 - 1)} })), refusedAtLoad},
	"a data segment without end": {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{11: Seq(Op(1, 0, 0x41, 0, 0x0b), U32(1<<32-1))} })), refusedAtLoad},

	// Traps.
	"unreachable":               {guest(Op(0x00)), ErrTrap},
	"a division by zero":        {guest(Seq(I32(1), I32(0), Op(0x6d, 0x1a), pass)), ErrTrap},
	"an overflow":               {guest(Seq(I32(-1<<31), I32(-1), Op(0x6d, 0x1a), pass)), ErrTrap},
	"a conversion of NaN":       {guest(Seq(Op(0x43, 0, 0, 0xc0, 0x7f), Op(0xa8, 0x1a), pass)), ErrTrap},
	"a load out of bounds":      {guest(Seq(I32(-4), Load(), Op(0x1a), pass)), ErrTrap},
	"a store out of bounds":     {guest(Seq(I32(8<<16-3), I32(1), Store(), pass)), ErrTrap},
	"a call of nothing":         {guest(Seq(I32(0), I32(0), Op(0x11, 2, 0)), with(func(m *Module) { m.Tables = []Limits{{Min: 1}} })), ErrTrap},
	"a call of the wrong type":  {guest(Seq(I32(0), I32(0), Op(0x11, 2, 0)), with(func(m *Module) { m.Tables, m.Elements = []Limits{{Min: 1}}, []uint32{0} })), ErrTrap},
	"a call outside of a table": {guest(Seq(I32(0), I32(9), Op(0x11, 2, 0)), with(func(m *Module) { m.Tables = []Limits{{Min: 1}} })), ErrTrap},
	"a fill out of bounds":      {guest(Seq(I32(8<<16-1), I32(1), I32(2), Op(0xfc, 11, 0), pass)), ErrTrap},

	// Pointers.
	"output beyond memory":       {guest(I64(8<<16<<32 | 16)), ErrOutput},
	"output across the end":      {guest(I64((8<<16-8)<<32 | 16)), ErrOutput},
	"output at a negative":       {guest(I64(-1<<32 | 16)), ErrOutput},
	"output of four GiB":         {guest(I64(0xffffffff)), ErrOutput},
	"output that is too large":   {guest(I64(300 << 10)), ErrOutput},
	"output that is its input":   {guest(Seq(I64(inputAt<<32 | 200))), ErrOutput},
	"input at zero":              {guest(pass, export(abi.Alloc, "i", "i", I32(0))), refusedAtLoad},
	"input at a negative":        {guest(pass, export(abi.Alloc, "i", "i", I32(-1))), refusedAtLoad},
	"input at the end of memory": {guest(pass, export(abi.Alloc, "i", "i", I32(8<<16-1))), refusedAtLoad},
	"input over its own list":    {guest(I64(inputAt<<32|200), export(abi.Alloc, "i", "i", I32(inputAt))), ErrOutput},
	"configure that points away": {guest(pass, export(abi.Configure, "i", "I", I64(-1))), refusedAtLoad},

	// Lists of edits.
	"no magic":                      {answering([]byte("12345678")), ErrOutput},
	"an empty list that is short":   {answering([]byte("MRE1\x00")), ErrOutput},
	"more edits than records":       {answering(listOf(4, 0, 2, 1, 2, 2, 2, 3, 2)), ErrOutput},
	"four billion edits":            {answering(listOf(-1, 0, 2)), ErrOutput},
	"fewer edits than it says":      {answering(listOf(2, 0, 2)), ErrOutput},
	"more edits than it says":       {answering(listOf(1, 0, 2, 1, 2)), ErrOutput},
	"a record beyond the last":      {answering(listOf(1, 3, 2)), ErrOutput},
	"a negative record":             {answering(listOf(1, -1, 2)), ErrOutput},
	"a record twice":                {answering(listOf(2, 1, 2, 1, 2)), ErrOutput},
	"records in the wrong order":    {answering(listOf(2, 1, 2, 0, 2)), ErrOutput},
	"a fate that does not exist":    {answering(listOf(1, 0, 9)), ErrOutput},
	"flags that do not exist":       {answering(listOf(1, 0, 1|16<<8)), ErrOutput},
	"flags on a drop":               {answering(listOf(1, 0, 2|1<<8, "x")), ErrOutput},
	"a value longer than its list":  {answering(listOf(1, 0, 1|2<<8, 1<<20)), ErrOutput},
	"a value of nearly null":        {answering(listOf(1, 0, 1|2<<8, -2)), ErrOutput},
	"a billion headers":             {answering(listOf(1, 0, 1|4<<8, 1<<30)), ErrOutput},
	"headers that are cut short":    {answering(listOf(1, 0, 1|4<<8, 2, "a", "b")), ErrOutput},
	"a header key that is null":     {answering(listOf(1, 0, 1|4<<8, 1, -1, -1)), ErrOutput},
	"a header key that is no text":  {answering(listOf(1, 0, 1|4<<8, 1, "\xff\xfe", -1)), ErrOutput},
	"headers replaced and added":    {answering(listOf(1, 0, 1|12<<8, 0)), ErrOutput},
	"a value both ways":             {answeringFields(listOf(1, 0, 1|18<<8, "x")), ErrOutput},
	"a drop with a value":           {answeringFields(listOf(1, 0, 2|16<<8)), ErrOutput},
	"flags beyond the last":         {answeringFields(listOf(1, 0, 1|32<<8)), ErrOutput},
	"a value in place, then none":   {answeringFields(listOf(2, 0, 1|16<<8)), ErrOutput},
	"a table that it writes over":   {scribbling(), nil},
	"a route to nowhere":            {answering(listOf(1, 0, 3, "")), ErrOutput},
	"a route to a path":             {answering(listOf(1, 0, 3, "../../etc")), ErrOutput},
	"a route to a long name":        {answering(listOf(1, 0, 3, strings.Repeat("a", 250))), ErrOutput},
	"a reason that is a book":       {answering(listOf(1, 0, 4, strings.Repeat("a", 2000))), ErrOutput},
	"a rejection among others":      {answering(listOf(2, 0, 2, -1, 5, "no")), ErrOutput},
	"a rejection of a record":       {answering(listOf(1, 0, 5, "no")), ErrOutput},
	"a rejection with control text": {answering(listOf(1, -1, 5, "\xff\x00\x1b[2J")), &sdk.Rejection{}},

	// The host.
	"an import that does not exist": {guest(pass, with(func(m *Module) { m.Imports = []Import{{Module: "env", Name: "system", Params: "i"}} })), refusedAtLoad},
	"a log of another type":         {guest(pass, with(func(m *Module) { m.Imports = []Import{{Module: "env", Name: "log", Params: "I"}} })), refusedAtLoad},
	"threads of WASI": {guest(pass, with(func(m *Module) {
		m.Imports = []Import{{Module: "wasi", Name: "thread-spawn", Params: "i", Results: "i"}}
	})), refusedAtLoad},
	"an import of the fuel":        {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{2: importOfGlobal("env", fuel.FuelExport)} })), refusedAtLoad},
	"an imported memory":           {guest(pass, with(func(m *Module) { m.Raw = map[byte][]byte{2: {1, 3, 'e', 'n', 'v', 1, 'm', 2, 0, 1}} })), refusedAtLoad},
	"fuel that it fills up itself": {guest(Seq(I64(1<<60), GlobalSet(0), forever, pass)), refusedAtLoad},
	"fuel behind globals of its":   {guest(Seq(I64(1<<60), GlobalSet(1), forever, pass), with(func(m *Module) { m.Globals = []Global{{}} })), refusedAtLoad},
	"an export with the fuel's name": {guest(Seq(forever, pass), with(func(m *Module) {
		m.Globals = []Global{{Export: fuel.FuelExport, Init: 1 << 60}}
	})), refusedAtLoad},
	"an export with the stack's name": {guest(Seq(I32(0), Call(2)), with(func(m *Module) {
		m.Globals = []Global{{Export: fuel.StackExport, Init: 1 << 60}}
	})), refusedAtLoad},
	"a flood of the log":      {guest(Seq(Loop(I32(3), I32(0), I32(-1), Call(0), Br(0)), pass), withLog), ErrFuel},
	"a log beyond memory":     {guest(Seq(I32(3), I32(-1), I32(1000), Call(0), pass), withLog), nil},
	"a log from a start":      {guest(pass, withLog, withStart(Loop(I32(3), I32(0), I32(1), Call(0), Br(0)))), refusedAtLoad},
	"a flood through a table": {guest(Seq(Loop(I32(3), I32(0), I32(1000), I32(0), Op(0x11, 0, 0), Br(0)), pass), withLog, with(func(m *Module) { m.Tables, m.Elements = []Limits{{Min: 1}}, []uint32{0} })), ErrFuel},
	"an exit":                 {guest(Seq(I32(0), Call(0), pass), with(func(m *Module) { m.Imports = []Import{{Module: wasiModule, Name: "proc_exit", Params: "i"}} })), ErrTrap},
	"random numbers without an end": {guest(Seq(Loop(I32(0), I32(4096), Call(0), Op(0x1a), Br(0)), pass), with(func(m *Module) {
		m.Imports = []Import{{Module: wasiModule, Name: "random_get", Params: "ii", Results: "i"}}
	})), ErrFuel},
	"sleep": {guest(Seq(Loop(I32(0), I32(0), I32(1), I32(0), Call(0), Op(0x1a), Br(0)), pass), with(func(m *Module) {
		m.Imports = []Import{{Module: wasiModule, Name: "poll_oneoff", Params: "iiii", Results: "i"}}
	})), ErrFuel},
	"files": {guest(Seq(Many(5, I32(0)), Many(2, I64(0)), Many(2, I32(0)), Call(0), I32(52), Op(0x47), If(Op(0x00)), pass), with(func(m *Module) {
		m.Imports = []Import{{Module: wasiModule, Name: "path_open", Params: "iiiiiIIii", Results: "i"}}
	})), nil},

	// What modules are made of.
	"no marker":                     {guest(pass, with(func(m *Module) { m.Functions[0].Export = "millrace_plugin_abi_v9" })), refusedAtLoad},
	"an on_produce of another type": {guest(pass, with(func(m *Module) { m.Functions[2].Results, m.Functions[2].Code = "i", I32(0) })), refusedAtLoad},
	"nothing to call":               {guest(pass, with(func(m *Module) { m.Functions[2].Export = "" })), refusedAtLoad},
	"no memory for others":          {guest(pass, with(func(m *Module) { m.NoMemory = true })), refusedAtLoad},
	"deep nesting":                  {guest(Seq(Many(2000, Op(0x02, 0x40)), Many(2000, Op(0x0b)), pass)), nil},
	"deeper nesting":                {guest(Seq(Many(50_000, Op(0x02, 0x40)), Many(50_000, Op(0x0b)), pass)), refusedAtLoad},
	"a giant function":              {guest(Seq(Many(400_000, Op(0x01)), Many(100_000, Op(0x41, 1, 0x1a)), pass)), nil},
	"a function beyond giant":       {guest(Seq(Many(2_000_000, Op(0x01)), pass)), refusedAtLoad},
	"many globals":                  {guest(pass, with(func(m *Module) { m.Globals = make([]Global, 5000) })), refusedAtLoad},
	"variables times blocks":        {guest(Seq(Many(10_000, Op(0x03, 0x40, 0x0b)), pass), with(func(m *Module) { m.Functions[2].Locals = strings.Repeat("I", 1000) })), refusedAtLoad},
	"variables without end": {guest(pass, with(func(m *Module) {
		m.Raw = map[byte][]byte{10: Seq(U32(3), Op(8, 1), U32(1<<31-1), Op(0x7f, 0x0b), Op(2, 0, 0x0b), Op(2, 0, 0x0b))}
	})), refusedAtLoad},
	"huge names":                  {guest(pass, with(func(m *Module) { m.Names = bytes.Repeat([]byte{0xff}, 4<<20) })), nil},
	"a huge name of an export":    {guest(pass, with(func(m *Module) { m.Exports = []Export{{Name: strings.Repeat("a", 1<<20), Kind: 0}} })), refusedAtLoad},
	"code that does not validate": {guest(Op(0x6a)), refusedAtLoad},
	"no module at all":            {Module{NoMemory: true, Raw: map[byte][]byte{1: {0xff, 0xff, 0xff, 0xff, 0x0f}}}, refusedAtLoad},
	"atomics":                     {guest(Seq(Op(0xfe, 0x03, 0), pass)), refusedAtLoad},
}

// answeringFields is answering for a guest that is told where fields are.
func answeringFields(list []byte) Module {
	m := answering(list)
	export(abi.Fields, "", "", nil)(&m)
	return m
}

// scribbling fills its input with ones, header and table and all, and says that it has changed each value.
func scribbling() Module {
	m := withFields(Seq(I32(inputAt), I32(0xff), Get(0), Op(0xfc, 11, 0), I64(listAt<<32|32)))
	m.Data = []Data{{At: listAt, Bytes: listOf(3, 0, 1|16<<8, 1, 1|16<<8, 2, 1|16<<8)}}
	return m
}

func importOfGlobal(from, name string) []byte {
	return Seq(U32(1), U32(uint32(len(from))), []byte(from), U32(uint32(len(name))), []byte(name), Op(3, 0x7e, 1))
}

// exponential calls two to the power of forty functions in a chain of forty.
func exponential() Module {
	m := guest(Seq(Call(3), pass))
	for n := range uint32(40) {
		m.Functions = append(m.Functions, Function{Code: Seq(Call(4+n), Call(4+n))})
	}
	m.Functions = append(m.Functions, Function{})
	return m
}

func TestMaliciousModules(t *testing.T) {
	if len(malicious) < 50 {
		t.Fatalf("only %d modules", len(malicious))
	}
	honest := mustLoad(t, answering(listOf(1, 1, 2)).Bytes(), nil)
	before := resident(t)
	for name, test := range malicious {
		t.Run(name, func(t *testing.T) {
			var p *Plugin
			var err error
			soon(t, 20*time.Second, func() { p, err = load(t, test.module.Bytes(), nil) })
			if errors.Is(test.want, refusedAtLoad) {
				if err == nil {
					t.Fatal("it was loaded")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				attack(t, p, test.want)
			}
			b := records(t, "a", "b", "c")
			if err := honest.OnProduce(b); err != nil || b.Edits()[1].Fate != sdk.Dropped {
				t.Errorf("an honest plugin was harmed: %v", err)
			}
		})
	}
	debug.FreeOSMemory()
	if now := resident(t); now > before+256<<20 {
		t.Errorf("the process had %d MiB and has %d MiB", before>>20, now>>20)
	}
}

func attack(t *testing.T, p *Plugin, want error) {
	t.Helper()
	soon(t, p.s.deadline+patience, func() {
		b := records(t, "a", "b", "c")
		err := p.OnProduce(b)
		var rejected *sdk.Rejection
		switch {
		case want == nil && err != nil, want != nil && err == nil:
			t.Errorf("the call ended with %v, want %v", err, want)
		case errors.As(want, &rejected):
			if !errors.As(err, &rejected) || strings.Contains(rejected.Reason, "\xff") {
				t.Errorf("the call ended with %q", err)
			}
		case !errors.Is(err, want):
			t.Errorf("the call ended with %v, want %v", err, want)
		}
		if b.Changed() && want != nil {
			t.Error("a call that failed has changed the batch")
		}
	})
}

// soon makes a call that may take the thread most of a processor's time. One that took longer is
// made again, twice: what the kernel does for its memory, or the collector beside it, is not the module's.
// The race detector has four bytes of its own for each byte that the host copies, so the bound is wider with it.
func soon(t *testing.T, most time.Duration, call func()) {
	t.Helper()
	if RaceEnabled {
		most *= 5
	}
	runtime.LockOSThread() // whose time is looked at
	defer runtime.UnlockOSThread()
	var took time.Duration
	for range 3 {
		begin := busy()
		call()
		if took = busy() - begin; took <= most {
			return
		}
	}
	t.Errorf("the call took %v, and may take %v", took, most)
}

// resident is how much memory the process has.
func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system does not say how much memory a process has")
	}
	var pages int64
	for _, c := range bytes.Fields(text)[1] {
		pages = pages*10 + int64(c-'0')
	}
	return pages * int64(os.Getpagesize())
}
