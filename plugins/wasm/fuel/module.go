package fuel

import "slices"

// The limits of a module. They bound what compiling it costs, which is paid once, and what
// its stack can be; no reasonable guest comes near them.
const (
	maxModule    = 16 << 20
	maxName      = 1 << 10
	maxTypes     = 10_000
	maxValues    = 1000    // parameters or results of one function
	maxAllValues = 1 << 17 // of all types: the compiler makes an entry for each type
	maxImports   = 200
	maxFunctions = 50_000
	maxTables    = 16
	maxElements  = 1 << 17 // of all tables together, and of all segments
	maxGlobals   = 1000
	maxSegments  = 100_000
	maxExports   = 10_000
	maxBody      = 1 << 20
	maxLocals    = 2000 // of one function, with its parameters
	maxNesting   = 8192
	maxTargets   = 1 << 15 // of all br_table of one function
	maxPhis      = 4 << 20 // locals times blocks of one function
	maxAllPhis   = 64 << 20
)

// The names under which a rewritten module exports its counters.
const (
	FuelExport  = "millrace_fuel"
	StackExport = "millrace_stack"
)

// The numbers of the sections.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// order is that of the sections in a module.
var order = []byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal,
	sectionExport, sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData,
}

type signature struct {
	params, results []byte
	in, out         int64 // the words of them
}

// module is what the rewriter knows of a module.
type module struct {
	sections  map[byte][]byte // but for custom ones, which are left out
	types     []signature
	imports   []uint32 // the types of functions that the host has
	functions []uint32 // and of those that have a body
	globals   uint32
	exports   uint32
	pages     uint32 // of memory, at most
	tables    []byte // the section with limits of ours
	memory    []byte // the same
	plans     []plan
}

func parse(p []byte, o Options) (*module, error) {
	if len(p) > maxModule {
		return nil, refused("it has %d bytes, more than %d", len(p), maxModule)
	}
	m := &module{sections: make(map[byte][]byte), pages: o.MemoryPages}
	if err := m.cut(p); err != nil {
		return nil, err
	}
	for _, read := range []struct {
		section byte
		parse   func(c *cursor)
	}{
		{sectionType, m.parseTypes},
		{sectionImport, func(c *cursor) { m.parseImports(c, o.Allowed) }},
		{sectionFunction, m.parseFunctions},
		{sectionTable, m.parseTables},
		{sectionMemory, m.parseMemory},
		{sectionGlobal, m.parseGlobals},
		{sectionExport, m.parseExports},
		{sectionElement, m.parseElements},
		{sectionCode, m.parseCode},
		{sectionData, m.parseData},
	} {
		c := &cursor{p: m.sections[read.section]}
		if m.sections[read.section] != nil {
			read.parse(c)
		}
		if c.err == nil && c.at != len(c.p) {
			c.fail("section %d goes on behind its end", read.section)
		}
		if c.err != nil {
			return nil, c.err
		}
	}
	switch {
	case m.memory == nil:
		return nil, refused("it has no memory of its own")
	case len(m.plans) != len(m.functions):
		return nil, refused("it has %d functions and %d bodies", len(m.functions), len(m.plans))
	}
	return m, nil
}

// cut finds the sections: each once, and in their order.
func (m *module) cut(p []byte) error {
	c := &cursor{p: p}
	if string(c.take(8)) != "\x00asm\x01\x00\x00\x00" {
		return refused("it is no WebAssembly module of version 1")
	}
	last := -1
	for c.more() {
		id := c.byte()
		body := c.take(c.u32())
		if c.err != nil || id == sectionCustom {
			continue
		}
		place := slices.Index(order, id)
		if place <= last {
			return refused("section %d is unknown, there twice or in the wrong place", id)
		}
		last = place
		m.sections[id] = body
		if body == nil {
			m.sections[id] = []byte{}
		}
	}
	return c.err
}

func (m *module) parseTypes(c *cursor) {
	all := 0
	for range c.count("types", maxTypes) {
		if c.byte() != 0x60 {
			c.fail("a type is not that of a function")
		}
		params := c.valueTypes(c.count("parameters", maxValues))
		results := c.valueTypes(c.count("results", maxValues))
		if all += len(params) + len(results); all > maxAllValues {
			c.fail("its types have more than %d parameters and results together", maxAllValues)
		}
		if c.err != nil {
			return
		}
		m.types = append(m.types, signature{params, results, words(params), words(results)})
	}
}

func (m *module) parseImports(c *cursor, allowed func(module, name string) bool) {
	for range c.count("imports", maxImports) {
		from, name := c.name(), c.name()
		if kind := c.byte(); kind != 0 && c.err == nil {
			c.fail("it imports %s.%s, which is not a function", from, name)
		}
		t := c.u32()
		if c.err != nil {
			return
		}
		if allowed == nil || !allowed(from, name) {
			c.fail("it imports %s.%s, which the host does not have", from, name)
			return
		}
		if t >= uint32(len(m.types)) {
			c.fail("%s.%s has type %d of %d", from, name, t, len(m.types))
			return
		}
		m.imports = append(m.imports, t)
	}
}

func (m *module) parseFunctions(c *cursor) {
	for range c.count("functions", maxFunctions) {
		t := c.u32()
		if c.err == nil && t >= uint32(len(m.types)) {
			c.fail("a function has type %d of %d", t, len(m.types))
		}
		if c.err != nil {
			return
		}
		m.functions = append(m.functions, t)
	}
}

// parseLimits reads the limits of a memory or table and makes the larger one ours.
func parseLimits(c *cursor, what string, most uint32) (least, largest uint32) {
	largest = most
	flags := c.byte()
	if flags > 1 {
		c.fail("its %s is shared or has 64 bits", what)
		return 0, 0
	}
	least = c.u32()
	if flags == 1 {
		largest = min(c.u32(), most)
	}
	if least > most {
		c.fail("its %s begins with %d, more than the %d it may have", what, least, most)
	}
	return least, max(largest, least)
}

func (m *module) parseTables(c *cursor) {
	n := c.count("tables", maxTables)
	m.tables = appendU32(nil, n)
	left := uint32(maxElements) // each instance has them all, filled, beside its memory
	for i := range n {
		kind := c.valueTypes(1)
		// What a table may grow by is its share of what those behind it leave.
		least, largest := parseLimits(c, "table", left)
		largest = min(largest, max(least, left/(n-i)))
		left -= largest
		m.tables = appendU32(appendU32(append(append(m.tables, kind...), 1), least), largest)
	}
}

func (m *module) parseMemory(c *cursor) {
	if n := c.u32(); n != 1 {
		c.fail("it has %d memories instead of one", n)
		return
	}
	least, largest := parseLimits(c, "memory, in pages of 64 KiB,", m.pages)
	m.memory = appendU32(appendU32([]byte{1, 1}, least), largest)
}

func (m *module) parseExports(c *cursor) {
	m.exports = c.count("exports", maxExports)
	for range m.exports {
		name := c.name()
		c.byte()
		c.u32()
		if c.err != nil {
			return
		}
		if name == FuelExport || name == StackExport {
			c.fail("it exports %s, a name of the host's", name)
			return
		}
	}
}
