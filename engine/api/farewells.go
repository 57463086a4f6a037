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
type farewells struct{ said atomic.Pointer[namesSaid] }

// namesSaid are names, each once: in the order in which they were deleted, and to be looked up. A request may ask
// about any number.
type namesSaid struct {
	inOrder []string
	known   map[string]struct{}
}

// say remembers that a topic was deleted.
func (f *farewells) say(name string) {
	for {
		old := f.said.Load()
		names := append(old.without(name), name)
		if f.said.CompareAndSwap(old, newNamesSaid(names[max(0, len(names)-maxFarewells):])) {
			return
		}
	}
}

// heard reports whether a topic of this name was deleted, once.
func (f *farewells) heard(name string) bool {
	for {
		old := f.said.Load()
		if !old.has(name) {
			return false
		}
		if f.said.CompareAndSwap(old, newNamesSaid(old.without(name))) {
			return true
		}
	}
}

func newNamesSaid(names []string) *namesSaid {
	s := &namesSaid{inOrder: names, known: make(map[string]struct{}, len(names))}
	for _, name := range names {
		s.known[name] = struct{}{}
	}
	return s
}

// has reports whether the name is there. Nil has none.
func (s *namesSaid) has(name string) bool {
	if s == nil {
		return false
	}
	_, known := s.known[name]
	return known
}

// without are the other names, in a copy.
func (s *namesSaid) without(name string) []string {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.inOrder), func(n string) bool { return n == name })
}
