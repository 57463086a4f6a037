package fuel

import "math"

// What compiling a module takes. A compiler takes memory for each instruction, and a time that grows
// with the square of the blocks that a function has for it: the places where code is jumped to or
// goes two ways, and those that it makes by itself of an instruction that loops or may trap. Nobody can
// interrupt it, so what it may take is reckoned beforehand, the same on every machine.
//
// Measured with wazero 1.12 on amd64: functions of 500 and of 2000 of one instruction, for each kind. The
// square of a block takes 25 ns at most on a busy machine. The largest function of a Go guest of 4.3 MB
// has 3300 blocks and takes 16 MiB; the squares of all of them come to 144 million, their work to 1.6 GiB.
const (
	// maxBlocks is how many blocks one function may have.
	maxBlocks = 20_000
	// maxSquares bounds the squares of the blocks of all functions.
	maxSquares = 800_000_000
	// maxWork is how much compiling one function may take, in KiB of memory, and maxAllWork all of them.
	maxWork    = 256 << 10
	maxAllWork = 8 << 20
)

// cost is what compiling takes: blocks of one function, quarters of them, and KiB of memory, eighths of
// them.
type cost struct{ quarters, eighths uint64 }

func (c *cost) add(quarters, eighths uint64) {
	c.quarters += quarters
	c.eighths += eighths
}

func (c *cost) blocks() uint64 { return c.quarters / 4 }
func (c *cost) work() uint64   { return c.eighths / 8 }

// costs are those of instructions of one byte that are more than plain ones.
var costs = func() (all [256]cost) {
	for op := range all {
		all[op] = cost{0, 2}
	}
	for op := 0x02; op <= 0x0b; op++ { // block, loop, if, else, end
		all[op] = cost{4, 16}
	}
	all[0x0d] = cost{8, 40} // br_if
	all[0x0e] = cost{4, 24} // br_table, without its targets
	all[0x10] = cost{0, 18} // call
	all[0x11] = cost{0, 110}
	for op := 0x25; op <= 0x26; op++ { // of a table
		all[op] = cost{1, 44}
	}
	for op := 0x28; op <= 0x3e; op++ { // of memory
		all[op] = cost{0, 20}
	}
	all[0x40] = cost{8, 100}                                                    // memory.grow
	for _, op := range []byte{0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82} { // div, rem
		all[op] = cost{1, 44}
	}
	for _, op := range []byte{0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1} { // trunc
		all[op] = cost{1, 64}
	}
	return all
}()

const (
	quartersOfTarget = 1 // of a br_table
	eighthsOfTarget  = 20
	quartersOfBulk   = 16
	eighthsOfBulk    = 360
	quartersOfCharge = 8
	eighthsOfCharge  = 40
)

// reckon adds what is put into the function, once that is settled.
func (p *plan) reckon() {
	for i := range p.insertions {
		switch one := &p.insertions[i]; {
		case one.kind == charge && p.regions[one.number].weight > 0, one.kind == bytes, one.kind == grow, one.kind == branching && p.joined:
			p.cost.add(quartersOfCharge, eighthsOfCharge)
		}
	}
}

// reckoning is what all functions of a module take, so far.
type reckoning struct{ squares, work uint64 }

// add adds a function, and refuses what is too much.
func (r *reckoning) add(c *cursor, number int, p *plan) {
	blocks, work := p.cost.blocks(), p.cost.work()
	r.squares += min(blocks, math.MaxUint32) * min(blocks, math.MaxUint32)
	r.work += work
	const split = ": split it into smaller ones"
	switch {
	case blocks > maxBlocks:
		c.fail("function %d would be compiled to %d blocks, more than %d"+split, number, blocks, maxBlocks)
	case work > maxWork:
		c.fail("compiling function %d would take some %d KiB, more than %d"+split, number, work, maxWork)
	case r.squares > maxSquares:
		c.fail("compiling its functions would take too long, for they have too many blocks together (their squares come to more than %d): leave out what it does not need, or make it several modules", maxSquares)
	case r.work > maxAllWork:
		c.fail("compiling its functions would take more than %d KiB: leave out what it does not need, or make it several modules", maxAllWork)
	}
}
