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

// oncePartitions puts what a request says of a topic in several places into one, each partition once: what is
// told of one may have thousands of times as many bytes as its number.
type oncePartitions[K comparable] struct {
	at   map[K]int
	seen map[onePartition]bool
}

// onePartition is a partition of the topic that came so many topics after the first.
type onePartition struct {
	topic int
	index int32
}

func newOncePartitions[K comparable]() *oncePartitions[K] {
	return &oncePartitions[K]{at: map[K]int{}, seen: map[onePartition]bool{}}
}

// topic answers which of the different topics this is, and whether it came before.
func (o *oncePartitions[K]) topic(name K) (k int, met bool) {
	if k, met = o.at[name]; !met {
		k = len(o.at)
		o.at[name] = k
	}
	return k, met
}

// add appends those partitions of topic k that did not come before.
func (o *oncePartitions[K]) add(all []int32, k int, more []int32) []int32 {
	for _, index := range more {
		if at := (onePartition{k, index}); !o.seen[at] {
			o.seen[at] = true
			all = append(all, index)
		}
	}
	return all
}
