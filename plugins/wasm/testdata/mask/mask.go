// Package mask is the mask of guest/rust/examples/mask.rs in Go: the same plugin natively, as
// a module from Go and as one from Rust, to be compared.
package mask

import "github.com/millrace/millrace/sdk"

func init() { sdk.Interceptors.Register("mask16", New) }

// Mask hides runs of sixteen digits but for the last four.
type Mask struct{ sdk.Nop }

// New makes one.
func New(sdk.Config) (sdk.Interceptor, error) { return Mask{}, nil }

const digits = 16

func digit(c byte) bool { return c-'0' < 10 }

func find(value []byte, at int) int {
	for probe := at + digits - 1; probe < len(value); {
		if !digit(value[probe]) {
			probe += digits
			continue
		}
		begin, end := probe, probe+1
		for begin > at && digit(value[begin-1]) {
			begin--
		}
		for end < len(value) && digit(value[end]) {
			end++
		}
		if end-begin >= digits {
			return begin
		}
		probe = end + digits
	}
	return -1
}

// OnProduce masks.
func (Mask) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		at := find(v.Value, 0)
		if at < 0 {
			continue
		}
		masked := b.Alloc(len(v.Value))
		copy(masked, v.Value)
		for at >= 0 {
			for n := range digits - 4 {
				masked[at+n] = '*'
			}
			at = find(masked, at+digits)
		}
		b.SetValue(i, masked)
	}
	return nil
}
