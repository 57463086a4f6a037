package group

import "slices"

// waits are the offsets that the transaction of one producer has in the log. Mostly they are
// few, and a slice takes the least memory; when they are many, a map spares each tombstone the
// look at all of them.
type waits struct {
	few  []placed      // at most fewWaits
	many map[spot]wait // nil as long as few has them all
}

const fewWaits = 16

// spot is where an offset belongs. The group keeps its topic for as long as an offset waits.
type spot struct {
	group     string
	topic     *topic
	partition int32
}

// wait is what a transaction commits to one spot.
type wait struct {
	value *committed // the last one: it alone counts when the transaction commits
	count int32      // records that it stands for
}

type placed struct {
	at spot
	wait
}

// spot returns where a change belongs, whose entry is made.
func (g *group) spot(one *change) spot {
	return spot{g.name, g.offsets[one.topic], one.partition}
}

func (w *waits) size() int { return len(w.few) + len(w.many) }

func (w *waits) find(at spot) int {
	return slices.IndexFunc(w.few, func(one placed) bool { return one.at == at })
}

// add notes one more record of a spot.
func (w *waits) add(at spot, v *committed) {
	i := w.find(at)
	switch {
	case i >= 0:
		w.few[i].wait = wait{v, w.few[i].count + 1}
		return
	case w.many == nil && len(w.few) < fewWaits:
		w.few = append(w.few, placed{at, wait{v, 1}})
		return
	case w.many == nil:
		w.many = make(map[spot]wait, fewWaits+1)
		for _, one := range w.few {
			w.many[one.at] = one.wait
		}
		w.few = nil
	}
	w.many[at] = wait{v, w.many[at].count + 1}
}

// take drops a spot and answers how many records it stood for.
func (w *waits) take(at spot) int32 {
	if i := w.find(at); i >= 0 {
		n := w.few[i].count
		w.few = slices.Delete(w.few, i, i+1)
		return n
	}
	n := w.many[at].count
	delete(w.many, at)
	return n
}

// each yields all in any order: no spot has to do with another.
func (w *waits) each(yield func(spot, wait) bool) {
	for i := range w.few {
		if !yield(w.few[i].at, w.few[i].wait) {
			return
		}
	}
	for at, one := range w.many {
		if !yield(at, one) {
			return
		}
	}
}
