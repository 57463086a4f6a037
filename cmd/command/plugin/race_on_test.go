//go:build race

package plugin

// raceEnabled: the race detector is at work.
const raceEnabled = true
