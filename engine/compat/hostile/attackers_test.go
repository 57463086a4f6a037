package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestAttackersEndWhenNobodyOrdersThemTo(t *testing.T) {
	for orders, want := range map[string]struct{ attack, fails bool }{
		"":             {},
		"attack\n":     {attack: true},
		"att":          {fails: true},
		"something\n":  {fails: true},
		"attack\nmore": {attack: true},
	} {
		if got, err := ordered(bufio.NewReader(strings.NewReader(orders))); got != want.attack || (err != nil) != want.fails {
			t.Errorf("%q: attack %v, %v", orders, got, err)
		}
	}
}
