package setting

import (
	"math"
	"time"
)

// Type is the type of a setting in Kafka's protocol (DescribeConfigs calls it config_type).
type Type int8

// The types, with the protocol's numbers.
const (
	TypeUnknown Type = iota
	TypeBoolean
	TypeString
	TypeInt
	TypeShort
	TypeLong
	TypeDouble
	TypeList
	TypeClass
	TypePassword
)

var typeNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}

// String is the name that Kafka's error messages use.
func (t Type) String() string { return typeNames[t] }

// Dynamic tells whether a setting can be changed while the broker runs, and for whom.
type Dynamic int8

// The ways a setting may change. The zero value is the careful one.
const (
	ReadOnly    Dynamic = iota // only by a restart
	PerBroker                  // for one broker
	ClusterWide                // for one broker, or as the default of all
)

// String is the word that Kafka's documentation uses.
func (d Dynamic) String() string { return [...]string{"read-only", "per-broker", "cluster-wide"}[d] }

// Effect tells what becomes of a value that somebody gave.
type Effect int8

// The effects. Only a Honoured setting does what its documentation says.
const (
	// Honoured: it does what its Doc says.
	Honoured Effect = iota
	// Ignored: its type and limits are checked, and then nothing reads it. Giving it is a warning.
	Ignored
	// Refused: any value but the default is an error, because going on without it would be unsafe.
	Refused
)

// String is one word for tables.
func (e Effect) String() string { return [...]string{"honoured", "ignored", "refused"}[e] }

// Int is a setting of Kafka's type INT (or SHORT).
type Int = Number[int]

// Long is a setting of Kafka's type LONG.
type Long = Number[int64]

// Double is a setting of Kafka's type DOUBLE.
type Double = Number[float64]

// Number declares a setting that holds a number. It is declared by Section.Int,
// Long or Double and read with Of.
type Number[T int | int64 | float64] struct {
	Name     string
	Topic    string   // the twin: the name a topic overrides it by. With no Name: a setting that only topics have
	Synonyms []string // names looked at when this one is not given, in order
	Default  T
	Null     bool   // there is no default: unset unless given (then Of answers 0)
	Kafka    string // Kafka's default, where ours differs
	Min      T      // least value allowed. Zero: 0
	Max      T      // greatest value allowed. Zero: the greatest of the type
	Or       T      // one more value allowed outside the limits. Zero: none
	Short    bool   // Kafka's type is SHORT
	Dynamic  Dynamic
	Effect   Effect
	Note     string // why a value is ignored or refused, and what to do instead
	Internal bool   // known, but left out of listings
	Doc      string

	slot  index
	float bool
}

// Of is the value in v.
func (n *Number[T]) Of(v *Values) T {
	bits := v.at(n.slot).n
	if n.float {
		return T(math.Float64frombits(uint64(bits)))
	}
	return T(bits)
}

// Bool declares a setting that is true or false.
type Bool struct {
	Name     string
	Topic    string
	Synonyms []string
	Default  bool
	Kafka    string
	Dynamic  Dynamic
	Effect   Effect
	Note     string
	Internal bool
	Doc      string

	slot index
}

// Of is the value in v.
func (b *Bool) Of(v *Values) bool { return v.at(b.slot).n != 0 }

// String declares a setting that holds text: any text, or one of Choices.
// Section.Class and Section.Password declare the other types that hold text.
type String struct {
	Name       string
	Topic      string
	Synonyms   []string
	Default    string
	Null       bool // there is no default: unset unless given (then Of answers "")
	Kafka      string
	Choices    []string // the values allowed. Empty: any
	IgnoreCase bool     // Choices match in any case
	Absent     Absent   // values that Kafka allows and we do not have
	Dynamic    Dynamic
	Effect     Effect
	Note       string
	Internal   bool
	Doc        string

	slot index
}

// Absent is values that Kafka allows and we do not have, and what is said to who gives one.
type Absent struct {
	Choices []string
	Why     string
}

// Of is the value in v.
func (s *String) Of(v *Values) string { return v.at(s.slot).text }

// List declares a setting that holds words separated by commas.
type List struct {
	Name     string
	Topic    string
	Synonyms []string
	Default  []string
	Null     bool // there is no default: unset unless given (then Of answers nil)
	Kafka    string
	Choices  []string // the words allowed. Empty: any
	// Check judges the whole list; it answers what is wrong, "" when nothing is.
	Check    func(words []string) string
	Allowed  string // what Check allows, in words
	Dynamic  Dynamic
	Effect   Effect
	Note     string
	Internal bool
	Doc      string

	slot index
}

// Of is the words in v. They are shared: the caller must not change them.
func (l *List) Of(v *Values) []string { return v.at(l.slot).list }

// Duration declares a setting that holds a time in the unit that its name ends with.
type Duration struct {
	Name     string
	Topic    string
	Synonyms []string
	Unit     time.Duration // of the number in the file. Zero: a millisecond
	Default  int64         // in Unit
	Null     bool          // there is no default: unset unless given or a synonym is
	Kafka    string
	Min      int64 // in Unit. Zero: 0
	Max      int64 // in Unit. Zero: the greatest of the type
	Or       int64 // one more value allowed outside the limits. Zero: none
	Int      bool  // Kafka's type is INT, not LONG
	Dynamic  Dynamic
	Effect   Effect
	Note     string
	Internal bool
	Doc      string

	slot index
}

// Forever is the longest time: what a number too great for a time.Duration reads as.
const Forever = time.Duration(1<<63 - 1)

// Of is the value in v. Any negative number in the file reads as -1, which
// everywhere means "no limit"; one too great for a time.Duration as Forever.
func (d *Duration) Of(v *Values) time.Duration { return time.Duration(v.at(d.slot).n) }

// Row declares a setting that no code reads by name: one of a table of keys that
// Kafka knows and that we accept without effect.
type Row struct {
	Name    string
	Type    Type
	Default string // in the words of server.properties
	Null    bool
	Min     int64 // least value of a number. Zero: 0
	Max     int64 // greatest value of a number. Zero: the greatest of the type
	Choices []string
	Dynamic Dynamic
	Doc     string
}
