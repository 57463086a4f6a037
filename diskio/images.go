package diskio

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// sector is what a disk surely writes whole or not at all, in bytes; large is what newer
// drives do.
const (
	sector = 512
	large  = 4096
)

// ImageOptions say which images of a trace there are.
type ImageOptions struct {
	// Seed chooses what is random.
	Seed uint64
	// Random is how many random subsets there are for each point. Zero: 6.
	Random int
	// Singles bounds for how many changes of each point there are images of their own,
	// that have all but it, or only it, or it torn: the newest, and at random among the
	// older ones. Of the names of a point, images with all up to one are made for twice as
	// many, the newest. Zero: 12.
	Singles int
	// First and Last bound the points; a Last of zero is the end of the trace.
	First, Last int
	// Every takes only each so-many'th point. Zero: every one.
	Every int
}

// Image is a disk as a loss of power may have left it: at one point of a trace, with one
// choice of what had come to the disk.
type Image struct {
	Number int    // among those of one Images call with the same options
	Point  int    // so many operations were done
	Choice string // what had become of those that were not durable
	Mark   any    // what Trace.Mark had said by then
	state  state
}

// Disk is the image as a disk that may be used. Every call makes one of its own.
func (i *Image) Disk() *Memory { return newMemory(i.state.after(loseAll)) }

// String names the image.
func (i *Image) String() string {
	return fmt.Sprintf("image %d: after %d operations, %s", i.Number, i.Point, i.Choice)
}

// Images makes, for each point of a trace, a disk that lost all that was not durable; one
// that lost nothing; for each change one that lost only it, one that lost all but it, and
// some in which it is torn; all names and no bytes, all bytes and no names, and names up
// to each (as a journal has them); and random subsets. No image comes twice with the same
// mark. The order is always the same. The trace must be at its end.
func (t *Trace) Images(o ImageOptions) iter.Seq[*Image] {
	if o.Random == 0 {
		o.Random = 6
	}
	if o.Singles == 0 {
		o.Singles = 12
	}
	last := len(t.points) - 1
	if o.Last > 0 {
		last = min(last, o.Last)
	}
	return func(yield func(*Image) bool) {
		seen := map[uint64]bool{}
		seed := maphash.MakeSeed()
		var mark any
		number := 0
		for point := o.First; point <= last; point += max(1, o.Every) {
			if now := t.markAt(point); now != mark {
				mark = now
				clear(seen) // what is there was checked against less
			}
			random := rand.New(rand.NewPCG(o.Seed, uint64(point)))
			for choice := range t.choices(&t.points[point], random, o) {
				after := t.points[point].after(choice.fates)
				hash := after.hash(seed)
				if seen[hash] {
					continue
				}
				seen[hash] = true
				if !yield(&Image{Number: number, Point: point, Choice: choice.what, Mark: mark, state: after}) {
					return
				}
				number++
			}
		}
	}
}

// choice is one way in which a crash goes.
type choice struct {
	what  string
	fates func(*change) fate
}

// choices are those for one point.
func (t *Trace) choices(s *state, random *rand.Rand, o ImageOptions) iter.Seq[choice] {
	return func(yield func(choice) bool) {
		files, names := s.loose()
		if !yield(choice{"nothing that was not synced is kept", loseAll}) {
			return
		}
		if len(files)+len(names) == 0 {
			return
		}
		all := func(*change) fate { return kept }
		onlyNames := func(c *change) fate { return fate{lost: c.edit == nil} }
		onlyFiles := func(c *change) fate { return fate{lost: c.edit != nil} }
		ok := yield(choice{"all is kept", all}) &&
			yield(choice{"names are kept, and no bytes", onlyNames}) && yield(choice{"bytes are kept, and no names", onlyFiles})
		for n := max(1, len(names)-2*o.Singles); ok && n < len(names); n++ {
			until := names[n].when
			what := fmt.Sprintf("names are kept as of before %s", t.what(names[n]))
			ok = yield(choice{what + ", and all bytes", func(c *change) fate { return fate{lost: c.edit != nil && c.when >= until} }}) &&
				yield(choice{what + ", and no bytes", func(c *change) fate { return fate{lost: c.edit == nil || c.when >= until} }})
		}
		for _, one := range newest(slices.Concat(names, files), random, o.Singles) {
			ok = ok && t.single(one, yield)
		}
		for n := 0; ok && n < o.Random; n++ {
			seed := random.Uint64()
			ok = yield(choice{fmt.Sprintf("what seed %d keeps", seed), randomly(rand.New(rand.NewPCG(seed, 0)), s)})
		}
	}
}

// newest takes at most n changes: half of them the newest, the others at random.
func newest(all []*change, random *rand.Rand, n int) []*change {
	slices.SortStableFunc(all, func(a, b *change) int { return int(b.when - a.when) })
	if len(all) <= n {
		return all
	}
	older := all[n-n/2:]
	random.Shuffle(len(older), func(i, k int) { older[i], older[k] = older[k], older[i] })
	return all[:n]
}

// single are the choices that are about one change.
func (t *Trace) single(one *change, yield func(choice) bool) bool {
	what := t.what(one)
	for _, others := range []fate{kept, {lost: true}} {
		with := func(mine fate) func(*change) fate {
			return func(c *change) fate {
				if c == one {
					return mine
				}
				return others
			}
		}
		ok := false
		rest := "all else is kept"
		if others.lost {
			rest = "all else is lost"
			ok = yield(choice{what + " is kept; " + rest, with(kept)})
		} else {
			ok = yield(choice{what + " is lost; " + rest, with(fate{lost: true})})
		}
		for _, torn := range one.tears() {
			ok = ok && yield(choice{what + " is torn: " + torn.what + "; " + rest, with(torn.fate)})
		}
		if !ok {
			return false
		}
	}
	return true
}

type tear struct {
	what string
	fate fate
}

// tears are ways to tear a write: cut at sectors, with a hole, size without bytes.
func (c *change) tears() (all []tear) {
	if c.edit != nil || len(c.data) == 0 {
		return nil
	}
	end := c.at + int64(len(c.data))
	never := func(int) bool { return false }
	all = append(all,
		tear{"the size came, and no byte", fate{keep: never, sector: sector, size: end}},
		tear{"half of the size came, and no byte", fate{keep: never, sector: sector, size: c.at + int64(len(c.data)+1)/2}})
	for _, size := range []int64{sector, large} {
		count := int((end-1)/size - c.at/size + 1)
		if count == 1 {
			continue
		}
		for _, n := range []int{1, count / 2, count - 1} {
			all = append(all,
				tear{fmt.Sprintf("the first %d of %d sectors came", n, count), fate{keep: func(i int) bool { return i < n }, sector: size}},
				tear{fmt.Sprintf("the first %d of %d sectors came, and the size", n, count), fate{keep: func(i int) bool { return i < n }, sector: size, size: end}},
				tear{fmt.Sprintf("the first %d of %d sectors are missing", n, count), fate{keep: func(i int) bool { return i >= n }, sector: size}})
		}
	}
	return all
}

// loose are the changes that a crash may lose.
func (s *state) loose() (files, names []*change) {
	copies := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if copies[n] {
			return
		}
		copies[n] = true
		for _, name := range slices.Sorted(maps.Keys(n.durable)) {
			walk(n.durable[name])
		}
		for _, p := range n.pending {
			if !p.sure {
				files = append(files, p.change)
			}
		}
	}
	walk(s.root)
	for _, c := range s.edits {
		for _, part := range c.edit {
			if part.to != nil {
				walk(part.to)
			}
		}
	}
	return files, slices.Clone(s.edits)
}

// randomly decides by chance: names up to one or any, of each write or truncation whether
// it comes, or which of its sectors.
func randomly(random *rand.Rand, s *state) func(*change) fate {
	until := int64(-1)
	if len(s.edits) > 0 && random.IntN(2) == 0 {
		until = s.edits[random.IntN(len(s.edits))].when
	}
	size := int64(sector)
	if random.IntN(3) == 0 {
		size = large
	}
	likely := random.IntN(3) // of four changes so many are lost
	return func(c *change) fate {
		switch {
		case c.edit != nil && until >= 0:
			return fate{lost: c.when >= until}
		case c.edit != nil || c.data == nil:
			return fate{lost: random.IntN(2) == 0}
		case random.IntN(4) < likely:
			return fate{lost: true}
		}
		torn := fate{sector: size}
		switch random.IntN(5) {
		case 0:
			return kept
		case 1, 2:
			torn.size = c.at + random.Int64N(int64(len(c.data))+1)
		case 3:
			torn.size = c.at + int64(len(c.data)) // the size came, and some sectors did not
		}
		missing := random.Uint64()
		torn.keep = func(i int) bool { return missing>>(i%64)&1 == 0 }
		return torn
	}
}

// what names a change by the operation that made it.
func (t *Trace) what(c *change) string {
	i := sort.Search(len(t.ops), func(i int) bool { return t.ops[i].when >= c.when })
	if i < len(t.ops) && t.ops[i].when == c.when {
		return fmt.Sprintf("operation %d (%s)", i, t.ops[i])
	}
	return "an older operation"
}

// hash is of all names and bytes.
func (s *state) hash(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	s.root.hash(&h)
	return h.Sum64()
}

func (n *node) hash(h *maphash.Hash) {
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		below := n.entries[name]
		size := int64(-1)
		if !below.folder {
			size = int64(len(below.data.bytes))
		}
		var head [8]byte
		binary.LittleEndian.PutUint64(head[:], uint64(size))
		_, _ = h.WriteString(name)
		_, _ = h.Write(head[:])
		if below.folder {
			below.hash(h)
			_ = h.WriteByte('/')
		} else {
			_, _ = h.Write(below.data.bytes)
		}
	}
}

// Export writes all that a disk shows to a folder of another file system, so that a person
// can look at an image with the tools that there are.
func (m *Memory) Export(to FS, folder string) error {
	var all []string
	m.set(func() { all = m.root.list("/") })
	for _, name := range all {
		at := filepath.Join(folder, name)
		if strings.HasSuffix(name, "/") {
			if err := to.MkdirAll(at); err != nil {
				return fmt.Errorf("export: %w", err)
			}
			continue
		}
		data, err := ReadFile(m, name)
		if err == nil {
			err = WriteFile(to, at, data)
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// list is every name below a folder, those of folders ending with a slash.
func (n *node) list(path string) (all []string) {
	all = append(all, path)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		if below := n.entries[name]; below.folder {
			all = append(all, below.list(path+name+"/")...)
		} else {
			all = append(all, path+name)
		}
	}
	return all
}
