//go:build race

package sdktest

// raceEnabled: the race detector allocates itself.
const raceEnabled = true
