// Package topics keeps something for each topic that a partitioner sees: found without a
// lock or memory, for partitioners are asked about every record.
package topics

import (
	"maps"
	"sync/atomic"
)

// Each has a T for each topic. The zero value has none; any goroutine may use it.
type Each[T any] struct {
	all atomic.Pointer[map[string]*T]
}

// Of is what belongs to a topic; it begins as the zero value.
func (e *Each[T]) Of(topic string) *T {
	for {
		known := e.all.Load()
		if known != nil {
			if one := (*known)[topic]; one != nil {
				return one
			}
		}
		more := map[string]*T{}
		if known != nil {
			more = maps.Clone(*known)
		}
		one := new(T)
		more[topic] = one
		if e.all.CompareAndSwap(known, &more) {
			return one
		}
	}
}
