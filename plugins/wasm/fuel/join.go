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

// comparing follows the code of a function to find comparisons that may be joined with the br_if behind them.
//
// All may, but that wazero 1.12 makes the wrong jump of one that asks which number is less when it joins it and the
// numbers are zero and what an and has left, in this order (tryLowerBandToFlag of its compiler; on arm64 also in the
// other order, of numbers without sign). So such a one is left as it is where an and has been since the last place to
// which anything jumps, unless what it compares with is a constant and not zero. Behind it i32.eqz would be
// taken out and have the comparison joined, and is left too.
//
// Positions are those of instructions, in bytes of the code; never: before all.
type comparing struct {
	joinable int  // the last comparison that may be joined
	left     int  // the last that may not
	constant int  // the end of the last constant that is not zero
	and      bool // there was an and in this stretch
}

const never = -2 // so that nothing follows it

func newComparing() comparing { return comparing{joinable: never, left: never, constant: never} }

// plain notes an instruction that works on the operand stack alone.
func (c *comparing) plain(op byte, at int) {
	switch op {
	case 0x71, 0x83: // i32.and, i64.and
		c.and = true
	case 0x46, 0x47, 0x50, 0x51, 0x52: // eq, ne, i64.eqz
		c.joinable = at
	case 0x45: // i32.eqz
		if c.left != at-1 {
			c.joinable = at
		}
	default:
		if opposites[op] == nil {
			return
		}
		if c.and && c.constant != at {
			c.left = at
		} else {
			c.joinable = at
		}
	}
}

// stretch notes that others may jump to where the code goes on.
func (c *comparing) stretch() { c.and = false }
