package fuel

// maxJoined is how many places of one function may get blocks of their own for it: a compiler takes a time that grows
// with the square of its blocks.
const maxJoined = 1000

// opposites are what answers the opposite of a comparison of integers; of i32.eqz it is what it compares. Floats have
// none: both of two opposites are false of what is no number.
var opposites = [256][]byte{
	0x45: {},                   // i32.eqz
	0x46: {0x47}, 0x47: {0x46}, // i32.eq, ne
	0x48: {0x4e}, 0x49: {0x4f}, 0x4a: {0x4c}, 0x4b: {0x4d}, // i32.lt, gt
	0x4c: {0x4a}, 0x4d: {0x4b}, 0x4e: {0x48}, 0x4f: {0x49}, // i32.le, ge
	0x50: {0x42, 0, 0x52},      // i64.eqz: i64.const 0, i64.ne
	0x51: {0x52}, 0x52: {0x51}, // i64.eq, ne
	0x53: {0x59}, 0x54: {0x5a}, 0x55: {0x57}, 0x56: {0x58}, // i64.lt, gt
	0x57: {0x55}, 0x58: {0x56}, 0x59: {0x53}, 0x5a: {0x54}, // i64.le, ge
}

// branch is a comparison and the br_if to a label behind it, as its opposite and if else br end: of these the compiler
// makes a comparison and a jump, and of the former three instructions more if others lead to the same label.
func branch(p []byte, compare byte, label []byte) []byte {
	c := cursor{p: label}
	p = append(append(p, opposites[compare]...), 0x04, 0x40, 0x05, 0x0c)
	return append(appendU32(p, c.u32()+1), 0x0b)
}

// comparing follows the code of a function to find comparisons that may be joined with the br_if behind them, and
// those that must be kept apart from any branch.
//
// All may be joined, but that wazero 1.12 makes the wrong jump of one that asks which number is less when it joins it
// and the numbers are zero and what an and has left, in this order (tryLowerBandToFlag of its compiler; on arm64 also in
// the other order, of numbers without sign). It does so by itself too: Go writes "0 < x&y" for "x&y > 0", and an if
// behind that. So such a one is kept apart where an and has been since the last place to which anything jumps, unless
// what it compares with is a constant and not zero: what it answers goes through an or with nothing, and a branch
// then is one of that.
//
// Positions are those of instructions, in bytes of the code; never: before all.
type comparing struct {
	joinable int  // the last comparison that may be joined
	constant int  // the end of the last constant that is not zero
	and      bool // there was an and in this stretch
}

const never = -2 // so that nothing follows it

func newComparing() comparing { return comparing{joinable: never, constant: never} }

// plain notes an instruction that works on the operand stack alone. It reports whether that is to be kept apart.
func (c *comparing) plain(op byte, at int) (apart bool) {
	switch op {
	case 0x71, 0x83: // i32.and, i64.and
		c.and = true
	case 0x45, 0x46, 0x47, 0x50, 0x51, 0x52: // eqz, eq, ne
		c.joinable = at
	default:
		if opposites[op] == nil {
			return false
		}
		if c.and && c.constant != at {
			return true
		}
		c.joinable = at
	}
	return false
}

// stretch notes that others may jump to where the code goes on.
func (c *comparing) stretch() { c.and = false }
