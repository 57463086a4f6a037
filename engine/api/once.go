package api

// once are the names of n items, each where it comes first: of whom the controller's decisions
// answer, and what is answered to when there was none.
func once[K comparable](n int, name func(i int) K) []K {
	seen := make(map[K]bool, n)
	var all []K
	for i := range n {
		if k := name(i); !seen[k] {
			seen[k] = true
			all = append(all, k)
		}
	}
	return all
}
