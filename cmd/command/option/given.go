package option

import (
	"fmt"
	"strconv"
	"strings"
)

// Has reports whether the option was given.
func (g *Given) Has(name string) bool {
	_, ok := g.values[name]
	return ok
}

// HasAny reports whether one of the options was given.
func (g *Given) HasAny(names ...string) bool { return g.Count(names...) > 0 }

// Count is how many of the options were given.
func (g *Given) Count(names ...string) int {
	n := 0
	for _, name := range names {
		if g.Has(name) {
			n++
		}
	}
	return n
}

// Command is the name of the command that was given, of those that the tool has.
func (g *Given) Command() string { return g.command }

// Order lists the names as they were given, repeats and all.
func (g *Given) Order() []string { return g.order }

// Texts are all values of the option.
func (g *Given) Texts(name string) []string { return g.values[name] }

// Text is the last value of the option, or its default.
func (g *Given) Text(name string) string {
	if values := g.values[name]; len(values) > 0 {
		return values[len(values)-1]
	}
	return g.set.find(name).Default
}

// Long is the value of an option that takes a whole number.
func (g *Given) Long(name string) int64 {
	n, err := strconv.ParseInt(g.Text(name), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("option %s of %s: value %q was not checked", name, g.set.Program, g.Text(name)))
	}
	return n
}

// Int is Long as an int.
func (g *Given) Int(name string) int { return int(g.Long(name)) }

// Double is the value of an option that takes a number.
func (g *Given) Double(name string) float64 {
	f, err := strconv.ParseFloat(g.Text(name), 64)
	if err != nil {
		panic(fmt.Sprintf("option %s of %s: value %q was not checked", name, g.set.Program, g.Text(name)))
	}
	return f
}

// Require says which of the options is missing.
func (g *Given) Require(names ...string) error {
	for _, name := range names {
		if !g.Has(name) {
			return mistake("Missing required argument \"[%s]\"", name)
		}
	}
	return nil
}

// ExactlyOne says that not one, or more than one, of the options was given.
func (g *Given) ExactlyOne(names ...string) error {
	if g.Count(names...) == 1 {
		return nil
	}
	return mistake("Exactly one of the following arguments is required: %s", Brackets(names...))
}

// Conflict says which of others was given together with used.
func (g *Given) Conflict(used string, others ...string) error {
	if !g.Has(used) {
		return nil
	}
	for _, other := range others {
		if other != used && g.Has(other) {
			return mistake("Option \"[%s]\" can't be used with option \"[%s]\"", used, other)
		}
	}
	return nil
}

// Brackets lists names as joptsimple prints options: [topic], [include].
func Brackets(names ...string) string {
	return "[" + strings.Join(names, "], [") + "]"
}
