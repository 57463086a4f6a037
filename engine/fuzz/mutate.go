package fuzz

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"reflect"
)

// mutator makes inputs of a corpus.
type mutator struct {
	corpus [][]value
	seed   uint64
	most   int // no text becomes longer
	source rand.PCG
	random *rand.Rand
	out    []value // the input that is lent
	piece  []byte  // scratch for one mutation
}

func newMutator(corpus [][]value, seed uint64) *mutator {
	m := &mutator{corpus: corpus, seed: seed, most: 1 << 12, out: make([]value, len(corpus[0]))}
	for i := range m.out {
		m.out[i].text = []byte{} // Go passes none that is nil
	}
	for _, input := range corpus {
		for _, a := range input {
			m.most = max(m.most, 2*len(a.text))
		}
	}
	m.random = rand.New(&m.source)
	return m
}

// input makes the input of one execution, and lends it until the next. The first are the corpus as it is.
func (m *mutator) input(number int64) []value {
	m.source.Seed(m.seed, uint64(number))
	from := m.corpus[m.below(len(m.corpus))]
	if number < int64(len(m.corpus)) {
		from = m.corpus[number]
	}
	for i, a := range from {
		m.out[i] = value{of: a.of, number: a.number, text: append(m.out[i].text[:0], a.text...)}
	}
	if number < int64(len(m.corpus)) {
		return m.out
	}
	for range 1 << m.below(5) {
		m.mutate()
	}
	return m.out
}

// mutate changes one argument; a text nine times as often as a number beside it.
func (m *mutator) mutate() {
	at := m.below(len(m.out))
	if !isText(m.out[at].of) && m.below(3) > 0 {
		at = m.below(len(m.out))
	}
	a := &m.out[at]
	if !isText(a.of) {
		a.number = m.number(a.of, a.number)
		return
	}
	if a.text = texts[m.below(len(texts))](m, a.text, at); len(a.text) > m.most {
		a.text = a.text[:m.most]
	}
}

// number changes the bits of a number.
func (m *mutator) number(of reflect.Type, n uint64) uint64 {
	switch of.Kind() {
	case reflect.Bool:
		return n ^ 1
	case reflect.Float32:
		if m.below(2) == 0 {
			return uint64(math.Float32bits(float32(m.float())))
		}
	case reflect.Float64:
		if m.below(2) == 0 {
			return math.Float64bits(m.float())
		}
	}
	switch m.below(5) {
	case 0:
		return n ^ 1<<m.below(of.Bits())
	case 1:
		return n + uint64(m.below(70)) - 35
	case 2:
		return -n
	case 3:
		return m.random.Uint64()
	}
	return m.interesting(0)
}

func (m *mutator) float() float64 {
	all := [...]float64{0, math.Copysign(0, -1), 1, -1, 0.1, math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53, 1 << 63}
	return all[m.below(len(all))]
}

// interesting is a number at which decoders go wrong: beside a power of two, small, or about what is left of a text.
func (m *mutator) interesting(left int) uint64 {
	switch m.below(4) {
	case 0:
		return uint64(left + m.below(5) - 2)
	case 1:
		return uint64(m.below(20))
	case 2:
		return -uint64(m.below(20))
	}
	n := uint64(1)<<m.below(64) + uint64(m.below(3)) - 1
	if m.below(4) == 0 {
		return -n
	}
	return n
}

// below is a random number from 0 on, and 0 where there is none.
func (m *mutator) below(n int) int {
	if n <= 1 {
		return 0
	}
	high, _ := bits.Mul64(m.random.Uint64(), uint64(n))
	return int(high)
}

// span is a random range of a text, short more often than long.
func (m *mutator) span(p []byte) (from, to int) {
	size := 1 + m.below(min(len(p), 1<<m.below(12)))
	from = m.below(len(p) - size + 1)
	return from, min(from+size, len(p))
}
