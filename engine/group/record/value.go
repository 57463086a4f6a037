package record

import (
	"fmt"

	"github.com/millrace/millrace/engine/group/assign"
)

// Group is the value of KindGroup.
type Group struct {
	Epoch int32
	// Hash tells whether the subscribed topics still look as they did. Zero: not known.
	Hash int64
}

// Append encodes the value.
func (v *Group) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.int32(v.Epoch)
	if v.Hash == 0 {
		w.noTags()
		return w.b
	}
	w.tag(8)
	w.int64(v.Hash)
	return w.b
}

// Read decodes the value.
func (v *Group) Read(p []byte) error {
	r := start(p)
	v.Epoch = r.int32()
	r.tags(func(r *reader) { v.Hash = r.int64() })
	return r.finish("epoch of a group")
}

// Protocol is one that a classic member supports.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Classic is what only members have that use the classic protocol.
type Classic struct {
	SessionTimeoutMillis int32
	Protocols            []Protocol
}

// Member is the value of KindMember.
type Member struct {
	Instance, Rack         *string
	ClientID, ClientHost   string
	Topics                 []string
	Pattern                *string
	RebalanceTimeoutMillis int32
	Assignor               *string
	Classic                *Classic // nil: the member uses the consumer protocol
}

// Append encodes the value.
func (v *Member) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.nullable(v.Instance)
	w.nullable(v.Rack)
	w.string(v.ClientID)
	w.string(v.ClientHost)
	w.length(len(v.Topics))
	for _, t := range v.Topics {
		w.string(t)
	}
	w.nullable(v.Pattern)
	w.int32(v.RebalanceTimeoutMillis)
	w.nullable(v.Assignor)
	if v.Classic == nil {
		w.noTags()
		return w.b
	}
	inner := writer{}
	v.Classic.append(&inner)
	w.tag(len(inner.b))
	w.b = append(w.b, inner.b...)
	return w.b
}

// append encodes the tagged field: a byte that says that it is there, then the fields.
func (v *Classic) append(w *writer) {
	w.b = append(w.b, 1)
	w.int32(v.SessionTimeoutMillis)
	w.length(len(v.Protocols))
	for _, p := range v.Protocols {
		w.string(p.Name)
		w.bytes(p.Metadata)
		w.noTags()
	}
	w.noTags()
}

// Read decodes the value.
func (v *Member) Read(p []byte) error {
	r := start(p)
	v.Instance, v.Rack = r.nullable(), r.nullable()
	v.ClientID, v.ClientHost = r.string(), r.string()
	v.Topics = make([]string, 0, r.count(1))
	for range cap(v.Topics) {
		v.Topics = append(v.Topics, r.string())
	}
	v.Pattern = r.nullable()
	v.RebalanceTimeoutMillis = r.int32()
	v.Assignor = r.nullable()
	r.tags(func(r *reader) { v.Classic = readClassic(r) })
	return r.finish("member of a group")
}

func readClassic(r *reader) *Classic {
	if r.byte() != 1 {
		return nil
	}
	v := &Classic{SessionTimeoutMillis: r.int32()}
	for range r.count(3) {
		v.Protocols = append(v.Protocols, Protocol{r.string(), r.bytes()})
		r.tags(nil)
	}
	r.tags(nil)
	return v
}

// Target is the value of KindTarget.
type Target struct {
	Epoch int32
	At    int64 // when it was decided, milliseconds; zero: not known
}

// Append encodes the value.
func (v *Target) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.int32(v.Epoch)
	if v.At == 0 {
		w.noTags()
		return w.b
	}
	w.tag(8)
	w.int64(v.At)
	return w.b
}

// Read decodes the value.
func (v *Target) Read(p []byte) error {
	r := start(p)
	v.Epoch = r.int32()
	r.tags(func(r *reader) { v.At = r.int64() })
	return r.finish("epoch of a target assignment")
}

// TargetMember is the value of KindTargetMember.
type TargetMember struct{ Partitions assign.Assignment }

// Append encodes the value.
func (v *TargetMember) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.assignment(v.Partitions)
	w.noTags()
	return w.b
}

// Read decodes the value.
func (v *TargetMember) Read(p []byte) error {
	r := start(p)
	v.Partitions = r.assignment()
	r.tags(nil)
	return r.finish("target assignment of a member")
}

// Current is the value of KindCurrent.
type Current struct {
	Epoch, Previous    int32
	State              int8
	Assigned, Revoking assign.Assignment
}

// Append encodes the value.
func (v *Current) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.int32(v.Epoch)
	w.int32(v.Previous)
	w.b = append(w.b, byte(v.State))
	w.assignment(v.Assigned)
	w.assignment(v.Revoking)
	w.noTags()
	return w.b
}

// Read decodes the value.
func (v *Current) Read(p []byte) error {
	r := start(p)
	v.Epoch, v.Previous, v.State = r.int32(), r.int32(), int8(r.byte())
	v.Assigned = r.assignment()
	v.Revoking = r.assignment()
	r.tags(nil)
	return r.finish("current assignment of a member")
}

// Pattern is the value of KindPattern.
type Pattern struct {
	Topics  []string
	Version int64 // of the cluster's metadata that was looked through
	At      int64 // milliseconds
}

// Append encodes the value.
func (v *Pattern) Append(dst []byte) []byte {
	w := writer{dst}
	w.int16(0)
	w.length(len(v.Topics))
	for _, t := range v.Topics {
		w.string(t)
	}
	w.int64(v.Version)
	w.int64(v.At)
	w.noTags()
	return w.b
}

// Read decodes the value.
func (v *Pattern) Read(p []byte) error {
	r := start(p)
	v.Topics = make([]string, 0, r.count(1))
	for range cap(v.Topics) {
		v.Topics = append(v.Topics, r.string())
	}
	v.Version, v.At = r.int64(), r.int64()
	r.tags(nil)
	return r.finish("topics of a pattern")
}

// start begins a value, whose first two bytes are its version. Only 0 is known.
func start(p []byte) *reader {
	r := &reader{b: p}
	if version := r.int16(); r.err == nil && version != 0 {
		r.err = fmt.Errorf("version %d is not known", version)
	}
	return r
}

func (r *reader) finish(what string) error {
	if err := r.end(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
