package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleptSinceBoot is for how long the system was suspended, which its monotonic clock does not count (clock_gettime(2)).
func sleptSinceBoot() time.Duration {
	var ran, all unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ran) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &all) != nil {
		return 0
	}
	return (time.Duration(all.Nano()) - time.Duration(ran.Nano())).Round(time.Second)
}
