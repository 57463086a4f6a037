package diskio

import (
	"maps"
	"slices"
	"time"
)

// state is what a Memory holds: what the kernel shows, what the disk has, and what lies
// between.
type state struct {
	root *node
	// edits are the changes of folders that no SyncDir has made durable, oldest first.
	edits []*change
	clock int64 // calls so far that changed something
}

// node is a file or folder.
type node struct {
	folder  bool
	entries map[string]*node // as the kernel shows them
	durable map[string]*node // as the disk has them

	data    extent    // as the kernel shows it
	synced  extent    // as the disk has it, save for what is pending
	pending []pending // what no Sync has made durable, oldest first
	mod     time.Time
}

// extent is the bytes of a file. Shared bytes are not changed but replaced, so that a
// thousand images of a disk may have them in common.
type extent struct {
	bytes  []byte
	shared bool
}

func (c *extent) own(size int64) {
	if c.shared || size > int64(cap(c.bytes)) {
		fresh := make([]byte, len(c.bytes), max(size, int64(len(c.bytes)), min(2*size, size+1<<20)))
		copy(fresh, c.bytes)
		c.bytes, c.shared = fresh, false
	}
}

func (c *extent) write(p []byte, at int64) {
	end := at + int64(len(p))
	c.own(end)
	if end > int64(len(c.bytes)) {
		c.resize(end)
	}
	copy(c.bytes[at:], p)
}

func (c *extent) resize(size int64) {
	c.own(size)
	old := len(c.bytes)
	c.bytes = c.bytes[:size]
	if int(size) > old {
		clear(c.bytes[old:])
	}
}

// share makes a copy that costs nothing until one of the two is written to.
func (c *extent) share() extent {
	c.shared = true
	return *c
}

// change is one thing that was done to the disk and that a loss of power may undo. It is
// never changed. What may happen to those that nothing has made durable:
//
//   - Any subset of them reaches the disk, in any order, but for two rules: a later write
//     of the same bytes wins, and a rename happens at both of its ends or at none.
//   - A write may be torn: any of its sectors of 512 bytes (counted from the beginning of
//     the file) come, or none. Within a sector nothing is torn. A drive whose sectors have
//     4 KiB tears in fewer ways.
//   - The size of a file and its bytes come separately: bytes may be missing that the size
//     covers, and are zeros then; bytes behind the size do not exist.
//   - A name is another thing than the file: after Sync of a file without SyncDir of its
//     folder, the name may be missing; after SyncDir without Sync the file may be empty.
//
// What does not happen: what Sync or SyncDir has made durable does not change and does not
// go away, be it beside a torn write in the same sector; bytes that nobody wrote do not
// appear, also not from files that were removed (data=ordered); a folder that MkdirAll has
// made stays. What a failed Sync was to make durable may be there or not, for ever, until
// it is written again.
type change struct {
	when int64
	at   int64  // where data begins, or the size that a truncation sets
	data []byte // nil for a truncation
	edit edit   // of folders, if that is what changed
}

// edit is one change of folders; all its parts or none survive.
type edit []part

type part struct {
	folder *node
	name   string
	to     *node // nil: the name is gone
}

// pending is a change of a file that may not be on the disk.
type pending struct {
	*change
	doomed bool // a Sync failed: no later one makes it durable
	sure   bool // it is durable, but lies above one that is not
}

func newFolder() *node {
	return &node{folder: true, entries: map[string]*node{}, durable: map[string]*node{}}
}

// change notes what was done to a file.
func (s *state) change(n *node, c *change) {
	c.when = s.clock
	n.pending = append(n.pending, pending{change: c})
}

// edit notes what was done to folders.
func (s *state) edit(e edit) {
	s.edits = append(s.edits, &change{when: s.clock, edit: e})
}

// sync makes durable what no failed Sync has passed over. The list of what is pending is
// replaced, not changed, because points of a Trace have it too.
func (n *node) sync() {
	rest := make([]pending, 0, len(n.pending))
	for _, p := range n.pending {
		if !p.doomed && len(rest) == 0 {
			p.apply(&n.synced, kept)
			continue
		}
		p.sure = !p.doomed
		rest = append(rest, p)
	}
	n.pending = rest
}

// doom is a Sync that failed.
func (n *node) doom() {
	n.pending = slices.Clone(n.pending)
	for i := range n.pending {
		n.pending[i].doomed = !n.pending[i].sure
	}
}

// syncDir makes the names in a folder durable.
func (s *state) syncDir(folder *node) {
	rest := make([]*change, 0, len(s.edits))
	for _, c := range s.edits {
		if c.edit[0].folder == folder || c.edit[len(c.edit)-1].folder == folder {
			c.edit.apply(func(n *node) *node { return n })
		} else {
			rest = append(rest, c)
		}
	}
	s.edits = rest
}

// apply makes an edit durable, in the copies of its nodes.
func (e edit) apply(copyOf func(*node) *node) {
	for _, part := range e {
		if part.to == nil {
			delete(copyOf(part.folder).durable, part.name)
		} else {
			copyOf(part.folder).durable[part.name] = copyOf(part.to)
		}
	}
}

// fate is what becomes of a change in a crash.
type fate struct {
	lost bool
	// keep says which sectors of a write come, counted from its first. Nil: all.
	keep   func(sector int) bool
	sector int64 // bytes
	// size is what the size of the file becomes, if the write makes it grow: not less than
	// before, and not more than it was to be. Zero: what the sectors need that come.
	size int64
}

var kept = fate{}

func loseAll(*change) fate { return fate{lost: true} }

// apply does to a content what is left of the change.
func (c *change) apply(to *extent, f fate) {
	end := c.at + int64(len(c.data))
	switch {
	case f.lost:
	case c.data == nil:
		to.resize(c.at)
	case f.keep == nil:
		to.write(c.data, c.at)
	default:
		old := int64(len(to.bytes))
		for at, i := c.at, 0; at < end; i++ {
			next := min(at/f.sector*f.sector+f.sector, end)
			if f.keep(i) {
				to.write(c.data[at-c.at:next-c.at], at)
			}
			at = next
		}
		if f.size > 0 && end > old {
			to.resize(max(old, min(f.size, end)))
		}
	}
}

// after is what a disk has after a crash in which every change that is not durable had
// the fate that fates says. It shares bytes with s, and nothing else.
func (s *state) after(fates func(*change) fate) state {
	copies := copier{}
	root := copies.of(s.root)
	for _, c := range s.edits {
		if !fates(c).lost {
			c.edit.apply(copies.of)
		}
	}
	// Only files that have a name by now are looked at, in an order that is always the same.
	root.settle(fates)
	return state{root: root, clock: s.clock}
}

// freeze is a copy of what a crash needs to know: the disk, and what is not on it. It
// shares bytes with s.
func (s *state) freeze() state {
	copies := copier{}
	frozen := state{root: copies.of(s.root), clock: s.clock, edits: make([]*change, len(s.edits))}
	for i, c := range s.edits {
		parts := slices.Clone(c.edit)
		for k := range parts {
			parts[k].folder = copies.of(parts[k].folder)
			if parts[k].to != nil {
				parts[k].to = copies.of(parts[k].to)
			}
		}
		frozen.edits[i] = &change{when: c.when, edit: parts}
	}
	return frozen
}

// copier makes copies of nodes, one of each.
type copier map[*node]*node

func (c copier) of(old *node) *node {
	if done := c[old]; done != nil {
		return done
	}
	fresh := &node{folder: old.folder, mod: old.mod}
	c[old] = fresh
	if old.folder {
		fresh.durable = make(map[string]*node, len(old.durable))
		for name, n := range old.durable {
			fresh.durable[name] = c.of(n)
		}
		return fresh
	}
	fresh.synced = old.synced.share()
	fresh.pending = slices.Clip(old.pending)
	return fresh
}

// settle makes a copy what the kernel shows after the start.
func (n *node) settle(fates func(*change) fate) {
	if n.folder {
		n.entries = maps.Clone(n.durable)
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			n.entries[name].settle(fates)
		}
		return
	}
	for _, p := range n.pending {
		if p.sure {
			p.apply(&n.synced, kept)
		} else {
			p.apply(&n.synced, fates(p.change))
		}
	}
	n.pending = nil
	n.data = n.synced.share()
}
