package group

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/group/assign"
)

func (cg *consumerGroup) deadlinesSet() (n int) {
	for _, m := range cg.members {
		for _, d := range []*deadline{&m.session, &m.rebalance, &m.sync} {
			if d.set() {
				n++
			}
		}
	}
	return n
}

var errTwoKinds = errors.New("it is a consumer group and a classic one")

// checkConsumer is check for what only consumer groups have.
func (g *group) checkConsumer() error {
	cg := g.consumer
	if cg == nil {
		if g.state == assigning || g.state == reconciling {
			return fmt.Errorf("a classic group is %s", g.state)
		}
		return nil
	}
	if len(g.members) > 0 || len(g.byID) > 0 || len(g.pending) > 0 || g.join.set() || g.sync.set() {
		return errTwoKinds
	}
	if g.state != cg.state() {
		return fmt.Errorf("should be %s", cg.state())
	}
	if cg.assignmentEpoch > cg.epoch {
		return fmt.Errorf("target of epoch %d in epoch %d", cg.assignmentEpoch, cg.epoch)
	}
	unsettled, classics := 0, 0
	for _, m := range cg.sorted() {
		if err := cg.checkMember(m); err != nil {
			return fmt.Errorf("member %q: %w", m.id, err)
		}
		if !cg.isSettled(m) {
			unsettled++
		}
		if m.classic != nil {
			classics++
		}
	}
	if unsettled != cg.unsettled || classics != cg.classics {
		return fmt.Errorf("counted %d unsettled, %d classic, noted %d, %d", unsettled, classics, cg.unsettled, cg.classics)
	}
	if err := cg.checkOwners(); err != nil {
		return err
	}
	return cg.checkSubscriptions()
}

func (cg *consumerGroup) checkMember(m *consumer) error {
	switch {
	case cg.members[m.id] != m || m.instance != nil && cg.static[*m.instance] != m:
		return fmt.Errorf("cannot be found by its id")
	case m.epoch > cg.assignmentEpoch:
		return fmt.Errorf("in epoch %d, the target is of %d", m.epoch, cg.assignmentEpoch)
	case !m.session.set():
		return fmt.Errorf("would live for ever")
	case m.fresh:
		return fmt.Errorf("was never written")
	case m.state != unrevoked && len(m.revoking) > 0:
		return fmt.Errorf("gives up %d partitions and need not", m.revoking.Count())
	case m.state == unrevoked && m.epoch > joining && m.classic == nil && !m.rebalance.set():
		return fmt.Errorf("may keep for ever what it has to give up")
	case m.state == settled && m.epoch == cg.assignmentEpoch && cg.epoch == cg.assignmentEpoch && !cg.doubtful && !m.assigned.Within(m.target):
		return fmt.Errorf("is settled with more than its target")
	}
	return nil
}

// checkOwners makes sure that every partition that somebody has is that member's alone.
func (cg *consumerGroup) checkOwners() error {
	owned := 0
	for _, m := range cg.sorted() {
		for _, a := range []assign.Assignment{m.assigned, m.revoking} {
			for i := range a {
				for _, p := range a[i].Partitions {
					if owned++; cg.owners[place{a[i].ID, p}] != m {
						return fmt.Errorf("partition %d of %x is %q's, noted is somebody else", p, a[i].ID, m.id)
					}
				}
			}
		}
	}
	if len(cg.owners) != owned {
		return fmt.Errorf("%d partitions are owned, noted are %d", owned, len(cg.owners))
	}
	return nil
}

func (cg *consumerGroup) checkSubscriptions() error {
	names, patterns := map[string]int{}, map[string]int{}
	for _, m := range cg.members {
		for _, name := range m.topics {
			names[name]++
		}
		if m.pattern != nil && *m.pattern != "" {
			patterns[*m.pattern]++
		}
	}
	if len(names) != len(cg.names) || len(patterns) != len(cg.patterns) {
		return fmt.Errorf("%d names and %d patterns, noted are %d and %d", len(names), len(patterns), len(cg.names), len(cg.patterns))
	}
	for _, w := range cg.names {
		if names[w.name] != w.members {
			return fmt.Errorf("%d want %q, noted are %d", names[w.name], w.name, w.members)
		}
	}
	for text, n := range patterns {
		if p := cg.patterns[text]; p == nil || p.members != n {
			return fmt.Errorf("%d want the pattern %q, noted otherwise", n, text)
		}
	}
	return nil
}
