package limits

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/loadgen"
)

// A process is idle when it used hardly any processor time and no more or less memory
// for a while.
const (
	look     = 100 * time.Millisecond
	looks    = 15
	idleCPU  = 30 * time.Millisecond // in all looks together
	idleSize = 1 << 20
)

// settled waits until a process is idle and returns what it has used by then.
func settled(ctx context.Context, pid int) (loadgen.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticks := time.NewTicker(look)
	defer ticks.Stop()
	var seen []loadgen.Usage
	for {
		used, err := loadgen.ReadUsage(pid)
		if err != nil {
			return used, err
		}
		if seen = append(seen, used); len(seen) > looks {
			seen = seen[1:]
			if quiet(seen) {
				return used, nil
			}
		}
		select {
		case <-ctx.Done():
			return used, fmt.Errorf("the broker is not idle after %v: it used %v of processor time within %v and has %d MiB: %w",
				patience, used.CPU-seen[0].CPU, look*looks, used.Resident>>20, ctx.Err())
		case <-ticks.C:
		}
	}
}

// quiet reports whether nothing happened between the first look and the last.
func quiet(seen []loadgen.Usage) bool {
	least, most := seen[0].Resident, seen[0].Resident
	for _, u := range seen {
		least, most = min(least, u.Resident), max(most, u.Resident)
	}
	return seen[len(seen)-1].CPU-seen[0].CPU <= idleCPU && most-least <= idleSize
}
