package diskio

import "fmt"

// OpKind is a kind of operation on a disk.
type OpKind int

// The kinds of operations.
const (
	OpCreate OpKind = iota
	OpWrite
	OpTruncate
	OpAllocate
	OpSync
	OpSyncDir
	OpRename
	OpRemove
	OpMkdir
	OpRead // for a gate only: it is not recorded
)

var opNames = [...]string{"create", "write", "truncate", "allocate", "sync", "syncdir", "rename", "remove", "mkdir", "read"}

// String is the kind in a word.
func (k OpKind) String() string { return opNames[k] }

// Op is one operation that a Memory was asked for.
type Op struct {
	Kind   OpKind
	Name   string // of the file or folder, as it was opened
	To     string // the new name of what is renamed
	Offset int64
	Size   int64  // bytes written, read or reserved; or the size that a truncation sets
	Data   []byte // what was written; not to be changed
	Failed bool   // a sync that failed

	when int64
}

// String is one line for a person.
func (o Op) String() string {
	text := fmt.Sprintf("%s %s", o.Kind, o.Name)
	switch o.Kind {
	case OpRename:
		text += " to " + o.To
	case OpWrite, OpAllocate, OpRead:
		text += fmt.Sprintf(" %d bytes at %d", o.Size, o.Offset)
	case OpTruncate:
		text += fmt.Sprintf(" to %d bytes", o.Size)
	}
	if o.Failed {
		text += " FAILED"
	}
	return text
}

// Trace is what was done to a Memory since Record, and after each operation what a loss of
// power might leave of it. It keeps a copy of the tree of names for every operation, so it
// is for disks with a few dozen files.
//
// Ownership: the Memory's while it records; after Stop, of whoever has it.
type Trace struct {
	disk   *Memory
	ops    []Op
	points []state // points[n] is the disk when the first n operations were done
	marks  []mark
}

// mark is something that a test has promised, or may have done, from a point on.
type mark struct {
	point int
	what  any
}

// Record begins a trace. A crash or Stop ends it.
func (m *Memory) Record() *Trace {
	m.guard.Lock()
	defer m.guard.Unlock()
	m.trace = &Trace{disk: m, points: []state{m.freeze()}}
	return m.trace
}

// note adds an operation to the trace.
func (m *Memory) note(op Op) {
	if m.trace == nil {
		return
	}
	op.when = m.clock
	m.trace.ops = append(m.trace.ops, op)
	m.trace.points = append(m.trace.points, m.freeze())
}

// Mark says what holds from the operation before on: an image of the disk as it was then, or
// later, has what as its Mark, until the next. It is compared with ==, and must not change.
func (t *Trace) Mark(what any) {
	t.disk.set(func() { t.marks = append(t.marks, mark{len(t.ops), what}) })
}

// Stop ends the recording.
func (t *Trace) Stop() {
	t.disk.set(func() {
		if t.disk.trace == t {
			t.disk.trace = nil
		}
	})
}

// Len is how many operations there were so far.
func (t *Trace) Len() (n int) {
	t.disk.set(func() { n = len(t.ops) })
	return n
}

// Ops are the operations, oldest first. Only after Stop.
func (t *Trace) Ops() []Op { return t.ops }

// markAt is the last mark at or before a point, nil if there is none.
func (t *Trace) markAt(point int) (what any) {
	for _, m := range t.marks {
		if m.point > point {
			break
		}
		what = m.what
	}
	return what
}
