package label

import (
	"context"
	"runtime/pprof"
	"testing"
)

func TestLabelsAreMadeOnce(t *testing.T) {
	var topic Topic
	first := topic.Produce("orders")
	for key, want := range map[string]string{"api": "Produce", "topic": "orders"} {
		if got, _ := pprof.Label(first, key); got != want {
			t.Errorf("the label %s is %q, want %q", key, got, want)
		}
	}
	if topic.Produce("orders") != first {
		t.Error("labels are made anew each time")
	}
	if got, _ := pprof.Label(topic.Fetch("orders"), "api"); got != "Fetch" {
		t.Errorf("a fetch is labelled %q", got)
	}
}

func TestBeginAndEndAreCounted(t *testing.T) {
	if On() {
		t.Fatal("labels are set though nobody looks")
	}
	Begin()
	Begin()
	End()
	if !On() {
		t.Error("the first who ends turns labels off for the other")
	}
	End()
	if On() {
		t.Error("labels are set when all have ended")
	}
}

func TestSetAllocatesNothing(t *testing.T) {
	defer Set(context.Background())
	if n := testing.AllocsPerRun(100, func() { Set(Loop); Set(Shard) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkOn(b *testing.B) {
	for b.Loop() {
		if On() {
			b.Fatal("on")
		}
	}
}

func BenchmarkSet(b *testing.B) {
	defer Set(context.Background())
	for b.Loop() {
		Set(Loop)
	}
}
