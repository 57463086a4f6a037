package wire

import "encoding/binary"

// writer appends a response.
type writer struct {
	p    []byte
	flex bool
}

func (w *writer) int16(v int16) { w.p = binary.BigEndian.AppendUint16(w.p, uint16(v)) }
func (w *writer) int32(v int32) { w.p = binary.BigEndian.AppendUint32(w.p, uint32(v)) }
func (w *writer) int64(v int64) { w.p = binary.BigEndian.AppendUint64(w.p, uint64(v)) }
func (w *writer) uvarint(v int) { w.p = binary.AppendUvarint(w.p, uint64(v)) }

// count writes how many elements an array has.
func (w *writer) count(n int) {
	if w.flex {
		w.uvarint(n + 1)
	} else {
		w.int32(int32(n))
	}
}

func (w *writer) string(s []byte) {
	if w.flex {
		w.uvarint(len(s) + 1)
	} else {
		w.int16(int16(len(s)))
	}
	w.p = append(w.p, s...)
}

// nullString writes s, or null when it is empty.
func (w *writer) nullString(s string) {
	switch {
	case w.flex && s == "":
		w.uvarint(0)
	case w.flex:
		w.uvarint(len(s) + 1)
	case s == "":
		w.int16(-1)
	default:
		w.int16(int16(len(s)))
	}
	w.p = append(w.p, s...)
}

// tags writes that n tagged fields follow.
func (w *writer) tags(n int) {
	if w.flex {
		w.uvarint(n)
	}
}

// Leader is who leads a partition now, told with an error that sends a client there
// (KIP-951).
type Leader struct {
	ID    int32
	Epoch int32
}

// leaderTag writes a tagged field that holds a leader: 4 + 4 bytes and no tags.
func (w *writer) leaderTag(tag int, l Leader) {
	w.uvarint(tag)
	w.uvarint(9)
	w.int32(l.ID)
	w.int32(l.Epoch)
	w.uvarint(0)
}

// Node is where a broker is reached.
type Node struct {
	ID   int32
	Host string
	Port int32
	Rack string // empty: null
}

// nodesTag writes the tagged field 0 that lists where the leaders named are reached.
func (w *writer) nodesTag(nodes []Node) {
	inner := writer{flex: true}
	inner.uvarint(len(nodes) + 1)
	for _, n := range nodes {
		inner.int32(n.ID)
		inner.string([]byte(n.Host))
		inner.int32(n.Port)
		inner.nullString(n.Rack)
		inner.uvarint(0)
	}
	w.uvarint(0)
	w.uvarint(len(inner.p))
	w.p = append(w.p, inner.p...)
}
