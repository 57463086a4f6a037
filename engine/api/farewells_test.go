package api

import (
	"fmt"
	"testing"
)

func TestFarewellsAreHeardOnce(t *testing.T) {
	var f farewells
	if f.heard("a") {
		t.Fatal("nothing was deleted")
	}
	f.say("a")
	f.say("b")
	f.say("a") // made and deleted again
	if !f.heard("a") || f.heard("a") || !f.heard("b") || f.heard("b") {
		t.Fatal("each counts once")
	}
	for n := range maxFarewells + 1 {
		f.say(fmt.Sprint(n))
	}
	if got := len(f.said.Load().inOrder); got != maxFarewells || f.heard("0") || !f.heard("1") || !f.heard(fmt.Sprint(maxFarewells)) {
		t.Fatalf("%d names are remembered", got)
	}
}

// One topic that is made and deleted again and again is remembered once, and the others still are.
func TestFarewellsOfOneTopicKeepTheOthers(t *testing.T) {
	var f farewells
	f.say("other")
	for range maxFarewells {
		f.say("same")
	}
	if !f.heard("other") || !f.heard("same") || f.heard("same") {
		t.Fatal("one name took the place of another")
	}
}

// Names of which nothing is known are looked up in what is there: a request may have a hundred thousand.
func TestFarewellsOfUnknownNamesTakeNoMemory(t *testing.T) {
	var f farewells
	for n := range maxFarewells {
		f.say(fmt.Sprint(n))
	}
	if n := testing.AllocsPerRun(100, func() { f.heard("unknown") }); n != 0 {
		t.Fatalf("%v allocations for a name that is not there", n)
	}
}
