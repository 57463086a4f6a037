package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Crowd is what the members of a consumer group did together. It may be used from every goroutine.
type Crowd struct {
	mu     sync.Mutex //nolint:forbidigo // client libraries call back on goroutines of their own
	seen   map[string]int
	counts map[string]int
	errs   []error
}

// Read says that a member read a record; values tell records apart.
func (c *Crowd) Read(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[value]++
}

// Fail says that something went wrong with a member.
func (c *Crowd) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

// Failures takes what went wrong so far.
func (c *Crowd) Failures() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	failures := errors.Join(c.errs...)
	c.errs = nil
	return failures
}

// Add counts what happened to a member at rebalances.
func (c *Crowd) Add(member string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[member] += n
}

// Count is the sum of what was added for a member.
func (c *Crowd) Count(member string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[member]
}

// Got waits until n different records were read, and fails when one was read twice.
func (c *Crowd) Got(ctx context.Context, n int) error {
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		read, twice := c.tally()
		switch failures := c.Failures(); {
		case failures != nil:
			return failures
		case twice > 0:
			return fmt.Errorf("%d of %d records were read twice", twice, read)
		case read == n:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the group read %d of %d records: %w", read, n, ctx.Err())
		case <-tick.C:
		}
	}
}

func (c *Crowd) tally() (read, twice int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.seen {
		if times > 1 {
			twice++
		}
	}
	return len(c.seen), twice
}

// Even reports whether so many members share all partitions, each with as many as the others.
func Even(shares map[string][]int32, members, partitions int) bool {
	owned := map[int32]bool{}
	for _, s := range shares {
		if len(s) != partitions/members {
			return false
		}
		for _, p := range s {
			owned[p] = true
		}
	}
	return len(shares) == members && len(owned) == partitions
}
