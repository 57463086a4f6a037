package fuel

// Counting is module as Rewrite makes it, but that all of its functions count in a variable, or
// none does.
func Counting(module []byte, local bool, allowed func(module, name string) bool) ([]byte, error) {
	o := Options{MemoryPages: 128, Start: 1 << 26, Stack: 8 << 20, Allowed: allowed}
	m, err := parse(module, o)
	if err != nil {
		return nil, err
	}
	for i := range m.plans {
		m.plans[i].local = local
	}
	return m.emit(o, len(module)), nil
}
