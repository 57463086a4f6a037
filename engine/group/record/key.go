package record

import "fmt"

// Kind says what a record is about: the first two bytes of its key.
type Kind int16

// The kinds of records of a consumer group.
const (
	KindGroup        Kind = 3  // the group and its epoch
	KindPartitions   Kind = 4  // what topics looked like: written by Kafka before 4.0, never by us
	KindMember       Kind = 5  // what a member said of itself
	KindTarget       Kind = 6  // the epoch of the target assignment
	KindTargetMember Kind = 7  // what one member shall have
	KindCurrent      Kind = 8  // what one member has
	KindPattern      Kind = 16 // the topics that a subscribed pattern matched
)

// Key is the key of a record.
type Key struct {
	Kind  Kind
	Group string
	// Of is the id of the member, or the pattern; empty for what is about the whole group.
	Of string
}

// named reports whether keys of a kind have a second part.
func (k Kind) named() bool {
	switch k {
	case KindMember, KindTargetMember, KindCurrent, KindPattern:
		return true
	}
	return false
}

// Append encodes the key.
func (k Key) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(int16(k.Kind))
	w.shortString(k.Group)
	if k.Kind.named() {
		w.shortString(k.Of)
	}
	return w.b
}

// ReadKey decodes a key; known is false for kinds that are not of a consumer group.
func ReadKey(p []byte) (k Key, known bool, err error) {
	r := reader{b: p}
	switch k.Kind = Kind(r.int16()); k.Kind {
	case KindGroup, KindPartitions, KindMember, KindTarget, KindTargetMember, KindCurrent, KindPattern:
	default:
		return k, false, r.err
	}
	k.Group = r.shortString()
	if k.Kind.named() {
		k.Of = r.shortString()
	}
	if err := r.end(); err != nil {
		return Key{}, true, fmt.Errorf("key of kind %d: %w", k.Kind, err)
	}
	return k, true, nil
}
