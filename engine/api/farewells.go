package api

import (
	"slices"
	"sync/atomic"
)

// maxFarewells bounds how many names are remembered; of more, those that were deleted first are forgotten.
const maxFarewells = 128

// farewells are the names of topics that were deleted and that nobody has asked about since. Who deletes a topic and
// asks whether it is gone must hear so, though asking creates topics: many clients cannot ask without. The loops of all
// connections share it; what it points to is never changed.
type farewells struct{ names atomic.Pointer[[]string] }

// say remembers that a topic was deleted.
func (f *farewells) say(name string) {
	f.change(func(names []string) []string {
		names = append(names, name)
		return names[max(0, len(names)-maxFarewells):]
	})
}

// heard reports whether a topic of this name was deleted, once.
func (f *farewells) heard(name string) (deleted bool) {
	f.change(func(names []string) []string {
		at := slices.Index(names, name)
		deleted = at >= 0
		if !deleted {
			return nil
		}
		return slices.DeleteFunc(names, func(n string) bool { return n == name })
	})
	return deleted
}

// change publishes what to makes of a copy of the names; nil: they stay as they are.
func (f *farewells) change(to func(names []string) []string) {
	for {
		old := f.names.Load()
		var names []string
		if old != nil {
			names = slices.Clone(*old)
		}
		names = to(names)
		if names == nil || f.names.CompareAndSwap(old, &names) {
			return
		}
	}
}
