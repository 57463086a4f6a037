package setting

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Int declares a number of 32 bits (16 when Short).
func (s *Section) Int(n Int) *Int {
	kind, greatest := TypeInt, math.MaxInt32
	if n.Short {
		kind, greatest = TypeShort, math.MaxInt16
	}
	if n.Max == 0 {
		n.Max = greatest
	}
	limits := limits{kind: kind, min: int64(n.Min), max: int64(n.Max), or: int64(n.Or), greatest: int64(greatest)}
	d := numbered(&n, kind, limits)
	d.Default = strconv.Itoa(n.Default)
	n.slot = s.declare(d)
	return &n
}

// Long declares a number of 64 bits.
func (s *Section) Long(n Long) *Long {
	if n.Max == 0 {
		n.Max = math.MaxInt64
	}
	d := numbered(&n, TypeLong, limits{kind: TypeLong, min: n.Min, max: n.Max, or: n.Or, greatest: math.MaxInt64})
	d.Default = strconv.FormatInt(n.Default, 10)
	n.slot = s.declare(d)
	return &n
}

// Double declares a floating-point number.
func (s *Section) Double(n Double) *Double {
	if n.Max == 0 {
		n.Max = math.MaxFloat64
	}
	d := numbered(&n, TypeDouble, limits{})
	d.Default = formatDouble(n.Default)
	d.parse = func(text string) (slot, fault) { return parseDouble(text, n.Min, n.Max) }
	if d.Allowed = "at least " + formatDouble(n.Min); n.Max != math.MaxFloat64 {
		d.Allowed = formatDouble(n.Min) + " to " + formatDouble(n.Max)
	}
	n.float = true
	n.slot = s.declare(d)
	return &n
}

// numbered is the declaration of n without its default.
func numbered[T int | int64 | float64](n *Number[T], kind Type, l limits) Declaration {
	return Declaration{Name: n.Name, Topic: n.Topic, Synonyms: n.Synonyms, Type: kind, Dynamic: n.Dynamic, Effect: n.Effect,
		Note: n.Note, Internal: n.Internal, Doc: n.Doc, Null: n.Null, Kafka: n.Kafka, Allowed: l.String(), parse: l.parse}
}

// Bool declares a switch.
func (s *Section) Bool(b Bool) *Bool {
	b.slot = s.declare(Declaration{Name: b.Name, Topic: b.Topic, Synonyms: b.Synonyms, Type: TypeBoolean, Dynamic: b.Dynamic,
		Effect: b.Effect, Note: b.Note, Internal: b.Internal, Doc: b.Doc, Default: strconv.FormatBool(b.Default), Kafka: b.Kafka,
		Allowed: "true or false", parse: parseBool})
	return &b
}

// String declares a text.
func (s *Section) String(t String) *String { return s.text(t, TypeString) }

// Class declares a text that in Kafka names a Java class, and here a plugin.
func (s *Section) Class(t String) *String { return s.text(t, TypeClass) }

// Password declares a text that is never shown again.
func (s *Section) Password(t String) *String { return s.text(t, TypePassword) }

func (s *Section) text(t String, kind Type) *String {
	t.slot = s.declare(Declaration{Name: t.Name, Topic: t.Topic, Synonyms: t.Synonyms, Type: kind, Dynamic: t.Dynamic,
		Effect: t.Effect, Note: t.Note, Internal: t.Internal, Doc: t.Doc, Default: t.Default, Null: t.Null, Kafka: t.Kafka,
		Allowed: either(t.Choices), parse: choice(t.Choices, t.IgnoreCase, t.Absent)})
	return &t
}

// List declares words separated by commas.
func (s *Section) List(l List) *List {
	allowed := l.Allowed
	if len(l.Choices) > 0 {
		allowed = "any of " + strings.Join(l.Choices, ", ")
	}
	l.slot = s.declare(Declaration{Name: l.Name, Topic: l.Topic, Synonyms: l.Synonyms, Type: TypeList, Dynamic: l.Dynamic,
		Effect: l.Effect, Note: l.Note, Internal: l.Internal, Doc: l.Doc, Default: strings.Join(l.Default, ","), Null: l.Null,
		Kafka: l.Kafka, Allowed: allowed, parse: words(l.Choices, l.Check)})
	return &l
}

// Duration declares a time.
func (s *Section) Duration(t Duration) *Duration {
	kind, greatest := TypeLong, int64(math.MaxInt64)
	if t.Int {
		kind, greatest = TypeInt, math.MaxInt32
	}
	if t.Max == 0 {
		t.Max = greatest
	}
	if t.Unit == 0 {
		t.Unit = time.Millisecond
	}
	limits := limits{kind: kind, min: t.Min, max: t.Max, or: t.Or, greatest: greatest}
	t.slot = s.declare(Declaration{Name: t.Name, Topic: t.Topic, Synonyms: t.Synonyms, Type: kind, Dynamic: t.Dynamic,
		Effect: t.Effect, Note: t.Note, Internal: t.Internal, Doc: t.Doc, Default: strconv.FormatInt(t.Default, 10), Null: t.Null,
		Kafka: t.Kafka, Allowed: limits.String(), unit: int64(t.Unit),
		parse: func(text string) (slot, fault) {
			parsed, wrong := limits.parse(text)
			parsed.n = nanoseconds(parsed.n, int64(t.Unit))
			return parsed, wrong
		}})
	return &t
}

// Table declares rows of settings that share an effect and the note that explains it.
func (s *Section) Table(effect Effect, note string, rows ...Row) []Row {
	for _, r := range rows {
		d := Declaration{Name: r.Name, Type: r.Type, Dynamic: r.Dynamic, Effect: effect, Note: note, Doc: r.Doc,
			Default: r.Default, Null: r.Null}
		switch r.Type {
		case TypeBoolean:
			d.Allowed, d.parse = "true or false", parseBool
		case TypeInt, TypeShort, TypeLong:
			l := r.limits()
			d.Allowed, d.parse = l.String(), l.parse
		case TypeDouble:
			d.parse = func(text string) (slot, fault) { return parseDouble(text, -math.MaxFloat64, math.MaxFloat64) }
		case TypeList:
			d.parse = words(r.Choices, nil)
		default:
			d.Allowed, d.parse = either(r.Choices), choice(r.Choices, true, Absent{})
		}
		s.declare(d)
	}
	return rows
}

func (r Row) limits() limits {
	greatest := map[Type]int64{TypeInt: math.MaxInt32, TypeShort: math.MaxInt16, TypeLong: math.MaxInt64}[r.Type]
	l := limits{kind: r.Type, min: r.Min, max: r.Max, greatest: greatest}
	if l.max == 0 {
		l.max = greatest
	}
	return l
}
