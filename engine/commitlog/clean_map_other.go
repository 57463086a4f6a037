//go:build !linux

package commitlog

func newSlots(count int64) []slot { return make([]slot, count) }

func freeSlots([]slot) {}
