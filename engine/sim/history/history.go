// Package history judges what clients of transactions saw: every operation is noted as it ended – well, not at all, or
// nobody knows – and everything that was read, and afterwards Check says which promises were broken.
//
// Every value is unique. An operation of which nobody knows how it ended may have happened or not, but wholly. It is
// pure: it neither reads a clock nor talks to anybody.
//
//	lost          a write that ended well is not in the final read, or one that had to be copied was not
//	duplicated    a value lies at two offsets of what is committed, or two were made from the same
//	reordered     writes of one process in one partition lie in another order than they were sent, or a reader's offsets fall
//	aborted read  a reader of committed records saw a value of a transaction that was aborted
//	torn          of one transaction some writes, or its offsets, are there and others are not
//	offsets back  a group's committed offset was lower than one that was seen or acknowledged before
//	inconsistent  one offset had two values
//	unwritten     a value was read that nobody wrote
package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Result is how an operation ended.
type Result int8

// Results of operations.
const (
	Unknown Result = iota // it may have happened
	OK
	Failed // it surely has not happened: refused, or aborted
)

// Partition is one of a topic.
type Partition struct {
	Topic string
	Index int32
}

// Write is one record that an operation sends.
type Write struct {
	Partition
	Value string
	Of    string // what it was made from, which must be done once only; empty: nothing
}

// Commit is how far a group has read, as an operation says.
type Commit struct {
	Group string
	Partition
	Offset int64
}

// Operation is a transaction, or a single send outside of one.
type Operation struct {
	Process string
	Name    string // unique, for the words of an anomaly
	Writes  []Write
	Commits []Commit
	Result  Result
	// Began and Ended are moments of one clock that only rises.
	Began, Ended int64
}

// Read is a record that a reader got. Those of one reader are in the order in which it got them.
type Read struct {
	Reader    string
	Committed bool // the reader asked for committed records only
	Partition
	Offset int64
	Value  string
}

// Fetched is a group's committed offset that somebody asked for; −1: none.
type Fetched struct {
	Group string
	Partition
	Offset int64
	At     int64 // when it was asked for
	// Answered is when the answer came. Zero: before anything that follows was asked.
	Answered int64
}

// History is everything that is known.
type History struct {
	Operations []Operation // of one process in the order in which it began them
	Reads      []Read
	Offsets    []Fetched // in the order of their answers
	// Final is the reader that read all that is committed, when everything had ended.
	Final string
	// Copied is a topic of which everything that is committed must have been made into something. Empty: none.
	Copied string
}

// Anomaly is one broken promise.
type Anomaly struct{ Class, Detail string }

// Classes of anomalies.
const (
	Lost         = "lost"
	Duplicated   = "duplicated"
	Reordered    = "reordered"
	AbortedRead  = "aborted read"
	Torn         = "torn"
	OffsetsBack  = "offsets back"
	Inconsistent = "inconsistent"
	Unwritten    = "unwritten"
)

// place is where a value lies.
type place struct {
	Partition
	offset int64
}

type checker struct {
	*History
	found  []Anomaly
	writer map[string]*Operation
	final  map[string][]place // of committed values
	values map[place]string
	ends   map[groupPartition]int64 // last committed offset that was seen
}

type groupPartition struct {
	group string
	Partition
}

// Check answers every broken promise.
func Check(h *History) []Anomaly {
	c := &checker{History: h, writer: map[string]*Operation{}, final: map[string][]place{}, values: map[place]string{}, ends: map[groupPartition]int64{}}
	for i := range h.Operations {
		for _, w := range h.Operations[i].Writes {
			c.writer[w.Value] = &h.Operations[i]
		}
	}
	c.reads()
	c.duplicates()
	c.offsets()
	for i := range h.Operations {
		c.operation(&h.Operations[i])
	}
	c.order()
	return c.found
}

// Summary is a line for a person.
func Summary(found []Anomaly) string {
	counts := map[string]int{}
	var classes []string
	for _, a := range found {
		if counts[a.Class]++; counts[a.Class] == 1 {
			classes = append(classes, a.Class)
		}
	}
	slices.Sort(classes)
	for i, class := range classes {
		first := slices.IndexFunc(found, func(a Anomaly) bool { return a.Class == class })
		classes[i] = fmt.Sprintf("%d %s (%s)", counts[class], class, found[first].Detail)
	}
	return strings.Join(classes, "; ")
}

func (c *checker) add(class, format string, arguments ...any) {
	c.found = append(c.found, Anomaly{class, fmt.Sprintf(format, arguments...)})
}

// reads looks at each record that somebody got.
func (c *checker) reads() {
	last := map[string]int64{}
	for i := range c.Reads {
		r := &c.Reads[i]
		at := place{r.Partition, r.Offset}
		if before, known := c.values[at]; known && before != r.Value {
			c.add(Inconsistent, "%v at %d is %q and %q", r.Partition, r.Offset, before, r.Value)
		}
		c.values[at] = r.Value
		stream := fmt.Sprint(r.Reader, r.Partition)
		if before, known := last[stream]; known && before >= r.Offset {
			c.add(Reordered, "%s got offset %d of %v after %d", r.Reader, r.Offset, r.Partition, before)
		}
		last[stream] = r.Offset
		writer := c.writer[r.Value]
		switch {
		case writer == nil:
			c.add(Unwritten, "%q at %d of %v", r.Value, r.Offset, r.Partition)
		case r.Committed && writer.Result == Failed:
			c.add(AbortedRead, "%s got %q of %s at %d of %v", r.Reader, r.Value, writer.Name, r.Offset, r.Partition)
		}
		if r.Committed && r.Reader == c.Final {
			c.final[r.Value] = append(c.final[r.Value], at)
		}
	}
}

// duplicates looks how often each value is there, and how often something was made of it.
func (c *checker) duplicates() {
	for value, places := range c.final {
		if len(places) > 1 {
			c.add(Duplicated, "%q at %v", value, places)
		}
	}
	made := map[string]string{}
	for i := range c.Operations {
		for _, w := range c.Operations[i].Writes {
			if w.Of == "" || len(c.final[w.Value]) == 0 {
				continue
			}
			if before, twice := made[w.Of]; twice {
				c.add(Duplicated, "%q and %q are of %q", before, w.Value, w.Of)
			}
			made[w.Of] = w.Value
		}
	}
	for value, places := range c.final {
		if _, copied := made[value]; !copied && c.Copied != "" && places[0].Topic == c.Copied {
			c.add(Lost, "%q at %v was never copied", value, places[0])
		}
	}
}

// offsets looks at committed offsets: they never go back, neither behind what was seen nor behind what was acknowledged.
func (c *checker) offsets() {
	for n, f := range c.Offsets {
		at := groupPartition{f.Group, f.Partition}
		for _, before := range c.Offsets[:n] {
			if before.Group == f.Group && before.Partition == f.Partition && before.Offset > f.Offset && before.Answered <= f.At {
				c.add(OffsetsBack, "%s is at %d of %v, and was at %d", f.Group, f.Offset, f.Partition, before.Offset)
				break
			}
		}
		for i := range c.Operations {
			o := &c.Operations[i]
			for _, commit := range o.Commits {
				if o.Result == OK && o.Ended < f.At && commit.Group == f.Group && commit.Partition == f.Partition && commit.Offset > f.Offset {
					c.add(OffsetsBack, "%s is at %d of %v, and %s has committed %d", f.Group, f.Offset, f.Partition, o.Name, commit.Offset)
				}
			}
		}
		c.ends[at] = max(c.ends[at], f.Offset)
	}
}

// operation looks whether one is there wholly, or not at all.
func (c *checker) operation(o *Operation) {
	there, missing := 0, ""
	for _, w := range o.Writes {
		if len(c.final[w.Value]) > 0 {
			there++
		} else {
			missing = w.Value
		}
	}
	switch {
	case there > 0 && missing != "":
		c.add(Torn, "%s has %d of %d writes; %q is not there", o.Name, there, len(o.Writes), missing)
	case o.Result == OK && missing != "":
		c.add(Lost, "%s ended well, and %q is not there", o.Name, missing)
	}
	if o.Result == Failed || len(o.Writes) == 0 {
		return
	}
	for _, commit := range o.Commits {
		end, known := c.ends[groupPartition{commit.Group, commit.Partition}]
		switch {
		case !known:
		case there > 0 && end < commit.Offset:
			c.add(Torn, "%s has its writes, and %s is at %d of %v, not at %d", o.Name, commit.Group, end, commit.Partition, commit.Offset)
		case there == 0 && end == commit.Offset && !c.reached(o, commit):
			c.add(Torn, "%s has no writes, and %s is at %d of %v", o.Name, commit.Group, end, commit.Partition)
		}
	}
}

// reached reports whether another operation that is there has committed the same offset.
func (c *checker) reached(not *Operation, commit Commit) bool {
	for i := range c.Operations {
		o := &c.Operations[i]
		if o == not || len(o.Writes) > 0 && len(c.final[o.Writes[0].Value]) == 0 || o.Result == Failed {
			continue
		}
		if slices.ContainsFunc(o.Commits, func(other Commit) bool {
			return other.Group == commit.Group && other.Partition == commit.Partition && other.Offset >= commit.Offset
		}) {
			return true
		}
	}
	return false
}

// order compares the offsets of each process's writes with the order in which it sent them.
func (c *checker) order() {
	type stream struct {
		process string
		Partition
	}
	last := map[stream]place{}
	names := map[stream]string{}
	for i := range c.Operations {
		o := &c.Operations[i]
		for _, w := range o.Writes {
			places := c.final[w.Value]
			if len(places) == 0 {
				continue
			}
			s := stream{o.Process, w.Partition}
			first := slices.MinFunc(places, func(a, b place) int { return cmp.Compare(a.offset, b.offset) })
			if before, known := last[s]; known && before.offset > first.offset {
				c.add(Reordered, "%q lies at %d of %v, before %q at %d, which was sent before", w.Value, first.offset, w.Partition, names[s], before.offset)
			}
			last[s], names[s] = first, w.Value
		}
	}
}
