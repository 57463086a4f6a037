package wire

// The flexible versions of what is in Kafka's own topics, behind the number of the version, as Fits wants them.
const (
	OffsetValue      = "84s8"            // of __consumer_offsets, from version 4 on
	GroupValue       = "s4ss8(ssss44ss)" // of __consumer_offsets, from version 4 on
	TransactionValue = "8241(si)88"      // of __transaction_state, from version 1 on
)

// Fits reports whether a structure of a flexible version has these fields, and all lengths and numbers of tags in it
// are honest. kmsg does not look: it counts up to four billion tags that are not there, many seconds for twenty
// bytes. A digit is so many bytes, s text or bytes, i an array of numbers of 32 bits, ( … ) an array of structures.
// What is behind the structure is left to whoever reads it.
func Fits(p []byte, fields string) bool {
	r := NewReader(p)
	r.structure(fields)
	return !r.failed
}

// structure passes over one, and its tags.
func (r *Reader) structure(fields string) {
	for i := 0; i < len(fields) && !r.failed; i++ {
		switch f := fields[i]; f {
		case 's':
			r.Text(true)
		case 'i':
			r.Take(4 * max(r.Length(true), 0))
		case '(':
			inner := inBrackets(fields[i+1:])
			for n := r.Length(true); n > 0 && !r.failed; n-- {
				r.structure(inner)
			}
			i += len(inner) + 1
		default:
			r.Take(int(f - '0'))
		}
	}
	r.Tags(true)
}

// inBrackets is what stands before the bracket that closes the one before fields.
func inBrackets(fields string) string {
	open := 1
	for i, f := range []byte(fields) {
		switch f {
		case '(':
			open++
		case ')':
			open--
		}
		if open == 0 {
			return fields[:i]
		}
	}
	panic("a bracket is not closed: " + fields)
}
