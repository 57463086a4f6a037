//go:build race

package diskio

const raceEnabled = true
