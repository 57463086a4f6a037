package mask

// shown is how many digits at the end of a run stay as they are, as on a receipt.
const shown = 4

func digit(c byte) bool { return c-'0' < 10 }

// run is where the first run of at least n digits is, from a place on; from is −1 when there
// is none. Most bytes are skipped: of any n in a row, one of each nth place must be a digit.
func run(value []byte, at, n int) (from, to int) {
	for probe := at + n - 1; probe < len(value); probe = to + n {
		for ; probe < len(value) && !digit(value[probe]); probe += n {
		}
		if probe >= len(value) {
			break
		}
		from, to = probe, probe+1
		for from > at && digit(value[from-1]) {
			from--
		}
		for to < len(value) && digit(value[to]) {
			to++
		}
		if to-from >= n {
			return from, to
		}
	}
	return -1, -1
}

// hideDigits puts asterisks for all but the last digits of runs of at least n, which are in
// value from the first of them on.
func hideDigits(value []byte, from, to, n int) {
	for from >= 0 {
		for i := from; i < to-shown; i++ {
			value[i] = '*'
		}
		from, to = run(value, to, n)
	}
}
