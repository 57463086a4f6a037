package txn

import (
	"fmt"
	"slices"
)

// Check reports which invariant does not hold. It is for tests and simulators.
func (c *Coordinator) Check() error {
	for _, t := range c.sorted() {
		if err := t.check(); err != nil {
			return fmt.Errorf("transactional id %q, %s, producer %d, epoch %d: %w", t.id, t.state, t.producer, t.epoch, err)
		}
		if t.state.preparing() && c.loaded && !t.busy && len(t.owed) == 0 && len(c.failed) == 0 {
			return fmt.Errorf("transactional id %q is %s, and nobody completes it", t.id, t.state)
		}
	}
	for _, p := range c.patient {
		if p.gone {
			continue
		}
		if !slices.ContainsFunc(c.sorted(), func(t *transaction) bool { return slices.Contains(t.patient, p) }) {
			return fmt.Errorf("somebody waits for no transaction")
		}
	}
	return nil
}

func (t *transaction) check() error {
	switch {
	case t.epoch < 0 && !t.busy:
		return fmt.Errorf("nothing of it is in the log")
	case t.epoch == lastEpoch && !t.state.preparing() && t.state != CompleteAbort && t.state != CompleteCommit:
		return fmt.Errorf("a producer has the last epoch")
	case !t.state.holds() && len(t.partitions) > 0:
		return fmt.Errorf("it has %d partitions", len(t.partitions))
	case len(t.owed) > 0 && !t.state.preparing():
		return fmt.Errorf("%d markers are owed", len(t.owed))
	case !slices.IsSortedFunc(t.partitions, Partition.compare):
		return fmt.Errorf("its partitions are out of order")
	}
	for p := range t.owed {
		if !subset(t.partitions, []Partition{p}) {
			return fmt.Errorf("a marker is owed to %v, which is not part of it", p)
		}
	}
	return nil
}
