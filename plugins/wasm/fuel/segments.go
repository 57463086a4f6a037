package fuel

// Segments are what tables and memory begin with. Nothing in them is changed, but each number
// of things is compared with the things that are there: a decoder that believed it would take
// memory for what 80 bytes promise.

//
// Elements are counted over all segments: of each the runtime makes an expression when it
// compiles the module, and a reference in every instance, which no fuel pays for.

func (m *module) parseElements(c *cursor) {
	left := uint32(maxElements)
	for range c.count("element segments", maxSegments) {
		flags := c.u32()
		if flags > 7 {
			c.fail("an element segment has the flags %d", flags)
		}
		if flags&3 == 2 { // of a table that is named
			c.u32()
		}
		if flags&1 == 0 { // active: where it goes
			c.expression()
		}
		switch {
		case flags&3 == 0:
		case flags&4 == 0: // what it has: functions, or references
			c.zero()
		default:
			c.valueTypes(1)
		}
		n := c.count("elements", left)
		left -= n
		for range n {
			if flags&4 == 0 {
				c.u32()
			} else {
				c.expression()
			}
			if c.err != nil {
				return
			}
		}
		if c.err != nil {
			return
		}
	}
}

func (m *module) parseData(c *cursor) {
	for range c.count("data segments", maxSegments) {
		flags := c.u32()
		if flags > 2 {
			c.fail("a data segment has the flags %d", flags)
		}
		if flags == 2 {
			c.u32()
		}
		if flags != 1 {
			c.expression()
		}
		c.take(c.u32())
		if c.err != nil {
			return
		}
	}
}

// expression goes over a constant expression: one instruction, and its end.
func (c *cursor) expression() {
	switch op := c.byte(); op {
	case 0x23, 0xd2: // global.get, ref.func
		c.u32()
	case 0x41: // i32.const
		c.signed(5)
	case 0x42: // i64.const
		c.signed(10)
	case 0x43: // f32.const
		c.take(4)
	case 0x44: // f64.const
		c.take(8)
	case 0xd0: // ref.null
		c.valueTypes(1)
	case 0xfd: // v128.const
		c.u32()
		c.take(16)
	default:
		c.fail("a constant is made by instruction %#x", op)
	}
	if end := c.byte(); end != 0x0b {
		c.fail("a constant has no end")
	}
}

// parseGlobals goes over the globals, which must all be there.
func (m *module) parseGlobals(c *cursor) {
	m.globals = c.count("globals", maxGlobals)
	for range m.globals {
		c.valueTypes(1)
		c.byte() // whether it may change
		c.expression()
		if c.err != nil {
			return
		}
	}
}
