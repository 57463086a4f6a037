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
	if got := len(*f.names.Load()); got != maxFarewells || f.heard("0") || !f.heard("1") || !f.heard(fmt.Sprint(maxFarewells)) {
		t.Fatalf("%d names are remembered", got)
	}
}
