package fuel

// What an instruction moves is not in its opcode: a branch takes along what the block is to have, a call what the
// function wants and what it answers, up to a thousand values each. A compiler has a few of them in registers; the
// others it loads and stores one by one, and each has a place of its own on the stack.

// freeWords is how many words of eight bytes move for what their instruction weighs anyway.
const freeWords = 4

// known reports whether values may have that type: numbers, vectors and references to anything. Other references have
// another number behind them: whoever took that for an instruction would read on in the wrong place.
func known(valueType byte) bool {
	return valueType >= typeVector && valueType <= 0x7f || valueType == 0x70 || valueType == 0x6f
}

// valueTypes reads the types of so many values.
func (c *cursor) valueTypes(n uint32) []byte {
	types := c.take(n)
	for _, t := range types {
		if !known(t) {
			c.fail("a value has type %#x, which is unknown or not allowed", t)
			return nil
		}
	}
	return types
}

// zero reads a byte that has no other value yet: which memory, or what kind of elements.
func (c *cursor) zero() {
	if b := c.byte(); b != 0 {
		c.fail("it has %#x at byte %d, where only zero is known", b, c.at-1)
	}
}

// words is how many of eight bytes values have.
func words(types []byte) int64 {
	n := int64(len(types))
	for _, t := range types {
		if t == typeVector {
			n++
		}
	}
	return n
}

// moving is what it weighs to move so many words.
func moving(words int64) int64 { return max(0, words-freeWords) }

// move is an instruction that moves so many words, besides what else it does.
func (w *walk) move(words int64) {
	w.weigh(moving(words))
	w.moved += uint64(moving(words))
}

// open notes a block into which so many words go and out of which so many come, each to places of its own.
func (w *walk) open(op byte, in, out int64) {
	w.plan.words += moving(in) + moving(out)
	w.moved += uint64(moving(in) + moving(out))
	if op != 0x02 { // a block takes what is there; a loop has it merged, and so has an if without else
		w.move(in)
	}
}

// blockType reads the type of a block: how many words go in and come out.
func (w *walk) blockType() (in, out int64) {
	t := w.signed(5)
	switch {
	case t == -0x40:
		return 0, 0
	case t < 0 && known(byte(t+0x80)):
		return 0, words([]byte{byte(t + 0x80)})
	case t < 0 || t >= int64(len(w.m.types)):
		w.fail("a block has type %d of %d", t, len(w.m.types))
		return 0, 0
	}
	return w.m.types[t].in, w.m.types[t].out
}

// branch reads the target of a branch: how many words it moves there.
func (w *walk) branch() int64 {
	depth := int(w.u32())
	if depth >= len(w.outer) {
		w.fail("a branch leaves %d blocks of %d", depth+1, len(w.outer))
		return 0
	}
	return w.outer[len(w.outer)-1-depth].branch
}

// branches reads the targets of a br_table. The one that moves the most decides what it weighs, and a compiler writes
// down each.
func (w *walk) branches() {
	n := w.count("targets of br_table", maxTargets)
	if w.targets += n; w.targets > maxTargets {
		w.fail("a function has more than %d targets of br_table", maxTargets)
	}
	largest := int64(0)
	for range n + 1 {
		largest = max(largest, w.branch())
		if w.err != nil {
			return
		}
	}
	w.plan.cost.add(uint64(n)*quartersOfTarget, uint64(n)*eighthsOfTarget)
	w.move(largest)
	w.moved += uint64(n) * uint64(moving(largest))
}

// callee reads which function is called: its type.
func (w *walk) callee(indirect bool) (s signature) {
	n := w.u32()
	types := w.m.types
	if !indirect {
		all := uint32(len(w.m.imports) + len(w.m.functions))
		if n >= all {
			w.fail("a function calls %d of %d", n, all)
			return s
		}
		if n < uint32(len(w.m.imports)) {
			n = w.m.imports[n]
		} else {
			n = w.m.functions[n-uint32(len(w.m.imports))]
		}
	} else if w.u32(); n >= uint32(len(types)) {
		w.fail("a function calls type %d of %d", n, len(types))
		return s
	}
	if w.err != nil {
		return s
	}
	return types[n]
}

// freeMerges is how many words of variables are merged for nothing. Go has at most so many in a function, and what is
// compiled from Rust has seldom more.
const freeMerges = 64

// manyMerges is how many a function may merge in all until each costs more: they are on the stack, and their moves in
// the code, and no cache has them.
const manyMerges = 1 << 15

// merge notes that variables which a block may have set are merged where it ends, and if it is a loop where each turn
// begins, whichever way leads there.
func (w *walk) merge(block *outer) {
	sets := w.sets - block.sets
	if w.plan.vectors > 0 {
		sets *= 2
	}
	n := max(0, min(sets, int64(w.plan.variables)+int64(w.plan.vectors))-freeMerges)
	at := w.region
	if block.loop {
		at = block.inner
	}
	w.plan.regions[at].merged += n
	w.merged += n
}

// weighMerges has regions pay for the variables that they merge.
func (w *walk) weighMerges() {
	w.plan.words += w.merged
	each := 1 + min(w.merged/manyMerges, 15)
	for i := range w.plan.regions {
		w.plan.regions[i].weight += each * w.plan.regions[i].merged
	}
}
