package main

import (
	"go/parser"
	"go/token"
	"testing"
)

// TestMutantsFitTheCode: what a mutant replaces is there, once, and what comes of it is Go.
func TestMutantsFitTheCode(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants {
		files, err := m.apply("../../..")
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for name, text := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
	}
	m := mutant{"none", []edit{{"engine/sim/mutants/main.go", "what is nowhere" + "!", ""}}}
	if _, err := m.apply("../../.."); err == nil {
		t.Error("a mutant that replaces nothing is taken for one")
	}
}
