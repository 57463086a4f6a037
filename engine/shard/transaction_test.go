package shard

import "testing"

// TestNoGuestWritesMarkers: an Append lies inside of a marking, and would take its empty batch
// for one that a guest may write.
func TestNoGuestWritesMarkers(t *testing.T) {
	var task Task = &ending{}
	if l, ok := task.(light); ok && l.light(nil) {
		t.Fatal("a marker counts as a small append")
	}
}
