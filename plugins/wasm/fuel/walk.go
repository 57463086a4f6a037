package fuel

// What instructions weigh, in units of which a modern processor does one to four in a
// nanosecond.
const (
	weightPlain    = 1
	weightMemory   = 2
	weightDivide   = 10
	weightCall     = 4
	weightIndirect = 8
	weightBulk     = 16
	weightCharge   = 4 // what a charge itself costs

	// shortStretch is the weight below which a stretch is not worth a charge of its own.
	shortStretch = 32
	// fewStretches is the weight of others up to which a payer takes them on, whatever it weighs itself.
	fewStretches = 64

	typeVector = 0x7b // v128, of 16 bytes where others have at most 8

	// largeFrame is the size from which a function that calls nobody pays for its frame.
	largeFrame = 4 << 10
)

// region is code that is paid for in one place.
type region struct {
	weight int64
	merged int64 // words of variables that its beginning merges
	// payer is the region that must have run before this one each time, or −1: this one
	// pays for itself, however short.
	payer int
	often int64 // about how often it runs while the function runs once
}

// kind is what is put into a body.
type kind byte

const (
	charge    kind = iota // number is a region
	bytes                 // number is the shift from bytes or elements to units
	grow                  // of memory
	leaving               // a return, which takes the way out of the function
	calling               // a call, whose function counts in the global
	called                // behind it
	branching             // a comparison and its br_if, which has number bytes
	apart                 // behind a comparison that no branch is to be joined with
)

// insertion is what goes in before byte at of a body.
type insertion struct {
	at     int
	kind   kind
	number int
	nested int // in how many blocks it is, the function being one
}

// plan is what is to be done with one function.
type plan struct {
	results    []byte
	groups     uint32 // of local variables
	locals     []byte // the groups, without their count
	variables  uint32 // parameters and local variables
	vectors    uint32 // those of them that are v128
	words      int64  // of eight bytes that calls and blocks have, beside them
	body       []byte // up to its last end, which is left out
	regions    []region
	insertions []insertion
	calls      bool
	counted    bool  // it needs a variable for a number of bytes
	length     int64 // in instructions
	local      bool  // it counts in a variable
	joined     bool  // comparisons are joined with the branches behind them
	cost       cost  // of compiling it
}

// frame is about how many bytes the function takes on the stack.
func (p *plan) frame() int64 {
	return 96 + 8*(int64(p.variables)+int64(p.vectors)+p.words) + 4*p.length
}

// deep reports whether the function pays for its frame.
func (p *plan) deep() bool { return p.calls || p.frame() > largeFrame }

func (m *module) parseCode(c *cursor) {
	n := c.count("bodies", maxFunctions)
	if int(n) != len(m.functions) {
		c.fail("it has %d functions and %d bodies", len(m.functions), n)
		return
	}
	m.plans = make([]plan, 0, n)
	phis, all := uint64(0), reckoning{}
	for i := range n {
		body := c.take(c.count("bytes in a function", maxBody))
		if c.err != nil {
			return
		}
		w := &walk{cursor: cursor{p: body}, m: m}
		w.function(m.types[m.functions[i]])
		if w.err != nil {
			c.err = w.err
			return
		}
		if phis += w.phis(); phis > maxAllPhis {
			c.fail("its functions have too many blocks and variables")
			return
		}
		if more := w.joining(); w.phis()+more <= maxPhis && phis+more <= maxAllPhis && len(w.plan.insertions) <= maxJoined {
			w.plan.joined = true
			phis += more
		}
		w.plan.reckon()
		if all.add(c, int(i)+len(m.imports), &w.plan); c.err != nil {
			return
		}
		m.plans = append(m.plans, w.plan)
	}
}

// outer is what is around an open block.
type outer struct {
	region int
	loop   bool  // the block is one
	inner  int   // if so, what begins each turn
	branch int64 // words that a branch to it moves
	out    int64 // and its end
	sets   int64 // of variables, before it
}

// walk goes over the body of one function and makes a plan.
type walk struct {
	cursor
	m       *module
	plan    plan
	outer   []outer
	region  int
	loops   int   // that are open
	moves   int64 // as often calls need what is left in the global
	sized   int64 // as often what depends on a size is charged
	blocks  uint64
	moved   uint64 // words, beyond those that are free
	largest int64  // words that one call has
	sets    int64  // of variables, so far
	merged  int64  // words of them, where blocks meet
	targets uint32

	start     int // of the code
	comparing comparing
}

func (w *walk) function(s signature) {
	w.plan.results = s.results
	for _, t := range s.params {
		if t == typeVector {
			w.plan.vectors++
		}
	}
	w.locals(uint64(len(s.params)))
	begin := w.at
	w.start, w.comparing = begin, newComparing()
	w.begin(-1)
	w.outer = append(w.outer, outer{branch: s.out, out: s.out})
	for len(w.outer) > 0 && w.err == nil {
		if !w.more() {
			w.fail("a function has no end")
			return
		}
		w.instruction(begin)
	}
	switch {
	case w.err != nil:
		return
	case w.at != len(w.p):
		w.fail("a function goes on behind its end")
		return
	case w.phis() > maxPhis:
		w.fail("a function has %d blocks and %d variables, and moves %d values", w.blocks, w.plan.variables, w.moved)
		return
	}
	w.plan.body = w.p[begin : w.at-1]
	w.plan.words += s.out + w.largest
	w.settle()
}

// phis is how many values a compiler may have to merge where blocks meet, and to move at branches and calls.
func (w *walk) phis() uint64 { return w.blocks*uint64(w.plan.variables+1) + w.moved }

// joining is how much more that is when comparisons are joined, which takes two blocks at each place.
func (w *walk) joining() uint64 {
	return 2 * uint64(len(w.plan.insertions)) * uint64(w.plan.variables+1)
}

func (w *walk) locals(variables uint64) {
	w.plan.groups = w.count("groups of variables", maxLocals)
	begin := w.at
	for range w.plan.groups {
		n := w.u32()
		if variables += uint64(n); variables > maxLocals {
			w.fail("a function has more than %d variables", maxLocals)
		}
		if t := w.valueTypes(1); len(t) == 1 && t[0] == typeVector {
			w.plan.vectors += n
		}
		if w.err != nil {
			return
		}
	}
	w.plan.locals = w.p[begin:w.at]
	w.plan.variables = uint32(variables)
}

// begin begins a region.
func (w *walk) begin(payer int) {
	w.region = len(w.plan.regions)
	w.plan.regions = append(w.plan.regions, region{payer: payer, often: w.often()})
}

// often is about how often this place runs while the function runs once.
func (w *walk) often() int64 { return 1 << (3 * min(w.loops, 6)) }

// settle lets the payers pay for what is short, as far as that is no more than what they do themselves, or little: a
// function of a Go guest is a loop around hundreds of short stretches, of which each turn runs one. And it finds out
// where to count: each charge reads and writes the global, or none does but the beginning, the end and what is
// around calls.
func (w *walk) settle() {
	regions, charges := w.plan.regions, w.sized
	w.weighMerges()
	own := make([]int64, len(regions))
	for i := range regions {
		own[i] = regions[i].weight
	}
	for i := len(regions) - 1; i >= 0; i-- {
		payer, weight := regions[i].payer, regions[i].weight
		if payer >= 0 && weight < shortStretch && regions[payer].weight+weight <= own[payer]+max(own[payer], fewStretches) {
			regions[payer].weight += weight
			regions[i].weight = 0
		} else {
			regions[i].weight += weightCharge
			charges += regions[i].often
		}
	}
	w.plan.local = charges > 1+w.moves
}

func (w *walk) insert(at int, k kind, number int) {
	w.plan.insertions = append(w.plan.insertions, insertion{at, k, number, len(w.outer)})
}

func (w *walk) weigh(weight int64) { w.plan.regions[w.region].weight += weight }

// instruction goes over one instruction. The code of the function begins at begin.
func (w *walk) instruction(begin int) {
	at := w.at - begin
	w.plan.length++
	op := w.byte()
	w.plan.cost.add(costs[op].quarters, costs[op].eighths)
	switch {
	case op >= 0x02 && op <= 0x05 || op == 0x0b:
		w.structure(op, begin)
	case op <= 0x11:
		w.control(op, at)
	case op == 0x1a || op == 0x1b || op == 0xd1 || op >= 0x45 && op <= 0xc4:
		w.weigh(plainWeight(op))
		if w.comparing.plain(op, at) {
			w.insert(w.at-begin, apart, 0)
		}
	case op == 0x1c:
		w.valueTypes(w.u32())
		w.weigh(weightPlain)
	case op == 0x23 || op == 0x24:
		if g := w.u32(); g >= w.m.globals {
			w.fail("a function names global %d of %d", g, w.m.globals)
		}
		w.weigh(weightPlain)
	case op >= 0x20 && op <= 0x26 || op == 0xd2:
		w.u32()
		if op == 0x21 || op == 0x22 {
			w.sets++
		}
		w.weigh(weightPlain)
	case op >= 0x28 && op <= 0x3e:
		w.u32()
		w.u32()
		w.weigh(weightMemory)
	case op >= 0x3f && op <= 0x44 || op == 0xd0:
		w.constant(op, at)
	case op == 0xfc:
		w.bulk(at)
	case op == 0xfd:
		w.vector()
	default:
		w.fail("it has instruction %#x, which is unknown or not allowed (threads, exceptions, tail calls)", op)
	}
}

// plainWeight is that of an instruction that works on the operand stack alone.
func plainWeight(op byte) int64 {
	switch op {
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3: // div, rem, sqrt
		return weightDivide
	}
	return weightPlain
}

// structure is block, loop, if, else and end.
func (w *walk) structure(op byte, begin int) {
	if op != 0x02 { // the begin of a block is no work, and a function of a Go guest has hundreds in each turn of its loop
		w.weigh(weightPlain)
	}
	w.blocks++
	if op != 0x02 { // where a block begins the code just goes on
		w.comparing.stretch()
	}
	top := len(w.outer) - 1
	payer := w.outer[top].region
	switch op {
	case 0x05: // else
		w.move(w.outer[top].out)
		w.begin(payer)
	case 0x0b: // end
		w.move(w.outer[top].out)
		if w.outer[top].loop {
			w.loops--
		}
		block := w.outer[top]
		w.outer = w.outer[:top]
		if top == 0 {
			return
		}
		w.begin(payer)
		w.merge(&block)
	default:
		in, out := w.blockType()
		if len(w.outer) >= maxNesting {
			w.fail("a function nests deeper than %d", maxNesting)
			return
		}
		w.open(op, in, out)
		w.outer = append(w.outer, outer{region: w.region, loop: op == 0x03, branch: out, out: out, sets: w.sets})
		switch op {
		case 0x02: // a block is entered where it stands
			return
		case 0x03: // a loop is entered again and again
			w.loops++
			w.outer[top+1].branch = in
			w.begin(-1)
			w.outer[top+1].inner = w.region
		default:
			w.begin(w.region)
		}
	}
	w.insert(w.at-begin, charge, w.region)
}

// control is what leaves the straight way.
func (w *walk) control(op byte, at int) {
	weight := int64(weightPlain)
	switch op {
	case 0x00, 0x01: // unreachable, nop
	case 0x0c: // br
		w.move(w.branch())
	case 0x0d: // br_if
		words := w.branch()
		if w.move(words); words == 0 && w.comparing.joinable == at-1 {
			w.insert(at-1, branching, w.at-w.start-at)
		}
		w.comparing.stretch()
	case 0x0e: // br_table
		w.branches()
		weight = weightIndirect
	case 0x0f: // return
		w.insert(at, leaving, 0)
		w.move(w.outer[0].out)
	case 0x10: // call
		weight = weightCall
		w.call(at, false)
	case 0x11: // call_indirect
		weight = weightIndirect
		w.call(at, true)
	default:
		w.fail("it has instruction %#x, which is unknown or not allowed (threads, exceptions, tail calls)", op)
	}
	w.weigh(weight)
}

// call is a call, of a function or of what is in a table.
func (w *walk) call(at int, indirect bool) {
	w.insert(at, calling, 0)
	begin := w.at - 1 - at
	s := w.callee(indirect)
	w.move(s.in + s.out)
	w.largest = max(w.largest, s.in+s.out)
	w.plan.words += moving(s.out)
	w.insert(w.at-begin, called, 0)
	w.plan.calls = true
	w.moves += w.often()
}

// constant is what has a number or a type behind it, and memory.size and memory.grow.
func (w *walk) constant(op byte, at int) {
	weight := int64(weightPlain)
	switch op {
	case 0x3f: // memory.size
		w.zero()
	case 0xd0: // ref.null
		w.valueTypes(1)
	case 0x40: // memory.grow
		w.zero()
		w.insert(at, grow, 0)
		w.counted()
		weight = weightBulk
	case 0x41: // i32.const
		w.number(w.signed(5))
	case 0x42: // i64.const
		w.number(w.signed(10))
	case 0x43: // f32.const
		w.take(4)
	case 0x44: // f64.const
		w.take(8)
	}
	w.weigh(weight)
}

// number is a constant that ends here.
func (w *walk) number(n int64) {
	if n != 0 {
		w.comparing.constant = w.at - w.start
	}
}

// counted is a charge that depends on a size.
func (w *walk) counted() {
	w.plan.counted = true
	w.sized += w.often()
}

// The shifts from what bulk instructions work on to what it costs.
const (
	sixteenBytes = 4
	oneElement   = 0
)

// bulk is what begins with 0xfc: conversions, and what works on many bytes or elements.
func (w *walk) bulk(at int) {
	sub := w.u32()
	operands, shift := 0, -1
	switch sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // conversions
	case 8, 10: // memory.init, memory.copy
		operands, shift = 2, sixteenBytes
	case 11: // memory.fill
		operands, shift = 1, sixteenBytes
	case 9, 13, 16: // data.drop, elem.drop, table.size
		operands = 1
	case 12, 14: // table.init, table.copy
		operands, shift = 2, oneElement
	case 15, 17: // table.grow, table.fill
		operands, shift = 1, oneElement
	default:
		w.fail("it has instruction 0xfc %d, which is unknown", sub)
	}
	for range operands {
		w.u32()
	}
	if shift >= 0 {
		w.plan.cost.add(quartersOfBulk, eighthsOfBulk)
		w.insert(at, bytes, shift)
		w.counted()
	}
	w.weigh(weightBulk)
}

// vector is what begins with 0xfd: operations on 128 bits.
func (w *walk) vector() {
	switch sub := w.u32(); {
	case sub <= 11 || sub == 92 || sub == 93: // loads and stores
		w.u32()
		w.u32()
	case sub >= 84 && sub <= 91: // loads and stores of a lane
		w.u32()
		w.u32()
		w.byte()
	case sub == 12 || sub == 13: // v128.const, shuffle
		w.take(16)
	case sub >= 21 && sub <= 34: // lanes
		w.byte()
	case sub > 255:
		w.fail("it has instruction 0xfd %d, which is unknown", sub)
	}
	w.weigh(weightMemory)
}
